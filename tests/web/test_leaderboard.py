import csv
import io
import json
from datetime import timedelta

import pytest
from sqlalchemy import text as sql

from app.models import now
from app.services import accounts, leaderboard, scores
from tests.factories import (
    log_in,
    make_attack,
    make_defence,
    make_match,
    make_players,
    make_reference_result,
    make_round,
    make_team,
)
from tests.web.pages import text


def be(client, name):
    return log_in(client, accounts.named(name))


@pytest.fixture
def played():
    red, blue, _ = make_players()
    row = make_round("both")
    defence = make_defence(red, row, 0.812)
    make_reference_result(defence, leakage=0.25)
    make_defence(make_team("House front", is_house=True), row, 0.3)
    make_attack(make_match(row, blue, red), 0.4)
    make_match(row, red, blue)
    return row


class TestBoard:
    def test_it_shows_every_team_and_both_sides(self, client, played):
        page = text(be(client, "alice").get("/leaderboard/"))
        for words in ("Red (you)", "Blue", "0.812", "0/1", "1/1", "Privacy and utility", "How is this computed?"):
            assert words in page
        assert "House front" not in page.split("Useful and private")[0]

    def test_its_columns_follow_the_policy(self, client):
        make_players()
        make_round("both", rules={"scoring": "classic"})
        page = text(be(client, "alice").get("/leaderboard/"))
        assert "Attack performance" in page
        assert "utility score times attack performance" in page

    def test_strangers_log_in_first(self, client, played):
        for path in ("/leaderboard/", "/leaderboard/overall", "/leaderboard/export.csv"):
            assert client.get(path).status_code == 302

    def test_it_works_without_a_round(self, client):
        make_players()
        assert "No round has been set up yet" in text(be(client, "alice").get("/leaderboard/"))

    @pytest.mark.parametrize("number", ["9", "x"])
    def test_unknown_rounds_are_not_found(self, client, played, number):
        assert be(client, "alice").get(f"/leaderboard/?round={number}").status_code == 404

    def test_a_frozen_board_hides_what_came_later_from_students(self, client, played, session):
        row = session.merge(played)
        row.board_frozen_at = now() - timedelta(minutes=5)
        page = text(be(client, "alice").get("/leaderboard/"))
        assert "The leaderboard is frozen" in page
        assert "0.812" not in page
        page = text(be(client, "ada").get("/leaderboard/"))
        assert "You see it live" in page
        assert "0.812" in page

    def test_overall_adds_the_rounds(self, client, played):
        page = text(be(client, "alice").get("/leaderboard/overall"))
        total = sum(standing.score or 0 for standing in leaderboard.board(played).rows if standing.team == 1)
        assert f"{total:.2f}" in page


class TestExports:
    def test_csv(self, client, played):
        response = be(client, "alice").get("/leaderboard/export.csv")
        rows = list(csv.DictReader(io.StringIO(response.get_data(as_text=True))))
        assert {row["team"] for row in rows} == {"Red", "Blue"}
        assert float(next(row for row in rows if row["team"] == "Red")["utility"]) == 0.812
        assert response.headers["Content-Disposition"] == "attachment; filename=leaderboard_round_1.csv"

    def test_json(self, client, played):
        answer = json.loads(be(client, "alice").get("/leaderboard/export.json?round=1").data)
        assert answer["round"] == 1
        assert {row["team"] for row in answer["standings"]} == {"Red", "Blue"}

    def test_nothing_else(self, client, played):
        assert be(client, "alice").get("/leaderboard/export.xml").status_code == 404


class TestBrokenRows:
    @pytest.mark.parametrize(
        "damage",
        [
            "UPDATE defence SET utility = 9e999, classic = -9e999",
            "UPDATE defence SET utility = 'nan', classic = 'nan'",
            "UPDATE attack SET leakage = 9e999",
            "UPDATE attack SET leakage = 'x', classic = 'x'",
            "UPDATE attack SET replicates = x'', classic = 1e300",
            "UPDATE attack SET replicates = x'0102'",
            "UPDATE attack SET replicates = x'0000C07F'",
            "UPDATE reference_result SET leakage = -3, replicates = x'0000C07F'",
            "UPDATE round SET reference_id = 4711",
            "DELETE FROM reference_result",
            "DELETE FROM attack",
        ],
    )
    def test_the_page_stands(self, client, played, session, damage):
        session.execute(sql("PRAGMA foreign_keys=OFF"))
        session.execute(sql(damage))
        session.commit()
        be(client, "alice")
        for path in (
            "/leaderboard/",
            "/leaderboard/overall",
            "/leaderboard/export.json",
            "/leaderboard/export.csv",
            "/",
        ):
            assert client.get(path).status_code == 200
        assert "Blue" in text(client.get("/leaderboard/"))

    def test_the_others_keep_their_numbers(self, client, played, session):
        session.execute(sql("UPDATE defence SET utility = 9e999 WHERE team_id = 1"))
        session.commit()
        rows = {
            row["team"]: row
            for row in json.loads(be(client, "alice").get("/leaderboard/export.json").data)["standings"]
        }
        assert rows["Red"]["utility"] is None
        assert rows["Blue"]["attack"] == pytest.approx(40)

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.1, 1.1, "0.5", None])
    def test_what_is_no_share_counts_as_missing(self, value):
        assert leaderboard._sound(value) is None

    @pytest.mark.parametrize("stored", [None, b"", b"abc", scores.pack([float("nan")])])
    def test_broken_replicates_count_as_missing(self, stored):
        assert scores.unpack(stored) is None
