"""Every operator that the interpreter knows, in its variants: the same numbers as onnxruntime."""

import re
from collections import Counter

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper

from app import onnx_models
from app.errors import InvalidUpload
from tests.onnx_models import oracle

RNG = np.random.default_rng(7)
IMAGE, ROW, LINE = (3, 6, 7), (5,), (3, 9)


def weights(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def whole(*values):
    return np.array(values, np.int64)


def case(operator, *inputs, shape=IMAGE, opset=18, **attributes):
    """One node on x; None is an input that is left out, an array an initialiser."""
    return operator, inputs, shape, opset, attributes


def unary(names, opset=18):
    return [case(name, opset=opset) for name in names.split()]


W, SQUARE = weights(4, 3, 3, 2), weights(3, 2, 3, 3)
STATISTICS = [weights(3), weights(3), weights(3), np.abs(weights(3)) + 0.1]
HALF, TWO, NONE = np.float32(0.5), np.float32(2), np.float32([])
REDUCED = ("L1", "L2", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare")
CASES = [
    *unary("Abs Atan Asinh Ceil Cos Cosh Erf Exp Floor Identity Neg Reciprocal Relu Round Sigmoid Sign Sin Sinh"),
    *unary("Softplus Softsign Tan Tanh Elu LeakyRelu Selu HardSigmoid HardSwish Mish Celu ThresholdedRelu IsNaN IsInf"),
    *unary("Softmax LogSoftmax Sqrt Log Acosh Asin Acos Atanh GlobalAveragePool GlobalMaxPool GlobalLpPool Shrink"),
    case("Size"),
    case("Not", shape=ROW),
    case("Gelu", opset=20),
    case("Gelu", opset=20, approximate="tanh"),
    case("Swish", opset=24, alpha=0.7),
    case("Elu", alpha=0.3),
    case("LeakyRelu", alpha=0.3),
    case("Selu", alpha=1.2, gamma=0.8),
    case("Celu", alpha=0.5),
    case("HardSigmoid", alpha=0.3, beta=0.4),
    case("ThresholdedRelu", alpha=0.3),
    case("Shrink", lambd=0.4, bias=0.2),
    case("IsInf", detect_negative=0),
    *[case(name, weights(7)) for name in ["Add", "Sub", "Mul", "Div", "Min", "Max", "Sum", "Mean"]],
    *[case(name, weights(3, 1, 1)) for name in ["Greater", "Less", "Equal", "GreaterOrEqual", "LessOrEqual"]],
    case("Max", weights(7), weights(6, 1)),
    case("Pow", TWO),
    case("Pow", whole(3)),
    case("Mod", TWO, fmod=1),
    case("PRelu", weights(3, 1, 1)),
    case("PRelu", weights(3, 1, 1), opset=8),
    case("Clip", np.float32(-0.2), HALF),
    case("Clip", None, HALF),
    case("Clip", opset=9, min=-0.1, max=0.4),
    case("Clip", opset=7, max=0.4),
    *[case(name, opset=opset, axis=1) for name in ("Softmax", "LogSoftmax") for opset in (7, 11, 12, 13)],
    *[case("Softmax", opset=opset, axis=2) for opset in (11, 13)],
    case("Softmax", opset=11, axis=-1),
    case("Conv", W, weights(4)),
    case("Conv", W, strides=[2, 1], pads=[1, 0, 1, 0]),
    case("Conv", W, strides=[2, 3], pads=[0, 1, 2, 0]),
    case("Conv", W, dilations=[2, 2], pads=[2, 1, 2, 1], kernel_shape=[3, 2]),
    *[case("Conv", W, strides=[2, 2], auto_pad=way) for way in ("SAME_UPPER", "SAME_LOWER", "VALID", "NOTSET")],
    case("Conv", W, auto_pad="SAME_UPPER"),
    case("Conv", W, auto_pad="SAME_LOWER", opset=22),
    case("Conv", weights(6, 1, 3, 3), weights(6), group=3),
    case("Conv", weights(4, 3, 4), shape=LINE, pads=[2, 1], strides=[2]),
    case("Conv", weights(2, 3, 2, 2, 2), shape=(3, 4, 5, 4), pads=[0, 1, 0, 1, 0, 1]),
    case("ConvTranspose", SQUARE, weights(2)),
    case("ConvTranspose", SQUARE, strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 1]),
    case("ConvTranspose", SQUARE, strides=[2, 3], pads=[0, 1, 2, 0], output_padding=[0, 2]),
    case("ConvTranspose", weights(3, 1, 3, 3), group=3, dilations=[2, 1], opset=22),
    case("ConvTranspose", SQUARE, strides=[2, 2], output_shape=[12, 13]),
    case("ConvTranspose", SQUARE, strides=[2, 2], auto_pad="SAME_UPPER"),
    case("ConvTranspose", SQUARE, strides=[2, 2], auto_pad="SAME_LOWER"),
    case("ConvTranspose", weights(3, 2, 4), shape=LINE, strides=[3], pads=[1, 2]),
    *[
        case(name, kernel_shape=[3, 3], strides=[2, 2], **options)
        for name in ("MaxPool", "AveragePool")
        for options in (
            {},
            {"pads": [1, 1, 1, 1]},
            {"pads": [0, 1, 2, 1]},
            {"ceil_mode": 1},
            {"ceil_mode": 1, "pads": [1, 1, 1, 1]},
            {"ceil_mode": 1, "pads": [0, 2, 1, 0]},
            {"auto_pad": "SAME_UPPER"},
            {"auto_pad": "SAME_LOWER"},
            {"auto_pad": "VALID"},
        )
    ],
    *[
        case("AveragePool", kernel_shape=[3, 2], strides=[2, 3], count_include_pad=1, **options)
        for options in ({"pads": [1, 1, 1, 1]}, {"pads": [0, 1, 2, 0]}, {"pads": [1, 0, 1, 1], "ceil_mode": 1})
    ],
    case("AveragePool", kernel_shape=[3], shape=LINE, pads=[1, 1], opset=7),
    case("AveragePool", kernel_shape=[2, 2, 2], shape=(2, 4, 5, 4)),
    case("MaxPool", kernel_shape=[2], shape=LINE, strides=[3], opset=8),
    case("MaxPool", kernel_shape=[3, 3], dilations=[2, 2]),
    case("MaxPool", kernel_shape=[2, 2, 2], shape=(2, 4, 5, 4), strides=[2, 2, 2], ceil_mode=1),
    case("LpPool", kernel_shape=[2, 3], strides=[2, 2], pads=[1, 0, 0, 1]),
    case("LpPool", kernel_shape=[3], shape=LINE, p=3),
    case("GlobalLpPool", p=3),
    *[case("BatchNormalization", *STATISTICS, opset=opset, epsilon=1e-3) for opset in (7, 9, 14, 15)],
    case("BatchNormalization", *STATISTICS, shape=(3,)),
    case("InstanceNormalization", weights(3), weights(3), epsilon=1e-3),
    case("LayerNormalization", weights(7), weights(7), opset=17),
    case("LayerNormalization", weights(3, 6, 7), axis=1),
    case("LayerNormalization", weights(1, 7), weights(7), axis=2, epsilon=0.1),
    case("GroupNormalization", weights(3), weights(3), num_groups=3),
    case("GroupNormalization", weights(2), weights(2), num_groups=2, shape=(4, 5, 5), opset=20),
    case("GroupNormalization", weights(4), weights(4), num_groups=2, shape=(4, 5, 5), opset=21),
    case("RMSNormalization", weights(7), opset=23),
    *[case("LRN", size=size, alpha=0.1, beta=0.6, bias=1.5) for size in (1, 3, 5)],
    case("LpNormalization", axis=1, p=1),
    case("LpNormalization", axis=-1, p=2),
    case("Gemm", weights(5, 4), weights(4), shape=ROW),
    case("Gemm", weights(4, 5), weights(4), shape=ROW, transB=1),
    case("Gemm", weights(4, 5), weights(1, 4), shape=ROW, transB=1, alpha=0.5, beta=2.0),
    case("Gemm", weights(5, 4), np.float32(0.3), shape=ROW, opset=9),
    case("Gemm", weights(5, 4), shape=ROW),
    case("MatMul", weights(7, 4)),
    case("MatMul", weights(3, 7, 2)),
    case("Einsum", weights(7, 4), equation="...ij,jk->...ik"),
    case("Einsum", weights(3, 4), equation="nchw,ck->nkhw"),
    case("Flatten", shape=IMAGE),
    case("Flatten", opset=9, axis=1),
    case("Flatten", axis=-1, shape=ROW),
    case("Reshape", whole(0, -1, 3)),
    case("Reshape", whole(-1, 126)),
    case("Reshape", whole(-1, 126), allowzero=1),
    case("Transpose", perm=[0, 3, 1, 2]),
    case("Squeeze", whole(2), shape=(3, 1, 4)),
    case("Squeeze", shape=(3, 1, 4), opset=11, axes=[2]),
    case("Unsqueeze", whole(1, -1)),
    case("Unsqueeze", opset=11, axes=[1, 3]),
    case("Concat", "x", axis=2),
    case("Split", whole(1, 2), axis=1),
    case("Split", whole(1, 2), axis=1, opset=13),
    case("Split", opset=11, axis=1, split=[2, 1]),
    case("Split", axis=2, num_outputs=2),
    case("Slice", whole(1), whole(-1), whole(2)),
    case("Slice", whole(-1, 5), whole(-99, 0), whole(2, 3), whole(-1, -2)),
    case("Slice", whole(0, 1), whole(2**62, 2**31), whole(3, 1), whole(3, 1)),
    case("Slice", opset=9, starts=[1, 0], ends=[9, -1], axes=[1, 3]),
    case("Gather", whole(0, -1), axis=1),
    case("Gather", np.array(2), axis=-1),
    case("Gather", np.array([[0, 1], [5, -6]], np.int64), axis=2),
    case("Pad", whole(0, 0, 1, 2, 0, 0, 0, 1)),
    case("Pad", whole(0, 0, 1, 2, 0, 0, -1, 1), np.float32(-1.5)),
    *[case("Pad", whole(0, 0, 1, 2, 0, 1, 3, 1), None, mode=mode) for mode in ("reflect", "edge")],
    case("Pad", whole(0, 0, 1, 2, 0, 1, 3, 1), None, mode="wrap", opset=19),
    case("Pad", whole(1, 2, 0, 1), HALF, whole(3, 1)),
    case("Pad", opset=10, mode="constant", pads=[0, 0, 1, 2, 0, 0, 0, 1], value=0.3),
    case("Pad", opset=10, mode="reflect", pads=[0, 0, 1, 2, 0, 0, 0, 1]),
    case("Expand", whole(1, 3, 6, 7)),
    case("Expand", whole(4, 1, 5), shape=(4, 2, 1)),
    case("Tile", whole(1, 2, 1, 3)),
    case("DepthToSpace", blocksize=2, shape=(8, 2, 3)),
    case("DepthToSpace", blocksize=2, shape=(8, 2, 3), mode="CRD"),
    case("DepthToSpace", blocksize=2, shape=(8, 2, 3), opset=9),
    case("SpaceToDepth", blocksize=2, shape=(2, 4, 6)),
    case("CumSum", np.array(1)),
    case("CumSum", np.array(-1), exclusive=1, reverse=1),
    case("Trilu", upper=0),
    case("Trilu", np.array(1)),
    case("Cast", to=TensorProto.INT64),
    case("Cast", to=TensorProto.BOOL),
    case("Cast", to=TensorProto.DOUBLE),
    case("CastLike", whole(1), opset=19),
    case("ArgMax", axis=1),
    case("ArgMin", axis=2, keepdims=0),
    case("ArgMax", axis=1, select_last_index=1),
    case("Dropout", shape=ROW),
    case("Dropout", opset=7, ratio=0.3),
    *[
        case(f"Reduce{name}", whole(1, -1), opset=18)
        for name in (*REDUCED, "LogSum", "LogSumExp")
    ],
    *[case(f"Reduce{name}", opset=11, axes=[2], keepdims=0) for name in REDUCED],
    case("ReduceSum", whole(2), keepdims=0, opset=13),
    case("ReduceMean", noop_with_empty_axes=1),
    case("QuantizeLinear", np.float32(0.05), np.uint8(10)),
    case("QuantizeLinear", np.float32(0.05), np.int8(-3)),
    case("QuantizeLinear", np.float32(0.5), opset=10),
    case("QuantizeLinear", np.float32([0.1, 0.2, 0.3]), np.int8([0, 1, 2]), axis=1, opset=13),
    *[
        case("Resize", NONE, np.float32([1, 1, *scales]), mode=mode, coordinate_transformation_mode=way, opset=11)
        for mode in ("nearest", "linear", "cubic")
        for way in ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric")
        for scales in ((2, 3), (0.6, 1.7))
    ],
    *[
        case("Resize", None, np.float32([1, 1, 1.5, 0.7]), mode="nearest", nearest_mode=way, opset=13)
        for way in ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
    ],
    case("Resize", None, None, whole(1, 3, 9, 4), mode="linear"),
    case("Resize", None, None, whole(9, 4), mode="cubic", axes=[2, 3], cubic_coeff_a=-0.5, exclude_outside=1),
    case("Resize", None, np.float32([1.6, 2]), mode="linear", axes=[2, 3], opset=19,
         coordinate_transformation_mode="half_pixel_symmetric"),
    case("Resize", np.float32([1, 1, 2, 2]), mode="nearest", opset=10),
    case("Resize", np.float32([1, 1, 0.5, 2]), mode="linear", opset=10),
    case("Upsample", np.float32([1, 1, 2, 3]), opset=9),
    case("Upsample", opset=7, mode="linear", scales=[1.0, 1.0, 2.0, 3.0]),
]  # fmt: skip
ELSEWHERE = {
    "And", "Or", "Xor", "Where", "Shape", "Constant", "ConstantOfShape", "Range", "DequantizeLinear", "GatherElements",
    "GatherND", "ScatterND", "OneHot", "LSTM",
}  # fmt: skip


def named(value):
    operator, inputs, _, opset, attributes = value
    words = [f"{key}={entry}" for key, entry in attributes.items()]
    return re.sub(r"\s+", "", "-".join([operator, str(opset), *words, *(["inputs"] if inputs else [])]))


def write(path, value):
    operator, inputs, shape, opset, attributes = value
    names, listed = ["x"], []
    for place, entry in enumerate(inputs):
        is_array = isinstance(entry, np.ndarray | np.generic)
        names.append(f"i{place}" if is_array else entry or "")
        listed += [oracle.tensor(f"i{place}", np.asarray(entry))] if is_array else []
    outputs = ["a", "b"] if operator == "Split" else ["a"]
    nodes = [helper.make_node(operator, names, outputs, **attributes)]
    if operator == "Not":
        nodes = [helper.make_node("Greater", ["x", "half"], ["g"]), helper.make_node("Not", ["g"], ["a"])]
        listed = [oracle.tensor("half", HALF)]
    if operator == "Acosh":
        nodes = [helper.make_node("Exp", ["x"], ["e"]), helper.make_node("Add", ["e", "one"], ["g"])]
        nodes.append(helper.make_node("Acosh", ["g"], ["a"]))
        listed = [oracle.tensor("one", np.float32(1))]
    nodes.append(helper.make_node("Cast", ["a"], ["y"], to=TensorProto.FLOAT))
    if operator == "Size":
        listed.append(oracle.tensor("n", np.float32([1e-3])))
        nodes[-1:] = [helper.make_node("Cast", ["a"], ["s"], to=1), helper.make_node("Mul", ["x", "s"], ["y"])]
    return oracle.file(path, nodes, listed, shape=("N", *shape), opset=opset), shape


def assert_same(path, x, close=1e-5):
    wanted = oracle.one_by_one(path, x)
    model = onnx_models.load(path)
    found = model(torch.from_numpy(x)).detach().numpy()
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=close, atol=close)
    return model


