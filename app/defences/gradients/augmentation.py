"""OASIS: every image is joined by turned or sheared copies, so that what is rebuilt is a blend of them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from app.defences.gradients.base import GradientDefence
from app.defences.gradients.client import Client, Shared
from app.parameters import parameter

QUARTERS = 3
IMAGE_AXES = 4


@dataclass(frozen=True)
class Augmentation(GradientDefence):
    """Every local step takes the images and transformed copies of them."""

    title: ClassVar[str] = "Augmentation (OASIS)"
    source: ClassVar[str] = (
        "Jeter, Nguyen, Alharbi and Thai, 2024, IEEE ICDCS (OASIS: offsetting active reconstruction attacks): the "
        "batch D becomes D and its copies, turned by quarters, turned by less, or sheared"
    )

    strength: int = parameter(3, "Copies of every image.", minimum=1, maximum=16)
    kind: str = parameter("quarters", "How copies are made.", choices=("quarters", "rotation", "shear"))
    most: float = parameter(45.0, "Largest angle of rotations and shears.", minimum=1.0, maximum=80.0, unit="°")

    def gradient(
        self,
        client: Client,
        parameters: Mapping[str, Tensor],
        records: tuple[Tensor, Tensor],
        generator: torch.Generator,
    ) -> Shared:
        """The gradient over images and copies. Raises ValueError when records are no images."""
        images, labels = records
        if images.ndim != IMAGE_AXES:
            raise ValueError("augmentation turns and shears images, and these records are none")
        copies = [self._copy(images, number, generator) for number in range(self.strength)]
        return client.gradient(parameters, torch.cat([images, *copies]), labels.repeat(1 + self.strength))

    def _copy(self, images: Tensor, number: int, generator: torch.Generator) -> Tensor:
        # Quarters need square images; others are turned by less.
        if self.kind == "quarters" and images.shape[2] == images.shape[3]:
            return torch.rot90(images, 1 + number % QUARTERS, (2, 3))
        drawn = torch.rand(len(images), generator=generator, device=generator.device).to(images.device)
        angles = math.radians(self.most) * (2.0 * drawn - 1.0)
        return _moved(images, angles, is_shear=self.kind == "shear")


def _moved(images: Tensor, angles: Tensor, *, is_shear: bool) -> Tensor:
    """Each image turned about its centre or sheared along its rows by its angle, bilinear, black outside."""
    zero, one = torch.zeros_like(angles), torch.ones_like(angles)
    if is_shear:
        rows = [torch.stack([one, angles.tan(), zero], 1), torch.stack([zero, one, zero], 1)]
    else:
        # In units of half a side, as affine_grid has it.
        side = images.shape[2] / images.shape[3]
        rows = [
            torch.stack([angles.cos(), -side * angles.sin(), zero], 1),
            torch.stack([angles.sin() / side, angles.cos(), zero], 1),
        ]
    grid = functional.affine_grid(torch.stack(rows, 1).to(images.dtype), list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, align_corners=False)
