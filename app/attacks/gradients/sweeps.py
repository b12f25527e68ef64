"""The distance of gradients and its slope for plain sequences of layers, without automatic differentiation.

The slope of D(g(x)) is that of <C, g(x)> with the pull C = dD/dg held fixed, and <C, g(x)> is how fast the loss changes
as the weights move along C (Pearlmutter, 1994, Neural Computation 6, turned from weights to inputs). Four sweeps
through the layers give it: forward and backward, as in training; forward again with the tangent; and back from there.
All problems go together, and of a wide linear layer no gradient is formed. The sweeps are short enough to be compiled.
"""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from app.attacks.gradients.affine import Affine, Convolution, Given, Pull, Window
from app.attacks.gradients.compiling import Compiled
from app.attacks.gradients.distances import LAYERS, TINY, Distance
from app.attacks.gradients.factors import Factors, closed, rows_of, split
from app.attacks.gradients.ghost import leaves, plain, wide
from app.attacks.gradients.passes import ACTIVATIONS, Activation, AvgPool, Flat, MaxPool, Pass
from app.attacks.gradients.victims import Victims

KINDS = ("l2", "cosine")
"""The distances whose slopes are written out."""
CACHE = 32 << 20
"""Bytes between the layers of the problems that a processor works on at a time: more do not stay near it."""
KEPT, COPIES = 8, 4
"""How often the values of a layer, and the gradients of a problem, are held at a time."""


class Held(NamedTuple):
    """What the sweeps have to know of P problems."""

    layers: tuple[Given, ...]
    """Of the layers with weights, in their order."""
    rates: Tensor
    """(P, n): how much each of their weights' and biases' gradients counts in the distance."""
    theirs: Tensor
    """(P,): the weighted squared lengths of the targets."""


@dataclass(frozen=True)
class _Layer:
    """A layer of the sequence; those with weights have a name and, if they are convolutions, a window."""

    module: nn.Module
    prefix: str = ""
    window: Window | None = None

    def begin(self, given: Iterator[Given]) -> Pass:
        """Its pass for one evaluation."""
        if not self.prefix:
            return PASSES[type(self.module)](self.module)
        return Convolution(next(given), self.window) if self.window else Affine(next(given))


