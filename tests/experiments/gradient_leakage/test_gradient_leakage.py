"""The lab's gradient leakage: what is gathered, shared, rebuilt and reported."""

import dataclasses
import importlib

import numpy as np
import pytest

from app import bundles
from app.attacks.gradients.base import GradientAttack
from app.errors import InvalidParameters, InvalidUpload
from app.experiments.base import Watch
from app.experiments.gradient_leakage.experiment import GradientLeakage
from app.experiments.gradient_leakage.material import gather
from app.experiments.gradient_leakage.offers import ATTACKS, DEFENCES, MODELS, SCRIPTS
from app.experiments.gradient_leakage.parameters import LAYOUT, Parameters
from app.experiments.gradient_leakage.study import attack
from app.parameters import parse


class Looking(Watch):
    """Remembers what it was shown."""

    def __init__(self):
        self.shares, self.figures = [], []

    def __call__(self, share):
        self.shares.append(share)

    def show(self, *figures):
        self.figures.append(figures)


SMALL = {"data": "digits", "model": "mlp", "attack": "analytic", "victims": 3, "records": 1}


def run(inputs=None, watch=None, seed=1, **values):
    parameters = Parameters(**{**SMALL, **values})
    return GradientLeakage().run(inputs or {}, parameters, np.random.default_rng(seed), "cpu", watch or Watch())


class TestOffers:
    @pytest.mark.parametrize("slug", ATTACKS)
    def test_every_attack_is_there(self, slug):
        module, _, name = ATTACKS[slug].partition(":")
        attack = getattr(importlib.import_module(f"app.attacks.gradients.{module}"), name)
        assert issubclass(attack, GradientAttack)
        assert attack.title
        assert attack.source

    @pytest.mark.parametrize("name", SCRIPTS)
    @pytest.mark.parametrize("mode", ["gradient", "federated"])
    def test_every_script_settles_to_settings_that_exist(self, name, mode):
        settled = Parameters(script=name, mode=mode).settled()
        assert settled.attack in ATTACKS
        assert settled.model in MODELS
        if mode == "federated":
            assert settled.local_epochs >= 1
            assert settled.decay == 0.95

    @pytest.mark.parametrize("name", SCRIPTS)
    def test_its_button_fills_in_the_same_settings(self, name):
        filled = parse(Parameters, LAYOUT.fills[name])
        assert dataclasses.replace(Parameters(script=name).settled(), script="own") == filled

    @pytest.mark.parametrize("name", ["ig_single", "ig_weight", "ig_multi"])
    def test_inverting_gradients_has_the_published_weight_of_the_variation(self, name):
        assert attack(Parameters(script=name).settled()).variation == 1e-6
        assert attack(Parameters(attack="ig")).variation > 1e-3

    def test_every_network_and_defence_is_there(self):
        from app.attacks.gradients.networks import NETWORKS
        from app.defences.gradients import DEFENCES as KNOWN

        assert set(MODELS) == set(NETWORKS)
        assert set(DEFENCES) - {"none"} <= set(KNOWN)


class TestParameters:
    def test_points_are_read_sorted_and_once(self):
        assert Parameters(axis="records", points="4, 1,2,1").values() == (1, 2, 4)

    @pytest.mark.parametrize(
        ("values", "field"),
        [
            ({"axis": "records", "points": "1, many"}, "points"),
            ({"axis": "records", "points": "0.5"}, "points"),
            ({"axis": "local_epochs", "points": "999"}, "points"),
            ({"axis": "records", "points": ""}, "points"),
            ({"victims": 64, "records": 64}, "victims"),
            ({"victims": 64, "axis": "records", "points": "64"}, "victims"),
            ({"mode": "federated", "axis": "records"}, "axis"),
            ({"mode": "federated", "defence": "sign"}, "defence"),
        ],
    )
    def test_what_cannot_be_run_is_refused_at_its_field(self, values, field):
        with pytest.raises(InvalidParameters) as refusal:
            Parameters(**values)
        assert field in refusal.value.problems


