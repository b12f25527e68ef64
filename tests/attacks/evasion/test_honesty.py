"""Flags that say why a robustness number is not to be trusted."""

import numpy as np
import pytest
import torch

from app.attacks.evasion.honesty import Fault, Honesty
from app.attacks.evasion.norms import Norm

HONESTY = Honesty(steps=20, queries=300, surrogate_steps=150)


def flagged(task, model, norm=Norm.LINF, honesty=HONESTY):
    rng = np.random.default_rng(1)
    return honesty.examine(
        model, task.x, task.y, {Norm.LINF: 0.1, Norm.L2: 0.6, Norm.L1: 2.0}[norm], norm, task.box, rng
    )


def faults(*args, **kwargs):
    return {flag.fault for flag in flagged(*args, **kwargs)}


@pytest.fixture
def noisy(task):
    generator = torch.Generator().manual_seed(0)
    return lambda x: task.model(x + 0.05 * torch.randn(x.shape, generator=generator))


class TestTheHonestModel:
    @pytest.mark.parametrize("norm", list(Norm))
    def test_it_raises_no_flag(self, task, norm):
        assert flagged(task, task.model, norm) == ()

    def test_equal_seeds_give_equal_flags(self, task):
        model = shattered(task)

        assert flagged(task, model) == flagged(task, model)


def shattered(task):
    """A fine wave on the input, far too small to change a class, turns the gradient around at every second point."""
    return lambda x: task.model(x + 0.004 * torch.sin(3000.0 * x))


def rounded_input(task):
    return lambda x: task.model((x * 15.0).round() / 15.0)


def saturated(task):
    return lambda x: torch.softmax(30.0 * task.model(x), 1)


class TestDishonestModels:
    def test_rounded_inputs_are_a_staircase_without_gradient(self, task):
        assert {Fault.QUANTISED, Fault.ZERO_GRADIENT, Fault.LOSS_STAYS, Fault.UNBOUNDED} <= faults(
            task, rounded_input(task)
        )

    def test_rounded_outputs_are_a_staircase(self, task):
        assert {Fault.QUANTISED, Fault.ZERO_GRADIENT} <= faults(task, lambda x: task.model(x).round())

    def test_rounded_outputs_with_a_borrowed_gradient_are_still_a_staircase(self, task):
        def model(x):
            logits = task.model(x)
            return logits + (logits.detach().round() - logits.detach())

        assert Fault.QUANTISED in faults(task, model)

    def test_a_model_without_any_gradient_is_found_and_beaten_by_others(self, task):
        def model(x):
            return task.model(x.detach())

        found = faults(task, model)

        assert {
            Fault.ZERO_GRADIENT,
            Fault.LOSS_STAYS,
            Fault.UNBOUNDED,
            Fault.BLACK_BOX_WINS,
            Fault.TRANSFER_WINS,
        } == found

    def test_a_random_model_is_found(self, task, noisy):
        assert Fault.RANDOM in faults(task, noisy)

    def test_a_softmax_is_found(self, task):
        assert Fault.PROBABILITIES in faults(task, lambda x: torch.softmax(task.model(x), 1))

    def test_a_saturated_softmax_has_no_gradient(self, task):
        assert {Fault.PROBABILITIES, Fault.ZERO_GRADIENT} <= faults(task, saturated(task))

    def test_a_shattered_gradient_is_beaten_by_attacks_that_know_less(self, task):
        assert faults(task, shattered(task)) & {Fault.BLACK_BOX_WINS, Fault.TRANSFER_WINS}

    def test_outputs_that_are_no_numbers_are_found(self, task):
        def model(x):
            logits = task.model(x)
            return torch.where(torch.arange(10) == 9, torch.nan, logits).nan_to_num(-torch.inf)

        assert Fault.NOT_FINITE in faults(task, model)


class TestFlags:
    def test_each_says_what_was_seen_and_what_to_do(self, task):
        for flag in flagged(task, lambda x: task.model(x.detach()).round()):
            assert flag.what.endswith(".")
            assert flag.advice.endswith(".")
            assert any(sign.isdigit() for sign in flag.evidence)

    def test_a_model_that_is_never_right_has_nothing_to_examine(self, task):
        assert flagged(task, lambda x: -task.model(x)) == ()

    def test_progress_ends_at_one(self, task):
        shares = []
        Honesty(steps=5, queries=0, surrogate_steps=0).examine(
            task.model, task.x, task.y, 0.1, Norm.LINF, task.box, np.random.default_rng(0), shares.append
        )

        assert shares[-1] == 1.0
