import hashlib
from pathlib import Path

import numpy as np
import pytest

from app.errors import InvalidUpload
from app.traces import Traces
from app.tracks.fingerprinting.copies import constant_rate, copies
from app.tracks.fingerprinting.settings import Settings
from app.tracks.fingerprinting.split import UnfairSplitError, challenge, choose, self_check, unique_ids

SETTINGS = Settings(
    NB_CLASSES=6, NB_TRACES_TO_CLASSIFY=20, MEAN_NB_REP_PER_CLASS=10, DEVIATION_NB_REP_PER_CLASS=3, MAX_ROWS=100_000
)


def noise(rng, length=None):
    """One capture without any signal."""
    length = length or rng.integers(20, 60)
    return rng.choice([-1500, -600, 80, 600], length), np.cumsum(rng.exponential(0.05, length))


def defence(captures, cells):
    traces = Traces.from_captures([size for size, _ in captures], [time for _, time in captures])
    return traces.to_bundle() | {"cell": np.array(cells, np.int32), "rep": 100 + np.arange(len(cells))}


@pytest.fixture
def rng():
    return np.random.default_rng(5)


@pytest.fixture
def signal_free(rng):
    cells = np.repeat(np.arange(1, 7), 10)
    return defence([noise(rng) for _ in cells], cells)


def digests(traces):
    return [
        hashlib.sha256(size.tobytes() + time.tobytes()).hexdigest()
        for size, time in (traces.capture(i) for i in range(len(traces)))
    ]


def reasons(bundle, settings=SETTINGS):
    with pytest.raises(InvalidUpload) as refusal:
        challenge(bundle, settings, np.random.default_rng(0))
    return refusal.value.reasons


class TestChallenge:
    def test_no_test_capture_is_in_the_training_data(self, signal_free):
        public = challenge(signal_free, SETTINGS, np.random.default_rng(0)).public

        train, test = (digests(Traces.from_bundle(public, half)) for half in ("train_", "test_"))

        assert not set(train) & set(test)
        assert sorted(train + test) == sorted(digests(Traces.from_bundle(signal_free)))

    def test_every_one_of_500_seeds_asks_for_the_exact_number_and_for_every_cell(self, signal_free):
        for seed in range(500):
            asked = challenge(signal_free, SETTINGS, np.random.default_rng(seed))

            assert len(asked.secret["cell"]) == len(asked.public["test_capture"]) == 20
            assert set(asked.secret["cell"]) == set(asked.public["train_cell"]) == set(range(1, 7))

    def test_looking_captures_up_is_worth_a_guess_on_data_without_signal(self, signal_free):
        right = 0
        for seed in range(50):
            asked = challenge(signal_free, SETTINGS, np.random.default_rng(seed))
            train, test = (Traces.from_bundle(asked.public, half) for half in ("train_", "test_"))
            known = dict(zip(digests(train), asked.public["train_cell"].tolist(), strict=True))
            guesses = [known.get(digest, 1 + seed % 6) for digest in digests(test)]
            right += int((np.array(guesses) == asked.secret["cell"]).sum())

        assert abs(right / 1000 - 1 / 6) < 0.05

    def test_the_secret_is_the_truth(self, signal_free):
        asked = challenge(signal_free, SETTINGS, np.random.default_rng(1))
        truth = dict(zip(digests(Traces.from_bundle(signal_free)), signal_free["cell"].tolist(), strict=True))

        train, test = (digests(Traces.from_bundle(asked.public, half)) for half in ("train_", "test_"))

        assert [truth[digest] for digest in test] == asked.secret["cell"].tolist()
        assert [truth[digest] for digest in train] == asked.public["train_cell"].tolist()

    def test_the_same_seed_asks_the_same_question_and_another_one_another(self, signal_free):
        first, second, other = (challenge(signal_free, SETTINGS, np.random.default_rng(s)) for s in (3, 3, 4))

        assert all(np.array_equal(first.public[name], second.public[name]) for name in first.public)
        assert not np.array_equal(first.public["test_capture"], other.public["test_capture"])

    def test_the_order_of_captures_reveals_nothing(self, signal_free):
        public = challenge(signal_free, SETTINGS, np.random.default_rng(0)).public

        assert (np.diff(public["test_capture"]) > 0).all()
        assert np.array_equal(np.lexsort((public["train_capture"], public["train_cell"])), np.arange(40))

    def test_every_capture_is_equally_likely_to_be_asked_for(self, signal_free):
        cell = signal_free["cell"]
        asked = sum(choose(cell, np.zeros(60, bool), 20, np.random.default_rng(s)).astype(int) for s in range(3000))

        # 20 of 60 are drawn; five standard deviations of a share over 3,000 draws are 0.043.
        assert np.abs(asked / 3000 - 1 / 3).max() < 0.05

    def test_a_cell_with_one_capture_is_refused_by_name(self, rng):
        cells = [1] * 10 + [2] * 10 + [3] * 10 + [4] * 10 + [5] * 10 + [6]

        (reason,) = reasons(defence([noise(rng) for _ in cells], cells))

        assert "cells 6" in reason.where


