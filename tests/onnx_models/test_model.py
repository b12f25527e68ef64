"""What a loaded model promises: any number of rows, gradients, devices and types, bounded memory, honest labels."""

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper
from torch import nn

from app import onnx_models
from app.errors import InvalidUpload
from app.onnx_models import ModelLimits, Rows
from tests.onnx_models import oracle, zoo

node = helper.make_node


def whole(name, *values):
    return oracle.tensor(name, np.array(values, np.int64))


def weights(name, *shape):
    return oracle.tensor(name, np.random.default_rng(len(name)).normal(size=shape).astype(np.float32))


@pytest.fixture
def cnn(tmp_path):
    """A file for one row at a time, with the shape of that row written into a Reshape."""
    module, x = zoo.make("cnn")
    return module, x, oracle.export(module, x, tmp_path / "cnn.onnx", opset=17)


def baked(path, rows=1, **options):
    nodes = [node("Relu", ["x"], ["r"]), node("Reshape", ["r", "s"], ["f"]), node("MatMul", ["f", "w"], ["y"])]
    shape = options.pop("shape", (rows, 3, 4))
    return oracle.file(path, nodes, [whole("s", rows, -1), weights("w", 12, 5)], shape=shape, **options)


class TestRows:
    def test_a_file_for_one_row_takes_any_number(self, tmp_path):
        path, x = baked(tmp_path / "m.onnx"), torch.randn(7, 3, 4)

        model = onnx_models.load(path)

        assert model.rows is Rows.TOGETHER
        np.testing.assert_allclose(model(x).detach(), oracle.one_by_one(path, x), atol=1e-5)
        assert model(x[:0]).shape == (0, 5)

    def test_rows_that_cannot_be_put_together_are_mapped(self, tmp_path):
        nodes = [
            node("Reshape", ["x", "s"], ["f"]),
            node("MatMul", ["w", "f"], ["m"]),
            node("Reshape", ["m", "t"], ["y"]),
        ]
        listed = [whole("s", 3, 4), weights("w", 5, 3), whole("t", 1, 20)]
        path, x = oracle.file(tmp_path / "m.onnx", nodes, listed, shape=(1, 3, 4)), torch.randn(7, 3, 4)

        model = onnx_models.load(path)

        assert model.rows is Rows.MAPPED
        np.testing.assert_allclose(model(x).detach(), oracle.one_by_one(path, x), atol=1e-5)
        assert model(x[:0]).shape == (0, 20)

    def test_a_file_for_four_rows_is_fed_four_at_a_time(self, tmp_path):
        path, x = baked(tmp_path / "m.onnx", rows=4), torch.randn(7, 3, 4)

        model = onnx_models.load(path)

        assert (model.rows, model.rows_at_once) == (Rows.APART, 4)
        wanted = np.concatenate([oracle.answers(path, x[:4]), oracle.answers(path, x[3:])[1:]])
        np.testing.assert_allclose(model(x).detach(), wanted, atol=1e-5)
        assert model(x[:0]).shape == (0, 5)

    def test_a_fixed_number_of_rows_that_nothing_depends_on_is_ignored(self, tmp_path):
        path = oracle.file(tmp_path / "m.onnx", [node("Relu", ["x"], ["y"])], shape=(4, 6))

        assert onnx_models.load(path).rows is Rows.TOGETHER

    def test_no_row_sees_another_in_a_batch(self, tmp_path):
        nodes = [node("ReduceMean", ["x", "a"], ["m"]), node("Sub", ["x", "m"], ["d"]), node("Add", ["d", "x"], ["y"])]
        model = onnx_models.load(oracle.file(tmp_path / "m.onnx", nodes, [whole("a", 0)], shape=("N", 6)))
        x = torch.randn(5, 6)

        assert model.rows is not Rows.TOGETHER
        assert torch.allclose(model(x), x)

    def test_large_batches_are_run_in_parts(self, cnn):
        module, x, path = cnn
        model = onnx_models.load(path)
        small = onnx_models.load(path, ModelLimits(run_bytes=2 * model.row_bytes, sample_bytes=2 * model.row_bytes))

        assert torch.allclose(small(x), module(x), atol=1e-5)

    def test_memory_that_grows_faster_than_the_rows_is_refused_before_it_is_taken(self, tmp_path):
        nodes = [
            node("Flatten", ["x"], ["f"]),
            node("Transpose", ["f"], ["t"]),
            node("MatMul", ["f", "t"], ["s"]),
            node("MatMul", ["s", "f"], ["p"]),
            node("Mul", ["p", "zero"], ["q"]),
            node("Add", ["f", "q"], ["y"]),
        ]
        path = oracle.file(tmp_path / "m.onnx", nodes, [oracle.tensor("zero", np.float32(0))], shape=("N", 6))
        model = onnx_models.load(path)

        with pytest.raises(InvalidUpload, match="MB"):
            model(torch.ones(40_000, 6))

    def test_inputs_of_another_shape_are_an_error_in_words(self, cnn):
        with pytest.raises(ValueError, match=r"\(None, 3, 16, 16\), not \(2, 1, 16, 16\)"):
            onnx_models.load(cnn[2])(torch.ones(2, 1, 16, 16))


