"""PandaVision's requests and answers, in its own words and without its faults."""

import base64
import csv
import io

import numpy as np
import pytest
from PIL import Image

from app.experiments.pandavision import answers, offers, requests

README = {
    "dataset": "<dataset-path>.hdf5",
    "trained-model": "<model_path>.onnx",
    "performance-metric": "classification-accuracy",
    "evaluation-mode": "fast",
    "task": "classification",
    "perturbation-type": "max-norm",
    "perturbation-values": [0, 0.01, 0.02, 0.03, 0.04, 0.05],
}


class TestTranslate:
    def test_the_example_of_the_readme_works_as_written(self):
        asked = requests.translate(README)
        assert asked.problems == {}
        assert (asked.model, asked.dataset) == ("", "")
        assert asked.parameters == {
            "attack": "pgd-linf",
            "perturbation_values": "0, 0.01, 0.02, 0.03, 0.04, 0.05",
            "evaluation_mode": "fast",
            "preprocessing": "imagenet",
        }

    def test_an_empty_body_means_the_defaults(self):
        asked = requests.translate({})
        assert asked.problems == {}
        assert asked.parameters["evaluation_mode"] == "complete"

    def test_imagenet_is_left_out_for_grey_images(self):
        assert requests.translate({}, channels=1).parameters["preprocessing"] == "none"

    @pytest.mark.parametrize(
        ("sent", "expected"),
        [
            ({}, {"preprocessing": "none"}),
            ({"mean": 0.5, "std": [0.2]}, {"preprocessing": "custom", "mean": "0.5", "std": "0.2"}),
            ({"mean": [0.1, 0.2, 0.3], "std": [1, 1, 1]}, {"mean": "0.1, 0.2, 0.3", "std": "1, 1, 1"}),
        ],
    )
    def test_preprocessing(self, sent, expected):
        parameters = requests.translate({"preprocessing": sent}).parameters
        assert {name: parameters[name] for name in expected} == expected

    def test_a_random_perturbation_is_noise(self):
        assert requests.translate({"perturbation-type": "random"}).parameters["attack"] == "noise-linf"

    def test_indexes_are_not_ignored(self):
        parameters = requests.translate({"indexes": [3, 1], "evaluation-mode": "fast"}).parameters
        assert (parameters["evaluation_mode"], parameters["indexes"]) == ("indexes", "3, 1")

    def test_parameters_of_the_attack_are_taken_and_null_keeps_the_default(self):
        sent = {"steps": 10, "rel_stepsize": 0.1, "abs_stepsize": None, "random_start": True}
        parameters = requests.translate({"attack": "pgd-l2", "attack-params": sent}).parameters
        assert (parameters["steps"], parameters["random_start"], "abs_stepsize" in parameters) == (10, True, False)

    def test_files_are_found_by_the_last_part_of_a_path(self):
        asked = requests.translate({"dataset": "/data/a.h5", "trained-model": "C:\\models\\b.onnx"})
        assert (asked.dataset, asked.model) == ("a.h5", "b.onnx")

    @pytest.mark.parametrize(
        ("key", "body"),
        [
            ("attack", {"attack": "fgsm"}),
            ("perturbation-values", {"perturbation-values": 0.1}),
            ("perturbation-values", {"perturbation-values": [True]}),
            ("perturbation-values", {"perturbation-values": [-1]}),
            ("perturbation-values", {"perturbation-values": [3]}),
            ("evaluation-mode", {"evaluation-mode": "slow"}),
            ("perturbation-type", {"perturbation-type": "l2"}),
            ("perturbation-type", {"perturbation-type": "random", "attack": "pgd-l2"}),
            ("task", {"task": "detection"}),
            ("performance-metric", {"performance-metric": "auc"}),
            ("preprocessing", {"preprocessing": {"mean": [1]}}),
            ("preprocessing", {"preprocessing": {"mean": "x", "std": 1}}),
            ("preprocessing", {"preprocessing": {"mean": 0, "std": 0}}),
            ("indexes", {"indexes": [-1]}),
            ("indexes", {"indexes": "all"}),
            ("attack-params", {"attack-params": [1]}),
            ("attack-params.kappa", {"attack": "cw", "attack-params": {"kappa": 1}}),
            ("attack-params.steps", {"attack-params": {"steps": "ten"}}),
            ("attack-params.steps", {"attack-params": {"steps": -5}}),
            ("attack-params.steps", {"attack": "noise-l2", "attack-params": {"steps": 5}}),
            ("dataset", {"dataset": 5}),
            ("perturbation_values", {"perturbation_values": [1]}),
        ],
    )
    def test_what_it_cannot_do_is_refused_by_key(self, key, body):
        assert list(requests.translate(body).problems) == [key]

    def test_every_problem_is_told_at_once(self):
        problems = requests.translate({"attack": "x", "task": "y", "evaluation-mode": "z", "more": 1}).problems
        assert set(problems) == {"attack", "task", "evaluation-mode", "more"}


