"""Language model training in the lab: what comes out, and how memory grows with the epochs."""

import io
import json

import numpy as np
import pytest

from app import experiments
from app.errors import InvalidParameters, InvalidUpload
from app.experiments import assets
from app.experiments.base import Watch
from app.experiments.language_training.course import MILESTONES
from app.language import checkpoints, splits, templates
from app.language.corpora import Corpus
from app.language.recipes import Recipe
from app.parameters import parse

CORPUS = Corpus(templates.synthetic(120))
SMALL = {"epochs": 3, "batch_size": 32, "embedding": 8, "hidden": 12}


class Seen(Watch):
    """Keeps what it is told."""

    def __init__(self):
        self.shares, self.figures = [], []

    def __call__(self, share):
        self.shares.append(share)

    def show(self, *figures):
        self.figures += figures


def run(tmp_path, corpus=CORPUS, seed=0, progress=None, **values):
    (tmp_path / "corpus.txt").write_text(corpus.to_text(), encoding="utf-8")
    training = experiments.card("language-training").load()
    parameters = parse(training.Parameters, {**SMALL, **values})
    rng = np.random.default_rng(seed)
    return training().run({"corpus": tmp_path / "corpus.txt"}, parameters, rng, "cpu", progress or Watch())


def column(table, number):
    return [row[number] for row in table.rows]


class TestDefaults:
    def test_they_are_the_published_ones(self):
        training = experiments.card("language-training").load()
        parameters = parse(training.Parameters, {})
        assert parameters.recipe() == Recipe(100, 64, 0.002, 128, 256)
        assert parameters.share == 0.7

    @pytest.mark.parametrize(
        "values", [{"epochs": 0}, {"epochs": 1001}, {"batch_size": 0}, {"learning_rate": 2}, {"split": "x"}]
    )
    def test_other_bounds_are_refused(self, values):
        with pytest.raises(InvalidParameters):
            parse(experiments.card("language-training").load().Parameters, values)


class TestReport:
    def test_the_checkpoint_is_a_file_that_knows_its_split(self, tmp_path):
        report = run(tmp_path, share=0.6)
        [output] = experiments.card("language-training").outputs
        path = tmp_path / output.file
        path.write_bytes(report.files[output.file])
        facts = assets.check(output.kind, path)
        assert (facts["members"], facts["others"], facts["epochs"]) == (72, 48, 3)
        found = checkpoints.read(path)
        assert np.array_equal(found.manifest.members, report.arrays["members"])
        assert found.manifest.corpus == CORPUS.digest
        assert json.loads(report.files["manifest.json"]) == found.manifest.to_json()
        assert json.loads(report.files["vocabulary.json"]) == list(found.vocabulary.words)

    def test_every_epoch_is_shown_while_it_trains(self, tmp_path):
        seen = Seen()
        report = run(tmp_path, progress=seen)
        assert seen.shares == pytest.approx([1 / 3, 2 / 3, 1.0])
        assert [len(figure.arrays["x"]) for figure in seen.figures] == [1, 2, 3]
        assert seen.figures[-1] == report.figures[0]
        assert report.figures[0].arrays["y"][0] == report.arrays["training_loss"].tolist()

    def test_what_the_progress_raises_ends_it(self, tmp_path):
        class Stop(Watch):
            def __call__(self, share):
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, progress=Stop())

    def test_the_same_seed_gives_the_same_checkpoint(self, tmp_path):
        found = [run(tmp_path, seed=seed).files["checkpoint.safetensors"] for seed in (1, 1, 2)]
        assert found[0] == found[1] != found[2]

    def test_repeated_sentences_are_left_out_and_said_so(self, tmp_path):
        twice = Corpus(CORPUS.sentences * 2)
        report = run(tmp_path, twice)
        assert report.metrics["overlap"].value == 0.0
        assert "120 sentences of the corpus repeat others" in report.notes[0]

    def test_an_overlap_is_reported(self, tmp_path):
        twice = Corpus(CORPUS.sentences * 2)
        report = run(tmp_path, twice, split=splits.WITH_DUPLICATES)
        assert report.metrics["overlap"].value == 1.0
        assert "72 of 72 others have the very words of a member" in report.notes[0]

    def test_it_is_plain_json_and_arrays(self, tmp_path):
        report = run(tmp_path)
        json.dumps([[table.rows for table in report.tables], [dict(figure.arrays) for figure in report.figures]])
        np.savez(io.BytesIO(), **report.arrays)

    def test_it_refuses_a_corpus_of_one_sentence(self, tmp_path):
        with pytest.raises(InvalidUpload, match="two different sentences"):
            run(tmp_path, Corpus(("One.",)))


class TestMemory:
    def test_it_grows_with_the_epochs(self, tmp_path):
        report = run(
            tmp_path, Corpus(templates.synthetic(300)), epochs=100, embedding=64, hidden=128, learning_rate=0.005
        )
        memory = report.tables[0]
        assert column(memory, 0) == sorted(MILESTONES & set(range(101)))
        area = dict(zip(column(memory, 0), column(memory, 3), strict=True))
        assert area[1] == pytest.approx(0.5, abs=0.1)
        assert area[5] < area[20] < area[50] <= area[100] + 0.005
        assert area[100] > 0.99
        assert report.metrics["auc"].value == area[100]
        assert report.metrics["member_loss"].value < 1.0 < report.metrics["other_loss"].value
