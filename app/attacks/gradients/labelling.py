"""Labels for records that an attack has found without them."""

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from app.attacks.gradients.base import Observation, Unsuited
from app.attacks.gradients.labels import last_layer, recover
from app.attacks.gradients.layers import watched
from app.attacks.gradients.scaling import as_gradient


def labelled(observation: Observation, inputs: Tensor, rng: np.random.Generator) -> Tensor:
    """(B,): the labels that the last layer tells, in the order that explains its gradient best with inputs (B, ...).

    The gradient of that layer is the mean of (probabilities - one-hot label) times the activations, which the inputs
    give: the one-hot labels follow by least squares, and the cheapest order of the labels that were read from them
    (Hungarian method). -1 throughout where the logits come from no linear layer to read from.
    """
    unsaid = torch.full((len(inputs),), -1, dtype=torch.int64, device=inputs.device)
    try:
        known = recover(observation, rng).to(inputs.device)
    except Unsuited:
        return unsaid
    weight, bias = last_layer(observation)
    gradient = as_gradient(observation, str(inputs.device), torch.float64)
    with torch.no_grad():
        seen, answer = watched(observation, inputs.double())
    if not seen.calls or seen.calls[-1].weight != weight:
        return unsaid
    activations, shared = seen.calls[-1].inputs, gradient[weight]
    if bias is not None:
        activations = torch.cat([activations, torch.ones_like(activations[:, :1])], 1)
        shared = torch.cat([shared, gradient[bias][:, None]], 1)
    # Columns that were not sent say nothing.
    sent = (shared != 0).any(0)
    missing = (shared - answer.softmax(1).T @ activations / len(inputs))[:, sent]
    shares = torch.linalg.lstsq(activations[:, sent].T.cpu(), missing.T.cpu()).solution
    costs = shares[:, known.cpu()].nan_to_num(0.0)
    return known[torch.from_numpy(linear_sum_assignment(costs.numpy())[1]).to(inputs.device)]
