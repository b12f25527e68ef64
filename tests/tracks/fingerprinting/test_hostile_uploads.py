"""What strangers may send: every file is refused in words, quickly, and in little memory."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from app.errors import InvalidUpload
from tests import forged, hostile

ROOT = Path(__file__).resolve().parents[3]
BUDGET_MB = 300
NAMES = [name for name, _, _, _ in hostile.CORPUS]
WORDS = {name: words for name, _, words, _ in hostile.CORPUS}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    command = [sys.executable, "-m", "tests.hostile", str(folder), str(BUDGET_MB)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


class TestTheCorpus:
    def test_it_has_many_different_files(self):
        assert len(set(NAMES)) == len(NAMES) > 100

    def test_its_honest_files_are_accepted(self, tmp_path):
        path = tmp_path / "upload.zip"
        forged.HONEST(path)
        assert len(hostile.read("defence", path)["cell"]) == 12
        forged.answer(forged.ANSWER_HEADER + "\n".join(forged.honest_answer()))(path)
        assert set(hostile.read("answer", path)) == {7, 9}
        forged.npz(forged.array())(path)
        assert hostile.read("bundle", path)["x"].tolist() == [0, 0, 0]


@pytest.mark.parametrize("name", NAMES)
class TestAHostileUpload:
    def test_it_is_refused_with_a_rule_and_a_fix(self, results, name):
        error, reasons, _, _ = results[name]
        assert error == "InvalidUpload"
        assert reasons
        assert all(reason["rule"] and reason["fix"] and reason["count"] >= 1 for reason in reasons)
        text = " ".join(f"{reason['rule']} {reason['where']} {reason['fix']}" for reason in reasons)
        assert WORDS[name] in text
        assert text.isprintable()
        assert len(text) < 5000

    def test_it_costs_little(self, results, name):
        _, _, seconds, megabytes = results[name]
        assert megabytes < 100
        assert seconds < 5


class TestADamagedUpload:
    @pytest.mark.parametrize("kind", ["defence", "answer", "loose bundle"])
    def test_it_is_read_or_refused_but_never_breaks_the_reader(self, tmp_path, kind):
        path, rng = tmp_path / "upload.zip", np.random.default_rng(1)
        builds = {
            "defence": forged.HONEST,
            "answer": forged.answer(forged.ANSWER_HEADER + "\n".join(forged.honest_answer())),
            "loose bundle": forged.npz(forged.array()),
        }
        builds[kind](path)
        content, reasons = path.read_bytes(), []
        for _ in range(300):
            damaged = bytearray(content)
            for place in rng.integers(0, len(content), 3):
                damaged[place] = rng.integers(256)
            path.write_bytes(damaged)
            try:
                hostile.read(kind, path)
            except InvalidUpload as error:
                reasons += error.reasons
        assert len(reasons) > 100
        assert all(one.rule and one.fix for one in reasons)
