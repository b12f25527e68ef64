import zipfile

import numpy as np
import pytest

from app.errors import InvalidUpload
from app.tracks.membership import answer_file
from app.tracks.membership.answer_file import SCORE

PUBLICS = {3: {"record_id": np.array([5, 8, 900])}, 4: {"record_id": np.array([5, 6])}}
GOOD = "team_id,record_id,membership_score\n3,900,1e-3\n4,6,-2\n3,5,.5\n3,8,7\n4,5,0\n"


@pytest.fixture
def read(tmp_path):
    def read(text):
        with zipfile.ZipFile(tmp_path / "answer.csv.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("answer.csv", text)
        return answer_file.read(tmp_path / "answer.csv.zip", PUBLICS)

    return read


@pytest.fixture
def refused(read):
    def refused(text):
        with pytest.raises(InvalidUpload) as refusal:
            read(text)
        return [str(reason) for reason in refusal.value.reasons]

    return refused


class TestRead:
    def test_rows_are_joined_by_team_and_id(self, read):
        answers = read(GOOD)

        assert answers[3]["record_id"].tolist() == [5, 8, 900]
        assert answers[3][SCORE].tolist() == [0.5, 7, 0.001]
        assert answers[4][SCORE].tolist() == [0, -2]

    def test_what_was_written_is_read_bit_by_bit(self, tmp_path):
        rng = np.random.default_rng(0)
        publics = {7: {"record_id": np.sort(rng.choice(10**9, 500, replace=False))}}
        answers = {7: {**publics[7], SCORE: rng.standard_normal(500) * 10.0 ** rng.integers(-20, 20, 500)}}

        answer_file.write(answers, tmp_path / "a.csv.zip")

        assert np.array_equal(answer_file.read(tmp_path / "a.csv.zip", publics)[7][SCORE], answers[7][SCORE])

    def test_equal_answers_are_equal_files(self, tmp_path):
        answers = {3: {**PUBLICS[3], SCORE: np.arange(3.0)}}
        for name in ("a.csv.zip", "b.csv.zip"):
            (tmp_path / name[0]).mkdir()
            answer_file.write(answers, tmp_path / name[0] / "x.csv.zip")

        assert (tmp_path / "a" / "x.csv.zip").read_bytes() == (tmp_path / "b" / "x.csv.zip").read_bytes()

    def test_it_names_everything_wrong_at_once_with_its_lines(self, refused):
        reasons = refused(GOOD.replace("3,8,7", "3,8,nan").replace("4,6,-2", "4,7,-2") + "3,5,1\n9,5,1\n")

        assert len(reasons) == 5
        assert "line 5: nan" in reasons[0]
        assert "line 8: team_id 9" in reasons[1]
        assert "repeated ids: line 7: 5" in reasons[2]
        assert "unknown ids: line 3: 7" in reasons[3]
        assert "missing ids: 6" in reasons[4]

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "team_id,record_id\n3,5\n",
            "team_id,record_id,membership_score\n",
            GOOD.replace("7", "high"),
            GOOD.replace("3,5,.5", "3.5,5,.5"),
            GOOD.replace("3,8,7", "3,8,inf"),
            GOOD + "\n",
            GOOD + "4,5\n",
            GOOD * 2,
            GOOD + "4,5,0\n" * 5000,
        ],
    )
    def test_it_refuses_other_tables(self, refused, text):
        assert refused(text)
