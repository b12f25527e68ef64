import numpy as np
import pytest

from app import bundles
from app.errors import InvalidUpload
from app.tracks.gradient_leakage import answer_file
from tests.tracks.gradient_leakage.rounds import challenge

SHAPE = (3, 2, 1, 8, 8)


@pytest.fixture
def read(tmp_path):
    def read(arrays, teams=(3,)):
        bundles.write(arrays, tmp_path / "answer.npz")
        return answer_file.read(tmp_path / "answer.npz", dict.fromkeys(teams, challenge().public))

    return read


@pytest.fixture
def refused(read):
    def refused(arrays, teams=(3,)):
        with pytest.raises(InvalidUpload) as refusal:
            read(arrays, teams)
        return [str(reason) for reason in refusal.value.reasons]

    return refused


def guess(seed=0, dtype=np.float32):
    return np.random.default_rng(seed).random(SHAPE).astype(dtype)


class TestRead:
    def test_one_file_answers_every_opponent_with_or_without_labels(self, read):
        labels = np.array([[0, 9], [-1, 3], [3, 3]])

        answers = read({"team_3": guess(3), "team_5": guess(5), "team_5_labels": labels}, (3, 5))

        assert list(answers) == [3, 5]
        assert answers[5]["inputs"] == pytest.approx(guess(5))
        assert np.array_equal(answers[5]["labels"], labels)
        assert set(answers[3]) == {"inputs"}

    @pytest.mark.parametrize("dtype", [np.float16, np.float64, ">f4"])
    def test_any_floating_point_is_welcome(self, read, dtype):
        read({"team_3": guess(dtype=dtype)})

    def test_it_names_opponents_that_are_missing_or_unknown(self, refused):
        reasons = refused({"team_4": guess()})

        assert any("missing: team_3" in reason for reason in reasons)
        assert any("unknown" in reason and "team_4" in reason for reason in reasons)

    @pytest.mark.parametrize("shape", [(3, 2, 64), (2, 2, 1, 8, 8), (3, 3, 1, 8, 8), (6, 1, 8, 8), ()])
    def test_it_refuses_other_shapes(self, refused, shape):
        assert "(3, 2, 1, 8, 8)" in refused({"team_3": np.zeros(shape, np.float32)})[0]

    def test_more_guesses_than_records_are_not_taken(self, refused):
        assert refused({"team_3": np.zeros((3, 600, 1, 8, 8), np.float32)})

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -0.01, 1.01])
    def test_it_names_values_outside_of_0_and_1(self, refused, bad):
        inputs = guess()
        inputs[2, 1, 0, 3, 4] = bad

        assert "(2, 1, 0, 3, 4)" in refused({"team_3": inputs})[0]

    def test_what_rounding_does_is_clipped(self, read):
        inputs = np.where(guess() < 0.5, -5e-7, 1 + 5e-7)

        found = read({"team_3": inputs})[3]["inputs"]

        assert (found.min(), found.max()) == (0.0, 1.0)

    @pytest.mark.parametrize("labels", [np.full((3, 2), 10), np.full((3, 2), -2), np.full((3, 2), 255, np.uint8)])
    def test_it_refuses_labels_that_are_no_class(self, refused, labels):
        (reason,) = refused({"team_3": guess(), "team_3_labels": labels})

        assert "0 to 9" in reason

    def test_it_refuses_probabilities_as_labels(self, refused):
        assert refused({"team_3": guess(), "team_3_labels": np.zeros((3, 2), np.float32)})

    def test_it_tells_of_all_teams_at_once(self, refused):
        reasons = refused({"team_3": guess() + 1, "team_5": guess() - 1}, (3, 5))

        assert len(reasons) == 2
