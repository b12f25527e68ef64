import functools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from app.errors import InvalidParameters
from app.parameters import describe
from app.tracks.robustness.answer_file import distances
from app.tracks.robustness.game import Robustness
from app.tracks.robustness.images import digits, split
from app.tracks.robustness.settings import Settings
from tests.tracks.robustness.models import linear

ROOT = Path(__file__).resolve().parents[3]
LINF, L2 = Settings(INPUTS=50, EPSILON=0.3), Settings(INPUTS=50, NORM="l2", EPSILON=2.0)


@functools.cache
def challenge(settings):
    defence = {"model": np.frombuffer(linear(), np.uint8), "parameters": np.array(650)}
    return Robustness(settings).challenge(defence, np.random.default_rng(1))


def score(settings, inputs):
    return Robustness(settings).leakage({"inputs": inputs}, challenge(settings).secret, np.random.default_rng(0))


class TestSettings:
    def test_every_field_has_a_help_and_a_default(self):
        assert all(field.help for field in describe(Settings))

    def test_they_refuse_more_inputs_than_images(self):
        with pytest.raises(InvalidParameters, match="INPUTS"):
            Settings(INPUTS=600, HIDDEN=100)

    def test_they_refuse_a_ball_that_is_larger_than_the_box(self):
        with pytest.raises(InvalidParameters, match="EPSILON"):
            Settings(NORM="linf", EPSILON=1.5)


class TestImages:
    def test_public_and_hidden_images_are_all_images_and_share_none(self):
        public, hidden = split(Settings(HIDDEN=600))

        assert (len(public), len(hidden)) == (1197, 600)
        together = np.concatenate([public.pixels, hidden.pixels]).reshape(1797, -1)
        assert np.array_equal(np.unique(together, axis=0), np.unique(digits().pixels.reshape(1797, -1), axis=0))

    def test_another_seed_hides_other_images(self):
        assert not np.array_equal(split(Settings(SPLIT_SEED=1))[1].pixels, split(Settings(SPLIT_SEED=2))[1].pixels)

    def test_pixels_lie_between_0_and_1(self):
        assert (digits().pixels.min(), digits().pixels.max()) == (0.0, 1.0)


class TestGame:
    def test_pages_can_import_it_without_torch_and_scikit_learn(self):
        code = (
            "import sys; from app.tracks import game; track = game('robustness'); list(track.adversaries());"
            "track.house_defences(); assert not {'torch', 'sklearn', 'onnx'} & set(sys.modules)"
        )

        subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)

    def test_the_challenge_asks_about_hidden_images_only(self):
        _, hidden = split(LINF)
        known = {image.tobytes() for image in hidden.pixels}

        assert {image.tobytes() for image in challenge(LINF).public["inputs"]} <= known

    def test_what_is_handed_out_is_not_what_is_scored(self):
        asked = Robustness(LINF).challenge({"model": np.zeros(4, np.uint8)}, np.random.default_rng(1))

        assert not any(np.shares_memory(asked.public[name], asked.secret[name]) for name in asked.secret)

    def test_the_download_is_the_model_and_the_question(self, tmp_path):
        Robustness(LINF).write_challenge(challenge(LINF).public, 7, tmp_path)

        assert (tmp_path / "team_7_model.onnx").read_bytes() == linear()
        with np.load(tmp_path / "team_7_inputs.npz") as file:
            assert sorted(file) == ["epsilon", "inputs", "labels", "norm"]
            assert (str(file["norm"]), float(file["epsilon"])) == ("linf", 0.3)
            assert file["inputs"].shape == (50, 1, 8, 8)

    def test_it_refuses_to_play_a_defence_that_it_does_not_know(self):
        with pytest.raises(ValueError, match="'magic' is not one of undefended"):
            Robustness(LINF).house_defence("magic", np.random.default_rng(0))

    def test_an_undefended_upload_is_its_own_undefended_defence(self):
        base = {"model": np.zeros(4, np.uint8)}

        assert Robustness(LINF).house_defence("undefended", np.random.default_rng(0), base) is base


