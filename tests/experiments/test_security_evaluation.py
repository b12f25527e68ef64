"""The security evaluation: its curve equals an attack written here, and its adversarial images hold elsewhere."""

from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
import torch

from app import bundles, experiments, image_sets
from app.attacks.evasion.honesty import Fault
from app.errors import InvalidParameters, InvalidUpload
from app.experiments import assets
from app.experiments.security_evaluation import attacking, reporting, samples, target, verification
from app.experiments.security_evaluation.choices import ATTACKS, PRESETS
from app.experiments.security_evaluation.parameters import Parameters
from app.image_sets import ImageSet
from app.parameters import describe, parse
from tests import image_classifiers as classifiers
from tests.foolbox_peer import foolbox

SIZES = (0.0, 1 / 255, 2 / 255, 4 / 255, 8 / 255, 16 / 255)
TEXT = "16/255, 4/255, 1/255, 2/255, 8/255"
QUICK = {"checks": False, "inspected": 0, "evaluation_mode": "complete"}


@pytest.fixture
def files(tmp_path):
    x, y = classifiers.images(30)
    model, data = tmp_path / "model", tmp_path / "data"
    model.write_bytes(classifiers.onnx_file())
    data.write_bytes(classifiers.npz_file(x, y))
    return {"model": model, "dataset": data}


def run(files, seed=0, **values):
    experiment = experiments.card("security-evaluation").load()
    return experiment().run(
        files, parse(experiment.Parameters, {**QUICK, **values}), np.random.default_rng(seed), "cpu", lambda share: None
    )


def direct_pgd(x, y, epsilon, steps=20, share=0.1):
    """(N,): which samples an attack in ten lines gets right or breaks, without a random start."""
    model, origin = classifiers.network(), torch.from_numpy(x)
    y, found = torch.from_numpy(y), origin.clone()
    broken = model(origin).argmax(1) != y
    for _ in range(steps):
        found.requires_grad_(True)
        (slope,) = torch.autograd.grad(torch.nn.functional.cross_entropy(model(found), y, reduction="sum"), found)
        with torch.no_grad():
            found = found + share * epsilon * slope.sign()
            found = (origin + (found - origin).clamp(-epsilon, epsilon)).clamp(0, 1)
            broken |= model(found).argmax(1) != y
    return broken.numpy()


