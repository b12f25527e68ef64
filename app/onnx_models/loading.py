"""Loads a file: parse, check, compile, probe."""

from collections import Counter
from pathlib import Path

from app.onnx_models import parsing, probing, structure
from app.onnx_models.limits import ModelLimits
from app.onnx_models.model import OnnxModel
from app.onnx_models.programs import compile_graph

DEFAULT = ModelLimits()


def load(
    path: Path,
    limits: ModelLimits = DEFAULT,
    *,
    output: str | None = None,
    input_shape: tuple[int, ...] | None = None,
) -> OnnxModel:
    """The model in the ONNX file at `path`, on the CPU and in evaluation mode.

    `output` chooses one of several outputs; nothing that only others need is looked at. `input_shape` is the shape of
    one row of the data, which fills in what the file leaves open and is otherwise compared with it. Raises
    InvalidUpload with every reason; nothing outside the file is read, and no memory is taken before it was found to be
    allowed.
    """
    graph = structure.check(parsing.read(path, limits), limits, output)
    program = compile_graph(graph, limits)
    operators = Counter(node.operator for node in graph.nodes)
    model = OnnxModel(program, graph.opset, operators, limits)
    probing.settle(model, graph.dtype, graph.shape, input_shape)
    return model.eval()
