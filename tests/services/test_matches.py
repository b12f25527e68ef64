"""Matches: all or none, once, seeded, pinned to a version of a defence."""

from collections import Counter

import pytest

from app.errors import Conflict
from app.extensions import db
from app.models import AuditEntry, Mail, Match
from app.services import house, matches
from tests.factories import make_admin, make_defence, make_round, make_team, make_user


@pytest.fixture
def teams(app):
    return [make_team(f"Team {number}", make_user(f"user{number}")) for number in range(6)]


def pairs(found):
    return [(match.attacker_id, match.defender_id) for match in found]


def count():
    return db.session.scalar(db.select(db.func.count(Match.id)))


class TestGenerate:
    @pytest.mark.parametrize(("playing", "wanted", "each"), [(6, 3, 3), (3, 3, 2), (2, 3, 1)])
    def test_everybody_attacks_and_is_attacked_equally_often_and_never_itself(self, teams, playing, wanted, each):
        row = make_round(rules={"MATCHES_PER_TEAM": wanted})
        for team in teams[:playing]:
            make_defence(team, row)
        found = matches.generate(None, row)
        attackers, defenders = zip(*pairs(found), strict=True)
        assert set(Counter(attackers).values()) == set(Counter(defenders).values()) == {each}
        assert all(attacker != defender for attacker, defender in pairs(found))
        assert len(set(pairs(found))) == len(found)

    def test_a_second_click_changes_nothing(self, teams):
        row = make_round()
        for team in teams:
            make_defence(team, row)
        before = pairs(matches.generate(None, row))
        with pytest.raises(Conflict, match="has its matches already"):
            matches.generate(None, row)
        assert pairs(matches.of_round(row)) == before

    def test_of_two_clicks_in_one_moment_one_is_refused(self, teams, monkeypatch):
        row = make_round()
        for team in teams:
            make_defence(team, row)
        plan = matches.preview(row)
        matches.generate(None, row)
        before = count()
        # The second click had looked before the first one was done.
        monkeypatch.setattr(matches, "preview", lambda row: plan)
        with pytest.raises(Conflict, match="has its matches already"):
            matches.generate(None, row)
        assert count() == before

    def test_a_match_is_pinned_to_the_version_of_that_moment(self, teams):
        row = make_round()
        versions = {team.id: make_defence(team, row) for team in teams}
        found = matches.generate(None, row)
        make_defence(teams[0], row)
        assert all(match.defence is versions[match.defender_id] for match in found)

    def test_the_seed_decides(self, teams):
        drawn = []
        for seed in (1, 1, 2):
            row = make_round(seed=seed)
            row.number = 50
            for team in teams:
                make_defence(team, row)
            drawn.append([(a.id, d.id) for a, d, _ in matches.preview(row).pairs])
            row.number = 100 + row.id
            db.session.commit()
        assert drawn[0] == drawn[1]
        assert drawn[0] != drawn[2]

    def test_it_is_as_the_preview_said_and_auditable(self, teams):
        row, ada = make_round(), make_admin()
        for team in teams:
            make_defence(team, row)
        promised = [(attacker.id, defender.id) for attacker, defender, _ in matches.preview(row).pairs]
        assert sorted(pairs(matches.generate(ada, row))) == sorted(promised)
        entry = db.session.scalar(db.select(AuditEntry).where(AuditEntry.action == "matches.generate"))
        assert entry.details["seed"] == row.seed
        assert [tuple(pair[:2]) for pair in entry.details["pairs"]] == promised

    def test_every_attacker_is_told_its_opponents(self, teams):
        row = make_round()
        for team in teams[:2]:
            make_defence(team, row)
        matches.generate(None, row)
        mails = {mail.recipient: mail for mail in db.session.scalars(db.select(Mail))}
        assert set(mails) == {"user0@example.org", "user1@example.org"}
        assert "Team 1" in mails["user0@example.org"].text

    def test_looking_changes_nothing(self, teams):
        row = make_round()
        for team in teams:
            make_defence(team, row)
        matches.preview(row)
        assert count() == 0
        assert row.matched_at is None


class TestTeamsWithoutADefence:
    def test_they_are_skipped(self, teams):
        row = make_round()
        for team in teams[:3]:
            make_defence(team, row)
        plan = matches.preview(row)
        assert plan.skipped == tuple(teams[3:])
        assert {attacker.id for attacker, _, _ in plan.pairs} == {team.id for team in teams[:3]}

    def test_a_defence_of_another_round_is_none(self, teams):
        make_defence(teams[0], make_round())
        with pytest.raises(Conflict, match="at least two teams"):
            matches.preview(make_round())

    def test_the_house_plays_in_their_place_and_they_attack_all_the_same(self, teams):
        row = make_round(rules={"missing_defence": "house", "MATCHES_PER_TEAM": 2})
        for team in teams[:5]:
            make_defence(team, row)
        stand_in = house.team("House front")
        make_defence(stand_in, row)
        plan = matches.preview(row)
        assert plan.stand_ins == ((teams[5], stand_in),)
        assert plan.skipped == ()
        assert Counter(attacker.id for attacker, _, _ in plan.pairs) == {team.id: 2 for team in teams}
        assert Counter(defender.id for _, defender, _ in plan.pairs)[stand_in.id] == 2
        # Nobody attacks the defence that stands in its own place.
        assert all(not (attacker is teams[5] and defender is stand_in) for attacker, defender, _ in plan.pairs)

    def test_too_few_defences_of_the_house_are_refused_and_nothing_happens(self, teams):
        row = make_round(rules={"missing_defence": "house"})
        make_defence(teams[0], row)
        with pytest.raises(Conflict, match="Prepare 5 house defences"):
            matches.generate(None, row)
        assert count() == 0

    def test_one_team_alone_has_nobody_to_attack(self, teams):
        row = make_round()
        make_defence(teams[0], row)
        with pytest.raises(Conflict, match="at least two teams"):
            matches.generate(None, row)

    def test_a_team_that_everybody_left_does_not_play(self, teams):
        row = make_round()
        for team in teams[:3]:
            make_defence(team, row)
        teams[0].memberships[0].left_at = row.created_at
        db.session.commit()
        assert {attacker.id for attacker, _, _ in matches.preview(row).pairs} == {team.id for team in teams[1:3]}


class TestAsking:
    def test_by_attacker_by_defender_and_all_newest_first(self, teams):
        rows = [make_round(), make_round()]
        for row in rows:
            for team in teams[:2]:
                make_defence(team, row)
            matches.generate(None, row)
        assert pairs(matches.of_attacker(teams[0], rows[0])) == [(teams[0].id, teams[1].id)]
        assert pairs(matches.of_defender(teams[0], rows[0])) == [(teams[1].id, teams[0].id)]
        page, total = matches.newest(1, 3)
        assert (total, [match.round_id for match in page]) == (4, [rows[1].id, rows[1].id, rows[0].id])
