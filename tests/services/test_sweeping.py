"""What the broker or a worker lost comes back; what is due goes out."""

import os
from datetime import timedelta
from pathlib import Path

import pytest
from kombu.exceptions import OperationalError

from app.extensions import celery, db
from app.models import Mail, MailStatus, PhaseChange, Status, now
from app.rules.phases import Phase
from app.services import mails, queue, sweeping
from tests.factories import Sent, make_defence, make_reference_result, make_round, make_team, make_upload, make_user

OLD = timedelta(hours=2)


@pytest.fixture
def depths(monkeypatch):
    """How many messages wait in the broker's queues."""
    known = {queue.CHECKS: 0, queue.EVALUATION: 0}
    monkeypatch.setattr(sweeping, "depth", lambda name: known.get(name, 0))
    return known


@pytest.fixture
def team(app):
    return make_team("Red", make_user("alice"))


class TestSweep:
    def test_a_lost_upload_and_a_lost_adversary_are_queued_again(self, app, depths, team):
        row = make_round()
        upload = make_upload(team, row, status=Status.QUEUED, enqueued_at=now() - OLD)
        make_reference_result(make_defence(team, row), leakage=None, status="queued", enqueued_at=now() - OLD)
        counts = sweeping.sweep()
        assert (counts["uploads"], counts["references"]) == (1, 1)
        assert app.sent == [
            Sent("defences.check", (upload.id,), queue.CHECKS),
            Sent("references.play", (), queue.EVALUATION),
        ]

    def test_nothing_is_queued_while_the_queue_may_still_hold_it(self, app, depths, team):
        depths[queue.CHECKS] = 4
        make_upload(team, make_round(), status=Status.QUEUED, enqueued_at=now() - timedelta(minutes=30))
        assert sweeping.sweep()["uploads"] == 0
        assert app.sent == []

    def test_nothing_is_queued_while_the_broker_is_away(self, app, depths, team):
        depths[queue.CHECKS] = None
        make_upload(team, make_round(), status=Status.QUEUED, enqueued_at=now() - timedelta(minutes=30))
        assert sweeping.sweep()["uploads"] == 0

    def test_a_second_sweep_finds_nothing(self, app, depths, team):
        make_upload(team, make_round(), status=Status.QUEUED, enqueued_at=now() - OLD)
        sweeping.sweep()
        assert sweeping.sweep()["uploads"] == 0

    def test_an_upload_that_took_every_worker_down_fails_and_its_team_is_told(self, app, depths, team):
        values = {"tries": app.config["MAX_TRIES"], "heartbeat_at": now() - OLD}
        upload = make_upload(team, make_round(), status=Status.RUNNING, **values)
        sweeping.sweep()
        assert upload.status is Status.FAILED
        (mail,) = db.session.scalars(db.select(Mail))
        assert "could not evaluate" in mail.subject

    def test_a_scheduled_phase_is_announced_once_it_has_begun(self, app, depths, team):
        row = make_round()
        row.changes.append(PhaseChange(phase=Phase.DEFENCE, at=now() - timedelta(minutes=1)))
        db.session.commit()
        sweeping.sweep()
        sweeping.sweep()
        (mail,) = db.session.scalars(db.select(Mail))
        assert mail.recipient == "alice@example.org"

    def test_due_mails_go_out(self, app, depths, team):
        mails.post(team.memberships[0].user, "reset", "Choose a new password", token="t")
        db.session.commit()
        assert sweeping.sweep()["mails"] == 1
        (mail,) = db.session.scalars(db.select(Mail))
        assert mail.status is MailStatus.WRITTEN

    def test_what_killed_workers_left_is_removed_after_a_day(self, app, depths):
        folder = Path(app.config["TEMPORARY_UPLOAD_FOLDER"]) / "work-old"
        folder.mkdir(parents=True)
        os.utime(folder, (0, 0))
        sweeping.sweep()
        assert not folder.exists()


class TestDepth:
    def test_a_queue_that_nobody_has_used_is_empty(self, app):
        assert sweeping.depth(queue.EVALUATION) == 0

    def test_a_broker_that_does_not_answer_is_not_an_empty_queue(self, app, monkeypatch):
        def refuse(*args, **kwargs):
            raise OperationalError("away")

        monkeypatch.setattr(celery, "connection_for_read", refuse)
        assert sweeping.depth(queue.CHECKS) is None


class TestEnqueue:
    @pytest.mark.parametrize("error", [OperationalError("away"), ConnectionRefusedError(), FileNotFoundError()])
    def test_a_broker_that_is_away_disturbs_nobody(self, app, monkeypatch, error):
        def refuse(*args, **kwargs):
            raise error

        monkeypatch.setattr(celery, "send_task", refuse)
        queue.enqueue("defences.check", 1, queue=queue.CHECKS)
