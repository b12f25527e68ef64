import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from app.defences.gradients.client import train
from app.errors import InvalidParameters, InvalidUpload
from app.parameters import describe
from app.reconstruction_metrics import match, mse, psnr
from app.record_sets import digits
from app.tracks.base import Data, Seat
from app.tracks.gradient_leakage import clients, guessing, question, records, scores
from app.tracks.gradient_leakage.clients import Place
from app.tracks.gradient_leakage.settings import Settings
from tests.tracks.gradient_leakage.rounds import SEAT, SMALL, challenge, track, truth

ROOT = Path(__file__).resolve().parents[3]
PLACE = Place(SMALL, SEAT, None)


def score(answer, seed=1):
    return track().leakage(answer, challenge(seed).secret, np.random.default_rng(0))


def rows(array):
    return {record.tobytes() for record in array.reshape(-1, 64)}


class TestSettings:
    def test_every_field_has_a_help_and_a_default(self):
        assert all(field.help for field in describe(Settings))
        Settings()

    @pytest.mark.parametrize("bad", [{"BATCHES": 64, "RECORDS": 64}, {"RECORDS": 2, "LOCAL_BATCH": 3}])
    def test_they_refuse_what_cannot_be_played(self, bad):
        with pytest.raises(InvalidParameters):
            Settings(**bad)


class TestRecords:
    def test_private_records_are_in_no_public_part(self):
        parts = records.parts(SMALL, SEAT, None)
        known = rows(parts.public.inputs) | rows(parts.held_out.inputs) | rows(digits().x)

        inputs, _ = records.private(SMALL, SEAT, None)

        assert not rows(inputs) & known
        assert len(rows(inputs)) == 6

    def test_without_distortion_parts_are_all_records_and_share_none(self):
        parts = records.parts(Settings(DISTORTION=0.0), SEAT, None)

        sizes = [len(rows(part.inputs)) for part in (parts.public, parts.held_out, parts.reserve)]
        assert len(rows(parts.public.inputs) | rows(parts.held_out.inputs) | rows(parts.reserve.inputs)) == sum(sizes)
        assert sizes == [600, 400, 797]

    def test_distorted_digits_look_like_digits_and_are_none_that_can_be_looked_up(self):
        inputs, labels = records.private(Settings(BATCHES=16), SEAT, None)
        flat, every = inputs.reshape(-1, 64), digits().x.reshape(-1, 64)

        distance = np.square(flat[:, None] - every[None]).mean(axis=2)

        assert (psnr(distance.min(axis=1)) < 30).all()
        assert (digits().y[distance.argmin(axis=1)] == labels.ravel()).mean() > 0.8
        assert 0.0 <= flat.min() <= flat.max() <= 1.0

    def test_teams_share_the_public_part_and_not_the_private_one(self):
        other = Seat(SEAT.round, SEAT.team + 1)

        assert np.array_equal(
            records.parts(SMALL, SEAT, None).public.inputs, records.parts(SMALL, other, None).public.inputs
        )
        assert not rows(records.private(SMALL, SEAT, None)[0]) & rows(records.private(SMALL, other, None)[0])

    def test_another_round_has_other_records_and_weights(self):
        other = Seat(SEAT.round + 1, SEAT.team)

        assert not np.array_equal(
            records.parts(SMALL, SEAT, None).public.inputs, records.parts(SMALL, other, None).public.inputs
        )
        assert not np.array_equal(
            clients.weights(PLACE)["1.weight"], clients.weights(Place(SMALL, other, None))["1.weight"]
        )

    def test_classes_come_equally_often(self):
        _, labels = records.private(Settings(BATCHES=8, RECORDS=4), SEAT, None)

        assert set(np.bincount(labels.ravel(), minlength=10)) == {3, 4}


