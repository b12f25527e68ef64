"""Pooling over windows and over everything."""

import torch
from torch import Tensor
from torch.nn import functional

from app.onnx_models.complaints import Unsupported
from app.onnx_models.nodes import Node
from app.onnx_models.operators.registry import Kernel, built, plain
from app.onnx_models.operators.windows import Geometry, Window

LARGEST: tuple[Kernel, ...] = (functional.max_pool1d, functional.max_pool2d, functional.max_pool3d)
AVERAGES: tuple[Kernel, ...] = (functional.avg_pool1d, functional.avg_pool2d, functional.avg_pool3d)


def _geometry(window: Window, x: Tensor) -> Geometry:
    geometry = window.over(x.shape[2:])
    sides = zip(geometry.before, geometry.after, geometry.kernel, geometry.dilations, strict=True)
    if any(max(before, after) >= (kernel - 1) * dilation + 1 for before, after, kernel, dilation in sides):
        raise Unsupported("the padding is not smaller than the window")
    return geometry


def _fits(geometry: Geometry) -> bool:
    """Whether torch pads as asked by itself."""
    halves = zip(geometry.before, geometry.kernel, strict=True)
    return geometry.is_symmetric and all(2 * before <= kernel for before, kernel in halves)


def _max_pool(node: Node) -> Kernel:
    window = Window.of(node)
    node.only("storage_order", 0)

    def run(x: Tensor) -> Tensor:
        geometry = _geometry(window, x)
        padding: tuple[int, ...] = geometry.before
        if not _fits(geometry):
            x, padding = functional.pad(x, geometry.flat, value=-torch.inf), (0,) * len(padding)
        kernel = LARGEST[len(padding) - 1]
        result: Tensor = kernel(x, geometry.kernel, geometry.strides, padding, geometry.dilations)
        return result

    return run


def _average_pool(node: Node) -> Kernel:
    window, counts_padding = Window.of(node), bool(node.integer("count_include_pad"))
    if any(dilation != 1 for dilation in window.dilations or ()):
        raise Unsupported("dilations of an average are not supported")

    def run(x: Tensor) -> Tensor:
        geometry = _geometry(window, x)
        kernel = AVERAGES[len(geometry.kernel) - 1]
        if _fits(geometry):
            result: Tensor = kernel(
                x, geometry.kernel, geometry.strides, geometry.before, count_include_pad=counts_padding
            )
            return result
        return _uneven_average(kernel, x, geometry, counts_padding)

    return run


def _uneven_average(kernel: Kernel, x: Tensor, geometry: Geometry, counts_padding: bool) -> Tensor:
    """The average over the cells that count: the share of them in each window is an average, too."""
    counted = x.new_ones(1, 1, *x.shape[2:])
    if counts_padding:
        after = [min(0, extra) + end for end, extra in zip(geometry.after, geometry.extra, strict=True)]
        after = [max(0, end) for end in after]
        sides = zip(geometry.before, after, strict=True)
        flat = [side for pair in reversed(list(sides)) for side in pair]
        counted = functional.pad(counted, flat, value=1.0)
        missing = [whole - part for whole, part in zip(geometry.flat, flat, strict=True)]
        counted = functional.pad(counted, missing)
    else:
        counted = functional.pad(counted, geometry.flat)
    sums = kernel(functional.pad(x, geometry.flat), geometry.kernel, geometry.strides)
    result: Tensor = sums / kernel(counted, geometry.kernel, geometry.strides)
    return result


def _lp_pool(node: Node) -> Kernel:
    window, p = Window.of(node), node.integer("p")
    if p < 1 or any(dilation != 1 for dilation in window.dilations or ()):
        raise Unsupported("p below 1 and dilations are not supported")

    def run(x: Tensor) -> Tensor:
        geometry = _geometry(window, x)
        cells = torch.Size(geometry.kernel).numel()
        powers = functional.pad(x.abs() ** p, geometry.flat)
        averages: Tensor = AVERAGES[len(geometry.kernel) - 1](powers, geometry.kernel, geometry.strides)
        return (averages * cells) ** (1 / p)

    return run


def _spatial(x: Tensor) -> list[int]:
    if x.ndim < 3:
        raise Unsupported("the input has no axes to pool over")
    return list(range(2, x.ndim))


def _global_lp_pool(node: Node) -> Kernel:
    p = node.integer("p")
    return lambda x: (x.abs() ** p).sum(_spatial(x), keepdim=True) ** (1 / p)


OPERATORS = {
    "AveragePool": built(_average_pool),
    "GlobalAveragePool": plain(lambda x: x.mean(_spatial(x), keepdim=True)),
    "GlobalLpPool": built(_global_lp_pool),
    "GlobalMaxPool": plain(lambda x: x.amax(_spatial(x), keepdim=True)),
    "LpPool": built(_lp_pool),
    "MaxPool": built(_max_pool),
}