class TestShapes:
    def test_open_lengths_stay_open(self, tmp_path):
        nodes = [
            node("Conv", ["x", "w"], ["c"]),
            node("GlobalAveragePool", ["c"], ["g"]),
            node("Flatten", ["g"], ["y"]),
        ]
        path = oracle.file(tmp_path / "m.onnx", nodes, [weights("w", 4, 3, 3, 3)], shape=("N", 3, "H", "W"))
        model = onnx_models.load(path)

        assert (model.input_shape, model.output_shape) == ((None, 3, None, None), (None, 4))
        assert model(torch.ones(2, 3, 9, 11)).shape == (2, 4)

    def test_the_data_fill_in_what_the_file_leaves_open(self, tmp_path):
        path = oracle.file(
            tmp_path / "m.onnx", [node("MatMul", ["x", "w"], ["y"])], [weights("w", 17, 4)], shape=("N", "F")
        )

        with pytest.raises(InvalidUpload, match="MatMul"):
            onnx_models.load(path)
        assert onnx_models.load(path, input_shape=(17,)).input_shape == (None, 17)

    def test_data_of_another_shape_are_refused(self, cnn):
        with pytest.raises(InvalidUpload, match=r"inputs of the shape \(1, 28, 28\)"):
            onnx_models.load(cnn[2], input_shape=(1, 28, 28))


class TestOutputs:
    def test_probabilities_are_noticed_and_undone(self, tmp_path):
        module, x = zoo.make("mlp_softmax")
        model = onnx_models.load(oracle.export(module, x, tmp_path / "m.onnx", opset=17))

        assert model.ends_with_softmax
        assert model.gives_probabilities
        assert torch.allclose(model(x), module(x), atol=1e-6)
        assert torch.allclose(model.logits(x), module[0](x), atol=1e-6)

    def test_logits_are_logits(self, cnn):
        _, x, path = cnn
        model = onnx_models.load(path)

        assert not model.gives_probabilities
        assert not model.ends_with_softmax
        assert torch.equal(model.logits(x), model(x))

    def test_a_softmax_over_the_rows_is_not_taken_for_probabilities(self, tmp_path):
        model = onnx_models.load(
            oracle.file(tmp_path / "m.onnx", [node("Softmax", ["x"], ["y"], axis=1)], shape=("N", 3, 4))
        )

        assert not model.ends_with_softmax


