import numpy as np
import pytest
import torch

from app.attacks.gradients.base import Unsuited
from app.attacks.gradients.cpa import CocktailParty, differences, fast_ica, upright, whiten
from tests.attacks.gradients.exact_victims import matched, mlp, victim

VOICES = torch.tensor(np.random.default_rng(0).laplace(size=(4, 3000)))
MIXING = torch.tensor(np.random.default_rng(1).standard_normal((9, 4)))


class TestWhiten:
    def test_rows_are_uncorrelated_with_variance_one(self):
        rows = whiten(MIXING @ VOICES, 4).rows

        assert torch.allclose(rows @ rows.T / 3000, torch.eye(4, dtype=rows.dtype), atol=1e-8)


class TestFastIca:
    def test_it_separates_independent_voices(self):
        rows = whiten(MIXING @ VOICES, 4).rows
        found = fast_ica(rows, 200, np.random.default_rng(0)) @ rows
        alike = torch.corrcoef(torch.cat([found, VOICES]))[:4, 4:].abs()

        assert float(alike.amax(1).min()) > 0.98


class TestDifferences:
    def test_they_are_mixed_as_the_images_are(self):
        images, shape = torch.rand(3, 2 * 4 * 5, generator=torch.Generator().manual_seed(0)), (2, 4, 5)
        mixing = torch.tensor([[1.0, -2.0, 0.5]])

        assert torch.allclose(differences(mixing @ images, shape), mixing @ differences(images, shape), atol=1e-6)

    def test_rows_of_a_table_stay_as_they_are(self):
        assert differences(VOICES, (3000,)) is VOICES


class TestUpright:
    def test_the_bias_tells_sign_and_scale(self):
        unmixing = torch.linalg.pinv(MIXING) * torch.tensor([-2.0, 3.0, 0.5, -1.0])[:, None]

        assert torch.allclose(upright(unmixing, MIXING @ VOICES, MIXING.sum(1)), VOICES, atol=1e-6)


class TestCocktailParty:
    def test_it_unmixes_better_than_it_was_warmed_up(self):
        observation, _, _ = victim(mlp(64), 4, 1)
        start = CocktailParty(iterations=1)([observation], np.random.default_rng(0))[0]
        end = CocktailParty(iterations=200)([observation], np.random.default_rng(0))[0]

        assert end.score < start.score
        assert end.inputs.shape == (4, 3, 16, 16)
        assert float(end.inputs.min()) >= 0
        assert float(end.inputs.max()) <= 1

    def test_it_gets_the_sign_right_without_a_look_at_the_truth(self):
        observation, x, y = victim(mlp(128, inputs=3 * 32**2), 12, 2, side=32)
        found = CocktailParty()([observation], np.random.default_rng(0))[0]

        assert matched(found, x, y)[0].mean() > 15

    def test_it_refuses_more_records_than_neurons(self):
        with pytest.raises(Unsuited, match="cannot tell"):
            CocktailParty()([victim(mlp(4), 5, 0)[0]], np.random.default_rng(0))
