"""Downloading what is to be attacked, answering all matches with one file, and which answer counts."""

import io
import zipfile

import pytest

from app.errors import Conflict, Forbidden, InvalidUpload, Reason
from app.extensions import db
from app.models import Attack, Mail, Status, Upload, UploadKind
from app.services import attacks, defences, matches, rounds, work
from tests.factories import (
    Sent,
    answer_file,
    defence_file,
    estimate,
    make_admin,
    make_attack,
    make_match,
    make_round,
    make_team,
    make_upload,
    make_user,
    run_tasks,
    set_phase,
)


@pytest.fixture
def teams(app):
    return [make_team(name, make_user(f"captain-{name}")) for name in ("Red", "Blue", "Green")]


@pytest.fixture
def row(app):
    return make_round("attack")


@pytest.fixture
def found(teams, row):
    red, blue, green = teams
    return [make_match(row, red, blue), make_match(row, red, green)]


def captain(team):
    return team.memberships[0].user


def evaluate(upload):
    _, key = work.claim(Upload, upload.id)
    attacks.evaluate(upload, key)
    return attacks.of_upload(upload)


class TestSubmit:
    def test_an_answer_is_taken_and_queued(self, app, teams, found):
        upload = attacks.submit(captain(teams[0]), io.BytesIO(b"answer"), "mine.zip")
        assert upload.kind is UploadKind.ATTACK
        assert app.sent == [Sent("attacks.score", (upload.id,), "checks")]

    def test_a_team_without_matches_has_nothing_to_attack(self, teams, found):
        with pytest.raises(Conflict, match="nobody to attack"):
            attacks.submit(captain(teams[1]), io.BytesIO(b"answer"), "mine.zip")

    def test_people_without_a_team_cannot_attack(self, found):
        with pytest.raises(Forbidden, match="no team"):
            attacks.submit(make_user("mallory"), io.BytesIO(b"answer"), "mine.zip")

    def test_outside_the_attack_phase_nothing_is_taken(self, teams, found, row):
        set_phase(row, "defence")
        with pytest.raises(Conflict, match="takes no attack now"):
            attacks.submit(captain(teams[0]), io.BytesIO(b"answer"), "mine.zip")


class TestDownload:
    def test_it_holds_two_files_per_opponent_and_nothing_else(self, teams, found, row, tmp_path):
        name = attacks.download(captain(teams[0]), tmp_path / "sets.zip")
        with zipfile.ZipFile(tmp_path / "sets.zip") as archive:
            assert sorted(archive.namelist()) == sorted(
                f"team_{team.id}_{half}.csv.zip" for team in teams[1:] for half in ("train", "test")
            )
        assert name == f"user_{captain(teams[0]).id}_round_{row.number}_sets_to_attack.zip"

    def test_before_the_attack_phase_there_is_nothing_to_download(self, teams, found, row, tmp_path):
        set_phase(row, "defence")
        with pytest.raises(Conflict):
            attacks.download(captain(teams[0]), tmp_path / "sets.zip")
        assert not (tmp_path / "sets.zip").exists()

    def test_a_team_without_matches_gets_nothing(self, teams, found, tmp_path):
        with pytest.raises(Conflict):
            attacks.download(captain(teams[2]), tmp_path / "sets.zip")


class TestEvaluate:
    def test_a_real_answer_is_scored_in_every_match(self, app):
        red, blue = (make_team(name, make_user(name.lower())) for name in ("Red", "Blue"))
        row = make_round("defence")
        for team, name in ((red, "front"), (blue, "undefended")):
            defences.submit(captain(team), io.BytesIO(defence_file(name)), "mine.zip")
        run_tasks(app, without=["references.play"])
        matches.generate(None, row)
        set_phase(row, "attack")
        upload = attacks.submit(captain(red), io.BytesIO(answer_file(matches.of_attacker(red, row), 0.5)), "mine.zip")
        run_tasks(app, without=["references.play"])
        assert upload.status is Status.ACCEPTED, (upload.reasons, upload.log)
        (attack,) = attacks.of_upload(upload)
        assert attack.metrics["accuracy"]["value"] == pytest.approx(0.5)
        assert attack.leakage == pytest.approx((0.5 - 1 / 8) / (1 - 1 / 8))
        assert attack.classic == attack.metrics["classic_performance"]["value"]
        assert len(attack.replicates) > 0

    def test_there_is_one_result_per_match(self, referee, teams, found, row):
        scored = evaluate(make_upload(teams[0], row, "attack", "queued"))
        assert [attack.match_id for attack in scored] == [match.id for match in found]
        assert [attack.leakage for attack in scored] == [0.4, 0.4]
        assert [attack.classic for attack in scored] == [7.5, 7.5]

    def test_the_team_is_told(self, referee, teams, found, row):
        evaluate(make_upload(teams[0], row, "attack", "queued"))
        (mail,) = db.session.scalars(db.select(Mail))
        assert "Your attack was accepted" in mail.subject
        assert "Blue" in mail.text

    def test_a_refused_answer_scores_nowhere(self, referee, teams, found, row):
        referee.verdicts["score_attack"] = InvalidUpload([Reason("Rows are missing.")])
        upload = make_upload(teams[0], row, "attack", "queued")
        assert evaluate(upload) == []
        assert upload.status is Status.REJECTED

    def test_evaluating_again_replaces_the_numbers_and_adds_no_row(self, referee, teams, found, row):
        upload = make_upload(teams[0], row, "attack", "queued")
        evaluate(upload)
        upload.status = Status.QUEUED
        db.session.commit()
        evaluate(upload)
        assert db.session.scalar(db.select(db.func.count(Attack.id))) == 2

    def test_a_worker_that_lost_its_claim_meanwhile_writes_nothing(self, referee, teams, found, row):
        def take_over():
            db.session.execute(db.update(Upload).values(claim="another worker's"))
            db.session.commit()

        referee.meanwhile = take_over
        assert evaluate(make_upload(teams[0], row, "attack", "queued")) == []
        assert db.session.scalar(db.select(Mail)) is None


