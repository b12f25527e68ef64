import dataclasses
import functools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from app.parameters import describe
from app.tracks.base import Data, Seat
from app.tracks.membership import classifier
from app.tracks.membership.game import Membership
from app.tracks.membership.question import STRANGER
from app.tracks.membership.settings import Settings
from tests.tracks.membership.models import defence, linear

ROOT = Path(__file__).resolve().parents[3]
SETTINGS = Settings(TRAINING_RECORDS=200, MEMBERS=150, POPULATION_RECORDS=200, HELD_OUT_RECORDS=200)
GAME = Membership(SETTINGS, Seat(1, 3))


@functools.cache
def challenge():
    return GAME.challenge(defence(), np.random.default_rng(1))


class TestGame:
    def test_pages_can_import_it_without_torch_and_scikit_learn(self):
        code = (
            "import sys; from app.tracks import game; track = game('membership'); list(track.adversaries());"
            "track.house_defences(); assert not {'torch', 'sklearn', 'onnx'} & set(sys.modules)"
        )

        subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)

    def test_it_refuses_to_play_a_defence_that_it_does_not_know(self):
        with pytest.raises(ValueError, match="'magic' is not one of undefended"):
            GAME.house_defence("magic", np.random.default_rng(0))

    def test_an_undefended_upload_is_its_own_undefended_defence(self):
        base = defence()

        assert GAME.house_defence("undefended", np.random.default_rng(0), base) is base


class TestChallenge:
    def test_half_of_the_candidates_are_members(self, tmp_path):
        GAME.write_issue(tmp_path)
        with np.load(tmp_path / "training_set.npz") as file:
            issued = file["x"]
        asked = challenge()

        rows = asked.secret["row"]
        members = asked.secret["is_member"]
        assert members.sum() == (~members).sum() == 150
        assert (rows[~members] == STRANGER).all()
        assert np.array_equal(asked.public["candidates_x"][members], issued[rows[members]])
        known = {row.tobytes() for row in issued}
        assert not known & {row.tobytes() for row in asked.public["candidates_x"][~members]}

    def test_no_record_is_asked_twice_and_none_is_of_the_population(self):
        public = challenge().public
        candidates = {row.tobytes() for row in public["candidates_x"]}

        assert len(candidates) == 300
        assert not candidates & {row.tobytes() for row in public["population_x"]}

    def test_ids_and_order_say_nothing(self):
        asked = challenge()
        ids, members = asked.public["record_id"], asked.secret["is_member"]

        assert (np.diff(ids) > 0).all()
        places = np.flatnonzero(members)
        # The mean place of 150 of 300 has a standard deviation of 5.
        assert abs(places.mean() - 149.5) < 20
        assert abs(np.diff(members.astype(int)).astype(bool).mean() - 0.5) < 0.12

    def test_classes_say_nothing(self):
        labels, members = challenge().public["candidates_y"], challenge().secret["is_member"]
        counts = [np.bincount(labels[side], minlength=10) for side in (members, ~members)]

        assert np.abs(counts[0] - counts[1]).max() <= 2

    def test_the_public_half_holds_no_membership(self):
        assert set(challenge().public) == {
            "model", "classes", "is_text", "record_id", "candidates_x", "candidates_y", "population_x", "population_y",
        }  # fmt: skip

    def test_another_team_has_other_members(self):
        other = Membership(SETTINGS, Seat(1, 4)).challenge(defence(), np.random.default_rng(1))
        issued = {row.tobytes() for row in challenge().public["candidates_x"][challenge().secret["is_member"]]}
        others = {row.tobytes() for row in other.public["candidates_x"][other.secret["is_member"]]}

        assert 0.2 < len(issued & others) / 150 < 0.6

    def test_the_download_is_the_model_the_candidates_and_the_population(self, tmp_path):
        GAME.write_challenge(challenge().public, 7, tmp_path)

        assert (tmp_path / "team_7_model.onnx").read_bytes() == linear()
        with np.load(tmp_path / "team_7_candidates.npz") as file:
            assert sorted(file) == ["record_id", "x", "y"]
        with np.load(tmp_path / "team_7_population.npz") as file:
            assert sorted(file) == ["x", "y"]


class TestUtility:
    def test_nobody_gets_more_than_the_reference(self):
        own = GAME.utility(defence())

        assert own.value == own.metrics["accuracy"].value > 0.85
        assert GAME.utility(defence(), {"accuracy": 0.5}).value == 1.0
        assert own.metrics["accuracy"].low < own.value < own.metrics["accuracy"].high
        assert own.metrics["worst_class"].value < own.value

    def test_what_was_learnt_by_heart_shows(self):
        metrics = GAME.utility(GAME.house_defence("undefended", np.random.default_rng(0))).metrics

        assert metrics["training_accuracy"].value == 1.0
        assert metrics["accuracy"].value < 0.95


