"""The study: what it trains, how it tells what a protection did, and that it says so."""

import numpy as np
import pytest

from app import bundles
from app.attacks.membership.white_box import WhiteBox
from app.errors import InvalidUpload
from app.experiments.federated_protection import CARD, reporting, samples, white_box
from app.experiments.federated_protection.choices import CONFIGURATIONS, LISTENS, PROTECTIONS, QUICK, TITLES, WHITE_BOX
from app.experiments.federated_protection.layout import LAYOUT
from app.experiments.federated_protection.measuring import Measured
from app.experiments.federated_protection.parameters import Parameters
from app.experiments.federated_protection.reporting import Pair
from app.experiments.federated_protection.told import RATES, Told, together, told
from app.experiments.federated_protection.white_box import CLIENTS, GLOBAL
from app.parameters import describe
from app.record_sets import digits
from app.roc import clopper_pearson

SMALL = {"attacks": "quick", "clients": 3, "records": 30, "rounds": 2, "epochs": 3, "seeds": 1, "p2_epochs": 3}


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """Few new records are enough to see that a study works."""
    monkeypatch.setattr(samples, "MOST", 300)


def run(seed=0, inputs=None, **values):
    progress = []
    report = CARD.load()().run(
        inputs or {}, Parameters(**{**SMALL, **values}), np.random.default_rng(seed), "cpu", progress.append
    )
    assert progress == sorted(progress)
    assert progress[-1] == 1.0
    return report


def pair(before, after, accuracy=(0.9, 0.9)):
    def measured(value, right):
        return Measured(right, right, right, {("loss", GLOBAL): Told(value), ("loss", CLIENTS): Told(0.6)})

    return Pair(measured(before, accuracy[0]), measured(after, accuracy[1]), "")


def said(pairs, protection="p2-published"):
    return " ".join(reporting.report(pairs, TITLES, digits(), Parameters(protection=protection)).notes)


@pytest.mark.parametrize("protection", PROTECTIONS)
class TestEveryProtection:
    def test_it_reports_every_quantity_before_and_after(self, protection, tmp_path):
        report = run(protection=protection)
        rows = report.tables[0].rows
        assert {row[1] for row in rows} == {"global model", "clients' models"}
        assert len(rows) == 3 + 2 * len(QUICK) * (1 + len(RATES))
        assert all(0.0 <= row[2] <= 1.0 and 0.0 <= row[5] <= 1.0 for row in rows)
        assert all(row[8] == pytest.approx(row[5] - row[2]) for row in rows)
        assert set(report.metrics) == {metric.name for metric in CARD.metrics}
        assert report.notes
        bundles.write(report.arrays, tmp_path / "a.npz")
        if protection == "none":
            assert all(row[8] == 0.0 for row in rows)


class TestStudy:
    def test_the_same_seed_gives_the_same_report(self):
        first, second = (run(seed=5, protection="p2-corrected") for _ in range(2))
        assert first.tables == second.tables

    def test_intervals_come_with_several_seeds(self):
        report = run(seeds=2, protection="label-smoothing")
        for row in report.tables[0].rows:
            assert row[3] <= row[2] <= row[4]
            assert row[9] <= row[8] <= row[10]
        plane, bars = report.figures
        assert len(bars.arrays["labels"]) == len(bars.arrays["low"]) == 2 * 2 * len(QUICK)
        assert len(plane.arrays["series"]) == len(plane.arrays["x"]) == len(plane.arrays["y"]) == 4
        assert plane.arrays["x"][0] == [report.metrics["auc_before"].value]
        assert plane.arrays["y"][1] == [report.metrics["accuracy_after"].value]

    @pytest.mark.parametrize("partition", ["dirichlet", "fixed-classes"])
    def test_partitions_can_be_unequal(self, partition):
        assert run(protection="p2-corrected", partition=partition).tables

    def test_a_convolutional_network_takes_images(self):
        assert run(
            protection="p2-corrected", model="cnn", rounds=1, epochs=1, p2_epochs=1, clients=2, records=20
        ).tables

    def test_a_table_of_the_owner_takes_the_place_of_the_digits(self, tmp_path):
        rng = np.random.default_rng(0)
        path = tmp_path / "table"
        lines = [f"{a:.3f},{b:.3f},{int(a > b)}" for a, b in rng.normal(size=(300, 2))]
        path.write_text("\n".join(["first,second,label", *lines]))
        report = run(inputs={"table": path}, protection="label-smoothing")
        assert report.metrics["accuracy_before"].value > 0.6

    def test_two_files_are_refused(self, tmp_path):
        with pytest.raises(InvalidUpload, match="one data set"):
            run(inputs={"table": tmp_path, "dataset": tmp_path})

    def test_a_convolutional_network_refuses_a_table(self, tmp_path):
        path = tmp_path / "table"
        path.write_text("first,second,label\n" + "0.1,0.2,a\n0.3,0.1,b\n" * 100)
        with pytest.raises(InvalidUpload, match="takes images"):
            run(inputs={"table": path}, model="cnn")

    def test_more_clients_than_the_data_carry_are_refused(self):
        with pytest.raises(InvalidUpload, match="Every client trains on"):
            run(clients=150)