class TestShown:
    def test_a_round_without_feedback_step_shows_everything(self, found, row):
        attack = make_attack(found[0], 0.4321)
        assert attacks.shown(attack, row) == {"leakage": 0.4321, "metrics": attack.metrics}

    def test_a_feedback_step_hides_the_last_label(self, app, teams):
        row = make_round("attack", rules={"feedback_step": 0.1})
        metrics = {"accuracy": estimate(0.4987)}
        shown = attacks.shown(make_attack(make_match(row, *teams[:2]), 0.4321, metrics=metrics), row)
        assert shown["leakage"] == pytest.approx(0.4)
        assert shown["metrics"]["accuracy"] == {"value": pytest.approx(0.5), "low": None, "high": None}


class TestWhichCounts:
    @pytest.fixture
    def handed_in(self, teams):
        """Three attacks in one match, the second the best, the first chosen."""

        def make(policy):
            row = make_round("attack", rules={"counted_attack": policy})
            rounds.make_current(None, row)
            match = make_match(row, *teams[:2])
            made = [make_attack(match, leakage) for leakage in (0.3, 0.6, 0.1)]
            return row, match, made

        return make

    @pytest.mark.parametrize(("policy", "expected"), [("latest", 2), ("best", 1), ("selected", 2)])
    def test_it_follows_the_rounds_rule(self, handed_in, policy, expected):
        row, match, made = handed_in(policy)
        assert attacks.counted([match], row) == {match.id: made[expected]}

    def test_the_team_chooses_where_the_rule_says_so(self, teams, handed_in):
        row, match, made = handed_in("selected")
        attacks.choose(captain(teams[0]), made[0].upload)
        assert attacks.counted([match], row) == {match.id: made[0]}

    def test_elsewhere_it_does_not(self, teams, handed_in):
        _, _, made = handed_in("best")
        with pytest.raises(Conflict, match="do not choose"):
            attacks.choose(captain(teams[0]), made[0].upload)

    def test_only_an_accepted_attack_can_be_chosen(self, teams, handed_in):
        row, _, _ = handed_in("selected")
        with pytest.raises(Conflict, match="Only an accepted attack"):
            attacks.choose(captain(teams[0]), make_upload(teams[0], row, "attack", "rejected"))

    def test_not_after_the_phase(self, teams, handed_in):
        row, _, made = handed_in("selected")
        set_phase(row, "finished")
        with pytest.raises(Conflict, match="over"):
            attacks.choose(captain(teams[0]), made[0].upload)

    def test_a_rejected_attack_does_not_count(self, handed_in):
        row, match, made = handed_in("latest")
        made[2].upload.status = Status.REJECTED
        db.session.commit()
        assert attacks.counted([match], row) == {match.id: made[1]}


class TestAgainst:
    def test_a_defender_sees_aggregates_only(self, teams, row):
        red, blue, green = teams
        for attacker, leakage in ((red, 0.2), (green, 0.6)):
            make_attack(make_match(row, attacker, blue), leakage)
        seen = attacks.against(blue, row)
        assert (seen.matches, seen.attacked, seen.best) == (2, 2, 0.6)
        assert seen.mean == pytest.approx(0.4)

    def test_a_defence_that_nobody_has_attacked_has_no_numbers(self, teams, found, row):
        seen = attacks.against(teams[1], row)
        assert (seen.matches, seen.attacked, seen.best, seen.mean) == (1, 0, None, None)

    def test_admins_may_download_in_any_phase_only_with_a_team(self, found, tmp_path):
        with pytest.raises(Forbidden):
            attacks.download(make_admin(), tmp_path / "sets.zip")