class TestTarget:
    def of(self, *tail):
        model = np.frombuffer(linear(tail=tail), np.uint8)
        read = classifier.from_bytes(model, SETTINGS, classifier.task(GAME.material))
        return classifier.target(read, "cpu")

    def test_probabilities_become_logits(self):
        x = challenge().public["candidates_x"]
        plain, softmax = self.of(), self.of(("Softmax", {"axis": 1}), ("Identity", {}), ("Abs", {}))

        def logs(logits):
            wide = logits.astype(np.float64)
            return wide - np.log(np.exp(wide - wide.max(1, keepdims=True)).sum(1, keepdims=True)) - wide.max(1)[:, None]

        assert logs(softmax.logits(x)) == pytest.approx(logs(plain.logits(x)), abs=2e-3)

    def test_white_box_attacks_get_weights_and_gradients(self):
        import torch

        target, x = self.of(), torch.from_numpy(challenge().public["candidates_x"][:4])

        def loss(weights, row):
            return target.forward(weights, row[None]).logsumexp(1)[0]

        slopes = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0))(target.parameters, x)

        assert {tuple(slope.shape) for slope in slopes.values()} == {(4, 64, 10), (4, 10)}
        assert all(float(slope.abs().sum()) > 0 for slope in slopes.values())
        assert target.differentiable(x).shape == (4, 10)


QUICK = {"models": 2, "epochs": 5, "architecture": "perceptron", "trees": 10, "attack_epochs": 3}


def quick(track, slug):
    """An adversary with so few models and passes that it learns little, and is done at once."""
    adversary = track.adversaries()[slug]
    names = {field.name for field in describe(type(adversary))}
    few = {**QUICK, "models": 4 if slug == "meta-calibrated" else 2}
    return dataclasses.replace(adversary, **{name: value for name, value in few.items() if name in names})


def leaked(track, asked, slug):
    answer = quick(track, slug)(asked.public, np.random.default_rng(2), "cpu")
    assert np.isfinite(answer["membership_score"]).all()
    return track.leakage(answer, asked.secret, np.random.default_rng(3)).value


class TestAdversaries:
    def test_they_are_listed_from_the_cheapest_on(self):
        assert list(GAME.adversaries()) == [
            "blind", "loss-threshold", "modified-entropy", "ml-leaks-3", "gradient-norm", "shadow-models",
            "lira-offline", "rmia", "meta-calibrated", "white-box-gradients",
        ]  # fmt: skip

    def test_every_field_has_a_help(self):
        for adversary in GAME.adversaries().values():
            assert adversary.title
            assert adversary.source
            assert all(field.help for field in describe(type(adversary)))

    @pytest.mark.parametrize("slug", list(GAME.adversaries()))
    def test_they_find_nothing_where_there_is_nothing(self, slug):
        # The model was trained on the records of another team, so the members of this one are any records to it.
        foreign = Membership(SETTINGS, Seat(1, 9)).house_defence("undefended", np.random.default_rng(0))
        asked = GAME.challenge(foreign, np.random.default_rng(5))

        assert leaked(GAME, asked, slug) == 0

    @pytest.mark.parametrize("slug", list(GAME.adversaries()))
    def test_they_attack_tables_and_models_that_give_probabilities(self, slug, table):
        asked = table.challenge(wide(), np.random.default_rng(1))

        assert 0 <= leaked(table, asked, slug) <= 1


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A round on a table of two columns of numbers, one of texts, and three classes."""
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("table") / "t.csv"
    rows = [f"{rng.normal():.5f},{rng.normal():.5f},{'ab'[rng.integers(2)]},{rng.integers(3)}" for _ in range(400)]
    path.write_text("one,two,three,label\n" + "\n".join(rows) + "\n")
    small = Settings(TRAINING_RECORDS=80, MEMBERS=60, POPULATION_RECORDS=80, HELD_OUT_RECORDS=60)
    return Membership(small, Seat(1, 1), Data("table", path))


def wide():
    """A model of four columns and three classes that ends with a softmax, in batches of one."""
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((4, 3)).astype(np.float32)
    data = linear(weight, np.zeros(3, np.float32), shape=(1, 4), tail=[("Softmax", {"axis": 1})])
    return {"model": np.frombuffer(data, np.uint8), "parameters": np.array(15)}
