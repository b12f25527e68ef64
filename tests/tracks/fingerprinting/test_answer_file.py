import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from app.errors import InvalidUpload
from app.tracks.fingerprinting import answer_file
from tests import forged
from tests.forged import ANSWER_HEADER, PUBLICS, SETTINGS, honest_answer

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def read(tmp_path):
    def read_text(text, publics=PUBLICS):
        forged.answer(text)(tmp_path / "upload.zip")
        return answer_file.read(tmp_path / "upload.zip", publics, SETTINGS)

    return read_text


def table(rows, header=ANSWER_HEADER):
    return header + "\n".join(rows) + "\n"


def reasons(read, text):
    with pytest.raises(InvalidUpload) as caught:
        read(text)
    return caught.value.reasons


def answers(probabilities, digits):
    """Rows whose probabilities are written with so many digits."""
    ids = [row.split(",")[:2] for row in honest_answer()]
    return [",".join([*pair, *(digits % p for p in row)]) for pair, row in zip(ids, probabilities, strict=True)]


class TestRead:
    def test_it_returns_one_answer_per_team(self, read):
        found = read(table(honest_answer()))
        assert set(found) == {7, 9}
        assert found[9]["capture"].tolist() == [21, 22, 23, 24]
        assert found[9]["probabilities"].shape == (4, 4)
        assert found[9]["probabilities"][0].tolist() == [0.25, 0.25, 0.5, 0]

    def test_rows_are_joined_by_id_and_not_by_position(self, read):
        probabilities = np.random.default_rng(1).dirichlet(np.ones(4), 8)
        rows = answers(probabilities, "%.17g")
        shuffled = [rows[place] for place in np.random.default_rng(2).permutation(8)]
        unsorted = {7: {"test_capture": np.array([14, 11, 13, 12])}, 9: PUBLICS[9]}
        found = read(table(shuffled), unsorted)
        assert found[7]["capture"].tolist() == [14, 11, 13, 12]
        np.testing.assert_allclose(found[7]["probabilities"], probabilities[[3, 0, 2, 1]], atol=1e-15)
        np.testing.assert_allclose(found[9]["probabilities"], probabilities[4:], atol=1e-15)

    def test_columns_are_joined_by_name_and_not_by_position(self, read):
        names = ANSWER_HEADER.strip().split(",")
        order = [5, 2, 0, 4, 1, 3]
        rows = [",".join(row.split(",")[place] for place in order) for row in honest_answer()]
        found = read(table(rows, ",".join(names[place] for place in order) + "\n"))
        assert found[7]["probabilities"][0].tolist() == [0.25, 0.25, 0.5, 0]

    @pytest.mark.parametrize("digits", ["%.6f", "%.4f", "%.9g", "%.17g"])
    def test_rounded_probabilities_are_accepted_and_rescaled(self, read, digits):
        probabilities = np.random.default_rng(3).dirichlet(np.ones(4), 8)
        found = read(table(answers(probabilities.astype(np.float32), digits)))
        for answer in found.values():
            np.testing.assert_allclose(answer["probabilities"].sum(axis=1), 1, atol=1e-12)

    def test_exact_probabilities_stay_bit_by_bit(self, read):
        probabilities = np.random.default_rng(4).dirichlet(np.ones(4), 8)
        found = read(table(answers(probabilities, "%.17g")))
        assert np.array_equal(np.concatenate([found[7]["probabilities"], found[9]["probabilities"]]), probabilities)

    def test_tiny_negative_numbers_become_zero(self, read):
        rows = honest_answer()
        rows[0] = "7,11,-1e-9,0.5,0.5,0.0"
        assert read(table(rows))[7]["probabilities"][0, 0] == 0

    def test_ids_of_64_bits_are_kept(self, read):
        large = np.array([2**62 + 1, 2**62 + 2])
        rows = [f"3,{capture},1,0,0,0" for capture in large]
        assert read(table(rows), {3: {"test_capture": large}})[3]["capture"].tolist() == large.tolist()


