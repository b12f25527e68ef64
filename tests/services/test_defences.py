"""From an uploaded file to a defence with utility and challenge, exactly once."""

import io

import pytest

from app.errors import InvalidUpload, Reason
from app.extensions import db
from app.models import AuditEntry, Defence, Mail, Status, Upload, UploadKind
from app.services import defences, files, house, work
from tests.factories import (
    defence_file,
    make_defence,
    make_match,
    make_round,
    make_team,
    make_upload,
    make_user,
    run_tasks,
)

ADVERSARIES = 8


@pytest.fixture
def red(app):
    return make_team("Red", make_user("alice"), make_user("bob"))


@pytest.fixture
def row(app):
    return make_round("defence")


def evaluate(upload):
    _, key = work.claim(Upload, upload.id)
    defences.evaluate(upload, key)
    return defences.of_upload(upload)


def count():
    return db.session.scalar(db.select(db.func.count(Defence.id)))


class TestEvaluate:
    def test_a_real_file_becomes_a_defence(self, app, red, row, tmp_path):
        upload = defences.submit(red.memberships[0].user, io.BytesIO(defence_file()), "mine.zip")
        run_tasks(app, without=["references.play"])
        assert upload.status is Status.ACCEPTED, (upload.reasons, upload.log)
        defence = defences.of_upload(upload)
        assert 0 < defence.utility <= 1
        assert 0 <= defence.classic <= 10
        assert defence.classic == defence.metrics["classic_score"]["value"]
        assert all(files.store().fetch(half, tmp_path) for half in (defence.public, defence.secret, defence.download))

    def test_what_the_referee_says_is_kept(self, referee, red, row):
        defence = evaluate(make_upload(red, row, status="queued"))
        assert (defence.utility, defence.classic) == (0.7, 6.5)
        assert defence.metrics["median_bytes"]["value"] == 50_000
        assert (defence.team_id, defence.round_id) == (red.id, row.id)

    def test_the_referee_is_asked_with_the_rounds_settings_and_no_path_from_a_name(self, referee, red, row):
        upload = make_upload(red, row, status="queued", filename="../../etc/passwd")
        evaluate(upload)
        (asked,) = referee.asked_for("check_defence")
        assert asked["place"] == {
            "track": "fingerprinting",
            "settings": row.track_settings,
            "round": row.seed,
            "team": red.id,
            "data": None,
        }
        assert upload.digest in asked["upload"]

    def test_both_members_are_told(self, referee, red, row):
        evaluate(make_upload(red, row, status="queued"))
        recipients = db.session.scalars(db.select(Mail.recipient).order_by(Mail.recipient)).all()
        assert recipients == ["alice@example.org", "bob@example.org"]

    def test_every_adversary_of_the_house_is_queued(self, app, referee, red, row):
        defence = evaluate(make_upload(red, row, status="queued"))
        assert {one.status for one in defence.references} == {Status.QUEUED}
        assert len(defence.references) == ADVERSARIES
        assert [one.place for one in defence.references] == list(range(ADVERSARIES))
        assert [task.name for task in app.sent].count("references.play") == ADVERSARIES

    def test_a_refused_file_makes_no_defence(self, referee, red, row):
        referee.verdicts["check_defence"] = InvalidUpload([Reason("Cells are 1 to 8.")])
        upload = make_upload(red, row, status="queued")
        assert evaluate(upload) is None
        assert upload.status is Status.REJECTED

    def test_a_worker_that_lost_its_claim_meanwhile_writes_nothing(self, app, referee, red, row):
        upload = make_upload(red, row, status="queued")

        def take_over():
            db.session.execute(db.update(Upload).values(claim="another worker's"))
            db.session.commit()

        referee.meanwhile = take_over
        assert evaluate(upload) is None
        assert upload.status is Status.RUNNING
        assert app.sent == []
        assert db.session.scalar(db.select(Mail)) is None

    def test_no_temporary_file_is_left(self, app, referee, red, row):
        evaluate(make_upload(red, row, status="queued"))
        assert not [path for path in files.Path(app.config["TEMPORARY_UPLOAD_FOLDER"]).rglob("*") if path.is_file()]


