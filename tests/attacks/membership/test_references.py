import numpy as np
import pytest

from app.attacks.membership.lira import LiraOffline, LiraOnline
from app.attacks.membership.references import ReferenceAttack, ReferenceCache, References, halves, identities

SMALL = {"models": 4, "epochs": 2}


@pytest.fixture
def rng():
    return np.random.default_rng(2)


class TestHalves:
    def test_a_pair_divides_the_records_between_its_models(self, rng):
        inside = halves(np.arange(101), np.arange(101), 6, 0, rng)

        assert (inside[::2] ^ inside[1::2]).all()
        assert set(inside.sum(axis=1)) == {50, 51}
        assert not np.array_equal(inside[0], inside[2])

    def test_only_usable_records_are_trained_on(self, rng):
        inside = halves(np.arange(50), np.arange(20, 50), 4, 0, rng)

        assert not inside[:, :20].any()
        assert (inside[0, 20:] ^ inside[1, 20:]).all()

    def test_copies_stand_on_the_same_side(self, rng):
        identity = np.repeat(np.arange(30), 2)

        inside = halves(identity, np.arange(60), 8, 0, rng)

        assert (inside[:, ::2] == inside[:, 1::2]).all()

    def test_a_candidate_that_is_in_the_population_too_counts_as_trained_on(self, rng):
        identity = np.array([0, 1, 2, 3, 0])

        inside = halves(identity, np.array([2, 3, 4]), 4, 0, rng)

        assert (inside[:, 0] == inside[:, 4]).all()

    def test_a_number_of_records_is_kept_and_pairs_share_none(self, rng):
        inside = halves(np.arange(100), np.arange(100), 4, 20, rng)

        assert (inside.sum(axis=1) == 20).all()
        assert not (inside[0] & inside[1]).any()

    @pytest.mark.parametrize(("models", "records"), [(3, 10), (2, 1)])
    def test_what_does_not_come_in_pairs_is_refused(self, rng, models, records):
        with pytest.raises(ValueError, match="pairs"):
            halves(np.arange(records), np.arange(records), models, 0, rng)


class TestIdentities:
    def test_equal_records_share_a_number_and_others_do_not(self):
        x = np.array([[1.0, 2.0], [1.0, 2.0], [1.0, 2.0], [-0.0, 2.0], [0.0, 2.0]], np.float32)

        found = identities(x, np.array([0, 0, 1, 0, 0]))

        assert found[0] == found[1] != found[2]
        assert found[3] == found[4] != found[0]


class TestReferences:
    def test_online_models_know_half_of_the_candidates_and_offline_ones_none(self, scene, rng):
        target, candidates, population, _ = scene
        made = {
            online: LiraOnline(**SMALL).references(target.classes, candidates, population, rng, online=online)
            for online in (True, False)
        }
        n = len(candidates)

        assert made[True].inside[:, :n].any()
        assert not made[False].inside[:, :n].any()
        assert (made[False].inside[:, n:].sum(axis=1) == 150).all()
        assert made[True].logits.shape == (4, n + 300, target.classes)

    def test_neither_a_model_nor_its_complement_judges_it(self):
        references = References(np.zeros((6, 3, 2)), np.zeros((6, 3), bool), np.zeros(3, int), 3)

        assert list(np.flatnonzero(references.without(3))) == [0, 1, 4, 5]
        assert list(np.flatnonzero(references.without(4))) == [0, 1, 2, 3]


class TestReferenceCache:
    def test_attacks_that_ask_for_the_same_models_share_them(self, scene, monkeypatch):
        target, candidates, population, _ = scene
        cache, made = ReferenceCache(), []
        make = ReferenceAttack._make
        monkeypatch.setattr(ReferenceAttack, "_make", lambda *given: made.append(1) or make(*given))
        attacks = [LiraOnline(**SMALL, cache=cache), LiraOnline(**SMALL, cache=cache, variance="own")]

        for attack in [*attacks, LiraOffline(**SMALL, cache=cache)]:
            attack(target, candidates, population, np.random.default_rng(1))

        assert len(made) == 2

    def test_other_records_or_chances_make_others(self, scene, monkeypatch):
        _, candidates, population, _ = scene
        cache, made = ReferenceCache(), []
        monkeypatch.setattr(ReferenceAttack, "_make", lambda self, *given: made.append(1) or object())
        attack = LiraOnline(**SMALL, cache=cache)

        for chosen, seed in ((slice(None), 1), (slice(5), 1), (slice(None), 2), (slice(None), 2)):
            attack.references(4, candidates.take(chosen), population, np.random.default_rng(seed), online=True)

        assert len(made) == 3

    def test_the_oldest_is_forgotten(self):
        cache = ReferenceCache(2)
        for key in "abc":
            cache.get(key, lambda key=key: key)

        assert cache.get("c", lambda: "new") == "c"
        assert cache.get("a", lambda: "new") == "new"
