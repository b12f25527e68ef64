"""Phases, matches, uploads and the house's adversaries."""

import io
import re
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from flask.testing import FlaskClient

from app.extensions import db
from app.models import AuditEntry, Match, PhaseChange, ReferenceResult, Status, Team, Upload, now
from app.rules.phases import Phase
from app.services import rounds
from tests.factories import (
    make_attack,
    make_defence,
    make_match,
    make_reference_result,
    make_round,
    make_upload,
    make_user,
)
from tests.web.admin.world import acted

Players = tuple[Team, Team, object]


def mark(page: str) -> str:
    return re.findall(r'name="plan"[^>]*value="([0-9a-f]*)"', page)[0]


class TestPhase:
    @pytest.mark.parametrize("address", ["/set_phase/", "/admin/phase"])
    def test_looking_at_the_page_changes_nothing(self, app: Flask, admin: FlaskClient, address: str) -> None:
        make_round("defence")
        for _ in range(2):
            assert "Defence phase" in admin.get(address).text
        assert rounds.phase(rounds.by_number(1)).phase is Phase.DEFENCE
        assert len(rounds.by_number(1).changes) == 1
        assert app.sent == []

    def test_it_changes_the_phase_now(self, admin: FlaskClient) -> None:
        make_round()
        answer = acted(admin, "/set_phase/", phase="defence", when="now", at="")
        assert "Round 1 is in this phase now: Defence phase." in answer
        assert rounds.phase(rounds.by_number(1)).phase is Phase.DEFENCE

    def test_it_schedules_a_change_in_utc_and_takes_it_back(self, admin: FlaskClient) -> None:
        make_round("defence")
        at = (now() + timedelta(days=2)).replace(second=0, microsecond=0)
        data = {"phase": "attack", "when": "later", "at": f"{at:%Y-%m-%dT%H:%M}"}
        assert "changes by itself" in acted(admin, "/admin/phase", **data)
        timetable = rounds.phase(rounds.by_number(1))
        assert (timetable.phase, timetable.next_phase, timetable.next_change) == (Phase.DEFENCE, Phase.ATTACK, at)
        change = db.session.scalar(db.select(PhaseChange).order_by(PhaseChange.id.desc()))
        assert change is not None
        assert "taken back" in acted(admin, f"/admin/rounds/1/unschedule/{change.id}")
        assert rounds.phase(rounds.by_number(1)).next_change is None

    def test_it_acts_on_the_round_in_the_address(self, admin: FlaskClient) -> None:
        make_round()
        make_round()
        acted(admin, "/admin/phase?round=2", phase="both", when="now")
        assert [rounds.phase(row).phase for row in rounds.everyone()] == [Phase.BOTH, Phase.NONE]

    @pytest.mark.parametrize(
        ("data", "status"),
        [
            ({"phase": "party", "when": "now"}, 400),
            ({"when": "now"}, 400),
            ({"phase": "attack", "when": "later"}, 400),
            ({"phase": "attack", "when": "later", "at": "tomorrow"}, 400),
            ({"phase": "attack", "when": "later", "at": "2020-01-01T00:00"}, 409),
        ],
    )
    def test_what_makes_no_sense_is_refused_on_the_page(self, admin: FlaskClient, data: dict, status: int) -> None:
        make_round("defence")
        assert admin.post("/admin/phase", data={"phase": "", **data}).status_code == status
        assert len(rounds.by_number(1).changes) == 1

    def test_a_change_that_has_happened_is_not_taken_back(self, admin: FlaskClient) -> None:
        make_round("defence")
        answer = admin.post("/admin/rounds/1/unschedule/1")
        assert answer.status_code == 409
        assert "happened already" in answer.text

    def test_the_page_names_the_moment_for_the_browser(self, admin: FlaskClient) -> None:
        row = make_round("defence")
        row.changes.append(PhaseChange(phase=Phase.ATTACK, at=datetime(2099, 1, 2, 3, 4, tzinfo=UTC)))
        assert 'datetime="2099-01-02T03:04:00Z"' in admin.get("/admin/phase").text


