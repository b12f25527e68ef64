import numpy as np
import pytest

from app.experiments.base import Experiment
from app.experiments.security_evaluation import looks
from app.experiments.security_evaluation.layout import LAYOUT
from app.experiments.security_evaluation.parameters import Parameters
from app.parameters import describe

NAN = np.nan
ORIGINAL = np.full((3, 1, 2, 2), 100.0, np.float32)
CHANGED = np.stack([ORIGINAL, ORIGINAL + np.array([0.0, 0.0, 0.0, 25.5], np.float32).reshape(1, 2, 2)], axis=1)
ARRAYS = {
    "sizes": np.array([0.0, 0.1]),
    "range": np.array([0.0, 255.0]),
    "rows": np.array([4, 7, 9]),
    "labels": np.array([0, 1, 2]),
    "distances": np.array([0.0, 12.75, np.inf]),
    "class_names": np.array(["cat", "dog"]),
    "inspected_original": ORIGINAL,
    "inspected_images": CHANGED,
    "inspected_classes": np.array([[[1, 0], [1, 0]], [[1, 0], [0, 1]], [[2, 0], [2, 0]]]),
    "inspected_confidences": np.full((3, 2, 2), 0.5, np.float32),
    "path_loss": np.array([[[NAN] * 3, [0.1, 0.2, NAN]]] * 3, np.float32),
    "path_distance": np.array([[[NAN] * 3, [0.0, 25.5, NAN]]] * 3, np.float32),
}


class TestAxes:
    def test_they_begin_with_the_first_sample_that_became_an_error_at_the_largest_size(self):
        sample, size = looks.axes(ARRAYS)
        assert sample.labels == ("4: cat, wrong as it is", "7: dog, an error from 0.05 on", "9: 2, no error found")
        assert (sample.default, size.labels, size.default) == (1, ("0", "0.1"), 1)

    def test_there_are_none_when_nothing_was_kept(self):
        assert looks.axes({**ARRAYS, "inspected_classes": ARRAYS["inspected_classes"][:0]}) == ()


class TestInspect:
    def test_it_pictures_original_change_and_path_in_shares_of_the_input_range(self):
        pictures, before, after, loss, distance = looks.inspect(ARRAYS, 1, 1)
        captions = ["original: dog", "changed: cat", "change, 5 times as strong"]
        assert pictures.arrays["captions"] == captions
        assert np.allclose(pictures.arrays["images"][1], np.array([[100.0, 100.0], [100.0, 125.5]]) / 255)
        assert np.allclose(pictures.arrays["images"][2], [[0.5, 0.5], [0.5, 1.0]])
        assert "The largest change of a value is 0.1 of the input range" in pictures.note
        assert before.arrays == {"labels": ["dog (the label)", "cat"], "values": [0.5, 0.5]}
        assert after.arrays["labels"] == ["cat", "dog (the label)"]
        assert np.allclose(loss.arrays["y"], [[0.1, 0.2]])
        assert np.allclose(distance.arrays["y"], [[0.0, 0.1]])

    def test_without_a_change_there_is_neither_difference_nor_path(self):
        pictures, before = looks.inspect(ARRAYS, 0, 0)
        assert pictures.arrays["captions"][2] == "no change"
        assert np.all(np.array(pictures.arrays["images"][2]) == 0.5)
        assert before.title == "Classes of the original"

    def test_colours_come_last(self):
        shape = (3, 2, 3, 2, 2)
        arrays = {**ARRAYS, "inspected_original": np.zeros((3, 3, 2, 2)), "inspected_images": np.zeros(shape)}
        assert np.array(looks.inspect(arrays, 0, 0)[0].arrays["images"][0]).shape == (2, 2, 3)

    def test_a_place_that_there_is_not_is_an_index_error(self):
        with pytest.raises(IndexError):
            looks.inspect(ARRAYS, 3, 0)


class TestLayout:
    def test_it_names_parameters_choices_and_presets_that_exist(self):
        known = {each.name: each for each in describe(Parameters)}
        grouped = [name for group in LAYOUT.groups for name in group.names]
        assert sorted(grouped) == sorted(known)
        for name, titles in LAYOUT.titles.items():
            assert set(titles) == set(known[name].choices)
        for preset in LAYOUT.presets["perturbation_values"].values():
            assert len(Parameters(attack="fmn", norm="l2", perturbation_values=preset).values()) > 5

    def test_an_experiment_without_one_has_a_plain_form_and_no_closer_looks(self):
        assert Experiment.layout.groups == ()
        assert Experiment.axes({}) == ()
        assert Experiment.inspect({}, ()) == ()