class Sweeps:
    """The distances of `Matching`, and their slopes, for a model that is a plain sequence; see `suits`."""

    def __init__(self, victims: Victims, distance: Distance, compiled: bool = False) -> None:
        """Rearranges weights and shared gradients, once; `compiled` sweeps agree with the others up to rounding."""
        self.victims, self.distance, self._shared = victims, distance, victims.client.shared
        self.layers = tuple(_layers(victims.client.model))
        self._held = self._whole(victims)
        self._sweep: Callable[..., tuple[Tensor, Tensor, Tensor]] = Compiled(self._four) if compiled else self._four

    @classmethod
    def suits(cls, victims: Victims, distance: Distance) -> bool:
        """Whether it gives these distances."""
        first, model = victims.first, victims.client.model
        if victims.training is not None or first.transform is not None or distance.kind not in KINDS:
            return False
        return plain(model) and _suits(model, first.input_shape)

    @cached_property
    def problem(self) -> int:
        """How many values the sweeps of one problem take."""
        gradients = sum(_count(one.target) for one in self._held.layers) // len(self.victims)
        return COPIES * gradients + self.victims.first.records * self._between

    @cached_property
    def near(self) -> int:
        """Problems whose values between the layers a processor can hold near itself; at least one."""
        bytes_of_record = self._between * self.victims.mean.element_size()
        return max(1, CACHE // (bytes_of_record * self.victims.first.records))

    @cached_property
    def _between(self) -> int:
        """Values between the layers for one record, patches included."""
        return sum(inner for inner, _ in _walk(self.victims.client.model, self.victims.first.input_shape))

    def __call__(self, x: Tensor, y: Tensor, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """As `Matching.evaluate`."""
        return self._sweep(x, y, self.take(index))

    def values(self, x: Tensor, y: Tensor, index: Tensor) -> Tensor:
        """(P,): the distances alone."""
        held = self.take(index)
        totals = self._two(self._begin(held), x, y, held)[1]
        return closed(self.distance.kind, totals, held.theirs)

    def take(self, index: Tensor) -> Held:
        """What is held of the victims at `index` (P,); not copied where they are neighbours."""
        rows = _neighbours(index)
        layers = tuple(_rows(one, rows, self._shared) for one in self._held.layers)
        return Held(layers, self._held.rates[rows], self._held.theirs[rows])

    def _whole(self, victims: Victims) -> Held:
        """What is held of all victims."""
        weights, target, records = victims.weights, victims.target, victims.first.records
        rates, factored = LAYERS[self.distance.layers](target), wide(victims, tuple(leaves(victims.client.model)))
        given, names = [], []
        for layer in self.layers:
            if not layer.prefix:
                continue
            name, bias = f"{layer.prefix}.weight", f"{layer.prefix}.bias"
            weight = _flat(weights[name], not self._shared)
            shared: Tensor | Factors = split(target[name], records) if name in factored else _flat(target[name], 1)
            back = layer.window.turn(weight, layer.module.in_channels) if layer.window else None  # type: ignore[arg-type]
            given.append(Given(weight, weights.get(bias), shared, target.get(bias), back))
            names += [part for part in (name, bias) if part in target]
        squares = torch.stack([target[name].flatten(1).square().sum(1) for name in names], 1)
        counts = torch.stack([rates[name] for name in names], 1)
        return Held(tuple(given), counts, (counts * squares).sum(1))

    def _four(self, x: Tensor, y: Tensor, held: Held) -> tuple[Tensor, Tensor, Tensor]:
        """All sweeps: the distances (P,) and their slopes by x and y."""
        passes = self._begin(held)
        chance, totals = self._two(passes, x, y, held)
        self._pull(passes, totals, held)
        change = _changed(passes)
        mean = (chance * change).sum(2, keepdim=True)
        slope = chance * (change - mean) * (y.sum(2, keepdim=True) / y.shape[1])
        for one in reversed(passes):
            slope = one.reverse(slope)
        by_x = slope.movedim(4, 2).contiguous() if slope.ndim == 5 else slope
        return closed(self.distance.kind, totals, held.theirs), by_x, (mean - change) / y.shape[1]

    def _begin(self, held: Held) -> list[Pass]:
        given = iter(held.layers)
        return [layer.begin(given) for layer in self.layers]

    def _two(self, passes: Sequence[Pass], x: Tensor, y: Tensor, held: Held) -> tuple[Tensor, Tensor]:
        """The sweeps of training: label probabilities, and the sums (P, n) over all gradients."""
        value = x.movedim(2, 4).contiguous() if x.ndim == 5 else x
        for one in passes:
            value = one.forward(value)
        chance = value.softmax(2)
        slope = (chance * y.sum(2, keepdim=True) - y) / y.shape[1]
        earliest = next(turn for turn, one in enumerate(passes) if isinstance(one, Affine))
        for turn in range(len(passes) - 1, earliest - 1, -1):
            slope = passes[turn].backward(slope, turn > earliest)
        sums = [part for one in _affine(passes) for part in one.sums(self.distance.kind)]
        return chance, (held.rates[:, :, None] * torch.stack(sums, 1)).sum(1)

    def _pull(self, passes: Sequence[Pass], totals: Tensor, held: Held) -> None:
        """Tell every layer the slope of the distance by its gradients."""
        kind, beta = self.distance.kind, None
        if kind == "l2":
            alpha = 2.0 / (held.theirs + TINY)
        else:
            mine = totals[:, 1] + TINY
            whole = -1.0 / (mine.sqrt() * (held.theirs + TINY).sqrt())
            alpha, beta = -whole * (totals[:, 0] / mine), (held.rates * whole[:, None])[:, :, None, None].unbind(1)
        pulls = (held.rates * alpha[:, None])[:, :, None, None].unbind(1)
        turn = 0
        for one, given in zip(_affine(passes), held.layers, strict=True):
            count = 1 if given.target_bias is None else 2
            parts = [Pull(pulls[at], None if beta is None else beta[at]) for at in range(turn, turn + count)]
            one.pull(parts[0], parts[-1])
            turn += count


def _affine(passes: Sequence[Pass]) -> list[Affine]:
    return [one for one in passes if isinstance(one, Affine)]


def _changed(passes: Sequence[Pass]) -> Tensor:
    """How the outputs of the model change along the pull."""
    change: Tensor | None = None
    for one in passes:
        change = one.tangent(change)
    if change is None:
        raise ValueError("there is no pull on a sequence without weights")
    return change


def _layers(model: nn.Module) -> Iterator[_Layer]:
    for prefix, module in leaves(model):
        if isinstance(module, nn.Conv2d):
            yield _Layer(module, prefix, _window(module))
        elif isinstance(module, nn.Linear):
            yield _Layer(module, prefix)
        elif not isinstance(module, nn.Identity | nn.Dropout):
            yield _Layer(module)


def _walk(model: nn.Module, shape: tuple[int, ...]) -> Iterator[tuple[int, bool]]:
    """For each layer what one record takes in it, and whether it has its sweeps; nothing is computed."""
    x = torch.zeros(1, *shape, device="meta")
    for _, module in leaves(model):
        rule = RULES.get(type(module))
        suits = rule is not None and rule(module, x.ndim)
        before, x = x, copy.deepcopy(module).to("meta", x.dtype)(x)
        inner = KEPT * x.numel()
        if suits and isinstance(module, nn.Conv2d):
            window = _window(module)
            blocks = -(-before.shape[2] // window.stride[0]) * -(-before.shape[3] // window.stride[1])
            inner += (
                x[0, 0].numel() * module.weight[0].numel() + blocks * window.blocks[0] * window.blocks[1] * x.shape[1]
            )
        yield inner, suits


def _suits(model: nn.Module, shape: tuple[int, ...]) -> bool:
    """Whether every layer has its sweeps for what comes to it, and one has weights."""
    if len(shape) not in (1, 3) or not any(isinstance(module, nn.Conv2d | nn.Linear) for module in model.modules()):
        return False
    return all(suits for _, suits in _walk(model, shape))


def _window(module: nn.Conv2d) -> Window:
    return Window(module.kernel_size, module.stride, module.padding)  # type: ignore[arg-type]


def _count(target: Tensor | Factors) -> int:
    return sum(part.numel() for part in target if part is not None) if isinstance(target, Factors) else target.numel()


def _is_plain_convolution(module: Any, rank: int) -> bool:
    plain_padding = not isinstance(module.padding, str) and module.padding_mode == "zeros"
    return rank == 4 and module.groups == 1 and module.dilation == (1, 1) and plain_padding


def _is_whole_pool(module: Any, rank: int) -> bool:
    whole = module.stride == module.kernel_size and not module.ceil_mode and module.divisor_override is None
    return bool(rank == 4 and whole and module.padding in (0, (0, 0)))


RULES: Mapping[type[nn.Module], Callable[[nn.Module, int], bool]] = MappingProxyType(
    {
        nn.Linear: lambda module, rank: rank == 2,
        nn.Conv2d: _is_plain_convolution,
        nn.Flatten: lambda module, rank: (module.start_dim, module.end_dim) == (1, -1),
        nn.MaxPool2d: lambda module, rank: rank == 4 and not module.return_indices,
        nn.AvgPool2d: _is_whole_pool,
        nn.Identity: lambda module, rank: True,
        nn.Dropout: lambda module, rank: not module.training,
    }
    | {kind: lambda module, rank: True for kind in ACTIVATIONS}
)
"""Which layers have sweeps: asked for a layer and the number of axes of its inputs."""
PASSES: Mapping[type[nn.Module], Callable[[nn.Module], Pass]] = MappingProxyType(
    {nn.Flatten: Flat, nn.MaxPool2d: MaxPool, nn.AvgPool2d: AvgPool} | dict.fromkeys(ACTIVATIONS, Activation)
)


def _flat(tensor: Tensor, leading: int) -> Tensor:
    """Weights (m, K), or (V, m, K) where there is a leading axis, of a layer; a convolution's channels come last."""
    moved = tensor.movedim(leading + 1, -1) if tensor.ndim == leading + 4 else tensor
    return moved.flatten(leading + 1).contiguous()


def _neighbours(index: Tensor) -> Tensor | slice:
    """The problems as a slice where their victims follow each other, which saves copies; not where asking is slow."""
    if index.device.type != "cpu":
        return index
    places = index.tolist()
    is_run = places == list(range(places[0], places[0] + len(places)))
    return slice(places[0], places[0] + len(places)) if is_run else index


def _rows(given: Given, rows: Tensor | slice, shared: bool) -> Given:
    target = given.target
    taken = rows_of(target, rows) if isinstance(target, Factors) else target[rows]
    target_bias = None if given.target_bias is None else given.target_bias[rows]
    own = (given.weight, given.bias, given.back)
    weight, bias, back = own if shared else (None if part is None else part[rows] for part in own)
    return Given(weight, bias, taken, target_bias, back)  # type: ignore[arg-type]
