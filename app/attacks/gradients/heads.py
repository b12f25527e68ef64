"""The linear layers at the end of a model, with a ReLU between every two, as plain matrices in double precision."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from app.attacks.gradients.base import Observation, Unsuited
from app.attacks.gradients.layers import find_head
from app.attacks.gradients.mixtures import sources


@dataclass(frozen=True)
class Layer:
    """One linear layer and the gradients that were shared of it."""

    weight: Tensor
    """(m, d)."""
    bias: Tensor
    weight_gradient: Tensor
    bias_gradient: Tensor


@dataclass(frozen=True)
class LinearHead:
    """The last layers of a model; with `from_data` they are the whole model."""

    layers: tuple[Layer, ...]
    from_data: bool

    def activations(self, inputs: Tensor) -> list[Tensor]:
        """What goes into each layer (B, d), and last the logits, for inputs (B, d) of the first layer."""
        values = [inputs]
        for place, layer in enumerate(self.layers):
            outputs = values[-1] @ layer.weight.T + layer.bias
            values.append(outputs.clamp_min(0) if place + 1 < len(self.layers) else outputs)
        return values

    def labels(self, inputs: Tensor) -> Tensor:
        """(B,): the label of each input, of whose sum of pulls at the logits the last layer's gradient is made.

        The gradient of the last layer is A H with A = (probabilities - one-hot labels)^T / B, and H is known with the
        inputs. What is known of A already, the probabilities, is taken off first, so that even more records than
        neurons leave one unknown sign each.
        """
        *_, hidden, logits = self.activations(inputs)
        layer, wide = self.layers[-1], torch.cat([hidden, torch.ones_like(hidden[:, :1])], dim=1)
        shared = torch.cat([layer.weight_gradient, layer.bias_gradient[:, None]], dim=1)
        known = logits.softmax(1).T / len(inputs)
        missing = sources(wide.T, (shared - known @ wide).T)
        return missing.argmin(dim=1)

    def pulls(self, inputs: Tensor, labels: Tensor) -> list[Tensor]:
        """A (m, B) of every layer, for the mean cross-entropy."""
        values = self.activations(inputs)
        pull = (values[-1].softmax(1) - one_hot(labels, values[-1].shape[1])) / len(inputs)
        found = [pull]
        for layer, value in zip(reversed(self.layers[1:]), reversed(values[1:-1]), strict=True):
            pull = (pull @ layer.weight) * (value > 0)
            found.append(pull)
        return [pull.T for pull in reversed(found)]

    def residual(self, inputs: Tensor, labels: Tensor) -> float:
        """How far the gradient of these records is from the one that was shared, relative to its length."""
        missed = whole = 0.0
        for layer, pull, value in zip(
            self.layers, self.pulls(inputs, labels), self.activations(inputs)[:-1], strict=True
        ):
            missed += float((pull @ value - layer.weight_gradient).square().sum())
            missed += float((pull.sum(1) - layer.bias_gradient).square().sum())
            whole += float(layer.weight_gradient.square().sum() + layer.bias_gradient.square().sum())
        return float((missed / max(whole, 1e-300)) ** 0.5)


def linear_head(observation: Observation, gradient: Mapping[str, Tensor], device: str) -> LinearHead:
    """The head of the observed model; raises Unsuited if it has none, or one without a ReLU, a bias or a gradient."""
    head = find_head(observation)
    if head is None:
        raise Unsuited("the logits of this model do not come from a linear layer")
    if len(head.calls) < 2:
        raise Unsuited("this model has no linear layer with a ReLU before the one that gives the logits")
    layers = []
    for call in head.calls:
        if call.bias is None:
            raise Unsuited(f"the layer of {call.weight} has no bias, so that the scale of its inputs is lost")
        names = (call.weight, call.bias)
        own = [_double(tensors[name], device) for tensors in (observation.parameters, gradient) for name in names]
        layers.append(Layer(*own))
    if not bool(layers[0].weight_gradient.any()):
        raise Unsuited("no neuron of the first layer has a gradient")
    return LinearHead(tuple(layers), head.from_data)


def _double(tensor: Tensor, device: str) -> Tensor:
    return tensor.detach().to(device, torch.float64)
