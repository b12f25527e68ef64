import io

import pytest
from kombu.exceptions import OperationalError

from app.extensions import celery
from app.models import Status, Upload
from app.services import accounts, files, rounds
from tests.factories import (
    log_in,
    make_attack,
    make_defence,
    make_match,
    make_players,
    make_round,
    make_upload,
    make_user,
)
from tests.web.pages import text

FILE = b"PK looks like a zip"


def be(client, name):
    return log_in(client, accounts.named(name))


def send(client, path="/defence/", content=FILE, name="ours.zip"):
    return client.post(path, data={"file": (io.BytesIO(content), name)})


class TestHandingInADefence:
    def test_it_is_on_disk_and_in_the_database_before_the_answer(self, app, client, session, tmp_path):
        make_players()
        make_round("defence")
        response = send(be(client, "alice"))
        upload = session.query(Upload).one()
        assert (response.status_code, response.location) == (303, f"/upload/{upload.id}")
        assert (upload.status, upload.filename, upload.size) == (Status.QUEUED, "ours.zip", len(FILE))
        assert files.store().fetch(upload.digest, tmp_path).read_bytes() == FILE
        assert [(task.name, task.arguments) for task in app.sent] == [("defences.check", (upload.id,))]
        assert "Next in the queue" in text(client.get(response.location))

    def test_a_broker_that_is_away_loses_nothing(self, client, session, monkeypatch, tmp_path):
        def away(*arguments, **options):
            raise OperationalError("no route to the broker")

        make_players()
        make_round("defence")
        monkeypatch.setattr(celery, "send_task", away)
        assert send(be(client, "alice")).status_code == 303
        upload = session.query(Upload).one()
        assert upload.status is Status.QUEUED
        assert files.store().fetch(upload.digest, tmp_path).read_bytes() == FILE

    @pytest.mark.parametrize(
        ("name", "content", "status", "words"),
        [
            ("ours.csv", FILE, 400, "has to end with .zip"),
            ("", FILE, 400, "Choose a file first."),
            ("ours.zip", b"", 409, "The file is empty."),
        ],
    )
    def test_what_is_no_upload_is_refused_and_costs_nothing(self, client, session, name, content, status, words):
        make_players()
        make_round("defence")
        response = send(be(client, "alice"), content=content, name=name)
        assert response.status_code == status
        assert words in text(response)
        assert session.query(Upload).count() == 0

    def test_a_name_with_a_path_is_only_shown(self, client, session):
        make_players()
        make_round("defence")
        send(be(client, "alice"), name="../../etc/<b>.zip")
        page = client.get(f"/upload/{session.query(Upload).one().id}").get_data(as_text=True)
        assert "<b>.zip" not in page

    @pytest.mark.parametrize("phase", ["none", "attack", "finished"])
    def test_a_closed_phase_says_so(self, client, session, phase):
        make_players()
        make_round(phase)
        be(client, "alice")
        assert "takes no defence now" in text(client.get("/defence/"))
        response = send(client)
        assert response.status_code == 409
        assert "Round 1 takes no defence now" in text(response)
        assert session.query(Upload).count() == 0

    def test_people_without_a_team_are_shown_where_to_find_one(self, client, session):
        make_round("defence")
        log_in(client, make_user("mallory"))
        assert "You have no team yet" in text(client.get("/defence/"))
        assert send(client).status_code == 403
        assert session.query(Upload).count() == 0

    def test_used_up_limits_are_explained(self, client, session):
        make_players()
        make_round("defence", rules={"UPLOADS_PER_DAY": 1, "UPLOADS_PER_PHASE": 5})
        be(client, "alice")
        assert "has 1 upload left" in text(client.get("/defence/"))
        send(client)
        response = send(client)
        assert response.status_code == 429
        assert "used up its defence uploads: at most 1 in 24 hours and 5 in a phase" in text(response)
        assert session.query(Upload).count() == 1

    def test_our_own_failures_do_not_count(self, client):
        red, _, _ = make_players()
        row = make_round("defence", rules={"UPLOADS_PER_DAY": 1})
        make_upload(red, row, status="failed")
        assert send(be(client, "alice")).status_code == 303

    def test_without_a_round_there_is_nothing_to_upload_to(self, client):
        make_players()
        response = be(client, "alice").get("/defence/")
        assert response.status_code == 404
        assert "No round has been set up yet" in text(response)


