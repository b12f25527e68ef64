"""Setting up rounds, their generated forms, and the house."""

import io
import re

from flask import Flask
from flask.testing import FlaskClient

from app import tracks
from app.extensions import db
from app.models import Round, Upload, UploadKind
from app.services import rounds
from tests.factories import SMALL, make_defence, make_round, make_team, make_upload
from tests.web.admin.world import acted


def filled(page: str) -> dict[str, str]:
    """What a browser would send for the main form of the page, unchanged."""
    fields = dict(re.findall(r'<input(?=[^>]* name="([^"]+)")(?=[^>]* value="([^"]*)")(?![^>]*type="checkbox")', page))
    fields |= dict.fromkeys(re.findall(r'<input(?=[^>]* checked)[^>]* name="([^"]+)"', page), "y")
    for name, options in re.findall(r'<select[^>]* name="([^"]+)"[^>]*>(.*?)</select>', page, re.DOTALL):
        fields[name] = re.findall(r'<option(?=[^>]* selected)[^>]* value="([^"]*)"', options)[0]
    return fields


def new_round(admin: FlaskClient, **changes: object) -> dict[str, str]:
    small = {f"settings-{name}": str(value) for name, value in SMALL.items()}
    return filled(admin.get("/admin/rounds/new").text) | small | {name: str(value) for name, value in changes.items()}


class TestNewRound:
    def test_the_form_has_every_setting_with_its_default_its_bounds_and_its_help(self, admin: FlaskClient) -> None:
        page = admin.get("/admin/rounds/new").text
        for card in tracks.CARDS[:1]:
            for prefix, parameters in zip(("settings", "rules"), rounds.setting_fields(card.slug), strict=True):
                for parameter in parameters:
                    assert f'name="{prefix}-{parameter.name}"' in page
        assert re.search(r'<input[^>]*id="settings-NB_CLASSES"[^>]*max="1000"[^>]*min="2"[^>]*type="number"', page)
        assert "Every capture must have more packets than this. From 1 to 1,000 packets." in page
        assert re.search(
            r'<select[^>]*id="rules-scoring".*?<option selected value="balanced">Balanced', page, re.DOTALL
        )
        assert re.search(r'<input(?=[^>]*id="rules-house_counts")[^>]* checked', page)

    def test_it_makes_a_round_with_what_was_entered(self, admin: FlaskClient) -> None:
        values = new_round(
            admin, title="First walk", seed=7, **{"rules-counted_attack": "best", "rules-feedback_step": "0.05"}
        )
        del values["rules-house_counts"]
        answer = acted(admin, "/admin/rounds/new", **values)
        assert "Round 1 has been set up" in answer
        row = rounds.by_number(1)
        assert (row.title, row.seed, row.is_current, row.opened_at) == ("First walk", 7, True, None)
        assert row.track_settings["NB_CLASSES"] == SMALL["NB_CLASSES"]
        assert (row.rules["counted_attack"], row.rules["feedback_step"], row.rules["house_counts"]) == (
            "best",
            0.05,
            False,
        )

    def test_a_value_out_of_its_bounds_is_shown_at_its_field(self, admin: FlaskClient) -> None:
        values = new_round(admin, title="Kept", **{"rules-MATCHES_PER_TEAM": 0, "settings-NB_CLASSES": "many"})
        answer = admin.post("/admin/rounds/new", data=values)
        assert answer.status_code == 400
        assert 'id="rules-MATCHES_PER_TEAM-errors"' in answer.text
        assert 'id="settings-NB_CLASSES-errors"' in answer.text
        assert 'value="Kept"' in answer.text
        assert rounds.everyone() == []

    def test_settings_that_do_not_fit_together_are_shown_at_their_field(self, admin: FlaskClient) -> None:
        answer = admin.post("/admin/rounds/new", data=new_round(admin, **{"settings-NB_TRACES_TO_CLASSIFY": 2}))
        assert answer.status_code == 400
        assert "Some settings do not fit together" in answer.text
        problem = answer.text.split('id="settings-NB_TRACES_TO_CLASSIFY-errors"')[1][:400]
        assert "Must lie between NB_CLASSES (8)" in problem
        assert rounds.everyone() == []

    def test_an_unknown_track_is_the_first_one(self, admin: FlaskClient) -> None:
        assert "NB_CLASSES" in admin.get("/admin/rounds/new?track=nonsense").text


