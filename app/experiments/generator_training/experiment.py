"""The experiment itself: read images, train, show."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from app.experiments.base import Experiment, Group, Layout, Report, Watch
from app.experiments.generator_training import CARD
from app.parameters import parameter
from app.reports import Estimate, Figure

SHOWN = 24
COLOURS = 3


@dataclass(frozen=True)
class Parameters:
    """How the generator is trained; the same settings as those of the attacks that train one."""

    steps: int = parameter(1500, "Steps of the generator.", minimum=1, maximum=1_000_000)
    critic: int = parameter(3, "Steps of the critic for each one of the generator.", minimum=1, maximum=100)
    batch: int = parameter(64, "Images of a step.", minimum=2, maximum=4096)
    rate: float = parameter(3e-4, "Learning rate of Adam.", minimum=1e-7, maximum=1.0)
    penalty: float = parameter(10.0, "Weight of the gradient penalty.", minimum=0.0, maximum=1e4)
    latent: int = parameter(64, "Values of the latent vector.", minimum=1, maximum=1024)
    width: int = parameter(16, "Channels of the last block.", minimum=1, maximum=256)


class GeneratorTrainingRun(Experiment):
    """A generator of images."""

    card = CARD
    Parameters = Parameters
    layout = Layout((Group("Training", tuple(field.name for field in fields(Parameters))),))

    def run(
        self,
        inputs: Mapping[str, Path],
        parameters: Any,
        rng: np.random.Generator,
        device: str,
        progress: Watch,
    ) -> Report:
        """Train a generator. Raises InvalidUpload when the images cannot be used."""
        # The class is imported where forms are made of its parameters; torch is wanted only here.
        import torch

        from app.attacks.gradients import generators
        from app.errors import InvalidUpload, Reason

        images = torch.tensor(_images(inputs))
        if len(images) < generators.LEAST:
            rule = f"There are at least {generators.LEAST} images."
            raise InvalidUpload([Reason(rule, str(len(images)), "Add images.")])
        training = generators.GeneratorTraining(**vars(parameters))
        trained = generators.train_generator(images, training, rng, device, progress)
        draw = torch.Generator(device).manual_seed(int(rng.integers(2**63 - 1)))
        made = trained.generator(generators.noise(SHOWN, training.latent, draw)).detach().cpu().numpy()
        report = _report(made, images.numpy(), trained.distances, training.steps)
        return dataclasses.replace(report, files={"generator.safetensors": generators.to_bytes(trained.generator)})


def _images(inputs: Mapping[str, Path]) -> np.ndarray:
    """(n, C, H, W) in [0, 1]."""
    from app import record_sets

    found = record_sets.read("dataset", inputs["dataset"]) if inputs else record_sets.digits()
    low, high = float(found.x.min()), float(found.x.max())
    return (found.x - low) / max(high - low, 1e-12)


def _report(made: np.ndarray, real: np.ndarray, distances: tuple[float, ...], steps: int) -> Report:
    from app import reconstruction_metrics

    # One by one: all pairs of many images at once would take much memory.
    errors = [float(reconstruction_metrics.pairwise_mse(real[None], one[None, None]).min()) for one in made]
    nearest = reconstruction_metrics.psnr(np.array(errors))
    pictures = {"images": [_pixels(one) for one in made], "captions": [f"{value:.1f} dB" for value in nearest]}
    places = [steps * place / max(len(distances), 1) for place in range(len(distances))]
    trace = {"x": places, "y": [list(distances)], "series": ["distance"]}
    note = "Under each: how near the nearest real image is."
    return Report(
        metrics={"distance": Estimate(distances[-1]), "nearest": Estimate(float(nearest.mean()))},
        figures=(
            Figure("images", "What it makes", "", "", pictures, note),
            Figure("lines", "Distance while training", "Step", "Critic's distance", trace),
        ),
        arrays={"made": made, "distances": np.array(distances)},
    )


def _pixels(image: np.ndarray) -> list:
    pixels: list = (image.transpose(1, 2, 0) if len(image) == COLOURS else image.mean(axis=0)).round(3).tolist()
    return pixels
