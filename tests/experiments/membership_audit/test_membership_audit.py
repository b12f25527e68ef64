"""The membership audit: what it finds on a model that knows its text by heart, and how sure it is."""

import csv
import io
import json

import numpy as np
import pytest

from app import experiments, metrics
from app.errors import InvalidParameters, InvalidUpload
from app.experiments.base import Watch
from app.experiments.membership_audit import evidence, reporting
from app.experiments.membership_audit.sentences import HELD_OUT, STRANGE, TRAINED
from app.language import checkpoints, splits, templates
from app.language.corpora import Corpus
from app.language.manifests import Manifest
from app.language.recipes import Recipe
from app.parameters import parse

CORPUS = Corpus(templates.synthetic(300))
RECIPE = Recipe(epochs=60, batch_size=32, learning_rate=0.005, embedding=48, hidden=96)


def trained(folder, corpus, way, recipe=RECIPE):
    """A checkpoint and its corpus as files."""
    manifest = Manifest.of(corpus, splits.split(corpus, way, seed=4), way, 4, recipe)
    (folder / "model").write_bytes(checkpoints.to_bytes(checkpoints.fit(corpus, manifest)))
    (folder / "corpus").write_text(corpus.to_text(), encoding="utf-8")
    return {"checkpoint": folder / "model", "corpus": folder / "corpus"}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("model"), CORPUS, splits.SHUFFLED)


def run(files, seed=0, progress=None, **values):
    audit = experiments.card("membership-audit").load()
    rng = np.random.default_rng(seed)
    return audit().run(files, parse(audit.Parameters, values), rng, "cpu", progress or Watch())


@pytest.fixture(scope="module")
def report(files):
    return run(files, neighbours=3)


def table(report, title):
    [found] = [one for one in report.tables if one.title == title]
    return found


class TestResult:
    def test_a_model_that_overfits_gives_its_text_away(self, report):
        assert report.metrics["auc"].value > 0.95
        assert report.metrics["auc"].low < report.metrics["auc"].value <= report.metrics["auc"].high
        assert report.metrics["balanced_accuracy"].value > 0.9
        assert set(report.metrics) == {metric.name for metric in experiments.card("membership-audit").metrics}

    def test_the_numbers_follow_from_the_arrays(self, report):
        arrays = report.arrays
        assert report.metrics["auc"].value == metrics.auc(arrays["score_loss"], arrays["is_member"])
        others = np.sort(arrays["score_loss"][~arrays["is_member"]])
        members = arrays["score_loss"][arrays["is_member"]]
        for name, allowed in (("tpr_10", int(0.1 * len(others))), ("tpr_01", 0)):
            expected = (members > others[len(others) - 1 - allowed]).mean()
            assert report.metrics[name].value == pytest.approx(expected)
        assert np.array_equal(arrays["score_loss"], -arrays["loss"])

    def test_every_chosen_attack_is_in_the_table_and_in_the_pictures(self, report):
        titles = [row[0] for row in table(report, reporting.ATTACKS).rows]
        assert titles == ["Loss", "zlib ratio", "Min-K %", "Min-K%++", "Neighbourhood"]
        for figure in report.figures[1:]:
            assert figure.arrays["series"] == [*titles, "A blind guess"]
            assert all(len(x) == len(y) for x, y in zip(figure.arrays["x"], figure.arrays["y"], strict=True))

    def test_the_histogram_counts_everybody(self, report):
        assert [sum(shares) for shares in report.figures[0].arrays["y"]] == pytest.approx([1.0, 1.0])

    def test_it_is_plain_json(self, report):
        json.dumps([[one.rows for one in report.tables], [dict(figure.arrays) for figure in report.figures]])

    def test_the_same_seed_gives_the_same_report(self, files):
        first, again = (run(files, seed=5, attacks="loss, neighbourhood", neighbours=2) for _ in range(2))
        assert first.metrics == again.metrics
        assert first.tables == again.tables

    def test_a_model_that_learnt_nothing_gives_nothing_away(self, tmp_path):
        recipe = Recipe(epochs=1, batch_size=32, learning_rate=0.001, embedding=16, hidden=16)
        found = run(trained(tmp_path, CORPUS, splits.SHUFFLED, recipe), attacks="loss")
        assert found.metrics["auc"].low < 0.5 < found.metrics["auc"].high


class TestVerdicts:
    def test_the_rate_of_wrong_accusations_is_the_chosen_one_within_its_interval(self, files):
        for seed in range(3):
            for rate in (0.05, 0.2):
                found = run(files, seed=seed, attacks="loss", false_positive_rate=rate).metrics["verdict_fpr"]
                assert found.low <= rate <= found.high

    def test_on_average_it_is_at_most_the_chosen_one(self, files):
        rates = [
            run(files, seed=seed, attacks="loss", false_positive_rate=0.2).metrics["verdict_fpr"].value
            for seed in range(12)
        ]
        assert np.mean(rates) == pytest.approx(0.2, abs=0.06)

    def test_a_rate_that_the_calibration_cannot_tell_accuses_nobody(self, files):
        found = run(files, attacks="loss", false_positive_rate=0.001)
        assert found.metrics["verdict_tpr"].value == 0.0
        assert "No verdict can accuse anybody" in found.notes[-1]

    def test_nine_sentences_stand_for_none(self, report):
        rows = table(report, reporting.SENTENCES).rows
        assert [row[0] for row in rows][1:4:2] == ["Are you suggesting coconuts migrate?", "Just a flesh wound."]
        assert [row[1] for row in rows] == [TRAINED, STRANGE, HELD_OUT, *[STRANGE] * 3, TRAINED, STRANGE, STRANGE]
        assert rows[0][2] == "member"
        assert rows[1][2:4] == ("not shown", 1.0)
        assert rows[-1][-1] == 1.0

    def test_sentences_are_separated_by_lines_and_bars(self, files):
        member = CORPUS.sentences[checkpoints.read(files["checkpoint"]).manifest.members[3]]
        found = run(files, attacks="loss", sentences=f"  {member} | Ni!\n\n ??? |")
        rows = table(found, reporting.SENTENCES).rows
        assert [row[0] for row in rows] == [member, "Ni!", "???"]
        assert [row[1] for row in rows] == [TRAINED, STRANGE, STRANGE]
        assert all(np.isfinite(row[3:]).all() for row in rows)

    def test_the_batch_size_changes_nothing(self, files):
        one, many = (table(run(files, attacks="loss", batch_size=size), reporting.SENTENCES).rows for size in (1, 1024))
        assert np.allclose([row[4] for row in one], [row[4] for row in many], atol=1e-5)