class TestSeed:
    def test_the_same_upload_is_split_the_same_way_again(self, referee, red, row):
        upload = make_upload(red, row, status="queued")
        first = evaluate(upload).seed
        upload.status = Status.QUEUED
        db.session.commit()
        assert evaluate(upload).seed == first
        assert len({asked["seed"] for asked in referee.asked_for("check_defence")}) == 1

    def test_different_uploads_and_rounds_are_split_differently(self, red, row):
        upload, another = make_upload(red, row), make_upload(red, row)
        seeds = {defences.seed(row, upload), defences.seed(row, another), defences.seed(make_round(seed=2), upload)}
        assert len(seeds) == 3
        assert all(0 <= seed < 1 << 63 for seed in seeds)


class TestEvaluatingAgain:
    @pytest.fixture
    def again(self, referee, red, row):
        """Evaluate, pin to a match if asked to, evaluate again with another verdict."""

        def run(is_pinned):
            upload = make_upload(red, row, status="queued")
            before = evaluate(upload)
            halves = before.public, before.secret, before.download
            if is_pinned:
                make_match(row, make_team("Blue", make_user("carol")), red, before)
            upload.status = Status.QUEUED
            files_before = halves
            referee.verdicts["check_defence"] = {**referee.verdicts["check_defence"], "value": 0.2}
            row.seed += 1
            db.session.commit()
            return files_before, evaluate(upload)

        return run

    def test_there_is_still_one_defence_with_the_new_numbers(self, again):
        _, defence = again(is_pinned=False)
        assert count() == 1
        assert defence.utility == 0.2

    def test_a_question_that_opponents_are_answering_stays(self, again):
        halves, defence = again(is_pinned=True)
        assert (defence.public, defence.secret, defence.download) == halves

    def test_a_question_that_nobody_answers_yet_is_asked_anew(self, again):
        halves, defence = again(is_pinned=False)
        assert (defence.public, defence.secret, defence.download) != halves

    def test_the_change_is_in_the_audit_log(self, again):
        again(is_pinned=False)
        entry = db.session.scalar(db.select(AuditEntry).where(AuditEntry.action == "defence.reevaluated"))
        assert entry.details == {"utility": [0.7, 0.2]}


class TestReference:
    def test_it_becomes_the_rounds_reference_and_utility_is_measured_against_it(self, referee, red, row):
        upload = make_upload(house.team(house.REFERENCE), row, UploadKind.REFERENCE, status="queued")
        defence = evaluate(upload)
        assert row.reference_id == defence.id
        evaluate(make_upload(red, row, status="queued"))
        first, second = referee.asked_for("check_defence")
        assert first["reference"] is None
        assert second["reference"] == {"classic_score": 6.5, "median_bytes": 50_000.0}


class TestWhichCounts:
    def test_the_newest_accepted_one_before_there_are_matches(self, red, row):
        make_defence(red, row)
        newest = make_defence(red, row)
        make_upload(red, row, status="rejected")
        assert defences.latest(red, row) is newest
        assert defences.counted(red, row) is newest

    def test_the_attacked_version_once_there_are(self, red, row):
        pinned = make_defence(red, row)
        make_match(row, make_team("Blue", make_user("carol")), red, pinned)
        newest = make_defence(red, row)
        assert defences.counted(red, row) is pinned
        assert defences.latest(red, row) is newest

    def test_a_version_that_was_rejected_afterwards_does_not(self, red, row):
        make_defence(red, row, upload=make_upload(red, row, status="rejected"))
        assert defences.latest(red, row) is None

    def test_other_rounds_do_not_count(self, red, row):
        make_defence(red, make_round())
        assert defences.counted(red, row) is None
