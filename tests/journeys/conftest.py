"""A real broker, a real worker and a real sweeper on a temporary installation, shared by the journeys."""

import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import flask_migrate
import pytest
import redis
from celery import Celery

from app import create_app, tasks
from app.extensions import db
from app.launcher.parts import answers, server
from app.models import ReferenceResult, Upload
from app.services import leaderboard, queue, rounds, sweeping
from app.supervisor import Part, Supervisor
from config import ROOT, TestingConfig
from tests.conftest import IsolatedClient
from tests.factories import SMALL, make_team, make_user

PASSWORD = "only-for-tests"
SECONDS = {"HEARTBEAT_SECONDS": "0.3", "JOB_BEAT_SECONDS": "0.3", "STALE_SECONDS": "4", "SWEEP_SECONDS": "1"}
PATIENCE = 180


@dataclass
class Platform:
    """The processes, and the means to disturb them."""

    folder: Path
    supervisor: Supervisor
    parts: dict[str, Part]
    socket: Path

    def start(self, *names: str) -> None:
        """Start these parts unless they run."""
        for name in names:
            if name not in self.supervisor._running:
                self.supervisor.start(self.parts[name])
        if "broker" in names:
            wait_for(lambda: answers(self.socket), "the broker")

    def stop(self, *names: str) -> None:
        """Stop these parts as Ctrl-C does."""
        for name in names:
            part = self.supervisor._running.pop(name, None)
            if part:
                lonely = Supervisor(self.folder)
                lonely._running[name] = part
                lonely.stop()

    def kill(self, name: str) -> None:
        """kill -9 a part and everything that it has started."""
        _, process = self.supervisor._running.pop(name)
        os.killpg(process.pid, 9)
        process.wait()

    def broker(self) -> redis.Redis:
        """A client of the broker."""
        return redis.Redis(unix_socket_path=str(self.socket), password=PASSWORD)


def wait_for(condition: Callable[[], object], what: str, seconds: float = PATIENCE) -> None:
    """Wait until a condition holds. There is nothing to wait on here but other processes."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"{what}: not within {seconds} seconds"
        time.sleep(0.02)


def fresh(row):
    """The row as the database has it now."""
    db.session.rollback()
    db.session.refresh(row)
    return row


def finished(row: Upload | ReferenceResult) -> bool:
    return fresh(row).status.final


@pytest.fixture(scope="session")
def platform(tmp_path_factory, worker_settings):
    """Broker, worker for checks and mails, and sweeper run; the worker for evaluations can be started."""
    variables = worker_settings.variables
    worker = [sys.executable, "-m", "celery", "-A", "srs.celery", "worker", "--without-gossip", "--without-mingle"]
    beat = [
        sys.executable,
        "-m",
        "celery",
        "-A",
        "srs.celery",
        "beat",
        "--pidfile=",
        "-s",
        str(worker_settings.schedule),
    ]
    parts = [
        Part("broker", [server(), str(worker_settings.broker)]),
        Part("checks", [*worker, "-Q", "checks,mail", "-c", "2", "-n", "checks@%h"], variables),
        Part("evaluation", [*worker, "-Q", "evaluation", "-c", "1", "-n", "evaluation@%h"], variables, patience=1),
        Part("lab", [*worker, "-Q", "quick,heavy", "-c", "1", "-n", "lab@%h"], variables, patience=1),
        Part("beat", beat, variables),
    ]
    supervisor = Supervisor(worker_settings.folder / "logs")
    running = Platform(worker_settings.folder, supervisor, {part.name: part for part in parts}, worker_settings.socket)
    here = os.getcwd()
    os.chdir(ROOT)
    try:
        running.start("broker", "checks", "beat")
        yield running
    finally:
        supervisor.stop()
        os.chdir(here)


@pytest.fixture(scope="session")
def worker_settings():
    """A temporary installation: its folder, what its processes find in their environment, the broker's settings."""
    # Below pytest's own folder a socket's address would grow too long.
    with tempfile.TemporaryDirectory(prefix="srs-journey-") as name:
        folder = Path(name)
        socket = folder / "valkey.sock"
        url = f"redis+socket://:{PASSWORD}@{socket}?virtual_host=0"
        variables = {
            "SRS_INSTANCE": name,
            "SECRET_KEY": TestingConfig.SECRET_KEY,
            "CELERY_BROKER_URL": url,
            "RESULT_BACKEND": url,
            "DATABASE_URL": f"sqlite:///{folder / 'app.db'}",
            "UPLOAD_FOLDER": str(folder / "uploads"),
            "TEMPORARY_UPLOAD_FOLDER": str(folder / "temporary"),
            "MAIL_FOLDER": str(folder / "mail"),
            "MAIL_SERVER": "",
            "LOG_FOLDER": str(folder / "logs"),
            "PUBLIC_URL": "http://localhost",
            "OMP_NUM_THREADS": "1",
            **SECONDS,
        }
        broker = folder / "valkey.conf"
        lines = [
            "port 0",
            f"unixsocket {socket}",
            f"requirepass {PASSWORD}",
            'save ""',
            "appendonly yes",
            f"dir {folder}",
        ]
        broker.write_text("\n".join(lines))
        yield SimpleNamespace(
            folder=folder, socket=socket, url=url, variables=variables, broker=broker, schedule=folder / "schedule"
        )


@pytest.fixture(scope="session")
def site(worker_settings):
    """The application of the installation, as the web server has it; migrated, not made by the models."""
    variables = worker_settings.variables
    values = {name: variables[name] for name in ("UPLOAD_FOLDER", "TEMPORARY_UPLOAD_FOLDER", "MAIL_FOLDER")}
    values |= {name: float(value) for name, value in SECONDS.items()}
    values |= {"SQLALCHEMY_DATABASE_URI": variables["DATABASE_URL"]}
    values |= {"CELERY_BROKER_URL": worker_settings.url, "RESULT_BACKEND": worker_settings.url}
    made = create_app(type("Settings", (TestingConfig,), values))
    made.test_client_class = IsolatedClient
    # Other tests give the one Celery of this process other settings, so the journeys have one of their own.
    made.producer = Celery("journeys", set_as_current=False)
    made.producer.conf.update(tasks._settings(made.config))
    with made.app_context():
        flask_migrate.upgrade(str(ROOT / "migrations"))
        db.session.remove()
        db.engine.dispose()
    return made


@pytest.fixture
def app(site, platform, monkeypatch):
    """The application with its context pushed; what it enqueues goes to the real broker."""
    monkeypatch.setattr(queue, "celery", site.producer)
    monkeypatch.setattr(sweeping, "celery", site.producer)
    leaderboard.forget()
    platform.start("broker", "checks", "beat")
    with site.app_context():
        yield site
        db.session.remove()
        db.engine.dispose()


@pytest.fixture
def new_round(app):
    """Make a round with small settings, the current one, with teams of one person each, named after it."""

    def make(*names, **rules):
        row = rounds.create(None, "fingerprinting", settings=SMALL, rule_values=rules, seed=7)
        rounds.make_current(None, row)
        people = [make_user(f"{name}{row.number}") for name in names]
        return row, [make_team(f"{name} {row.number}", person) for name, person in zip(names, people, strict=True)]

    return make