class TestMatches:
    @pytest.fixture
    def ready(self, players: Players) -> None:
        row = make_round("defence")
        for team in players[:2]:
            make_defence(team, row)

    def test_a_preview_changes_nothing(self, admin: FlaskClient, ready: None) -> None:
        page = admin.get("/generate_matches/").text
        assert "2 matches can be generated" in page
        assert db.session.scalars(db.select(Match)).all() == []
        assert mark(page) == mark(admin.get("/admin/matches?round=1").text)

    def test_a_confirmed_preview_is_generated_once(self, admin: FlaskClient, ready: None) -> None:
        seen = mark(admin.get("/generate_matches/").text)
        assert "2 matches have been generated" in acted(admin, "/generate_matches/", plan=seen)
        made = {(match.attacker.name, match.defender.name) for match in db.session.scalars(db.select(Match))}
        assert made == {("Red", "Blue"), ("Blue", "Red")}
        again = admin.post("/generate_matches/", data={"plan": seen})
        assert again.status_code == 409
        assert "nothing was changed" in again.text
        assert len(db.session.scalars(db.select(Match)).all()) == 2

    def test_a_preview_that_is_out_of_date_is_shown_anew(
        self, admin: FlaskClient, ready: None, players: Players
    ) -> None:
        seen = mark(admin.get("/generate_matches/").text)
        make_defence(players[0], rounds.by_number(1))
        answer = admin.post("/generate_matches/", data={"plan": seen})
        assert answer.status_code == 409
        assert "Something has changed since you looked" in answer.text
        assert db.session.scalars(db.select(Match)).all() == []
        assert admin.post("/generate_matches/", data={"plan": mark(answer.text)}).status_code == 303

    def test_it_says_why_nothing_can_be_generated(self, admin: FlaskClient) -> None:
        make_round("defence")
        page = admin.get("/generate_matches/")
        assert page.status_code == 200
        assert "at least two teams with an accepted defence" in page.text
        assert admin.post("/generate_matches/", data={"plan": ""}).status_code == 409

    def test_it_shows_the_result_that_counts(self, admin: FlaskClient, players: Players) -> None:
        row = make_round("attack", rules={"counted_attack": "best"})
        match = make_match(row, players[0], players[1])
        make_match(row, players[1], players[0])
        make_attack(match, 0.625)
        make_attack(match, 0.375)
        page = admin.get("/admin/matches").text
        assert "0.625" in page
        assert "0.375" not in page
        assert "Not attacked" in page


class TestUploads:
    def test_they_are_filtered_by_round_status_and_kind(self, admin: FlaskClient, players: Players) -> None:
        first, second = make_round(), make_round()
        make_upload(players[0], first, "defence", "rejected")
        make_upload(players[0], first, "attack")
        make_upload(players[0], second, "defence")
        listed = lambda query: re.findall(r'/admin/uploads/(\d+)"', admin.get(f"/admin/uploads?{query}").text)  # noqa: E731
        assert listed("") == ["3", "2", "1"]
        assert listed("round=1") == ["2", "1"]
        assert listed("round=1&status=rejected") == ["1"]
        assert listed("kind=attack") == ["2"]
        assert listed("status=nonsense&kind=nonsense&round=") == ["3", "2", "1"]

    def test_more_than_a_page_is_paged_and_keeps_its_filters(self, admin: FlaskClient, players: Players) -> None:
        row = make_round()
        for _ in range(51):
            make_upload(players[0], row)
        page = admin.get("/admin/uploads?round=1&kind=defence").text
        assert page.count("/admin/uploads/") >= 50
        assert "page=2&amp;round=1&amp;kind=defence" in page
        assert '/admin/uploads/1"' in admin.get("/admin/uploads?page=2").text

    def test_one_shows_reasons_log_tries_and_digest(self, admin: FlaskClient, players: Players) -> None:
        reason = {"rule": "Times are finite.", "where": "line 3", "fix": "Mend it.", "count": 7}
        upload = make_upload(
            players[0],
            make_round(),
            "defence",
            "rejected",
            reasons=[reason],
            log="Traceback: <disk>",
            tries=3,
            filename="<b>.zip",
        )
        page = admin.get(f"/admin/uploads/{upload.id}").text
        for text in (
            "Times are finite.",
            "line 3",
            "In 7 places",
            "Traceback: &lt;disk&gt;",
            upload.digest,
            "&lt;b&gt;.zip",
        ):
            assert text in page

    def test_the_file_comes_back_as_it_was_and_is_not_opened(self, admin: FlaskClient, players: Players) -> None:
        content = b"<script>alert(1)</script>"
        make_upload(players[0], make_round(), content=content, filename='../x".html')
        answer = admin.get("/admin/uploads/1/file", buffered=True)
        assert answer.data == content
        assert answer.mimetype == "application/octet-stream"
        assert answer.headers["Content-Disposition"].startswith("attachment")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"

    def test_one_is_evaluated_again(self, app: Flask, admin: FlaskClient, players: Players) -> None:
        make_upload(players[0], make_round(), "defence", "failed", tries=3)
        assert "in the queue again" in acted(admin, "/admin/uploads/1/reevaluate")
        upload = db.session.get_one(Upload, 1)
        assert (upload.status, upload.tries) == (Status.QUEUED, 0)
        assert app.sent[-1].arguments == (1,)
        answer = admin.post("/admin/uploads/1/reevaluate")
        assert answer.status_code == 409
        assert "being evaluated already" in answer.text

    def test_all_of_a_round_and_kind_are_evaluated_again(
        self, app: Flask, admin: FlaskClient, players: Players
    ) -> None:
        first, second = make_round(), make_round()
        for row in (first, first, second):
            make_upload(players[0], row)
        make_upload(players[0], first, "attack")
        answer = acted(admin, "/admin/rounds/1/reevaluate/defence")
        assert "2 uploads of round 1 are in the queue again" in answer
        assert [task.arguments for task in app.sent] == [(1,), (2,)]
        assert admin.post("/admin/rounds/1/reevaluate/nonsense").status_code == 404

    def test_a_refund_is_noted(self, admin: FlaskClient, players: Players) -> None:
        make_upload(players[0], make_round())
        admin.post("/admin/uploads/1/refund")
        assert db.session.get_one(Upload, 1).is_refunded
        entry = db.session.scalar(db.select(AuditEntry).where(AuditEntry.action == "upload.refund"))
        assert entry is not None
        assert entry.actor is not None
        assert entry.actor.username == "ada"

    def test_an_attack_shows_its_exact_results(self, admin: FlaskClient, players: Players) -> None:
        row = make_round("attack", rules={"feedback_step": 0.5})
        attack = make_attack(make_match(row, players[0], players[1]), 0.4321)
        assert "0.432" in admin.get(f"/admin/uploads/{attack.upload_id}").text


