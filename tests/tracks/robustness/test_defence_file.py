import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper

from app.errors import InvalidUpload
from app.tracks.robustness.game import Robustness
from app.tracks.robustness.settings import Settings
from tests.tracks.robustness.models import centres, linear


@pytest.fixture
def read(tmp_path):
    def read(data, **settings):
        path = tmp_path / "model.onnx"
        path.write_bytes(data)
        return Robustness(Settings(**settings)).read_defence(path)

    return read


@pytest.fixture
def refused(read):
    def refused(data, **settings):
        with pytest.raises(InvalidUpload) as refusal:
            read(data, **settings)
        return [str(reason) for reason in refusal.value.reasons]

    return refused


class TestReadDefence:
    def test_it_keeps_the_bytes_of_the_file(self, read):
        defence = read(linear())

        assert defence["model"].tobytes() == linear()
        assert defence["parameters"] == 650

    @pytest.mark.parametrize("shape", [("N", 64), ("N", 1, 8, 8), (1, 1, 8, 8), ("N", 1, "H", "W"), ("N", "K")])
    def test_images_and_rows_of_pixels_are_worth_the_same(self, read, shape):
        track = Robustness()

        assert track.utility(read(linear(shape=shape))).value == track.utility(read(linear())).value > 0.85

    def test_probabilities_are_welcome(self, read):
        track = Robustness()

        softmax = read(linear(tail=[("Softmax", {"axis": 1})]))

        assert track.utility(softmax).value == track.utility(read(linear())).value

    def test_it_refuses_other_images(self, refused):
        weight = np.zeros((784, 10), np.float32)

        (reason,) = refused(linear(weight, shape=("N", 1, 28, 28)))

        assert "(N, 1, 8, 8) or (N, 64)" in reason
        assert "(N, 1, 28, 28)" in reason

    def test_it_refuses_other_classes_and_names_both_shapes(self, refused):
        weight, offset = centres()

        (reason,) = refused(linear(weight[:, :7], offset[:7]))

        assert "(N, 10)" in reason
        assert "(N, 7)" in reason

    def test_it_tells_of_wrong_images_and_wrong_classes_at_once(self, refused):
        assert len(refused(linear(np.zeros((784, 7), np.float32), np.zeros(7, np.float32), ("N", 784)))) == 2

    def test_it_refuses_an_operator_that_draws_numbers(self, refused):
        reasons = refused(linear(tail=[("RandomNormalLike", {})]))

        assert any("RandomNormalLike" in reason for reason in reasons)

    def test_it_refuses_an_output_that_is_not_finite_and_a_guess_at_once(self, refused):
        weight, offset = centres()

        # The logarithm of 0 is infinite for the darkest image, which is the only one that the probing has not tried.
        reasons = refused(linear(weight[:, ::-1] ** 2, 0 * offset, tail=[("Log", {})]))

        assert any("finite" in reason for reason in reasons)
        assert any("50%" in reason for reason in reasons)

    def test_it_refuses_a_model_that_guesses(self, refused):
        weight, offset = centres()

        (reason,) = refused(linear(weight[:, ::-1], offset[::-1]))

        assert "at least 50% of the hidden images" in reason

    def test_it_refuses_whole_numbers_as_input(self, refused):
        model = ModelProto.FromString(linear(element=TensorProto.INT64))
        model.graph.node.insert(0, helper.make_node("Cast", ["x"], ["cast"], to=TensorProto.FLOAT))
        model.graph.node[1].input[0] = "cast"

        (reason,) = refused(model.SerializeToString())

        assert "floating point" in reason

    def test_it_refuses_a_file_that_is_too_large(self, refused):
        (reason,) = refused(linear() + bytes(20_000), MAX_MODEL_MB=0.02)

        assert "at most" in reason

    def test_it_refuses_a_model_that_takes_too_long(self, refused):
        wide = np.zeros((64, 200_000), np.float32)

        assert refused(linear(wide, np.zeros(200_000, np.float32)), MAX_MODEL_MB=100.0, MAX_MILLION_OPERATIONS=1)
