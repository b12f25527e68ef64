"""What run-srs.sh runs: the refusals in plain words, the parts, and one whole start and stop."""

import argparse
import os
import signal
import socket
import stat
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

import config
from app.launcher import Trouble, refusals
from app.launcher import options as launcher_options
from app.launcher import parts as launcher_parts

ROOT = Path(__file__).resolve().parents[1]


def options(**values):
    return argparse.Namespace(**{"host": "127.0.0.1", "port": 5000, "workers": None, "demo": False, **values})


@pytest.fixture
def instance(tmp_path, monkeypatch):
    monkeypatch.setattr(config, "INSTANCE", tmp_path)
    return tmp_path


@pytest.fixture
def busy_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken.getsockname()[1]


class TestRefusals:
    def test_a_busy_port_says_which_and_names_another(self, busy_port):
        with pytest.raises(Trouble, match=f"Port {busy_port} is in use.*--port {busy_port + 1}"):
            refusals.refuse_busy_port(options(port=busy_port))

    @pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid"])
    def test_an_address_of_another_machine_is_refused(self, host):
        with pytest.raises(Trouble, match="not an address of this machine"):
            refusals.refuse_busy_port(options(host=host, port=0))

    def test_a_second_start_in_the_same_folder_names_the_first(self, tmp_path):
        with refusals.only_one(tmp_path), pytest.raises(Trouble, match=f"running already.*process {os.getpid()}"):
            refusals.only_one(tmp_path).__enter__()

    def test_after_the_end_the_folder_is_free_again(self, tmp_path):
        with refusals.only_one(tmp_path):
            pass
        with refusals.only_one(tmp_path):
            pass

    def test_a_full_disk_is_named(self, tmp_path, monkeypatch):
        monkeypatch.setattr(refusals, "FREE_MB", 1 << 40)
        with pytest.raises(Trouble, match=r"The disk of .* has .* MB left"):
            refusals.refuse_full_disk(tmp_path)

    @pytest.mark.parametrize("wrong", ["--port 0", "--port x", "--workers 0", "--workers 65", "--x"])
    def test_wrong_options_are_explained(self, wrong, capsys):
        with pytest.raises(SystemExit):
            launcher_options.parse(wrong.split())
        assert "run-srs.sh: error" in capsys.readouterr().err


class TestBroker:
    def test_its_password_is_in_a_private_file_only(self, instance):
        path = launcher_parts.broker_settings(instance / "broker" / "valkey.sock", "secret-word")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert 'requirepass "secret-word"' in path.read_text()
        assert "port 0" in path.read_text()

    def test_a_folder_that_somebody_else_prepared_is_refused(self, instance, tmp_path):
        (tmp_path / "elsewhere").mkdir()
        (tmp_path / "planted").symlink_to(tmp_path / "elsewhere")
        with pytest.raises(Trouble, match="belongs to somebody else"):
            launcher_parts.broker_settings(tmp_path / "planted" / "valkey.sock", "secret-word")

    def test_no_part_shows_it_on_its_command_line(self, instance, monkeypatch):
        monkeypatch.setenv("BROKER_PASSWORD", "secret-word")
        assert not [part for part in launcher_parts.parts(options()) if "secret-word" in " ".join(part.command)]


class TestSocket:
    @pytest.mark.parametrize("folder", ["x" * 100, "with space", "ünïcode", "what?"])
    def test_a_folder_that_no_address_can_name_moves_it_to_the_temporary_one(self, folder, tmp_path, monkeypatch):
        monkeypatch.setattr(config, "INSTANCE", tmp_path / folder)
        assert not config.broker_socket().is_relative_to(tmp_path)
        assert len(str(config.broker_socket())) < 100

    def test_elsewhere_it_lies_in_the_installation(self, monkeypatch):
        monkeypatch.setattr(config, "INSTANCE", Path("/srv/srs/instance"))
        assert config.broker_socket() == Path("/srv/srs/instance/broker/valkey.sock")


