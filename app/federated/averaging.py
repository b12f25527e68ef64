"""The server: the mean of what the clients sent, weighted by their numbers of records."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from app.training import Stack


def average(stack: Stack, sizes: NDArray[np.int64]) -> Stack:
    """One model: the mean of the stacked models with weights proportional to `sizes` (m,).

    McMahan et al., 2017, AISTATS, algorithm 1. Buffers in floating point, such as running means and variances, are
    averaged as well; whole numbers, such as counted batches, are those of the first model.
    """
    shares = np.asarray(sizes, np.float64) / np.sum(sizes)

    def mean(tensor: Tensor) -> Tensor:
        if not tensor.is_floating_point():
            return tensor[:1].clone()
        weights = torch.as_tensor(shares, dtype=tensor.dtype, device=tensor.device)
        return torch.tensordot(weights, tensor, dims=1)[None]

    return Stack(
        stack.template,
        {name: mean(tensor) for name, tensor in stack.parameters.items()},
        {name: mean(tensor) for name, tensor in stack.buffers.items()},
    )