class TestCheckingBeforehand:
    def test_the_pages_show_the_command_with_the_settings_that_are_not_the_defaults(self, client):
        make_players()
        row = make_round("defence", settings={"NB_CLASSES": 8})
        shown = text(be(client, "alice").get("/defence/"))
        assert "check_upload.py --track fingerprinting my_defence.zip" in shown
        assert "--set NB_CLASSES=8" in shown
        assert all(f"--set {name}={value}" in shown for name, value in rounds.own_settings(row).items())
        assert "CELL_NAME" not in shown

    def test_opponents_are_given_theirs(self, client):
        red, blue, _ = make_players()
        make_match(make_round("attack"), red, blue)
        assert "my_answer.zip --attack --challenge downloaded.zip" in text(be(client, "alice").get("/attack/"))


class TestLargeFiles:
    @pytest.fixture
    def settings(self, settings):
        return type("Settings", (settings,), {"MAX_CONTENT_LENGTH": 1 << 18})

    def test_are_refused_with_the_limit(self, client, session):
        make_players()
        make_round("defence")
        be(client, "alice")
        assert "At most 0.2 MiB" in text(client.get("/defence/"))
        response = send(client, content=b"x" * (1 << 18))
        assert response.status_code == 413
        assert "at most 0.25 MB" in text(response)
        assert session.query(Upload).count() == 0


class TestUploadPage:
    @pytest.fixture
    def upload(self):
        red, _, _ = make_players()
        make_user("mallory")
        reasons = [{"rule": "No cell is missing.", "where": "cell 3", "fix": "Add it.", "count": 2}]
        return make_upload(red, make_round("both"), status="rejected", content=FILE, reasons=reasons)

    @pytest.mark.parametrize("name", ["mallory", "carol"])
    @pytest.mark.parametrize("part", ["", "/live", "/file"])
    def test_nobody_else_sees_it(self, client, upload, name, part):
        assert be(client, name).get(f"/upload/{upload.id}{part}").status_code == 404

    @pytest.mark.parametrize("part", ["", "/live", "/file"])
    def test_strangers_log_in_first(self, client, upload, part):
        assert client.get(f"/upload/{upload.id}{part}").status_code == 302

    @pytest.mark.parametrize("name", ["alice", "bob", "ada"])
    def test_the_team_and_admins_see_every_reason(self, client, upload, name):
        page = text(be(client, name).get(f"/upload/{upload.id}"))
        for words in ("Rejected", "No cell is missing.", "Found: cell 3", "In 2 places.", "Add it."):
            assert words in page

    def test_the_file_comes_back_as_it_was(self, client, upload):
        with be(client, "bob").get(f"/upload/{upload.id}/file") as response:
            assert response.data == FILE
            assert response.headers["Content-Disposition"] == "attachment; filename=defence.zip"
            assert response.content_length == len(FILE)

    def test_it_polls_while_it_is_not_final(self, client, upload, session):
        be(client, "alice")
        assert "hx-trigger" not in client.get(f"/upload/{upload.id}").get_data(as_text=True)
        upload.status, upload.progress = Status.RUNNING, 0.4
        part = client.get(f"/upload/{upload.id}/live").get_data(as_text=True)
        assert 'hx-trigger="every 2s"' in part
        assert "40 %" in part
        assert "<html" not in part

    def test_a_failure_is_ours(self, client, upload):
        upload.status = Status.FAILED
        assert "broke on our side" in text(be(client, "alice").get(f"/upload/{upload.id}"))

    def test_an_accepted_defence_shows_what_it_costs(self, client, upload):
        defence = make_defence(upload.team, upload.round, 0.81)
        page = text(be(client, "alice").get(f"/upload/{defence.upload_id}"))
        for words in ("Utility 0.810", "Classic utility 8.10", "Bytes, median", "51,234"):
            assert words in page

    def test_a_reference_of_the_house_opens_for_admins(self, client, upload):
        upload.kind = "reference"
        assert be(client, "ada").get(f"/upload/{upload.id}").status_code == 200


