"""Receiving files: on disk and in the database before anybody is told, within limits, never overwritten."""

import io
from datetime import timedelta

import pytest

from app.errors import Conflict, Forbidden, InvalidUpload, NotFound, Reason, TooMany
from app.extensions import db
from app.models import AuditEntry, Mail, Status, Upload, UploadKind, now
from app.services import files, uploads, work
from tests.factories import Sent, make_admin, make_round, make_team, make_upload, make_user, set_phase

DEFENCE = UploadKind.DEFENCE


@pytest.fixture
def alice(app):
    user = make_user("alice")
    make_team("Red", user, make_user("bob"))
    return user


def team_of(user):
    return user.memberships[0].team


def receive(user, content=b"a file", name="mine.zip", kind=DEFENCE):
    return uploads.receive(user, kind, io.BytesIO(content), name)


class TestReceive:
    def test_the_file_and_its_row_are_kept_and_the_task_follows(self, app, alice, tmp_path):
        row = make_round("defence")
        upload = receive(alice)
        db.session.rollback()
        assert files.store().fetch(upload.digest, tmp_path).read_bytes() == b"a file"
        assert (upload.status, upload.size, upload.filename) == (Status.QUEUED, 6, "mine.zip")
        assert (upload.user_id, upload.team_id, upload.round_id) == (alice.id, team_of(alice).id, row.id)
        assert app.sent == [Sent("defences.check", (upload.id,), "checks")]

    def test_it_is_in_the_audit_log(self, alice):
        make_round("defence")
        upload = receive(alice)
        entry = db.session.scalar(db.select(AuditEntry).where(AuditEntry.action == "upload.defence"))
        assert (entry.actor_id, entry.subject) == (alice.id, f"upload {upload.id}")
        assert entry.details["digest"] == upload.digest

    def test_the_broker_is_told_after_the_commit(self, app, alice, monkeypatch):
        make_round("defence")
        seen = []
        monkeypatch.setattr(uploads, "enqueue", lambda upload: seen.append(db.session().in_transaction()))
        receive(alice)
        assert seen == [False]

    @pytest.mark.parametrize("phase", ["none", "attack", "finished"])
    def test_a_phase_without_defences_takes_none(self, app, alice, phase):
        make_round(phase)
        with pytest.raises(Conflict, match="takes no defence now"):
            receive(alice)
        assert db.session.scalar(db.select(Upload)) is None
        assert app.sent == []

    def test_people_without_a_team_upload_nothing(self, app):
        make_round("defence")
        with pytest.raises(Forbidden, match="no team"):
            receive(make_user("mallory"))

    def test_without_a_round_there_is_nothing_to_upload_for(self, alice):
        with pytest.raises(NotFound, match="No round"):
            receive(alice)

    def test_an_empty_file_is_refused(self, alice):
        make_round("defence")
        with pytest.raises(Conflict, match="empty"):
            receive(alice, b"")

    @pytest.mark.parametrize("name", ["", "../../etc/passwd", "x" * 1000, "naïve 🏃 name.zip"])
    def test_the_files_name_is_shown_but_never_used(self, alice, name):
        make_round("defence")
        upload = receive(alice, name=name)
        db.session.rollback()
        assert upload.filename == (name[-255:] or "upload")

    def test_two_uploads_in_one_moment_are_two(self, alice):
        make_round("defence")
        first, second = receive(alice, b"one"), receive(alice, b"two")
        assert first.id != second.id
        assert first.digest != second.digest


class TestLimits:
    def test_the_days_limit_holds_for_the_team(self, alice):
        row = make_round("defence", rules={"UPLOADS_PER_DAY": 2})
        receive(alice)
        assert uploads.remaining(team_of(alice), row, DEFENCE) == 1
        receive(team_of(alice).memberships[1].user)
        with pytest.raises(TooMany, match="at most 2 in 24 hours"):
            receive(alice)

    def test_yesterdays_uploads_do_not_count_for_the_day_but_for_the_phase(self, alice):
        row = make_round("defence", rules={"UPLOADS_PER_DAY": 1, "UPLOADS_PER_PHASE": 2})
        for change in row.changes:
            change.at = now() - timedelta(days=5)
        make_upload(team_of(alice), row, created_at=now() - timedelta(days=2))
        assert uploads.remaining(team_of(alice), row, DEFENCE) == 1
        make_upload(team_of(alice), row, created_at=now() - timedelta(days=3))
        assert uploads.remaining(team_of(alice), row, DEFENCE) == 0

    def test_a_new_phase_begins_a_new_count(self, alice):
        row = make_round("defence", rules={"UPLOADS_PER_PHASE": 1})
        make_upload(team_of(alice), row, created_at=now() - timedelta(hours=2))
        set_phase(row, "both")
        assert uploads.remaining(team_of(alice), row, DEFENCE) == 1

    @pytest.mark.parametrize("values", [{"is_refunded": True}, {"status": Status.FAILED}])
    def test_our_failures_and_refunds_do_not_count(self, alice, values):
        row = make_round("defence", rules={"UPLOADS_PER_DAY": 1})
        make_upload(team_of(alice), row, **values)
        assert uploads.remaining(team_of(alice), row, DEFENCE) == 1

    def test_a_rejected_upload_counts(self, alice):
        row = make_round("defence", rules={"UPLOADS_PER_DAY": 1})
        make_upload(team_of(alice), row, status=Status.REJECTED)
        assert uploads.remaining(team_of(alice), row, DEFENCE) == 0

    def test_attacks_and_other_teams_are_counted_apart(self, alice):
        row = make_round("both", rules={"UPLOADS_PER_DAY": 1})
        make_upload(team_of(alice), row, UploadKind.ATTACK)
        make_upload(make_team("Blue", make_user("carol")), row)
        assert uploads.remaining(team_of(alice), row, DEFENCE) == 1


