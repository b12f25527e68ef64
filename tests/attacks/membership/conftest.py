import numpy as np
import pytest
import torch

from app.attacks.membership.base import Records, Target
from app.training import Recipe, Stack, logits, perceptron, train

WIDTH, CLASSES, MEMBERS = 20, 4, 120


def table(rng, n):
    """Records whose labels can only partly be told from the inputs, so that a model must memorise."""
    x = rng.standard_normal((n, WIDTH)).astype(np.float32)
    y = (x[:, :CLASSES] + 0.8 * rng.standard_normal((n, CLASSES))).argmax(1)
    return Records(x, y.astype(np.int64))


def target_of(stack):
    """The first model of a stack as an attacker sees it."""
    weights = stack.weights(0)
    return Target(
        CLASSES,
        lambda x: logits(stack, torch.from_numpy(x))[0].numpy(),
        differentiable=lambda x: stack.forward(weights, x),
        parameters=weights,
        forward=stack.forward,
    )


@pytest.fixture(scope="session")
def scene():
    """A target that knows its members by heart, candidates of which every other is a member, and a population."""
    rng = np.random.default_rng(11)
    candidates, population = table(rng, 2 * MEMBERS), table(rng, 300)
    is_member = np.arange(2 * MEMBERS) % 2 == 0
    stack = Stack.fresh(lambda: perceptron((WIDTH,), CLASSES, (48,)), 1, rng)
    trained = train(
        stack,
        torch.from_numpy(candidates.x),
        torch.from_numpy(candidates.y),
        [np.flatnonzero(is_member)],
        Recipe(epochs=40, batch=32, rate=0.1),
        rng,
    )
    return target_of(trained), candidates, population, is_member