class TestMaterial:
    @pytest.mark.parametrize(("data", "shape"), [("digits", (1, 8, 8)), ("photographs", (3, 32, 32))])
    def test_no_private_record_is_public(self, data, shape):
        found = gather({}, data, 20, np.random.default_rng(0))
        assert found.shape == shape
        assert 0 <= found.private_x.min() <= found.private_x.max() <= 1
        public = {record.tobytes() for record in found.public_x}
        assert not public & {record.tobytes() for record in found.private_x}

    def test_a_file_takes_the_place_of_the_data(self, tmp_path):
        path = tmp_path / "images.npz"
        rng = np.random.default_rng(0)
        bundles.write({"samples": rng.random((40, 1, 6, 6), np.float32), "labels": np.arange(40) % 4}, path)
        found = gather({"dataset": path}, "digits", 10, rng)
        assert (found.shape, found.classes) == ((1, 6, 6), 4)
        with pytest.raises(InvalidUpload, match="at least 60"):
            gather({"dataset": path}, "digits", 30, rng)


class TestTheRun:
    def test_a_gradient_of_one_record_gives_the_record_away(self):
        report = run()
        assert report.metrics["psnr_min"].value > 60
        assert report.metrics["leakage"].value > 0.999
        assert report.metrics["leakage"].low <= report.metrics["leakage"].value
        assert report.arrays["true_1"].shape == (3, 1, 1, 8, 8)
        np.testing.assert_allclose(report.arrays["found_1"], report.arrays["true_1"], atol=1e-3)

    def test_pictures_stand_side_by_side_with_their_psnr(self):
        figure = run().figures[0]
        assert figure.kind == "images"
        assert len(figure.arrays["images"]) == len(figure.arrays["captions"]) == 6
        assert figure.arrays["captions"][1].endswith("dB")

    def test_noise_takes_it_away(self):
        assert run(defence="gaussian-noise", strength=1.0).metrics["leakage"].value < 0.6

    def test_the_same_seed_gives_the_same_numbers_and_another_does_not(self):
        first, again, other = (run(seed=seed, defence="gaussian-noise") for seed in (1, 1, 2))
        assert first.metrics == again.metrics
        assert first.metrics != other.metrics

    def test_the_decay_curve_has_every_point_and_is_seen_while_it_grows(self):
        watch = Looking()
        report = run(watch=watch, defence="gaussian-noise", axis="strength", points="0.0001, 0.01, 1")
        figure, table = report.figures[0], report.tables[0]
        assert figure.arrays["x"][0] == [0.0001, 0.01, 1.0]
        assert figure.arrays["y"][0][0] > figure.arrays["y"][0][-1]
        assert [row[0] for row in table.rows] == [0.0001, 0.01, 1.0]
        assert [len(figures[0].arrays["x"][0]) for figures in watch.figures] == [1, 2, 3]
        assert watch.shares == sorted(watch.shares)

    def test_an_update_of_one_step_is_a_gradient(self):
        assert run(local_epochs=1, learning_rate=0.05).metrics["psnr_min"].value > 40

    def test_an_attack_that_cannot_work_says_why(self):
        with pytest.raises(InvalidUpload, match="can work from what is shared"):
            run(model="lenet", attack="spear", data="photographs", records=8)

    def test_a_model_that_does_not_suit_the_records_is_refused(self):
        with pytest.raises(InvalidUpload, match="suit"):
            run(model="lenet5", data="digits")


class TestTheFederation:
    def test_one_client_is_attacked_in_each_round(self):
        report = run(mode="federated", clients=4, records=3, rounds=2, attack="idlg", iterations=40, learning_rate=0.1)
        table = report.tables[0]
        assert table.title == "Rounds of the federation"
        assert [row[0] for row in table.rows] == [1, 2]
        assert all(0 <= row[1] < 4 and row[2] >= 1 and 0 <= row[3] <= 1 for row in table.rows)
        assert {"true_1", "true_2"} <= set(report.arrays)


def test_every_field_of_a_script_is_a_parameter():
    names = {field.name for field in dataclasses.fields(Parameters)}
    assert all(set(values) <= names for values in SCRIPTS.values())