class TestCurve:
    def test_it_equals_a_direct_pgd_to_the_sample(self, files):
        x, y = classifiers.images(30)
        report = run(files, attack="pgd-linf", perturbation_values=TEXT, steps=20, rel_stepsize=0.1)
        broken = np.logical_or.accumulate([direct_pgd(x, y, size) for size in SIZES])
        distances = report.arrays["distances"]
        for size, expected in zip(SIZES, broken, strict=True):
            assert np.array_equal(distances <= size * (1 + 1e-6), expected), size
        assert report.arrays["robust"].tolist() == [int((~each).sum()) for each in broken]
        assert 0 < broken[2].sum() < broken[4].sum()

    def test_it_is_at_most_what_foolbox_finds(self, files):
        x, y = classifiers.images(30)
        report = run(files, attack="pgd-linf", perturbation_values=TEXT, steps=20, rel_stepsize=0.1)

        class Net(torch.nn.Module):
            def forward(self, x):
                return classifiers.network()(x)

        attack = foolbox.attacks.LinfPGD(rel_stepsize=0.1, steps=20, random_start=False)
        model = foolbox.PyTorchModel(Net().eval(), bounds=(0, 1))
        _, _, success = attack(model, torch.from_numpy(x), torch.from_numpy(y), epsilons=SIZES[1:])
        robust = 1 - np.logical_or.accumulate(success.numpy()).mean(axis=1)
        assert (report.arrays["accuracy"][1:] <= robust + 1e-9).all()

    @pytest.mark.parametrize("attack", sorted(ATTACKS))
    def test_every_attack_gives_a_falling_curve_from_the_clean_accuracy(self, files, attack):
        sizes = "0.02, 0.3" if ATTACKS[attack].norms[0] == "linf" else "0.1, 1"
        report = run(files, attack=attack, perturbation_values=sizes, steps=5, queries=20, indexes="0-9",
                     evaluation_mode="indexes", inspected=2)  # fmt: skip
        accuracy = report.arrays["accuracy"]
        assert accuracy[0] == 0.9
        assert (np.diff(accuracy) <= 0).all()
        assert (report.arrays["low"] <= accuracy).all()
        assert (accuracy <= report.arrays["high"]).all()

    def test_every_error_is_verified_by_a_model_that_is_read_again(self, files):
        report = run(files, attack="minimum-norm", perturbation_values="0.05, 0.1")
        counts = dict(next(table for table in report.tables if table.title == "Verification").rows)
        distances = report.arrays["distances"]
        expected = int((np.isfinite(distances) & (distances > 0)).sum())

        assert expected > 20
        assert set(counts.values()) == {expected}
        assert report.arrays["verified"].sum() == expected
        assert not any("did not hold" in note for note in report.notes)

    def test_what_does_not_hold_is_told(self, files):
        parameters = parse(Parameters, {**QUICK, "attack": "minimum-norm", "perturbation_values": "0.1"})
        images = image_sets.read(files["dataset"])
        model, fresh = (target.load(files["model"], images, parameters, "cpu") for _ in range(2))
        found = attacking.run(model, images, parameters, np.random.default_rng(0), lambda share: None)
        box, curve = found.question.box, found.curve
        broken = np.flatnonzero(np.isfinite(curve.distance) & (curve.distance > 0))
        forged = found.adversarial.clone()
        forged[broken[0]] = found.question.x[broken[0]]
        forged[broken[1]] += 2e-6 * box.width + (box.high - forged[broken[1]].max())
        verified = verification.verify(replace(found, adversarial=forged), fresh, np.random.default_rng(1))
        place = {row: spot for spot, row in enumerate(verified.rows)}
        report = reporting.report(found, verified, images, np.arange(30), parameters)

        assert not verified.is_error[place[broken[0]]]
        assert not verified.is_in_range[place[broken[1]]]
        assert not verified.is_in_reach[place[broken[1]]]
        assert verified.holds.sum() == len(broken) - 2
        assert any(f"2 of {len(broken)} errors did not hold" in note for note in report.notes)

    def test_a_search_that_finds_nothing_is_no_proof(self, files):
        report = run(files, attack="cw", steps=1, binary_search_steps=1, perturbation_values="0.1")

        assert np.isinf(report.arrays["distances"]).any()
        assert any("says more about the attack" in note for note in report.notes)

    def test_every_error_holds_in_onnxruntime_within_its_distance(self, files):
        report = run(files, attack="minimum-norm", perturbation_values="0.05, 0.1")
        x, y = classifiers.images(30)
        session = onnxruntime.InferenceSession(classifiers.onnx_file(), providers=["CPUExecutionProvider"])
        found, distances = report.arrays["adversarial"], report.arrays["distances"]
        broken = np.isfinite(distances)
        predicted = session.run(None, {"x": found})[0].argmax(1)
        assert broken.sum() > 20
        assert (predicted[broken] != y[broken]).all()
        assert (np.abs(found - x).max(axis=(1, 2, 3))[broken] <= distances[broken] + 1e-6).all()
        assert found.min() >= 0
        assert found.max() <= 1

    def test_sizes_are_shares_of_the_input_range(self, files, tmp_path):
        x, y = classifiers.images(30)
        wide = tmp_path / "wide"
        wide.write_bytes(classifiers.npz_file(np.round(x * 255), y))
        narrow = run(
            {**files, "dataset": tmp_path / "narrow"} | _saved(tmp_path / "narrow", np.round(x * 255) / 255, y)
        )
        report = run({**files, "dataset": wide}, preprocessing="custom", mean="0", std="255")
        assert report.arrays["range"].tolist() == [0, 255]
        assert np.allclose(report.arrays["epsilons"], report.arrays["sizes"] * 255)
        assert report.arrays["accuracy"].tolist() == narrow.arrays["accuracy"].tolist()
        assert "0.01 is 2.55 in input units" in report.tables[0].note

    def test_the_same_seed_gives_the_same_report(self, files):
        first, second = (
            run(files, seed=3, attack="noise-linf", perturbation_values="0.2", checks=True, inspected=2)
            for _ in range(2)
        )
        assert first.metrics == second.metrics
        for name, array in first.arrays.items():
            assert np.array_equal(array, second.arrays[name], equal_nan=array.dtype.kind == "f"), name


def _saved(path, x, y):
    path.write_bytes(classifiers.npz_file(x, y))
    return {"dataset": path}


