"""A row is evaluated by the one try whose claim it holds."""

from datetime import timedelta

import pytest

from app.extensions import db
from app.models import Status, Upload, now
from app.services import work
from tests.factories import make_round, make_team, make_upload, make_user

LONG_AGO = timedelta(hours=2)


@pytest.fixture
def row(app):
    return make_upload(make_team("Red", make_user("alice")), make_round(), status=Status.QUEUED)


def claimed(row):
    found = work.claim(Upload, row.id)
    assert found is not None
    return found[1]


def grow_old(row, **columns):
    """As if the worker had not been heard of for hours."""
    values = {"heartbeat_at": now() - LONG_AGO, "enqueued_at": now() - LONG_AGO, **columns}
    db.session.execute(db.update(Upload).where(Upload.id == row.id).values(**values))
    db.session.commit()


def break_down(row, key):
    try:
        raise ZeroDivisionError("our own mistake")
    except ZeroDivisionError:
        return work.fail(Upload, row.id, key)


class TestClaim:
    def test_a_waiting_row_is_claimed_and_runs(self, row):
        key = claimed(row)
        assert (row.status, row.claim, row.tries) == (Status.RUNNING, key, 1)
        assert row.heartbeat_at == row.started_at

    def test_a_row_that_another_worker_is_at_is_left_alone(self, row):
        claimed(row)
        assert work.claim(Upload, row.id) is None
        assert row.tries == 1

    @pytest.mark.parametrize("status", [Status.ACCEPTED, Status.REJECTED, Status.FAILED])
    def test_a_row_that_is_done_is_left_alone(self, row, status):
        row.status = status
        db.session.commit()
        assert work.claim(Upload, row.id) is None

    def test_a_row_whose_worker_has_died_is_taken_over(self, row):
        first = claimed(row)
        grow_old(row)
        second = claimed(row)
        assert first != second
        assert row.tries == 2

    def test_a_row_that_took_every_worker_down_is_not_claimed_again(self, app, row):
        claimed(row)
        grow_old(row, tries=app.config["MAX_TRIES"])
        assert work.claim(Upload, row.id) is None

    def test_a_row_that_does_not_exist_cannot_be_claimed(self, app):
        assert work.claim(Upload, 999) is None


class TestBeat:
    def test_it_notes_progress_and_life(self, row):
        key = claimed(row)
        grow_old(row)
        work.beat(Upload, row.id, key)(0.4)
        assert row.progress == 0.4
        assert row.heartbeat_at > now() - LONG_AGO

    def test_a_worker_that_lost_its_claim_changes_nothing(self, row):
        first = claimed(row)
        grow_old(row)
        claimed(row)
        work.beat(Upload, row.id, first)(0.9)
        assert row.progress == 0


class TestFinish:
    def test_it_sets_the_final_state_and_the_values_in_the_open_transaction(self, row):
        key = claimed(row)
        assert work.finish(Upload, row.id, key, Status.REJECTED, reasons=[{"rule": "r"}])
        db.session.rollback()
        assert row.status is Status.RUNNING
        assert work.finish(Upload, row.id, key, Status.REJECTED, reasons=[{"rule": "r"}])
        db.session.commit()
        assert (row.status, row.reasons, row.progress) == (Status.REJECTED, [{"rule": "r"}], 1.0)
        assert row.finished_at is not None

    def test_a_worker_that_lost_its_claim_may_write_nothing(self, row):
        first = claimed(row)
        grow_old(row)
        claimed(row)
        assert not work.finish(Upload, row.id, first, Status.ACCEPTED)

    def test_a_second_time_is_refused(self, row):
        key = claimed(row)
        assert work.finish(Upload, row.id, key, Status.ACCEPTED)
        assert not work.finish(Upload, row.id, key, Status.ACCEPTED)


class TestFail:
    def test_the_row_waits_again_and_keeps_the_traceback(self, row):
        assert break_down(row, claimed(row)) is Status.QUEUED
        db.session.rollback()
        assert row.status is Status.QUEUED
        assert "ZeroDivisionError: our own mistake" in row.log
        assert row.finished_at is None

    def test_after_the_last_try_it_has_failed_and_every_traceback_is_kept(self, row):
        for expected in (Status.QUEUED, Status.QUEUED, Status.FAILED):
            assert break_down(row, claimed(row)) is expected
        assert row.status is Status.FAILED
        assert row.finished_at is not None
        assert [f"--- try {number}" in row.log for number in (1, 2, 3)] == [True] * 3

    def test_a_worker_that_lost_its_claim_changes_nothing(self, row):
        first = claimed(row)
        grow_old(row)
        second = claimed(row)
        assert break_down(row, first) is None
        assert (row.status, row.claim, row.log) == (Status.RUNNING, second, "")

    def test_half_done_changes_of_the_try_are_taken_back(self, row):
        key = claimed(row)
        row.filename = "half done"
        assert break_down(row, key) is Status.QUEUED
        assert row.filename == "defence.zip"


class TestLost:
    @pytest.mark.parametrize(
        ("age", "queue_is_empty", "is_lost"),
        [(1, True, False), (10, True, True), (10, False, False), (3500, False, False), (3700, False, True)],
    )
    def test_a_waiting_row_is_lost_when_its_queue_cannot_hold_it(self, row, age, queue_is_empty, is_lost):
        row.enqueued_at = now() - timedelta(seconds=age)
        db.session.commit()
        assert (work.lost(Upload, queue_is_empty) == [row]) is is_lost

    def test_a_row_whose_worker_is_silent_is_lost(self, row):
        claimed(row)
        grow_old(row)
        assert work.lost(Upload, queue_is_empty=False) == [row]

    def test_a_row_whose_worker_is_alive_is_not(self, row):
        claimed(row)
        assert work.lost(Upload, queue_is_empty=True) == []

    def test_what_was_found_is_not_found_again_at_once(self, row):
        claimed(row)
        grow_old(row)
        work.lost(Upload, queue_is_empty=True)
        db.session.commit()
        assert work.lost(Upload, queue_is_empty=True) == []

    def test_rows_that_are_done_are_never_lost(self, row):
        grow_old(row, status=Status.ACCEPTED)
        assert work.lost(Upload, queue_is_empty=True) == []


class TestGiveUp:
    def test_a_row_that_took_every_worker_down_has_failed(self, app, row):
        claimed(row)
        grow_old(row, tries=app.config["MAX_TRIES"])
        assert work.give_up(Upload) == [row.id]
        assert row.status is Status.FAILED
        assert "The worker died" in row.log
        assert work.give_up(Upload) == []

    def test_a_row_with_tries_left_is_not_given_up(self, row):
        claimed(row)
        grow_old(row)
        assert work.give_up(Upload) == []

    def test_a_last_try_that_is_alive_is_not_given_up(self, app, row):
        claimed(row)
        row.tries = app.config["MAX_TRIES"]
        db.session.commit()
        assert work.give_up(Upload) == []
