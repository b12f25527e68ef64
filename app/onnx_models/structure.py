"""Checks the whole graph of a file before anything of it is computed, and keeps the part that leads to the output."""

from collections import Counter
from dataclasses import dataclass

import torch
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TypeProto, ValueInfoProto
from torch import Tensor

from app.onnx_models import nodes, tensors
from app.onnx_models.complaints import Complaints, Unsupported, quoted
from app.onnx_models.limits import MAX_LENGTH, MAX_RANK, NEWEST_OPSET, OLDEST_OPSET, ModelLimits
from app.onnx_models.operators import OPERATORS

INSIDE = "Save the model as one file with its weights inside: torch.onnx.export(..., external_data=False)."
PLAIN = "Use the standard operators of layers, without control flow and without custom operators."
FLAT = (AttributeProto.GRAPH, AttributeProto.GRAPHS)
SPARSE = (AttributeProto.SPARSE_TENSOR, AttributeProto.SPARSE_TENSORS)


@dataclass(frozen=True)
class Graph:
    """The checked part of a file that leads from its input to its output."""

    nodes: tuple[nodes.Node, ...]
    constants: dict[str, Tensor]
    input: str
    dtype: torch.dtype
    """The type of the input as declared."""
    shape: tuple[int | None, ...] | None
    """The declared shape of the input, None where it is open; None if no rank is declared."""
    output: str
    opset: int


def check(model: ModelProto, limits: ModelLimits, output: str | None = None) -> Graph:
    """The part of the model that leads to `output`, by default its only one. Raises InvalidUpload with every reason."""
    complaints = Complaints()
    opset = _opset(model, complaints)
    graph = model.graph
    _check_extent(model, limits, complaints)
    complaints.raise_all()
    constants = _constants(graph, limits, complaints)
    _check_order(graph, constants, complaints)
    output = _output(graph, output, complaints)
    live = _live(graph, output)
    read = [node for proto in live if (node := _node(proto, opset, complaints)) is not None]
    given = _input(graph, constants, complaints)
    dtype, shape = _declared(given, complaints)
    complaints.raise_all()
    return Graph(tuple(read), constants, given.name, dtype, shape, output, opset)


def _opset(model: ModelProto, complaints: Complaints) -> int:
    versions = [entry.version for entry in model.opset_import if entry.domain in nodes.DOMAINS]
    rule = f"The file uses ONNX's own operators, of one opset from {OLDEST_OPSET} to {NEWEST_OPSET}."
    fix = "Export with opset_version=18, for instance."
    if len(versions) != 1:
        complaints.add(rule, f"{len(versions)} versions", fix)
    elif not OLDEST_OPSET <= versions[0] <= NEWEST_OPSET:
        complaints.add(rule, f"opset {versions[0]}", fix)
    else:
        return versions[0]
    return NEWEST_OPSET


def _check_extent(model: ModelProto, limits: ModelLimits, complaints: Complaints) -> None:
    graph = model.graph
    if len(graph.node) > limits.nodes:
        complaints.add(f"The graph has at most {limits.nodes:,} nodes.", f"{len(graph.node):,}", "Use a smaller model.")
    if model.functions:
        complaints.add("The file has no functions of its own.", f"{len(model.functions):,} functions", PLAIN)
    if model.training_info:
        complaints.add("The file has no training graphs.", f"{len(model.training_info):,} of them")
    if graph.sparse_initializer:
        where = f"{len(graph.sparse_initializer):,} of them"
        complaints.add("The file has no sparse initialisers.", where, "Store dense weights.")
    for node in graph.node[: limits.nodes]:
        _check_flat(node, complaints)


def _check_flat(node: NodeProto, complaints: Complaints) -> None:
    """Control flow and functions nest graphs in graphs: none of it is taken, wherever it stands."""
    for attribute in node.attribute:
        where = f"{quoted(node.op_type)} {quoted(node.name)}"
        if attribute.type in FLAT or attribute.HasField("g") or attribute.graphs:
            complaints.add("The graph has no control flow (If, Loop, Scan) and no graphs within it.", where, PLAIN)
        if attribute.type in SPARSE or attribute.HasField("sparse_tensor") or attribute.sparse_tensors:
            complaints.add("The file has no sparse tensors.", where, "Store dense weights.")


def _constants(graph: GraphProto, limits: ModelLimits, complaints: Complaints) -> dict[str, Tensor]:
    """The initialisers by name, read only if all of them together are small enough."""
    in_nodes = [attribute.t for node in graph.node for attribute in node.attribute if attribute.HasField("t")]
    found = [*graph.initializer, *in_nodes]
    total = 0
    for tensor in found:
        try:
            total += tensors.declared_bytes(tensor)
        except Unsupported as error:
            complaints.add("Every tensor has a supported type and shape.", f"{quoted(tensor.name)}: {error}")
    if total > limits.parameter_bytes:
        rule = f"The weights take at most {limits.parameter_bytes / 1e6:,.0f} MB."
        complaints.add(rule, f"{total / 1e6:,.1f} MB", "Use a smaller model.")
    for name, times in Counter(tensor.name for tensor in graph.initializer).items():
        if times > 1 or not name:
            complaints.add("Every initialiser has a name of its own.", f"{quoted(name)}, {times} times")
    complaints.raise_all()
    constants = {}
    for tensor in graph.initializer:
        try:
            constants[tensor.name] = tensors.read(tensor)
        except Unsupported as error:
            where = f"{quoted(tensor.name)}: {error}"
            complaints.add("Every initialiser lies in the file and is whole and finite.", where, INSIDE)
    return constants


