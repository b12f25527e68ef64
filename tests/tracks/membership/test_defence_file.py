import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper

from app.errors import InvalidUpload
from app.tracks.membership.game import Membership
from app.tracks.membership.settings import Settings
from tests.tracks.membership.models import centres, linear


@pytest.fixture
def read(tmp_path):
    def read(data, **settings):
        path = tmp_path / "model.onnx"
        path.write_bytes(data)
        return Membership(Settings(**settings)).read_defence(path)

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

    @pytest.mark.parametrize("shape", [("N", 64), ("N", 1, 8, 8), (1, 1, 8, 8), ("N", 1, "H", "W")])
    def test_records_and_rows_of_numbers_are_worth_the_same(self, read, shape):
        track = Membership()

        assert track.utility(read(linear(shape=shape))).value == track.utility(read(linear())).value > 0.85

    def test_probabilities_are_welcome(self, read):
        softmax = read(linear(tail=[("Softmax", {"axis": 1})]))

        assert Membership().utility(softmax).value == Membership().utility(read(linear())).value

    def test_it_refuses_other_records(self, refused):
        (reason,) = refused(linear(np.zeros((784, 10), np.float32), shape=("N", 1, 28, 28)))

        assert "(N, 1, 8, 8) or (N, 64)" in reason

    def test_it_refuses_other_classes(self, refused):
        weight, offset = centres()

        assert "(N, 7)" in refused(linear(weight[:, :7], offset[:7]))[0]

    def test_it_refuses_a_model_that_guesses_or_draws_numbers(self, refused):
        weight, offset = centres()

        assert "at least 20%" in refused(linear(weight[:, ::-1], offset[::-1]))[0]
        assert any("RandomNormalLike" in one for one in refused(linear(tail=[("RandomNormalLike", {})])))

    def test_it_refuses_outputs_that_are_not_finite(self, refused):
        assert any("finite" in one for one in refused(linear(tail=[("Sqrt", {})])))

    def test_it_refuses_whole_numbers_as_input(self, refused):
        model = ModelProto.FromString(linear(element=TensorProto.INT64))
        model.graph.node.insert(0, helper.make_node("Cast", ["x"], ["cast"], to=TensorProto.FLOAT))
        model.graph.node[1].input[0] = "cast"

        assert "floating point" in refused(model.SerializeToString())[0]

    def test_it_refuses_what_is_too_large_or_takes_too_long(self, refused):
        wide = np.zeros((64, 200_000), np.float32)

        assert "at most" in refused(linear() + bytes(20_000), MAX_MODEL_MB=0.02)[0]
        assert refused(linear(wide, np.zeros(200_000, np.float32)), MAX_MODEL_MB=100.0, MAX_MILLION_OPERATIONS=1)

    @pytest.mark.parametrize("cut", [0, 10, -1, -200])
    def test_it_refuses_damaged_files(self, refused, cut):
        assert refused(linear()[:cut])
