"""Reads the tensors of an ONNX file: initialisers, constants and attributes."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from onnx import TensorProto
from torch import Tensor

from app.onnx_models.complaints import Unsupported
from app.onnx_models.limits import MAX_RANK


@dataclass(frozen=True)
class ElementType:
    """How one of ONNX's types of elements is stored, and what it becomes here."""

    name: str
    stored: str
    """The numpy type of raw data."""
    field: str
    """The field of values that are not raw."""
    torch: torch.dtype


TYPES: dict[int, ElementType] = {
    TensorProto.FLOAT: ElementType("float32", "<f4", "float_data", torch.float32),
    TensorProto.DOUBLE: ElementType("float64", "<f8", "double_data", torch.float64),
    TensorProto.FLOAT16: ElementType("float16", "<f2", "int32_data", torch.float32),
    TensorProto.BFLOAT16: ElementType("bfloat16", "<u2", "int32_data", torch.float32),
    TensorProto.BOOL: ElementType("bool", "|u1", "int32_data", torch.bool),
    TensorProto.UINT8: ElementType("uint8", "|u1", "int32_data", torch.uint8),
    TensorProto.INT8: ElementType("int8", "|i1", "int32_data", torch.int8),
    TensorProto.INT16: ElementType("int16", "<i2", "int32_data", torch.int16),
    # Torch computes little with unsigned numbers of more than eight bits: the next larger type holds them.
    TensorProto.UINT16: ElementType("uint16", "<u2", "int32_data", torch.int32),
    TensorProto.INT32: ElementType("int32", "<i4", "int32_data", torch.int32),
    TensorProto.UINT32: ElementType("uint32", "<u4", "uint64_data", torch.int64),
    TensorProto.INT64: ElementType("int64", "<i8", "int64_data", torch.int64),
}
"""Half precision becomes float32: a model computes in one floating type, its module's."""
TYPE_NAMES = {number: name for name, number in TensorProto.DataType.items()}


def element_type(number: int) -> ElementType:
    """The type with ONNX's `number`; Unsupported for texts, complex numbers, 4-bit and 8-bit floats."""
    found = TYPES.get(number)
    if found is None:
        raise Unsupported(f"elements of the type {TYPE_NAMES.get(number, number)} are not supported")
    return found


def declared_bytes(tensor: TensorProto) -> int:
    """The bytes that a tensor will take here; Unsupported if its dimensions make no sense."""
    dims = tuple(tensor.dims)
    if len(dims) > MAX_RANK or min(dims, default=0) < 0:
        raise Unsupported(f"the dimensions {dims[:MAX_RANK]} are negative or more than {MAX_RANK}")
    return math.prod(dims) * element_type(tensor.data_type).torch.itemsize


def read(tensor: TensorProto) -> Tensor:
    """The values of a tensor, in memory of their own.

    Raises Unsupported for data outside the file, wrong sizes, unknown types, NaN, and infinity in more than one element
    (a scalar infinity is how attention is masked).
    """
    if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data or tensor.HasField("segment"):
        raise Unsupported("its data lies in another file")
    kind, dims = element_type(tensor.data_type), tuple(tensor.dims)
    declared_bytes(tensor)
    values = _values(tensor, kind, math.prod(dims)).reshape(dims)
    if values.dtype.kind == "f" and not np.isfinite(values).all() and (values.size > 1 or np.isnan(values).any()):
        raise Unsupported("it holds NaN or infinity")
    return torch.from_numpy(values).to(kind.torch)


def _values(tensor: TensorProto, kind: ElementType, count: int) -> np.ndarray:
    """The `count` values as numpy keeps them; a copy, never a view of the message."""
    stored = np.dtype(kind.stored)
    if tensor.HasField("raw_data"):
        if len(tensor.raw_data) != count * stored.itemsize:
            raise Unsupported(f"{len(tensor.raw_data):,} bytes do not fill its dimensions {tuple(tensor.dims)}")
        values = np.frombuffer(tensor.raw_data, stored).astype(stored.newbyteorder("="))
    else:
        found = getattr(tensor, kind.field)
        if len(found) != count:
            raise Unsupported(f"{len(found):,} values do not fill its dimensions {tuple(tensor.dims)}")
        values = _narrowed(np.array(found, kind.stored if stored.kind == "f" and stored.itemsize > 2 else None), kind)
    return (values.astype(np.uint32) << 16).view(np.float32) if kind.name == "bfloat16" else values


def _narrowed(values: np.ndarray, kind: ElementType) -> np.ndarray:
    """Values of a wider field in the type they are stored in; halves are stored as their bits."""
    stored = np.dtype(kind.stored).newbyteorder("=")
    if values.size == 0:
        return np.zeros(0, stored)
    if stored.kind == "f":
        return values.astype(np.uint16).view(stored) if stored.itemsize == 2 else values.astype(stored)
    bounds = np.iinfo(stored)
    if values.min() < bounds.min or values.max() > bounds.max:
        raise Unsupported(f"a value does not fit the type {kind.name}")
    return values.astype(stored)