def _check_order(graph: GraphProto, constants: dict[str, Tensor], complaints: Complaints) -> None:
    """Every value is computed once, before it is used: this leaves no cycle."""
    known = {value.name for value in graph.input} | set(constants) | {tensor.name for tensor in graph.initializer}
    if len({value.name for value in graph.input}) < len(graph.input):
        complaints.add("Every input has a name of its own.")
    for node in graph.node:
        where = f"{quoted(node.op_type)} {quoted(node.name)}"
        for name in {name for name in node.input if name} - known:
            rule = "Every input of a node is defined by an earlier node, an initialiser or an input of the graph."
            complaints.add(rule, f"{where} uses {quoted(name)}")
        outputs = [name for name in node.output if name]
        for name in known.intersection(outputs) | {name for name, times in Counter(outputs).items() if times > 1}:
            complaints.add("Every value is defined once.", f"{where} defines {quoted(name)} again")
        known.update(outputs)
    for value in graph.output:
        if value.name not in known:
            complaints.add("Every output is computed by a node.", quoted(value.name))


def _output(graph: GraphProto, chosen: str | None, complaints: Complaints) -> str:
    names = [value.name for value in graph.output]
    shown = ", ".join(map(quoted, names[:5]))
    if chosen is not None and chosen not in names:
        complaints.add(f"The model has an output named {quoted(chosen)}.", shown, "Choose one of its outputs.")
    elif len(names) != 1 and chosen is None:
        complaints.add("The model has one output.", f"{len(names)}: {shown}", "Export one output, or choose one.")
    return chosen if chosen in names and chosen else (names or [""])[0]


def _live(graph: GraphProto, output: str) -> list[NodeProto]:
    """The nodes that the output depends on, in their order. The others are never looked at again, nor run."""
    needed, live = {output}, []
    for node in reversed(graph.node):
        if needed.intersection(name for name in node.output if name):
            live.append(node)
            needed.update(node.input)
    return live[::-1]


def _node(proto: NodeProto, opset: int, complaints: Complaints) -> nodes.Node | None:
    name = f"{proto.domain}.{proto.op_type}" if proto.domain not in nodes.DOMAINS else proto.op_type
    shown = name if len(name) <= 60 and name.isidentifier() else quoted(name)
    if name not in OPERATORS:
        rule = f"The operator {shown} is not supported."
        complaints.add(rule, quoted(proto.name or (proto.output[0] if proto.output else "")), PLAIN)
        return None
    try:
        return nodes.read(proto, opset)
    except Unsupported as error:
        where = f"{shown} {quoted(proto.name)}: {error}"
        complaints.add("Every node uses its operator as this importer and the file's opset know it.", where)
        return None


def _input(graph: GraphProto, constants: dict[str, Tensor], complaints: Complaints) -> ValueInfoProto:
    required = [value for value in graph.input if value.name not in constants]
    if len(required) != 1:
        names = ", ".join(quoted(value.name) for value in required[:5])
        complaints.add("The model has one input that is no weight.", f"{len(required)}: {names}", "Export one input.")
    return required[0] if required else ValueInfoProto()


def _declared(value: ValueInfoProto, complaints: Complaints) -> tuple[torch.dtype, tuple[int | None, ...] | None]:
    """The declared type and shape of the input."""
    kind: TypeProto = value.type
    if not kind.HasField("tensor_type"):
        complaints.add("The input is a tensor, not a sequence, map or optional value.", quoted(value.name))
        return torch.float32, None
    dtype = torch.float32
    try:
        dtype = tensors.element_type(kind.tensor_type.elem_type).torch
    except Unsupported as error:
        complaints.add("The input is a tensor of numbers.", f"{quoted(value.name)}: {error}")
    if not kind.tensor_type.HasField("shape"):
        return dtype, None
    dims = kind.tensor_type.shape.dim
    shape = tuple(dim.dim_value if dim.HasField("dim_value") else None for dim in dims)
    lengths = [length for length in shape if length is not None]
    if not 1 <= len(shape) <= MAX_RANK or any(not 0 < length <= MAX_LENGTH for length in lengths):
        rule = f"The input has 1 to {MAX_RANK} axes, each of a length from 1 to {MAX_LENGTH:,}."
        complaints.add(rule, str(shape[: MAX_RANK + 1]), "Export with the shape of the data.")
    return dtype, shape
