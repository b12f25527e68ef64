import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from app.attacks.gradients import networks
from app.attacks.gradients.base import Unsuited
from app.attacks.gradients.dmgan import Imitated, Shares, imitate

SHAPE, TRACKED = (1, 8, 8), 1
QUICK = Imitated(rounds=2, tracked=TRACKED, passes=1, batch=32, latent=16, width=4, images=16)


@pytest.fixture(scope="module")
def digits():
    """Zeros and twos for the attacker, zeros and ones for the others, and independent records of all three."""
    bundle = load_digits()
    x = torch.tensor(bundle.images / 16.0, dtype=torch.float32)[:, None]
    y = torch.tensor(bundle.target)
    rows = [(y == label).nonzero()[:, 0] for label in range(3)]
    own = torch.cat([rows[0][:60], rows[2][:60]])
    others = torch.cat([rows[0][60:120], rows[1][:100]])
    judge = torch.cat([part[120:] for part in rows])
    judge = judge[torch.randperm(len(judge), generator=torch.Generator().manual_seed(0))]
    return Shares(x[own], y[own], x[judge], y[judge], 3), (x[others], y[others])


def model(seed=0):
    return networks.build("cnn", SHAPE, 4, np.random.default_rng(seed))


def averaging(others, rate=0.1, batch=20):
    """Federated averaging of the attacker and one honest client."""

    def one_round(server, attacker, number):
        honest = copy.deepcopy(server)
        sgd = torch.optim.SGD(honest.parameters(), rate)
        order = torch.randperm(len(others[1]), generator=torch.Generator().manual_seed(number))
        for rows in order.split(batch):
            sgd.zero_grad()
            nn.functional.cross_entropy(honest(others[0][rows]), others[1][rows]).backward()
            sgd.step()
        pairs = zip(honest.parameters(), attacker(server).parameters(), strict=True)
        for mine, theirs in pairs:
            mine.data.lerp_(theirs.data, 0.5)
        return honest

    return one_round


class TestImitate:
    def test_it_learns_to_make_a_class_that_only_others_own(self, digits):
        shares, others = digits
        settings = replace(QUICK, rounds=36, passes=2, width=8, images=64)
        found = imitate(shares, settings, model(1), averaging(others), np.random.default_rng(1))
        assert found.judge_accuracy > 0.95
        assert found.untrained == 0.0
        assert max(found.scores) > 0.4, found.scores
        assert found.images.shape == (64, *SHAPE)
        assert found.snapshots.shape == (36, *SHAPE)
        assert 0.0 <= float(found.images.amin()) <= float(found.images.amax()) <= 1.0

    def test_nothing_is_learnt_where_nobody_owns_the_class(self, digits):
        shares, (x, y) = digits
        without = x[y != TRACKED], y[y != TRACKED]
        settings = replace(QUICK, rounds=30, passes=2, width=8)
        found = imitate(shares, settings, model(1), averaging(without), np.random.default_rng(1))
        assert max(found.scores) < 0.2, found.scores

    def test_the_same_seed_gives_the_same_images_and_the_model_and_the_records_stay(self, digits):
        shares, others = digits
        given, own = model(), shares.own_x.clone()
        before, told = copy.deepcopy(given.state_dict()), []
        some, other = (
            imitate(shares, QUICK, given, averaging(others), np.random.default_rng(3), progress=told.append)
            for _ in range(2)
        )
        assert torch.equal(some.images, other.images)
        assert some.scores == other.scores
        assert told == [0.5, 1.0, 0.5, 1.0]
        assert torch.equal(shares.own_x, own)
        assert all(torch.equal(tensor, given.state_dict()[name]) for name, tensor in before.items())

    def test_the_attacker_leaves_the_model_of_the_server_as_it_is(self, digits):
        shares, _ = digits

        def one_round(server, attacker, number):
            before = copy.deepcopy(server.state_dict())
            own = attacker(server)
            assert all(torch.equal(tensor, server.state_dict()[name]) for name, tensor in before.items())
            assert not all(torch.equal(tensor, own.state_dict()[name]) for name, tensor in before.items())
            return own

        imitate(shares, QUICK, model(), one_round, np.random.default_rng(0))

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"tracked": 2}, "owns records of class 2"),
            ({"tracked": 7}, "no class 7 among 3"),
        ],
    )
    def test_a_class_that_shows_nothing_is_refused(self, digits, change, reason):
        with pytest.raises(Unsuited, match=reason):
            imitate(digits[0], replace(QUICK, **change), model(), averaging(digits[1]), np.random.default_rng(0))

    def test_a_model_without_an_output_for_the_extra_class_is_refused(self, digits):
        plain = networks.build("lenet_relu", SHAPE, 3, np.random.default_rng(0))
        with pytest.raises(Unsuited, match="3 outputs"):
            imitate(digits[0], QUICK, plain, averaging(digits[1]), np.random.default_rng(0))

    def test_an_attacker_without_records_and_a_judge_without_the_class_are_refused(self, digits):
        shares, others = digits
        empty = replace(shares, own_x=shares.own_x[:0], own_y=shares.own_y[:0])
        blind = replace(shares, judge_y=shares.judge_y.clone().fill_(0))
        with pytest.raises(Unsuited, match="owns no record"):
            imitate(empty, QUICK, model(), averaging(others), np.random.default_rng(0))
        with pytest.raises(Unsuited, match="no independent records of class 1"):
            imitate(blind, QUICK, model(), averaging(others), np.random.default_rng(0))
