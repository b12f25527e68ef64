"""Which metrics stand beside the leakage."""

from app.tracks.base import Metric
from app.web.measures import beside_leakage

ADVANTAGE, ACCURACY = (
    Metric("advantage", "Advantage", "How far above guessing."),
    Metric("accuracy", "Accuracy", "Share."),
)
METRICS = (ADVANTAGE, ACCURACY)


def measured(leakage, accuracy):
    return leakage, {"advantage": {"value": leakage}, "accuracy": {"value": accuracy}}


class TestBesideLeakage:
    def test_a_metric_that_is_the_leakage_everywhere_is_its_other_name(self):
        results = [measured(0.5, 0.5), measured(0.25, 0.3), (None, {})]
        assert beside_leakage(METRICS, results) == (ADVANTAGE, [ACCURACY])

    def test_a_metric_that_agrees_only_once_stays_a_column(self):
        results = [(0.5, {"accuracy": {"value": 0.5}}), (0.25, {"accuracy": {"value": 0.3}})]
        assert beside_leakage((ACCURACY,), results) == (None, [ACCURACY])

    def test_a_metric_that_agrees_about_nothing_and_everything_stays_a_column(self):
        results = [measured(0.0, 0.0), measured(1 - 1e-9, 1.0)]
        assert beside_leakage(METRICS, results) == (None, list(METRICS))

    def test_before_the_first_result_every_metric_is_a_column(self):
        assert beside_leakage(METRICS, [(None, {})]) == (None, list(METRICS))
