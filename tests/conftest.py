"""An application for every test: its own database, folders and mailbox, and a recorder in the place of the broker."""

import contextvars
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Several test processes share few cores, so that every library's own threads would only get in each other's way.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import sqlalchemy
from flask import Flask
from flask.testing import FlaskClient
from jinja2.bccache import Bucket, BytecodeCache

from app import create_app
from app import models as _tables  # noqa: F401 (create_all must see every table.)
from app.extensions import celery, db
from app.services import leaderboard
from config import TestingConfig
from tests.factories import Sent


class IsolatedClient(FlaskClient):
    """A browser: each request has a context, a `g` and a database session of its own, as on a real server.

    What the test changed before is committed first, and what it looks at afterwards is read anew.
    """

    def open(self, *args: Any, **kwargs: Any) -> Any:
        db.session.commit()
        response = contextvars.Context().run(super().open, *args, **kwargs)
        db.session.rollback()
        return response


class CompiledTemplates(BytecodeCache):
    """Every template is compiled once for all applications of this process."""

    def __init__(self) -> None:
        self._known: dict[str, Any] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        bucket.code = self._known.get(f"{bucket.key}/{bucket.checksum}")

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._known[f"{bucket.key}/{bucket.checksum}"] = bucket.code


TEMPLATES = CompiledTemplates()


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database file with every table and no row, to be copied."""
    path = tmp_path_factory.mktemp("schema") / "empty.db"
    engine = sqlalchemy.create_engine(f"sqlite:///{path}")
    db.metadata.create_all(engine)
    engine.dispose()
    return path


@pytest.fixture
def settings(tmp_path: Path, empty_database: Path) -> type[TestingConfig]:
    """The settings of this test; a test module overrides this fixture to change one."""
    database = tmp_path / "app.db"
    shutil.copyfile(empty_database, database)
    values = {
        "SQLALCHEMY_DATABASE_URI": f"sqlite:///{database}",
        "UPLOAD_FOLDER": str(tmp_path / "uploads"),
        "TEMPORARY_UPLOAD_FOLDER": str(tmp_path / "temporary"),
        "MAIL_FOLDER": str(tmp_path / "mail"),
    }
    return type("Settings", (TestingConfig,), values)


@pytest.fixture
def app(settings: type[TestingConfig], monkeypatch: pytest.MonkeyPatch) -> Iterator[Flask]:
    """The application, with its context pushed; `app.sent` holds the tasks that were handed to the broker."""
    app = create_app(settings)
    app.sent = []
    app.test_client_class = IsolatedClient
    app.jinja_env.bytecode_cache = TEMPLATES

    def send_task(name: str, arguments: tuple[Any, ...] = (), **options: Any) -> None:
        app.sent.append(Sent(name, tuple(arguments), options.get("queue", "")))

    monkeypatch.setattr(celery, "send_task", send_task)
    leaderboard.forget()
    with app.app_context():
        yield app
        db.session.remove()
        for engine in db.engines.values():
            engine.dispose()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A browser that is logged in as nobody."""
    return app.test_client()


@pytest.fixture
def session(app: Flask) -> Any:
    """The test's own database session."""
    return db.session