class TestModules:
    def test_the_answer_is_the_same_twice(self, cnn):
        model = onnx_models.load(cnn[2])

        assert torch.equal(model(cnn[1]), model(cnn[1]))
        assert not model.training

    def test_weights_have_gradients_and_statistics_have_none(self, tmp_path):
        nodes = [
            node("Conv", ["x", "layer.weight"], ["c"]),
            node("BatchNormalization", ["c", "g", "b", "m", "v"], ["n"]),
            node("Flatten", ["n"], ["y"]),
        ]
        listed = [weights("layer.weight", 4, 3, 3, 3), *(oracle.tensor(n, np.ones(4, np.float32)) for n in "gbmv")]
        model = onnx_models.load(oracle.file(tmp_path / "m.onnx", nodes, listed))

        assert model.parameters_count == 4 * 27 + 8
        model(torch.randn(2, 3, 8, 8)).square().sum().backward()
        assert all(parameter.grad.abs().max() > 0 for parameter in model.parameters())

    def test_gradients_of_weights_are_those_of_the_module(self, tmp_path):
        module, x = zoo.make("mlp")
        module[1] = nn.Identity()  # The exporter would fold the normalisation into the layer before it.
        model = onnx_models.load(oracle.export(module, x, tmp_path / "m.onnx", opset=17))
        wanted = torch.autograd.grad(module(x).square().sum(), list(module.parameters()))
        found = torch.autograd.grad(model(x).square().sum(), list(model.parameters()))

        assert sorted(gradient.abs().sum().item() for gradient in found) == pytest.approx(
            sorted(gradient.abs().sum().item() for gradient in wanted), rel=1e-4
        )

    def test_it_works_with_functional_calls_and_per_example_gradients(self, cnn):
        _, x, path = cnn
        model = onnx_models.load(path)
        values = {**dict(model.named_parameters()), **dict(model.named_buffers())}
        zeros = {name: torch.zeros_like(value) for name, value in values.items()}

        assert torch.func.functional_call(model, zeros, (x,)).abs().max() == 0
        jacobian = torch.func.vmap(torch.func.jacrev(lambda row: model(row[None])[0]))(x)
        assert jacobian.shape == (5, 10, 3, 16, 16)

    @pytest.mark.parametrize("name", ["resnet", "vit", "pyramid"])
    def test_it_moves_to_double_precision(self, name, tmp_path):
        module, x = zoo.make(name)
        model = onnx_models.load(oracle.export(module, x, tmp_path / "m.onnx", opset=17)).double()

        assert model(x).dtype == torch.float64
        assert (model(x) - module.double()(x.double())).abs().max() < 1e-5

    def test_half_precision_is_computed_in_single(self, tmp_path):
        listed = [oracle.tensor("w", np.linspace(-1, 1, 12).reshape(4, 3).astype(np.float16))]
        nodes = [node("MatMul", ["x", "w"], ["m"]), node("Cast", ["m"], ["y"], to=TensorProto.FLOAT)]
        path = oracle.file(tmp_path / "m.onnx", nodes, listed, shape=("N", 4), kind=TensorProto.FLOAT16)
        x = np.random.default_rng(0).random((3, 4)).astype(np.float16)

        found = onnx_models.load(path)(torch.from_numpy(x))

        np.testing.assert_allclose(found.detach(), oracle.answers(path, x), atol=2e-3)

    def test_a_file_in_double_precision_is_computed_in_it(self, tmp_path):
        listed = [oracle.tensor("w", np.linspace(-1, 1, 12).reshape(4, 3))]
        path = oracle.file(
            tmp_path / "m.onnx", [node("MatMul", ["x", "w"], ["d"]), node("Cast", ["d"], ["y"], to=TensorProto.FLOAT)],
            listed, shape=("N", 4), kind=TensorProto.DOUBLE,
        )  # fmt: skip
        x = np.random.default_rng(0).random((3, 4))

        model = onnx_models.load(path)

        assert model.dtype == torch.float64
        np.testing.assert_allclose(model(torch.from_numpy(x)).detach(), oracle.answers(path, x), atol=1e-6)

    def test_pictures_of_bytes_have_gradients_when_given_as_numbers(self, tmp_path):
        nodes = [
            node("Cast", ["x"], ["f"], to=TensorProto.FLOAT),
            node("Div", ["f", "most"], ["s"]),
            node("Flatten", ["s"], ["y"]),
        ]
        listed = [oracle.tensor("most", np.float32(255))]
        path = oracle.file(tmp_path / "m.onnx", nodes, listed, kind=TensorProto.UINT8)
        x = np.random.default_rng(0).integers(0, 256, (2, 3, 8, 8), np.uint8)

        model = onnx_models.load(path)

        np.testing.assert_allclose(model(torch.from_numpy(x)), oracle.answers(path, x), atol=1e-6)
        image = torch.rand(2, 3, 8, 8, requires_grad=True)
        model(image).sum().backward()
        assert torch.allclose(image.grad, torch.full_like(image, 1 / 255))


class TestDevices:
    @pytest.mark.parametrize("name", ["cnn", "resnet", "shufflenet", "vit", "pyramid", "instance_norm"])
    def test_it_moves_to_an_accelerator(self, name, tmp_path):
        if not torch.accelerator.is_available():
            pytest.skip("no accelerator")
        device = torch.accelerator.current_accelerator()
        module, x = zoo.make(name)
        path = oracle.export(module, x, tmp_path / "m.onnx", dynamic=name in {"cnn", "shufflenet", "vit"}, opset=17)
        model = onnx_models.load(path).to(device)
        x = x.to(device).requires_grad_()

        found = model(x)

        assert found.device.type == device.type
        assert (found.cpu() - module(x.cpu())).abs().max() < 1e-2
        found.sum().backward()
        assert x.grad.abs().max() > 0


class TestLimits:
    @pytest.mark.parametrize(
        ("limits", "reason"),
        [
            (ModelLimits(file_bytes=100), "at most 0 MB"),
            (ModelLimits(nodes=3), "at most 3 nodes"),
            (ModelLimits(fields=20), "too many parts"),
            (ModelLimits(parameter_bytes=100), "weights take at most"),
            (ModelLimits(tensor_bytes=1000), "Conv"),
            (ModelLimits(sample_bytes=5000), "all results together"),
            (ModelLimits(operations=1000), "operations"),
        ],
    )
    def test_each_is_kept(self, limits, reason, cnn):
        with pytest.raises(InvalidUpload, match=reason):
            onnx_models.load(cnn[2], limits)

    def test_a_file_that_is_not_there_is_not_the_submitters_fault(self, tmp_path):
        with pytest.raises(FileNotFoundError):
            onnx_models.load(tmp_path / "nowhere.onnx")