class TestParts:
    def test_every_queue_has_a_worker(self, instance):
        commands = " ".join(word for part in launcher_parts.parts(options()) for word in part.command)
        for queue in ("checks", "mail", "evaluation", "quick", "heavy"):
            assert queue in commands

    def test_jobs_of_the_lab_do_not_wait_for_the_house(self, instance, monkeypatch):
        monkeypatch.setattr(launcher_parts, "_cards", lambda: 0)
        kinds = {"evaluation": "evaluation", "heavy": "lab"}
        for queue, kind in kinds.items():
            served = [part.name for part in launcher_parts.parts(options()) if queue in _queues(part)]
            assert served == [f"{kind}-1"]

    def test_the_workers_for_evaluations_share_the_cores(self, instance, monkeypatch):
        monkeypatch.setattr(launcher_parts, "_cards", lambda: 0)
        monkeypatch.setattr(os, "cpu_count", lambda: 8)
        evaluations = [part for part in launcher_parts.parts(options(workers=3)) if part.name.startswith("evaluation")]
        assert [part.name for part in evaluations] == ["evaluation-1", "evaluation-2", "evaluation-3"]
        assert {part.variables["OMP_NUM_THREADS"] for part in evaluations} == {"2"}
        assert not any("GPU_WORKER" in part.variables for part in evaluations)

    def test_every_card_has_a_worker_of_its_own(self, instance, monkeypatch, tmp_path):
        program = tmp_path / "nvidia-smi"
        program.write_text(
            "#!/bin/sh\necho 'GPU 0: NVIDIA H100 (UUID: GPU-1)'\necho 'GPU 1: NVIDIA H100 (UUID: GPU-2)'\n"
        )
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
        evaluations = [part for part in launcher_parts.parts(options()) if part.name.startswith("evaluation")]
        assert [part.variables["CUDA_VISIBLE_DEVICES"] for part in evaluations] == ["0", "1"]
        assert all(part.variables["GPU_WORKER"] == "1" for part in evaluations)

    def test_an_address_of_version_six_is_written_in_brackets(self, instance):
        (web,) = [part for part in launcher_parts.parts(options(host="::1")) if part.name == "web"]
        assert "[::1]:5000" in web.command


def _queues(part) -> list[str]:
    """What a worker takes its tasks from."""
    return part.command[part.command.index("-Q") + 1].split(",") if "-Q" in part.command else []


class TestAddress:
    @pytest.mark.parametrize(
        ("host", "expected"), [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("10.0.0.7", "10.0.0.7")]
    )
    def test_it_can_be_opened_on_this_machine(self, host, expected):
        assert launcher_options.address(options(host=host, port=81)) == f"http://{expected}:81"


@pytest.mark.broker
@pytest.mark.xdist_group("journeys")
class TestTheWhole:
    def test_it_starts_serves_and_stops_without_a_trace(self, tmp_path):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        variables = {
            "SRS_INSTANCE": str(tmp_path),
            "SECRET_KEY": "s",
            "BROKER_PASSWORD": "secret-word",
            "CELERY_BROKER_URL": "",
        }
        variables |= {"DATABASE_URL": "", "UPLOAD_FOLDER": "", "RESULT_BACKEND": "", "LOG_FOLDER": "", "PUBLIC_URL": ""}
        output = (tmp_path / "output").open("w+")
        command = [sys.executable, "-m", "app.launcher", "--port", str(port)]
        process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **variables}, stdout=output, stderr=output)
        try:
            said = wait_for_text(tmp_path / "output", "Press Ctrl-C", process)
            assert f"runs at http://127.0.0.1:{port}" in said
            assert 'user "admin", password' in said
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz") as answer:
                assert answer.status == 200
            second = subprocess.run(command, cwd=ROOT, env={**os.environ, **variables}, capture_output=True, text=True)
            assert second.returncode == 1
            assert "running already" in second.stderr
            children = descendants(process.pid)
            assert len(children) > 6
            assert not any("secret-word" in Path(f"/proc/{pid}/cmdline").read_text() for pid in children)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(40)
            output.close()
        assert process.returncode == 0
        assert "Traceback" not in (tmp_path / "output").read_text()
        assert not [pid for pid in children if Path(f"/proc/{pid}").exists() and not is_zombie(pid)]


def wait_for_text(path, text, process, seconds=60):
    end = time.monotonic() + seconds
    while text not in path.read_text():
        assert process.poll() is None, path.read_text()
        assert time.monotonic() < end, path.read_text()
        time.sleep(0.05)
    return path.read_text()


def is_zombie(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def descendants(pid):
    """Everything that a process has started, and what that has started."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += [int(child), *descendants(int(child))]
    return found
