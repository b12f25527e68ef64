import functools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from app.errors import InvalidParameters, InvalidUpload
from app.parameters import describe
from app.tracks.base import Data, Seat
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


class TestMaterial:
    def test_hidden_digits_are_distorted_so_that_they_cannot_be_looked_up(self):
        plain, material = split(LINF)[1], Robustness(LINF, Seat(7)).material
        known = {image.tobytes() for image in digits().pixels if image.std() > 0}
        nearest = ((material.hidden.pixels[:100, None] - plain.pixels[None]) ** 2).sum((2, 3, 4)).argmin(1)

        assert not known & {image.tobytes() for image in material.hidden.pixels}
        assert np.array_equal(material.hidden.labels, plain.labels)
        assert (material.hidden.pixels.min(), material.hidden.pixels.max()) >= (0.0, 0.9)
        assert 0.02 < np.abs(material.hidden.pixels - plain.pixels).mean() < 0.1
        assert (plain.labels[nearest] == plain.labels[:100]).mean() > 0.98

    def test_each_round_has_its_own_and_all_its_teams_the_same(self):
        first, same, other = (Robustness(LINF, seat).material for seat in (Seat(7, 1), Seat(7, 2), Seat(8, 1)))

        assert np.array_equal(first.hidden.pixels, same.hidden.pixels)
        assert not np.array_equal(first.hidden.pixels, other.hidden.pixels)

    def test_without_distortion_they_are_the_digits(self):
        hidden = Robustness(Settings(DISTORTION=0.0)).material.hidden

        assert np.array_equal(hidden.pixels, split(Settings())[1].pixels)

    def test_a_data_set_of_the_round_carries_every_move(self, tmp_path):
        settings = Settings(INPUTS=20, HIDDEN=50, EPSILON=0.3, MIN_CLEAN_ACCURACY=0.3)
        track = Robustness(settings, Seat(3), colours(tmp_path, 240))
        track.check_data()
        (issued,) = track.write_issue(tmp_path)
        defence = track.house_defence("undefended", np.random.default_rng(0))
        track.write_defence(defence, tmp_path / "model.onnx")
        asked = track.challenge(track.read_defence(tmp_path / "model.onnx"), np.random.default_rng(1))
        elsewhere = Robustness(settings)
        answer = elsewhere.adversaries()["pgd"](asked.public, np.random.default_rng(2), "cpu")
        track.write_answer({5: answer}, tmp_path / "answer.npz")
        read = elsewhere.read_answer(tmp_path / "answer.npz", {5: asked.public})[5]

        with np.load(issued) as given:
            public = {image.tobytes() for image in given["images"]}
        assert not public & {image.tobytes() for image in asked.public["inputs"]}
        assert asked.public["inputs"].shape == (20, 3, 9, 10)
        assert track.utility(defence).value > 0.9
        assert elsewhere.leakage(read, asked.secret, np.random.default_rng(3)).value > 0.5
        assert elsewhere.leakage(elsewhere.best_answer(asked.secret), asked.secret, np.random.default_rng(3)).value == 1

    def test_a_data_set_that_is_too_small_is_refused(self, tmp_path):
        with pytest.raises(InvalidUpload, match="twice as many images"):
            Robustness(Settings(), Seat(), colours(tmp_path, 240)).check_data()


def colours(folder, count):
    """Noisy images (9, 10) that are mostly red, green, blue or grey, with values from 0 to 255."""
    rng = np.random.default_rng(0)
    labels = np.arange(count) % 4
    base = np.array([[200, 60, 60], [60, 200, 60], [60, 60, 200], [110, 110, 110]])[labels]
    samples = np.clip(base[:, :, None, None] + rng.normal(0, 30, (count, 3, 9, 10)), 0, 255).astype(np.uint8)
    np.savez(folder / "colours.npz", samples=samples, labels=labels)
    return Data("dataset", folder / "colours.npz")


class TestGame:
    def test_pages_can_import_it_without_torch_and_scikit_learn(self):
        code = (
            "import sys; from app.tracks import game; track = game('robustness'); list(track.adversaries());"
            "track.house_defences(); assert not {'torch', 'sklearn', 'onnx'} & set(sys.modules)"
        )

        subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)

    def test_the_challenge_asks_about_hidden_images_only(self):
        known = {image.tobytes() for image in Robustness(LINF).material.hidden.pixels}

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
