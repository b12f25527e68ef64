import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

from app.tracks.robustness.game import Robustness

SCRIPTS = ("train.py", "harden.py", "pgd.py", "attack.py", "opponent.py")
KIT = Path(__file__).resolve().parents[3] / "attack_defence_test_scripts" / "robustness"


def run(script, folder, *options):
    """Run a copy, isolated, so that a script which needs the platform's own code fails."""
    for name in SCRIPTS:
        shutil.copy(KIT / name, folder)
    hidden = {"PYTHONPATH": "", "PATH": os.environ["PATH"]}
    told = subprocess.run([sys.executable, script, *options], cwd=folder, check=True, capture_output=True, env=hidden)
    return told.stdout.decode()


class TestStarterKit:
    def test_its_models_and_its_attack_are_accepted(self, tmp_path):
        track, publics, secrets = Robustness(), {}, {}
        run("train.py", tmp_path, "--epochs", "3", "--output", "1.onnx")
        run("harden.py", tmp_path, "--epochs", "4", "--output", "4.onnx")
        for team in (1, 4):
            defence = track.read_defence(tmp_path / f"{team}.onnx")
            asked = track.challenge(defence, np.random.default_rng(team))
            track.write_challenge(asked.public, team, tmp_path)
            publics[team], secrets[team] = asked.public, asked.secret

        told = run("attack.py", tmp_path, "1", "4", "--steps", "10")
        answers = track.read_answer(tmp_path / "my_attack.npz", publics)

        assert "2 teams, ready for upload" in told
        for team, answer in answers.items():
            assert track.leakage(answer, secrets[team], np.random.default_rng(0)).value > 0.2

    def test_it_learns_from_public_images_only(self):
        sys.path.insert(0, str(KIT))
        try:
            from train import public_images
        finally:
            sys.path.remove(str(KIT))
            del sys.modules["train"]
        from app.tracks.robustness.images import split

        public, _ = split(Robustness().settings)
        pixels, labels = public_images(Robustness().settings.SPLIT_SEED, Robustness().settings.HIDDEN)

        assert np.array_equal(pixels.numpy(), public.pixels)
        assert np.array_equal(labels.numpy(), public.labels)
