import numpy as np
import pytest
import torch

from app.attacks.gradients.base import LocalTraining, Unsuited
from app.attacks.gradients.embedding import EmbeddingInversion
from app.attacks.gradients.networks import build
from tests.attacks.gradients.exact_victims import matched, mlp, observed, trained, victim


class TestEmbeddingInversion:
    def test_it_finds_the_images_behind_exact_features(self):
        observation, x, y = victim(build("lenet_relu", (3, 16, 16), 10, np.random.default_rng(1)), 3, 1)
        found = EmbeddingInversion(iterations=300)([observation], np.random.default_rng(0))[0]
        psnr, labels = matched(found, x, y)

        assert "certified" in found.note
        assert labels == 1.0
        assert psnr.mean() > 15
        assert found.trace[-1] < found.trace[0] / 10

    def test_convolutions_that_can_be_peeled_are(self):
        observation, x, y = victim(build("lenet_relu", (3, 16, 16), 10, np.random.default_rng(1)), 3, 1)
        peeled, plain = (
            EmbeddingInversion(iterations=300, peeling=steps)([observation], np.random.default_rng(0))[0]
            for steps in (4000, 0)
        )

        assert peeled.note.endswith("layers peeled: 2")
        assert matched(peeled, x, y)[0].mean() > matched(plain, x, y)[0].mean() + 3

    def test_pooling_leaves_the_features(self):
        observation, x, y = victim(build("cnn", (3, 16, 16), 10, np.random.default_rng(1)), 2, 1)
        found = EmbeddingInversion(iterations=150)([observation], np.random.default_rng(0))[0]

        assert found.note.startswith("features certified")
        assert "peeled" not in found.note
        assert matched(found, x, y)[0].mean() > 18

    def test_more_certain_features_than_pixels_give_the_images_exactly(self):
        observation, x, y = victim(build("cnn", (3, 16, 16), 10, np.random.default_rng(1)), 3, 1)
        exact, plain = (
            EmbeddingInversion(iterations=200, refinement=steps)([observation], np.random.default_rng(0))[0]
            for steps in (30, 0)
        )

        assert matched(exact, x, y)[0].min() > 70
        assert matched(plain, x, y)[0].min() < 50

    def test_an_update_of_small_steps_is_corrected_until_it_is_as_good_as_a_gradient(self):
        observation, x, y = victim(build("cnn", (3, 16, 16), 10, np.random.default_rng(2)), 2, 2)
        update = trained(observation, x, y, LocalTraining(epochs=5, learning_rates=(1e-4,)))
        found, plain = (
            EmbeddingInversion(iterations=100, corrections=turns)([update], np.random.default_rng(0))[0]
            for turns in (4, 0)
        )

        assert "corrected for the steps" in found.note
        assert matched(found, x, y)[0].min() > max(60, matched(plain, x, y)[0].min() + 20)

    def test_it_refuses_table_rows(self):
        rows = torch.rand(2, 20, generator=torch.Generator().manual_seed(0))

        with pytest.raises(Unsuited, match="images only"):
            EmbeddingInversion()([observed(mlp(16, inputs=20), rows, torch.tensor([0, 1]))], np.random.default_rng(0))
