"""Small victims of the exact attacks: real pictures, made networks, and clients that train by torch's own optimiser."""

import copy
from dataclasses import replace

import numpy as np
import torch
from sklearn.datasets import load_sample_images
from torch import nn

from app import reconstruction_metrics
from app.attacks.gradients.base import Observation
from app.attacks.gradients.networks import initialise
from app.attacks.gradients.scaling import gradient_at, normalised

SIDE = 16


def pictures(count, seed, window=96, side=SIDE):
    rng, images = np.random.default_rng(seed), load_sample_images().images
    found = []
    for _ in range(count):
        image = images[rng.integers(len(images))]
        top, left = (int(rng.integers(length - window + 1)) for length in image.shape[:2])
        part = image[top : top + window, left : left + window] / 255.0
        found.append(part.reshape(side, window // side, side, window // side, 3).mean((1, 3)).transpose(2, 0, 1))
    return torch.tensor(np.stack(found), dtype=torch.float32)


def mlp(*hidden, inputs=3 * SIDE**2, classes=10, seed=0):
    layers, before = [nn.Flatten()], inputs
    for width in hidden:
        layers += [nn.Linear(before, width), nn.ReLU()]
        before = width
    network = nn.Sequential(*layers, nn.Linear(before, classes))
    initialise(network, np.random.default_rng(seed))
    return network


def observed(network, x, y, public=None, classes=10):
    weights = {name: value.detach() for name, value in network.named_parameters()}
    scale = {"mean": (0.5,) * 3, "std": (0.5,) * 3} if x.ndim == 4 and x.shape[1] == 3 else {}
    bare = Observation(network, weights, weights, len(x), tuple(x.shape[1:]), classes, public=public, **scale)
    return replace(bare, shared=gradient_at(bare, x, y))


def trained(observation, x, y, training):
    """What a client shares that trains with torch.optim.SGD."""
    network = copy.deepcopy(observation.model)
    optimiser = torch.optim.SGD(
        network.parameters(), training.rate(0), training.momentum, weight_decay=training.weight_decay
    )
    for _ in range(training.epochs):
        for rows in torch.arange(len(x)).split(training.batch or len(x)):
            optimiser.zero_grad()
            nn.functional.cross_entropy(network(normalised(observation, x[rows])), y[rows]).backward()
            optimiser.step()
    after = dict(network.named_parameters())
    shared = {name: value - after[name].detach() for name, value in observation.parameters.items()}
    return replace(observation, shared=shared, training=training)


def victim(network, count, seed, side=SIDE, **more):
    x = pictures(count, seed, side=side)
    y = torch.tensor(np.random.default_rng(seed).integers(0, 10, count))
    return observed(network, x, y, **more), x, y


def matched(found, x, y):
    """PSNR of each record, and the share of labels that are right with their assignment."""
    match = reconstruction_metrics.match(found.inputs.numpy()[None], x.numpy()[None])
    psnr = reconstruction_metrics.psnr(reconstruction_metrics.mse(match.inputs, x.numpy()[None]))[0]
    return psnr, float((found.labels[torch.tensor(match.places[0])] == y).float().mean())
