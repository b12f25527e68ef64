"""The LSTM layer: the same numbers as onnxruntime, for every row by itself, with gradients."""

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper

from app import onnx_models
from app.errors import InvalidUpload
from tests.onnx_models import oracle

INPUTS, HIDDEN = 3, 4


def weights(directions, states=False, seed=0):
    """Weights of a layer by the places of its inputs, and initial states of one row."""
    rng = np.random.default_rng(seed)
    shapes = {"w": (4 * HIDDEN, INPUTS), "r": (4 * HIDDEN, HIDDEN), "b": (8 * HIDDEN,)}
    drawn = {name: rng.normal(size=(directions, *shape)).astype(np.float32) for name, shape in shapes.items()}
    more = {"h": (directions, 1, HIDDEN), "c": (directions, 1, HIDDEN)} if states else {}
    return drawn | {name: rng.normal(size=shape).astype(np.float32) for name, shape in more.items()}


def written(path, values, outputs=("y",), inputs=None, length=5, **attributes):
    """A model of rows (N, length, INPUTS), which the layer wants the other way round."""
    names = inputs or ["x_first", "w", "r", "b", *(["", "h", "c"] if "h" in values else [])]
    nodes = [
        helper.make_node("Transpose", ["x"], ["x_first"], perm=[1, 0, 2]),
        helper.make_node("LSTM", names, list(outputs), hidden_size=HIDDEN, **attributes),
        helper.make_node("Transpose", [outputs[-1]], ["z"], perm=[2, 0, 1, 3] if len(outputs) == 1 else [1, 0, 2]),
    ]
    initialisers = [oracle.tensor(name, value) for name, value in values.items()]
    oracle.file(path, nodes, initialisers, shape=("N", length, INPUTS), output="z")
    return path


def rows(count=3, length=5):
    return np.random.default_rng(1).normal(size=(count, length, INPUTS)).astype(np.float32)


class TestLSTM:
    @pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
    @pytest.mark.parametrize("outputs", [("y",), ("", "h_last"), ("", "", "c_last")])
    def test_it_computes_what_onnxruntime_does(self, tmp_path, direction, outputs):
        values = weights(2 if direction == "bidirectional" else 1)
        path = written(tmp_path / "model.onnx", values, outputs, direction=direction)
        model = onnx_models.load(path)
        with torch.no_grad():
            assert np.allclose(model(torch.from_numpy(rows())), oracle.answers(path, rows()), atol=1e-5)

    def test_it_begins_with_the_states_of_the_file(self, tmp_path):
        path = written(tmp_path / "model.onnx", weights(1, states=True))
        with torch.no_grad():
            found = onnx_models.load(path)(torch.from_numpy(rows(1)))
        assert np.allclose(found, oracle.answers(path, rows(1)), atol=1e-5)

    def test_it_needs_no_bias(self, tmp_path):
        values = weights(1)
        path = written(tmp_path / "model.onnx", {"w": values["w"], "r": values["r"]}, inputs=["x_first", "w", "r"])
        with torch.no_grad():
            assert np.allclose(
                onnx_models.load(path)(torch.from_numpy(rows())), oracle.answers(path, rows()), atol=1e-5
            )

    def test_its_gradients_are_those_of_the_torch_layer(self, tmp_path):
        values = weights(1)
        model = onnx_models.load(written(tmp_path / "model.onnx", values))
        layer = torch.nn.LSTM(INPUTS, HIDDEN, batch_first=True)
        order = [0, 2, 3, 1]
        arrange = lambda part: torch.cat([torch.from_numpy(part).chunk(4)[gate] for gate in order])  # noqa: E731
        with torch.no_grad():
            layer.weight_ih_l0.copy_(arrange(values["w"][0]))
            layer.weight_hh_l0.copy_(arrange(values["r"][0]))
            layer.bias_ih_l0.copy_(arrange(values["b"][0, : 4 * HIDDEN]))
            layer.bias_hh_l0.copy_(arrange(values["b"][0, 4 * HIDDEN :]))
        x, again = (torch.from_numpy(rows()).requires_grad_(True) for _ in range(2))
        model(x).square().sum().backward()
        layer(again)[0].square().sum().backward()
        assert torch.allclose(x.grad, again.grad, atol=1e-4)

    def test_it_runs_under_vmap(self, tmp_path):
        model = onnx_models.load(written(tmp_path / "model.onnx", weights(1)))
        x = torch.from_numpy(rows())
        with torch.no_grad():
            assert torch.allclose(torch.func.vmap(lambda row: model.run(row[None])[0])(x), model(x), atol=1e-6)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"activations": ["Relu", "Tanh", "Tanh"]}, "activations"),
            ({"clip": 1.0}, "clip"),
            ({"input_forget": 1}, "input_forget"),
            ({"direction": "sideways"}, "direction"),
            ({"direction": "bidirectional"}, "weights for each direction"),
            ({"length": 2000}, "1,024 steps"),
        ],
    )
    def test_it_refuses_what_it_does_not_compute(self, tmp_path, change, message):
        path = written(tmp_path / "model.onnx", weights(1), **change)
        with pytest.raises(InvalidUpload, match=message):
            onnx_models.load(path)


class TestWholeNumbers:
    def test_words_can_be_the_input(self, tmp_path):
        table = np.random.default_rng(0).normal(size=(6, 2)).astype(np.float32)
        nodes = [helper.make_node("Gather", ["table", "x"], ["y"])]
        path = tmp_path / "model.onnx"
        oracle.file(path, nodes, [oracle.tensor("table", table)], shape=("N", 4), kind=TensorProto.INT64)
        x = np.random.default_rng(1).integers(0, 6, (3, 4))
        assert np.allclose(onnx_models.load(path)(torch.from_numpy(x)).detach(), oracle.answers(path, x))
