import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from app.attacks.fingerprinting.base import FLOOR, as_probabilities
from app.attacks.fingerprinting.cumul import Cumul
from app.attacks.fingerprinting.deep_fingerprinting import THOROUGH, DeepFingerprinting
from app.attacks.fingerprinting.feature_forest import FeatureForest
from app.attacks.fingerprinting.k_fingerprinting import KFingerprinting
from app.attacks.fingerprinting.nearest_neighbour import NearestNeighbour
from app.attacks.fingerprinting.random_forest import RandomForest
from app.attacks.fingerprinting.robust_fingerprinting import RobustFingerprinting
from app.parameters import describe, parse
from app.traces import Traces
from tests.attacks.fingerprinting.conftest import CLASSES

QUICK = (
    NearestNeighbour(),
    RandomForest(trees=40),
    KFingerprinting(trees=40),
    Cumul(),
    FeatureForest(trees=40),
    DeepFingerprinting(epochs=1, steps=80, width=8, rate=1e-2),
    RobustFingerprinting(epochs=1, steps=80, width=8, slots=96, rate=1e-2),
)
every_attack = pytest.mark.parametrize("attack", QUICK, ids=lambda attack: type(attack).__name__)


def ask(attack, site, seed=0, **changes):
    site = replace(site, **changes)
    return attack.probabilities(site.train, site.labels, site.test, CLASSES, np.random.default_rng(seed))


def assert_probabilities(found, captures, classes):
    assert found.shape == (captures, classes)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    assert (found > 0).all()
    np.testing.assert_allclose(found.sum(axis=1), 1.0, atol=1e-6)


@every_attack
class TestEveryAttack:
    def test_it_recognises_separable_classes_and_repeats_itself_from_the_same_seed(self, attack, site):
        first, second = ask(attack, site), ask(attack, site)

        assert_probabilities(first, len(site.test), CLASSES)
        assert (first.argmax(axis=1) == site.answers).mean() > 0.7
        assert np.array_equal(first, second)

    def test_it_learns_nothing_from_labels_that_say_nothing(self, attack, site):
        # Every class has each label twice. After a plain shuffle some classes keep their own label as the commonest one
        # by accident, and an attack that merely finds the classes would then score far above chance.
        meaningless = np.tile(np.arange(CLASSES, dtype=np.int32), 2 * CLASSES)

        found = ask(attack, site, labels=meaningless)

        assert (found.argmax(axis=1) == site.answers).mean() < 2 / CLASSES

    def test_it_copes_with_odd_captures_and_a_class_without_any(self, attack, odd):
        labels = (np.arange(len(odd)) % 3).astype(np.int32)

        found = attack.probabilities(odd, labels, odd, 5, np.random.default_rng(0))

        assert_probabilities(found, len(odd), 5)
        assert found[:, 3:].max() < 2 * FLOOR

    def test_it_copes_with_odd_captures_that_it_was_not_trained_on(self, attack, site, odd):
        found = ask(attack, site, test=odd)

        assert_probabilities(found, len(odd), CLASSES)

    def test_it_learns_from_two_captures(self, attack, site):
        two = np.array([0, len(site.train) - 1])

        found = ask(attack, site, train=site.train.take(two), labels=site.labels[two])

        assert_probabilities(found, len(site.test), CLASSES)

    def test_it_learns_from_directions_only(self, attack, site):
        train, test = (replace(traces, size=np.sign(traces.size)) for traces in (site.train, site.test))

        found = ask(attack, site, train=train, test=test)

        assert (found.argmax(axis=1) == site.answers).mean() > 0.6

    def test_its_hyperparameters_are_a_form_with_words_and_a_source(self, attack):
        assert attack.title
        assert attack.source
        assert all(field.help for field in describe(type(attack)))
        assert parse(type(attack), {}) == type(attack)()


class TestAttack:
    def test_it_answers_evenly_when_there_is_nothing_to_learn_from(self, site):
        found = ask(NearestNeighbour(), site, train=site.train.take(np.arange(0)), labels=site.labels[:0])

        np.testing.assert_allclose(found, 1 / CLASSES, rtol=1e-6)

    def test_it_names_the_only_class_that_it_knows(self, site):
        one = np.flatnonzero(site.labels == 5)

        found = ask(FeatureForest(trees=2), site, train=site.train.take(one), labels=site.labels[one])

        assert (found.argmax(axis=1) == 5).all()

    def test_it_answers_nothing_when_it_is_asked_nothing(self, site):
        assert ask(Cumul(), site, test=site.test.take(np.arange(0))).shape == (0, CLASSES)

    def test_it_refuses_labels_that_do_not_fit(self, site):
        with pytest.raises(ValueError, match="labels for"):
            ask(NearestNeighbour(), site, labels=site.labels[1:])
        with pytest.raises(ValueError, match="must lie between 0 and 7"):
            ask(NearestNeighbour(), site, labels=site.labels + 1)

    @pytest.mark.parametrize("attack", QUICK[1:], ids=lambda attack: type(attack).__name__)
    def test_it_tells_how_far_it_is(self, attack, site):
        shares = []
        attack.probabilities(
            site.train, site.labels, site.test, CLASSES, np.random.default_rng(0), progress=shares.append
        )

        assert len(shares) > 5
        assert shares == sorted(shares)
        assert 0 < shares[0] < shares[-1] == 1


class TestAsProbabilities:
    def test_a_row_without_any_score_becomes_uniform(self):
        np.testing.assert_allclose(
            as_probabilities(np.array([[0.0, 0.0], [3.0, 1.0]])), [[0.5, 0.5], [0.75, 0.25]], atol=1e-5
        )


class TestDeepAttacks:
    def test_they_leave_torchs_own_randomness_alone(self, site):
        before = torch.random.get_rng_state()

        ask(QUICK[-1], site)

        assert torch.equal(torch.random.get_rng_state(), before)

    def test_another_seed_gives_another_network(self, site):
        assert not np.array_equal(ask(QUICK[-2], site, seed=0), ask(QUICK[-2], site, seed=1))

    def test_the_thorough_preset_lies_within_the_bounds_of_its_form(self):
        values = {field.name: getattr(THOROUGH, field.name) for field in describe(DeepFingerprinting)}

        assert parse(DeepFingerprinting, values) == THOROUGH

    def test_the_thorough_network_learns_too(self, site):
        few = replace(THOROUGH, epochs=1, steps=60, width=8, rate=1e-2)

        assert (ask(few, site).argmax(axis=1) == site.answers).mean() > 0.7

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
    @pytest.mark.parametrize("attack", QUICK[-2:], ids=lambda attack: type(attack).__name__)
    def test_they_learn_on_a_gpu(self, attack, site):
        found = attack.probabilities(site.train, site.labels, site.test, CLASSES, np.random.default_rng(0), "cuda")

        assert (found.argmax(axis=1) == site.answers).mean() > 0.7


class TestImports:
    def test_the_features_and_the_forests_load_no_torch(self):
        modules = ("features", "packet_statistics", "feature_forest", "k_fingerprinting", "random_forest", "cumul")
        lines = [f"import app.attacks.fingerprinting.{module}" for module in modules]
        program = "; ".join([*lines, "import sys", "sys.exit('torch' in sys.modules)"])

        assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


class TestEmptyCaptures:
    @every_attack
    def test_a_capture_without_packets_is_answered(self, attack, site):
        hollow = Traces(np.array([0, 0, 3, 3]), np.array([1, -2, 3], np.int32), np.zeros(3))

        assert_probabilities(ask(attack, site, test=hollow), 3, CLASSES)
