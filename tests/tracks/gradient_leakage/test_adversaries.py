import dataclasses
import logging

import numpy as np
import pytest
import torch

from app import bundles
from app.attacks.gradients.base import Reconstruction, Unsuited
from app.parameters import describe
from app.tracks.gradient_leakage import inverting
from app.tracks.gradient_leakage.settings import MODELS
from tests.tracks.gradient_leakage.rounds import challenge, track, truth
from tests.tracks.test_laws import QUICK


def quick(game, slug, **shorter):
    """The adversary with few steps; `shorter` counts where the attack has such a field."""
    made = game.adversaries()[slug]
    known = {field.name for field in dataclasses.fields(made)}
    fewer = {name: value for name, value in shorter.items() if name in known}
    return dataclasses.replace(made, **{**QUICK["gradient_leakage"].get(slug, {}), **fewer})


class Stub:
    """An attack that does what it is told."""

    title = "Stub"

    def __init__(self, found):
        self.found = found

    def __call__(self, observations, rng, device, progress):
        if isinstance(self.found, Exception):
            raise self.found
        return [Reconstruction(self.found.clone(), torch.tensor([3, 77]), 0.0) for _ in observations]


def rebuilt(found):
    return inverting.rebuilt(Stub(found), challenge().public, np.random.default_rng(0), "cpu", lambda share: None)


class TestRoster:
    def test_their_fields_are_those_of_the_attacks(self):
        names = {slug: {f.name for f in describe(type(each))} for slug, each in track().adversaries().items()}

        assert next(iter(names)) == "blind"
        assert names["blind"] == set()
        assert {"iterations", "restarts", "variation"} <= names["inverting-gradients"]

    @pytest.mark.parametrize("model", MODELS)
    def test_exact_attacks_are_listed_where_the_first_layer_takes_records(self, model):
        listed = set(track(MODEL=model).adversaries())

        assert {"blind", "grnn"} <= listed
        assert ("analytic" in listed) == ("spear" in listed) == (model in {"mlp", "fc2"})

    def test_the_attack_on_federated_averaging_is_listed_where_updates_are_shared(self):
        assert "data-leakage-fedavg" in track(SHARED="update").adversaries()
        assert "data-leakage-fedavg" not in track().adversaries()

    def test_a_round_goes_on_with_fewer_steps_than_the_paper(self):
        assert track().adversaries()["inverting-gradients"].iterations == 800


class TestAnswers:
    @pytest.mark.parametrize("slug", ["blind", "spear", "idlg"])
    def test_they_answer_what_was_stored_as_they_answer_what_was_asked(self, slug, tmp_path):
        bundles.write(challenge().public, tmp_path / "public.npz")
        stored = bundles.read(tmp_path / "public.npz")

        first, second = (
            quick(track(), slug, evaluations=60)(public, np.random.default_rng(3), "cpu")
            for public in (challenge().public, stored)
        )

        assert np.array_equal(first["inputs"], second["inputs"])

    @pytest.mark.parametrize("slug", list(track().adversaries()))
    @pytest.mark.parametrize("factor", [0.0, 1e6])
    def test_worthless_updates_stop_nobody(self, slug, factor, tmp_path):
        signs = {name: factor * np.sign(values) for name, values in truth().items()}
        asked = track().challenge(signs, np.random.default_rng(1))

        shorter = quick(track(), slug, iterations=5, evaluations=30, samples=500)
        found = shorter(asked.public, np.random.default_rng(3), "cpu")

        track().write_answer({7: found}, tmp_path / "answer.npz")
        read = track().read_answer(tmp_path / "answer.npz", {7: asked.public})[7]
        assert 0.0 <= track().leakage(read, asked.secret, np.random.default_rng(0)).value <= 1.0

    @pytest.mark.parametrize("settings", [{"SHARED": "update", "LOCAL_BATCH": 1}, {"LABELS": "given"}])
    @pytest.mark.parametrize("slug", ["spear", "idlg"])
    def test_they_know_the_rules_of_the_round(self, slug, settings):
        game = track(**settings)
        asked = game.challenge(game.house_defence("undefended", None), np.random.default_rng(1))

        found = quick(game, slug)(asked.public, np.random.default_rng(3), "cpu")

        score = game.leakage(found, asked.secret, np.random.default_rng(0))
        assert score.value > 0.5
        assert score.metrics["label_accuracy"].value == 1.0


class TestRebuilt:
    def test_who_cannot_work_hands_in_the_blind_guess_and_says_so(self, caplog):
        caplog.set_level(logging.INFO, "app.tracks.gradient_leakage")

        found = rebuilt(Unsuited("there is no dense layer"))

        assert np.array_equal(found["inputs"], inverting.blind(challenge().public)["inputs"])
        assert "Stub hands in the blind guess: there is no dense layer" in caplog.text

    def test_what_is_no_number_becomes_the_blind_guess(self):
        blank = torch.full((2, 1, 8, 8), 0.25)
        blank[0, 0, 1, 1] = torch.nan
        blank[1, 0, 2, 2] = 7.0

        found = rebuilt(blank)["inputs"]

        assert found[0, 0, 0, 1, 1] == inverting.blind(challenge().public)["inputs"][0, 0, 0, 1, 1]
        assert found[0, 1, 0, 2, 2] == 1.0
        assert found[0, 0, 0, 0, 0] == 0.25

    def test_labels_that_are_no_class_are_not_handed_in(self):
        assert rebuilt(torch.zeros(2, 1, 8, 8))["labels"].tolist() == [[3, -1]] * 3

    def test_blind_guesses_keep_labels_that_are_given(self):
        game = track(LABELS="given")
        asked = game.challenge(truth(), np.random.default_rng(1))

        score = game.leakage(inverting.blind(asked.public), asked.secret, np.random.default_rng(0))

        assert score.value == 0.0
        assert score.metrics["label_accuracy"].value == 1.0


class TestObservations:
    def test_nothing_in_them_is_secret(self):
        first = inverting.observations(challenge().public, "cpu")[0]

        assert first.labels is None
        assert first.training is None
        assert first.records == 2
        assert list(first.shared) == list(first.parameters) == [name for name, _ in first.model.named_parameters()]

    def test_an_update_comes_with_its_training(self):
        game = track(SHARED="update", LOCAL_EPOCHS=3, LOCAL_BATCH=1, LEARNING_RATE=0.01)
        asked = game.challenge(game.house_defence("undefended", None), np.random.default_rng(1))

        training = inverting.observations(asked.public, "cpu")[0].training

        assert (training.steps(2), training.rate(5)) == (6, 0.01)
