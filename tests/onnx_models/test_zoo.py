"""Classifiers of many families, by every way in which such files are made: the same answers, the same gradients."""

import numpy as np
import pytest
import torch
from onnx import helper

from app import onnx_models
from tests.onnx_models import oracle, zoo

CLOSE = 1e-4
OPSETS = range(7, 26)


def gradient(module, x):
    x = x.clone().requires_grad_()
    output = module(x)
    (output * torch.linspace(-1, 1, output.shape[1])).sum().backward()
    return x.grad


def assert_same(module, x, path):
    model = onnx_models.load(path)
    found = model(x)
    assert np.abs(found.detach().numpy() - oracle.one_by_one(path, x)).max() <= CLOSE
    assert (found - module(x)).abs().max() <= CLOSE
    wanted = gradient(module, x)
    assert (gradient(model, x) - wanted).abs().max() <= CLOSE * max(1, wanted.abs().max())
    assert model.output_shape == (None, found.shape[1])
    return model


class TestExportedModels:
    @pytest.mark.parametrize("name", zoo.ZOO)
    def test_the_older_exporter_of_torch(self, name, tmp_path):
        module, x = zoo.make(name)

        assert_same(module, x, oracle.export(module, x, tmp_path / "m.onnx", opset=17))

    @pytest.mark.parametrize("name", ["cnn", "resnet", "shufflenet", "vit", "transformer_layer", "mlp"])
    def test_the_older_exporter_with_any_number_of_rows(self, name, tmp_path):
        module, x = zoo.make(name)

        model = assert_same(module, x, oracle.export(module, x, tmp_path / "m.onnx", dynamic=True, opset=14))

        assert model.rows is onnx_models.Rows.TOGETHER

    @pytest.mark.parametrize("name", zoo.BY_DEFAULT_EXPORTER)
    def test_the_default_exporter_of_torch(self, name, tmp_path):
        pytest.importorskip("onnxscript")
        module, x = zoo.make(name)

        assert_same(module, x, oracle.export(module, x, tmp_path / "m.onnx", dynamo=True))

    @pytest.mark.parametrize("name", ["shufflenet", "vit"])
    def test_the_default_exporter_with_any_number_of_rows(self, name, tmp_path):
        pytest.importorskip("onnxscript")
        module, x = zoo.make(name)

        model = assert_same(module, x, oracle.export(module, x, tmp_path / "m.onnx", dynamo=True, dynamic=True))

        assert model.rows is onnx_models.Rows.TOGETHER


class TestHandWrittenModels:
    @pytest.mark.parametrize("opset", OPSETS)
    def test_every_opset(self, opset, tmp_path):
        path, x = hand_written(tmp_path / "m.onnx", opset), torch.rand(4, 3, 8, 8)

        model = onnx_models.load(path)

        assert np.abs(model(x).detach().numpy() - oracle.answers(path, x)).max() <= 1e-5
        assert model.opset == opset
        assert model.ends_with_softmax
        assert gradient(model, x).abs().max() > 0


class TestPerceptronsOfOtherLibraries:
    def test_a_chosen_output_ignores_what_only_others_need(self, tmp_path):
        path = perceptron(tmp_path / "m.onnx")
        x = torch.rand(6, 5)

        model = onnx_models.load(path, output="probabilities")

        assert model.output_shape == (None, 3)
        assert torch.allclose(model(x).sum(1), torch.ones(6))
        assert "ZipMap" not in model.operators


def hand_written(path, opset):
    """A small network in the words of one opset: what changed from one to the next is used as it then was."""
    rng = np.random.default_rng(opset)

    def weights(*shape):
        return (rng.normal(size=shape) / 3).astype(np.float32)

    listed = [
        oracle.tensor("w", weights(4, 3, 3, 3)),
        oracle.tensor("b", weights(4)),
        oracle.tensor("d", weights(9, 5)),
    ]
    listed += [oracle.tensor(name, np.abs(weights(4)) + 0.5) for name in ("scale", "shift", "mean", "variance")]

    def numbers(name, *values):
        listed.append(oracle.tensor(name, np.array(values, np.int64)))
        return name

    node = helper.make_node
    axes = {"axes": [2, 3]} if opset < 18 else {}
    nodes = [
        node("Conv", ["x", "w", "b"], ["c"], auto_pad="SAME_UPPER", strides=[2, 2]),
        node("BatchNormalization", ["c", "scale", "shift", "mean", "variance"], ["n"], epsilon=1e-3),
        node("Clip", ["n"], ["r"], min=0.0, max=6.0) if opset < 11 else node("Clip", ["n", "low", "high"], ["r"]),
        node("AveragePool", ["r"], ["p"], kernel_shape=[3, 3], strides=[1, 1], pads=[1, 1, 1, 1]),
        node("ReduceMean", ["p", *([] if opset < 18 else [numbers("at", 2, 3)])], ["m"], keepdims=0, **axes),
        node("Unsqueeze", ["m"], ["u"], axes=[2])
        if opset < 13
        else node("Unsqueeze", ["m", numbers("second", 2)], ["u"]),
        node("Squeeze", ["u"], ["s"], axes=[2]) if opset < 13 else node("Squeeze", ["u", "second"], ["s"]),
        node("Slice", ["s"], ["t"], starts=[1], ends=[3], axes=[1])
        if opset < 10
        else node("Slice", ["s", numbers("from", 1), numbers("to", 3), numbers("columns", 1)], ["t"]),
        node("Pad", ["t"], ["q"], pads=[0, 1, 0, 2], value=0.5)
        if opset < 11
        else node("Pad", ["t", numbers("pads", 0, 1, 0, 2), "half"], ["q"]),
        node("Concat", ["s", "q"], ["f"], axis=1),
        node("Dropout", ["f"], ["o"]),
        node("Gemm", ["o", "d", "five"], ["g"], alpha=0.5),
        node("Softmax", ["g"], ["y"], axis=1),
    ]
    listed += [oracle.tensor("low", np.float32(0)), oracle.tensor("high", np.float32(6))]
    listed += [oracle.tensor("half", np.float32(0.5)), oracle.tensor("five", weights(5))]
    listed[2] = oracle.tensor("d", weights(9, 5))
    return oracle.file(path, nodes, listed, opset=opset)


def perceptron(path):
    """What skl2onnx writes: labels and probabilities, the latter also as a list of dictionaries."""
    rng = np.random.default_rng(0)
    w = [rng.normal(size=shape).astype(np.float32) for shape in ((5, 8), (8,), (8, 3), (3,))]
    node = helper.make_node
    nodes = [
        node("MatMul", ["x", "w0"], ["a"]),
        node("Add", ["a", "w1"], ["b"]),
        node("Relu", ["b"], ["c"]),
        node("MatMul", ["c", "w2"], ["d"]),
        node("Add", ["d", "w3"], ["e"]),
        node("Softmax", ["e"], ["probabilities"]),
        node("ArgMax", ["probabilities"], ["label"], axis=1),
        node("ZipMap", ["probabilities"], ["named"], domain="ai.onnx.ml", classlabels_int64s=[0, 1, 2]),
    ]
    oracle.file(
        path, nodes, [oracle.tensor(f"w{i}", value) for i, value in enumerate(w)], shape=("N", 5), output="label"
    )
    model = oracle.load_message(path)
    model.graph.output.extend([helper.make_tensor_value_info(n, 1, None) for n in ("probabilities", "named")])
    model.opset_import.append(helper.make_opsetid("ai.onnx.ml", 1))
    path.write_bytes(model.SerializeToString())
    return path
