"""The study: what it trains, how it tells what a protection did, and that it says so."""

import numpy as np
import pytest

from app import bundles
from app.errors import InvalidUpload
from app.experiments.federated_protection import CARD, reporting, samples
from app.experiments.federated_protection.choices import CONFIGURATIONS, LISTENS, PROTECTIONS, QUICK, TITLES
from app.experiments.federated_protection.layout import LAYOUT
from app.experiments.federated_protection.measuring import CLIENTS, GLOBAL, Measured
from app.experiments.federated_protection.parameters import Parameters
from app.experiments.federated_protection.reporting import Pair
from app.parameters import describe
from app.record_sets import digits

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
        return Measured(right, right, right, {("loss", GLOBAL): value, ("loss", CLIENTS): 0.6})

    return Pair(measured(before, accuracy[0]), measured(after, accuracy[1]), "")


def told(pairs, protection="p2-published"):
    return " ".join(reporting.report(pairs, TITLES, digits(), Parameters(protection=protection)).notes)


@pytest.mark.parametrize("protection", PROTECTIONS)
class TestEveryProtection:
    def test_it_reports_every_quantity_before_and_after(self, protection, tmp_path):
        report = run(protection=protection)
        rows = report.tables[0].rows
        assert {row[1] for row in rows} == {"global model", "clients' models"}
        assert len(rows) == 3 + 2 * len(QUICK)
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
        labels = report.figures[0].arrays["labels"]
        assert len(labels) == len(report.figures[0].arrays["low"]) == 2 * (2 + 2 * len(QUICK))

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
    def test_all_of_them_can_be_tried(self):
        report = run(protection="rounded", attacks="all", shadows=2)
        rows = [row for row in report.tables[0].rows if row[0].endswith("AUC")]
        assert {row[0].removesuffix(", AUC") for row in rows if row[1] == "global model"} == set(TITLES.values())

    def test_an_overfitted_model_gives_its_members_away_and_a_fresh_one_does_not(self):
        rows = {
            (row[0], row[1]): row[2] for row in run(protection="none", epochs=40, rounds=3, rate=0.2).tables[0].rows
        }
        assert rows["Loss, AUC", "clients' models"] > 0.6
        fresh = {(row[0], row[1]): row[2] for row in run(protection="none", rate=1e-6).tables[0].rows}
        assert abs(fresh["Loss, AUC", "global model"] - 0.5) < 0.08


class TestSample:
    def test_members_held_out_and_new_records_are_apart(self):
        drawn = samples.draw(digits(), Parameters(**SMALL), np.random.default_rng(0))
        parts = [set(drawn.members.tolist()), set(drawn.others.tolist()), *(set(h.tolist()) for h in drawn.held_out)]
        assert sum(map(len, parts)) == len(set.union(*parts)) == 90 + 45 + 300
        assert [len(held) for held in drawn.held_out] == [15, 15, 15]
        assert drawn.shares.sizes.sum() == 90


class TestVerdict:
    def test_a_raised_attack_is_said_loudly(self):
        text = told([pair(0.53, 0.56), pair(0.54, 0.575), pair(0.53, 0.565)])
        assert "made attacks on the global model STRONGER: Loss, AUC 0.533 to 0.567" in text

    def test_a_lowered_attack_is_said(self):
        assert "global model weaker: Loss, AUC 0.650 to 0.550" in told([pair(0.65, 0.55)])

    def test_a_change_within_its_interval_is_no_change(self):
        text = told([pair(0.53, 0.56), pair(0.56, 0.53)])
        assert "did not measurably change any attack on the global model" in text

    def test_the_cost_is_said_in_points(self):
        assert "-10.0 points" in told([pair(0.6, 0.6, (0.9, 0.8))])

    def test_a_model_that_learnt_nothing_is_called_so(self):
        assert "most frequent class" in told([pair(0.5, 0.5, (0.1, 0.1))])


class TestForm:
    def test_every_parameter_stands_in_one_group(self):
        listed = [name for group in LAYOUT.groups for name in group.names]
        assert sorted(listed) == sorted(parameter.name for parameter in describe(Parameters))

    def test_a_named_configuration_takes_the_place_of_its_fields(self):
        chosen = Parameters(configuration="overfitted", clients=3, protection="relaxloss").effective
        assert {name: getattr(chosen, name) for name in CONFIGURATIONS["overfitted"]} == CONFIGURATIONS["overfitted"]
        assert chosen.protection == "relaxloss"

    def test_presets_fill_in_the_same_numbers(self):
        for name, values in LAYOUT.presets.items():
            assert values["Reference"] == str(CONFIGURATIONS["reference"][name])

    def test_protections_listen_to_parameters_that_there_are(self):
        known = {parameter.name for parameter in describe(Parameters)}
        assert {name for names in LISTENS.values() for name in names} <= known
