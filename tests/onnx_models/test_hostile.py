"""Files that want more than to be a classifier: each is refused with a reason, soon, and without taking memory."""

import builtins
import contextlib
import functools
import io
import os
import resource
import time
import zipfile
from itertools import pairwise

import numpy as np
import pytest
import torch
from onnx import AttributeProto, TensorProto, helper

from app import onnx_models
from app.errors import InvalidUpload
from tests.onnx_models import oracle

SECONDS = 2.0
MEGABYTES = 600
"""Constants may take a gigabyte in all before their sum is refused; nothing else comes near."""
node = helper.make_node


def whole(name, *values):
    return oracle.tensor(name, np.array(values, np.int64))


def graph(*nodes, listed=(), **options):
    """The bytes of a graph; `nodes` lead to y."""

    def write(path):
        oracle.file(path, nodes, listed, **options)

    return write


def changed(change, *nodes, listed=(), **options):
    """A graph that is changed in ways that the helpers do not allow."""

    def write(path):
        oracle.file(path, nodes or [node("Relu", ["x"], ["y"])], listed, **options)
        model = oracle.load_message(path)
        change(model)
        path.write_bytes(model.SerializeToString())

    return write


def raw(content):
    return lambda path: path.write_bytes(content)


def wire(number, content):
    """A field of variable size in protobuf's encoding."""
    out, size = bytearray([number << 3 & 127 | 2]), len(content)
    if number > 15:
        out = bytearray([(number << 3 | 2) & 127 | 128, number >> 4])
    while size > 127:
        out.append(size & 127 | 128)
        size >>= 7
    return bytes(out) + bytes([size]) + content


def external(location):
    weight = oracle.tensor("w", np.ones(3, np.float32))
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value=location)
    return graph(node("Add", ["x", "w"], ["y"]), listed=[weight])


def weight(**fields):
    """A graph with a weight that is not what it should be."""
    proto = TensorProto(name="w", **fields)
    return graph(node("Add", ["x", "w"], ["y"]), listed=[proto])


def symbolic_link(path):
    target = path.with_name("target.onnx")
    graph(node("Relu", ["x"], ["y"]))(target)
    path.symlink_to(target)


def pipe(path):
    os.mkfifo(path)


def archive(path):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("model.onnx", "x" * 1000)


def pickled(path):
    torch.save({"weight": torch.ones(3)}, path)


def cut_off(path):
    graph(node("Add", ["x", "w"], ["y"]), listed=[oracle.tensor("w", np.ones((3, 8, 8), np.float32))])(path)
    path.write_bytes(path.read_bytes()[:-200])


def sparse_file(path):
    with path.open("wb") as file:
        file.truncate(1 << 40)


def loop(trips):
    body = helper.make_graph(
        [node("Identity", ["go"], ["go_on"]), node("Identity", ["a"], ["b"])],
        "body",
        [helper.make_tensor_value_info(n, k, []) for n, k in (("i", 7), ("go", 9), ("a", 1))],
        [helper.make_tensor_value_info(n, k, []) for n, k in (("go_on", 9), ("b", 1))],
    )
    listed = [whole("trips", trips), oracle.tensor("yes", np.array(True))]
    return graph(node("Loop", ["trips", "yes", "x"], ["y"], body=body), listed=listed)


def branch(path):
    arm = helper.make_graph([node("Relu", ["x"], ["z"])], "arm", [], [helper.make_tensor_value_info("z", 1, None)])
    listed = [oracle.tensor("yes", np.array(True))]
    graph(node("If", ["yes"], ["y"], then_branch=arm, else_branch=arm), listed=listed)(path)


def functions(count):
    """A chain of functions, each of which calls the next: it ends onnxruntime with a segmentation fault."""

    def add(model):
        for number in range(count):
            inner = (
                node(f"f{number + 1}", ["a"], ["b"], domain="own") if number + 1 < count else node("Relu", ["a"], ["b"])
            )
            imports = [helper.make_opsetid("", 18), helper.make_opsetid("own", 1)]
            model.functions.append(helper.make_function("own", f"f{number}", ["a"], ["b"], [inner], imports))
        model.opset_import.append(helper.make_opsetid("own", 1))

    return changed(add, node("f0", ["x"], ["y"], domain="own"))


