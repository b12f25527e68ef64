"""Nothing is lost and nothing happens twice: killed workers, lost messages, a broker that is away, faults of ours."""

import io
import time

import pytest
from sqlalchemy import func

from app.extensions import db
from app.models import Defence, Mail, Status, UploadKind
from app.rules.phases import Phase
from app.services import defences, files, queue, rounds, teams, uploads
from tests.factories import defence_file
from tests.journeys.conftest import finished, fresh, wait_for

pytestmark = [pytest.mark.broker, pytest.mark.xdist_group("journeys")]


@pytest.fixture
def team(new_round):
    row, (red,) = new_round("red")
    rounds.set_phase(None, row, Phase.DEFENCE)
    return red


def hand_in(team, seed=0):
    return defences.submit(teams.members(team)[0], io.BytesIO(defence_file(seed=seed)), "mine.zip")


def results(upload):
    """How often the result of an upload appears: as a row, and as a mail to each member."""
    db.session.rollback()
    address = teams.members(upload.team)[0].email
    query = db.select(func.count(Mail.id)).where(Mail.recipient == address, Mail.subject.contains("defence"))
    rows = db.session.scalar(db.select(func.count(Defence.id)).where(Defence.upload_id == upload.id))
    return rows, db.session.scalar(query.where(Mail.subject.contains("accepted")))


class TestAKilledWorker:
    def test_its_evaluation_is_taken_up_again_and_the_result_appears_exactly_once(self, app, platform, team):
        upload = hand_in(team)
        wait_for(lambda: fresh(upload).status is Status.RUNNING, "the beginning of the check")
        platform.kill("checks")
        assert fresh(upload).status is Status.RUNNING
        assert results(upload) == (0, 0)
        platform.start("checks")
        wait_for(lambda: finished(upload), "the second try")
        assert (upload.status, upload.tries) == (Status.ACCEPTED, 2)
        assert results(upload) == (1, 1)
        # The first try's message may still come back: it finds nothing to do.
        app.producer.send_task("defences.check", (upload.id,), queue=queue.CHECKS)
        another = hand_in(team, seed=1)
        wait_for(lambda: finished(another), "the next upload")
        assert fresh(upload).tries == 2
        assert db.session.scalar(db.select(func.count(Defence.id)).where(Defence.upload_id == upload.id)) == 1

    def test_an_upload_that_kills_every_worker_fails_in_the_end(self, app, platform, team):
        platform.stop("checks")
        upload = hand_in(team)
        upload.status, upload.tries, upload.claim = Status.RUNNING, app.config["MAX_TRIES"], "the dead worker's"
        upload.heartbeat_at = upload.created_at.replace(year=2020)
        db.session.commit()
        platform.start("checks")
        wait_for(lambda: finished(upload), "giving up")
        assert upload.status is Status.FAILED
        assert "died" in upload.log


class TestALostMessage:
    def test_the_sweeper_queues_it_again(self, app, platform, team):
        platform.stop("checks")
        upload = hand_in(team)
        platform.broker().flushall()
        platform.start("checks")
        wait_for(lambda: finished(upload), "the swept upload")
        assert (upload.status, upload.tries) == (Status.ACCEPTED, 1)
        assert results(upload) == (1, 1)


class TestABrokerThatIsAway:
    def test_an_upload_is_taken_all_the_same_and_evaluated_later(self, app, platform, team):
        platform.stop("beat", "checks", "broker")
        content = io.BytesIO(defence_file())
        begin = time.monotonic()
        upload = defences.submit(teams.members(team)[0], content, "mine.zip")
        assert time.monotonic() - begin < 5
        assert fresh(upload).status is Status.QUEUED
        platform.start("broker", "checks", "beat")
        wait_for(lambda: finished(upload), "the check after the broker came back")
        assert upload.status is Status.ACCEPTED


class TestAMessageThatComesTwice:
    def test_it_changes_nothing(self, app, team):
        upload = hand_in(team)
        app.producer.send_task("defences.check", (upload.id,), queue=queue.CHECKS)
        app.producer.send_task("defences.check", (upload.id,), queue=queue.CHECKS)
        wait_for(lambda: finished(upload), "the check")
        again = hand_in(team, seed=1)
        wait_for(lambda: finished(again), "the next upload")
        assert fresh(upload).tries == 1
        assert db.session.scalar(db.select(func.count(Defence.id)).where(Defence.upload_id == upload.id)) == 1


class TestAFaultOfOurs:
    def test_it_is_tried_three_times_then_told_logged_and_refunded(self, app, platform, team):
        platform.stop("checks")
        row = rounds.by_number(None)
        left = uploads.remaining(team, row, UploadKind.DEFENCE)
        upload = hand_in(team, seed=2)
        with files.workspace() as folder:
            files.store().fetch(upload.digest, folder).unlink()
        platform.start("checks")
        wait_for(lambda: finished(upload), "the third try")
        assert (upload.status, upload.tries) == (Status.FAILED, 3)
        assert upload.log.count("FileNotFoundError") >= 3
        assert uploads.remaining(team, row, UploadKind.DEFENCE) == left
        address = teams.members(team)[0].email
        query = db.select(func.count(Mail.id)).where(Mail.recipient == address, Mail.subject.contains("could not"))
        wait_for(lambda: db.session.rollback() or db.session.scalar(query) == 1, "the mail about it")