class TestReferences:
    @pytest.fixture
    def failed(self, players: Players) -> ReferenceResult:
        defence = make_defence(players[0], make_round())
        make_reference_result(defence, "blind")
        return make_reference_result(defence, "random-forest", None, "failed", log="Traceback: <memory>", tries=3)

    def test_they_are_listed_with_their_logs(self, admin: FlaskClient, failed: ReferenceResult) -> None:
        assert "random-forest" in admin.get("/admin/references?status=failed&round=1").text
        assert ">blind</a>" not in admin.get("/admin/references?status=failed").text
        assert "Traceback: &lt;memory&gt;" in admin.get(f"/admin/references/{failed.id}").text

    def test_one_is_played_again(self, app: Flask, admin: FlaskClient, failed: ReferenceResult) -> None:
        admin.post(f"/admin/references/{failed.id}/again")
        db.session.refresh(failed)
        assert (failed.status, failed.tries) == (Status.QUEUED, 0)
        assert [(task.name, task.arguments, task.queue) for task in app.sent] == [("references.play", (), "evaluation")]
        assert admin.post(f"/admin/references/{failed.id}/again").status_code == 409

    def test_all_failed_ones_are_played_again(self, app: Flask, admin: FlaskClient, failed: ReferenceResult) -> None:
        assert "1 failed results are" in acted(admin, "/admin/references/failed")
        assert [task.name for task in app.sent] == ["references.play"]
        assert db.session.get_one(ReferenceResult, failed.id, populate_existing=True).status is Status.QUEUED

    def test_every_adversary_plays_a_defence_again(
        self, app: Flask, admin: FlaskClient, failed: ReferenceResult
    ) -> None:
        upload = failed.defence.upload_id
        assert "plays on this defence again" in acted(admin, f"/admin/uploads/{upload}/adversaries")
        assert [task.name for task in app.sent] == ["references.play"] * len(failed.defence.references)
        assert {row.status for row in db.session.scalars(db.select(ReferenceResult))} == {Status.QUEUED}

    def test_there_is_nothing_to_play_on_a_rejected_upload(
        self, app: Flask, admin: FlaskClient, players: Players
    ) -> None:
        make_upload(players[0], make_round(), "defence", "rejected")
        assert "nothing to play on" in acted(admin, "/admin/uploads/1/adversaries")
        assert app.sent == []


def test_every_action_names_its_admin(admin: FlaskClient, players: Players) -> None:
    make_user("second", is_admin=True)
    make_round()
    admin.post("/admin/phase", data={"phase": "defence", "when": "now"})
    admin.post("/admin/rounds/1/house/reference", data={"reference-file": (io.BytesIO(b"x"), "x.zip")})
    admin.post("/admin/registration", data={"open": "no"})
    entries = db.session.scalars(db.select(AuditEntry).where(AuditEntry.actor_id.is_not(None))).all()
    assert {"round.phase", "house.reference", "site.registration"} <= {entry.action for entry in entries}
    assert {entry.actor.username for entry in entries if entry.actor} == {"ada"}
