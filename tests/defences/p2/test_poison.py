"""Poisoned predictions keep the label and the confidence, and go as far as that allows."""

import pytest
import torch

from app.defences.p2.poison import is_allowed, mixed, poison


def predictions(rows=500, classes=5, seed=0, sharpness=2.0):
    generator = torch.Generator().manual_seed(seed)
    p = torch.softmax(sharpness * torch.randn(rows, classes, generator=generator, dtype=torch.float64), -1)
    return p, torch.randint(classes, (rows,), generator=generator)


def longest(p, towards, epsilon):
    """(n,): the largest t in closed form."""
    top, label = p.max(-1)
    aim = p.gather(-1, towards[:, None])[:, 0]
    to_itself = epsilon / (1 - top)
    to_another = torch.minimum(epsilon / top, (top - aim) / (1 + top - aim))
    return torch.where(towards == label, to_itself, to_another).clamp(0, 1)


@pytest.mark.parametrize("epsilon", [0.0, 0.01, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("classes", [2, 5, 100])
class TestPoison:
    def test_every_row_keeps_its_label_and_its_confidence(self, epsilon, classes):
        p, towards = predictions(classes=classes)
        q, _ = poison(p, towards, epsilon)
        assert (q.argmax(-1) == p.argmax(-1)).all()
        assert ((q.amax(-1) - p.amax(-1)).abs() <= epsilon).all()
        assert torch.allclose(q.sum(-1), torch.ones(len(q), dtype=q.dtype))

    def test_it_goes_as_far_as_that_allows(self, epsilon, classes):
        p, towards = predictions(classes=classes)
        _, share = poison(p, towards, epsilon)
        assert (share - longest(p, towards, epsilon)).abs().max() < 1e-6

    def test_a_step_further_is_not_allowed(self, epsilon, classes):
        p, towards = predictions(classes=classes)
        _, share = poison(p, towards, epsilon)
        further = mixed(p, torch.nn.functional.one_hot(towards, classes).to(p), share + 1e-3)
        assert not is_allowed(p, further, epsilon)[share < 1 - 1e-3].any()


class TestShapes:
    def test_rows_without_an_aim_stay_as_they_are(self):
        p, towards = predictions()
        towards[::2] = -1
        q, share = poison(p, towards, 0.2)
        assert torch.equal(q[::2], p[::2])
        assert (share[::2] == 0).all()
        assert (share[1::2] > 0).any()

    def test_stacked_rows_give_what_each_stack_alone_gives(self):
        p, towards = predictions(60)
        q, share = poison(p.reshape(3, 20, 5), towards.reshape(3, 20), 0.1)
        alone = [poison(p[k : k + 20], towards[k : k + 20], 0.1) for k in (0, 20, 40)]
        assert torch.equal(q, torch.stack([each[0] for each in alone]))
        assert torch.equal(share, torch.stack([each[1] for each in alone]))

    def test_single_precision_keeps_the_promise_too(self):
        p, towards = predictions(5000, 2)
        q, _ = poison(p.float(), towards, 0.1)
        assert is_allowed(p.float(), q, 0.1).all()
