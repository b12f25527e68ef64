"""One node of the graph, with its attributes read and checked against ONNX's own description of the operator."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from onnx import AttributeProto, NodeProto, defs
from torch import Tensor

from app.onnx_models import tensors
from app.onnx_models.complaints import Unsupported, quoted

DOMAINS = ("", "ai.onnx")
MAX_TEXT = 256
STILL_RUN = frozenset({"GroupNormalization"})
"""Deprecated from the start (opset 18 to 20), and exported all the same."""
READERS = {
    AttributeProto.INT: lambda attribute: attribute.i,
    AttributeProto.FLOAT: lambda attribute: attribute.f,
    AttributeProto.STRING: lambda attribute: _text(attribute.s),
    AttributeProto.INTS: lambda attribute: tuple(attribute.ints),
    AttributeProto.FLOATS: lambda attribute: tuple(attribute.floats),
    AttributeProto.TENSOR: lambda attribute: tensors.read(attribute.t),
}
"""Attributes that are graphs, lists of texts, sparse or several tensors, or types are not on this list."""

TYPES = {
    defs.OpSchema.AttrType.INT: AttributeProto.INT,
    defs.OpSchema.AttrType.FLOAT: AttributeProto.FLOAT,
    defs.OpSchema.AttrType.STRING: AttributeProto.STRING,
    defs.OpSchema.AttrType.INTS: AttributeProto.INTS,
    defs.OpSchema.AttrType.FLOATS: AttributeProto.FLOATS,
    defs.OpSchema.AttrType.TENSOR: AttributeProto.TENSOR,
}


@dataclass(frozen=True)
class Node:
    """A node whose operator exists in the file's opset; missing attributes have ONNX's defaults."""

    name: str
    operator: str
    version: int
    """The opset that brought the operator's present meaning."""
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]

    def integer(self, name: str, default: int = 0) -> int:
        """An attribute that is a whole number."""
        return int(self.attributes.get(name, default))

    def real(self, name: str, default: float = 0.0) -> float:
        """An attribute that is a number."""
        return float(self.attributes.get(name, default))

    def text(self, name: str, default: str = "") -> str:
        """An attribute that is a text."""
        return str(self.attributes.get(name, default))

    def integers(self, name: str) -> tuple[int, ...] | None:
        """An attribute that is a list of whole numbers; None if it is absent."""
        found = self.attributes.get(name)
        return None if found is None else tuple(map(int, found))

    def tensor(self, name: str) -> Tensor | None:
        """An attribute that is a tensor; None if it is absent."""
        found: Tensor | None = self.attributes.get(name)
        return found

    def only(self, name: str, *allowed: Any) -> None:
        """Raise Unsupported unless the attribute is absent or one of the `allowed` values."""
        if name in self.attributes and self.attributes[name] not in allowed:
            raise Unsupported(f"{name}={str(self.attributes[name])[:40]} is not supported")

    def __str__(self) -> str:
        return f"{self.operator} {quoted(self.name or (self.outputs[0] if self.outputs else ''))}"


def read(proto: NodeProto, opset: int) -> Node:
    """The node as the opset defines it. Raises Unsupported with the first thing that is wrong."""
    schema = _schema(proto, opset)
    if not schema.min_input <= len(proto.input) <= schema.max_input:
        raise Unsupported(f"{len(proto.input)} inputs are not what the operator takes")
    if not max(1, schema.min_output) <= len(proto.output) <= schema.max_output:
        raise Unsupported(f"{len(proto.output)} outputs are not what the operator gives")
    attributes = {name: value for attribute in proto.attribute for name, value in [_attribute(attribute, schema)]}
    if len(attributes) < len(proto.attribute):
        raise Unsupported("an attribute is given twice")
    for name, known in schema.attributes.items():
        if name not in attributes and known.required:
            raise Unsupported(f"the attribute {name} is missing")
        if name not in attributes and known.default_value.type:
            attributes[name] = READERS[known.default_value.type](known.default_value)
    inputs, outputs = tuple(proto.input), tuple(proto.output)
    return Node(proto.name, proto.op_type, schema.since_version, inputs, outputs, attributes)


def _schema(proto: NodeProto, opset: int) -> defs.OpSchema:
    if not defs.has(proto.op_type, max_inclusive_version=opset):
        raise Unsupported(f"the operator does not exist in opset {opset}")
    schema = defs.get_schema(proto.op_type, opset, "")
    if schema.deprecated and proto.op_type not in STILL_RUN:
        raise Unsupported(f"the operator is no longer part of opset {opset}")
    return schema


def _attribute(proto: AttributeProto, schema: defs.OpSchema) -> tuple[str, Any]:
    known = schema.attributes.get(proto.name)
    if known is None:
        raise Unsupported(f"the attribute {quoted(proto.name)} does not exist in this opset")
    if proto.ref_attr_name or proto.type not in READERS or proto.type != TYPES.get(known.type):
        raise Unsupported(f"the attribute {proto.name} is of a type that is not supported")
    return proto.name, READERS[proto.type](proto)


def _text(value: bytes) -> str:
    if len(value) > MAX_TEXT or not value.isascii():
        raise Unsupported("a text attribute is too long or not ASCII")
    return value.decode("ascii")