class TestFiles:
    def test_the_csv_has_the_columns_of_the_predecessor(self, files):
        content = run(files, attacks="loss", sentences='Ni!|=1+1|Say "a, b".').files["output.csv"].decode()
        rows = list(csv.reader(io.StringIO(content)))
        assert rows[0] == ["content", "is_member", "score", "normalized_score"]
        assert [row[0] for row in rows[1:]] == ["Ni!", "'=1+1", 'Say "a, b".']
        for row in rows[1:]:
            assert row[1] in {"True", "False"}
            assert float(row[3]) == pytest.approx(min(1.0, max(0.0, (float(row[2]) + 17) / 17)), abs=1e-3)

    def test_the_text_is_a_drawn_table(self, files):
        lines = run(files, attacks="loss", sentences="Ni!|" + "long " * 40).files["output.txt"].decode().split("\n")
        assert lines[0] == lines[-1] == ""
        assert [set(lines[place]) for place in (1, 3, 6)] == [set("─┬"), set("─┼"), set("─┴")]
        assert [part.strip() for part in lines[2].split("│")] == [
            "Content",
            "Is member",
            "Score",
            "Normalized score [%]",
        ]
        assert lines[5].split(" │ ")[0] == ("long " * 40)[:77] + "..."


class TestReferences:
    def test_models_that_saw_a_sentence_or_not_sharpen_the_audit(self, files, monkeypatch):
        # That processes change nothing is shown where they are started.
        monkeypatch.setattr(evidence, "PROCESSES", 1)
        shares = []

        class Seen(Watch):
            def __call__(self, share):
                shares.append(share)

        found = run(
            files, progress=Seen(), attacks="loss, reference, lira-offline, lira", verdict_by="lira-offline",
            references=4, reference_epochs=25,
        )  # fmt: skip
        rows = {row[0]: row for row in table(found, reporting.ATTACKS).rows}
        assert all(row[1] > 0.9 for row in rows.values())
        assert np.isfinite(found.arrays["score_lira"]).all()
        assert shares == sorted(shares)
        assert shares[-1] == pytest.approx(1.0)

    @pytest.mark.parametrize("name", ["reference", "lira", "lira-offline"])
    def test_attacks_that_need_them_are_refused_without(self, files, name):
        with pytest.raises(InvalidParameters) as refused:
            run(files, attacks=name)
        assert "at least 4" in refused.value.problems["references"]


class TestRefusals:
    def test_another_corpus_is_refused(self, files, tmp_path):
        (tmp_path / "other").write_text(Corpus(templates.synthetic(299)).to_text())
        with pytest.raises(InvalidUpload, match="nobody knows the members of another"):
            run({**files, "corpus": tmp_path / "other"})

    def test_a_split_without_fair_others_is_refused(self, tmp_path):
        twice = Corpus(templates.synthetic(20) * 4)
        recipe = Recipe(epochs=1, batch_size=32, learning_rate=0.01, embedding=8, hidden=8)
        with pytest.raises(InvalidUpload, match="neither members nor equal to one"):
            run(trained(tmp_path, twice, splits.WITH_DUPLICATES, recipe))

    def test_copies_take_no_part_in_verdicts(self, tmp_path):
        corpus = Corpus((*templates.synthetic(60), *templates.synthetic(12)))
        recipe = Recipe(epochs=1, batch_size=32, learning_rate=0.01, embedding=8, hidden=8)
        found = run(trained(tmp_path, corpus, splits.WITH_DUPLICATES, recipe), attacks="loss")
        assert found.metrics["overlap"].value == pytest.approx(12 / 22)
        assert [row[2] for row in table(found, reporting.VERDICTS).rows] == [50, 5]
        assert "12 of 22 others" in found.notes[0]

    @pytest.mark.parametrize(
        ("values", "field"),
        [
            ({"attacks": "loss, guess"}, "attacks"),
            ({"sentences": "x" * 3000}, "sentences"),
            ({"sentences": "a|" * 1001}, "sentences"),
            ({"sentences": "a\x07b"}, "sentences"),
            ({"batch_size": 0}, "batch_size"),
            ({"false_positive_rate": 0}, "false_positive_rate"),
            ({"verdict_by": "lira"}, "verdict_by"),
        ],
    )
    def test_wrong_parameters_are_refused_by_name(self, files, values, field):
        with pytest.raises(InvalidParameters) as refused:
            run(files, **values)
        assert field in refused.value.problems
