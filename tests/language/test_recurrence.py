"""The hand-written LSTM layer against torch's own."""

import numpy as np
import pytest
import torch
from torch.nn.utils.rnn import PackedSequence

from app.language import network as networks
from app.language.recurrence import Order, Recurrence

COUNTS = [(5, 5, 3, 1), (4,), (2, 2, 2), (1, 1)]

FORKED = Order((1, 3, 1), torch.tensor([0, 0, 0, 2]), 2)
"""A word, three that follow it, and one that follows the second of these."""


def made(counts, seed=0):
    rng = np.random.default_rng(seed)
    network = networks.fresh(9, 6, 7, rng, "cpu").double()
    return network, torch.from_numpy(rng.integers(0, 9, sum(counts)))


def in_order(counts):
    """Every word follows the one of its own sentence, as in a `PackedSequence`."""
    starts = np.cumsum([0, *counts[:-1]])
    before = [start + np.arange(following) for start, following in zip(starts, counts[1:], strict=False)]
    return Order(counts, torch.from_numpy(np.concatenate([np.empty(0, np.int64), *before])), 0)


def torch_states(network, tokens, counts):
    return network.lstm(PackedSequence(network.embedding(tokens), torch.tensor(counts)))[0].data


@pytest.mark.parametrize("counts", COUNTS)
class TestPackedStates:
    def test_they_are_those_of_torch(self, counts):
        network, tokens = made(counts)
        found = network.packed_states(tokens, in_order(counts))
        assert torch.allclose(found, torch_states(network, tokens, counts), atol=1e-12)

    def test_gradients_are_those_of_torch(self, counts):
        network, tokens = made(counts)
        weights = [weight for name, weight in network.named_parameters() if not name.startswith("output")]
        found, expected = (
            torch.autograd.grad(states.square().sum(), weights)
            for states in (network.packed_states(tokens, in_order(counts)), torch_states(network, tokens, counts))
        )
        assert all(torch.allclose(own, other, atol=1e-12) for own, other in zip(found, expected, strict=True))


class TestRecurrence:
    def test_a_beginning_that_is_shared_stands_for_those_of_each_sentence(self):
        network, _ = made((1,))
        # Three sentences: 4 1, 4 2 8 and 4 3, packed by falling length below.
        found = network.packed_states(torch.tensor([4, 1, 2, 3, 8]), FORKED)
        expected = torch_states(network, torch.tensor([4, 4, 4, 2, 1, 3, 8]), (3, 3, 1))
        assert torch.allclose(found, expected[[0, 4, 3, 5, 6]], atol=1e-12)

    def test_the_slopes_it_is_given_stay_as_they_are(self):
        network, tokens = made((3, 2))
        table = torch.randn(9, 28, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
        states = Recurrence.apply(table, tokens, network.lstm.weight_hh_l0, in_order((3, 2)))
        slope = torch.ones_like(states)
        torch.autograd.grad(states, table, slope)
        assert torch.equal(slope, torch.ones_like(states))

    def test_it_passes_torchs_own_check_by_differences(self):
        network, tokens = made((3, 2))
        table = torch.randn(9, 28, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
        weight = network.lstm.weight_hh_l0.detach().requires_grad_()
        for order in (in_order((3, 2)), FORKED):
            assert torch.autograd.gradcheck(
                lambda t, w, order=order: Recurrence.apply(t, tokens, w, order), (table, weight)
            )