def ranged(operator, x):
    """Inputs where the function is defined."""
    if operator in {"Sqrt", "Log", "ReduceLogSum"}:
        return np.abs(x) + 0.1
    return np.clip(x, -0.9, 0.9) if operator in {"Asin", "Acos", "Atanh"} else x


class TestOperators:
    @pytest.mark.parametrize("value", CASES, ids=named)
    def test_each_one_computes_what_onnxruntime_computes(self, value, tmp_path):
        path, shape = write(tmp_path / "m.onnx", value)
        x = ranged(value[0], np.random.default_rng(1).normal(size=(3, *shape)).astype(np.float32))

        assert_same(path, x)

    def test_every_operator_of_the_list_is_compared(self):
        assert set(onnx_models.OPERATORS) - {value[0] for value in CASES} == ELSEWHERE

    def test_a_batch_is_seldom_cut_up(self, tmp_path):
        path, _ = write(tmp_path / "m.onnx", case("Expand", whole(1, 3, 6, 7)))

        assert onnx_models.load(path).rows is onnx_models.Rows.TOGETHER


class TestCombinations:
    """Operators that need more than one node to be seen."""

    def compare(self, tmp_path, nodes, listed=(), shape=(3, 4), opset=18):
        nodes = [helper.make_node(*node[:3], **(node[3] if len(node) > 3 else {})) for node in nodes]
        path = oracle.file(tmp_path / "m.onnx", nodes, listed, shape=("N", *shape), opset=opset)
        return assert_same(path, np.random.default_rng(2).normal(size=(3, *shape)).astype(np.float32))

    @pytest.mark.parametrize("name", ["And", "Or", "Xor"])
    def test_logic_chooses_between_values(self, tmp_path, name):
        nodes = [
            ("Less", ["x", "low"], ["a"]),
            ("Greater", ["x", "high"], ["b"]),
            (name, ["a", "b"], ["c"]),
            ("Where", ["c", "x", "low"], ["y"]),
        ]

        self.compare(tmp_path, nodes, [oracle.tensor("low", HALF), oracle.tensor("high", np.float32(-0.5))])

    def test_shapes_are_computed_from_the_input(self, tmp_path):
        nodes = [
            ("Shape", ["x"], ["s"]),
            ("Gather", ["s", "first"], ["n"]),
            ("Concat", ["n", "rest"], ["t"], {"axis": 0}),
            ("Reshape", ["x", "t"], ["r"]),
            ("ConstantOfShape", ["t"], ["z"], {"value": oracle.tensor("v", np.float32([0.25]))}),
            ("Add", ["r", "z"], ["y"]),
        ]

        model = self.compare(tmp_path, nodes, [oracle.tensor("first", whole(0)), oracle.tensor("rest", whole(6, 2))])

        assert model.rows is onnx_models.Rows.TOGETHER

    def test_ranges_and_one_hot_vectors(self, tmp_path):
        nodes = [
            ("Shape", ["x"], ["s"], {"start": 2}),
            ("Gather", ["s", "zero"], ["n"]),
            ("Range", ["zero", "n", "one"], ["r"]),
            ("OneHot", ["r", "n", "values"], ["o"]),
            ("MatMul", ["x", "o"], ["y"]),
        ]
        listed = [oracle.tensor("zero", np.array(0)), oracle.tensor("one", np.array(1))]

        self.compare(tmp_path, nodes, [*listed, oracle.tensor("values", np.float32([0.5, 2]))])

    def test_picking_and_putting_elements(self, tmp_path):
        nodes = [
            ("Transpose", ["x"], ["t"], {"perm": [1, 0, 2]}),
            ("GatherND", ["t", "points"], ["g"]),
            ("ScatterND", ["t", "points", "g"], ["u"]),
            ("GatherElements", ["w", "order"], ["e"], {"axis": 1}),
            ("Mul", ["u", "e"], ["m"]),
            ("Transpose", ["m"], ["y"], {"perm": [1, 0, 2]}),
        ]
        listed = [oracle.tensor("points", np.array([[0], [2]], np.int64)), oracle.tensor("w", weights(1, 4))]

        self.compare(tmp_path, nodes, [*listed, oracle.tensor("order", np.array([[3, -1, 0, 1]], np.int64))])

    def test_weights_are_restored_from_whole_numbers(self, tmp_path):
        nodes = [
            ("DequantizeLinear", ["w", "scale", "zero"], ["v"], {"axis": 0}),
            ("QuantizeLinear", ["x", "step", "middle"], ["q"]),
            ("DequantizeLinear", ["q", "step", "middle"], ["r"]),
            ("MatMul", ["r", "v"], ["y"]),
        ]
        listed = [
            oracle.tensor("w", np.arange(-4, 4, dtype=np.int8).reshape(4, 2)),
            oracle.tensor("scale", np.float32([0.1, 0.2, 0.3, 0.4])),
            oracle.tensor("zero", np.int8([0, 1, 0, -1])),
            oracle.tensor("step", np.float32(0.05)),
            oracle.tensor("middle", np.uint8(120)),
        ]

        model = self.compare(tmp_path, nodes, listed)

        assert model.is_quantised
        x = torch.rand(2, 3, 4, requires_grad=True)
        model(x).sum().backward()
        assert x.grad.abs().min() > 0

    def test_constants_in_every_form(self, tmp_path):
        nodes = [
            ("Constant", [], ["a"], {"value_float": 0.5}),
            ("Constant", [], ["b"], {"value_floats": [1.0, 2.0, 3.0, 4.0]}),
            ("Constant", [], ["c"], {"value_ints": [0, -1]}),
            ("Constant", [], ["d"], {"value_int": 2}),
            ("Cast", ["d"], ["e"], {"to": 1}),
            ("Mul", ["x", "a"], ["f"]),
            ("Add", ["f", "b"], ["g"]),
            ("Div", ["g", "e"], ["h"]),
            ("Reshape", ["h", "c"], ["y"]),
        ]

        self.compare(tmp_path, nodes)

    def test_a_split_into_one_part(self, tmp_path):
        self.compare(tmp_path, [("Split", ["x"], ["y"], {"axis": 1, "num_outputs": 1})])

    def test_whole_numbers_are_divided_towards_zero(self, tmp_path):
        nodes = [
            ("Cast", ["x"], ["i"], {"to": TensorProto.INT32}),
            ("Sub", ["i", "three"], ["j"]),
            ("Div", ["j", "two"], ["k"]),
            ("Mod", ["k", "two"], ["m"]),
            ("Cast", ["m"], ["y"], {"to": 1}),
        ]
        listed = [oracle.tensor("three", np.int32(3)), oracle.tensor("two", np.int32(2))]

        self.compare(tmp_path, nodes, listed)


