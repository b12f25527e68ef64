"""The defence at work: a model that is asked about records. Loads torch."""

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from app.attacks.membership.base import Target
from app.onnx_models import ModelLimits, classifiers
from app.onnx_models.classifiers import Classifier, Task
from app.tracks.membership.material import Material

if TYPE_CHECKING:
    from app.tracks.membership.settings import Settings

SMALLEST = 1e-30
"""Probabilities are raised to this before their logarithm is taken."""


def limits(settings: "Settings") -> ModelLimits:
    """What a model of this round may take."""
    return ModelLimits.of_round(settings.MAX_MODEL_MB, settings.MAX_MILLION_OPERATIONS, tensor_bytes=64 << 20)


def task(found: Material) -> Task:
    """What a model of this round is for."""
    return Task(found.about.shape, found.about.classes, "records")


def from_bytes(model: NDArray[np.uint8], settings: "Settings", task: Task) -> Classifier:
    """The classifier of an accepted defence."""
    return classifiers.from_bytes(model, limits(settings), task)


class Logits(nn.Module):
    """A classifier whose outputs are finite logits, whether its file gives logits or probabilities."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier
        self.model = classifier.model

    def forward(self, x: Tensor) -> Tensor:
        """(n, classes) for records (n, *shape)."""
        found = self.classifier.logits(x)
        if self.model.gives_probabilities and not self.model.ends_with_softmax:
            found = found.clamp_min(SMALLEST).log()
        return torch.nan_to_num(found)


def target(classifier: Classifier, device: str) -> Target:
    """The classifier as attacks see it: answers, gradients and weights."""
    placed = classifier.on(device)
    network = Logits(placed)

    def logits(x: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.no_grad():
            parts = torch.as_tensor(np.asarray(x, np.float32)).split(classifiers.ROWS)
            return torch.cat([network(part.to(device)).float().cpu() for part in parts]).numpy()

    def forward(weights: dict[str, Tensor], x: Tensor) -> Tensor:
        found: Tensor = torch.func.functional_call(network, weights, (x,))
        return found

    return Target(
        classes=placed.task.classes,
        logits=logits,
        differentiable=network,
        parameters={name: weight.detach() for name, weight in network.named_parameters()},
        forward=forward,
    )
