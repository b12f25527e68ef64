"""The small networks that shadow-model attacks train to tell members from what a model says about them."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from app.attacks.membership import signals
from app.training import Recipe, Stack, logits, perceptron, train

Floats = NDArray[np.float64]


def fitted(
    inputs: NDArray,
    is_member: NDArray,
    rows: Sequence[NDArray[np.int64]],
    hidden: int,
    recipe: Recipe,
    rng: np.random.Generator,
    device: str,
) -> Stack:
    """A network with one hidden layer for each set of `rows` of the inputs (N, F), trained to tell members (N,)."""
    x = torch.from_numpy(np.asarray(inputs, np.float32)).to(device)
    y = torch.from_numpy(np.asarray(is_member, np.int64)).to(device)
    stack = Stack.fresh(lambda: perceptron((x.shape[1],), 2, (hidden,)), len(rows), rng, device)
    return train(stack, x, y, rows, recipe, rng)


def log_odds(networks: Stack, inputs: NDArray) -> Floats:
    """(networks, n): the log-odds of membership for inputs (n, F)."""
    x = torch.from_numpy(np.asarray(inputs, np.float32)).to(networks.device)
    found = signals.finite(logits(networks, x).cpu().numpy())
    odds: Floats = found[..., 1] - found[..., 0]
    return odds


def balanced(is_member: NDArray, rng: np.random.Generator) -> NDArray[np.int64]:
    """Places of as many members as others, drawn at random; all places if there is only one kind."""
    sides = [rng.permutation(np.flatnonzero(is_member == side)) for side in (True, False)]
    least = min(map(len, sides))
    return np.concatenate([side[:least] for side in sides]) if least else np.concatenate(sides)


def highest_probabilities(logits: NDArray, count: int) -> Floats:
    """(..., count): the highest probabilities in falling order; 0 beyond the number of classes."""
    shares = -np.sort(-np.exp(signals.log_softmax(logits)), axis=-1)[..., :count]
    missing = count - shares.shape[-1]
    return np.pad(shares, [(0, 0)] * (shares.ndim - 1) + [(0, missing)])
