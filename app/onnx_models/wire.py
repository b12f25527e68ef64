"""Walks over the protobuf encoding before anything is built from it.

A protobuf library makes an object of some hundred bytes from an empty message of two, so that a small file can take
gigabytes. This walk only counts, and follows the nesting that the ONNX format has.
"""

from dataclasses import dataclass
from functools import cache

from google.protobuf.descriptor import Descriptor, FieldDescriptor  # type: ignore[import-untyped]
from onnx import ModelProto

from app.onnx_models.complaints import Unsupported

MAX_DEPTH = 24
MAX_PACKED = 1 << 25
"""Bytes of numbers of variable length: each may become eight bytes in memory."""
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
NUMBERS = {
    FieldDescriptor.TYPE_INT32,
    FieldDescriptor.TYPE_INT64,
    FieldDescriptor.TYPE_UINT64,
    FieldDescriptor.TYPE_ENUM,
}
"""The types of ONNX's fields that are numbers of variable length."""


@dataclass
class _Budget:
    fields: int
    packed: int = MAX_PACKED

    def take(self, fields: int, packed: int = 0) -> None:
        self.fields -= fields
        self.packed -= packed
        if self.fields < 0:
            raise Unsupported("it has too many parts")
        if self.packed < 0:
            raise Unsupported("too many numbers of variable length, use raw_data")


def check(data: bytes, max_fields: int) -> None:
    """Raise Unsupported if the file is damaged, nested too deeply or has more than `max_fields` parts."""
    budget = _Budget(max_fields)
    todo: list[tuple[int, int, Descriptor, int]] = [(0, len(data), ModelProto.DESCRIPTOR, 0)]
    while todo:
        start, end, message, depth = todo.pop()
        if depth > MAX_DEPTH:
            raise Unsupported(f"its parts are nested more than {MAX_DEPTH} deep")
        for number, first, last in _fields(data, start, end, budget):
            child, kind = _kinds(message).get(number, (None, FieldDescriptor.TYPE_BYTES))
            if child is not None:
                todo.append((first, last, child, depth + 1))
            elif kind in NUMBERS:
                budget.take(0, last - first)
            elif kind == FieldDescriptor.TYPE_STRING:
                _check_text(data[first:last])


@cache
def _kinds(message: Descriptor) -> dict[int, tuple[Descriptor | None, int]]:
    """Of each field: the message in it, if it holds one, and its type."""
    return {field.number: (field.message_type, field.type) for field in message.fields}


def _check_text(text: bytes) -> None:
    # The library would hand out bytes for such a name, and everything else expects a text.
    try:
        text.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Unsupported("a name in it is no UTF-8 text") from error


def _fields(data: bytes, position: int, end: int, budget: _Budget) -> list[tuple[int, int, int]]:
    """The number, start and end of each field of variable size between two positions."""
    found = []
    while position < end:
        budget.take(1)
        tag, position = _varint(data, position, end)
        kind = tag & 7
        if kind == BYTES:
            size, position = _varint(data, position, end)
            found.append((tag >> 3, position, position + size))
            position += size
        elif kind == VARINT:
            _, position = _varint(data, position, end)
        elif kind in (FIXED32, FIXED64):
            position += 4 if kind == FIXED32 else 8
        else:
            raise Unsupported("it is no protobuf")
        if position > end:
            raise Unsupported("it is cut off or damaged")
    return found


def _varint(data: bytes, position: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while position < end and shift < 64:
        byte = data[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, position
        shift += 7
    raise Unsupported("it is cut off or damaged")