class TestOne:
    def test_a_team_sees_its_own_upload_and_an_admin_every_one(self, alice):
        upload = make_upload(team_of(alice), make_round())
        assert uploads.one(upload.id, alice) is upload
        assert uploads.one(upload.id, make_admin()) is upload

    @pytest.mark.parametrize("has_team", [True, False])
    def test_another_team_is_told_that_there_is_none(self, alice, has_team):
        upload = make_upload(team_of(alice), make_round())
        other = make_user("carol")
        if has_team:
            make_team("Blue", other)
        with pytest.raises(NotFound):
            uploads.one(upload.id, other)

    def test_an_upload_that_does_not_exist_is_not_found(self, alice):
        with pytest.raises(NotFound):
            uploads.one(999, alice)


class TestPosition:
    def test_it_counts_what_waits_before(self, alice):
        row = make_round()
        first, done, second = (
            make_upload(team_of(alice), row, status=status) for status in ("queued", "accepted", "queued")
        )
        assert [uploads.position(one) for one in (first, done, second)] == [1, 0, 2]


class TestReject:
    def test_every_reason_is_kept_and_mailed_to_every_member(self, alice):
        upload = make_upload(team_of(alice), make_round(), status=Status.QUEUED)
        _, key = work.claim(Upload, upload.id)
        uploads.reject(upload, key, InvalidUpload([Reason("Rule one.", "line 3", "Mend it."), Reason("Rule two.")]))
        assert upload.status is Status.REJECTED
        assert [reason["rule"] for reason in upload.reasons] == ["Rule one.", "Rule two."]
        mails = db.session.scalars(db.select(Mail).order_by(Mail.recipient)).all()
        assert [mail.recipient for mail in mails] == ["alice@example.org", "bob@example.org"]
        assert all("Rule one." in mail.text and "Rule two." in mail.text for mail in mails)

    def test_a_worker_that_lost_its_claim_tells_nobody(self, alice):
        upload = make_upload(team_of(alice), make_round(), status=Status.RUNNING)
        uploads.reject(upload, "another key", InvalidUpload([Reason("Rule.")]))
        assert upload.status is Status.RUNNING
        assert db.session.scalar(db.select(Mail)) is None

    def test_a_team_of_the_house_gets_no_mail(self, app):
        upload = make_upload(make_team("House front", is_house=True), make_round(), status=Status.QUEUED)
        _, key = work.claim(Upload, upload.id)
        uploads.reject(upload, key, InvalidUpload([Reason("Rule.")]))
        assert db.session.scalar(db.select(Mail)) is None


class TestReevaluate:
    def test_a_finished_upload_waits_again(self, app, alice):
        upload = make_upload(team_of(alice), make_round(), status=Status.REJECTED, reasons=[{"rule": "r"}], tries=3)
        uploads.reevaluate(make_admin(), upload)
        assert (upload.status, upload.tries, upload.reasons, upload.finished_at) == (Status.QUEUED, 0, [], None)
        assert app.sent == [Sent("defences.check", (upload.id,), "checks")]

    def test_one_that_is_being_evaluated_is_left_alone(self, app, alice):
        upload = make_upload(team_of(alice), make_round(), status=Status.RUNNING)
        with pytest.raises(Conflict, match="being evaluated"):
            uploads.reevaluate(make_admin(), upload)
        assert app.sent == []

    def test_all_of_a_kind_are_evaluated_again(self, app, alice):
        row = make_round()
        done = [make_upload(team_of(alice), row, status=status) for status in ("accepted", "rejected", "failed")]
        make_upload(team_of(alice), row, status="running")
        make_upload(team_of(alice), row, "attack")
        assert uploads.reevaluate_all(make_admin(), row, DEFENCE) == 3
        assert [task.arguments for task in app.sent] == [(one.id,) for one in done]

    def test_a_refunded_upload_does_not_count(self, alice):
        upload = make_upload(team_of(alice), make_round("defence", rules={"UPLOADS_PER_DAY": 1}))
        uploads.refund(make_admin(), upload)
        assert uploads.remaining(upload.team, upload.round, DEFENCE) == 1
