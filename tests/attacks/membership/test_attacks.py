"""What every attack owes, whatever it does."""

import dataclasses
import warnings

import numpy as np
import pytest

from app import metrics
from app.attacks.membership.base import Target
from app.attacks.membership.bayes_optimal import BayesOptimal
from app.attacks.membership.calibration import AttackR, Calibration
from app.attacks.membership.entropy import Entropy, ModifiedEntropy
from app.attacks.membership.gap import Gap
from app.attacks.membership.gradient_norm import GradientNorm
from app.attacks.membership.label_only import BoundaryDistance, NoiseRobustness
from app.attacks.membership.lira import LiraOffline, LiraOnline
from app.attacks.membership.loss_threshold import ConfidenceThreshold, LossThreshold
from app.attacks.membership.meta_calibrated import MetaCalibrated
from app.attacks.membership.ml_leaks import MlLeaks1, MlLeaks2, MlLeaks3
from app.attacks.membership.references import ReferenceCache
from app.attacks.membership.rmia import RmiaOffline, RmiaOnline
from app.attacks.membership.shadow_models import ShadowModels
from app.attacks.membership.white_box_shadows import WhiteBoxShadows
from app.parameters import as_json, describe, parse

SMALL = {"models": 4, "epochs": 20, "batch": 32, "width": 48}
CACHE = ReferenceCache(8)
ATTACKS = [
    LossThreshold(),
    ConfidenceThreshold(),
    Entropy(),
    ModifiedEntropy(),
    ModifiedEntropy(is_per_class=True),
    Gap(),
    MlLeaks3(),
    MlLeaks3(statistic="deviation"),
    MlLeaks3(statistic="entropy"),
    NoiseRobustness(queries=16, strengths=3),
    BoundaryDistance(steps=2, probes=24, starts=2),
    GradientNorm(),
    GradientNorm(part="last"),
    ShadowModels(**SMALL, cache=CACHE),
    MlLeaks1(**SMALL, cache=CACHE),
    LiraOnline(**SMALL, cache=CACHE),
    LiraOffline(**SMALL, cache=CACHE),
    Calibration(**SMALL, cache=CACHE),
    AttackR(**SMALL, cache=CACHE),
    RmiaOnline(**SMALL, cache=CACHE),
    RmiaOffline(**SMALL, cache=CACHE),
    BayesOptimal(**SMALL, cache=CACHE),
    BayesOptimal(**SMALL, is_online=False, cache=CACHE),
    MetaCalibrated(**SMALL, trees=40, cache=CACHE),
    WhiteBoxShadows(models=2, epochs=20, batch=32),
]
every_attack = pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: type(attack).__name__)


def scores(attack, target, candidates, population):
    return attack(target, candidates, population, np.random.default_rng(5))


@every_attack
class TestEveryAttack:
    def test_it_beats_chance_on_a_model_that_knows_its_records_by_heart(self, attack, scene):
        target, candidates, population, is_member = scene

        found = scores(attack, target, candidates, population)

        assert found.shape == (len(candidates),)
        assert np.isfinite(found).all()
        assert metrics.auc(found, is_member) > 0.6

    def test_shuffled_membership_is_worth_a_guess(self, attack, scene):
        target, candidates, population, is_member = scene
        found = scores(attack, target, candidates, population)
        rng = np.random.default_rng(1)

        areas = [metrics.auc(found, rng.permutation(is_member)) for _ in range(40)]

        assert np.mean(areas) == pytest.approx(0.5, abs=0.03)

    def test_it_can_be_declared_read_and_repeated(self, attack, scene):
        target, candidates, population, _ = scene
        again = dataclasses.replace(parse(type(attack), as_json(attack)))

        assert all(field.help.endswith(".") for field in describe(type(attack)))
        assert attack.title
        assert attack.source
        one, other = (scores(each, target, candidates, population) for each in (attack, again))
        assert np.allclose(one, other, atol=1e-6)


@every_attack
class TestExtremes:
    def test_a_model_that_is_certain_of_everything_gives_finite_scores(self, attack, scene):
        target, candidates, population, _ = scene
        certain = Target(
            target.classes,
            lambda x: 1e30 * target.logits(x),
            parameters={name: tensor * 1e6 for name, tensor in target.parameters.items()},
            forward=target.forward,
        )

        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = scores(attack, certain, candidates, population)

        assert np.isfinite(found).all()

    def test_a_model_that_answers_all_alike_is_tied_or_judged_by_the_records_alone(self, attack, scene):
        target, candidates, population, is_member = scene
        silent = Target(
            target.classes,
            lambda x: np.zeros((len(x), target.classes), np.float32),
            parameters={name: tensor * 0 for name, tensor in target.parameters.items()},
            forward=target.forward,
        )

        found = scores(attack, silent, candidates, population)

        assert np.isfinite(found).all()
        assert abs(metrics.auc(found, is_member) - 0.5) < 0.12


DETERMINED = [attack for attack in ATTACKS if not isinstance(attack, NoiseRobustness | BoundaryDistance)]


class TestDuplicates:
    @pytest.mark.parametrize("attack", DETERMINED, ids=lambda attack: type(attack).__name__)
    def test_a_copy_of_a_candidate_gets_the_score_of_its_twin(self, attack, scene):
        target, candidates, population, _ = scene
        places = np.concatenate([np.arange(60), np.arange(20)])

        found = scores(attack, target, candidates.take(places), population)

        assert np.allclose(found[60:], found[:20], atol=1e-5)


class TestMlLeaks2:
    def test_a_shadow_on_foreign_records_transfers(self, scene):
        target, candidates, population, is_member = scene
        attack = MlLeaks2(**SMALL, foreign=population.take(np.arange(150)))

        assert metrics.auc(scores(attack, target, candidates, population), is_member) > 0.55

    def test_the_digits_are_there_if_nothing_else_is(self, scene):
        target, candidates, population, _ = scene

        found = scores(MlLeaks2(models=2, epochs=1, architecture="perceptron"), target, candidates, population)

        assert np.isfinite(found).all()
