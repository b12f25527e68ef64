import csv
import io

import pytest

from app.errors import NotFound
from app.services import exports
from tests.factories import make_attack, make_match, make_players, make_round, make_user


def read(name):
    return list(csv.DictReader(io.StringIO("".join(exports.table(name)))))


class TestTable:
    @pytest.mark.parametrize("name", exports.TABLES)
    def test_has_a_header_and_no_secret(self, app, name):
        red, blue, _ = make_players()
        make_attack(make_match(make_round("both"), red, blue))

        lines = read(name)

        assert not set(lines[0] if lines else {}) & exports.HIDDEN

    def test_holds_every_row(self, app):
        make_players()

        assert {line["username"] for line in read("users")} == {"alice", "bob", "carol", "ada"}

    def test_defuses_what_a_spreadsheet_would_run(self, app):
        make_user("dora", email="=cmd()@example.org")

        assert read("users")[0]["email"] == "'=cmd()@example.org"

    def test_an_unknown_table_is_not_found(self, app):
        with pytest.raises(NotFound):
            list(exports.table("passwords"))
