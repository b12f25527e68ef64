import numpy as np
import torch

from app.attacks.gradients.finishing import finished
from app.attacks.gradients.networks import build
from tests.attacks.gradients.exact_victims import victim


class TestFinished:
    def test_images_that_are_near_become_exact_but_not_with_wrong_labels(self):
        observation, x, y = victim(build("cnn", (3, 16, 16), 10, np.random.default_rng(3)), 3, 3)
        noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
        done = finished(observation, (x + 0.02 * noise).clamp(0, 1), y)

        assert done is not None
        assert float((done.inputs - x).abs().max()) < 1e-3
        assert done.features.certified
        assert finished(observation, x, (y + 1) % 10) is None

    def test_features_that_are_fewer_than_the_pixels_finish_nothing(self):
        observation, x, y = victim(build("lenet_relu", (3, 16, 16), 10, np.random.default_rng(1)), 2, 1)
        assert finished(observation, x, y) is None
