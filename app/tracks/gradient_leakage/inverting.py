"""Runs a gradient attack on a challenge. Loads torch."""

import logging

import numpy as np
import torch

from app.attacks.gradients.base import GradientAttack, LocalTraining, Observation, Progress, Reconstruction, Unsuited
from app.bundles import Bundle
from app.tracks.gradient_leakage import clients, guessing, question
from app.tracks.gradient_leakage.rules import Rules, from_array

logger = logging.getLogger(__name__)


def rebuilt(
    attack: GradientAttack, public: Bundle, rng: np.random.Generator, device: str, progress: Progress
) -> Bundle:
    """What the attack believes the private batches to be; the blind guess if it cannot work from this challenge."""
    try:
        found = attack(observations(public, device), rng, device, progress)
    except Unsuited as reason:
        logger.info("%s hands in the blind guess: %s", attack.title, reason)
        return blind(public)
    rules, guess = from_array(public["rules"]), blind(public)["inputs"]
    inputs = np.stack([_records(one, rules, fallback) for one, fallback in zip(found, guess, strict=True)])
    labels = np.stack([one.labels.cpu().numpy().astype(np.int64) for one in found])
    return {"inputs": inputs, "labels": np.where((labels >= 0) & (labels < rules.classes), labels, -1)}


def blind(public: Bundle) -> Bundle:
    """The blind guess that is best in expectation, and the labels if the rules tell them."""
    rules, labels = from_array(public["rules"]), question.given_labels(public)
    guesses = guessing.guesses(question.public_records(public), rules.batches, rules.records, labels)
    told = {} if labels is None else {"labels": labels}
    return {"inputs": np.ascontiguousarray(next(iter(guesses.values()))), **told}


def observations(public: Bundle, device: str) -> list[Observation]:
    """One observation for each batch."""
    rules, labels = from_array(public["rules"]), question.given_labels(public)
    weights, shared = (question.part(public, prefix) for prefix in (question.WEIGHTS, question.SHARED))
    network = clients.loaded(rules.model, rules.shape, rules.classes, weights).to(device)
    parameters = {name: values.detach() for name, values in network.named_parameters()}
    prior = torch.tensor(public["public_inputs"], device=device)
    return [
        Observation(
            model=network,
            parameters=parameters,
            shared={name: torch.tensor(shared[name][batch], device=device) for name in parameters},
            records=rules.records,
            input_shape=rules.shape,
            classes=rules.classes,
            training=_training(rules),
            labels=None if labels is None else torch.tensor(labels[batch], device=device),
            public=prior,
        )
        for batch in range(rules.batches)
    ]


def _training(rules: Rules) -> LocalTraining | None:
    if rules.shared == "gradient":
        return None
    return LocalTraining(rules.local_epochs, rules.local_batch, (rules.learning_rate,))


def _records(found: Reconstruction, rules: Rules, fallback: np.ndarray) -> np.ndarray:
    """(B, ...) within [0, 1]; the blind guess stands where an attack went astray and gave no number."""
    inputs = found.inputs.detach().cpu().numpy().astype(np.float32).reshape(rules.answer_shape[1:])
    return np.where(np.isfinite(inputs), inputs, fallback).clip(0.0, 1.0)
