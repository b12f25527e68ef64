import numpy as np
import pytest
import torch


@pytest.fixture
def rng():
    return np.random.default_rng(7)


@pytest.fixture
def table(rng):
    """Inputs (90, 12) and labels of 4 classes that can be learned."""
    x = torch.from_numpy(rng.standard_normal((90, 12)).astype(np.float32))
    return x, x[:, :4].argmax(1)


@pytest.fixture
def images(rng):
    """Images (60, 2, 8, 8) and labels of 3 classes."""
    x = torch.from_numpy(rng.standard_normal((60, 2, 8, 8)).astype(np.float32))
    return x, x.mean((2, 3)).argmax(1) + (x[:, 0, 0, 0] > 0).long()
