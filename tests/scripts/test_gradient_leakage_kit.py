"""The starter kit of gradient leakage, run as a student runs it: on unzipped files."""

import contextlib
import importlib.util
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from app.attacks.gradients import networks
from app.tracks.base import Seat
from app.tracks.gradient_leakage.game import GradientLeakage
from app.tracks.gradient_leakage.settings import MODELS, Settings

KIT = Path(__file__).resolve().parents[2] / "attack_defence_test_scripts" / "gradient_leakage"


def game(team=3, **settings):
    return GradientLeakage(Settings(**{"MODEL": "fc2", "BATCHES": 2, "RECORDS": 2, **settings}), Seat(4, team))


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Runs a script in a folder of its own, within this process: torch takes seconds to load."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(KIT))

    def run(script, *options):
        monkeypatch.setattr(sys, "argv", [script, *map(str, options)])
        monkeypatch.delitem(sys.modules, "client", raising=False)
        # A script that returns a status ends with it.
        with torch.random.fork_rng(devices=[]), contextlib.suppress(SystemExit):
            runpy.run_path(str(KIT / script), run_name="__main__")
        sys.modules.pop("client", None)
        return capsys.readouterr().out

    return run


@pytest.fixture(scope="module")
def client():
    spec = importlib.util.spec_from_file_location("gradient_leakage_client", KIT / "client.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class TestClient:
    @pytest.mark.parametrize("settings", [{}, {"SHARED": "update", "LOCAL_EPOCHS": 3}], ids=["gradient", "update"])
    def test_its_upload_is_the_truth(self, run, tmp_path, settings):
        track = game(**settings)
        track.write_issue(tmp_path)

        told = run("client.py")

        assert "2 batches" in told
        assert track.utility(track.read_defence(tmp_path / "my_defence.npz")).value == pytest.approx(1.0, abs=1e-4)

    @pytest.mark.parametrize("model", MODELS)
    def test_its_networks_are_the_platform_s(self, client, model):
        ours = networks.build(model, (1, 8, 8), 10, np.random.default_rng(0))
        weights = {name: values.detach() for name, values in ours.named_parameters()}
        x = torch.rand(3, 1, 8, 8)

        theirs = client.build({"model": model, "shape": [1, 8, 8], "classes": 10})

        assert list(dict(theirs.named_parameters())) == list(weights)
        assert torch.allclose(torch.func.functional_call(theirs, weights, (x,)), ours(x), atol=1e-6)


class TestProtect:
    @pytest.mark.parametrize(("defence", "strength"), [("noise", 0.5), ("top-k", 0.7), ("dp-sgd", 0.01)])
    def test_its_uploads_are_taken_and_useful(self, run, tmp_path, defence, strength):
        track = game()
        track.write_issue(tmp_path)

        told = run("protect.py", defence, "--strength", strength, "--output", "mine.npz")

        assert "mean cosine" in told
        assert 0.1 < track.utility(track.read_defence(tmp_path / "mine.npz")).value < 1.0


class TestAttack:
    def test_it_rebuilds_what_opponents_did_not_protect(self, run, tmp_path):
        publics, secrets = {}, {}
        for team, settings in ((3, {}), (12, {"SHARED": "update", "MODEL": "lenet"})):
            track = game(team, **settings)
            asked = track.challenge(track.house_defence("undefended", None), np.random.default_rng(team))
            track.write_challenge(asked.public, team, tmp_path)
            publics[team], secrets[team] = asked.public, asked.secret

        told = run("attack.py", 3, 12, "--steps", 150)
        answers = track.read_answer(tmp_path / "my_attack.npz", publics)

        assert "2 teams, ready for upload" in told
        scores = {team: track.leakage(answers[team], secrets[team], np.random.default_rng(0)) for team in answers}
        assert scores[3].value > 0.5
        assert scores[12].value > 0.2
        assert all(score.metrics["label_accuracy"].value == 1.0 for score in scores.values())

    def test_it_says_which_file_is_missing(self, run):
        told = run("attack.py", 3)

        assert "team 3 is missing" in told