class TestOwnData:
    @pytest.fixture
    def images(self, tmp_path):
        rng = np.random.default_rng(0)
        pixels = rng.integers(0, 256, (300, 3, 12, 10), np.uint8)
        np.savez(tmp_path / "images.npz", samples=pixels, labels=rng.integers(0, 3, 300))
        return Data("dataset", tmp_path / "images.npz")

    @pytest.fixture
    def table(self, tmp_path):
        rng = np.random.default_rng(0)
        y = rng.integers(0, 2, 300)
        np.savez(tmp_path / "table.npz", X=rng.normal(size=(300, 7)) + y[:, None], y=y)
        return Data("table", tmp_path / "table.npz")

    def played(self, data, **settings):
        game = track(data=data, PUBLIC=100, HELD_OUT=80, **settings)
        game.check_data()
        defence = game.house_defence("undefended", np.random.default_rng(0))
        asked = game.challenge(defence, np.random.default_rng(1))
        blind = game.adversaries()["blind"](asked.public, np.random.default_rng(2), "cpu")
        assert game.utility(defence).value == pytest.approx(1.0)
        assert game.leakage(blind, asked.secret, np.random.default_rng(3)).value == 0.0
        best = game.leakage(game.best_answer(asked.secret), asked.secret, np.random.default_rng(3))
        assert best.value == 1.0
        return best

    def test_images_of_any_size_are_played(self, images):
        assert self.played(images, MODEL="lenet").figures[0].kind == "images"

    def test_tables_are_played_and_shown_as_rows(self, table):
        best = self.played(table)

        assert best.figures[0].kind == "heatmap"
        assert np.array(best.figures[0].arrays["values"]).shape == (12, 7)

    def test_it_tells_of_every_complaint_at_once(self, table):
        with pytest.raises(InvalidUpload) as refusal:
            track(data=table, MODEL="lenet").check_data()

        found = str(refusal.value)
        assert "1,006" in found
        assert "takes images" in found

    def test_it_refuses_images_whose_gradients_are_too_large(self, images):
        with pytest.raises(InvalidUpload, match="MAX_UPLOAD_MB"):
            track(data=images, PUBLIC=100, HELD_OUT=80, MODEL="cnn", MAX_UPLOAD_MB=1.0).check_data()


class TestIssue:
    def test_it_is_all_that_a_team_needs_to_compute_its_gradients(self, tmp_path):
        paths = track().write_issue(tmp_path)

        assert sorted(path.name for path in paths) == ["private.npz", "public.npz", "rules.json", "weights.npz"]
        rules = json.loads((tmp_path / "rules.json").read_text())
        assert (rules["model"], rules["shape"], rules["batches"], rules["shared"]) == ("fc2", [1, 8, 8], 3, "gradient")
        with np.load(tmp_path / "weights.npz") as weights, np.load(tmp_path / "private.npz") as private:
            network = clients.loaded("fc2", (1, 8, 8), 10, dict(weights))
            batches = zip(private["inputs"], private["labels"], strict=True)
            mine = clients.stacked(train(clients.client(PLACE, network, *batch), None) for batch in batches)
        assert all(np.array_equal(mine[name], values) for name, values in truth().items())

    def test_it_is_the_same_file_every_time(self, tmp_path):
        for name in ("first", "second"):
            (tmp_path / name).mkdir()
            track().write_issue(tmp_path / name)

        for path in (tmp_path / "first").iterdir():
            assert path.read_bytes() == (tmp_path / "second" / path.name).read_bytes()


class TestChallenge:
    def test_pages_can_import_the_game_without_torch_and_scikit_learn(self):
        code = (
            "import sys; from app.tracks import game; track = game('gradient_leakage'); list(track.adversaries());"
            "track.house_defences(); assert not {'torch', 'sklearn', 'scipy'} & set(sys.modules)"
        )

        subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)

    def test_nothing_private_is_public(self):
        inputs, _ = records.private(SMALL, SEAT, None)

        for name, values in challenge().public.items():
            if values.dtype.kind == "f" and not name.startswith(("weights/", "shared/")):
                assert not rows(inputs) & rows(values), name
        assert "labels" not in challenge().public

    def test_labels_are_told_in_no_order_if_the_rules_say_so(self):
        game = track(LABELS="given")

        asked = game.challenge(truth(), np.random.default_rng(1))

        assert np.array_equal(asked.public["labels"], np.sort(asked.secret["labels"], axis=1))

    def test_what_was_shared_belongs_to_the_secret_batch_in_its_place(self):
        asked = challenge()
        network = clients.model(PLACE)
        batches = zip(asked.secret["inputs"], asked.secret["labels"], strict=True)

        again = clients.stacked(train(clients.client(PLACE, network, *batch), None) for batch in batches)

        for name, values in question.part(asked.public, question.SHARED).items():
            assert values == pytest.approx(again[name], abs=1e-6)

    def test_two_versions_of_a_defence_come_in_different_orders(self):
        orders = {tuple(challenge(seed).secret["labels"].ravel()) for seed in range(6)}

        assert len(orders) > 2

    def test_the_download_has_every_part(self, tmp_path):
        track(LABELS="given").write_challenge(
            track(LABELS="given").challenge(truth(), np.random.default_rng(1)).public, 7, tmp_path
        )

        names = {path.name for path in tmp_path.iterdir()}
        assert names == {
            f"team_7_{name}" for name in ("rules.json", "weights.npz", "shared.npz", "public.npz", "labels.npz")
        }
        with np.load(tmp_path / "team_7_shared.npz") as shared:
            assert {name: shared[name].shape for name in shared} == question.shapes(PLACE)


