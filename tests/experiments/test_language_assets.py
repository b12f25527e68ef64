"""Corpora and checkpoints as files of the lab."""

import json

import pytest

from app.errors import InvalidUpload
from app.experiments import assets
from app.language import checkpoints, splits, templates
from app.language.corpora import Corpus
from app.language.manifests import Manifest
from app.language.recipes import Recipe

CORPUS = Corpus((*templates.synthetic(30), templates.synthetic(1)[0]), "https://example.org/page")


def test_a_corpus_says_what_it_holds(tmp_path):
    (tmp_path / "file").write_text(CORPUS.to_text())
    facts = assets.check("corpus", tmp_path / "file")
    assert (facts["n"], facts["distinct"], facts["source"]) == (31, 30, "https://example.org/page")
    assert facts["preview"] == list(CORPUS.sentences[:5])
    assert facts["digest"] == CORPUS.digest
    json.dumps(facts)


def test_a_checkpoint_says_how_it_came_about(tmp_path):
    recipe = Recipe(epochs=1, batch_size=8, learning_rate=0.01, embedding=4, hidden=4)
    manifest = Manifest.of(CORPUS, splits.split(CORPUS), splits.SHUFFLED, 3, recipe)
    (tmp_path / "file").write_bytes(checkpoints.to_bytes(checkpoints.fit(CORPUS, manifest)))
    facts = assets.check("checkpoint", tmp_path / "file")
    assert (facts["members"], facts["others"], facts["seed"], facts["hidden"]) == (21, 9, 3, 4)
    assert facts["corpus"] == CORPUS.digest
    json.dumps(facts)


@pytest.mark.parametrize("kind", ["corpus", "checkpoint"])
def test_what_is_neither_is_refused(tmp_path, kind):
    (tmp_path / "file").write_bytes(b"\x80\x04\x95pickle")
    with pytest.raises(InvalidUpload):
        assets.check(kind, tmp_path / "file")
