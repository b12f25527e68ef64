"""The database: one engine, WAL mode on SQLite, foreign keys everywhere."""

from typing import Any

from flask import Flask
from sqlalchemy import Engine, event

from app.extensions import db, migrate


def init_app(app: Flask) -> None:
    """Bind the database and its migrations."""
    address = app.config["SQLALCHEMY_DATABASE_URI"]
    if address.startswith("postgresql://"):
        # The driver that requirements.txt installs.
        app.config["SQLALCHEMY_DATABASE_URI"] = address.replace("postgresql://", "postgresql+psycopg://", 1)
    options = dict(app.config.get("SQLALCHEMY_ENGINE_OPTIONS", {}))
    if not address.startswith("sqlite"):
        options.setdefault("pool_pre_ping", True)
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = options
    from app import models  # noqa: F401 (Alembic and create_all must see every table.)

    db.init_app(app)
    migrate.init_app(app, db, render_as_batch=True, compare_type=True)


@event.listens_for(Engine, "connect")
def _prepare_sqlite(connection: Any, record: Any) -> None:
    if type(connection).__module__.startswith("sqlite3"):
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "busy_timeout=20000", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()
