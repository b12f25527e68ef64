"""The house's adversaries play every accepted defence, and their results are kept like a team's."""

import pytest

from app import sandbox
from app.errors import InvalidUpload, Reason
from app.extensions import db
from app.models import ReferenceResult, Status
from app.services import references, scores, work
from app.tasks.references import play
from tests.factories import make_admin, make_defence, make_reference_result, make_round, make_team, make_user


@pytest.fixture
def defence(app):
    return make_defence(make_team("Red", make_user("alice")), make_round())


def evaluate(row):
    _, key = work.claim(ReferenceResult, row.id)
    references.evaluate(row, key)
    return row


class TestPlan:
    def test_every_adversary_of_the_track_is_planned_blind_first(self, defence):
        planned = references.plan(defence)
        db.session.commit()
        assert planned[0].adversary == "blind"
        assert len({row.adversary for row in planned}) == len(planned) == len(defence.references)

    def test_planning_again_reuses_the_rows(self, defence):
        first = [row.id for row in references.plan(defence)]
        db.session.commit()
        make_done = db.session.get_one(ReferenceResult, first[0])
        make_done.status = Status.ACCEPTED
        db.session.commit()
        assert [row.id for row in references.plan(defence)] == first
        assert make_done.status is Status.QUEUED


class TestEvaluate:
    def test_what_the_referee_says_is_kept(self, referee, defence):
        row = evaluate(make_reference_result(defence, "cumul", leakage=None, status="queued"))
        assert (row.status, row.leakage, row.seconds, row.device) == (Status.ACCEPTED, 0.3, 1.5, "cpu")
        assert scores.unpack(row.replicates).tolist() == pytest.approx([0.3] * 200)

    def test_the_referee_is_asked_for_this_adversary_and_challenge(self, referee, defence):
        evaluate(make_reference_result(defence, "cumul", leakage=None, status="queued"))
        (asked,) = referee.asked_for("play_adversary")
        assert (asked["adversary"], asked["seed"], asked["place"]["team"]) == ("cumul", defence.seed, defence.team_id)
        assert defence.public in asked["halves"]["public"]
        assert defence.secret in asked["halves"]["secret"]

    def test_a_refused_answer_of_the_house_is_our_fault(self, referee, defence):
        referee.verdicts["play_adversary"] = InvalidUpload([Reason("It took too long.")])
        with pytest.raises(sandbox.SandboxError, match="too long"):
            evaluate(make_reference_result(defence, leakage=None, status="queued"))

    def test_a_worker_that_lost_its_claim_writes_nothing(self, referee, defence):
        row = make_reference_result(defence, leakage=None, status="queued")

        def take_over():
            db.session.execute(db.update(ReferenceResult).values(claim="another worker's"))
            db.session.commit()

        referee.meanwhile = take_over
        assert evaluate(row).leakage is None


class TestTheTask:
    def test_a_fault_is_tried_three_times_and_kept_in_the_log(self, app, referee, defence):
        referee.verdicts["play_adversary"] = sandbox.SandboxError("Traceback: out of ideas")
        row = make_reference_result(defence, leakage=None, status="queued")
        for _ in range(3):
            play.run()
        assert (row.status, row.tries) == (Status.FAILED, 3)
        assert row.log.count("out of ideas") >= 3
        assert [task.name for task in app.sent] == ["references.play"] * 2
        play.run()
        assert row.tries == 3

    def test_a_result_that_is_there_is_not_computed_again(self, referee, defence):
        make_reference_result(defence)
        play.run()
        assert referee.asked == []

    def test_the_cheapest_adversaries_of_all_defences_come_first(self, referee, defence):
        other = make_defence(make_team("Blue", make_user("carol")), defence.round)
        rows = [
            make_reference_result(one, name, leakage=None, status="queued", place=place)
            for one in (defence, other)
            for place, name in enumerate(("blind", "forest"))
        ]
        order = []
        for _ in rows:
            order.append(references.next_in_line())
            play.run()
        assert order == [rows[0].id, rows[2].id, rows[1].id, rows[3].id]
        assert references.next_in_line() is None


class TestPlayAgain:
    def test_every_adversary_is_queued_again(self, app, defence):
        references.play_again(make_admin(), defence)
        assert [task.name for task in app.sent] == ["references.play"] * len(defence.references)


class TestWorst:
    def test_it_is_the_adversary_that_learns_most(self, defence):
        make_reference_result(defence, "blind", 0.0)
        worst = make_reference_result(defence, "cumul", 0.7)
        make_reference_result(defence, "random-forest", leakage=None, status="queued")
        assert references.worst(defence) is worst

    def test_there_is_none_before_the_first_result(self, defence):
        make_reference_result(defence, leakage=None, status="queued")
        assert references.worst(defence) is None
