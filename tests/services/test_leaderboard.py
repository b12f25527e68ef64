from datetime import timedelta

import pytest
from sqlalchemy import event

from app.extensions import db
from app.models import Defence, Status, UploadKind, now
from app.services import leaderboard
from tests.factories import (
    make_attack,
    make_defence,
    make_match,
    make_players,
    make_reference_result,
    make_round,
    make_team,
    make_upload,
    make_user,
    set_phase,
)


@pytest.fixture
def played(app):
    """Red and Blue attack each other once; noise: a second round with its own results."""
    red, blue, _ = make_players()
    row, other = make_round("both"), make_round("both")
    for team, utility in ((red, 0.8), (blue, 0.6)):
        make_defence(team, row, utility)
        make_defence(team, other, 0.1)
    matches = make_match(row, red, blue), make_match(row, blue, red)
    noise = make_match(other, red, blue)
    make_attack(noise, 0.99)
    return row, red, blue, matches


def rows(row, **options):
    board = leaderboard.compute(row, **options)
    return {board.names[standing.team]: standing for standing in board.rows}


class TestCompute:
    def test_a_team_earns_its_utility_and_what_its_attacks_learn(self, played):
        row, _, _, (red_attacks, blue_attacks) = played
        make_attack(red_attacks, 0.5)
        make_attack(blue_attacks, 0.25)

        shown = rows(row)

        assert shown["Red"].score == pytest.approx(50 * (0.8 * 0.75 + 0.5))
        assert shown["Blue"].score == pytest.approx(50 * (0.6 * 0.5 + 0.25))
        assert shown["Red"].worst_leakage == 0.25

    def test_asks_at_most_five_queries_whatever_the_number_of_teams(self, played):
        row, *_ = played
        for number in range(10):
            make_defence(make_team(f"Team {number}", make_user(f"user{number}")), row)
        identity = row.id
        db.session.expire_all()
        statements = []
        event.listen(db.engine, "before_cursor_execute", lambda *arguments: statements.append(arguments[2]))

        leaderboard.compute(db.session.get(type(row), identity))

        assert 1 <= len(statements) <= 5

    def test_the_house_counts_towards_the_worst_leakage_if_the_rules_say_so(self, played):
        row, red, *_ = played
        defence = db.session.scalar(db.select(Defence).where(Defence.team_id == red.id, Defence.round_id == row.id))
        make_reference_result(defence, "cnn", 0.9)
        make_reference_result(defence, "forest", 0.4)

        assert rows(row)["Red"].worst_leakage == 0.9

        row.rules = {**row.rules, "house_counts": False}
        assert rows(row)["Red"].worst_leakage is None

    @pytest.mark.parametrize(("policy", "leakage"), [("latest", 0.2), ("best", 0.6), ("selected", 0.4)])
    def test_the_round_says_which_attack_counts(self, played, policy, leakage):
        row, _, _, (red_attacks, _) = played
        row.rules = {**row.rules, "counted_attack": policy}
        for value in (0.6, 0.4, 0.2):
            attack = make_attack(red_attacks, value)
            attack.upload.chosen_at = now() if value == 0.4 else None
        db.session.commit()

        assert rows(row)["Red"].attack == pytest.approx(100 * leakage)

    def test_a_rejected_upload_does_not_count(self, played):
        row, _, _, (red_attacks, _) = played
        make_attack(red_attacks, 0.6)
        make_attack(red_attacks, 0.9).upload.status = Status.REJECTED
        db.session.commit()

        assert rows(row)["Red"].attack == pytest.approx(60)

    def test_a_defence_handed_in_after_the_matches_does_not_replace_the_one_that_is_attacked(self, played):
        row, red, *_ = played
        make_defence(red, row, 0.99)

        assert rows(row)["Red"].utility == 0.8

    def test_before_the_matches_the_newest_defence_counts(self, app):
        red, _, _ = make_players()
        row = make_round("defence")
        make_defence(red, row, 0.3)
        make_defence(red, row, 0.7)

        assert rows(row)["Red"].utility == 0.7

    def test_a_frozen_board_shows_students_the_past_and_admins_the_present(self, played):
        row, red, _, (red_attacks, _) = played
        make_attack(red_attacks, 0.5).upload.created_at = now() - timedelta(hours=2)
        for defence in db.session.scalars(db.select(Defence)):
            defence.upload.created_at = now() - timedelta(hours=3)
        for match in (red_attacks,):
            match.created_at = now() - timedelta(hours=2)
        row.matched_at = now() - timedelta(hours=3)
        row.board_frozen_at = now() - timedelta(hours=1)
        db.session.commit()
        late = make_upload(red, row, UploadKind.ATTACK)
        make_attack(red_attacks, 0.9, late)

        assert rows(row)["Red"].attack == pytest.approx(50)
        assert leaderboard.compute(row).is_frozen
        assert rows(row, full=True)["Red"].attack == pytest.approx(90)

    def test_feedback_is_rounded_while_the_round_runs_and_exact_when_it_is_finished(self, played):
        row, _, _, (red_attacks, _) = played
        row.rules = {**row.rules, "feedback_step": 0.1}
        make_attack(red_attacks, 0.4712)

        assert rows(row)["Red"].attack == pytest.approx(50)
        assert rows(row, full=True)["Red"].attack == pytest.approx(47.12)
        set_phase(row, "finished")
        assert rows(row)["Red"].attack == pytest.approx(47.12)

    def test_a_broken_row_takes_only_itself_down(self, played):
        row, red, _, (red_attacks, blue_attacks) = played
        make_attack(red_attacks, 0.5, replicates=b"")
        make_attack(blue_attacks, 0.5, replicates=b"\x00" * 12)
        defence = db.session.scalar(db.select(Defence).where(Defence.team_id == red.id, Defence.round_id == row.id))
        defence.utility, defence.classic = float("inf"), float("inf")
        db.session.commit()

        shown = rows(row)

        assert shown["Red"].utility is None
        assert shown["Blue"].score is not None

    def test_the_house_is_no_row_but_a_place_in_the_plane(self, played):
        row, red, *_ = played
        house = make_team("House front", is_house=True)
        make_reference_result(make_defence(house, row, 0.7), "cnn", 0.3)
        make_attack(make_match(row, red, house), 0.2)

        board = leaderboard.compute(row)

        assert "House front" not in {board.names[standing.team] for standing in board.rows}
        assert ("House front", 0.7, 0.3, True) in {
            (place.name, place.utility, place.leakage, place.is_house) for place in board.places
        }


class TestBoard:
    def test_is_computed_once_while_it_is_fresh(self, app, played):
        row, _, _, (red_attacks, _) = played
        app.config["LEADERBOARD_CACHE_TIME"] = 60
        first = leaderboard.board(row)
        make_attack(red_attacks, 0.5)

        assert leaderboard.board(row) is first
        assert leaderboard.board(row, full=True) is not first


class TestOverall:
    def test_sums_the_scores_of_all_rounds(self, played):
        row, *_ = played

        lines = {name: (total, by_round) for name, total, by_round in leaderboard.overall()}

        total, by_round = lines["Red"]
        assert set(by_round) == {1, 2}
        assert total == pytest.approx(sum(by_round.values()))
        assert by_round[row.number] == pytest.approx(40)


class TestHistory:
    def test_shows_how_a_score_grew(self, played):
        row, _, _, (red_attacks, _) = played
        make_attack(red_attacks, 0.5)

        series = leaderboard.history(row)["Red"]

        assert series == sorted(series)
        assert series[-1][1] == pytest.approx(rows(row)["Red"].score)
