import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from app.onnx_models import writing
from app.training import seeded


def network():
    with seeded(0):
        return nn.Sequential(
            nn.Conv2d(2, 3, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Flatten(),
            nn.Linear(12, 5),
            nn.Tanh(),
            nn.Linear(5, 4),
        ).eval()


class TestSequential:
    def test_the_file_computes_what_the_layers_do(self):
        model = writing.sequential(network(), (2, 4, 4), 4, "test").SerializeToString()
        x = np.random.default_rng(0).random((7, 2, 4, 4), np.float32)

        session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])

        with torch.no_grad():
            wanted = network()(torch.from_numpy(x)).numpy()
        assert session.run(None, {"records": x})[0] == pytest.approx(wanted, abs=1e-5)

    def test_equal_networks_are_equal_files(self):
        first, second = (writing.sequential(network(), (2, 4, 4), 4, "test").SerializeToString() for _ in range(2))

        assert first == second

    def test_it_refuses_layers_that_it_does_not_know(self):
        with pytest.raises(ValueError, match="Sigmoid"):
            writing.sequential(nn.Sequential(nn.Sigmoid()), (4,), 4, "test")
