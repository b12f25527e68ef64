import json

import numpy as np
import pytest

from app.attacks.membership.base import Records
from app.errors import InvalidParameters, InvalidUpload
from app.parameters import describe
from app.record_sets import digits
from app.tracks.base import Data, Seat
from app.tracks.membership import drift, material
from app.tracks.membership.game import Membership
from app.tracks.membership.material import distinct, halves, training_set
from app.tracks.membership.settings import Settings

SETTINGS = Settings()


def of(seat, settings=SETTINGS):
    return material.material(settings, seat, None)


def kinds(*parts):
    return [{row.tobytes() for row in part.x} for part in parts]


class TestSettings:
    def test_every_field_has_a_help(self):
        assert all(field.help for field in describe(Settings))

    def test_they_refuse_more_members_than_training_records(self):
        with pytest.raises(InvalidParameters, match="MEMBERS"):
            Settings(TRAINING_RECORDS=100, MEMBERS=101)

    def test_the_digits_carry_a_round_with_the_defaults(self):
        assert len(distinct(digits().x)) >= SETTINGS.records


class TestMaterial:
    def test_pool_population_and_held_out_records_share_none(self):
        found = of(Seat(1))
        pool, population, held_out = kinds(found.pool, found.population, found.held_out)

        assert (len(pool), len(population), len(held_out)) == (900, 540, 350)
        assert not pool & population
        assert not pool & held_out
        assert not population & held_out

    def test_teams_share_it_and_rounds_do_not(self):
        assert of(Seat(1, 3)) is of(Seat(1, 4))
        assert kinds(of(Seat(1)).pool) != kinds(of(Seat(2)).pool)

    def test_a_tenth_of_the_pools_labels_is_wrong_and_no_held_out_label(self):
        true = {row.tobytes(): label for row, label in zip(digits().x, digits().y, strict=True)}
        found = of(Seat(1))

        def wrong(part):
            return np.mean([true[row.tobytes()] != label for row, label in zip(part.x, part.y, strict=True)])

        assert 0.07 < wrong(found.pool) < 0.13
        assert 0.06 < wrong(found.population) < 0.14
        assert wrong(found.held_out) == 0
        assert wrong(of(Seat(1), Settings(LABEL_NOISE=0.0)).pool) == 0

    def test_equal_inputs_are_one_record(self):
        x = np.array([[0.0, 1.0], [2.0, 3.0], [-0.0, 1.0], [2.0, 3.0], [4.0, 5.0]], np.float32)

        assert distinct(x).tolist() == [0, 1, 4]


class TestHalves:
    def test_each_team_is_issued_its_own_random_half(self):
        found = of(Seat(1))
        first, second = (set(halves(found, Seat(1, team)).members) for team in (1, 2))

        assert len(first) == len(second) == 450
        assert 180 < len(first & second) < 270

    def test_members_and_strangers_are_the_pool_with_almost_the_same_classes(self):
        found = of(Seat(1))
        split = halves(found, Seat(1, 5))

        assert sorted([*split.members, *split.strangers]) == list(range(900))
        counts = [np.bincount(found.pool.y[places]) for places in (split.members, split.strangers)]
        assert np.abs(counts[0] - counts[1]).max() <= 2

    def test_the_issued_order_says_nothing_of_the_classes(self):
        labels = training_set(of(Seat(1)), Seat(1, 5)).y

        assert np.abs(np.diff(labels)).mean() > 2

    def test_a_biased_coin_is_noticed(self):
        found, generator = of(Seat(1)), np.random.default_rng(0)
        bright = found.pool.x.reshape(900, -1).sum(axis=1)
        first = np.argsort(bright + 10 * generator.standard_normal(900))

        assert not drift.is_fair(found.pool.take(first[:450]), found.pool.take(first[450:]), generator)


class TestDrift:
    def test_fair_splits_are_refused_as_often_as_stated(self):
        rng = np.random.default_rng(0)
        alarms = 0
        for _ in range(300):
            records = Records(rng.random((60, 5), np.float32), rng.integers(0, 3, 60))
            alarms += not drift.is_fair(records.take(np.arange(30)), records.take(np.arange(30, 60)), rng)

        # 3 are expected; more than 9 come once in a thousand runs.
        assert alarms <= 9

    def test_other_classes_are_noticed(self):
        rng = np.random.default_rng(0)
        x = np.zeros((100, 3), np.float32)

        assert not drift.is_fair(Records(x, rng.integers(0, 2, 100)), Records(x, rng.integers(1, 3, 100)), rng)

    def test_one_shifted_feature_of_many_is_noticed(self):
        rng = np.random.default_rng(0)
        first, second = rng.standard_normal((2, 400, 500)).astype(np.float32)
        second[:, :30] += 1.0
        labels = np.zeros(400, np.int64)

        assert not drift.is_fair(Records(first, labels), Records(second, labels), rng)

    def test_a_round_whose_halves_always_differ_cannot_be_played(self, monkeypatch):
        monkeypatch.setattr(drift, "is_fair", lambda *_: False)

        with pytest.raises(drift.UnfairSplitError, match="20"):
            halves(of(Seat(1)), Seat(1, 9))


class TestIssue:
    def test_a_team_gets_its_training_set_and_the_population(self, tmp_path):
        paths = Membership(SETTINGS, Seat(1, 5)).write_issue(tmp_path)

        assert sorted(path.name for path in paths) == ["about.json", "population.npz", "training_set.npz"]
        with np.load(tmp_path / "training_set.npz") as file:
            assert np.array_equal(file["x"], training_set(of(Seat(1)), Seat(1, 5)).x)
            assert file["y"].shape == (450,)
        with np.load(tmp_path / "population.npz") as file:
            assert kinds(of(Seat(1)).population) == [{row.tobytes() for row in file["x"]}]
        about = json.loads((tmp_path / "about.json").read_text())
        assert about["record_shape"] == [1, 8, 8]
        assert about["classes"] == 10


class TestOwnData:
    @pytest.fixture
    def table(self, tmp_path):
        def table(rows, copies=0):
            rng = np.random.default_rng(0)
            lines = [f"{rng.normal():.6f},{'ab'[row % 2]},{row % 3}" for row in range(rows)]
            (tmp_path / "t.csv").write_text("number,text,label\n" + "\n".join(lines + lines[:copies]) + "\n")
            return Data("table", tmp_path / "t.csv")

        return table

    small = Settings(TRAINING_RECORDS=50, MEMBERS=40, POPULATION_RECORDS=60, HELD_OUT_RECORDS=50)

    def test_a_table_becomes_a_round(self, table):
        game = Membership(self.small, Seat(1), table(250))
        game.check_data()

        assert game.material.pool.x.shape == (100, 3)
        assert game.material.about.feature_names == ("number", "text=a", "text=b")

    def test_copies_do_not_count(self, table):
        with pytest.raises(InvalidUpload) as refusal:
            Membership(self.small, Seat(1), table(150, copies=100)).check_data()

        (reason,) = refusal.value.reasons
        assert "needs 210 different records" in str(reason)
        assert "150 different of 250" in str(reason)
