"""Small classifiers and image sets for tests: the same network as ONNX and as torch, and files that hold images."""

import io
from pathlib import Path

import h5py
import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

CLASSES, SHAPE = 10, (3, 6, 6)


def weights(seed=0, hidden=32, shape=SHAPE, classes=CLASSES):
    rng = np.random.default_rng(seed)
    size = int(np.prod(shape))
    first = rng.normal(size=(size, hidden)) / size**0.5
    second = rng.normal(size=(hidden, classes)) / hidden**0.5
    # Centred images make the classes depend on their content instead of on their mean.
    return [array.astype(np.float32) for array in (first, -0.5 * first.sum(0), 4.0 * second, np.zeros(classes))]


def network(arrays=None):
    """The network in torch, written by hand: a second implementation of what the ONNX file says."""
    first, shift, second, offset = (torch.from_numpy(array) for array in (arrays or weights()))
    return lambda x: torch.relu(x.flatten(1) @ first + shift) @ second + offset


def onnx_file(arrays=None, shape=SHAPE, softmax=False, rows="n", layout="NCHW"):
    """The bytes of the network as ONNX; `layout` NHWC takes channels last, FLAT one axis."""
    names = ("first", "shift", "second", "offset")
    arrays = arrays or weights(shape=shape)
    channels, height, width = shape
    nodes, source = [], "x"
    given = {"NCHW": [channels, height, width], "NHWC": [height, width, channels], "FLAT": [channels * height * width]}
    if layout == "NHWC":
        nodes.append(helper.make_node("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2]))
        source = "t"
    nodes += [
        helper.make_node("Flatten", [source], ["flat"]),
        helper.make_node("Gemm", ["flat", "first", "shift"], ["hidden"]),
        helper.make_node("Relu", ["hidden"], ["active"]),
        helper.make_node("Gemm", ["active", "second", "offset"], ["logits"]),
    ]
    if softmax:
        nodes.append(helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1))
    output = "probabilities" if softmax else "logits"
    graph = helper.make_graph(
        nodes,
        "classifier",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [rows, *given[layout]])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, [rows, len(arrays[3])])],
        [numpy_helper.from_array(array, name) for name, array in zip(names, arrays, strict=True)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def images(count=30, seed=1, shape=SHAPE, arrays=None, wrong=1):
    """Images in [0, 1] and labels, of which the network gets all but `wrong` right."""
    rng = np.random.default_rng(seed)
    samples = rng.random((count, *shape), dtype=np.float32)
    labels = network(arrays or weights(shape=shape))(torch.from_numpy(samples)).argmax(1).numpy()
    labels[:wrong] = (labels[:wrong] + 1) % CLASSES
    return samples, labels


def npz_file(samples, labels, **more):
    file = io.BytesIO()
    np.savez(file, samples=samples, labels=labels, **more)
    return file.getvalue()


def h5_file(samples, labels, folder, **options):
    path = Path(folder) / "images.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("samples", data=samples, **options)
        file["labels"] = labels
    return path.read_bytes()
