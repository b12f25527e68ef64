"""Handing in, following, downloading, and sending twice."""

import contextvars
import json
import threading

import pytest
from flask.testing import FlaskClient

from app.extensions import db
from app.models import AuditEntry, Status, Upload, now
from app.services import accounts, defences, uploads
from tests.api.conftest import sent_file
from tests.api.test_access import is_problem
from tests.factories import (
    answer_file,
    defence_file,
    make_attack,
    make_defence,
    make_match,
    make_reference_result,
    make_upload,
    run_tasks,
    set_phase,
)


@pytest.fixture
def alice(players, bearer):
    return bearer(accounts.named("alice"))


@pytest.fixture
def carol(players, bearer):
    return bearer(accounts.named("carol"))


class TestHandingIn:
    def test_a_defence_is_accepted_and_followed_at_its_location(self, app, client, alice, defence_round):
        response = client.post("/api/defences", data=sent_file(defence_file()), headers=alice)
        assert response.status_code == 202
        assert response.json["status"] == "queued"
        assert response.json["position"] == 1
        run_tasks(app, without=["references.play"])
        followed = client.get(response.headers["Location"], headers=alice).json
        assert (followed["status"], followed["is_final"]) == ("accepted", True)
        assert 0 < followed["result"]["utility"] <= 1
        assert followed["result"]["is_counted"]
        assert {one["status"] for one in followed["result"]["references"]} == {"queued"}
        assert followed["result"]["metrics"]["classic_score"]["value"] > 0

    def test_a_rejected_defence_carries_every_reason(self, app, client, alice, defence_round):
        response = client.post("/api/defences", data=sent_file(b"no zip"), headers=alice)
        run_tasks(app)
        followed = client.get(response.headers["Location"], headers=alice).json
        assert followed["status"] == "rejected"
        assert followed["reasons"][0]["rule"]
        assert followed["result"] is None

    def test_an_attack_is_scored_in_every_match(self, app, client, players, alice, attack_round):
        match = make_match(attack_round, players[0], players[1], _real_defence(app, players[1], attack_round))
        response = client.post("/api/answers", data=sent_file(answer_file([match]), "a.csv.zip"), headers=alice)
        assert response.status_code == 202
        run_tasks(app, without=["references.play"])
        followed = client.get(response.headers["Location"], headers=alice).json
        assert followed["status"] == "accepted"
        assert [part["defender"]["name"] for part in followed["results"]] == ["Blue"]
        assert followed["results"][0]["leakage"] > 0.9

    def test_results_are_rounded_as_the_round_says(self, client, players, alice, attack_round):
        attack_round.rules = {**attack_round.rules, "feedback_step": 0.25}
        attack = make_attack(make_match(attack_round, players[0], players[1]), 0.4)
        shown = client.get(f"/api/answers/{attack.upload_id}", headers=alice).json["results"][0]
        assert shown["leakage"] == 0.5
        assert shown["metrics"]["accuracy"]["low"] is None

    def test_a_file_of_another_kind_costs_no_upload(self, client, alice, defence_round):
        response = client.post("/api/defences", data=sent_file(name="defence.exe"), headers=alice)
        assert is_problem(response, 400)
        assert db.session.scalar(db.select(db.func.count(Upload.id))) == 0

    def test_a_form_without_a_file_names_the_field(self, client, alice, defence_round):
        response = client.post("/api/defences", data={"other": "x"}, content_type="multipart/form-data", headers=alice)
        assert is_problem(response, 422)
        assert set(response.json["errors"]) == {"file"}
        assert is_problem(client.post("/api/defences", data=b"PK", headers=alice), 415)

    def test_closed_phases_people_without_a_team_and_limits_are_refused(
        self, client, players, bearer, alice, defence_round
    ):
        assert is_problem(client.post("/api/answers", data=sent_file(), headers=alice), 409)
        assert is_problem(client.post("/api/defences", data=sent_file(), headers=bearer(players[3])), 403)
        defence_round.rules = {**defence_round.rules, "UPLOADS_PER_DAY": 1}
        assert client.post("/api/defences", data=sent_file(), headers=alice).status_code == 202
        assert is_problem(client.post("/api/defences", data=sent_file(), headers=alice), 429)


def _real_defence(app, team, row):
    upload = make_upload(team, row, status="queued", content=defence_file())
    uploads.enqueue(upload)
    run_tasks(app, without=["references.play"])
    return defences.of_upload(upload)


