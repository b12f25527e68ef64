import numpy as np
import pytest

from app.rules.scoring import REPLICATES, Attacked, Entry, pareto_front, standings
from app.rules.settings import RoundRules

BALANCED = RoundRules(scoring="balanced")
CLASSIC = RoundRules(scoring="classic")


def attacked(leakage, spread=0.0, seed=0, classic=None):
    noise = np.random.default_rng(seed).normal(0, spread, REPLICATES) if spread else np.zeros(REPLICATES)
    return Attacked(leakage, 5 + 5 * leakage if classic is None else classic, (leakage + noise).astype(np.float32))


def by_team(rows):
    return {row.team: row for row in rows}


class TestBalanced:
    def test_a_defence_earns_its_utility_times_what_the_worst_attack_leaves(self):
        rows = standings([Entry(1, 0.8, against=(attacked(0.25), attacked(0.5)))], BALANCED)

        assert rows[0].worst_leakage == 0.5
        assert rows[0].defence == pytest.approx(40)
        assert rows[0].score == pytest.approx(20)

    def test_an_attack_earns_the_mean_leakage_and_a_match_that_is_not_attacked_earns_nothing(self):
        rows = standings([Entry(1, None, attacks=(attacked(0.6), Attacked(None)))], BALANCED)

        assert rows[0].attack == pytest.approx(30)
        assert (rows[0].attacked, rows[0].matches) == (1, 2)

    def test_the_weights_of_the_round_count(self):
        rules = RoundRules(scoring="balanced", defence_weight=3, attack_weight=1)

        rows = standings([Entry(1, 1.0, attacks=(attacked(0.0),))], rules)

        assert rows[0].score == pytest.approx(75)

    def test_a_team_without_defence_and_attack_has_no_rank_and_comes_last(self):
        rows = standings([Entry(1, None), Entry(2, 0.1)], BALANCED)

        assert [row.team for row in rows] == [2, 1]
        assert (rows[1].rank, rows[1].score) == (None, None)


class TestClassic:
    def test_is_the_product_of_utility_and_mean_attack(self):
        entry = Entry(1, 0.5, 5.0, attacks=(attacked(0.6, classic=8.0), attacked(0.2, classic=6.0)))

        assert standings([entry], CLASSIC)[0].score == pytest.approx(35)

    def test_the_attack_counts_as_one_until_all_matches_are_attacked(self):
        entry = Entry(1, 0.5, 5.0, attacks=(attacked(0.6), Attacked(None)))

        row = standings([entry], CLASSIC)[0]

        assert (row.score, row.attack) == (5.0, None)

    def test_a_team_without_defence_has_no_score(self):
        assert standings([Entry(1, None, attacks=(attacked(0.5),))], CLASSIC)[0].score is None


class TestRanks:
    def test_teams_that_the_bootstrap_tells_apart_have_ranks_of_their_own(self):
        entries = [Entry(team, 1.0, attacks=(attacked(leakage, 0.01, team),)) for team, leakage in ((1, 0.9), (2, 0.2))]

        assert [row.rank for row in standings(entries, BALANCED)] == [1, 2]

    def test_teams_that_it_cannot_tell_apart_share_a_rank_and_the_next_rank_is_skipped(self):
        entries = [
            Entry(1, 1.0, attacks=(attacked(0.52, 0.05, 1),)),
            Entry(2, 1.0, attacks=(attacked(0.50, 0.05, 2),)),
            Entry(3, 1.0, attacks=(attacked(0.01, 0.01, 3),)),
        ]

        rows = standings(entries, BALANCED)

        assert [(row.team, row.rank) for row in rows] == [(1, 1), (2, 1), (3, 3)]
        assert (rows[0].rank_low, rows[0].rank_high) == (1, 2)
        assert (rows[2].rank_low, rows[2].rank_high) == (3, 3)

    def test_the_comparison_is_paired(self):
        """One answer is better on every resample, although the two intervals overlap widely."""
        noise = np.random.default_rng(0).normal(0, 0.2, REPLICATES)
        better = Attacked(0.55, 5.0, (0.55 + noise).astype(np.float32))
        worse = Attacked(0.50, 5.0, (0.50 + noise).astype(np.float32))

        rows = standings([Entry(1, 1.0, attacks=(worse,)), Entry(2, 1.0, attacks=(better,))], BALANCED)

        assert [(row.team, row.rank) for row in rows] == [(2, 1), (1, 2)]

    def test_equal_scores_share_a_rank(self):
        rows = standings([Entry(1, 0.5), Entry(2, 0.5), Entry(3, 0.4)], BALANCED)

        assert sorted(row.rank for row in rows) == [1, 1, 3]

    def test_nobody_gives_an_empty_board(self):
        assert standings([], BALANCED) == []

    @pytest.mark.parametrize("rules", [BALANCED, CLASSIC])
    def test_broken_rows_come_last_and_break_nothing(self, rules):
        strange = Attacked(float("nan"), float("nan"), np.full(3, np.nan, np.float32))

        rows = standings([Entry(1, float("nan"), float("nan"), (strange,), (strange,)), Entry(2, 0.5, 5.0)], rules)

        assert rows[0].team == 2
        assert rows[1].score is None


class TestParetoFront:
    def test_keeps_what_no_other_point_beats_in_both(self):
        points = [(0.9, 0.9), (0.5, 0.1), (0.4, 0.2), (0.8, 0.9), (0.7, 0.5)]

        assert pareto_front(points) == [1, 4, 0]
