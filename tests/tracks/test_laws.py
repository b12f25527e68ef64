"""The eight laws that every track and every adversary obeys."""

import dataclasses
import functools
import io
import pickle
import zipfile

import numpy as np
import pytest

from app.errors import InvalidUpload
from app.tracks import CARDS, game
from app.tracks.base import Adversary

SMALL = {
    "fingerprinting": {
        "NB_CLASSES": 8,
        "NB_TRACES_TO_CLASSIFY": 40,
        "MEAN_NB_REP_PER_CLASS": 14,
        "DEVIATION_NB_REP_PER_CLASS": 4,
        "MAX_ROWS": 500_000,
        "MAX_UNZIPPED_MB": 20,
    },
    "robustness": {"EPSILON": 0.2, "INPUTS": 60},
    "gradient_leakage": {"MODEL": "fc2", "BATCHES": 3},
    "membership": {},
}
"""Settings of a round that is played within seconds, by track."""

QUICK = {
    "fingerprinting": {
        "random-forest": {"trees": 60},
        "feature-forest": {"trees": 60},
        "k-fingerprinting": {"trees": 60},
        "deep-fingerprinting": {"width": 4, "bursts": 96},
        "robust-fingerprinting": {"width": 4, "slots": 96},
    },
    "gradient_leakage": {
        "spear": {"samples": 4000, "rounds": 1},
        "grnn": {"iterations": 100},
        "inverting-gradients": {"iterations": 200},
        "grad-inversion": {"iterations": 100, "restarts": 1},
        "dlg": {"evaluations": 300, "restarts": 0},
        "idlg": {"evaluations": 300, "restarts": 0},
    },
    "robustness": {
        "pgd": {"steps": 20, "rel_stepsize": 0.1},
        "apgd": {"steps": 20},
        "carlini-wagner": {"steps": 40, "binary_search_steps": 3, "initial_const": 1.0},
        "square": {"queries": 200},
    },
    "membership": {
        "shadow-models": {"models": 4, "architecture": "perceptron"},
        "lira-offline": {"models": 4, "architecture": "perceptron"},
        "rmia": {"models": 4, "architecture": "perceptron"},
        "meta-calibrated": {"models": 4, "architecture": "perceptron", "trees": 40},
        "white-box-gradients": {"models": 2, "attack_epochs": 20},
    },
}
"""Hyperparameters that make an adversary quick, by track and adversary; the others play with their defaults."""

TEAM = 7
ALMOST = 0.05

TRACKS = [card.slug for card in CARDS]


@functools.cache
def small(track):
    return game(track, SMALL[track])


@functools.cache
def adversary(track, slug) -> Adversary:
    return dataclasses.replace(small(track).adversaries()[slug], **QUICK.get(track, {}).get(slug, {}))


@functools.cache
def defence(track, name):
    return small(track).house_defence(name, np.random.default_rng(1))


@functools.cache
def challenge(track, name):
    return small(track).challenge(defence(track, name), np.random.default_rng(2))


@functools.cache
def answer(track, name, slug):
    return adversary(track, slug)(challenge(track, name).public, np.random.default_rng(3), "cpu")


@functools.cache
def leakage(track, name, slug):
    return small(track).leakage(answer(track, name, slug), challenge(track, name).secret, np.random.default_rng(4))


@functools.cache
def reference(track):
    score = small(track).utility(defence(track, undefended(track)))
    return {metric: estimate.value for metric, estimate in score.metrics.items()}


def undefended(track):
    return small(track).house_defences()[0]


def strongest(track):
    return small(track).house_defences()[-1]


def same(first, second):
    return first.keys() == second.keys() and all(np.array_equal(first[name], second[name]) for name in first)


def finite(score):
    numbers = [score.value]
    for estimate in score.metrics.values():
        numbers += [bound for bound in (estimate.value, estimate.low, estimate.high) if bound is not None]
    return np.isfinite(numbers).all() and 0.0 <= score.value <= 1.0


every_track = pytest.mark.parametrize("track", TRACKS)
every_adversary = pytest.mark.parametrize(
    ("track", "slug"), [(track, slug) for track in TRACKS for slug in small(track).adversaries()]
)
every_defence = pytest.mark.parametrize(
    ("track", "name"), [(track, name) for track in TRACKS for name in small(track).house_defences()]
)