class TestComplaints:
    def test_ids_are_told_all_at_once_with_their_lines(self, read):
        rows = honest_answer()
        rows[0], rows[1], rows[5], rows[7] = "8,11,1,0,0,0", "7,13,1,0,0,0", "9,77,1,0,0,0", "9,23,1,0,0,0"
        texts = [str(reason) for reason in reasons(read, table(rows))]
        assert len(texts) == 6
        assert all("exactly one row for each capture_id of each opponent: 8 rows" in text for text in texts)
        assert "line 2: team_id 8" in texts[0]
        assert "team_id 7, repeated ids: line 4: 13" in texts[1]
        assert "team_id 7, missing ids: 11, 12." in texts[2]
        assert "team_id 9, unknown ids: line 7: 77" in texts[3]
        assert "team_id 9, repeated ids: line 9: 23" in texts[4]
        assert "team_id 9, missing ids: 22, 24." in texts[5]

    def test_a_missing_opponent_is_told(self, read):
        (reason,) = reasons(read, table(honest_answer()[:4]))
        assert reason.where == "team_id 9, missing ids: 21, 22, 23, 24"
        assert reason.count == 4

    def test_bad_sums_are_told_with_line_and_sum(self, read):
        rows = honest_answer()
        rows[2], rows[3] = "7,13,0.3,0.3,0.3,0.0", "7,14,0.5,0.5,0.002,0"
        (reason,) = reasons(read, table(rows))
        assert reason.rule == "The probabilities of one row sum to 1, within 0.001."
        assert reason.where == "line 4: sum 0.9, line 5: sum 1.002"

    def test_bad_probabilities_are_told_with_line_column_and_value(self, read):
        rows = honest_answer()
        rows[2], rows[3] = "7,13,nan,0.3,0.3,0.4", "7,14,0.5,1.5,-1,0"
        (reason,) = reasons(read, table(rows))
        assert reason.where == "line 4: proba_class_1 = nan, line 5: proba_class_2 = 1.5, line 5: proba_class_3 = -1"

    def test_missing_columns_are_named(self, read):
        (reason,) = reasons(read, table(["7,11,1"], "team_id,capture_id,proba_class_1\n"))
        assert '"proba_class_2", "proba_class_3", "proba_class_4"' in reason.where

    def test_the_number_of_rows_is_bounded_before_they_are_parsed(self, read):
        (reason,) = reasons(read, table(["7,11,1,0,0,0"] * 1017))
        assert reason.rule == "The csv has between 1 and 1,016 rows."


class TestTheScript:
    def test_it_checks_an_attack_against_the_downloaded_challenge(self, tmp_path):
        inner, challenge, upload = tmp_path / "inner.zip", tmp_path / "challenge.zip", tmp_path / "upload.zip"
        with zipfile.ZipFile(challenge, "w") as archive:
            for team, public in PUBLICS.items():
                rows = [f"{capture},500,0.0\n{capture},-500,0.1\n" for capture in public["test_capture"]]
                forged.answer("capture_id,direction_size,timestamp\n" + "".join(rows))(inner)
                archive.write(inner, f"team_{team}_test.csv.zip")
                archive.write(inner, f"team_{team}_train.csv.zip")
        forged.answer(table(honest_answer()))(upload)
        script = ROOT / "attack_defence_test_scripts" / "check_upload.py"
        names = ("NB_CLASSES", "NB_TRACES_TO_CLASSIFY", "MEAN_NB_REP_PER_CLASS", "DEVIATION_NB_REP_PER_CLASS")
        settings = [f"--set={name}={getattr(SETTINGS, name)}" for name in names]
        command = [sys.executable, script, upload, "--attack", f"--challenge={challenge}", *settings]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert done.stdout == "upload.zip is fine: answers to 2 opponents.\n", done.stderr
        assert done.returncode == 0