class TestUniqueIds:
    def test_they_are_different_random_numbers_of_63_bits(self, rng):
        ids = unique_ids(5000, rng)

        assert len(set(ids.tolist())) == 5000
        assert ids.min() >= 0
        assert ids.max() > 2**62


class TestCopies:
    def test_independent_captures_are_none(self, signal_free):
        assert (copies(Traces.from_bundle(signal_free), signal_free["cell"]) == -1).all()

    @pytest.mark.parametrize(
        "change",
        [
            lambda size, time, rng: (size, time),
            lambda size, time, rng: (size, time + 0.4),
            lambda size, time, rng: (size, time + rng.uniform(-0.0004, 0.0004, len(time))),
            lambda size, time, rng: (size, time * 1.7),
            lambda size, time, rng: (size * 2, time),
            lambda size, time, rng: (size + rng.integers(-1, 2, len(size)) * (np.abs(size) > 500), time),
        ],
        ids=["exact", "shifted", "jittered", "slower", "larger", "noisy"],
    )
    def test_a_changed_copy_is_found(self, rng, change):
        original = noise(rng, 400)
        captures = [original, noise(rng), change(*original, rng), noise(rng)]

        bundle = defence(captures, [1, 1, 1, 1])

        assert (copies(Traces.from_bundle(bundle), bundle["cell"]) >= 0).tolist() == [True, False, True, False]

    def test_short_copies_are_found_by_their_times_in_milliseconds(self):
        size, time = np.array([100, -200, 300, -400, 500, -600]), np.arange(6) * 0.02
        other = time + np.array([0, 5, 5, 5, 5, 9]) * 1e-4
        bundle = defence([(size, time), (size, other), (size[::-1], other)], [1, 1, 1])

        assert (copies(Traces.from_bundle(bundle), bundle["cell"]) >= 0).tolist() == [True, True, False]

    def test_captures_that_are_equal_in_several_cells_are_what_a_defence_wants(self, rng):
        original = noise(rng)
        bundle = defence([original] * 4, [1, 1, 2, 2])

        assert (copies(Traces.from_bundle(bundle), bundle["cell"]) == -1).all()

    def test_empty_captures_and_no_captures_are_compared_without_a_fault(self):
        empty = (np.empty(0, int), np.empty(0))

        assert len(copies(Traces.from_captures([], []), np.empty(0, np.int32))) == 0
        bundle = defence([empty, (np.array([5]), np.array([0.0])), empty], [1, 1, 2])
        assert (copies(Traces.from_bundle(bundle), bundle["cell"]) == -1).all()

    def test_a_constant_rate_is_recognised_and_a_person_is_not(self, rng):
        time = np.concatenate([np.arange(40) * 0.012, np.arange(12) * 0.04])
        size = np.concatenate([np.full(40, -1500), np.full(12, 1500)])
        order = np.argsort(time, kind="stable")
        traces = Traces.from_captures([size[order]], [time[order]])

        assert constant_rate(traces).tolist() == [True]
        captured = defence([noise(rng) for _ in range(5)], [1] * 5)
        assert not constant_rate(Traces.from_bundle(captured)).any()


