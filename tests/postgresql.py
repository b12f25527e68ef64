"""A PostgreSQL for tests: the one in TEST_DATABASE_URL, else one that is started here and removed afterwards."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@contextlib.contextmanager
def server() -> Iterator[str]:
    """The address of an empty database. Skips the test where there is no PostgreSQL, except in CI."""
    if address := os.environ.get("TEST_DATABASE_URL"):
        yield address
        return
    programs = _programs()
    if programs is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("no PostgreSQL: install it, or set TEST_DATABASE_URL")
    # A Unix socket's address is short, so the folder cannot lie below pytest's own.
    with tempfile.TemporaryDirectory(prefix="srs-pg-") as name:
        folder = Path(name)
        data = folder / "data"
        _give_away(folder)
        _run([programs / "initdb", "-D", data, "-A", "trust", "-U", "srs", "-E", "UTF8", "--no-sync"])
        options = f"-k {folder} -c listen_addresses='' -c fsync=off"
        _run([programs / "pg_ctl", "-D", data, "-w", "-l", folder / "log", "-o", options, "start"])
        try:
            yield f"postgresql+psycopg://srs@/postgres?host={folder}"
        finally:
            _run([programs / "pg_ctl", "-D", data, "-w", "-m", "immediate", "stop"])


def _programs() -> Path | None:
    """The folder with initdb and pg_ctl."""
    if found := shutil.which("initdb"):
        return Path(found).parent
    return max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name), default=None)


def _give_away(folder: Path) -> None:
    """Servers of PostgreSQL refuse to be root's."""
    if os.getuid() == 0:
        shutil.chown(folder, "postgres", "postgres")


def _run(command: list[str | Path]) -> None:
    as_owner = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
    done = subprocess.run([*as_owner, *command], capture_output=True, text=True, cwd="/", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
