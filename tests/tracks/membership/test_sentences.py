import functools
import tempfile
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from app.errors import InvalidUpload
from app.language import tokens
from app.record_sets import sentences as numbers
from app.tracks.base import Data, Seat
from app.tracks.membership import sentences
from app.tracks.membership.game import Membership
from app.tracks.membership.settings import Settings

SETTINGS = Settings(
    TRAINING_RECORDS=60, MEMBERS=50, POPULATION_RECORDS=60, HELD_OUT_RECORDS=50, MIN_ACCURACY=0.02, MAX_MODEL_MB=1.0
)
PARTS = (
    "the a my no",
    "red old tiny loud",
    "cat dog king boat clerk",
    "sees likes paints",
    "the my",
    "house spoon wall",
)


@functools.cache
def game():
    rng = np.random.default_rng(0)
    lines = sorted({" ".join(rng.choice(part.split()) for part in PARTS) for _ in range(800)})
    path = Path(tempfile.mkdtemp(prefix="sentences-")) / "s.txt"
    path.write_text("\n".join(lines))
    return Membership(SETTINGS, Seat(1, 1), Data("sentences", path))


@functools.cache
def defence(name):
    return game().house_defence(name, np.random.default_rng(0))


@functools.cache
def challenge():
    return game().challenge(defence("undefended"), np.random.default_rng(1))


def leakage(slug):
    answer = game().adversaries()[slug](challenge().public, np.random.default_rng(2), "cpu")
    return game().leakage(answer, challenge().secret, np.random.default_rng(3)).value


def refused(data, tmp_path):
    (tmp_path / "m.onnx").write_bytes(data)
    with pytest.raises(InvalidUpload) as refusal:
        game().read_defence(tmp_path / "m.onnx")
    return [str(reason) for reason in refusal.value.reasons]


def looker(words, length, shift=1):
    """A model that gives the word `shift` places later the highest score."""
    constants = {
        "words": np.array([words], np.int64),
        "values": np.array([0.0, 9.0], np.float32),
        "starts": np.array([shift], np.int64),
        "ends": np.array([length + shift], np.int64),
        "axes": np.array([1], np.int64),
        "pads": np.array([0, 0, 0, shift], np.int64),
    }
    nodes = [
        helper.make_node("Pad", ["x", "pads"], ["padded"]),
        helper.make_node("Slice", ["padded", "starts", "ends", "axes"], ["later"]),
        helper.make_node("Cast", ["later"], ["ids"], to=TensorProto.INT64),
        helper.make_node("OneHot", ["ids", "words", "values"], ["scores"], axis=-1),
    ]
    graph = helper.make_graph(
        nodes,
        "looker",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", length])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", length, words])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


class TestRecords:
    def test_special_words_have_the_numbers_that_language_models_know(self):
        assert numbers.SPECIAL == tokens.SPECIAL
        assert (numbers.PAD, numbers.START, numbers.END) == (tokens.PAD, tokens.BOS, tokens.EOS)

    def test_a_sentence_is_what_is_read_and_what_comes_next(self):
        lines = sentences.encoded(np.array([[1, 5, 6, 2, 0], [1, 4, 2, 0, 0]], np.float32))

        assert lines.inputs.tolist() == [[1, 5, 6, 2], [1, 4, 2, 0]]
        assert lines.targets.tolist() == [[5, 6, 2, 0], [4, 2, 0, 0]]
        assert lines.lengths.tolist() == [3, 2]

    def test_labels_get_no_noise(self):
        assert not game().material.pool.y.any()


class TestRound:
    def test_the_issue_names_the_words(self, tmp_path):
        game().write_issue(tmp_path)

        assert '"words"' in (tmp_path / "about.json").read_text()

    def test_a_defence_that_was_written_and_read_is_worth_the_same(self, tmp_path):
        path = tmp_path / "d.onnx"
        game().write_defence(defence("undefended"), path)
        read = game().read_defence(path)

        assert read["parameters"] == defence("undefended")["parameters"]
        assert game().utility(read).metrics == game().utility(defence("undefended")).metrics

    def test_learning_by_heart_leaks_and_an_early_end_leaks_less(self):
        assert leakage("blind") == 0
        for slug in ("loss", "zlib-ratio", "min-k", "min-k-plus-plus"):
            assert leakage(slug) > 0.5
        early = game().challenge(defence("early-stopping"), np.random.default_rng(1))
        answer = game().adversaries()["loss"](early.public, np.random.default_rng(2), "cpu")

        assert game().leakage(answer, early.secret, np.random.default_rng(3)).value < leakage("loss")

    def test_the_early_end_is_worth_no_more_on_its_own_sentences(self):
        own, other = (game().utility(defence(name)).metrics for name in ("undefended", "early-stopping"))

        assert own["training_accuracy"].value > other["training_accuracy"].value
        assert 0 < own["accuracy"].value < 1


class TestBadModels:
    def test_to_look_at_the_next_word_is_noticed_and_worth_nothing(self, tmp_path):
        about = game().material.about

        reasons = refused(looker(about.classes, about.shape[0]), tmp_path)

        assert any("no later ones" in reason for reason in reasons)
        assert any("at least 2%" in reason for reason in reasons)

    def test_another_vocabulary_and_another_kind_of_model_are_refused(self, tmp_path):
        about = game().material.about

        assert "next" in refused(looker(about.classes - 3, about.shape[0]), tmp_path)[0]
        assert refused(looker(about.classes, about.shape[0] + 2), tmp_path)
        assert refused(b"no model", tmp_path)
