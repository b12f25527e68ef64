"""Matches: who attacks which version of whose defence."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from sqlalchemy import update
from sqlalchemy.orm import joinedload

from app.errors import Conflict
from app.extensions import db
from app.models import Attack, Defence, Match, Round, Status, Team, Upload, User, now
from app.rules.pairing import pair
from app.services import audit, defences, house, mails, rounds, teams


@dataclass(frozen=True)
class Plan:
    """What generating would do now."""

    pairs: tuple[tuple[Team, Team, Defence], ...]
    """(attacker, defender, version)."""
    skipped: tuple[Team, ...]
    """Teams without an accepted defence that are left out."""
    stand_ins: tuple[tuple[Team, Team], ...]
    """(team without a defence, team of the house in its place)."""


def preview(row: Round) -> Plan:
    """What `generate` will do; the same until a defence is added. Refuses what cannot be generated."""
    if row.matched_at:
        raise Conflict(f"Round {row.number} has its matches already.")
    playing = [team for team in teams.everyone() if _has_members(team)]
    versions = {team.id: defences.latest(team, row) for team in playing}
    missing = [team for team in playing if versions[team.id] is None]
    stands_in = house.stand_ins(row, len(missing)) if rounds.rules(row).missing_defence == "house" and missing else []
    places = {team.id: team.id for team in playing if versions[team.id]}
    places |= {team.id: defence.team_id for team, defence in zip(missing, stands_in, strict=False)}
    if len(places) < 2:
        raise Conflict("Matches need at least two teams with an accepted defence.")
    accepted = {identity: defence for identity, defence in versions.items() if defence}
    accepted |= {defence.team_id: defence for defence in stands_in}
    byid = {team.id: team for team in teams.everyone(with_house=True)}
    drawn = pair(places, rounds.rules(row).MATCHES_PER_TEAM, np.random.default_rng([row.seed, row.number]))
    return Plan(
        pairs=tuple((byid[attacker], byid[defender], accepted[defender]) for attacker, defender in drawn),
        skipped=tuple(missing) if not stands_in else (),
        stand_ins=tuple((team, byid[defence.team_id]) for team, defence in zip(missing, stands_in, strict=False)),
    )


def _has_members(team: Team) -> bool:
    return any(membership.left_at is None for membership in team.memberships)


def generate(admin: User | None, row: Round) -> list[Match]:
    """All matches of a round or none; a second call refuses and changes nothing."""
    plan = preview(row)
    # Of two clicks in the same moment the database lets one through.
    claimed = db.session.execute(
        update(Round).where(Round.id == row.id, Round.matched_at.is_(None)).values(matched_at=now())
    )
    if not claimed.rowcount:  # type: ignore[attr-defined]
        db.session.rollback()
        raise Conflict(f"Round {row.number} has its matches already.")
    made = [
        Match(round_id=row.id, attacker_id=attacker.id, defender_id=defender.id, defence_id=defence.id)
        for attacker, defender, defence in plan.pairs
    ]
    db.session.add_all(made)
    pairs = [[attacker.id, defender.id, defence.id] for attacker, defender, defence in plan.pairs]
    audit.record(admin, "matches.generate", f"round {row.number}", seed=row.seed, pairs=pairs)
    _tell(row, plan)
    db.session.commit()
    mails.deliver_soon()
    return made


def _tell(row: Round, plan: Plan) -> None:
    attackers = {attacker.id: attacker for attacker, _, _ in plan.pairs}
    for attacker in attackers.values():
        opponents = [defender for one, defender, _ in plan.pairs if one.id == attacker.id]
        subject = f"Round {row.number}: Your opponents"
        mails.post_all(teams.members(attacker), "matches", subject, round=row, team=attacker, opponents=opponents)


def of_round(row: Round) -> list[Match]:
    """All matches of a round."""
    return list(db.session.scalars(db.select(Match).where(Match.round_id == row.id).order_by(Match.id)))


def of_attacker(team: Team, row: Round) -> list[Match]:
    """The matches in which a team attacks."""
    query = db.select(Match).where(Match.attacker_id == team.id, Match.round_id == row.id)
    return list(db.session.scalars(query.order_by(Match.defender_id)))


def of_defender(team: Team, row: Round) -> list[Match]:
    """The matches in which a team is attacked."""
    query = db.select(Match).where(Match.defender_id == team.id, Match.round_id == row.id)
    return list(db.session.scalars(query.order_by(Match.attacker_id)))


def newest(page: int, size: int) -> tuple[list[Match], int]:
    """One page of all matches, newest round first, and their number."""
    query = (
        db.select(Match)
        .join(Round, Round.id == Match.round_id)
        .options(joinedload(Match.attacker), joinedload(Match.defender))
        .order_by(Round.number.desc(), Match.id)
    )
    total = db.session.scalar(db.select(db.func.count(Match.id))) or 0
    return list(db.session.scalars(query.limit(size).offset((page - 1) * size))), total


def attacked(found: Collection[Match]) -> set[int]:
    """The ids of those matches that have an accepted attack."""
    query = (
        db.select(Attack.match_id)
        .join(Upload, Upload.id == Attack.upload_id)
        .where(Attack.match_id.in_([match.id for match in found]), Upload.status != Status.REJECTED)
    )
    return set(db.session.scalars(query.distinct()))