class TestUtility:
    def test_nobody_gets_more_than_the_reference(self):
        defence = {"model": np.frombuffer(linear(), np.uint8), "parameters": np.array(650)}
        own = Robustness().utility(defence)

        assert own.value == own.metrics["clean_accuracy"].value
        assert Robustness().utility(defence, {"clean_accuracy": 0.5}).value == 1.0
        assert Robustness().utility(defence, {"clean_accuracy": 1.0}).value == own.value
        assert own.metrics["clean_accuracy"].low < own.value < own.metrics["clean_accuracy"].high


class TestLeakage:
    def test_it_is_the_share_of_right_inputs_that_became_wrong(self):
        secret = challenge(LINF).secret
        best = Robustness(LINF).best_answer(secret)["inputs"]
        half = np.where((np.arange(50) < 25)[:, None, None, None], best, secret["inputs"])

        found = score(LINF, half)

        clean, robust = (found.metrics[f"{kind}_accuracy"].value for kind in ("clean", "robust"))
        assert found.value == pytest.approx(1 - robust / clean)
        assert found.value == found.metrics["success_rate"].value
        assert found.metrics["robust_accuracy"].low < robust < found.metrics["robust_accuracy"].high
        assert score(LINF, best).value == 1.0
        assert score(LINF, secret["inputs"]).metrics["robust_accuracy"].value == clean

    def test_two_answers_share_their_resamples(self):
        secret = challenge(LINF).secret
        best = Robustness(LINF).best_answer(secret)["inputs"]
        masks = [(np.arange(50) < count)[:, None, None, None] for count in (20, 30)]

        less, more = (score(LINF, np.where(mask, best, secret["inputs"])).replicates for mask in masks)

        assert less.shape == (200,)
        assert (less <= more).all()
        assert less.std() > 0

    def test_its_figures_show_images_and_classes(self):
        images, bars = score(LINF, challenge(LINF).secret["inputs"]).figures

        assert images.kind == "images"
        assert len(images.arrays["images"]) == len(images.arrays["captions"]) == 12
        assert bars.kind == "bars"
        assert len(bars.arrays["values"]) == len(bars.arrays["labels"]) == len(bars.arrays["low"])


class TestAdversaries:
    def test_their_fields_are_those_of_the_attacks(self):
        names = {slug: {f.name for f in describe(type(each))} for slug, each in Robustness().adversaries().items()}

        assert list(names) == ["blind", "random-noise", "pgd", "apgd", "carlini-wagner", "square"]
        assert {"steps", "rel_stepsize", "restarts", "loss"} <= names["pgd"]
        assert names["square"] == {"queries", "share"}
        assert names["blind"] == set()

    @pytest.mark.parametrize("settings", [LINF, L2], ids=["linf", "l2"])
    @pytest.mark.parametrize("slug", ["random-noise", "pgd", "apgd", "carlini-wagner"])
    def test_they_stay_inside_the_ball_and_the_box(self, settings, slug):
        asked, track = challenge(settings).public, Robustness(settings)

        inputs = track.adversaries()[slug](asked, np.random.default_rng(2), "cpu")["inputs"]

        assert inputs.min() >= 0.0
        assert inputs.max() <= 1.0
        assert distances(inputs, asked["inputs"], settings.NORM).max() <= settings.EPSILON + 1e-6

    @pytest.mark.parametrize("settings", [LINF, L2], ids=["linf", "l2"])
    def test_the_fourth_law_holds_inside_a_large_ball_around_an_undefended_model(self, settings):
        inputs = Robustness(settings).adversaries()["pgd"](challenge(settings).public, np.random.default_rng(2), "cpu")

        assert score(settings, inputs["inputs"]).value >= 0.95