class TestVisibility:
    def test_another_teams_upload_is_unknown(self, client, players, carol, defence_round):
        defence = make_defence(players[0], defence_round)
        make_reference_result(defence)
        base = f"/api/defences/{defence.upload_id}"
        for path in (base, f"{base}/file", f"{base}/references/random-forest"):
            assert is_problem(client.get(path, headers=carol), 404)

    def test_an_admin_sees_all_with_our_log(self, client, players, bearer, defence_round):
        upload = make_upload(players[0], defence_round, status="failed", log="it broke")
        ada = bearer(players[2])
        assert client.get(f"/api/defences/{upload.id}", headers=ada).json["status"] == "failed"
        assert client.get(f"/api/admin/uploads/{upload.id}", headers=ada).json["log"] == "it broke"
        with client.get(f"/api/admin/uploads/{upload.id}/file", headers=ada) as response:
            assert response.data == b"not looked at"

    def test_the_owner_does_not_see_our_log(self, client, players, alice, defence_round):
        upload = make_upload(players[0], defence_round, status="failed", log="it broke")
        assert "broke" not in client.get(f"/api/defences/{upload.id}", headers=alice).text

    def test_an_attack_is_no_defence(self, client, players, alice, attack_round):
        upload = make_upload(players[0], attack_round, "attack")
        assert is_problem(client.get(f"/api/defences/{upload.id}", headers=alice), 404)

    def test_a_reference_result_comes_with_its_pictures(self, client, players, alice, defence_round):
        figure = {
            "kind": "bars",
            "title": "t",
            "x": "",
            "y": "",
            "arrays": {"labels": ["a"], "values": [1]},
            "note": "",
        }
        defence = make_defence(players[0], defence_round)
        make_reference_result(defence, figures=[figure])
        path = f"/api/defences/{defence.upload_id}/references/random-forest"
        assert client.get(path, headers=alice).json["figures"] == [figure]

    def test_pressure_says_how_much_but_not_who(self, client, players, alice, attack_round):
        defence = make_defence(players[0], attack_round)
        make_attack(make_match(attack_round, players[1], players[0], defence), 0.3)
        result = client.get(f"/api/defences/{defence.upload_id}", headers=alice).json["result"]
        assert result["pressure"] == {"matches": 1, "attacked": 1, "best": 0.3, "mean": 0.3}


class TestPages:
    def test_lists_come_in_pages_with_links(self, client, players, alice, defence_round):
        ids = [make_upload(players[0], defence_round).id for _ in range(5)]
        response = client.get("/api/defences?page=2&page_size=2&round=1", headers=alice)
        assert [one["id"] for one in response.json] == [ids[2], ids[1]]
        total = json.loads(response.headers["X-Pagination"])
        assert (total["total"], total["total_pages"], total["next_page"]) == (5, 3, 3)
        links = response.headers["Link"]
        assert 'page=3&page_size=2>; rel="next"' in links.replace("round=1&", "").replace("&round=1", "")
        assert {rel for rel in ("first", "prev", "next", "last") if f'rel="{rel}"' in links} == {
            "first",
            "prev",
            "next",
            "last",
        }

    @pytest.mark.parametrize("query", ["page=0", "page_size=0", "page_size=201", "page=x", f"page={10**30}"])
    def test_pages_that_make_no_sense_are_refused(self, client, alice, defence_round, query):
        assert is_problem(client.get(f"/api/defences?{query}", headers=alice), 422)

    def test_one_sees_only_ones_own_team(self, client, players, alice, carol, defence_round):
        make_upload(players[0], defence_round)
        assert len(client.get("/api/defences", headers=alice).json) == 1
        assert client.get("/api/defences", headers=carol).json == []


class TestTags:
    def test_an_unchanged_answer_is_not_sent_again(self, client, players, alice, defence_round):
        path = f"/api/defences/{make_defence(players[0], defence_round).upload_id}"
        first = client.get(path, headers=alice)
        again = client.get(path, headers={**alice, "If-None-Match": first.headers["ETag"]})
        assert (again.status_code, again.data) == (304, b"")
        assert again.headers["ETag"] == first.headers["ETag"]
        assert first.headers["Cache-Control"] == "private, no-cache"

    def test_a_changed_answer_is(self, client, players, alice, defence_round):
        upload = make_defence(players[0], defence_round).upload
        tag = client.get(f"/api/defences/{upload.id}", headers=alice).headers["ETag"]
        upload.is_refunded = True
        again = client.get(f"/api/defences/{upload.id}", headers={**alice, "If-None-Match": tag})
        assert again.status_code == 200

    @pytest.mark.parametrize("path", ["/api/rounds", "/api/rounds/1", "/api/tracks", "/openapi.json"])
    def test_rounds_tracks_and_the_document_have_tags(self, client, defence_round, path):
        tag = client.get(path).headers["ETag"]
        assert client.get(path, headers={"If-None-Match": tag}).status_code == 304

    def test_files_have_their_digest_as_tag(self, client, players, alice, attack_round):
        make_match(attack_round, players[0], players[1])
        upload = make_upload(players[0], attack_round, content=b"content")
        for path in (f"/api/defences/{upload.id}/file", "/api/challenge"):
            with client.get(path, headers=alice) as first:
                tag = first.headers["ETag"]
                assert int(first.headers["Content-Length"]) == len(first.data)
            assert client.get(path, headers={**alice, "If-None-Match": tag}).status_code == 304
            assert client.head(path, headers=alice).status_code == 200


