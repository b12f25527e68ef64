"""A malicious client imitates a class that it does not own."""

import numpy as np
import pytest

from app.errors import InvalidUpload
from app.experiments.base import Watch
from app.experiments.imitation import federation
from app.experiments.imitation.experiment import ImitationStudy, Parameters

SMALL = {"rounds": 3, "clients": 2, "passes": 2, "images": 16, "model": "mlp"}


def run(seed=1, **values):
    parameters = Parameters(**{**SMALL, **values})
    return ImitationStudy().run({}, parameters, np.random.default_rng(seed), "cpu", Watch())


class TestTheDeal:
    def test_the_attacker_owns_none_of_the_class_and_nothing_is_owned_twice(self):
        y = np.arange(400) % 10
        judge, own, honest = federation._dealt(y, 3, np.random.default_rng(0))
        assert not (y[own] == 3).any()
        assert (y[honest] == 3).any()
        everything = np.concatenate([judge, own, honest])
        assert len(everything) == len(np.unique(everything)) == 400


class TestTheStudy:
    def test_it_shows_every_round_and_who_judges(self):
        report = run()
        assert [row[0] for row in report.tables[0].rows] == [1, 2, 3]
        assert report.metrics["judge"].value > 0.85
        assert 0 <= report.metrics["success"].low <= report.metrics["success"].high <= 1
        assert report.arrays["images"].shape == (16, 1, 8, 8)
        assert report.figures[0].title == "Real records of the class"

    def test_the_same_seed_is_the_same_federation(self):
        assert run().metrics == run().metrics

    def test_a_class_that_is_not_there_is_refused(self):
        with pytest.raises(InvalidUpload, match="no class 11"):
            run(tracked=11)
