"""The sweeps through layers with weights, whose gradients are errors^T inputs; see `passes`, and `factors`."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import conv2d, linear, pad

from app.attacks.gradients.factors import Factors, dense_sums, factored_sums, meet
from app.attacks.gradients.passes import Pass, first, last

DIRECT = 4
"""Records of a problem from which on PyTorch's own convolution is used for it."""


class Pull(NamedTuple):
    """The slope of a distance by a gradient g with the target G: alpha g + beta G, (P, 1, 1) each.

    Without a beta it is alpha (g - G), which keeps its digits where the two are close.
    """

    alpha: Tensor
    beta: Tensor | None

    def of(self, found: Tensor, target: Tensor) -> Tensor:
        """(P, ...): the slope."""
        if self.beta is None:
            return self.alpha * (found - target)
        return torch.addcmul(self.beta * target, self.alpha, found)

    def of_target(self, target: Tensor) -> Tensor:
        """(P, ...): its part along the target."""
        return (-self.alpha if self.beta is None else self.beta) * target


class Given(NamedTuple):
    """What a layer with weights has to know of P problems; images' weights and gradients have their channels last."""

    weight: Tensor
    """(P, m, K), or (m, K) where all problems have the same."""
    bias: Tensor | None
    target: Tensor | Factors
    """(P, m, K): the shared gradient."""
    target_bias: Tensor | None
    """(P, m)."""
    back: Tensor | None = None
    """Of a convolution: the weights that lead from outputs to inputs, as `Window.turn` makes them."""


class Affine(Pass):
    """A layer with weights; here a linear one."""

    def __init__(self, given: Given) -> None:
        self._given = given

    def forward(self, h: Tensor) -> Tensor:
        """As of `Pass`."""
        self._inputs = h
        return times(self._inputs, self._given.weight, self._given.bias)

    def backward(self, e: Tensor, onwards: bool) -> Tensor:
        """As of `Pass`."""
        self._errors = e
        self._meet()
        return times(e, self._given.weight.mT) if onwards else e

    def sums(self, kind: str) -> list[Tensor]:
        """(P, n) for weight and bias each, after `backward`: |g - G|^2 for l2, <g, G> and |g|^2 for the cosine."""
        target, bias = self._given.target, self._given.target_bias
        if isinstance(target, Factors):
            found = [factored_sums(self._inputs, self._errors, self._met, target, kind)]
        else:
            found = [dense_sums(self._found, target, kind)]
        return found if bias is None else [*found, dense_sums(self._found_bias, bias, kind)]

    def pull(self, weight: Pull, bias: Pull) -> None:
        """Take the slopes of the distance by the gradients, before `tangent`; the bias may be missing."""
        self._pull = weight
        target, target_bias = self._given.target, self._given.target_bias
        if isinstance(target, Factors):
            self._shares = weight.of(self._met.within, target.shares)
        else:
            self._along = weight.of(self._found, target)
        if target_bias is not None:
            self._along_bias = bias.of(self._found_bias[:, None], target_bias[:, None])

    def tangent(self, t: Tensor | None) -> Tensor | None:
        """As of `Pass`."""
        moved = self._shift(self._moved())
        return moved if t is None else moved + times(t, self._given.weight)

    def reverse(self, u: Tensor) -> Tensor:
        """As of `Pass`."""
        through = times(u, self._given.weight.mT)
        target = self._given.target
        if not isinstance(target, Factors):
            return torch.baddbmm(through, self._errors, self._along)
        through = torch.baddbmm(through, self._errors @ self._shares, target.basis)
        through = torch.baddbmm(through, self._pull.alpha * (self._errors @ self._errors.mT), self._met.outside)
        if target.rest is None:
            return through
        return through + self._errors @ self._pull.of_target(target.rest)

    def _meet(self) -> None:
        """Form the gradient; of a wide layer what takes its place."""
        target = self._given.target
        if self._given.target_bias is not None:
            self._found_bias = self._errors.sum(1)
        if not isinstance(target, Factors):
            self._found = torch.bmm(self._errors.mT, self._inputs)
            return
        self._met = meet(self._inputs, self._errors, target)

    def _moved(self) -> Tensor:
        """The inputs times the pull of the weights."""
        target = self._given.target
        if not isinstance(target, Factors):
            return torch.bmm(self._inputs, self._along.mT)
        moved = self._met.inside @ self._shares.mT
        moved = torch.baddbmm(moved, self._pull.alpha * (self._met.outside @ self._met.outside.mT), self._errors)
        if target.rest is None:
            return moved
        return moved + self._inputs @ self._pull.of_target(target.rest).mT

    def _shift(self, moved: Tensor) -> Tensor:
        return moved if self._given.bias is None else moved + self._along_bias


