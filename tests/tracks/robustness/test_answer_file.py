import numpy as np
import pytest

from app.errors import InvalidUpload
from app.tracks.robustness import answer_file
from app.tracks.robustness.answer_file import distances


def public(norm="linf", epsilon=0.1, seed=0, count=6):
    inputs = np.random.default_rng(seed).random((count, 1, 8, 8), np.float32)
    return {"inputs": inputs, "norm": np.array(norm), "epsilon": np.array(epsilon)}


def moved(asked, by):
    """The inputs, every pixel moved by `by` towards the middle, which never leaves the box."""
    return asked["inputs"] + np.where(asked["inputs"] < 0.5, by, -by).astype(np.float32)


@pytest.fixture
def read(tmp_path):
    def read(arrays, publics):
        np.savez(tmp_path / "answer.npz", **arrays)
        return answer_file.read(tmp_path / "answer.npz", publics)

    return read


@pytest.fixture
def refused(read):
    def refused(arrays, publics):
        with pytest.raises(InvalidUpload) as refusal:
            read(arrays, publics)
        return [str(reason) for reason in refusal.value.reasons]

    return refused


class TestRead:
    def test_one_file_answers_every_opponent(self, read):
        publics = {3: public(seed=3), 5: public(seed=5)}

        answers = read({f"team_{team}": moved(asked, 0.1) for team, asked in publics.items()}, publics)

        assert list(answers) == [3, 5]
        assert np.array_equal(answers[5]["inputs"], moved(publics[5], 0.1))

    @pytest.mark.parametrize("dtype", [np.float32, np.float64, ">f4"])
    def test_single_and_double_precision_of_any_byte_order_are_welcome(self, read, dtype):
        asked = public()

        read({"team_3": moved(asked, 0.1).astype(dtype)}, {3: asked})

    @pytest.mark.parametrize("dtype", [np.float16, np.int64, np.complex128])
    def test_it_refuses_other_types(self, refused, dtype):
        asked = public()

        assert refused({"team_3": np.zeros_like(asked["inputs"], dtype)}, {3: asked})

    def test_it_names_opponents_that_are_missing_or_unknown(self, refused):
        asked = public()

        reasons = refused({"team_4": asked["inputs"]}, {3: asked})

        assert any("missing: team_3" in reason for reason in reasons)
        assert any("unknown: " in reason and "team_4" in reason for reason in reasons)

    def test_it_names_the_first_rows_outside_of_the_ball_and_their_distances(self, refused):
        asked = public()
        answer = moved(asked, 0.1)
        answer[2] = moved(asked, 0.25)[2]
        answer[4] = moved(asked, 0.2)[4]

        (reason,) = refused({"team_3": answer}, {3: asked})

        assert "row 2: distance 0.25, row 4: distance 0.2" in reason
        assert "within 0.1" in reason

    def test_it_allows_what_rounding_does_and_nothing_more(self, read, refused):
        asked = public(epsilon=0.1)
        exact = asked["inputs"].astype(np.float64)
        direction = np.where(exact < 0.5, 1.0, -1.0)

        read({"team_3": exact + (0.1 + 0.9e-6) * direction}, {3: asked})

        assert refused({"team_3": exact + (0.1 + 1.1e-6) * direction}, {3: asked})

    def test_it_measures_the_euclidean_length_over_all_pixels(self, read, refused):
        asked = public("l2", epsilon=0.8)

        read({"team_3": moved(asked, 0.0999)}, {3: asked})

        assert "distance 0.808" in refused({"team_3": moved(asked, 0.101)}, {3: asked})[0]

    def test_it_names_the_rows_outside_of_the_box(self, refused):
        asked = public(epsilon=2.0)
        answer = asked["inputs"].copy()
        answer[1, 0, 0, 0], answer[5, 0, 7, 7] = -0.25, 1.5

        (reason,) = refused({"team_3": answer}, {3: asked})

        assert "row 1: 0.25 outside, row 5: 0.5 outside" in reason

    def test_it_tells_of_ball_and_box_of_all_teams_at_once(self, refused):
        publics = {3: public(seed=3), 5: public(seed=5)}

        assert len(refused({f"team_{team}": asked["inputs"] + 2 for team, asked in publics.items()}, publics)) == 4

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    def test_it_refuses_what_is_no_number(self, refused, bad):
        asked = public()
        answer = asked["inputs"].copy()
        answer[0, 0, 3, 3] = bad

        assert "(0, 0, 3, 3)" in refused({"team_3": answer}, {3: asked})[0]

    @pytest.mark.parametrize("shape", [(5, 1, 8, 8), (6, 64), (6, 8, 8), (6, 1, 8, 9), ()])
    def test_it_refuses_other_shapes(self, refused, shape):
        assert "(6, 1, 8, 8)" in refused({"team_3": np.zeros(shape, np.float32)}, {3: public()})[0]


class TestDistances:
    def test_they_are_those_of_numpy(self):
        first, second = public(seed=1)["inputs"], public(seed=2)["inputs"]
        change = (first - second).reshape(6, -1)

        assert distances(first, second, "linf") == pytest.approx(np.abs(change).max(axis=1))
        assert distances(first, second, "l2") == pytest.approx(np.sqrt((change**2).sum(axis=1)))