def nested(depth):
    """Graphs in attributes of nodes in graphs."""
    content = b""
    for _ in range(depth):
        content = wire(1, wire(5, wire(6, content)))
    return raw(wire(7, content))


def chain(length):
    def write(path):
        names = ["x", *(f"v{number}" for number in range(length - 1)), "y"]
        oracle.file(path, [node("Relu", [a], [b]) for a, b in pairwise(names)])

    return write


def doubling(times):
    """Each concatenation doubles the last."""
    names = ["x", *(f"v{number}" for number in range(times - 1)), "y"]
    return graph(*(node("Concat", [a, a], [b], axis=1) for a, b in pairwise(names)))


def foldable(times):
    """The same with constants, which are computed when the file is loaded."""
    names = ["w", *(f"v{number}" for number in range(times))]
    steps = [node("Concat", [a, a], [b], axis=0) for a, b in pairwise(names)]
    return graph(*steps, node("Add", ["x", names[-1]], ["y"]), listed=[oracle.tensor("w", np.ones(8, np.float32))])


def typed(kind):
    def change(model):
        model.graph.input[0].type.CopyFrom(kind)

    return changed(change)


def second(model):
    model.graph.output.append(helper.make_tensor_value_info("x", 1, None))


def sparse(model):
    values = oracle.tensor("w", np.ones(1, np.float32))
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, whole("", 0), [1 << 40]))


def sparse_constant(path):
    values = helper.make_sparse_tensor(oracle.tensor("v", np.ones(1, np.float32)), whole("i", 0), [3])
    graph(node("Constant", [], ["c"], sparse_value=values), node("Add", ["x", "c"], ["y"]))(path)


def attribute_of_function(model):
    model.graph.node[0].attribute.append(AttributeProto(name="alpha", ref_attr_name="a", type=AttributeProto.FLOAT))


