"""An LSTM layer over sentences of different lengths, with a backward pass written by hand: the fast way on a CPU.

Sentences are packed as in `torch.nn.utils.rnn.PackedSequence`: sorted by falling length, first words first, so that
step t works on the first `counts[t]` sentences and nothing is ever padded. The result is that of `torch.nn.LSTM`.
"""

import itertools
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

_of_sigmoid = torch.ops.aten.sigmoid_backward.grad_input
_of_tanh = torch.ops.aten.tanh_backward.grad_input


class Recurrence(torch.autograd.Function):
    """(what each word brings to the gates (words, 4 H), words (n,), weights (4 H, H), counts) -> states (n, H).

    The gates are those of `torch.nn.LSTM`, in its order: input, forget, cell, output.
    """

    @staticmethod
    def forward(ctx: Any, brought: Tensor, words: Tensor, weight: Tensor, counts: tuple[int, ...]) -> Tensor:
        """Each step's gates, cells and states, one step after another, from empty memory."""
        size = weight.shape[1]
        gates, turned = brought.index_select(0, words), weight.t().contiguous()
        cells, squashed, states = (brought.new_empty(len(words), size) for _ in range(3))
        before, end = slice(0, 0), 0
        for count in counts:
            now, end = slice(end, end + count), end + count
            before = slice(before.start, before.start + count)
            _forward(gates[now], cells, squashed[now], states, (before, now), turned)
            before = now
        ctx.save_for_backward(gates, cells, squashed, states, words, weight)
        ctx.counts, ctx.known = counts, len(brought)
        return states

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None, Tensor, None]:
        """Back through time; the weights' gradient is one product over all steps."""
        gates, cells, squashed, states, words, weight = ctx.saved_tensors
        counts = ctx.counts
        total, first = len(gates), counts[0]
        slope, found = slopes[0].clone(), torch.empty_like(gates)
        cell_slope = gates.new_zeros(first, weight.shape[1])
        now = slice(total, total)
        for step in range(len(counts) - 1, -1, -1):
            now = slice(now.start - counts[step], now.start)
            old = slice(now.start - counts[step - 1], now.start - counts[step - 1] + counts[step]) if step else None
            moved = cell_slope[: counts[step]]
            _backward(gates[now], found[now], None if old is None else cells[old], squashed[now], slope[now], moved)
            if old is not None:
                slope[old].addmm_(found[now], weight)
        places = _earlier(counts, gates.device)
        brought = found.new_zeros(ctx.known, found.shape[1]).index_add_(0, words, found)
        return brought, None, found[first:].t() @ states.index_select(0, places), None


def _earlier(counts: tuple[int, ...], device: torch.device) -> Tensor:
    """For each word but the first ones, the place of the word before it."""
    found, start = [], 0
    for count, following in itertools.pairwise(counts):
        found.append(torch.arange(start, start + following))
        start += count
    return torch.cat(found or [torch.empty(0, dtype=torch.int64)]).to(device)


def _forward(
    gates: Tensor, cells: Tensor, squashed: Tensor, states: Tensor, places: tuple[slice, slice], turned: Tensor
) -> None:
    """One step: c' = f c + i g and h = o tanh c', into the places (of the step before, of this one)."""
    old, now = places
    size = len(turned)
    cell = cells[now]
    if old.start != now.start:
        gates.addmm_(states[old], turned)
    gates[:, : 2 * size].sigmoid_()
    gates[:, 3 * size :].sigmoid_()
    i, f, g, o = gates.chunk(4, 1)
    torch.mul(i, g.tanh_(), out=cell)
    if old.start != now.start:
        cell.addcmul_(f, cells[old])
    torch.tanh(cell, out=squashed)
    torch.mul(o, squashed, out=states[now])


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