class TestOffers:
    def test_the_predecessors_attacks_and_sizes_are_among_them(self):
        assert offers.attacks() == ["linf", "l2", "l1"]
        assert {"pgd-linf", "noise-linf"} <= {name for _, name in offers.attacks("linf")}
        assert {"pgd-l2", "cw", "noise-l2"} <= {name for _, name in offers.attacks("l2")}
        assert [value for _, value in offers.sizes("linf")] == [1 / 255, 2 / 255, 4 / 255, 8 / 255, 16 / 255]
        assert [value for _, value in offers.sizes("l2")] == [0.01, 0.02, 0.05, 0.1, 0.2, 0.5]


@pytest.fixture
def report():
    columns = ["Size", "Size in input units", "Robust", "Samples", "Accuracy", "Low", "High"]
    rows = [[0.0, 0.0, 3, 4, 0.75, 0.3, 0.95], [1 / 255, 1.0, 1, 4, 0.25, 0.05, 0.7]]
    return {
        "tables": [
            {"title": answers.CURVE, "columns": columns, "rows": rows, "note": ""},
            {"title": answers.LEVEL, "columns": ["Level", "Value", "Formula"], "rows": [["medium", 0.5, "words"]]},
        ],
        "notes": ["A note."],
    }


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    original = 255 * rng.random((2, 3, 4, 5), dtype=np.float32)
    images = np.stack([original, original + rng.normal(size=original.shape).astype(np.float32)], axis=1)
    paths = np.full((2, 2, 3), np.nan, np.float32)
    paths[0, 1] = [1, 2, 3]
    scores = np.full((2, 2, 3, 10), np.nan, np.float32)
    scores[0, 1] = np.arange(30).reshape(3, 10)
    classes = np.tile(np.arange(10), (2, 2, 1))
    return {
        "inspected_original": original,
        "inspected_images": images,
        "range": np.array([0.0, 255.0]),
        "path_loss": paths,
        "path_distance": paths,
        "path_scores": scores,
        "inspected_classes": classes,
        "inspected_confidences": np.full(classes.shape, 0.1, np.float32),
        "class_names": np.array(["zero", "one"]),
        "rows": np.array([7, 9, 11, 12]),
        "labels": np.array([1, 5, 0, 0]),
    }


class TestAnswers:
    def test_the_results_have_the_predecessors_keys_at_full_precision(self, report, arrays):
        found = answers.results(report, arrays)
        assert (found["sec-level"], found["sec-value"], found["debug_possible"]) == ("medium", 0.5, True)
        assert found["sec-curve"]["x-values"] == ["0.000", repr(1 / 255)]
        assert found["sec-curve"]["y-values"] == [0.75, 0.25]
        assert found["attack_losses"] == [[1.0, 2.0, 3.0], []]
        assert [len(scores) for scores in found["attack_scores"]] == [20, 0]
        assert np.shape(found["adv_examples"]) == np.shape(found["orig_samples"]) == (2, 3, 4, 5)

    def test_without_paths_nothing_is_made_up(self, report, arrays):
        arrays["path_loss"] = arrays["path_loss"][:, :, :0]
        found = answers.results(report, arrays)
        assert found["debug_possible"] is False
        assert "attack_losses" not in found

    def test_the_csv_begins_with_the_predecessors_columns(self, report):
        rows = list(csv.reader(io.StringIO(answers.csv_text(report))))
        assert rows[0][:3] == ["", "pert_value", "accuracy"]
        assert rows[1][:3] == ["0", "0.000", "0.75"]
        assert float(rows[2][1]) == 1 / 255

    def test_samples_and_sizes_to_inspect(self, report, arrays):
        assert answers.samples(report, arrays) == {"epsilon_values": [repr(1 / 255)], "num_samples": [0, 1]}

    def test_one_sample_tells_paths_and_predictions_by_name(self, report, arrays):
        found = answers.inspection(report, arrays, 0)
        assert found["attack_distances"] == [1.0, 2.0, 3.0]
        assert (found["index"], found["label"], found["num_samples"]) == (7, "one", 2)
        assert [one["class"] for one in found["adversarial"][:3]] == ["zero", "one", "2"]
        assert answers.inspection(report, arrays, 1, 0)["label"] == "5"

    @pytest.mark.parametrize(("sample", "size"), [(2, 0), (-1, 0), (0, 2), (0, -2)])
    def test_what_is_not_there_is_not_the_last_one(self, report, arrays, sample, size):
        with pytest.raises(IndexError):
            answers.inspection(report, arrays, sample, size)

    @pytest.mark.parametrize("kind", answers.IMAGES)
    @pytest.mark.parametrize("channels", [1, 3])
    def test_pictures_are_png_as_data_uris(self, arrays, kind, channels):
        cut = {name: arrays[name][..., :channels, :, :] for name in ("inspected_original", "inspected_images")}
        head, _, body = answers.image({**arrays, **cut}, 0, kind).partition(",")
        picture = Image.open(io.BytesIO(base64.b64decode(body)))
        assert head == "data:image/png;base64"
        assert (picture.size, picture.mode) == ((5, 4), "L" if channels == 1 else "RGB")

    def test_a_difference_of_nothing_is_grey(self, arrays):
        body = answers.image(arrays, 0, "diff", 0).partition(",")[2]
        assert set(np.asarray(Image.open(io.BytesIO(base64.b64decode(body)))).ravel().tolist()) == {128}

    def test_an_unknown_picture_is_not_there(self, arrays):
        with pytest.raises(KeyError):
            answers.image(arrays, 0, "gradient")