class TestUtility:
    def test_the_truth_is_1_and_zeros_and_negatives_are_0(self):
        assert track().utility(truth()).value == pytest.approx(1.0)
        for factor in (0.0, -1.0):
            assert track().utility({name: factor * values for name, values in truth().items()}).value == 0.0

    def test_more_noise_is_less_useful(self):
        rng = np.random.default_rng(0)
        noise = {name: rng.normal(0, np.abs(values).mean(), values.shape) for name, values in truth().items()}
        values = [
            track().utility({name: (truth()[name] + much * noise[name]).astype(np.float32) for name in noise}).value
            for much in (0.1, 1.0, 10.0)
        ]

        assert 1.0 > values[0] > values[1] > values[2]

    @pytest.mark.parametrize("kind", ["means", "others", "everything"])
    @pytest.mark.parametrize("shared", ["gradient", "update"])
    def test_public_records_instead_of_private_ones_are_worth_next_to_nothing(self, kind, shared):
        settings = Settings(MODEL="fc2", BATCHES=8, SHARED=shared)
        place, game = Place(settings, SEAT, None), track(BATCHES=8, RECORDS=4, SHARED=shared)
        public, (_, labels) = records.parts(settings, SEAT, None).public, records.private(settings, SEAT, None)
        rng, network = np.random.default_rng(0), clients.model(place)
        replacements = {
            "means": [[public.inputs[public.labels == label].mean(0) for label in row] for row in labels],
            "others": [[rng.choice(public.inputs[public.labels == label]) for label in row] for row in labels],
            "everything": [public.inputs] * len(labels),
        }[kind]
        classes = [public.labels] * len(labels) if kind == "everything" else labels
        batches = zip(np.array(replacements), classes, strict=True)

        instead = clients.stacked(train(clients.client(place, network, x, y), clients_generator()) for x, y in batches)

        found = game.utility(instead)
        assert found.value < 0.1
        assert found.metrics["cosine"].value > 0.5 or kind == "everything"

    def test_both_shares_matter(self):
        """A huge step keeps the direction and breaks the model."""
        found = track().utility({name: 1e4 * values for name, values in truth().items()})

        assert found.metrics["news"].value == pytest.approx(1.0)
        assert found.metrics["loss_share"].value == found.value == 0.0


def clients_generator():
    import torch

    return torch.Generator().manual_seed(0)


