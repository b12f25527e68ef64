"""The model that a file becomes: a torch module with gradients."""

import re
from collections import Counter, OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor, nn

from app.onnx_models.limits import ModelLimits
from app.onnx_models.metering import Meter
from app.onnx_models.operators import QUANTISED
from app.onnx_models.operators.registry import Kernel
from app.onnx_models.programs import Program, Step, trace

FRAMES = 8
"""Input shapes whose static values are kept."""
NONE, INPUT = 0, 1
"""The places of an input that is left out, and of the model's own input."""


class Rows(StrEnum):
    """How a batch is run, so that no answer depends on the other inputs of its batch."""

    TOGETHER = "all rows at once"
    MAPPED = "each row as a batch of its own, vectorised"
    APART = "as many rows at a time as the file says"


@dataclass(frozen=True)
class _Move:
    """One live step, with its inputs and outputs as places in a list of values."""

    kernel: Kernel
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    done: tuple[int, ...]
    """The places that nobody reads afterwards."""


class OnnxModel(nn.Module):
    """An ONNX classifier as a torch module, as it is after training.

    `model(x)` takes (rows, ...) of any number of rows and gives one row each; it is differentiable with respect to x
    and to `model.parameters()`, and can be moved to another device or floating type. It computes the same as
    onnxruntime in single precision, and raises InvalidUpload when an input of another shape than was checked at loading
    would need too much memory, ValueError when it does not have the declared shape.
    """

    input_shape: tuple[int | None, ...]
    """With None for the rows and for lengths that the file leaves open."""
    output_shape: tuple[int | None, ...]
    rows: Rows
    rows_at_once: int
    """The number of rows that the file itself was made for: 1, if it leaves it open."""
    row_bytes: int
    """All intermediate results of one row, which a gradient keeps."""
    row_operations: int
    gives_probabilities: bool
    """Whether the outputs of a few random inputs are shares of one, however they were made."""

    def __init__(self, program: Program, opset: int, operators: Counter[str], limits: ModelLimits) -> None:
        super().__init__()
        self.opset, self.operators, self.limits = opset, operators, limits
        self.is_quantised = not QUANTISED.isdisjoint(operators)
        self.rows, self.rows_at_once, self.row_bytes, self.row_operations = Rows.TOGETHER, 1, 0, 0
        self.gives_probabilities = False
        self.program = program
        self._places: dict[tuple[str, bool], int] = {("", False): NONE, (program.input, False): INPUT}
        self._moves = self._compiled()
        self._output = self._places[program.output, False]
        self._frames: OrderedDict[tuple[object, ...], list[Tensor | None]] = OrderedDict()
        self._logits = self._before_softmax()
        self.weights = nn.Module()
        self._weights = self._registered()

    def follow(self, program: Program) -> None:
        """Compute with other kernels for the same nodes."""
        self.program = program
        self._moves = self._compiled()
        self._logits = self._before_softmax()
        self._frames.clear()

    @property
    def parameters_count(self) -> int:
        """The number of trained weights."""
        return sum(parameter.numel() for parameter in self.parameters())

    @property
    def dtype(self) -> torch.dtype:
        """The floating type that it computes in."""
        tensors = [*self.weights.parameters(), *self.weights.buffers()]
        return next((tensor.dtype for tensor in tensors if tensor.is_floating_point()), self.program.dtype)

    @property
    def ends_with_softmax(self) -> bool:
        """Whether the output is that of a softmax over classes; `logits` then gives what goes into it."""
        return self._logits is not None and len(self.output_shape) == 2

    def forward(self, x: Tensor) -> Tensor:
        """The output for each row of x."""
        return self._in_parts(x, self._moves, self._output)

    def logits(self, x: Tensor) -> Tensor:
        """The output for each row of x, or what goes into the final softmax: its gradients do not vanish."""
        if self._logits is None or not self.ends_with_softmax:
            return self(x)
        return self._in_parts(x, *self._logits)

    def _in_parts(self, x: Tensor, moves: tuple[_Move, ...], goal: int) -> Tensor:
        if x.ndim != len(self.input_shape) or any(
            want not in (None, length) for want, length in zip(self.input_shape, x.shape, strict=True)
        ):
            raise ValueError(f"the model takes inputs of the shape {self.input_shape}, not {tuple(x.shape)}")
        x = x.to(self.dtype) if x.is_floating_point() else x
        if len(x) == 0:
            return self.run(x.new_zeros(self.rows_at_once, *x.shape[1:]), moves, goal)[:0]
        if self.rows is Rows.APART:
            return self._apart(x, moves, goal)
        part = max(1, self.limits.run_bytes // max(1, self.row_bytes))
        results = [self._whole(rows, moves, goal) for rows in x.split(part)]
        return results[0] if len(results) == 1 else torch.cat(results)

    def _whole(self, x: Tensor, moves: tuple[_Move, ...], goal: int) -> Tensor:
        if self.rows is Rows.TOGETHER:
            return self.run(x, moves, goal)
        mapped: Tensor = torch.func.vmap(lambda row: self.run(row[None], moves, goal)[0])(x)
        return mapped

    def _apart(self, x: Tensor, moves: tuple[_Move, ...], goal: int) -> Tensor:
        """The rows in groups of the file's own size, the last one filled up with copies."""
        size = self.rows_at_once
        missing = -len(x) % size
        filled = torch.cat([x, x[-1:].expand(missing, *x.shape[1:])]) if missing else x
        return torch.cat([self.run(rows, moves, goal) for rows in filled.split(size)])[: len(x)]

    def run(self, x: Tensor, moves: tuple[_Move, ...] | None = None, goal: int | None = None) -> Tensor:
        """The output for all rows of x in one go, as the file has it."""
        dtype = self.dtype
        values = self._frame(tuple(x.shape), x.device, dtype).copy()
        for place, name, tensors in self._weights:
            values[place] = tensors[name]
        values[INPUT] = x
        for move in self._moves if moves is None else moves:
            result = move.kernel(*[values[place] for place in move.inputs])
            for place, value in zip(move.outputs, (result,) if isinstance(result, Tensor) else result, strict=True):
                values[place] = value.to(dtype) if value.is_floating_point() and value.dtype != dtype else value
            for place in move.done:
                values[place] = None
        output = values[self._output if goal is None else goal]
        if output is None:
            raise ValueError("the output was not computed")
        return output

    def _frame(self, shape: tuple[int, ...], device: torch.device, dtype: torch.dtype) -> list[Tensor | None]:
        """The values that are there before an input of this shape comes: all that does not depend on its values."""
        key = (shape, device, dtype)
        if key not in self._frames:
            self._frames[key] = self._new_frame(shape, device, dtype)
            while len(self._frames) > FRAMES:
                self._frames.popitem(last=False)
        self._frames.move_to_end(key)
        return self._frames[key]

    def _new_frame(self, shape: tuple[int, ...], device: torch.device, dtype: torch.dtype) -> list[Tensor | None]:
        limits, rows = self.limits, max(1, shape[0])
        meter = Meter(limits.tensor_bytes * rows, max(limits.sample_bytes, limits.run_bytes), limits.operations * rows)
        static = trace(self.program, shape, meter).static
        frame: list[Tensor | None] = [None] * len(self._places)
        for (name, on_host), place in self._places.items():
            if on_host:
                frame[place] = static[name] if name in static else self.program.constants[name]
            elif name in static:
                value = static[name].to(device)
                frame[place] = value.to(dtype) if value.is_floating_point() else value
        return frame

    def _compiled(self) -> tuple[_Move, ...]:
        steps = [step for step in self.program.steps if step.is_live]
        read = [self._inputs(step) for step in steps]
        written = [tuple(self._place(name, False) for name in step.outputs) for step in steps]
        last = {place: number for number, places in enumerate(read) for place in places}
        kept = {self._place(self.program.output, False), NONE}
        return tuple(
            _Move(step.kernel, read[number], written[number], self._done(number, read, last, kept))
            for number, step in enumerate(steps)
        )

    @staticmethod
    def _done(number: int, read: list[tuple[int, ...]], last: dict[int, int], kept: set[int]) -> tuple[int, ...]:
        return tuple({place for place in read[number] if last[place] == number} - kept)

    def _inputs(self, step: Step) -> tuple[int, ...]:
        names = step.node.inputs
        return tuple(self._place(name, bool(name) and step.on_host(place)) for place, name in enumerate(names))

    def _place(self, name: str, on_host: bool) -> int:
        return self._places.setdefault((name, on_host) if name else ("", False), len(self._places))

    def _registered(self) -> list[tuple[int, str, Mapping[str, Tensor | None]]]:
        """Every constant that live steps read, as a parameter or a buffer under a name that torch allows."""
        found: list[tuple[int, str, Mapping[str, Tensor | None]]] = []
        for (name, on_host), place in self._places.items():
            value = self.program.constants.get(name)
            if value is None or on_host:
                continue
            safe = f"{len(found)}_{re.sub(r'[^A-Za-z0-9_]', '_', name)[:80]}"
            is_weight = name in self.program.sources and value.is_floating_point() and value.ndim > 0
            if is_weight and name not in self.program.statistics:
                self.weights.register_parameter(safe, nn.Parameter(value))
                found.append((place, safe, self.weights._parameters))
            else:
                self.weights.register_buffer(safe, value)
                found.append((place, safe, self.weights._buffers))
        return found

    def _before_softmax(self) -> tuple[tuple[_Move, ...], int] | None:
        """The moves that lead to the input of a final softmax, and its place; None if there is none."""
        steps = [step for step in self.program.steps if step.is_live]
        made = {name: number for number, step in enumerate(steps) for name in step.outputs if name}
        number = made.get(self.program.output)
        while number is not None and steps[number].node.operator in {"Identity", "Cast", "Dropout"}:
            number = made.get(steps[number].node.inputs[0])
        if number is None or steps[number].node.operator != "Softmax":
            return None
        return self._moves[:number], self._moves[number].inputs[0]
