"""Files of the lab: kept, checked, versioned, private."""

from io import BytesIO

import pytest

from app import sandbox
from app.errors import Conflict, InvalidUpload, NotFound, Reason, Refused, TooMany
from app.models import Status
from app.services import assets, jobs
from tests.factories import make_admin, make_user, run_tasks
from tests.services.lab import Child, make_asset, make_inputs


@pytest.fixture
def child(monkeypatch):
    stand_in = Child()
    monkeypatch.setattr(sandbox, "run", stand_in.run)
    return stand_in


@pytest.fixture
def alice(app):
    return make_user("alice")


def submit(owner, kind="model", content=b"bytes", name="a.onnx"):
    return assets.submit(owner, kind, BytesIO(content), name)


class TestSubmit:
    def test_a_file_waits_for_its_check(self, app, alice):
        asset = submit(alice)
        assert (asset.status, asset.version, asset.size) == (Status.QUEUED, 1, 5)
        assert [(task.name, task.arguments, task.queue) for task in app.sent] == [
            ("assets.check", (asset.id,), "checks")
        ]

    def test_the_same_name_makes_a_new_version_and_keeps_the_old_one(self, alice):
        first, second = submit(alice), submit(alice, content=b"other")
        assert (first.version, second.version) == (1, 2)
        assert first.digest != second.digest

    def test_people_do_not_share_versions(self, alice):
        submit(alice)
        assert submit(make_user("bob")).version == 1

    def test_an_unknown_kind_is_refused(self, alice):
        with pytest.raises(Refused, match="dataset, model"):
            submit(alice, "video")

    def test_an_empty_file_is_refused(self, alice):
        with pytest.raises(Conflict, match="empty"):
            submit(alice, content=b"")

    def test_the_quota_counts_the_files_that_are_kept(self, app, alice):
        app.config["ASSETS_PER_USER"] = 2
        kept = [submit(alice), submit(alice)]
        with pytest.raises(TooMany):
            submit(alice)
        assets.delete(alice, kept[0])
        assert submit(alice).version == 3


class TestCheck:
    def test_an_accepted_file_says_what_it_holds(self, app, alice, child):
        asset = submit(alice)
        run_tasks(app)
        assert (asset.status, asset.facts) == (Status.ACCEPTED, {"n": 3})

    def test_a_refused_file_says_why(self, app, alice, child):
        child.verdict = InvalidUpload([Reason("Rule one."), Reason("Rule two.")])
        asset = submit(alice)
        run_tasks(app)
        assert asset.status is Status.REJECTED
        assert [reason["rule"] for reason in asset.reasons] == ["Rule one.", "Rule two."]

    def test_our_own_failure_is_tried_again_and_is_not_the_files_fault(self, app, alice, child):
        child.verdict = sandbox.SandboxError("broken")
        asset = submit(alice)
        run_tasks(app)
        assert (asset.status, asset.tries, asset.reasons) == (Status.FAILED, 3, [])


class TestOwnership:
    def test_others_do_not_see_it_and_admins_do(self, alice):
        asset = submit(alice)
        assert assets.by_key(asset.key, alice) is asset
        assert assets.by_key(asset.key, make_admin()) is asset
        with pytest.raises(NotFound):
            assets.by_key(asset.key, make_user("bob"))

    def test_the_list_has_ones_own_of_a_kind_newest_first(self, alice):
        first, second = submit(alice), submit(alice, "dataset", name="d.h5")
        submit(make_user("bob"))
        assert assets.of(alice) == [second, first]
        assert assets.of(alice, "dataset") == [second]


class TestDelete:
    def test_a_deleted_file_is_gone_from_the_list(self, alice):
        asset = submit(alice)
        assets.delete(alice, asset)
        assert assets.of(alice) == []
        with pytest.raises(NotFound):
            assets.by_key(asset.key, alice)

    def test_a_file_that_a_job_works_on_stays(self, alice):
        inputs = make_inputs(alice)
        job = jobs.request(alice, "security-evaluation", {}, inputs)
        with pytest.raises(Conflict, match="working on"):
            assets.delete(alice, inputs["model"])
        jobs.cancel(alice, job)
        assets.delete(alice, inputs["model"])

    def test_a_deleted_file_cannot_be_used_by_a_new_version_of_its_name(self, alice):
        assets.delete(alice, make_asset(alice, name="a"))
        assert make_asset(alice, name="a").version == 2