class TestAttacking:
    @pytest.fixture
    def match(self):
        red, blue, _ = make_players()
        return make_match(make_round("attack"), red, blue)

    def test_the_opponents_and_the_results_are_listed(self, client, match):
        make_attack(match, 0.4321)
        page = text(be(client, "alice").get("/attack/"))
        for words in ("Blue", "team_2_", "Attacked", "0.432", "uploads left"):
            assert words in page

    def test_everything_to_attack_is_one_zip_that_leaves_nothing_behind(self, client, match):
        assert be(client, "alice").get("/attack/?download=1").location == "/attack/download"
        with client.get("/attack/download") as response:
            assert response.mimetype == "application/zip"
            assert b"team_2_train.csv.zip" in response.data
            assert "user_1_round_1_sets_to_attack.zip" in response.headers["Content-Disposition"]
            assert response.content_length == len(response.data)
        with files.workspace() as folder:
            assert list(folder.parent.iterdir()) == [folder]

    def test_no_means_no_download(self, client, match):
        assert be(client, "alice").get("/attack/?download=False").mimetype == "text/html"

    def test_without_matches_there_is_nothing_to_download(self, client):
        make_players()
        make_round("attack")
        be(client, "alice")
        assert client.get("/attack/download").status_code == 409
        assert "nobody to attack yet" in text(client.get("/attack/"))
        assert send(client, "/attack/").status_code == 409

    def test_nothing_is_downloaded_before_the_phase(self, client):
        red, blue, _ = make_players()
        make_match(make_round("defence"), red, blue)
        assert be(client, "alice").get("/attack/download").status_code == 409

    def test_an_answer_is_kept_and_queued(self, app, client, match, session):
        response = send(be(client, "alice"), "/attack/")
        assert response.status_code == 303
        upload = session.query(Upload).filter_by(kind="attack").one()
        assert [(task.name, task.arguments) for task in app.sent] == [("attacks.score", (upload.id,))]

    def test_an_accepted_attack_shows_each_match(self, client, match):
        attack = make_attack(match, 0.4321)
        page = text(be(client, "alice").get(f"/upload/{attack.upload_id}"))
        for words in ("Blue", "0.432", "Advantage"):
            assert words in page

    def test_the_pages_need_a_team(self, client, match):
        log_in(client, make_user("mallory"))
        assert "You have no team yet" in text(client.get("/attack/"))
        assert client.get("/attack/download").status_code == 403


class TestChoosing:
    def scene(self, counted):
        red, blue, _ = make_players()
        match = make_match(make_round("attack", rules={"counted_attack": counted}), red, blue)
        return make_attack(match, 0.9), make_attack(match, 0.1)

    def test_the_team_chooses_which_attack_counts(self, client):
        first, _ = self.scene("selected")
        be(client, "alice")
        assert "Choose the attack that counts" in text(client.get("/team/Red"))
        assert "0.100" in text(client.get("/attack/"))
        assert client.post(f"/upload/{first.upload_id}/choose").location == "/team/Red#attacks"
        assert "0.900" in text(client.get("/attack/"))

    @pytest.mark.parametrize(("counted", "shown"), [("latest", "0.100"), ("best", "0.900")])
    def test_other_rounds_offer_no_choice(self, client, counted, shown):
        first, _ = self.scene(counted)
        be(client, "alice")
        assert shown in text(client.get("/attack/"))
        assert client.post(f"/upload/{first.upload_id}/choose").status_code == 409

    def test_others_do_not_choose(self, client):
        first, _ = self.scene("selected")
        assert be(client, "carol").post(f"/upload/{first.upload_id}/choose").status_code == 404