class TestLeakage:
    def test_blind_guesses_are_worth_nothing_whatever_they_are(self):
        public = question.public_records(challenge().public)
        for guess in guessing.guesses(public, 3, 2, None).values():
            assert score({"inputs": guess}).value == 0.0
        rng = np.random.default_rng(0)
        for _ in range(20):
            assert score({"inputs": public.inputs[rng.integers(0, 600, (3, 2))]}).value <= 0.05

    @pytest.mark.parametrize("size", [1, 4, 16])
    def test_matching_rewards_no_set_of_public_guesses(self, size):
        game = track(BATCHES=8, RECORDS=size)
        asked = game.challenge(game.house_defence("undefended", np.random.default_rng(0)), np.random.default_rng(1))
        public, rng = question.public_records(asked.public), np.random.default_rng(0)
        true = asked.secret["inputs"]

        centres = np.stack([public.inputs[public.labels == label % 10].mean(0) for label in range(size)])
        drawn = public.inputs[rng.integers(0, 600, (8, size))]
        shrunk = [0.3 * guess + 0.7 * public.inputs.mean(0) for guess in (drawn, np.broadcast_to(centres, true.shape))]

        for guess in (drawn, np.broadcast_to(centres, true.shape), *shrunk):
            assert game.leakage({"inputs": guess}, asked.secret, rng).value < 0.08
        assert (
            asked.secret["blind"].mean() <= mse(match(np.broadcast_to(centres, true.shape), true).inputs, true).mean()
        )

    def test_order_within_a_batch_does_not_matter_and_order_of_batches_does(self):
        secret = challenge().secret

        assert score({"inputs": secret["inputs"][:, ::-1]}).value == 1.0
        assert score({"inputs": secret["inputs"][[1, 2, 0]]}).value < 0.5

    def test_it_is_one_minus_the_ratio_of_errors(self):
        secret = challenge().secret
        noisy = np.clip(secret["inputs"] + np.random.default_rng(0).normal(0, 0.1, secret["inputs"].shape), 0, 1)

        found = score({"inputs": noisy})

        errors = mse(match(noisy, secret["inputs"]).inputs, secret["inputs"])
        assert found.value == pytest.approx(1 - errors.sum() / secret["blind"].sum())
        assert found.metrics["mse"].value == pytest.approx(errors.mean())
        assert found.metrics["psnr_min"].value == pytest.approx(psnr(errors).min())
        assert found.metrics["psnr_mean"].low < found.metrics["psnr_mean"].value < found.metrics["psnr_mean"].high

    def test_labels_count_if_they_are_handed_in(self):
        secret = challenge().secret

        without, with_, partly = (
            score({"inputs": secret["inputs"], **given}).metrics["label_accuracy"].value
            for given in ({}, {"labels": secret["labels"]}, {"labels": np.where(np.arange(2), secret["labels"], -1)})
        )

        assert (without, with_, partly) == (0.0, 1.0, 0.5)

    def test_two_answers_share_their_resamples(self):
        secret = challenge().secret
        less, more = (score({"inputs": np.clip(secret["inputs"] + noise, 0, 1)}).replicates for noise in (0.15, 0.1))

        assert less.shape == (200,)
        assert (less <= more).all()

    def test_only_the_defender_sees_originals(self):
        secret = challenge().secret
        answer = np.random.default_rng(0).random(secret["inputs"].shape)
        originals = {str(record[0].round(4).tolist()) for record in secret["inputs"].reshape(-1, 1, 8, 8)}

        found = score({"inputs": answer})

        def shown(figures):
            return {str(image) for figure in figures if figure.kind == "images" for image in figure.arrays["images"]}

        assert shown(found.figures) & originals
        assert shown(found.attacker_figures)
        assert not shown(found.attacker_figures) & originals
        assert [figure.kind for figure in found.attacker_figures] == ["images"]


class TestHouse:
    def test_it_refuses_to_play_a_defence_that_it_does_not_know(self):
        with pytest.raises(ValueError, match="'magic' is not one of undefended"):
            track().house_defence("magic", np.random.default_rng(0))

    def test_a_base_of_another_seat_is_not_taken(self):
        found = track().house_defence("undefended", np.random.default_rng(0), {"1.weight": np.zeros(3)})

        assert all(np.array_equal(found[name], values) for name, values in truth().items())

    def test_updates_are_those_of_local_training(self):
        game = track(SHARED="update", LOCAL_EPOCHS=3, LOCAL_BATCH=1, LEARNING_RATE=0.01)
        found = game.house_defence("undefended", np.random.default_rng(0))

        # Six small steps over two records are about six times the learning rate times the gradient.
        first, second = (scores._flat(each) for each in (found, truth()))
        assert scores.cosines(first, second).min() > 0.98
        assert np.linalg.norm(first) / np.linalg.norm(second) == pytest.approx(0.06, rel=0.1)
        assert game.utility(found).value == pytest.approx(1.0)

    def test_a_warm_model_knows_the_public_records(self):
        cold, warm = (
            scores.Server(Place(Settings(MODEL="fc2", WARM_UP=passes), SEAT, None))._before for passes in (0, 5)
        )

        assert warm < 0.5 * cold