class TestRealCaptures:
    def test_none_is_taken_for_a_copy_and_none_leaks(self):
        path = Path(__file__).resolve().parents[3] / "../shared/data/secretstroll/traces.npz"
        if not path.exists():
            pytest.skip("needs the real captures")
        with np.load(path) as file:
            offset, gap = file["offset"].astype(np.int64), file["dt_us"].astype(np.int64)
            size, cell, rep = file["direction_size"].astype(np.int32), file["cell_id"], file["rep"]
        clock = np.cumsum(gap) / 1e6
        traces = Traces(offset, size, clock - np.repeat(clock[offset[:-1]], np.diff(offset)))
        bundle = traces.to_bundle() | {"cell": cell.astype(np.int32), "rep": rep.astype(np.int64)}

        public = challenge(bundle, Settings(), np.random.default_rng(0)).public
        train, test = (digests(Traces.from_bundle(public, half)) for half in ("train_", "test_"))

        assert (copies(traces, bundle["cell"]) == -1).all()
        assert len(test) == len(set(test)) == 300
        assert not set(train) & set(test)


class TestChallengeOfCopies:
    def test_copies_stay_on_the_training_side(self, rng):
        cells = np.repeat(np.arange(1, 7), 10)
        captures = [noise(rng) for _ in cells]
        captures[1:5] = [captures[0]] * 4
        bundle = defence(captures, cells)

        for seed in range(30):
            public = challenge(bundle, SETTINGS, np.random.default_rng(seed)).public
            copied = digests(Traces.from_bundle(bundle))[0]

            assert digests(Traces.from_bundle(public, "train_")).count(copied) == 5

    def test_a_cell_of_nothing_but_copies_is_refused_with_its_repetitions(self, rng):
        cells = np.repeat(np.arange(1, 7), 10)
        captures = [noise(rng) for _ in cells]
        size, time = captures[10]
        captures[10:20] = [(size, time * factor) for factor in range(1, 11)]

        (reason,) = reasons(defence(captures, cells))

        assert "cell 2" in reason.where
        assert "110, 111" in reason.where
        assert "again" in reason.fix

    def test_too_few_captures_that_are_no_copies_are_refused_with_their_number(self, rng):
        cells = np.repeat(np.arange(1, 7), 10)
        captures = [noise(rng) for _ in cells]
        for first in range(0, 60, 10):
            captures[first + 2 : first + 10] = [captures[first + 2]] * 8

        (reason,) = reasons(defence(captures, cells))

        assert "12 captures, with 48 copies" in reason.where

    def test_a_perfect_defence_is_not_refused(self, rng):
        original = noise(rng)
        bundle = defence([original] * 60, np.repeat(np.arange(1, 7), 10))

        assert len(challenge(bundle, SETTINGS, rng).secret["cell"]) == 20


class TestSelfCheck:
    @pytest.fixture
    def asked(self, signal_free):
        return challenge(signal_free, SETTINGS, np.random.default_rng(0))

    def test_it_accepts_what_the_referee_asks(self, asked):
        self_check(asked.public, asked.secret, SETTINGS)

    @pytest.mark.parametrize("shift", [0.0, 0.3])
    def test_it_refuses_a_test_capture_among_the_training_captures(self, asked, shift):
        train, test = (Traces.from_bundle(asked.public, half) for half in ("train_", "test_"))
        where = int(np.flatnonzero(asked.public["train_cell"] == asked.secret["cell"][0])[0])
        pairs = [train.capture(i) for i in range(len(train))]
        pairs[where] = (test.capture(0)[0], test.capture(0)[1] + shift)
        leaking = Traces.from_captures([size for size, _ in pairs], [time for _, time in pairs]).to_bundle("train_")

        with pytest.raises(UnfairSplitError, match="1 captures to classify have a copy"):
            self_check(asked.public | leaking, asked.secret, SETTINGS)

    @pytest.mark.parametrize(
        ("name", "value", "message"),
        [
            ("train_capture", lambda ids: np.zeros_like(ids), "not unique"),
            ("train_capture", lambda ids: -ids - 1, "negative"),
            ("train_cell", lambda cell: np.ones_like(cell), "no training capture"),
            ("test_capture", lambda ids: ids[::-1], "other captures"),
        ],
    )
    def test_it_refuses_confused_ids_and_missing_cells(self, asked, name, value, message):
        with pytest.raises(UnfairSplitError, match=message):
            self_check(asked.public | {name: value(asked.public[name])}, asked.secret, SETTINGS)

    def test_it_refuses_another_number_of_captures(self, asked):
        other = Settings(NB_CLASSES=6, NB_TRACES_TO_CLASSIFY=21, MEAN_NB_REP_PER_CLASS=10, DEVIATION_NB_REP_PER_CLASS=3)

        with pytest.raises(UnfairSplitError, match="number of captures"):
            self_check(asked.public, asked.secret, other)