@dataclass(frozen=True)
class Window:
    """How a convolution looks at an image."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]

    @property
    def blocks(self) -> tuple[int, int]:
        """How many outputs, down and across, an input can count in."""
        (down, across), (by, over) = self.kernel, self.stride
        return -(-down // by), -(-across // over)

    def margins(self, inputs: tuple[int, int], outputs: tuple[int, int]) -> tuple[int, int, int, int]:
        """What outputs lack, or have too much, left, right, above and below, to be seen by all blocks of inputs."""
        found = []
        for axis in (1, 0):
            stride, start = self.stride[axis], self.padding[axis]
            early, late = start // stride, (start + inputs[axis] - 1) // stride
            found += [self.blocks[axis] - 1 - early, late - outputs[axis] + 1]
        return found[0], found[1], found[2], found[3]

    def turn(self, weight: Tensor, channels: int) -> Tensor:
        """(..., blocks * m, stride * C): from outputs back to blocks of inputs, by weights (..., m, kernel * C)."""
        (down, across), (by, over), (tall, wide) = self.kernel, self.stride, self.blocks
        rows = weight.shape[-2]
        kernel = weight.reshape(-1, rows, down, across, channels)
        kernel = pad(kernel, (0, 0, 0, wide * over - across, 0, tall * by - down))
        kernel = kernel.reshape(-1, rows, tall, by, wide, over, channels).flip(2, 4).permute(0, 2, 4, 1, 3, 5, 6)
        return kernel.reshape(*weight.shape[:-2], tall * wide * rows, by * over * channels)


class Convolution(Affine):
    """A convolution as a linear layer of patches.

    On the way back an input is a sum over the few outputs that it counts in: inputs are taken in blocks as large as
    the stride, and the slopes of a block are a convolution, with stride 1, of the slopes by the outputs.
    """

    def __init__(self, given: Given, window: Window) -> None:
        """With weights that look at images through a window."""
        super().__init__(given)
        self._window = window

    def forward(self, h: Tensor) -> Tensor:
        """As of `Pass`."""
        self._shape = h.shape
        above, aside = self._window.padding
        self._inputs, grid = patches(h, self._window.kernel, self._window.stride, (aside, aside, above, above))
        self._grid = (*grid, self._given.weight.shape[-2])
        return times(self._inputs, self._given.weight, self._given.bias).reshape(self._grid)

    def backward(self, e: Tensor, onwards: bool) -> Tensor:
        """As of `Pass`."""
        self._errors, self._images = e.flatten(2, 3).flatten(1, 2), e
        self._meet()
        if self._is_direct:
            return self._unblocked(self._convolved(e, self._back[None])) if onwards else e
        self._around = self._seen(e)
        return self._unblocked(torch.matmul(self._around, self._back)) if onwards else e

    def tangent(self, t: Tensor | None) -> Tensor | None:
        """As of `Pass`."""
        moved = self._shift(self._moved()).reshape(self._grid)
        return moved if t is None else moved + self._through(t)

    def reverse(self, u: Tensor) -> Tensor:
        """As of `Pass`."""
        back, along = self._back, self._window.turn(self._along, self._shape[4])
        if self._is_direct:
            # Both slopes go one way, as channels of one convolution.
            rows = self._window.blocks[0] * self._window.blocks[1]
            kernels = (part.unflatten(1, (rows, -1)) for part in (along, back.expand(along.shape)))
            both = torch.cat((self._images, u), 4)
            return self._unblocked(self._convolved(both, torch.cat(tuple(kernels), 2).flatten(1, 2)))
        through = torch.bmm(self._around, along)
        if back.ndim == 3:
            return self._unblocked(torch.baddbmm(through, self._seen(u), back))
        return self._unblocked(through + torch.matmul(self._seen(u), back))

    @property
    def _is_direct(self) -> bool:
        """Whether PyTorch's own convolution pays on the way back: without patches, but with a call for each problem."""
        return self._given.weight.ndim == 2 and self._shape[1] >= DIRECT

    @property
    def _back(self) -> Tensor:
        back = self._given.back
        return self._window.turn(self._given.weight, self._shape[4]) if back is None else back

    def _seen(self, e: Tensor) -> Tensor:
        """(P, blocks of inputs, outputs that they count in)."""
        window, shape = self._window, self._shape
        margins = window.margins((shape[2], shape[3]), (e.shape[2], e.shape[3]))
        rows, self._blocks = patches(e, window.blocks, (1, 1), margins)
        return rows

    def _convolved(self, images: Tensor, back: Tensor) -> Tensor:
        """The blocks of inputs of images (P, B, H, W, m) by each problem's, or one, `back` (P, rows, block)."""
        window, shape = self._window, self._shape
        margins = window.margins((shape[2], shape[3]), (images.shape[2], images.shape[3]))
        held = pad(images, (0, 0, *margins))
        kernels = back.reshape(len(back), *window.blocks, images.shape[4], -1).permute(0, 4, 3, 1, 2)
        parts = held.flatten(0, 1).chunk(len(back))
        found = [conv2d(part.movedim(3, 1), one) for part, one in zip(parts, kernels, strict=True)]
        whole = last(torch.cat(found)) if len(found) > 1 else last(found[0])
        self._blocks = (*images.shape[:2], *whole.shape[1:3])
        return whole

    def _through(self, t: Tensor) -> Tensor:
        """The convolution without its bias; PyTorch's own where all problems have the same weights."""
        weight, window = self._given.weight, self._window
        if weight.ndim == 3:
            above, aside = window.padding
            rows, _ = patches(t, window.kernel, window.stride, (aside, aside, above, above))
            return times(rows, weight).reshape(self._grid)
        kernel = weight.reshape(len(weight), *window.kernel, -1).permute(0, 3, 1, 2)
        return last(conv2d(first(t), kernel, None, window.stride, window.padding)).reshape(self._grid)

    def _unblocked(self, blocks: Tensor) -> Tensor:
        """Images (P, B, H, W, C) of blocks (P, rows, values of a block)."""
        (by, over), shape = self._window.stride, self._shape
        down, across = (edge % stride for edge, stride in zip(self._window.padding, (by, over), strict=True))
        tall, wide = self._blocks[2:]
        found = blocks.reshape(-1, tall, wide, by, over, shape[4])
        found = found.transpose(2, 3) if by > 1 or over > 1 else found
        found = found.reshape(-1, tall * by, wide * over, shape[4])
        return found[:, down : down + shape[2], across : across + shape[3]].reshape(shape)


def times(rows: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """(P, R, m): rows (P, R, K) by weights (m, K), or each problem's own (P, m, K), and biases (m,) or (P, m)."""
    if weight.ndim == 2:
        return linear(rows, weight, bias)
    if bias is None:
        return torch.bmm(rows, weight.mT)
    return torch.baddbmm(bias[:, None], rows, weight.mT)


def patches(
    images: Tensor, kernel: tuple[int, int], stride: tuple[int, int], margins: tuple[int, int, int, int]
) -> tuple[Tensor, tuple[int, int, int, int]]:
    """(P, rows, kernel * C) of images (P, B, H, W, C), and the grid (P, B, rows down, rows across).

    Margins are of zeros: left, right, above and below; negative ones cut.
    """
    held = images.flatten(0, 1)
    held = pad(held, (0, 0, *margins)) if any(margins) else held
    seen = held.unfold(1, kernel[0], stride[0]).unfold(2, kernel[1], stride[1]).permute(0, 1, 2, 4, 5, 3)
    grid = (*images.shape[:2], *seen.shape[1:3])
    return seen.reshape(len(images), -1, kernel[0] * kernel[1] * images.shape[4]), grid