class TestReport:
    def test_counts_add_up_and_metrics_read_off_the_curve(self, files):
        report = run(files, perturbation_values=TEXT)
        histogram = report.figures[1].arrays
        assert sum(histogram["values"]) == 30
        assert histogram["values"][0] == 1
        assert report.metrics["clean_accuracy"].value == pytest.approx(29 / 30)
        assert report.metrics["robust_accuracy"].value == report.arrays["accuracy"][-1]
        rows = report.tables[0].rows
        assert [row[0] for row in rows] == sorted(SIZES)
        assert all(row[4] == row[2] / row[3] for row in rows)

    def test_the_arrays_can_be_written_and_read(self, files, tmp_path):
        report = run(files, inspected=2)
        bundles.write(report.arrays, tmp_path / "a.npz")
        assert set(bundles.read(tmp_path / "a.npz")) == set(report.arrays)

    def test_what_is_inspected_agrees_with_the_curve(self, files):
        report = run(files, perturbation_values="0.01, 0.05", inspected=4)
        arrays = report.arrays
        for place, size in enumerate(arrays["epsilons"]):
            images = arrays["inspected_images"][:, place]
            broken = arrays["distances"][:4] <= size * (1 + 1e-6)
            wrong = arrays["inspected_classes"][:, place, 0] != arrays["labels"][:4]
            assert np.array_equal(broken, wrong)
            assert np.abs(images - arrays["inspected_original"]).max() <= size + 1e-6
        assert arrays["path_loss"].shape[:2] == (4, 3)
        right = arrays["distances"][:4] > 0
        assert np.isfinite(arrays["path_loss"][right, 1]).all()
        assert np.allclose(arrays["inspected_confidences"].sum(axis=2), 1)

    def test_an_ensemble_is_inspected_without_paths(self, files):
        report = run(files, attack="standard", steps=3, queries=5, inspected=2, perturbation_values="0.1")
        assert report.arrays["path_loss"].shape[2] == 0
        assert report.arrays["inspected_images"].shape[:2] == (2, 2)


class TestModels:
    @pytest.mark.parametrize(
        "options", [{"layout": "NHWC"}, {"layout": "FLAT"}, {"rows": 1}, {"softmax": True}], ids=str
    )
    def test_every_form_of_one_model_has_the_same_curve(self, files, options):
        usual = run(files).arrays["distances"]
        files["model"].write_bytes(classifiers.onnx_file(**options))
        assert np.allclose(run(files).arrays["distances"], usual, atol=1e-6)

    def test_a_softmax_is_flagged(self, files):
        files["model"].write_bytes(classifiers.onnx_file(softmax=True))
        report = run(files, checks=True)
        assert Fault.PROBABILITIES in {row[0] for row in report.tables[2].rows}

    def test_a_vanished_gradient_is_flagged(self, files, tmp_path):
        """No unit of the hidden layer is ever active, so that the model says class 0 whatever it sees."""
        first, shift, second, offset = classifiers.weights()
        files["model"].write_bytes(classifiers.onnx_file([first, shift - 1e4, second, offset]))
        files |= _saved(tmp_path / "zeros", classifiers.images(30)[0], np.zeros(30, int))
        report = run(files, checks=True)
        assert report.metrics["robust_accuracy"].value == 1
        assert Fault.ZERO_GRADIENT in {row[0] for row in report.tables[2].rows}
        assert any("gradient is zero" in note for note in report.notes)

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"preprocessing": "custom", "mean": "0, 0, 0", "std": "1"}, "as many"),
            ({"evaluation_mode": "indexes", "indexes": "5, 99"}, "0 to 29"),
        ],
    )
    def test_what_does_not_fit_the_data_is_refused(self, files, tmp_path, change, words):
        if "mean" in change:
            arrays = classifiers.weights(shape=(1, 6, 6))
            files["model"].write_bytes(classifiers.onnx_file(arrays, shape=(1, 6, 6)))
            files |= _saved(tmp_path / "grey", *classifiers.images(30, shape=(1, 6, 6), arrays=arrays))
            words = "one mean and one std for each channel"
        with pytest.raises(InvalidUpload, match=words):
            run(files, **change)

    def test_images_of_another_shape_are_refused(self, files, tmp_path):
        files |= _saved(tmp_path / "small", np.zeros((3, 3, 5, 5), np.float32), np.zeros(3, int))
        with pytest.raises(InvalidUpload, match="shape"):
            run(files)

    def test_labels_beyond_the_models_classes_are_refused(self, files, tmp_path):
        files |= _saved(tmp_path / "more", np.zeros((3, 3, 6, 6), np.float32), np.array([0, 5, 10]))
        with pytest.raises(InvalidUpload, match="no class beyond"):
            run(files)