class TestAttacks:
    def test_all_of_them_can_be_tried(self, monkeypatch):
        monkeypatch.setattr(white_box, "ATTACKER", WhiteBox(epochs=2, kernels=2))
        report = run(protection="rounded", attacks="all", shadows=2)
        rows = [row for row in report.tables[0].rows if row[0].endswith("AUC")]
        assert {row[0].removesuffix(", AUC") for row in rows if row[1] == "global model"} == set(TITLES.values())
        both = {row[0].removesuffix(", AUC") for row in rows if row[1] == "clients' models"}
        assert both == set(QUICK.values()) | set(WHITE_BOX.values())
        # The attacker has the weights, so blurred answers change nothing for it.
        assert all(row[8] == 0.0 for row in rows if row[0].startswith("White box"))

    def test_few_false_alarms_stand_below_the_area_of_every_attack(self):
        rows = run(protection="label-smoothing").tables[0].rows[3:]
        for area, *rates in zip(*(rows[place::4] for place in range(4)), strict=True):
            assert area[0].endswith("AUC")
            assert [row[0].partition(", ")[2] for row in rates] == [
                f"TPR at {share} % FPR" for share in ("10", "1", "0.1")
            ]
            for side in (2, 5):
                assert rates[0][side] >= rates[1][side] >= rates[2][side]
                # One seed: the intervals are those of Clopper and Pearson.
                assert all(row[side + 1] <= row[side] <= row[side + 2] for row in rates)

    def test_an_overfitted_model_gives_its_members_away_and_a_fresh_one_does_not(self):
        rows = {
            (row[0], row[1]): row[2] for row in run(protection="none", epochs=40, rounds=3, rate=0.2).tables[0].rows
        }
        assert rows["Loss, AUC", "clients' models"] > 0.6
        fresh = {(row[0], row[1]): row[2] for row in run(protection="none", rate=1e-6).tables[0].rows}
        assert abs(fresh["Loss, AUC", "global model"] - 0.5) < 0.08


class TestPooledShares:
    def test_members_of_all_models_are_counted_and_the_areas_averaged(self):
        first = told(np.array([3.0, 2.0, 1.0, 0.0]), np.array([True, True, False, False]))
        second = told(np.array([0.0, 1.0, 2.0]), np.array([True, False, False]))
        both = together([first, second], np.array([2, 1]))
        assert both.auc == pytest.approx((1.0 + 0.0) / 2)
        for share in both.tpr:
            assert share.value == pytest.approx(2 / 3)
            assert (share.low, share.high) == pytest.approx(tuple(map(float, clopper_pearson(2, 3))))


class TestSample:
    def test_members_held_out_and_new_records_are_apart(self):
        drawn = samples.draw(digits(), Parameters(**SMALL), np.random.default_rng(0))
        parts = [set(drawn.members.tolist()), set(drawn.others.tolist()), *(set(h.tolist()) for h in drawn.held_out)]
        assert sum(map(len, parts)) == len(set.union(*parts)) == 90 + 45 + 300
        assert [len(held) for held in drawn.held_out] == [15, 15, 15]
        assert drawn.shares.sizes.sum() == 90


class TestVerdict:
    def test_a_raised_attack_is_said_loudly(self):
        text = said([pair(0.53, 0.56), pair(0.54, 0.575), pair(0.53, 0.565)])
        assert "made attacks on the global model STRONGER: Loss, AUC 0.533 to 0.567" in text

    def test_a_lowered_attack_is_said(self):
        assert "global model weaker: Loss, AUC 0.650 to 0.550" in said([pair(0.65, 0.55)])

    def test_a_change_within_its_interval_is_no_change(self):
        text = said([pair(0.53, 0.56), pair(0.56, 0.53)])
        assert "did not measurably change any attack on the global model" in text

    def test_the_cost_is_said_in_points(self):
        assert "-10.0 points" in said([pair(0.6, 0.6, (0.9, 0.8))])

    def test_a_model_that_learnt_nothing_is_called_so(self):
        assert "most frequent class" in said([pair(0.5, 0.5, (0.1, 0.1))])


class TestForm:
    def test_every_parameter_stands_in_one_group(self):
        listed = [name for group in LAYOUT.groups for name in group.names]
        assert sorted(listed) == sorted(parameter.name for parameter in describe(Parameters))

    def test_a_named_configuration_takes_the_place_of_its_fields(self):
        chosen = Parameters(configuration="overfitted", clients=3, protection="relaxloss").effective
        assert {name: getattr(chosen, name) for name in CONFIGURATIONS["overfitted"]} == CONFIGURATIONS["overfitted"]
        assert chosen.protection == "relaxloss"

    @pytest.mark.parametrize(("label", "name"), [("Reference", "reference"), ("Over-fitted", "overfitted")])
    def test_one_button_fills_in_the_whole_federation(self, label, name):
        filled = LAYOUT.fills[label]
        # The form sends what was filled in, so it must not be overruled by a named configuration.
        assert filled["configuration"] == "own"
        assert {key: filled[key] for key in CONFIGURATIONS[name]} == {
            key: str(value) for key, value in CONFIGURATIONS[name].items()
        }
        groups = {group.title: group.names for group in LAYOUT.groups}
        assert set(groups["The federation"] + groups["Local training"]) <= set(filled)

    def test_what_a_button_fills_in_are_values_of_its_fields(self):
        known = {parameter.name: parameter for parameter in describe(Parameters)}
        for filled in LAYOUT.fills.values():
            values = {name: known[name].type(value) for name, value in filled.items() if known[name].type is not bool}
            assert Parameters(**values, is_shuffled=filled["is_shuffled"] == "True")

    def test_the_reference_never_shuffles_as_the_published_code_and_everything_else_does(self):
        assert Parameters().is_shuffled
        assert not Parameters(configuration="reference").effective.is_shuffled
        assert Parameters(configuration="overfitted").effective.is_shuffled

    def test_protections_listen_to_parameters_that_there_are(self):
        known = {parameter.name for parameter in describe(Parameters)}
        assert {name for names in LISTENS.values() for name in names} <= known