class TestSendingTwice:
    def test_the_same_file_under_the_same_key_is_one_upload(self, client, alice, defence_round):
        headers = {**alice, "Idempotency-Key": "first-try"}
        answers = [client.post("/api/defences", data=sent_file(), headers=headers) for _ in range(3)]
        assert {answer.status_code for answer in answers} == {202}
        assert len({answer.headers["Location"] for answer in answers}) == 1
        assert db.session.scalar(db.select(db.func.count(Upload.id))) == 1

    def test_it_is_still_there_when_the_phase_is_over_and_the_limit_used_up(self, client, alice, defence_round):
        headers = {**alice, "Idempotency-Key": "k"}
        first = client.post("/api/defences", data=sent_file(), headers=headers)
        defence_round.rules = {**defence_round.rules, "UPLOADS_PER_DAY": 1}
        set_phase(defence_round, "finished")
        again = client.post("/api/defences", data=sent_file(), headers=headers)
        assert again.json["id"] == first.json["id"]

    def test_another_file_under_the_same_key_is_a_conflict(self, client, alice, defence_round):
        headers = {**alice, "Idempotency-Key": "k"}
        client.post("/api/defences", data=sent_file(b"one"), headers=headers)
        assert is_problem(client.post("/api/defences", data=sent_file(b"two"), headers=headers), 409)

    def test_keys_of_different_people_have_nothing_to_do_with_each_other(self, client, alice, carol, defence_round):
        answers = [
            client.post("/api/defences", data=sent_file(), headers={**who, "Idempotency-Key": "k"})
            for who in (alice, carol)
        ]
        assert answers[0].json["id"] != answers[1].json["id"]

    @pytest.mark.parametrize("key", ["", "x" * 256, "a b", "ä"])
    def test_a_key_that_cannot_be_kept_is_refused(self, client, alice, defence_round, key):
        response = client.post("/api/defences", data=sent_file(), headers={**alice, "Idempotency-Key": key})
        assert is_problem(response, 422)
        assert set(response.json["errors"]) == {"Idempotency-Key"}

    def test_two_in_the_same_moment_are_one_upload(self, app, alice, defence_round, monkeypatch):
        """Both have looked before either has written: the barrier makes the race certain."""
        barrier, found = threading.Barrier(2, timeout=20), []
        usual = uploads._may_upload

        def wait(*arguments):
            allowed = usual(*arguments)
            barrier.wait()
            return allowed

        monkeypatch.setattr(uploads, "_may_upload", wait)

        def send():
            headers = {**alice, "Idempotency-Key": "k"}
            found.append(FlaskClient(app).post("/api/defences", data=sent_file(), headers=headers))

        db.session.commit()
        threads = [threading.Thread(target=contextvars.Context().run, args=(send,)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert [answer.status_code for answer in found] == [202, 202]
        assert found[0].json["id"] == found[1].json["id"]
        assert db.session.scalar(db.select(db.func.count(Upload.id))) == 1
        assert (
            db.session.scalar(db.select(db.func.count(AuditEntry.id)).where(AuditEntry.action == "upload.defence")) == 1
        )
        assert len([task for task in app.sent if task.name == "defences.check"]) == 1


class TestChoosing:
    def test_the_team_says_which_attack_counts(self, client, players, alice, attack_round):
        attack_round.rules = {**attack_round.rules, "counted_attack": "selected"}
        upload = make_attack(make_match(attack_round, players[0], players[1])).upload
        assert client.post(f"/api/answers/{upload.id}/choose", headers=alice).json["chosen_at"]

    def test_not_where_the_latest_counts(self, client, players, alice, attack_round):
        upload = make_attack(make_match(attack_round, players[0], players[1])).upload
        assert is_problem(client.post(f"/api/answers/{upload.id}/choose", headers=alice), 409)


class TestForAdmins:
    def test_evaluating_again_and_refunding(self, app, client, players, bearer, defence_round):
        ada, upload = bearer(players[2]), make_upload(players[0], defence_round, status="failed")
        assert client.post(f"/api/admin/uploads/{upload.id}/refund", headers=ada).json["is_refunded"]
        response = client.post(f"/api/admin/uploads/{upload.id}/reevaluation", headers=ada)
        assert (response.status_code, response.json["status"]) == (202, "queued")
        assert is_problem(client.post(f"/api/admin/uploads/{upload.id}/reevaluation", headers=ada), 409)

    def test_lists_are_filtered(self, client, players, bearer, defence_round):
        make_upload(players[0], defence_round, status="failed")
        make_upload(players[1], defence_round)
        found = client.get("/api/admin/uploads?status=failed&kind=defence&round=1", headers=bearer(players[2])).json
        assert [one["status"] for one in found] == ["failed"]
        assert is_problem(client.get("/api/admin/uploads?status=odd", headers=bearer(players[2])), 422)

    def test_the_house_plays_again(self, client, players, bearer, defence_round):
        ada, defence = bearer(players[2]), make_defence(players[0], defence_round)
        result = make_reference_result(defence, status=Status.FAILED, leakage=None, finished_at=now())
        assert client.get("/api/admin/references?status=failed", headers=ada).json[0]["team"]["name"] == "Red"
        assert client.post(f"/api/admin/references/{result.id}/again", headers=ada).json == {"count": 1}
        assert client.post("/api/admin/references/failed", headers=ada).json == {"count": 0}
        assert is_problem(client.get("/api/admin/references/99", headers=ada), 404)