class TestSamples:
    def images(self, labels):
        return ImageSet(np.zeros((len(labels), 1, 1, 1), np.float32), labels, (), 0.0, 1.0, "float32")

    def test_fast_takes_a_hundred_in_the_proportions_of_the_classes(self):
        labels = np.repeat([0, 1, 2], [700, 250, 50])
        rows = samples.choose(self.images(labels), Parameters(), np.random.default_rng(0))
        assert np.bincount(labels[rows]).tolist() == [70, 25, 5]
        assert np.array_equal(rows, np.unique(rows))

    def test_another_seed_takes_others(self):
        images = self.images(np.zeros(1000, np.int64))
        first, second = (samples.choose(images, Parameters(), np.random.default_rng(seed)) for seed in (0, 1))
        assert not np.array_equal(first, second)

    def test_a_small_set_is_taken_whole(self):
        rows = samples.choose(self.images(np.arange(7)), Parameters(), np.random.default_rng(0))
        assert rows.tolist() == list(range(7))

    def test_indexes_keep_their_order(self):
        parameters = Parameters(evaluation_mode="indexes", indexes="5, 2-3, 5")
        assert samples.choose(self.images(np.arange(7)), parameters, np.random.default_rng(0)).tolist() == [5, 2, 3]


class TestParameters:
    def test_sizes_are_sorted_and_zero_is_added(self):
        assert Parameters(perturbation_values="8/255; 0.01,0.01").values() == (0.0, 0.01, 8 / 255)

    @pytest.mark.parametrize(
        ("field", "values"),
        [
            ("perturbation_values", {"perturbation_values": "0.1, x"}),
            ("perturbation_values", {"perturbation_values": "-0.1"}),
            ("perturbation_values", {"perturbation_values": "2"}),
            ("perturbation_values", {"perturbation_values": "1/0"}),
            ("perturbation_values", {"perturbation_values": "nan"}),
            ("norm", {"attack": "cw", "norm": "linf"}),
            ("indexes", {"evaluation_mode": "indexes"}),
            ("indexes", {"evaluation_mode": "indexes", "indexes": "3-1"}),
            ("indexes", {"evaluation_mode": "indexes", "indexes": "0-999999999"}),
            ("mean", {"preprocessing": "custom"}),
            ("mean", {"preprocessing": "custom", "mean": "1", "std": "0"}),
            ("steps", {"steps": -1}),
        ],
    )
    def test_what_cannot_be_read_is_refused_by_its_name(self, field, values):
        with pytest.raises(InvalidParameters) as caught:
            parse(Parameters, values)
        assert list(caught.value.problems) == [field]

    @pytest.mark.parametrize("attack", sorted(ATTACKS))
    def test_the_listed_settings_are_those_of_the_attack(self, attack):
        known = {parameter.name for parameter in describe(attacking.ATTACKS[attack])}
        assert set(ATTACKS[attack].settings) == known & {parameter.name for parameter in describe(Parameters)}
        assert {norm.value for norm in attacking.ATTACKS[attack].norms} >= set(ATTACKS[attack].norms)
        assert set(ATTACKS[attack].norms) <= set(PRESETS)

    def test_the_predecessors_defaults_hold(self):
        pgd, cw = attacking.build(Parameters(), 1.0), attacking.build(Parameters(attack="cw"), 1.0)
        assert (pgd.steps, pgd.rel_stepsize, pgd.abs_stepsize, pgd.random_start) == (50, 0.025, 0, False)
        assert (cw.steps, cw.binary_search_steps, cw.confidence, cw.initial_const) == (100, 9, 0, 1e-3)
        assert cw.abort_early is False


class TestAssets:
    def test_a_model_says_what_it_takes_and_gives(self, files):
        facts = assets.check("model", files["model"])
        assert (facts["input_shape"], facts["output_shape"]) == ([None, 3, 6, 6], [None, 10])
        assert (facts["parameters"], facts["opset"], facts["ends_with_softmax"]) == (3818, 17, False)

    def test_a_data_set_says_what_it_holds(self, files):
        facts = assets.check("dataset", files["dataset"])
        assert (facts["n"], facts["shape"], facts["range"], facts["dtype"]) == (30, [3, 6, 6], [0.0, 1.0], "float32")
        assert sum(facts["class_counts"]) == 30
