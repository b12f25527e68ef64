"""The one command, up to the point at which Python takes over; with an environment that stands in for the real one."""

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def copy(tmp_path):
    """A folder with the script, nothing to install, and an environment that is this one."""
    folder = tmp_path / "a folder"
    programs = folder / ".venv" / "bin"
    programs.mkdir(parents=True)
    shutil.copy(ROOT / "run-srs.sh", folder)
    (folder / "requirements.txt").write_text("")
    (folder / "requirements-dev.txt").write_text("")
    python = programs / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    return folder


def run(folder, *arguments, **variables):
    command = ["bash", str(folder / "run-srs.sh"), *arguments]
    return subprocess.run(
        command, cwd="/", env={**os.environ, **variables}, capture_output=True, text=True, check=False
    )


def environment(folder):
    return dict(line.split("=", 1) for line in (folder / ".env").read_text().splitlines())


class TestOptions:
    def test_help_names_every_option_and_makes_nothing(self, copy):
        done = run(copy, "--help")
        assert done.returncode == 0
        for option in ("--demo", "--host", "--port", "--workers", "--setup-only", "--help"):
            assert option in done.stdout
        assert not (copy / ".env").exists()

    @pytest.mark.parametrize(
        "wrong", [["--prot", "1"], ["--port"], ["--port", "abc"], ["--port=70000"], ["--workers", "0"], ["now"]]
    )
    def test_wrong_ones_are_explained_before_anything_is_made(self, copy, wrong):
        done = run(copy, *wrong)
        assert done.returncode == 1
        assert "--help" in done.stderr
        assert not (copy / ".env").exists()


class TestSetup:
    def test_secrets_are_random_and_private(self, copy):
        assert run(copy, "--setup-only").returncode == 0
        secrets = environment(copy)
        assert set(secrets) == {"SECRET_KEY", "BROKER_PASSWORD"}
        assert all(len(value) > 30 for value in secrets.values())
        assert secrets["SECRET_KEY"] != secrets["BROKER_PASSWORD"]
        assert stat.S_IMODE((copy / ".env").stat().st_mode) == 0o600

    def test_what_is_in_env_stays(self, copy):
        (copy / ".env").write_text("SECRET_KEY=mine\nMAIL_SERVER=mail.example.org")
        run(copy, "--setup-only")
        assert environment(copy)["SECRET_KEY"] == "mine"
        assert environment(copy)["MAIL_SERVER"] == "mail.example.org"
        assert environment(copy)["BROKER_PASSWORD"]

    def test_a_second_time_installs_nothing_and_keeps_the_secrets(self, copy):
        first, secrets = run(copy, "--setup-only"), environment(copy)
        second = run(copy, "--setup-only")
        assert "Installing" in first.stdout
        assert "Installing" not in second.stdout
        assert environment(copy) == secrets

    def test_changed_requirements_are_installed(self, copy):
        run(copy, "--setup-only")
        (copy / "requirements.txt").write_text("# another version\n")
        assert "Installing the packages of requirements.txt" in run(copy, "--setup-only").stdout

    def test_the_packages_of_the_tests_are_installed_for_the_tests_only(self, copy):
        assert "requirements-dev.txt" not in run(copy, "--setup-only").stdout
        assert "requirements-dev.txt" in run(copy, "--for-tests").stdout


class TestFailures:
    def test_no_network_says_so(self, copy):
        (copy / "requirements.txt").write_text("a-package-that-is-nowhere==1\n")
        nowhere = {"PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_RETRIES": "0", "PIP_CONFIG_FILE": os.devnull}
        done = run(copy, "--setup-only", **nowhere, PIP_EXTRA_INDEX_URL="", PIP_FIND_LINKS="")
        assert done.returncode == 1
        assert "connected to the network" in done.stderr
        assert "Traceback" not in done.stdout + done.stderr

    def test_a_package_that_cannot_be_installed_shows_why(self, copy):
        (copy / "requirements.txt").write_text("./nowhere\n")
        done = run(copy, "--setup-only")
        assert done.returncode == 1
        assert "could not be installed" in done.stderr
        assert "nowhere" in done.stderr

    def test_a_missing_python_says_what_to_install(self, copy, tmp_path):
        shutil.rmtree(copy / ".venv")
        programs = tmp_path / "programs"
        programs.mkdir()
        for name in ("dirname", "mkdir", "bash", "cat", "df", "awk"):
            (programs / name).symlink_to(shutil.which(name))
        done = run(copy, "--setup-only", PATH=str(programs))
        assert done.returncode == 1
        assert "Python 3.11, 3.12 or 3.13 is needed" in done.stderr

    def test_a_missing_venv_module_says_what_to_install(self, copy, tmp_path):
        shutil.rmtree(copy / ".venv")
        programs = tmp_path / "programs"
        programs.mkdir()
        python = programs / "python3.11"
        python.write_text(f'#!/bin/sh\n[ "$2" = venv ] && exit 1\nexec {sys.executable} "$@"\n')
        python.chmod(0o755)
        done = run(copy, "--setup-only", PATH=f"{programs}:{os.environ['PATH']}")
        assert done.returncode == 1
        assert "apt-get install python3-venv" in done.stderr
        assert not (copy / ".venv").exists()
