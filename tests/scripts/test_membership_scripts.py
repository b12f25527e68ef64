import argparse
import importlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from app.tracks.base import Seat
from app.tracks.membership.game import Membership
from app.tracks.membership.settings import Settings

KIT = Path(__file__).resolve().parents[2] / "attack_defence_test_scripts" / "membership"
SETTINGS = Settings(TRAINING_RECORDS=200, MEMBERS=150, POPULATION_RECORDS=200, HELD_OUT_RECORDS=300)
MODULES = ("network", "train", "protect", "attack")


def run(script, folder, *options):
    told = subprocess.run([sys.executable, KIT / script, *options], cwd=folder, check=True, capture_output=True)
    return told.stdout.decode()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with what was issued to team 1."""
    folder = tmp_path_factory.mktemp("kit")
    Membership(SETTINGS, Seat(1, 1)).write_issue(folder)
    return folder


@pytest.fixture(scope="module")
def kit():
    """The scripts as modules, in this process."""
    sys.path.insert(0, str(KIT))
    try:
        yield {name: importlib.import_module(name) for name in MODULES}
    finally:
        sys.path.remove(str(KIT))
        for name in MODULES:
            sys.modules.pop(name, None)


class TestStarterKit:
    def test_its_model_and_its_attack_are_accepted(self, folder):
        track = Membership(SETTINGS, Seat(1, 1))
        told = run("train.py", folder, "--output", "1.onnx")

        defence = track.read_defence(folder / "1.onnx")
        asked = track.challenge(defence, np.random.default_rng(1))
        track.write_challenge(asked.public, 1, folder)
        attacked = run("attack.py", folder, "1", "--models", "8", "--epochs", "40")
        answer = track.read_answer(folder / "my_attack.csv.zip", {1: asked.public})[1]

        assert "accuracy on your training set: 1.000" in told
        assert "1 teams, ready for upload" in attacked
        assert track.leakage(answer, asked.secret, np.random.default_rng(0)).value > 0.2

    @pytest.mark.parametrize("method", ["dp-sgd", "relaxloss", "p2", "early-stopping"])
    def test_its_protections_are_accepted(self, folder, kit, method, capsys):
        track, output = Membership(SETTINGS, Seat(1, 1)), folder / f"{method}.onnx"
        options = argparse.Namespace(folder=folder, output=output, epochs=20, width=64, epsilon=None, alpha=0.8)
        x, y = kit["network"].records(folder / "training_set.npz")
        with torch.random.fork_rng():
            torch.manual_seed(0)
            network = kit["network"].new_network(tuple(x.shape[1:]), 10, options.width)
            protected = kit["protect"].METHODS[method](network, x, y, options)
        kit["network"].report_and_export(protected, options)

        assert "ready for upload" in capsys.readouterr().out
        assert track.utility(track.read_defence(output)).value > 0.5

    def test_poisoned_predictions_keep_their_label_and_almost_their_confidence(self, kit):
        generator = torch.Generator().manual_seed(0)
        probabilities = torch.randn(50, 5, generator=generator).mul(3).softmax(1)
        labels = torch.randint(0, 5, (50,), generator=generator)

        moved = kit["protect"].poisoned(probabilities, labels, 0.1)

        assert torch.equal(moved.argmax(1), probabilities.argmax(1))
        assert float((moved.amax(1) - probabilities.amax(1)).abs().max()) <= 0.1 + 1e-6
        assert torch.allclose(moved.sum(1), torch.ones(50))
        assert not torch.allclose(moved, probabilities, atol=0.01)

    def test_its_likelihood_ratio_is_that_of_the_paper(self, kit):
        generator = torch.Generator().manual_seed(0)
        members = torch.rand(16, 40, generator=generator) < 0.5
        seen = torch.randn(16, 40, generator=generator) + 2 * members
        own = torch.linspace(-3, 5, 40)

        found = kit["attack"].likelihood_ratios(own, seen, members)

        place = 7
        sides = []
        for side in (members, ~members):
            mean = [float(seen[side[:, i], i].mean()) for i in range(40)]
            deviation = np.sqrt(
                np.mean(np.concatenate([(seen[side[:, i], i] - mean[i]).numpy() ** 2 for i in range(40)]))
            )
            sides.append(-((float(own[place]) - mean[place]) ** 2) / (2 * deviation**2) - np.log(deviation))
        assert float(found[place]) == pytest.approx(sides[0] - sides[1], rel=1e-4)
