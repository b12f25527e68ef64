from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.rules.pairing import pair


def circle(count):
    return {team: team for team in range(1, count + 1)}


class TestPair:
    @given(count=st.integers(2, 40), matches=st.integers(1, 50), seed=st.integers(0, 2**32))
    def test_everybody_attacks_k_others_and_is_attacked_by_k(self, count, matches, seed):
        pairs = pair(circle(count), matches, np.random.default_rng(seed))

        k = min(matches, count - 1)
        assert Counter(attacker for attacker, _ in pairs) == dict.fromkeys(range(1, count + 1), k)
        assert Counter(defender for _, defender in pairs) == dict.fromkeys(range(1, count + 1), k)
        assert len(set(pairs)) == len(pairs)
        assert all(attacker != defender for attacker, defender in pairs)

    def test_depends_on_the_seed_and_not_on_the_order_of_the_teams(self):
        forwards = pair(circle(9), 3, np.random.default_rng(7))
        backwards = pair(dict(reversed(circle(9).items())), 3, np.random.default_rng(7))

        assert forwards == backwards
        assert forwards != pair(circle(9), 3, np.random.default_rng(8))

    def test_a_house_defence_stands_in_the_place_of_a_team_without_one(self):
        pairs = pair({1: 1, 2: 100, 3: 3}, 2, np.random.default_rng(0))

        assert {attacker for attacker, _ in pairs} == {1, 2, 3}
        assert {defender for _, defender in pairs} == {1, 100, 3}
        assert (2, 100) not in pairs

    @pytest.mark.parametrize("count", [0, 1])
    def test_nobody_to_attack_gives_no_pairs(self, count):
        assert pair(circle(count), 3, np.random.default_rng(0)) == []
