"""What is left to do for an input, after everything that does not depend on it was computed once.

Values are of three kinds. *Constant*: computed from weights alone, when the file is loaded. *Static*: computed from the
shape of the input alone, once for each shape. *Live*: computed from the input. Sizes and axes must never be live, so
the memory that a model takes is known before any of it is taken.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from app.onnx_models.complaints import Complaints, Unsupported, refusal
from app.onnx_models.limits import ModelLimits
from app.onnx_models.metering import COMPUTING_FAILED, Meter, without_memory
from app.onnx_models.nodes import Node
from app.onnx_models.operators import OPERATORS
from app.onnx_models.operators.registry import Kernel, Operator
from app.onnx_models.structure import Graph

FIX = "Check the file with onnxruntime; use layers of a common classifier."


@dataclass(frozen=True)
class Step:
    """One node, ready to run."""

    node: Node
    operator: Operator
    kernel: Kernel
    outputs: tuple[str, ...]
    """The outputs that are computed; "" for one that nobody asks for."""
    is_live: bool = True

    def on_host(self, place: int) -> bool:
        """Whether an input decides the size of the result."""
        return place in self.operator.host


@dataclass(frozen=True)
class Program:
    """The steps of a model, and the constants that they read."""

    input: str
    output: str
    dtype: torch.dtype
    """The floating type of all constants."""
    steps: tuple[Step, ...]
    constants: dict[str, Tensor]
    statistics: frozenset[str]
    """The constants that are weights, but not trained by gradients."""
    sources: frozenset[str]
    """The constants that come from initialisers, rather than from constants within the graph."""
    given: torch.dtype = torch.float32
    """The type of the input: `dtype`, or a type of whole numbers, such as those of words."""
    shadows: dict[str, Tensor] = field(default_factory=dict)
    """The constants without memory, made when they are first asked for."""

    def rebatched(self) -> "Program":
        """The program for many rows of a file that was written for one; whether that is true remains to be tried."""
        return replace(self, steps=tuple(map(_rebatched, self.steps)))


@dataclass(frozen=True)
class Trace:
    """What a program does with inputs of one shape."""

    static: dict[str, Tensor]
    output: tuple[int, ...]
    bytes: int
    operations: int


def _rebatched(step: Step) -> Step:
    change = step.operator.rebatched
    return replace(step, kernel=change(step.kernel)) if change and step.is_live else step


def compile_graph(graph: Graph, limits: ModelLimits) -> Program:
    """The program of a checked graph. Raises InvalidUpload for nodes that cannot be built or computed."""
    steps = _steps(graph)
    constants, from_weights = dict(graph.constants), set(graph.constants)
    meter = Meter(limits.tensor_bytes, limits.sample_bytes, limits.operations)
    left = []
    for step in steps:
        names = [name for name in step.node.inputs if name]
        if all(name in constants for name in names):
            constants.update(_folded(step, constants, meter))
            if from_weights.intersection(names):
                from_weights.update(step.outputs)
        else:
            left.append(step)
    left = _with_kinds(left, graph.input)
    used = {name for step in left for name in step.node.inputs} | {graph.output}
    dtype = torch.float64 if graph.dtype == torch.float64 else torch.float32
    kept = {name: _as(value, dtype) for name, value in constants.items() if name in used}
    statistics = frozenset(
        step.node.inputs[place] for step in left for place in step.operator.statistics if place < len(step.node.inputs)
    )
    given = dtype if graph.dtype.is_floating_point else graph.dtype
    return Program(graph.input, graph.output, dtype, tuple(left), kept, statistics, frozenset(from_weights), given)


def _as(value: Tensor, dtype: torch.dtype) -> Tensor:
    return value.to(dtype) if value.is_floating_point() else value


def _steps(graph: Graph) -> list[Step]:
    complaints, steps = Complaints(), list[Step]()
    missing: set[str] = set()
    for node in graph.nodes:
        operator = OPERATORS[node.operator]
        outputs = node.outputs if operator.many else node.outputs[:1]
        missing.update(name for name in node.outputs[len(outputs) :] if name)
        try:
            if missing.intersection(node.inputs) or not any(outputs):
                raise Unsupported("it needs a second output that is not computed here (a mask, an index, a statistic)")
            steps.append(Step(node, operator, operator.build(node), outputs))
        except COMPUTING_FAILED as error:
            complaints.add("Every node is of a kind that this importer computes.", f"{node}: {_words(error)}", FIX)
    if graph.output in missing:
        complaints.add("The output is the first one of its node.", "", FIX)
    complaints.raise_all()
    return steps


def _words(error: BaseException) -> str:
    return ascii(str(error).split("\n")[0][:160])[1:-1] or type(error).__name__


def _with_kinds(steps: list[Step], given: str) -> list[Step]:
    """The steps with their kind. Raises InvalidUpload where a size would depend on data."""
    live, complaints, kinds = {given}, Complaints(), []
    for step in steps:
        is_live = not step.operator.shape_only and not live.isdisjoint(step.node.inputs)
        if is_live:
            live.update(name for name in step.outputs if name)
        if is_live and any(name in live for place, name in enumerate(step.node.inputs) if step.on_host(place)):
            complaints.add("Shapes and axes are numbers that do not depend on the input's values.", str(step.node), FIX)
        kinds.append(replace(step, is_live=is_live))
    complaints.raise_all()
    return kinds


def _run(step: Step, inputs: list[Tensor | None]) -> tuple[Tensor, ...]:
    result = step.kernel(*inputs)
    results = tuple(result) if isinstance(result, tuple | list) else (result,)
    if len(results) != len(step.outputs):
        raise Unsupported("it does not give as many outputs as it should")
    return results


def _folded(step: Step, constants: dict[str, Tensor], meter: Meter) -> dict[str, Tensor]:
    """The outputs of a step whose inputs are all known; measured before it is run."""
    inputs = [constants[name] if name else None for name in step.node.inputs]
    try:
        with torch.no_grad():
            with meter:
                _run(step, [_shadow(value, step, place) for place, value in enumerate(inputs)])
            results = _run(step, inputs)
    except COMPUTING_FAILED as error:
        raise _uncomputable(step, error) from error
    return {name: value for name, value in zip(step.outputs, results, strict=True) if name}


def _shadow(value: Tensor | None, step: Step, place: int) -> Tensor | None:
    return value if value is None or step.on_host(place) or value.device.type == "meta" else without_memory(value)


def _uncomputable(step: Step, error: BaseException) -> Exception:
    return refusal(
        "Every node can be computed, within the limits of memory and time.", f"{step.node}: {_words(error)}", FIX
    )


def trace(program: Program, shape: tuple[int, ...], meter: Meter) -> Trace:
    """Follow inputs of `shape` through the program without computing anything but shapes.

    Raises InvalidUpload if a step cannot be computed or the meter's limits are reached.
    """
    if not program.shadows:
        program.shadows.update((name, without_memory(value)) for name, value in program.constants.items())
    static: dict[str, Tensor] = {}
    live = {program.input: torch.empty(shape, dtype=program.given, device="meta")}
    for step in program.steps:
        inputs = [_traced(name, place, step, program, static, live) for place, name in enumerate(step.node.inputs)]
        if not step.is_live and not step.operator.shape_only:
            static.update(_folded(step, {n: _known(n, program, static) for n in step.node.inputs if n}, meter))
            continue
        try:
            with torch.no_grad(), meter:
                results = _run(step, inputs)
        except COMPUTING_FAILED as error:
            raise _uncomputable(step, error) from error
        target: dict[str, Any] = live if step.is_live else static
        kept = (_as(value, program.dtype) if step.is_live else value for value in results)
        target.update((name, value) for name, value in zip(step.outputs, kept, strict=True) if name)
    output = live.get(program.output)
    if output is None:
        raise refusal("The output depends on the input.", "it is constant", FIX)
    return Trace(static, tuple(output.shape), meter.bytes, meter.operations)


def _known(name: str, program: Program, static: dict[str, Tensor]) -> Tensor:
    return static[name] if name in static else program.constants[name]


def _traced(
    name: str, place: int, step: Step, program: Program, static: dict[str, Tensor], live: dict[str, Tensor]
) -> Tensor | None:
    """An input of a step while it is traced: numbers where they decide sizes, shapes elsewhere."""
    if not name:
        return None
    if name in live:
        return live[name]
    if step.on_host(place):
        return _known(name, program, static)
    return _as(without_memory(static[name]), program.dtype) if name in static else program.shadows[name]
