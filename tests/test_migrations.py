"""The migrations make the very tables that the models describe, on both kinds of database."""

from collections.abc import Iterator
from pathlib import Path

import flask_migrate
import pytest
import sqlalchemy
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from app import create_app
from app.extensions import db
from app.models import Team
from config import TestingConfig
from tests import postgresql
from tests.factories import make_defence, make_match, make_players, make_round, make_upload

FOLDER = str(Path(__file__).resolve().parents[1] / "migrations")


@pytest.fixture(scope="module")
def postgresql_address() -> Iterator[str]:
    with postgresql.server() as address:
        yield address


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_app(request, tmp_path, app):
    """An application on a database without any table."""
    if request.param == "sqlite":
        address = f"sqlite:///{tmp_path / 'migrated.db'}"
    else:
        address = request.getfixturevalue("postgresql_address")
    settings = type("Settings", (TestingConfig,), {"SQLALCHEMY_DATABASE_URI": address, "UPLOAD_FOLDER": str(tmp_path)})
    migrated = create_app(settings)
    migrated.sent = app.sent
    with migrated.app_context():
        yield migrated
        db.session.remove()
        if request.param == "postgresql":
            with db.engine.begin() as connection:
                connection.execute(sqlalchemy.text("DROP SCHEMA public CASCADE"))
                connection.execute(sqlalchemy.text("CREATE SCHEMA public"))
        db.engine.dispose()


def differences():
    with db.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return compare_metadata(context, db.metadata)


def tables():
    return set(sqlalchemy.inspect(db.engine).get_table_names()) - {"alembic_version"}


class TestMigrations:
    def test_upgrading_an_empty_database_makes_exactly_the_tables_of_the_models(self, empty_app):
        flask_migrate.upgrade(FOLDER)
        assert differences() == []
        assert tables() == set(db.metadata.tables)

    def test_a_migrated_database_holds_a_round_that_refers_to_its_reference(self, empty_app):
        flask_migrate.upgrade(FOLDER)
        red, blue, _ = make_players()
        row = make_round("attack")
        row.reference_id = make_match(row, red, blue).defence_id
        db.session.commit()
        assert make_defence(red, row).round.reference_id == row.reference_id

    def test_foreign_keys_are_enforced_after_an_upgrade(self, empty_app):
        flask_migrate.upgrade(FOLDER)
        row = make_round()
        with pytest.raises(sqlalchemy.exc.IntegrityError):
            make_upload(Team(id=999), row)
        db.session.rollback()

    def test_downgrading_removes_everything_even_with_rows(self, empty_app):
        flask_migrate.upgrade(FOLDER)
        red, blue, _ = make_players()
        make_match(make_round("attack"), red, blue)
        db.session.remove()
        flask_migrate.downgrade(FOLDER, revision="base")
        assert tables() == set()

    def test_upgrading_twice_changes_nothing(self, empty_app):
        flask_migrate.upgrade(FOLDER)
        flask_migrate.upgrade(FOLDER)
        assert differences() == []

    def test_file_names_start_with_the_date(self):
        names = [path.name for path in Path(FOLDER, "versions").glob("*.py")]
        assert names
        assert all(name[:8].isdigit() and name[8] == "_" for name in names)
