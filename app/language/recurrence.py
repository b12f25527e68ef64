"""An LSTM layer over sentences of different lengths, with a backward pass written by hand: the fast way on a CPU.

Sentences are packed much as in `torch.nn.utils.rnn.PackedSequence`: first words first, so that step t works on
`counts[t]` words and nothing is ever padded. A word may be the one before several others, when sentences begin alike.
The result is that of `torch.nn.LSTM`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

Step = tuple[slice, slice | None, Tensor | None]
"""The words of a step, those of the step before, and places among these, None if each is followed by its own."""
_of_sigmoid = torch.ops.aten.sigmoid_backward.grad_input
_of_tanh = torch.ops.aten.tanh_backward.grad_input


@dataclass(frozen=True)
class Order:
    """Which word follows which."""

    counts: tuple[int, ...]
    """How many words are the first ones, the second ones, and so on."""
    before: Tensor
    """(n - counts[0],): the place of the word before each of the others."""
    shared: int
    """From this step on, the words follow the first ones of the step before, in their order."""

    def steps(self) -> Iterator[Step]:
        """First to last."""
        last = slice(0, self.counts[0])
        yield last, None, None
        for step, count in enumerate(self.counts[1:], 1):
            now = slice(last.stop, last.stop + count)
            if step > self.shared:
                yield now, slice(last.start, last.start + count), None
            else:
                yield now, last, self.before[now.start - self.counts[0] : now.stop - self.counts[0]] - last.start
            last = now


class Recurrence(torch.autograd.Function):
    """(what each word brings to the gates (words, 4 H), words (n,), weights (4 H, H), order) -> states (n, H).

    The gates are those of `torch.nn.LSTM`, in its order: input, forget, cell, output.
    """

    @staticmethod
    def forward(ctx: Any, brought: Tensor, words: Tensor, weight: Tensor, order: Order) -> Tensor:
        """Each step's gates, cells and states, one step after another, from empty memory."""
        n, size = len(words), weight.shape[1]
        gates, turned = brought.new_empty(n, 4 * size), weight.t().contiguous()
        cells, squashed, states = (brought.new_empty(n, size) for _ in range(3))
        for now, old, places in order.steps():
            # Step by step, what is written is still at hand when it is read.
            torch.index_select(brought, 0, words[now], out=gates[now])
            of_old = None if old is None else (_at(states[old], places), _at(cells[old], places))
            _forward(gates[now], cells[now], squashed[now], states[now], of_old, turned)
        ctx.save_for_backward(gates, cells, squashed, states, words, weight)
        ctx.order, ctx.known = order, len(brought)
        return states

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None, Tensor, None]:
        """Back through time; the weights' gradient is one product over all steps."""
        gates, cells, squashed, states, words, weight = ctx.saved_tensors
        steps, found = list(ctx.order.steps()), torch.empty_like(gates)
        brought = found.new_zeros(ctx.known, found.shape[1])
        last = steps[-1][0]
        slope, cell_slope = slopes[0][last].clone(), torch.zeros_like(cells[last])
        for (now, old, places), (before, *_) in zip(steps[:0:-1], steps[-2::-1], strict=True):
            given = found[now]
            _backward(gates[now], given, _at(cells[old], places), squashed[now], slope, cell_slope)
            brought.index_add_(0, words[now], given)
            slope, moved, cell_slope = slopes[0][before].clone(), cell_slope, torch.zeros_like(cells[before])
            if places is None:
                slope[: len(given)].addmm_(given, weight)
                cell_slope[: len(given)] = moved
            else:
                slope.index_add_(0, places, given @ weight)
                cell_slope.index_add_(0, places, moved)
        first = steps[0][0]
        _backward(gates[first], found[first], None, squashed[first], slope, cell_slope)
        brought.index_add_(0, words[first], found[first])
        later = found[first.stop :]
        return brought, None, later.t() @ states.index_select(0, ctx.order.before), None


def _at(values: Tensor, places: Tensor | None) -> Tensor:
    return values if places is None else values.index_select(0, places)


def _forward(
    gates: Tensor,
    cell: Tensor,
    squashed: Tensor,
    state: Tensor,
    old: tuple[Tensor, Tensor] | None,
    turned: Tensor,
) -> None:
    """One step: c' = f c + i g and h = o tanh c', from the `old` (h, c); gates are given without what h brings."""
    size = len(turned)
    if old is not None:
        gates.addmm_(old[0], turned)
    gates[:, : 2 * size].sigmoid_()
    gates[:, 3 * size :].sigmoid_()
    i, f, g, o = gates.chunk(4, 1)
    torch.mul(i, g.tanh_(), out=cell)
    if old is not None:
        cell.addcmul_(f, old[1])
    torch.tanh(cell, out=squashed)
    torch.mul(o, squashed, out=state)


def _backward(
    gates: Tensor, found: Tensor, old_cells: Tensor | None, squashed: Tensor, slope: Tensor, cell_slope: Tensor
) -> None:
    """The slopes `found` by what goes into the gates of one step; `cell_slope` becomes that of the step before."""
    size = squashed.shape[1]
    i, f, g, o = gates.chunk(4, 1)
    of_i, of_f, of_g, of_o = found.chunk(4, 1)
    torch.mul(slope, squashed, out=of_o)
    through = slope * o
    cell_slope.add_(_of_tanh(through, squashed, grad_input=through))
    torch.mul(cell_slope, g, out=of_i)
    torch.mul(cell_slope, i, out=of_g)
    if old_cells is None:
        of_f.zero_()
    else:
        torch.mul(cell_slope, old_cells, out=of_f)
    cell_slope.mul_(f)
    both, given = gates[:, : 2 * size], found[:, : 2 * size]
    _of_sigmoid(given, both, grad_input=given)
    _of_sigmoid(of_o, o, grad_input=of_o)
    _of_tanh(of_g, g, grad_input=of_g)
