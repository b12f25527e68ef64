"""Checkpoints and their manifests: what is written is read back, and a stranger's file is checked."""

import json
from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
import torch
from onnx import TensorProto
from safetensors.torch import load, save

from app import onnx_models
from app.errors import InvalidUpload
from app.language import checkpoints, manifests, onnx_files, scoring, splits, templates
from app.language.corpora import Corpus
from app.language.manifests import Manifest
from app.language.recipes import Recipe

CORPUS = Corpus(templates.synthetic(40), "https://example.org")
RECIPE = Recipe(epochs=2, batch_size=16, learning_rate=0.01, embedding=6, hidden=8)


@pytest.fixture(scope="module")
def checkpoint():
    split = splits.split(CORPUS, splits.SHUFFLED, seed=9)
    return checkpoints.fit(CORPUS, Manifest.of(CORPUS, split, splits.SHUFFLED, 9, RECIPE))


@pytest.fixture
def path(tmp_path, checkpoint):
    (tmp_path / "model.safetensors").write_bytes(checkpoints.to_bytes(checkpoint))
    return tmp_path / "model.safetensors"


def parts(checkpoint):
    """The metadata of a checkpoint, to be spoilt."""
    return {
        "manifest": checkpoint.manifest.to_json(),
        "vocabulary": list(checkpoint.vocabulary.words),
        "losses": list(checkpoint.losses),
    }


def forged(path, checkpoint, metadata=None, **weights):
    """A file with other weights or other metadata."""
    state = load(checkpoints.to_bytes(checkpoint)) | weights
    text = json.dumps(parts(checkpoint)) if metadata is None else metadata
    path.write_bytes(
        save({name: weight for name, weight in state.items() if weight is not None}, {checkpoints.FORMAT: text})
    )
    return path


class TestCheckpoint:
    def test_it_is_read_back(self, path, checkpoint):
        found = checkpoints.read(path)
        assert found.manifest == checkpoint.manifest
        assert found.vocabulary == checkpoint.vocabulary
        assert found.losses == checkpoint.losses
        lines = found.vocabulary.encode(CORPUS.sentences)
        assert np.array_equal(scoring.losses(found.network, lines), scoring.losses(checkpoint.network, lines))

    def test_the_same_manifest_becomes_the_same_bytes(self, checkpoint):
        again = checkpoints.fit(CORPUS, checkpoint.manifest)
        assert checkpoints.to_bytes(again) == checkpoints.to_bytes(checkpoint)

    def test_it_knows_the_words_of_its_members_only(self, checkpoint):
        members = {word for place in checkpoint.manifest.members for word in CORPUS.keys[place]}
        assert set(checkpoint.vocabulary.words[4:]) == members

    @pytest.mark.parametrize(
        "content", [b"", b"PK\x03\x04" * 50, b"\x80\x04pickle", b"\xff" * 8 + b"{}", b"\x02" + b"\0" * 7 + b"{}"]
    )
    def test_it_refuses_what_is_no_checkpoint(self, path, content):
        path.write_bytes(content)
        with pytest.raises(InvalidUpload):
            checkpoints.read(path)

    def test_it_refuses_half_a_file(self, path):
        path.write_bytes(path.read_bytes()[:-100])
        with pytest.raises(InvalidUpload, match="undamaged"):
            checkpoints.read(path)

    def test_it_refuses_a_large_file(self, path, monkeypatch):
        monkeypatch.setattr(checkpoints, "MAX_BYTES", 10)
        with pytest.raises(InvalidUpload, match="at most"):
            checkpoints.read(path)

    @pytest.mark.parametrize("text", ["", "[]", "{}", "[" * 100_000, '{"manifest": {}}', "null"])
    def test_it_refuses_metadata_of_another_form(self, path, checkpoint, text):
        with pytest.raises(InvalidUpload):
            checkpoints.read(forged(path, checkpoint, text))

    @pytest.mark.parametrize(
        "weights",
        [
            {"output.bias": torch.zeros(3)},
            {"output.bias": None},
            {"surplus": torch.zeros(3)},
            {"lstm.bias_ih_l0": torch.zeros(32, dtype=torch.float64)},
            {"lstm.bias_ih_l0": torch.full((32,), float("nan"))},
        ],
    )
    def test_it_refuses_weights_that_do_not_fit(self, path, checkpoint, weights):
        with pytest.raises(InvalidUpload, match="weight"):
            checkpoints.read(forged(path, checkpoint, **weights))

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("vocabulary", "text"),
            ("vocabulary", ["<pad>", "<bos>", "<eos>", "<unk>"]),
            ("vocabulary", ["<pad>", "<bos>", "<eos>", "<unk>", "a", "a"]),
            ("vocabulary", ["a", "<bos>", "<eos>", "<unk>", "<pad>"]),
            ("vocabulary", ["<pad>", "<bos>", "<eos>", "<unk>", 7]),
            ("losses", [1.0] * 2000),
            ("losses", ["1.0"]),
            ("losses", [float("nan")]),
        ],
    )
    def test_it_refuses_other_words_and_losses(self, path, checkpoint, name, value):
        with pytest.raises(InvalidUpload):
            checkpoints.read(forged(path, checkpoint, json.dumps(parts(checkpoint) | {name: value})))


