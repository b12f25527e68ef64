"""Jobs of the lab: refused early, run in fair order, cancelled, repeated, deleted."""

import dataclasses
from datetime import timedelta

import pytest

from app import bundles, experiments, sandbox
from app.errors import Conflict, InvalidParameters, InvalidUpload, NotFound, Reason, TooMany
from app.experiments.base import Output
from app.extensions import db
from app.models import Job, Status, now
from app.services import assets, files, jobs, sweeping
from tests.factories import make_admin, make_user, run_tasks
from tests.services.lab import Child, make_asset, make_inputs

SLUG = "security-evaluation"


@pytest.fixture
def child(monkeypatch):
    stand_in = Child()
    monkeypatch.setattr(sandbox, "run", stand_in.run)
    return stand_in


@pytest.fixture
def alice(app, child):
    return make_user("alice")


@pytest.fixture
def inputs(alice, app):
    found = make_inputs(alice)
    app.sent.clear()
    return found


def ask(owner, inputs, **values):
    return jobs.request(owner, SLUG, values.pop("parameters", {}), inputs, **values)


def seed_found(job):
    with files.workspace() as folder:
        return int(bundles.read(jobs.arrays(job, folder))["seed"][0])


class TestRequest:
    def test_a_job_waits_with_every_parameter_written_down(self, app, alice, inputs):
        job = ask(alice, inputs, parameters={"attack": "cw"})
        assert job.status is Status.QUEUED
        assert (job.parameters["attack"], job.parameters["binary_search_steps"]) == ("cw", 9)
        assert [(task.name, task.arguments, task.queue) for task in app.sent] == [("jobs.work", (True,), "heavy")]

    def test_every_problem_is_told_at_once(self, alice, inputs):
        wrong = {"model": inputs["dataset"], "more": inputs["model"]}
        with pytest.raises(InvalidParameters) as caught:
            ask(alice, wrong, parameters={"attack": "fgsm", "speed": 1})
        assert set(caught.value.problems) == {"model", "dataset", "more", "attack", "speed"}

    def test_a_file_that_is_not_checked_cannot_be_used(self, alice, inputs):
        waiting = make_asset(alice, "model", status=Status.QUEUED)
        with pytest.raises(InvalidParameters, match="its check says queued"):
            ask(alice, {**inputs, "model": waiting})

    def test_an_unknown_experiment_is_not_there(self, alice):
        with pytest.raises(NotFound):
            jobs.request(alice, "alchemy", {}, {})

    def test_the_quota_counts_what_is_not_over(self, app, alice, inputs):
        app.config["JOBS_PER_USER"] = 1
        first = ask(alice, inputs)
        with pytest.raises(TooMany):
            ask(alice, inputs)
        jobs.cancel(alice, first)
        ask(alice, inputs)


class TestRun:
    def test_the_report_and_the_arrays_are_kept(self, app, alice, inputs):
        job = ask(alice, inputs, seed=7)
        run_tasks(app)
        assert (job.status, job.progress, job.report["notes"]) == (Status.ACCEPTED, 1.0, ["done"])
        assert seed_found(job) == 7

    def test_further_files_are_kept(self, app, alice, inputs, child, tmp_path):
        child.files = {"model.bin": b"weights"}
        job = ask(alice, inputs)
        run_tasks(app)
        assert job.files["model.bin"]["size"] == 7
        assert jobs.file(job, "model.bin", tmp_path).read_bytes() == b"weights"
        with pytest.raises(NotFound):
            jobs.file(job, "../model.bin", tmp_path)

    def test_an_output_becomes_a_file_of_its_owner_that_is_checked(self, app, alice, inputs, child, monkeypatch):
        card = dataclasses.replace(experiments.card(SLUG), outputs=(Output("model.bin", "model", "attack"),))
        monkeypatch.setattr(experiments, "CARDS", (card,))
        child.files = {"model.bin": b"weights"}
        ask(alice, inputs)
        run_tasks(app)
        made = assets.of(alice, "model")[0]
        assert (made.name, made.status, made.size) == ("pgd-linf", Status.ACCEPTED, 7)

    def test_what_it_shows_is_seen_while_it_runs_and_gone_afterwards(self, app, alice, inputs, child, monkeypatch):
        child.look = [{"kind": "lines", "title": "Loss", "x": "Epoch", "y": "Loss", "arrays": {}, "note": ""}]
        job, seen, keep = ask(alice, inputs), [], jobs._look

        def looked(identity, folder):
            keep(identity, folder)
            seen.extend(db.session.get_one(Job, identity, populate_existing=True).look)

        monkeypatch.setattr(jobs, "_look", looked)
        run_tasks(app)
        assert [figure["title"] for figure in seen] == ["Loss"]
        assert job.look == []

    def test_a_refused_input_is_the_owners_to_mend(self, app, alice, inputs, child):
        child.verdict = InvalidUpload([Reason("Classes do not fit.")])
        job = ask(alice, inputs)
        run_tasks(app)
        assert (job.status, job.reasons[0]["rule"]) == (Status.REJECTED, "Classes do not fit.")

    def test_our_failure_is_tried_again_and_then_given_up(self, app, alice, inputs, child):
        child.verdict = sandbox.SandboxError("broken")
        job = ask(alice, inputs)
        run_tasks(app)
        assert (job.status, job.tries) == (Status.FAILED, app.config["MAX_TRIES"])

    def test_again_runs_the_same_with_the_same_seed(self, app, alice, inputs, child):
        job = ask(alice, inputs, parameters={"steps": 3})
        run_tasks(app)
        again = jobs.run_again(alice, job)
        run_tasks(app)
        assert again.key != job.key
        assert child.asked[0] == child.asked[1]
        assert seed_found(again) == seed_found(job)
        assert again.arrays == job.arrays

    def test_a_ticket_without_a_job_does_nothing(self, app, alice, inputs):
        job = ask(alice, inputs)
        app.sent *= 2
        run_tasks(app)
        assert (job.status, job.tries) == (Status.ACCEPTED, 1)

    def test_a_lost_ticket_is_written_again_by_the_sweeper(self, app, alice, inputs, monkeypatch):
        job = ask(alice, inputs)
        app.sent.clear()
        job.enqueued_at = now() - timedelta(minutes=5)
        monkeypatch.setattr(sweeping, "depth", lambda name: 0)
        assert sweeping.sweep()["jobs"] == 1
        run_tasks(app)
        assert job.status is Status.ACCEPTED

    def test_a_dead_workers_job_is_run_again(self, app, alice, inputs, monkeypatch):
        job = ask(alice, inputs)
        long_ago = now() - timedelta(hours=1)
        job.status, job.tries, job.claim = Status.RUNNING, 1, "dead"
        job.heartbeat_at = job.enqueued_at = long_ago
        db.session.commit()
        app.sent.clear()
        monkeypatch.setattr(sweeping, "depth", lambda name: 0)
        sweeping.sweep()
        run_tasks(app)
        assert (job.status, job.tries) == (Status.ACCEPTED, 2)


