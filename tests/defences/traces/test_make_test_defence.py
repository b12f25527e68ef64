"""The script that makes and protects defence files."""

import importlib.util
import zipfile
from pathlib import Path

import numpy as np
import pytest

SCRIPTS = Path(__file__).resolve().parents[3] / "attack_defence_test_scripts"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("make_test_defence", SCRIPTS / "make_test_defence.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def archive(path, text):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("mine.csv", text)
    return path


class TestMakeTestDefence:
    def test_it_writes_captures_that_it_can_read_back(self, script, tmp_path):
        script.main(["--classes", "4", "--output", str(tmp_path / "a.csv.zip")])
        traces, cell, rep = script.read(tmp_path / "a.csv.zip")
        assert set(cell.tolist()) == {1, 2, 3, 4}
        assert np.bincount(cell)[1:].min() >= 32
        assert np.bincount(cell)[1:].max() <= 36
        assert len(rep) == len(traces)
        assert traces.length.min() >= 6

    def test_the_same_seed_writes_the_same_file(self, script, tmp_path):
        for name in ("a.csv.zip", "b.csv.zip"):
            script.main(["--classes", "2", "--defence", "front", "--seed", "3", "--output", str(tmp_path / name)])
        assert (tmp_path / "a.csv.zip").read_bytes() == (tmp_path / "b.csv.zip").read_bytes()

    def test_it_protects_a_file_and_says_what_it_cost(self, script, tmp_path, capsys):
        own, protected = tmp_path / "own.csv.zip", tmp_path / "protected.csv.zip"
        script.main(["--classes", "3", "--output", str(own)])
        script.main(["--from", str(own), "--defence", "tamaraw", "--output", str(protected)])
        assert "bandwidth overhead +" in capsys.readouterr().out
        before, after = script.read(own), script.read(protected)
        assert np.array_equal(before[1], after[1])
        assert np.array_equal(before[2], after[2])
        assert set(np.unique(np.abs(after[0].size))) == {750}

    def test_columns_and_captures_may_come_in_any_order(self, script, tmp_path):
        text = "timestamp,cell_id,direction_size,rep\n0,2,576,7\n0,1,60,9\n0.5,2,-576,7\n0.25,1,-40,9\n"
        traces, cell, rep = script.read(archive(tmp_path / "a.zip", text))
        assert cell.tolist() == [1, 2]
        assert rep.tolist() == [9, 7]
        assert traces.size.tolist() == [60, -40, 576, -576]
        assert traces.time.tolist() == [0, 0.25, 0, 0.5]

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("cell_id,rep\n1,2\n", "must have the columns"),
            ("cell_id,rep,direction_size,timestamp\n", "no packets"),
            ("cell_id,rep,direction_size,timestamp\n1,2,,0\n", "empty fields"),
            ("cell_id,rep,direction_size,timestamp\n1,2,many,0\n", "cannot be read"),
        ],
    )
    def test_it_says_what_is_wrong_with_a_file(self, script, tmp_path, text, reason):
        with pytest.raises(SystemExit, match=reason):
            script.read(archive(tmp_path / "bad.zip", text))

    def test_it_says_that_a_file_is_no_zip(self, script, tmp_path):
        (tmp_path / "bad.zip").write_text("cell_id")
        with pytest.raises(SystemExit, match="cannot be read"):
            script.read(tmp_path / "bad.zip")

    def test_the_file_in_the_repository_is_small_and_whole(self, script):
        path = SCRIPTS / "test_defence.csv.zip"
        traces, cell, _ = script.read(path)
        assert path.stat().st_size < 12_000_000
        assert np.bincount(cell)[1:].min() >= 26
        assert np.bincount(cell)[1:].max() <= 38
        assert len(np.unique(cell)) == 100
        assert traces.length.min() >= 6
