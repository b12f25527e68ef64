import json
import time

import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score, top_k_accuracy_score

from app.errors import InvalidUpload
from app.tracks.fingerprinting.leakage import REPLICATES, Confusion, leakage


def question(rng, captures=60, classes=10):
    cell = (rng.permutation(captures) % classes + 1).astype(np.int32)
    return {"capture": rng.permutation(10**6)[:captures].astype(np.int64), "cell": cell}


def answer(secret, rng, signal=0.3, classes=10):
    probabilities = rng.dirichlet(np.ones(classes), len(secret["cell"]))
    probabilities[np.arange(len(probabilities)), secret["cell"] - 1] += signal
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    return {"capture": secret["capture"], "probabilities": probabilities}


@pytest.fixture
def rng():
    return np.random.default_rng(11)


@pytest.fixture
def secret(rng):
    return question(rng)


class TestLeakage:
    def test_its_metrics_are_those_of_scikit_learn(self, secret, rng):
        given = answer(secret, rng)
        labels, scores = secret["cell"] - 1, given["probabilities"]

        metrics = leakage(given, secret).metrics

        assert metrics["accuracy"].value == pytest.approx(np.mean(scores.argmax(axis=1) == labels))
        assert metrics["top_5"].value == pytest.approx(top_k_accuracy_score(labels, scores, k=5))
        assert metrics["auc"].value == pytest.approx(roc_auc_score(labels, scores, multi_class="ovr"), abs=1e-4)
        assert metrics["classic_performance"].value == pytest.approx(10 * metrics["auc"].value)
        assert metrics["log_loss"].value == pytest.approx(log_loss(labels, scores))

    def test_its_value_is_the_advantage_over_guessing(self, secret, rng):
        score = leakage(answer(secret, rng), secret)

        assert score.value == pytest.approx((score.metrics["accuracy"].value - 0.1) / 0.9)
        assert score.metrics["advantage"].value == score.value

    def test_the_truth_leaks_everything_and_a_uniform_answer_nothing(self, secret):
        truth = {"capture": secret["capture"], "probabilities": np.eye(10)[secret["cell"] - 1]}
        uniform = {"capture": secret["capture"], "probabilities": np.full((60, 10), 0.1)}

        assert leakage(truth, secret).value == 1.0
        assert leakage(uniform, secret).value == pytest.approx(0.0, abs=1e-12)
        assert leakage(uniform, secret).metrics["auc"].value == 0.5

    def test_worse_than_guessing_is_worth_nothing(self, secret):
        wrong = {"capture": secret["capture"], "probabilities": np.eye(10)[secret["cell"] % 10]}

        assert leakage(wrong, secret).value == 0.0

    def test_rows_are_joined_by_id_and_not_by_position(self, secret, rng):
        given, order = answer(secret, rng), rng.permutation(60)
        shuffled = {name: values[order] for name, values in given.items()}
        together = rng.permutation(60)
        asked = {name: values[together] for name, values in secret.items()}

        first, second = leakage(given, secret), leakage(shuffled, asked)

        assert first.metrics == second.metrics
        assert np.array_equal(first.replicates, second.replicates)

    def test_dividing_a_row_by_its_sum_changes_no_score(self, secret, rng):
        given = answer(secret, rng)
        given["probabilities"] = (given["probabilities"].round(1) + 1e-6).astype(np.float32)
        sums = 1 + rng.uniform(-1e-7, 1e-7, (60, 1))

        first = leakage(given, secret)
        second = leakage(given | {"probabilities": given["probabilities"].astype(float) * sums}, secret)

        for name, estimate in first.metrics.items():
            assert second.metrics[name].value == pytest.approx(estimate.value, rel=1e-6)

    def test_every_estimate_lies_within_its_interval(self, secret, rng):
        for signal in (0.0, 0.3, 5.0):
            for estimate in leakage(answer(secret, rng, signal), secret).metrics.values():
                assert estimate.low - 1e-9 <= estimate.value <= estimate.high + 1e-9
                assert np.isfinite([estimate.low, estimate.value, estimate.high]).all()

    def test_replicates_of_two_answers_are_about_the_same_captures(self, secret, rng):
        good = np.where(np.arange(60)[:, None] < 30, np.eye(10)[secret["cell"] - 1], 0.1)
        better = np.where(np.arange(60)[:, None] < 31, np.eye(10)[secret["cell"] - 1], 0.1)

        first, second = (leakage({"capture": secret["capture"], "probabilities": p}, secret) for p in (good, better))

        assert first.replicates.shape == (REPLICATES,)
        assert (second.replicates >= first.replicates).all()
        assert (second.replicates > first.replicates).any()

    def test_another_challenge_resamples_other_captures(self, rng):
        first, second = question(np.random.default_rng(1)), question(np.random.default_rng(2))

        replicates = [leakage(answer(each, np.random.default_rng(0)), each).replicates for each in (first, second)]

        assert not np.array_equal(*replicates)

    @pytest.mark.parametrize("change", [lambda ids: ids[:-1], lambda ids: ids + 1, lambda ids: np.r_[ids[:-1], ids[0]]])
    def test_answers_about_other_captures_are_refused(self, secret, rng, change):
        given = answer(secret, rng)
        given["capture"] = change(given["capture"])

        with pytest.raises(InvalidUpload, match="one row for every capture"):
            leakage(given, secret)

    def test_two_classes_and_one_capture_are_finite(self):
        secret = {"capture": np.array([5]), "cell": np.array([2])}

        score = leakage({"capture": np.array([5]), "probabilities": np.array([[0.4, 0.6]])}, secret)

        assert score.value == 1.0
        assert score.metrics["auc"].value == 0.5

    def test_a_full_report_takes_well_under_a_second(self, rng):
        secret = question(rng, 300, 100)
        given = answer(secret, rng, classes=100)
        begin = time.process_time()

        leakage(given, secret)

        assert time.process_time() - begin < 1.0


class TestFigures:
    def test_they_are_ready_for_json(self, secret, rng):
        for figure in leakage(answer(secret, rng), secret).figures:
            assert figure.title in json.dumps({figure.title: dict(figure.arrays)}, allow_nan=False)

    def test_the_heatmap_has_rows_that_sum_to_one(self, secret, rng):
        heatmap = leakage(answer(secret, rng), secret).figures[0]

        assert np.allclose(np.sum(heatmap.arrays["values"], axis=1), 1.0, atol=0.01)

    def test_the_bars_begin_with_the_cell_that_is_identified_best(self, secret):
        known = np.where(secret["cell"][:, None] == 4, np.eye(10)[secret["cell"] - 1], 0.1)

        bars = leakage({"capture": secret["capture"], "probabilities": known}, secret).figures[1]

        assert bars.arrays["labels"][0] == "4 (6 of 6)"
        assert bars.arrays["values"][0] == 1.0


class TestConfusion:
    def test_ties_are_shared(self):
        confusion = Confusion.of(np.array([[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]]), np.array([0, 2]))

        assert confusion.counts.tolist() == [[0.5, 0.5, 0], [0, 0, 0], [0, 0, 1]]
        assert confusion.rates[1].tolist() == [0, 0, 0]
