"""The command-line client against a live server."""

import importlib.util
import json
import stat
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from werkzeug.serving import WSGIRequestHandler, make_server

from app.extensions import db
from app.models import Upload
from app.services import accounts, defences, tokens, uploads
from app.services.tokens import Scope
from tests.factories import (
    PASSWORD,
    answer_file,
    defence_file,
    make_defence,
    make_match,
    make_upload,
    run_tasks,
    set_phase,
)

SCRIPT = Path(__file__).resolve().parents[2] / "attack_defence_test_scripts" / "srs_client.py"


class Quiet(WSGIRequestHandler):
    def log(self, *arguments):
        pass


@pytest.fixture
def server(app, players):
    """The platform on a port of this machine; its address."""
    db.session.commit()
    live = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
    thread = threading.Thread(target=live.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{live.server_port}"
    live.shutdown()
    thread.join(10)
    live.server_close()


@pytest.fixture
def script(monkeypatch, tmp_path):
    """The client with a home of its own, and no patience."""
    for name in ("SRS_URL", "SRS_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    spec = importlib.util.spec_from_file_location("srs_client", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "getpass", SimpleNamespace(getpass=lambda prompt: PASSWORD))
    monkeypatch.setattr(module, "time", SimpleNamespace(sleep=lambda seconds: None))
    return module


@pytest.fixture
def run(script, server, capsys):
    """Run the client as alice; its exit status and what it printed."""

    def run(*words):
        db.session.commit()
        status = script.main(["--url", server, *map(str, words)])
        db.session.rollback()
        printed = capsys.readouterr()
        return status, printed.out + printed.err

    return run


@pytest.fixture
def logged_in(run):
    status, printed = run("login", "--username", "alice")
    assert (status, "team: Red" in printed) == (0, True)
    return run


class TestLoggingIn:
    def test_the_token_is_kept_where_only_its_owner_reads_it(self, logged_in, tmp_path):
        kept = tmp_path / "config" / "srs" / "token.json"
        assert stat.S_IMODE(kept.stat().st_mode) == 0o600
        assert tokens.authenticate(json.loads(kept.read_text())["token"]).scopes == ["read", "upload"]
        assert PASSWORD not in kept.read_text()

    def test_a_token_of_the_site_does_as_well(self, script, run, monkeypatch):
        secret = tokens.create(accounts.named("alice"), "site", [Scope.READ], 1)[1]
        monkeypatch.setattr(script, "getpass", SimpleNamespace(getpass=lambda prompt: secret))
        assert run("login", "--token")[0] == 0

    def test_the_environment_takes_its_place(self, run, monkeypatch, defence_round):
        assert "token" in run("leaderboard")[1]
        monkeypatch.setenv("SRS_TOKEN", tokens.create(accounts.named("alice"), "ci", [Scope.READ], 1)[1])
        assert run("leaderboard")[0] == 0

    def test_a_wrong_password_is_told(self, script, run, monkeypatch):
        monkeypatch.setattr(script, "getpass", SimpleNamespace(getpass=lambda prompt: "wrong"))
        assert run("login", "--username", "alice") == (1, "Invalid username or password.\n")

    def test_a_token_is_sent_to_no_other_server(self, logged_in, script):
        assert script.connect(SimpleNamespace(url="http://127.0.0.1:9")).token == ""


class TestPlaying:
    def test_a_defence_is_uploaded_and_watched_to_its_end(self, app, script, logged_in, defence_round, tmp_path):
        work = lambda seconds: run_tasks(app, without=["references.play"])  # noqa: E731
        script.time.sleep = work
        file = tmp_path / "mine.csv.zip"
        file.write_bytes(defence_file())
        status, printed = logged_in("upload-defence", file, "--watch")
        assert status == 0, printed
        assert "Received as upload 1" in printed
        assert "utility 0." in printed or "utility 1." in printed
        assert "house, blind: queued" in printed

    def test_every_reason_of_a_refusal_is_printed(self, app, script, logged_in, defence_round, tmp_path):
        reasons = [
            {"rule": "Rule one.", "where": "line 3", "fix": "Mend it.", "count": 2},
            {"rule": "Rule \x1b[31mtwo.", "where": "", "fix": "", "count": 1},
        ]
        upload = make_upload(_red(), defence_round, status="rejected", reasons=reasons)
        status, printed = logged_in("watch", upload.id)
        assert status == 1
        for text in ("Rule one. (2 times)", "where: line 3", "fix: Mend it.", "[31mtwo."):
            assert text in printed
        assert "\x1b" not in printed

    def test_an_attack_is_downloaded_for_uploaded_and_scored(self, app, script, logged_in, defence_round, tmp_path):
        script.time.sleep = lambda seconds: run_tasks(app, without=["references.play"])
        blue = accounts.named("carol").memberships[0].team
        upload = make_upload(blue, defence_round, status="queued", content=defence_file())
        app.sent.clear()
        uploads.enqueue(upload)
        script.time.sleep(0)
        match = make_match(defence_round, _red(), blue, defences.of_upload(upload))
        set_phase(defence_round, "attack")
        assert logged_in("download", tmp_path / "sets.zip")[0] == 0
        assert (tmp_path / "sets.zip").read_bytes()[:2] == b"PK"
        answer = tmp_path / "answer.csv.zip"
        answer.write_bytes(answer_file([match]))
        status, printed = logged_in("upload-attack", answer, "--watch")
        assert status == 0, printed
        assert "against Blue: leakage 1.000" in printed

    def test_rounds_status_and_leaderboard_are_tables(self, logged_in, defence_round):
        upload = make_defence(_red(), defence_round).upload
        assert "*   1  fingerprinting" in logged_in("rounds")[1]
        assert "accepted" in logged_in("status", upload.id)[1]
        assert "Red" in logged_in("leaderboard", "--round", "1")[1]

    def test_what_the_server_refuses_is_printed(self, logged_in, defence_round, tmp_path):
        file = tmp_path / "a.zip"
        file.write_bytes(b"x")
        assert logged_in("status", 99) == (1, "There is no such upload.\n")
        status, printed = logged_in("upload-attack", file)
        assert (status, "nobody to attack" in printed) == (1, True)
        assert logged_in("upload-defence", tmp_path / "none.zip")[0] == 1

    def test_a_lost_answer_does_not_make_a_second_upload(self, script, logged_in, defence_round, tmp_path, monkeypatch):
        file, usual, calls = tmp_path / "a.zip", script.Server._once, []
        file.write_bytes(b"content")

        def lose_the_first(self, *arguments):
            answer = usual(self, *arguments)
            calls.append(answer)
            if len(calls) == 1:
                answer.close()
                raise ConnectionResetError("lost")
            return answer

        monkeypatch.setattr(script.Server, "_once", lose_the_first)
        assert logged_in("upload-defence", file)[0] == 0
        assert len(calls) == 2
        assert db.session.scalar(db.select(db.func.count(Upload.id))) == 1

    def test_nobody_at_the_address_is_told(self, script, capsys):
        assert script.main(["--url", "http://127.0.0.1:9", "rounds"]) == 1
        assert "does not answer" in capsys.readouterr().err


def _red():
    return accounts.named("alice").memberships[0].team
