"""The geometry of convolutions and pooling: how much is padded on each side, and how many windows there are."""

from dataclasses import dataclass
from functools import lru_cache

from app.onnx_models.complaints import Unsupported
from app.onnx_models.nodes import Node

LONGEST = 1 << 16
"""The largest stride, dilation, padding or kernel."""
Sizes = tuple[int, ...]


@dataclass(frozen=True)
class Geometry:
    """A window over axes of known lengths; every tuple has one entry per axis."""

    kernel: Sizes
    strides: Sizes
    dilations: Sizes
    before: Sizes
    after: Sizes
    extra: Sizes
    """Cells beyond the padding that the last window needs when sizes are rounded up; negative where cells are left."""

    @property
    def is_symmetric(self) -> bool:
        """Whether both sides are padded alike, and nothing beyond."""
        return self.before == self.after and max(self.extra, default=0) <= 0

    @property
    def flat(self) -> list[int]:
        """The padding as torch wants it: last axis first, before and after."""
        ends = (end + max(extra, 0) for end, extra in zip(self.after, self.extra, strict=True))
        return [side for pair in reversed(list(zip(self.before, ends, strict=True))) for side in pair]


@dataclass(frozen=True)
class Window:
    """What a node says about its window; None where it leaves the default."""

    kernel: Sizes | None
    strides: Sizes | None
    dilations: Sizes | None
    pads: Sizes | None
    auto_pad: str
    ceil: bool

    @classmethod
    def of(cls, node: Node) -> "Window":
        """The window of a node. Raises Unsupported for numbers that make no window."""
        kernel, strides, dilations, pads = map(node.integers, ("kernel_shape", "strides", "dilations", "pads"))
        node.only("auto_pad", "NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER")
        for numbers, least in ((kernel, 1), (strides, 1), (dilations, 1), (pads, 0)):
            if numbers is not None and any(not least <= number <= LONGEST for number in numbers):
                raise Unsupported(f"a stride, dilation, padding or kernel is not from {least} to {LONGEST:,}")
        auto_pad = node.text("auto_pad", "NOTSET")
        return cls(kernel, strides, dilations, pads, auto_pad, bool(node.integer("ceil_mode")))

    def over(self, sizes: Sizes, kernel: Sizes | None = None) -> Geometry:
        """The geometry over axes of the given lengths; `kernel` is the weights' own."""
        return _geometry(self, tuple(sizes), None if kernel is None else tuple(kernel))


@lru_cache(maxsize=4096)
def _geometry(window: Window, sizes: Sizes, weights: Sizes | None) -> Geometry:
    rank = len(sizes)
    kernel = window.kernel or weights
    if not 1 <= rank <= 3 or kernel is None or (weights is not None and kernel != weights):
        raise Unsupported(f"a kernel {kernel} does not fit {rank} axes or its weights")
    strides, dilations = window.strides or (1,) * rank, window.dilations or (1,) * rank
    pads = window.pads if window.pads and window.auto_pad == "NOTSET" else (0,) * 2 * rank
    if {len(kernel), len(strides), len(dilations), len(pads) // 2} != {rank}:
        raise Unsupported(f"strides, dilations, pads and kernel are not all for {rank} axes")
    reach = tuple((k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True))
    before, after = pads[:rank], pads[rank:]
    if window.auto_pad.startswith("SAME"):
        before, after = _same(sizes, reach, strides, is_upper=window.auto_pad == "SAME_UPPER")
    extra = tuple(map(_extra if window.ceil else _rest, sizes, reach, strides, before, after))
    return Geometry(kernel, strides, dilations, before, after, extra)


def _same(sizes: Sizes, reach: Sizes, strides: Sizes, *, is_upper: bool) -> tuple[Sizes, Sizes]:
    """The padding that makes the number of windows the length divided by the stride, rounded up."""
    totals = [max((-(-n // s) - 1) * s + r - n, 0) for n, r, s in zip(sizes, reach, strides, strict=True)]
    small, large = tuple(total // 2 for total in totals), tuple(total - total // 2 for total in totals)
    return (small, large) if is_upper else (large, small)


def _rest(size: int, reach: int, stride: int, before: int, after: int) -> int:
    return -((size + before + after - reach) % stride)


def _extra(size: int, reach: int, stride: int, before: int, after: int) -> int:
    """Cells that the last window lacks; a window that starts beyond the input and its first padding is left out."""
    windows = -(-(size + before + after - reach) // stride) + 1
    if (windows - 1) * stride >= size + before:
        windows -= 1
    return (windows - 1) * stride + reach - (size + before + after)