class TestLaw1ScoresAreComparable:
    @every_defence
    def test_utility_lies_between_0_and_1(self, track, name):
        assert finite(small(track).utility(defence(track, name)))
        assert finite(small(track).utility(defence(track, name), reference(track)))

    @every_adversary
    def test_leakage_lies_between_0_and_1(self, track, slug):
        score = leakage(track, undefended(track), slug)

        assert finite(score)
        assert score.replicates is None or ((score.replicates >= 0) & (score.replicates <= 1)).all()

    @every_track
    def test_the_card_names_every_metric(self, track):
        card = small(track).card
        utility = small(track).utility(defence(track, undefended(track)), reference(track))

        assert set(utility.metrics) == {metric.name for metric in card.utility_metrics}
        assert set(leakage(track, undefended(track), "blind").metrics) == {each.name for each in card.leakage_metrics}


class TestLaw2TheSameSeedIsTheSameGame:
    @every_track
    def test_the_same_challenge(self, track):
        again = small(track).challenge(defence(track, undefended(track)), np.random.default_rng(2))

        assert same(again.public, challenge(track, undefended(track)).public)
        assert same(again.secret, challenge(track, undefended(track)).secret)

    @every_track
    def test_another_seed_is_another_challenge(self, track):
        other = small(track).challenge(defence(track, undefended(track)), np.random.default_rng(99))

        assert not same(other.secret, challenge(track, undefended(track)).secret)

    @every_adversary
    def test_the_same_answer_and_the_same_score(self, track, slug):
        asked = challenge(track, undefended(track))
        again = adversary(track, slug)(asked.public, np.random.default_rng(3), "cpu")
        score = small(track).leakage(again, asked.secret, np.random.default_rng(4))

        assert score.value == leakage(track, undefended(track), slug).value
        assert score.metrics == leakage(track, undefended(track), slug).metrics


class TestLaw3TheBlindLearnNothing:
    @every_defence
    def test_blind_leakage_is_almost_0(self, track, name):
        assert leakage(track, name, "blind").value <= ALMOST


class TestLaw4TheBestAnswerIsEverything:
    @every_defence
    def test_its_leakage_is_almost_1(self, track, name):
        secret = challenge(track, name).secret

        score = small(track).leakage(small(track).best_answer(secret), secret, np.random.default_rng(0))

        assert score.value >= 1 - ALMOST


class TestLaw5WhoLearnsBeatsTheBlind:
    @every_adversary
    def test_on_the_undefended_example(self, track, slug):
        if slug != "blind":
            assert leakage(track, undefended(track), slug).value > leakage(track, undefended(track), "blind").value


class TestLaw6ProtectionCosts:
    @every_track
    def test_the_strongest_defence_leaks_less(self, track):
        slugs = small(track).adversaries()
        open_, closed = (
            max(leakage(track, name, slug).value for slug in slugs) for name in (undefended(track), strongest(track))
        )

        assert closed < open_

    @every_track
    def test_the_strongest_defence_is_less_useful(self, track):
        open_, closed = (defence(track, name) for name in (undefended(track), strongest(track)))

        assert small(track).utility(closed).value < small(track).utility(open_).value
        assert (
            small(track).utility(closed, reference(track)).value < small(track).utility(open_, reference(track)).value
        )


class TestLaw7AFileIsWorthWhatTheAnswerIsWorth:
    @every_adversary
    def test_an_answer_that_was_written_and_read_scores_the_same(self, track, slug, tmp_path):
        asked = challenge(track, undefended(track))
        path = tmp_path / f"answer{small(track).card.answer.suffixes[0]}"

        small(track).write_answer({TEAM: answer(track, undefended(track), slug)}, path)
        read = small(track).read_answer(path, {TEAM: asked.public})[TEAM]
        score = small(track).leakage(read, asked.secret, np.random.default_rng(4))

        expected = leakage(track, undefended(track), slug)
        assert score.value == pytest.approx(expected.value, abs=1e-6)
        for name, estimate in score.metrics.items():
            assert estimate.value == pytest.approx(expected.metrics[name].value, rel=1e-4)

    @every_defence
    def test_a_defence_that_was_written_and_read_is_worth_the_same(self, track, name, tmp_path):
        path = tmp_path / f"defence{small(track).card.defence.suffixes[0]}"

        small(track).write_defence(defence(track, name), path)
        read = small(track).read_defence(path)

        assert small(track).utility(read).value == pytest.approx(small(track).utility(defence(track, name)).value)

    @every_track
    def test_the_files_for_opponents_are_written(self, track, tmp_path):
        paths = small(track).write_challenge(challenge(track, undefended(track)).public, TEAM, tmp_path)

        assert paths
        assert sorted(paths) == sorted(tmp_path.iterdir())
        assert all(path.stat().st_size for path in paths)

    @every_track
    def test_and_are_enough_to_check_an_answer(self, track, tmp_path):
        asked, made = challenge(track, undefended(track)), answer(track, undefended(track), "blind")
        path = tmp_path / f"answer{small(track).card.answer.suffixes[0]}"
        (folder := tmp_path / "downloaded").mkdir()
        small(track).write_challenge(asked.public, TEAM, folder)
        small(track).write_answer({TEAM: made}, path)

        downloaded = small(track).read_challenge(TEAM, folder)
        read = small(track).read_answer(path, {TEAM: downloaded})[TEAM]

        assert same(read, small(track).read_answer(path, {TEAM: asked.public})[TEAM])


