"""Runs a loaded model on a few inputs, to learn how it treats a batch and what its output is."""

import warnings

import torch
from torch import Tensor

from app.errors import InvalidUpload
from app.onnx_models.complaints import refusal
from app.onnx_models.metering import COMPUTING_FAILED, Meter
from app.onnx_models.model import OnnxModel, Rows
from app.onnx_models.programs import FIX, trace

LENGTHS = (32, 28, 64, 224, 8, 299)
"""Lengths that are tried where a file leaves an axis open."""
TOLERANCE = 1e-4
Shape = tuple[int | None, ...]


def settle(model: OnnxModel, program_dtype: torch.dtype, declared: Shape | None, example: Shape | None) -> None:
    """Find out shapes, memory and the way to run a batch, and write them into the model.

    Raises InvalidUpload if the model cannot be run, or if its answer for an input depends on its neighbours.
    """
    shape = _shape(declared, example)
    rows = shape[0] or 1
    one = _workable(model, rows, shape)
    model.input_shape, model.rows_at_once = (None, *shape[1:]), rows
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(3 * rows, *one[1:], generator=generator)
    x = x.to(model.dtype) if program_dtype.is_floating_point else (2 * x).to(program_dtype)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("error")
        wanted = _alone(model, x, rows)
        model.output_shape = (None, *wanted.shape[1:])
        model.rows = _way(model, x, wanted, rows)
    model.gives_probabilities = _are_shares(wanted)


def _are_shares(output: Tensor) -> bool:
    """Whether every row has no negative number and the sum one."""
    sums = output.sum(-1)
    return output.ndim == 2 and bool((output >= 0).all()) and _is_same(sums, torch.ones_like(sums))


def _shape(declared: Shape | None, example: Shape | None) -> Shape:
    if declared is None and example is None:
        raise refusal("The input declares its shape.", "no shape", "Export with the shape of the data.")
    shape = declared or (None, *(example or ()))
    if len(shape) < 2:
        raise refusal("The input has a first axis for rows, and at least one more.", str(shape), FIX)
    if example is None:
        return shape
    given = (None, *example)
    if len(given) != len(shape) or any(
        a is not None and b is not None and a != b for a, b in zip(given, shape, strict=True)
    ):
        raise refusal(
            f"The model takes inputs of the shape {example}.", str(shape), "Export with the shape of the data."
        )
    return tuple(a if b is None else b for a, b in zip(given, shape, strict=True))


def _workable(model: OnnxModel, rows: int, shape: Shape) -> tuple[int, ...]:
    """The shape of a batch that the model can compute, within its limits; notes what one row takes."""
    limits = model.limits
    problem: InvalidUpload | None = None
    for length in LENGTHS if None in shape[1:] else LENGTHS[:1]:
        one = (rows, *(length if axis is None else axis for axis in shape[1:]))
        meter = Meter(limits.tensor_bytes * rows, limits.sample_bytes * rows, limits.operations * rows)
        try:
            found = trace(model.program, one, meter)
        except InvalidUpload as error:
            problem = problem or error
            continue
        if not found.output or found.output[0] != rows:
            raise refusal("The output has one row for each row of the input.", str(found.output), FIX)
        model.row_bytes, model.row_operations = found.bytes // rows, found.operations // rows
        return one
    raise problem or refusal("The model can be computed.", "", FIX)


def _alone(model: OnnxModel, x: Tensor, rows: int) -> Tensor:
    """The output for groups of as many rows as the file was made for."""
    try:
        output = torch.cat([model.run(part) for part in x.split(rows)])
    except COMPUTING_FAILED as error:
        raise refusal("The model can be computed.", ascii(str(error).split("\n")[0][:200]), FIX) from error
    if len(output) != len(x):
        raise refusal("The output has one row for each row of the input.", str(tuple(output.shape)), FIX)
    if not output.isfinite().all():
        raise refusal("The output is finite for inputs between 0 and 1.", "NaN or infinity", FIX)
    return output


def _way(model: OnnxModel, x: Tensor, wanted: Tensor, rows: int) -> Rows:
    """The fastest way to run a batch that gives each row the answer that it has alone."""
    if rows > 1 and not _is_independent(model, x, wanted, rows):
        raise refusal(
            "The output for a row does not depend on other rows.", f"a batch of {rows}", "Export a batch of 1."
        )
    written = model.program
    ways = [(Rows.TOGETHER, written), (Rows.TOGETHER, written.rebatched()), (Rows.MAPPED, written)]
    for way, program in ways if rows == 1 else ways[:1]:
        model.rows = way
        model.follow(program)
        try:
            found = model(x)
        except (*COMPUTING_FAILED, InvalidUpload, Warning):
            continue
        if _is_same(found, wanted):
            return way
    model.follow(written)
    return Rows.APART


def _is_independent(model: OnnxModel, x: Tensor, wanted: Tensor, rows: int) -> bool:
    mixed = torch.cat([x[:1], x[rows + 1 : 2 * rows]])
    return _is_same(model.run(mixed)[:1], wanted[:1])


def _is_same(found: Tensor, wanted: Tensor) -> bool:
    return found.shape == wanted.shape and torch.allclose(found, wanted, TOLERANCE, TOLERANCE, equal_nan=True)
