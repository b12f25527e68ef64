"""Training a generator in the lab."""

import numpy as np
import pytest

from app import bundles
from app.attacks.gradients import generators
from app.errors import InvalidUpload
from app.experiments.base import Watch
from app.experiments.generator_training.experiment import GeneratorTrainingRun, Parameters


def run(inputs=None, steps=20):
    return GeneratorTrainingRun().run(
        inputs or {}, Parameters(steps=steps, width=4), np.random.default_rng(1), "cpu", Watch()
    )


class TestTheRun:
    def test_it_shows_what_it_makes_and_keeps_the_weights(self):
        report = run()
        assert len(report.figures[0].arrays["images"]) == 24
        again = generators.from_bytes(report.files["generator.safetensors"])
        assert again.shape == (1, 8, 8)

    def test_training_brings_it_nearer_to_real_images(self):
        assert run(steps=250).metrics["nearest"].value > run(steps=2).metrics["nearest"].value

    def test_a_handful_of_images_is_refused(self, tmp_path):
        path = tmp_path / "few.npz"
        bundles.write({"samples": np.zeros((4, 1, 8, 8), np.float32), "labels": np.arange(4)}, path)
        with pytest.raises(InvalidUpload, match="at least"):
            run({"dataset": path})