class TestRound:
    def test_settings_change_until_it_opens(self, admin: FlaskClient) -> None:
        make_round()
        page = admin.get("/admin/rounds/1").text
        assert "disabled" not in page.split("<fieldset")[1].split(">")[0]
        values = filled(page) | {"title": "New title", "rules-MATCHES_PER_TEAM": "2"}
        answer = admin.post("/admin/rounds/1", data=values)
        assert answer.status_code == 303
        row = rounds.by_number(1)
        assert (row.title, row.rules["MATCHES_PER_TEAM"]) == ("New title", 2)

    def test_settings_are_frozen_and_explained_once_it_is_open(self, admin: FlaskClient) -> None:
        make_round("defence")
        page = admin.get("/admin/rounds/1").text
        assert page.count("<fieldset") == page.count("disabled>") == 2
        assert "its settings are frozen" in page
        answer = admin.post(
            "/admin/rounds/1", data={"title": "Renamed", "rules-MATCHES_PER_TEAM": "1", "settings-NB_CLASSES": "3"}
        )
        assert answer.status_code == 303
        row = rounds.by_number(1)
        assert (row.title, row.rules["MATCHES_PER_TEAM"], row.track_settings["NB_CLASSES"]) == ("Renamed", 3, 8)

    def test_a_title_that_is_too_long_is_refused_with_what_was_entered(self, admin: FlaskClient) -> None:
        make_round("defence", title="Short")
        answer = admin.post("/admin/rounds/1", data={"title": "x" * 121})
        assert answer.status_code == 400
        assert "x" * 121 in answer.text
        assert rounds.by_number(1).title == "Short"

    def test_another_round_can_be_made_current(self, admin: FlaskClient) -> None:
        make_round()
        make_round()
        assert "is the current round now" in acted(admin, "/admin/rounds/2/current")
        assert rounds.by_number(None).number == 2
        assert [row.is_current for row in rounds.everyone()] == [True, False]

    def test_the_board_can_be_frozen_and_shown_again(self, admin: FlaskClient) -> None:
        make_round()
        assert "frozen: students see it" in acted(admin, "/admin/rounds/1/board", frozen="yes")
        assert rounds.by_number(1).board_frozen_at is not None
        admin.post("/admin/rounds/1/board", data={"frozen": "no"})
        assert rounds.by_number(1).board_frozen_at is None


class TestHouse:
    def test_a_reference_can_be_uploaded(self, app: Flask, admin: FlaskClient) -> None:
        make_round()
        answer = acted(
            admin, "/admin/rounds/1/house/reference", **{"reference-file": (io.BytesIO(b"bytes"), "mine.zip")}
        )
        assert "is being checked" in answer
        (upload,) = db.session.scalars(db.select(Upload))
        assert (upload.kind, upload.team.is_house, upload.filename) == (UploadKind.REFERENCE, True, "mine.zip")
        assert app.sent[-1].name == "defences.check"

    def test_a_reference_of_another_kind_of_file_is_refused(self, app: Flask, admin: FlaskClient) -> None:
        make_round()
        for data in ({}, {"reference-file": (io.BytesIO(b"bytes"), "mine.csv")}):
            assert admin.post("/admin/rounds/1/house/reference", data=data).status_code == 400
        assert db.session.scalars(db.select(Upload)).all() == []

    def test_a_reference_can_be_generated_and_defences_prepared(self, app: Flask, admin: FlaskClient) -> None:
        make_round()
        admin.post("/admin/rounds/1/house/reference/generate")
        admin.post("/admin/rounds/1/house", data={"count": "2"})
        assert [(task.name, task.arguments) for task in app.sent] == [
            ("house.make_reference", (1,)), ("house.make", (1, 0)), ("house.make", (1, 1)),
        ]  # fmt: skip

    def test_it_prepares_no_absurd_number(self, app: Flask, admin: FlaskClient) -> None:
        make_round()
        for count in ("0", "51", "x", ""):
            assert admin.post("/admin/rounds/1/house", data={"count": count}).status_code == 400
        assert app.sent == []

    def test_it_shows_what_the_house_has(self, admin: FlaskClient) -> None:
        row, house = make_round("defence"), make_team("House tamaraw", is_house=True)
        make_defence(house, row)
        upload = make_upload(make_team("House reference", is_house=True), row, "reference")
        row.reference_id = make_defence(upload.team, row, 1.0, upload).id
        page = admin.get("/admin/rounds/1/house").text
        assert "1 is ready" in page
        assert "In use" in page
        assert "House tamaraw" in page


class TestDashboard:
    def test_it_says_what_needs_attention(self, admin: FlaskClient, players: tuple) -> None:
        make_upload(players[0], make_round("defence"), "defence", "failed")
        page = admin.get("/admin/").text
        assert "1 upload has failed through our fault" in page
        assert "The sweeper has never run" in page
        assert "Defence phase" in page

    def test_a_broker_that_is_away_is_said(self, admin: FlaskClient, monkeypatch: object) -> None:
        from app.services import sweeping

        asked = []
        monkeypatch.setattr(sweeping, "depth", lambda name: asked.append(name))  # type: ignore[attr-defined]
        assert "The broker does not answer" in admin.get("/admin/").text
        assert len(asked) == 1


def test_a_round_knows_its_settings_after_a_restart(admin: FlaskClient) -> None:
    admin.post("/admin/rounds/new", data=new_round(admin))
    row = db.session.scalar(db.select(Round))
    assert row is not None
    assert rounds.track(row).settings.NB_CLASSES == 8
