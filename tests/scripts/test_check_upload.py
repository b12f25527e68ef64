"""The script that checks an upload on a student's own machine, for every track."""

import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from app.tracks import CARDS, game

SCRIPT = Path(__file__).resolve().parents[2] / "attack_defence_test_scripts" / "check_upload.py"
SETTINGS = {
    "robustness": {"EPSILON": 0.2, "INPUTS": 60},
    "membership": {},
    "gradient_leakage": {"MODEL": "fc2", "BATCHES": 3},
}


def check(track, *arguments):
    settings = [f"--set={name}={value}" for name, value in SETTINGS[track].items()]
    command = [sys.executable, SCRIPT, "--track", track, *settings, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize("track", SETTINGS)
class TestCheckUpload:
    """The fingerprinting track's script is tried beside its files' own tests."""

    def test_it_accepts_what_the_platform_accepts_and_refuses_a_cut_file(self, track, tmp_path):
        played = game(track, SETTINGS[track])
        path = tmp_path / f"mine{played.card.defence.suffixes[0]}"
        played.write_defence(played.house_defence(played.house_defences()[0], np.random.default_rng(1)), path)

        done = check(track, path)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "mine" in done.stdout
        assert "is fine" in done.stdout

        path.write_bytes(path.read_bytes()[:-100])
        done = check(track, path)
        assert done.returncode == 1, done.stdout + done.stderr
        assert "To do:" in done.stdout

    def test_it_checks_an_answer_against_the_downloaded_challenge(self, track, tmp_path):
        played, rng = game(track, SETTINGS[track]), np.random.default_rng(1)
        asked = played.challenge(played.house_defence(played.house_defences()[0], rng), rng)
        (folder := tmp_path / "files").mkdir()
        with zipfile.ZipFile(tmp_path / "downloaded.zip", "w") as archive:
            for file in played.write_challenge(asked.public, 3, folder):
                archive.write(file, file.name)
        answer = tmp_path / f"answer{played.card.answer.suffixes[0]}"
        blind = played.adversaries()["blind"](asked.public, rng, "cpu")

        played.write_answer({3: blind}, answer)
        done = check(track, answer, "--attack", "--challenge", tmp_path / "downloaded.zip")
        assert done.stdout.endswith("is fine: answers to 1 opponent.\n"), done.stdout + done.stderr

        played.write_answer({4: blind}, answer)
        done = check(track, answer, "--attack", "--challenge", tmp_path / "downloaded.zip")
        assert done.returncode == 1
        assert "To do:" in done.stdout


def test_every_track_is_tried():
    assert {card.slug for card in CARDS} == {*SETTINGS, "fingerprinting"}
    assert all((SCRIPT.parent / card.kit / "README.md").is_file() for card in CARDS)
