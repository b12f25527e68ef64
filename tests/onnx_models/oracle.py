"""Makes ONNX files, and lets onnxruntime say what they compute."""

import contextlib
import io
import logging
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper

FLOAT = TensorProto.FLOAT


def answers(path, x):
    """The first output of onnxruntime, without rewriting the graph, for the input x."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    [given] = session.get_inputs()
    return session.run(None, {given.name: np.asarray(x)})[0]


def one_by_one(path, x):
    """The answers for each row as a batch of its own, which every exported file allows."""
    return np.concatenate([answers(path, row[None]) for row in np.asarray(x)])


def export(module, x, path, *, dynamo=False, dynamic=False, opset=None):
    """Export a torch module as its users do, with its first row or the whole of x as the example."""
    options = {"external_data": False, "verbose": False} if dynamo else {}
    if dynamic and dynamo:
        options["dynamic_shapes"] = ({0: torch.export.Dim("rows")},)
    elif dynamic:
        options |= {"input_names": ["x"], "dynamic_axes": {"x": {0: "rows"}}}
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        example = x if dynamic and dynamo else x[:1]
        torch.onnx.export(module, (example,), path, dynamo=dynamo, opset_version=opset, **options)
    return path


def tensor(name, values):
    return numpy_helper.from_array(np.asarray(values, order="C"), name)


def file(path, nodes, initialisers=(), *, shape=("N", 3, 8, 8), kind=FLOAT, output="y", opset=18, **graph):
    """Write a graph from x to `output`; extra fields of the graph by name. The output's rank is left open."""
    given = helper.make_tensor_value_info("x", kind, shape)
    result = onnx.ValueInfoProto(name=output)
    result.type.tensor_type.elem_type = FLOAT
    made = helper.make_graph(list(nodes), "graph", [given], [result], list(initialisers), **graph)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def load_message(path):
    return onnx.load(Path(path), load_external_data=False)