ADD = node("Add", ["x", "w"], ["y"])
BIG = 1 << 33
TEXTS = TensorProto(name="w", data_type=TensorProto.STRING, dims=[1], string_data=[b"text"])
SEQUENCE = helper.make_sequence_type_proto(helper.make_tensor_type_proto(1, [1]))
HOSTILE = {
    "external data, path traversal": (external("../../../../etc/passwd"), "another file"),
    "external data, absolute path": (external("/etc/passwd"), "another file"),
    "external data in a folder": (external("folder/link"), "another file"),
    "external data, only the entries": (
        weight(data_type=1, dims=[1], raw_data=b"0000", external_data=[{"key": "location", "value": "w"}]),
        "another file",
    ),
    "symbolic link": (symbolic_link, "symbolic link"),
    "named pipe": (pipe, "regular file"),
    "a folder": (lambda path: path.mkdir(), "regular file"),
    "a file of a terabyte": (sparse_file, "at most 268 MB"),
    "a loop of 2^62": (loop(1 << 62), "control flow"),
    "a branch": (branch, "control flow"),
    "3000 functions": (functions(3000), "functions"),
    "graphs in graphs": (nested(200), "nested"),
    "graphs in graphs, very deep": (nested(20_000), "nested"),
    "custom domain": (graph(node("Mine", ["x"], ["y"], domain="com.mine")), "com.mine.Mine"),
    "an operator that runs code": (graph(node("PyOp", ["x"], ["y"], domain="ai.onnx.contrib")), "PyOp"),
    "unknown operator": (graph(node("Magic", ["x"], ["y"])), "Magic"),
    "random numbers": (graph(node("RandomUniformLike", ["x"], ["r"]), node("Add", ["x", "r"], ["y"])), "RandomUniform"),
    "huge dimensions": (weight(data_type=1, dims=[1 << 40, 1 << 40]), "weights take at most"),
    "more dimensions than 64 bits": (weight(data_type=1, dims=[1 << 62] * 8), "weights take at most"),
    "negative dimensions": (weight(data_type=1, dims=[-1, 4], raw_data=b"0000"), "negative"),
    "too many axes": (weight(data_type=1, dims=[1] * 100, raw_data=b"0000"), "more than 8"),
    "too few bytes": (weight(data_type=1, dims=[3, 8, 8], raw_data=b"0000"), "do not fill"),
    "too many bytes": (weight(data_type=1, dims=[1], raw_data=b"0" * 400), "do not fill"),
    "too few values": (weight(data_type=1, dims=[3], float_data=[1, 2]), "do not fill"),
    "values out of range": (weight(data_type=2, dims=[1], int32_data=[300]), "does not fit"),
    "NaN": (graph(ADD, listed=[oracle.tensor("w", np.float32([1, np.nan, 2]))]), "NaN"),
    "NaN alone": (graph(ADD, listed=[oracle.tensor("w", np.float32(np.nan))]), "NaN"),
    "infinity": (graph(ADD, listed=[oracle.tensor("w", np.float32([1, np.inf, 2]))]), "infinity"),
    "NaN in an attribute": (
        graph(node("Constant", [], ["c"], value_floats=[1.0, np.nan]), node("Add", ["x", "c"], ["y"])),
        "NaN",
    ),
    "unknown type": (weight(data_type=99, dims=[1], raw_data=b"0000"), "99"),
    "complex numbers": (weight(data_type=14, dims=[1], raw_data=b"0" * 8), "COMPLEX64"),
    "texts": (graph(ADD, listed=[TEXTS]), "STRING"),
    "texts in a constant": (graph(node("Constant", [], ["w"], value_string="text"), ADD), "texts"),
    "sparse initialiser": (changed(sparse), "sparse"),
    "sparse constant": (sparse_constant, "sparse"),
    "names twice": (graph(ADD, listed=[oracle.tensor("w", np.float32(1))] * 2), "a name of its own"),
    "values twice": (graph(node("Relu", ["x"], ["y"]), node("Abs", ["x"], ["y"])), "defined once"),
    "the input twice": (graph(node("Relu", ["x"], ["x"]), node("Relu", ["x"], ["y"])), "defined once"),
    "a cycle": (graph(node("Add", ["x", "b"], ["a"]), node("Abs", ["a"], ["b"]), node("Abs", ["b"], ["y"])), "earlier"),
    "an undefined input": (graph(node("Add", ["x", "nowhere"], ["y"])), "nowhere"),
    "an undefined output": (graph(node("Relu", ["x"], ["z"])), "computed by a node"),
    "two outputs": (changed(second), "one output"),
    "two inputs": (
        changed(lambda model: model.graph.input.append(helper.make_tensor_value_info("z", 1, [1]))),
        "one input",
    ),
    "a sequence": (typed(SEQUENCE), "not a sequence"),
    "an optional value": (typed(helper.make_optional_type_proto(SEQUENCE)), "not a sequence"),
    "an input of texts": (graph(node("Relu", ["x"], ["y"]), kind=TensorProto.STRING), "STRING"),
    "a huge input": (graph(node("Relu", ["x"], ["y"]), shape=(1, 3, 1 << 40, 8)), "from 1 to"),
    "a large input": (graph(node("Relu", ["x"], ["y"]), shape=(1, 3, 1 << 14, 1 << 14)), "MB"),
    "a negative input": (graph(node("Relu", ["x"], ["y"]), shape=(1, -3, 8)), "from 1 to"),
    "an input without a shape": (changed(lambda m: m.graph.input[0].type.tensor_type.ClearField("shape")), "shape"),
    "100,000 nodes": (chain(100_000), "nodes|parts"),
    "a million empty nodes": (raw(wire(7, b"\x0a\x00" * 2_000_000)), "too many parts"),
    "a million empty dimensions": (raw(wire(7, wire(11, b"\x0a\x00" * 2_000_000))), "too many parts"),
    "whole numbers of one byte": (raw(wire(7, wire(5, wire(7, b"\0" * (40 << 20))))), "variable length"),
    "an old opset": (graph(node("Relu", ["x"], ["y"]), opset=6), "opset 6"),
    "an opset of the future": (graph(node("Relu", ["x"], ["y"]), opset=1000), "opset 1000"),
    "no opset": (changed(lambda model: model.ClearField("opset_import")), "0 versions"),
    "an empty file": (raw(b""), "no graph"),
    "an empty graph": (raw(wire(7, b"")), "no graph"),
    "random bytes": (raw(np.random.default_rng(0).bytes(100_000)), "undamaged"),
    "text": (raw(b"<html>404 Not Found</html>" * 9), "undamaged"),
    "a picture": (raw(b"\x89PNG\r\n\x1a\n" + bytes(1000)), "undamaged"),
    "a pickle": (pickled, "undamaged"),
    "a zip file": (archive, "undamaged"),
    "a file that is cut off": (cut_off, "undamaged"),
    "a length beyond the end": (raw(b"\x3a\xff\xff\xff\xff\x07"), "undamaged"),
    "a number without end": (raw(b"\xff" * 100), "undamaged"),
    "a constant of terabytes": (
        graph(node("ConstantOfShape", ["s"], ["c"]), node("Add", ["x", "c"], ["y"]), listed=[whole("s", BIG, 8)]),
        "ConstantOfShape",
    ),
    "a constant of 512 MB": (
        graph(node("ConstantOfShape", ["s"], ["c"]), node("Add", ["x", "c"], ["y"]), listed=[whole("s", 1 << 27)]),
        "ConstantOfShape",
    ),
    "a range of 2^40": (
        graph(
            node("Range", ["a", "b", "c"], ["r"]),
            node("Cast", ["r"], ["w"], to=1),
            ADD,
            listed=[oracle.tensor(n, np.array(v)) for n, v in (("a", 0), ("b", 1 << 40), ("c", 1))],
        ),
        "Range",
    ),
    "a giant tile": (graph(node("Tile", ["x", "s"], ["y"]), listed=[whole("s", 1, BIG, 1, 1)]), "Tile"),
    "a giant expansion": (graph(node("Expand", ["x", "s"], ["y"]), listed=[whole("s", BIG, 1, 3, 8, 8)]), "Expand"),
    "a giant padding": (graph(node("Pad", ["x", "s"], ["y"]), listed=[whole("s", *[0] * 7, BIG)]), "Pad"),
    "a large padding": (
        graph(node("Pad", ["x", "s"], ["y"], mode="edge"), listed=[whole("s", *[0] * 6, 1 << 13, 1 << 13)]),
        "Pad",
    ),
    "a giant picture": (
        graph(node("Resize", ["x", "", "s"], ["y"]), listed=[oracle.tensor("s", np.float32([1, 1, 1e6, 1e6]))]),
        "Resize",
    ),
    "an endless scale": (
        graph(node("Upsample", ["x"], ["y"], scales=[1.0, 1.0, 1e38, 1.0]), opset=7),
        "Upsample",
    ),
    "doubling forty times": (doubling(40), "Concat"),
    "doubling constants": (foldable(40), "Concat"),
    "a product of everything with everything": (
        graph(
            node("Reshape", ["x", "s"], ["a"]), node("Reshape", ["x", "t"], ["b"]), node("MatMul", ["a", "b"], ["y"]),
            listed=[whole("s", 0, -1, 1), whole("t", 0, 1, -1)], shape=("N", 3, 256, 256),
        ),
        "MatMul",
    ),
    "pads beyond reason": (graph(node("MaxPool", ["x"], ["y"], kernel_shape=[1, 1], pads=[BIG] * 4)), "MaxPool"),
    "an average that takes days": (
        graph(node("AveragePool", ["x"], ["y"], kernel_shape=[1999, 1999]), shape=("N", 1, 4000, 4000)),
        "operations",
    ),
    "a convolution that takes days": (
        graph(
            node("Conv", ["x", "w"], ["y"]), listed=[oracle.tensor("w", np.ones((2, 1, 999, 999), np.float32))],
            shape=("N", 1, 2999, 2999),
        ),
        "operations",
    ),
    "a shape from data": (
        graph(
            node("ReduceSum", ["x"], ["s"], keepdims=0), node("Cast", ["s"], ["i"], to=7),
            node("Unsqueeze", ["i", "z"], ["n"]), node("Expand", ["x", "n"], ["y"]), listed=[whole("z", 0)],
        ),
        "do not depend",
    ),
    "an index out of range": (
        graph(node("Gather", ["x", "i"], ["y"], axis=1), listed=[whole("i", 99)]),
        "computed",
    ),
    "an axis out of range": (graph(node("Softmax", ["x"], ["y"], axis=9)), "computed"),
    "rows that do not come back": (graph(node("ReduceMean", ["x"], ["y"], keepdims=0)), "one row for each row"),
    "an answer that ignores the input": (
        graph(node("Relu", ["w"], ["y"]), listed=[oracle.tensor("w", np.ones((1, 3), np.float32))]),
        "depends on the input",
    ),
    "an answer that is no number": (
        graph(node("Neg", ["x"], ["n"]), node("Log", ["n"], ["y"])),
        "finite",
    ),
    "rows that look at each other": (
        graph(
            node("ReduceMean", ["x", "a"], ["m"]), node("Sub", ["x", "m"], ["y"]), listed=[whole("a", 0)], shape=(4, 6)
        ),
        "does not depend on other rows",
    ),
    "a very long equation": (graph(node("Einsum", ["x"], ["y"], equation="a" * 10_000)), "Einsum"),
    "an attribute of a function": (changed(attribute_of_function, node("Elu", ["x"], ["y"])), "Elu"),
    "an attribute twice": (
        changed(
            lambda model: model.graph.node[0].attribute.append(model.graph.node[0].attribute[0]),
            node("Elu", ["x"], ["y"], alpha=1.0),
        ),
        "twice",
    ),
    "an attribute of another type": (graph(node("Elu", ["x"], ["y"], alpha="text")), "alpha"),
    "a required attribute is missing": (graph(node("Concat", ["x", "x"], ["y"])), "axis"),
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _warm(tmp_path_factory):
    """What torch imports when it is first asked for a shape is not the file's doing."""
    path = tmp_path_factory.mktemp("warm") / "m.onnx"
    graph(node("Relu", ["x"], ["y"]))(path)
    onnx_models.load(path)


class TestHostileFiles:
    @pytest.mark.parametrize("name", HOSTILE)
    def test_each_is_refused_with_its_reason(self, name, tmp_path):
        write, reason = HOSTILE[name]
        path = tmp_path / "m.onnx"
        write(path)
        (tmp_path / "folder").mkdir(exist_ok=True)
        before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()

        with pytest.raises(InvalidUpload, match=f"(?i){reason}"):
            onnx_models.load(path)

        assert time.process_time() - start < SECONDS
        assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024 < MEGABYTES

    def test_every_reason_comes_at_once(self, tmp_path):
        nodes = [node("Magic", ["x"], ["a"]), node("Magic", ["a"], ["b"]), node("Spell", ["b", "nowhere"], ["y"])]
        path = oracle.file(tmp_path / "m.onnx", nodes, [oracle.tensor("w", np.float32([np.nan] * 2))])

        with pytest.raises(InvalidUpload) as refused:
            onnx_models.load(path)

        reasons = {reason.rule: reason.count for reason in refused.value.reasons}
        assert reasons["The operator Magic is not supported."] == 2
        assert reasons["The operator Spell is not supported."] == 1
        assert len(reasons) == 4

    def test_names_of_the_file_are_shown_without_control_characters(self, tmp_path):
        path = oracle.file(tmp_path / "m.onnx", [node("Ma\x1b[31mgic\n<b>" + "!" * 500, ["x"], ["y"])])

        with pytest.raises(InvalidUpload) as refused:
            onnx_models.load(path)

        assert str(refused.value).isprintable()
        assert len(str(refused.value)) < 400

    def test_a_random_change_of_a_byte_is_refused_or_harmless(self, tmp_path):
        rng, path = np.random.default_rng(5), tmp_path / "m.onnx"
        graph(node("Conv", ["x", "w"], ["c"]), node("Relu", ["c"], ["y"]), listed=[
            oracle.tensor("w", np.ones((2, 3, 3, 3), np.float32))
        ])(path)  # fmt: skip
        good = path.read_bytes()
        for place in rng.integers(0, len(good), 150):
            path.write_bytes(good[:place] + rng.bytes(1) + good[place + 1 :])
            with contextlib.suppress(InvalidUpload):
                model = onnx_models.load(path)
                assert model(torch.ones(2, *(length or 8 for length in model.input_shape[1:]))).shape[0] == 2

    def test_nothing_beside_the_file_is_opened(self, tmp_path, monkeypatch):
        path = tmp_path / "m.onnx"
        external("w.bin")(path)
        opened = []
        for module, name in ((os, "open"), (builtins, "open"), (io, "open")):
            original = getattr(module, name)
            recorded = functools.partial(
                lambda original, place, *rest: opened.append(place) or original(place, *rest), original
            )
            monkeypatch.setattr(module, name, recorded)

        with pytest.raises(InvalidUpload):
            onnx_models.load(path)

        assert [place for place in opened if not isinstance(place, int)] == [path]

    def test_there_are_enough_of_them(self):
        assert len(HOSTILE) >= 25
