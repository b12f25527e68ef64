"""The LSTM layer, in plain steps: so it has gradients of every order and runs under `torch.func.vmap`."""

from collections.abc import Iterator

import torch
from torch import Tensor

from app.onnx_models.complaints import Unsupported
from app.onnx_models.nodes import Node
from app.onnx_models.operators.registry import Kernel, Operator

MAX_STEPS = 1024
DIRECTIONS = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}
"""Direction -> for each of its layers, whether it runs from the end to the start."""
States = tuple[Tensor, Tensor, Tensor]


def _lstm(node: Node) -> Kernel:
    reversals = DIRECTIONS.get(node.text("direction", "forward"))
    if reversals is None:
        raise Unsupported("the direction is none that is known")
    if "activations" in node.attributes or "clip" in node.attributes:
        raise Unsupported("activations and a clip of its own are not supported")
    node.only("input_forget", 0)
    node.only("layout", 0)

    def run(x: Tensor, w: Tensor, r: Tensor, *more: Tensor | None) -> tuple[Tensor, ...]:
        bias, lengths, h, c, peepholes = (*more, *(None,) * 5)[:5]
        if lengths is not None or peepholes is not None:
            raise Unsupported("sequence lengths and peepholes are not supported")
        _check_shapes(x, w, r, len(reversals))
        start = x.new_zeros(len(reversals), x.shape[1], r.shape[-1])
        h, c = (start if state is None else state for state in (h, c))
        layers = [
            _layer(x, w[place], r[place], None if bias is None else bias[place], (h[place], c[place]), is_reverse)
            for place, is_reverse in enumerate(reversals)
        ]
        states, last, cells = zip(*layers, strict=True)
        return (torch.stack(states, 1), torch.stack(last), torch.stack(cells))[: len(node.outputs)]

    return run


def _check_shapes(x: Tensor, w: Tensor, r: Tensor, directions: int) -> None:
    if x.ndim != 3 or w.ndim != 3 or r.ndim != 3 or w.shape[0] != directions or r.shape[0] != directions:
        raise Unsupported("its inputs are not a sequence of rows and weights for each direction")
    if not 1 <= x.shape[0] <= MAX_STEPS:
        raise Unsupported(f"the sequence has not 1 to {MAX_STEPS:,} steps")


def _layer(
    x: Tensor, w: Tensor, r: Tensor, bias: Tensor | None, start: tuple[Tensor, Tensor], is_reverse: bool
) -> States:
    """All states (T, N, H), the last state and the last cell (N, H), of one direction."""
    given = x @ w.t()
    if bias is not None:
        ours, theirs = bias.chunk(2)
        given = given + (ours + theirs)
    steps = given.flip(0) if is_reverse else given
    found = list(_steps(steps, r.t(), *start))
    states = torch.stack([state for state, _ in found])
    return states.flip(0) if is_reverse else states, *found[-1]


def _steps(given: Tensor, r: Tensor, h: Tensor, c: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    for step in given.unbind(0):
        enter, leave, keep, new = (step + h @ r).chunk(4, -1)
        c = keep.sigmoid() * c + enter.sigmoid() * new.tanh()
        h = leave.sigmoid() * c.tanh()
        yield h, c


OPERATORS: dict[str, Operator] = {"LSTM": Operator(_lstm, many=True)}
