"""breaching 0.1.2 as a peer; it is not among the project's dependencies, see requirements.txt beside this file."""

import contextlib
import importlib.util
import io
import sys
import types
import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn

from app.attacks.gradients.base import Observation
from app.attacks.gradients.simulate import attackable

ABSENT = ("", ".transforms", ".datasets", ".datasets.utils", ".models", ".models.resnet", ".models.densenet")
"""What breaching imports of torchvision for experiments of its own; its attacks use none of it."""
Attack = Callable[[Observation, Tensor, Tensor | None], Tensor]
"""An observation, labels (B,) and a start (B, ...) or none, to inputs (B, ...), as the model takes them."""


class Absent(types.ModuleType):
    """A module that is not there, full of empty classes."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


def inverting_gradients(iterations: int) -> Attack | None:
    """breaching's `invertinggradients`, told the labels, cut to so many iterations; None where it is not installed."""
    if not importlib.util.find_spec("breaching"):
        return None
    with _quiet(), _without_torchvision():
        import breaching

        settings = breaching.get_attack_config("invertinggradients", [f"optim.max_iterations={iterations}"])

    def attack(one: Observation, labels: Tensor, start: Tensor | None) -> Tensor:
        about = {"shape": one.input_shape, "modality": "vision", "classes": one.classes}
        about |= {"mean": one.mean, "std": one.std} if one.mean else {}
        sent = {
            "parameters": list(one.parameters.values()),
            "buffers": [],
            "metadata": types.SimpleNamespace(**about),
        }
        known = {"num_data_points": one.records, "labels": labels, "local_hyperparams": None}
        shared = {"gradients": list(one.shared.values()), "buffers": None, "metadata": known}
        setup = {"device": torch.device("cpu"), "dtype": torch.float}
        model = attackable(one.model, "cpu").requires_grad_(True)
        with _quiet():
            attacker = breaching.attacks.prepare_attack(model, nn.CrossEntropyLoss(), settings, setup)
            found: Tensor = attacker.reconstruct([sent], [shared], {}, initial_data=start)[0]["data"]
        return found.detach()

    return attack


@contextlib.contextmanager
def _quiet():
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def _without_torchvision():
    """A stand-in for torchvision while breaching is imported."""
    names = [] if importlib.util.find_spec("torchvision") else [f"torchvision{part}" for part in ABSENT]
    for name in names:
        above, _, last = name.rpartition(".")
        sys.modules[name] = Absent(name)
        if above:
            setattr(sys.modules[above], last, sys.modules[name])
    yield
    for name in names:
        del sys.modules[name]
