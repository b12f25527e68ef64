"""Writes plain sequences of torch layers as ONNX files.

Written by hand, because torch's exporters write differing files from version to version, and equal is to be equal.
"""

from typing import Any

from onnx import ModelProto, TensorProto, helper, numpy_helper
from torch import nn

OPSET, IR_VERSION = 17, 8
PLAIN = {nn.Flatten: "Flatten", nn.ReLU: "Relu", nn.Tanh: "Tanh", nn.Dropout: "Identity"}
"""Layers without weights, as they are after training."""


def sequential(
    network: nn.Sequential, shape: tuple[int, ...], classes: int, name: str, given: str = "records"
) -> ModelProto:
    """A sequence of convolutions, dense layers and layers of PLAIN, from (N, *shape) to (N, classes), as a model.

    `name` is the graph's, `given` its input's. Raises ValueError for another kind of layer.
    """
    nodes, weights, last = [], [], given
    for number, layer in enumerate(network):
        inputs, last = [last], f"layer_{number}"
        for kind, tensor in layer.named_parameters():
            weights.append(numpy_helper.from_array(tensor.detach().cpu().numpy(), f"{last}_{kind}"))
            inputs.append(f"{last}_{kind}")
        operator, attributes = _operator(layer)
        nodes.append(helper.make_node(operator, inputs, [last], **attributes))
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info(given, TensorProto.FLOAT, ["N", *shape])],
        [helper.make_tensor_value_info(last, TensorProto.FLOAT, ["N", classes])],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)


def _operator(layer: nn.Module) -> tuple[str, dict[str, Any]]:
    if isinstance(layer, nn.Conv2d) and isinstance(layer.padding, tuple):
        return "Conv", {"strides": list(layer.stride), "pads": [*map(int, layer.padding)] * 2}
    if isinstance(layer, nn.Linear):
        return "Gemm", {"transB": 1}
    if type(layer) not in PLAIN:
        raise ValueError(f"{layer} cannot be written")
    return PLAIN[type(layer)], {}