class Bomb:
    """Unpickled, it fails the test."""

    def __reduce__(self):
        return pytest.fail, ("an upload was unpickled",)


def objects(_valid):
    buffer = io.BytesIO()
    np.savez(buffer, data=np.array([Bomb()], dtype=object), allow_pickle=True)
    return buffer.getvalue()


def bomb(valid):
    """The members of a valid upload, each 64 MB of nothing."""
    if not zipfile.is_zipfile(io.BytesIO(valid)):
        return valid + bytes(64 << 20)
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(valid)) as archive,
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as out,
    ):
        for name in archive.namelist():
            out.writestr(name, b"0" * (64 << 20))
    return buffer.getvalue()


SPOILED = {
    "empty": lambda valid: b"",
    "text": lambda valid: b"please accept this",
    "truncated": lambda valid: valid[: len(valid) // 2],
    "pickled": lambda valid: pickle.dumps(Bomb()),
    "objects": objects,
    "bomb": bomb,
}
every_fault = pytest.mark.parametrize("fault", SPOILED)


def refused(read, *given):
    with pytest.raises(InvalidUpload) as refusal:
        read(*given)
    assert refusal.value.reasons
    assert all(reason.rule and str(reason) for reason in refusal.value.reasons)


def without_last(bundle):
    return {name: values[:-1] for name, values in bundle.items()}


def not_finite(bundle):
    return {
        name: np.full_like(values, np.nan) if values.dtype.kind == "f" else values for name, values in bundle.items()
    }


class TestLaw8BadFilesAreRefusedWithAReason:
    @every_track
    @every_fault
    def test_as_a_defence(self, track, fault, tmp_path):
        path = tmp_path / f"defence{small(track).card.defence.suffixes[0]}"
        small(track).write_defence(defence(track, undefended(track)), path)

        path.write_bytes(SPOILED[fault](path.read_bytes()))

        refused(small(track).read_defence, path)

    @every_track
    @every_fault
    def test_as_an_answer(self, track, fault, tmp_path):
        asked = challenge(track, undefended(track))
        path = tmp_path / f"answer{small(track).card.answer.suffixes[0]}"
        small(track).write_answer({TEAM: small(track).best_answer(asked.secret)}, path)

        path.write_bytes(SPOILED[fault](path.read_bytes()))

        refused(small(track).read_answer, path, {TEAM: asked.public})

    @every_track
    @pytest.mark.parametrize("change", [without_last, not_finite])
    def test_an_answer_of_another_shape_or_without_numbers(self, track, change, tmp_path):
        asked = challenge(track, undefended(track))
        path = tmp_path / f"answer{small(track).card.answer.suffixes[0]}"

        small(track).write_answer({TEAM: change(small(track).best_answer(asked.secret))}, path)

        refused(small(track).read_answer, path, {TEAM: asked.public})

    @every_track
    def test_an_answer_to_somebody_else(self, track, tmp_path):
        asked = challenge(track, undefended(track))
        path = tmp_path / f"answer{small(track).card.answer.suffixes[0]}"

        small(track).write_answer({TEAM: small(track).best_answer(asked.secret)}, path)

        refused(small(track).read_answer, path, {TEAM + 1: asked.public})

    @every_track
    def test_a_defence_as_an_answer_and_an_answer_as_a_defence(self, track, tmp_path):
        asked = challenge(track, undefended(track))
        answer_path = tmp_path / f"answer{small(track).card.answer.suffixes[0]}"
        defence_path = tmp_path / f"defence{small(track).card.defence.suffixes[0]}"
        small(track).write_answer({TEAM: small(track).best_answer(asked.secret)}, answer_path)
        small(track).write_defence(defence(track, undefended(track)), defence_path)

        refused(small(track).read_defence, answer_path)
        refused(small(track).read_answer, defence_path, {TEAM: asked.public})