class TestRefusedVariants:
    """What is not computed is refused by name, never computed wrongly."""

    VARIANTS = (
        case("AveragePool", kernel_shape=[2, 2], dilations=[2, 2], opset=19),
        case("MaxPool", kernel_shape=[2, 2], storage_order=1),
        case("Resize", None, np.float32([1, 1, 2, 2]), mode="linear", antialias=1),
        case("Resize", np.float32([0] * 8), np.float32([1, 1, 2, 2]),
             coordinate_transformation_mode="tf_crop_and_resize"),
        case("BatchNormalization", *STATISTICS, training_mode=1),
        case("Dropout", HALF, np.array(True)),
        case("GatherND", whole(0), batch_dims=1),
        case("Einsum", equation="ab,cd,ef,gh,ij->a"),
        case("RandomNormalLike"),
        case("Bernoulli"),
        case("NonZero"),
        case("TopK", whole(1)),
        case("LSTM", weights(1, 4, 3), weights(1, 4, 1)),
        case("Gelu", opset=18),
        case("Upsample", np.float32([1, 1, 2, 3]), opset=10),
        case("Cast", to=TensorProto.STRING),
        case("Cast", to=TensorProto.FLOAT8E4M3FN, opset=19),
        case("QuantizeLinear", np.float32(0.05), block_size=2, opset=21),
        case("Relu", alpha=1.0),
        case("LRN", size=4),
        case("Conv", W, kernel_shape=[5, 5]),
        case("Conv", W, strides=[0, 1]),
    )  # fmt: skip

    @pytest.mark.parametrize("value", VARIANTS, ids=named)
    def test_is_refused_with_its_name(self, value, tmp_path):
        path, _ = write(tmp_path / "m.onnx", value)

        with pytest.raises(InvalidUpload, match=value[0]):
            onnx_models.load(path)

    def test_no_case_is_there_twice(self):
        assert Counter(map(named, self.VARIANTS)).most_common(1)[0][1] == 1
