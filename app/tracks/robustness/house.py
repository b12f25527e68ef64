"""The classifiers that the house plays, trained when they are asked for. Loads torch."""

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from onnx import ModelProto, TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.nn import functional

from app.attacks.evasion.norms import Norm
from app.bundles import Bundle
from app.tracks.robustness import classifier, defence_file, images
from app.tracks.robustness.images import CLASSES, SHAPE

if TYPE_CHECKING:
    from app.tracks.robustness.settings import Settings

RADII = {"undefended": 0.0, "adversarial-training": 0.5, "strong-adversarial-training": 1.25}
"""Radius of the training attacks of each defence, as a share of the round's epsilon."""
EPOCHS, STEPS, BATCH, RATE = 20, 4, 64, 2e-3
OPSET, IR_VERSION = 17, 8


def defence(name: str, settings: "Settings", rng: np.random.Generator) -> Bundle:
    """A defence of RADII as the game keeps it."""
    data = trained(name, settings, rng)
    return defence_file.bundle(data, classifier.from_bytes(np.frombuffer(data, np.uint8), settings))


def trained(name: str, settings: "Settings", rng: np.random.Generator) -> bytes:
    """The ONNX file of a defence, trained on the public images within seconds.

    Adversarial training as in Madry et al., 2018, ICLR: every batch is moved by a few steps of projected gradient
    descent before it is learnt; the radius grows during the first half, without which large ones are not learnt at all.
    """
    public, _ = images.split(settings)
    x, y = torch.tensor(public.pixels), torch.tensor(public.labels)
    norm, radius = Norm(settings.NORM), RADII[name] * settings.EPSILON
    generator = torch.Generator().manual_seed(int(rng.integers(2**63 - 1)))
    network = _network(int(rng.integers(2**63 - 1)))
    optimiser = torch.optim.Adam(network.parameters(), RATE)
    for epoch in range(EPOCHS):
        reach = radius * min(1.0, 2.0 * (epoch + 1) / EPOCHS)
        for rows in torch.randperm(len(x), generator=generator).split(BATCH):
            batch = _attacked(network, x[rows], y[rows], norm, reach, generator) if reach else x[rows]
            optimiser.zero_grad()
            functional.cross_entropy(network(batch), y[rows]).backward()
            optimiser.step()
    return to_onnx(network).SerializeToString()


def _network(seed: int) -> nn.Sequential:
    """Two convolutions and two dense layers, with weights drawn from `seed`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(512, 64),
            nn.ReLU(),
            nn.Linear(64, CLASSES),
        )


def _attacked(
    network: nn.Module, x: Tensor, y: Tensor, norm: Norm, radius: float, generator: torch.Generator
) -> Tensor:
    """The batch after STEPS steps of projected gradient descent from a random start."""
    moved = (x + norm.random(x, radius, generator)).clamp(0.0, 1.0)
    for _ in range(STEPS):
        leaf = moved.requires_grad_(True)
        (slope,) = torch.autograd.grad(functional.cross_entropy(network(leaf), y), leaf)
        step = moved.detach() + 2.5 * radius / STEPS * norm.step(slope)
        moved = (x + norm.project(step - x, radius)).clamp(0.0, 1.0)
    return moved


def to_onnx(network: nn.Sequential) -> ModelProto:
    """A sequence of the layers above as an ONNX model.

    Written by hand, because torch's exporters write differing files from version to version, and equal is to be equal.
    """
    nodes, weights, name = [], [], "images"
    for number, layer in enumerate(network):
        inputs, name = [name], f"layer_{number}"
        for kind, tensor in layer.named_parameters():
            weights.append(numpy_helper.from_array(tensor.detach().numpy(), f"{name}_{kind}"))
            inputs.append(f"{name}_{kind}")
        operator, attributes = _operator(layer)
        nodes.append(helper.make_node(operator, inputs, [name], **attributes))
    graph = helper.make_graph(
        nodes,
        "robustness",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["N", *SHAPE])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", CLASSES])],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)


def _operator(layer: nn.Module) -> tuple[str, dict[str, Any]]:
    if isinstance(layer, nn.Conv2d):
        return "Conv", {"strides": list(layer.stride), "pads": [*map(int, layer.padding)] * 2}
    if isinstance(layer, nn.Linear):
        return "Gemm", {"transB": 1}
    return ("Flatten" if isinstance(layer, nn.Flatten) else "Relu"), {}