class TestManifest:
    def test_it_is_read_back(self, checkpoint):
        text = json.dumps(checkpoint.manifest.to_json())
        assert manifests.parse(json.loads(text)) == checkpoint.manifest

    def test_it_names_what_computed(self, checkpoint):
        assert checkpoint.manifest.versions["torch"] == torch.__version__

    def test_it_refuses_another_corpus(self, checkpoint):
        checkpoint.manifest.check_corpus(replace(CORPUS, source=""))
        with pytest.raises(InvalidUpload, match="nobody knows the members"):
            checkpoint.manifest.check_corpus(Corpus(CORPUS.sentences[::-1]))

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("sentences", 10**9),
            ("sentences", "40"),
            ("sentences", True),
            ("members", []),
            ("members", [0, 0]),
            ("members", [40]),
            ("members", [-1]),
            ("members", [0.5]),
            ("members", [10**30]),
            ("members", {"0": 1}),
            ("others", "0"),
            ("seed", -1),
            ("seed", 1 << 70),
            ("corpus", 5),
            ("corpus", "x" * 1000),
            ("way", "sideways"),
            ("way", ["distinct"]),
            ("versions", "text"),
            ("versions", {"torch": 2}),
            ("recipe", {}),
            ("recipe", {"epochs": 2, "batch_size": 16, "learning_rate": 0.01, "embedding": 6, "hidden": 10**9}),
            ("recipe", None),
        ],
    )
    def test_it_refuses_what_breaks_a_rule(self, checkpoint, name, value):
        with pytest.raises(InvalidUpload):
            manifests.parse(checkpoint.manifest.to_json() | {name: value})

    def test_it_refuses_members_that_are_others(self, checkpoint):
        found = checkpoint.manifest.to_json()
        with pytest.raises(InvalidUpload, match="member and none"):
            manifests.parse(found | {"others": found["members"]})


class TestOnnxFile:
    @pytest.mark.parametrize("kind", [TensorProto.INT64, TensorProto.FLOAT])
    def test_every_runtime_computes_the_same(self, tmp_path, checkpoint, kind):
        lines = checkpoint.vocabulary.encode(CORPUS.sentences[:5])
        given = lines.inputs if kind == TensorProto.INT64 else lines.inputs.astype(np.float32)
        content = onnx_files.write(checkpoint.network, kind)
        (tmp_path / "model.onnx").write_bytes(content)
        session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
        model = onnx_models.load(tmp_path / "model.onnx", input_shape=given.shape[1:])
        with torch.no_grad():
            expected = checkpoint.network(torch.from_numpy(lines.inputs)).numpy()
            ours = model(torch.from_numpy(given)).numpy()
        assert np.allclose(session.run(None, {"tokens": given})[0], expected, atol=1e-5)
        assert np.allclose(ours, expected, atol=1e-5)

    def test_a_read_file_is_scored_like_the_network(self, tmp_path, checkpoint):
        (tmp_path / "model.onnx").write_bytes(onnx_files.write(checkpoint.network))
        lines, words = checkpoint.vocabulary.encode(CORPUS.sentences), len(checkpoint.vocabulary)
        model = onnx_models.load(tmp_path / "model.onnx")
        found = scoring.statistics(model, lines, words).losses
        assert np.allclose(found, scoring.losses(checkpoint.network, lines), atol=1e-5)

    def test_equal_models_become_equal_bytes(self, checkpoint):
        assert onnx_files.write(checkpoint.network) == onnx_files.write(checkpoint.network)
