"""The house as a defender: stand-ins and the undefended reference."""

import io

import pytest

from app.errors import Conflict
from app.extensions import db
from app.models import Status, Team, Upload, UploadKind
from app.services import defences, house
from app.tasks.house import make as make_task
from tests.factories import Sent, make_admin, make_defence, make_round, make_upload, run_tasks


@pytest.fixture
def row(app):
    return make_round("defence")


class TestMake:
    def test_the_defences_come_in_turn_the_undefended_one_last(self, referee, row):
        made = [house.make(row, index) for index in range(7)]
        names = [upload.team.name for upload in made]
        assert len(set(names)) == 7
        assert names[0] == "House burst-padding"
        assert names[-1] == "House undefended"
        assert all(upload.team.is_house for upload in made)

    def test_after_every_name_they_come_again_with_a_number(self, referee, row):
        assert house.make(row, 7).team.name == "House burst-padding 2"

    def test_it_is_handed_in_like_a_teams(self, app, referee, row):
        upload = house.make(row, 0)
        assert (upload.kind, upload.status) == (UploadKind.DEFENCE, Status.QUEUED)
        assert app.sent == [Sent("defences.check", (upload.id,), "checks")]

    def test_one_that_is_there_is_not_made_again(self, referee, row):
        house.make(row, 0)
        assert house.make(row, 0) is None
        assert db.session.scalar(db.select(db.func.count(Upload.id))) == 1

    @pytest.mark.parametrize("status", [Status.FAILED, Status.REJECTED])
    def test_one_that_failed_is_made_again(self, referee, row, status):
        house.make(row, 0).status = status
        db.session.commit()
        assert house.make(row, 0) is not None

    def test_another_round_has_its_own(self, referee, row):
        house.make(row, 0)
        assert house.make(make_round(), 0) is not None
        assert db.session.scalar(db.select(db.func.count(Team.id))) == 1

    def test_it_is_made_from_the_reference_where_there_is_one(self, referee, row):
        owner = house.team(house.REFERENCE)
        reference = make_defence(owner, row, upload=make_upload(owner, row, "reference"))
        row.reference_id = reference.id
        db.session.commit()
        house.make(row, 0)
        (asked,) = referee.asked_for("make_house_defence")
        assert reference.upload.digest in asked["upload"]

    def test_a_real_one_is_accepted(self, app, row):
        make_task.run(row.id, 0)
        run_tasks(app, without=["references.play"])
        (defence,) = house.defences(row)
        assert 0 < defence.utility <= 1


class TestPrepare:
    def test_it_queues_one_task_each(self, app, row):
        house.prepare(make_admin(), row, 2)
        assert app.sent == [Sent("house.make", (row.id, index), "checks") for index in range(2)]

    def test_the_reference_is_a_task_too(self, app, row):
        house.prepare_reference(make_admin(), row)
        assert app.sent == [Sent("house.make_reference", (row.id,), "checks")]


class TestReference:
    def test_a_made_one_is_undefended(self, referee, row):
        upload = house.make_reference(row)
        (asked,) = referee.asked_for("make_house_defence")
        assert (asked["name"], asked["upload"]) == ("undefended", None)
        assert upload.kind is UploadKind.REFERENCE

    def test_an_uploaded_one_is_kept_under_the_admins_name(self, app, row):
        admin = make_admin()
        upload = house.submit_reference(admin, row, io.BytesIO(b"captures"), "undefended.zip")
        assert (upload.kind, upload.user_id, upload.team.name) == (UploadKind.REFERENCE, admin.id, house.REFERENCE)
        assert app.sent == [Sent("defences.check", (upload.id,), "checks")]

    def test_it_is_no_stand_in(self, row):
        owner = house.team(house.REFERENCE)
        make_defence(owner, row, upload=make_upload(owner, row, "reference"))
        assert house.defences(row) == []


class TestStandIns:
    def test_they_are_defences_of_different_teams_of_the_house(self, row):
        made = [make_defence(house.team(f"House {name}"), row) for name in ("front", "tamaraw")]
        assert {defence.id for defence in house.stand_ins(row, 2)} == {defence.id for defence in made}

    def test_too_few_are_refused_with_what_to_do(self, row):
        make_defence(house.team("House front"), row)
        with pytest.raises(Conflict, match="Prepare 2 house defences first"):
            house.stand_ins(row, 2)

    def test_their_newest_version_is_played(self, row):
        owner = house.team("House front")
        make_defence(owner, row)
        newest = make_defence(owner, row)
        assert house.stand_ins(row, 1) == [newest]
        assert defences.latest(owner, row) is newest