class TestFairness:
    def served(self, app):
        """The owners of the jobs in the order in which they are run."""
        order = []
        while (identity := jobs.next_in_fairness(is_heavy=True)) is not None:
            job = db.session.get_one(Job, identity)
            order.append(job.owner.username)
            job.status, job.started_at = Status.ACCEPTED, now()
            db.session.commit()
        return order

    def test_many_jobs_of_one_person_do_not_starve_another(self, app, alice, inputs):
        bob = make_user("bob")
        for _ in range(4):
            ask(alice, inputs)
        theirs = make_inputs(bob)
        for _ in range(2):
            ask(bob, theirs)
        assert self.served(app) == ["alice", "bob", "alice", "bob", "alice", "alice"]

    def test_what_somebody_got_long_ago_does_not_count(self, app, alice, inputs):
        bob = make_user("bob")
        for _ in range(3):
            job = ask(alice, inputs)
            job.status, job.started_at = Status.ACCEPTED, now() - 2 * jobs.FAIR_WINDOW
        ask(alice, inputs)
        ask(bob, make_inputs(bob))
        assert self.served(app) == ["alice", "bob"]

    def test_two_people_at_once_each_get_their_own_result(self, app, alice, inputs):
        bob = make_user("bob")
        first, second = ask(alice, inputs, seed=1), ask(bob, make_inputs(bob), seed=2)
        run_tasks(app)
        assert [seed_found(first), seed_found(second)] == [1, 2]
        assert [job.status for job in (first, second)] == [Status.ACCEPTED] * 2

    def test_the_position_counts_those_that_came_before(self, app, alice, inputs):
        first, second = ask(alice, inputs), ask(alice, inputs)
        assert [jobs.position(first), jobs.position(second)] == [1, 2]
        jobs.cancel(alice, first)
        assert [jobs.position(first), jobs.position(second)] == [0, 1]


class TestCancel:
    def test_a_waiting_job_is_cancelled_at_once_and_never_runs(self, app, alice, inputs, child):
        job = ask(alice, inputs)
        jobs.cancel(alice, job)
        run_tasks(app)
        assert (job.status, child.asked) == (Status.CANCELLED, [])

    def test_a_running_job_stops_at_its_next_heartbeat(self, app, alice, inputs, child):
        job = ask(alice, inputs)
        key = job.key

        def press_cancel():
            row = db.session.scalar(db.select(Job).where(Job.key == key))
            assert row.status is Status.RUNNING
            jobs.cancel(row.owner, row)

        child.meanwhile = press_cancel
        run_tasks(app)
        assert (job.status, job.report, job.tries) == (Status.CANCELLED, {}, 1)

    def test_what_is_over_cannot_be_cancelled(self, app, alice, inputs):
        job = ask(alice, inputs)
        run_tasks(app)
        with pytest.raises(Conflict):
            jobs.cancel(alice, job)


class TestOwnership:
    def test_others_do_not_see_it_and_admins_do(self, alice, inputs):
        job = ask(alice, inputs)
        assert jobs.by_key(job.key, make_admin()) is job
        with pytest.raises(NotFound):
            jobs.by_key(job.key, make_user("bob"))

    def test_the_list_is_filtered_and_paged(self, app, alice, inputs):
        done = ask(alice, inputs)
        run_tasks(app)
        waiting = [ask(alice, inputs) for _ in range(3)]
        assert jobs.of(alice, 1, 2) == ([waiting[2], waiting[1]], 4)
        assert jobs.of(alice, status="accepted") == ([done], 1)
        assert jobs.of(alice, experiment="other") == ([], 0)

    def test_deleting_takes_a_job_off_the_list_and_stops_it(self, app, alice, inputs, child):
        job = ask(alice, inputs)
        jobs.delete(alice, job)
        run_tasks(app)
        assert (job.status, child.asked, jobs.of(alice)) == (Status.CANCELLED, [], ([], 0))
        with pytest.raises(NotFound):
            jobs.by_key(job.key, alice)

    def test_a_job_without_a_result_has_no_arrays(self, alice, inputs, tmp_path):
        with pytest.raises(NotFound):
            jobs.arrays(ask(alice, inputs), tmp_path)
