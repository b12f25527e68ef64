"""The example attack, run as a student runs it: on the unzipped download, without the platform."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from app import tracks
from tests.factories import SMALL, defence_file

SCRIPT = Path(__file__).resolve().parents[2] / "attack_defence_test_scripts" / "fingerprinting.py"
TEAMS = (3, 12)


@pytest.fixture(scope="module")
def game():
    return tracks.game("fingerprinting", SMALL)


@pytest.fixture(scope="module")
def challenges(game, tmp_path_factory):
    """The challenges of two teams and the folder into which a student unzipped them."""
    folder = tmp_path_factory.mktemp("student")
    shutil.copy(SCRIPT, folder)
    made = {}
    for team in TEAMS:
        upload = folder / "upload.zip"
        upload.write_bytes(defence_file(seed=team))
        made[team] = game.challenge(game.read_defence(upload), np.random.default_rng(team))
        game.write_challenge(made[team].public, team, folder)
        upload.unlink()
    return folder, made


def run(folder, *arguments):
    # The script has to do without the repository on its path.
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "fingerprinting.py", *arguments]
    return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)


class TestFingerprinting:
    @pytest.mark.parametrize("features", ["raw", "cumul"])
    def test_its_answer_is_accepted_and_learns_something(self, game, challenges, features):
        folder, made = challenges
        done = run(folder, *map(str, TEAMS), "--features", features, "--trees", "60")
        assert done.returncode == 0, done.stderr
        publics = {team: challenge.public for team, challenge in made.items()}
        answers = game.read_answer(folder / "my_classification.csv.zip", publics)
        rng = np.random.default_rng(0)
        leaks = [game.leakage(answers[team], made[team].secret, rng).value for team in TEAMS]
        assert min(leaks) > 0.2

    def test_the_answer_is_a_zip_of_one_csv_with_the_columns_in_order(self, challenges):
        folder, _ = challenges
        run(folder, str(TEAMS[0]), "--trees", "5")
        with zipfile.ZipFile(folder / "my_classification.csv.zip") as archive:
            assert archive.namelist() == ["my_classification.csv"]
            header = archive.read("my_classification.csv").decode().splitlines()[0]
        assert header == "team_id,capture_id," + ",".join(f"proba_class_{cell}" for cell in range(1, 9))

    def test_a_file_that_is_not_there_is_explained(self, challenges):
        done = run(challenges[0], "99")
        assert done.returncode == 1
        assert "Unzip the download" in done.stderr
        assert "Traceback" not in done.stderr
