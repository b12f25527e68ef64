"""The leaderboard: one query for the defences, one for the attacks, one for the house; the rest is `rules/scoring`."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import current_app
from sqlalchemy import ColumnElement, Row, and_, func

from app.extensions import db
from app.models import Attack, Defence, Match, ReferenceResult, Round, Status, Team, Upload, UploadKind, now
from app.rules.phases import Phase
from app.rules.scoring import Attacked, Entry, Standing, standings
from app.rules.settings import RoundRules
from app.services import rounds, scores
from app.services.memo import Memo

HISTORY_POINTS = 24
_memo = Memo()


@dataclass(frozen=True)
class Place:
    """A defence in the utility/privacy plane."""

    name: str
    utility: float
    leakage: float
    is_house: bool


@dataclass(frozen=True)
class Board:
    """Everything that the page shows."""

    round_number: int
    as_of: datetime
    is_frozen: bool
    rows: tuple[Standing, ...]
    names: dict[int, str]
    places: tuple[Place, ...]


def board(row: Round, full: bool = False) -> Board:
    """The cached board; `full` (for admins) sees through the freeze and the rounding of feedback."""
    key = (current_app.config["SQLALCHEMY_DATABASE_URI"], row.id, full, row.board_frozen_at)
    cached: Board = _memo.get(key, current_app.config["LEADERBOARD_CACHE_TIME"], lambda: compute(row, full))
    return cached


def compute(row: Round, full: bool = False, moment: datetime | None = None) -> Board:
    """The board as it is now, or as it was at `moment`."""
    frozen = row.board_frozen_at if not full else None
    until = min(filter(None, (moment, frozen)), default=None)
    rules = rounds.rules(row)
    exact = full or rounds.phase(row).phase is Phase.FINISHED
    defences = _defences(row, until)
    attacks = _attacks(row, rules, until, 0.0 if exact else rules.feedback_step)
    house = _house(row, until)
    entries = _entries(defences, attacks, house if rules.house_counts else {})
    teams = {line.team_id: line for line in defences}
    return Board(
        round_number=row.number,
        as_of=until or now(),
        is_frozen=frozen is not None,
        rows=tuple(standings([entry for entry in entries if not teams[entry.team].is_house], rules)),
        names={identity: line.name for identity, line in teams.items()},
        places=_places(entries, teams, house),
    )


def _defences(row: Round, until: datetime | None) -> Sequence[Row[Any]]:
    """Every team with its counted defence: the version that is attacked once there are matches, else the newest."""
    pinned = db.select(Match.defence_id).where(Match.round_id == row.id)
    matched = row.matched_at is not None and (until is None or row.matched_at <= until)
    order = func.row_number().over(
        partition_by=Defence.team_id,
        order_by=[Defence.id.in_(pinned).desc(), Defence.upload_id.desc()] if matched else Defence.upload_id.desc(),
    )
    counted = (
        db.select(Defence.id, Defence.team_id, Defence.utility, Defence.classic, order.label("place"))
        .join(Upload, Upload.id == Defence.upload_id)
        .where(Defence.round_id == row.id, Upload.kind != UploadKind.ATTACK, *_valid(until))
        .subquery()
    )
    query = (
        db.select(
            Team.id.label("team_id"),
            Team.name,
            Team.is_house,
            counted.c.id.label("defence_id"),
            counted.c.utility,
            counted.c.classic,
        )
        .outerjoin(counted, and_(counted.c.team_id == Team.id, counted.c.place == 1))
        .order_by(Team.id)
    )
    return db.session.execute(query).all()


def _valid(until: datetime | None) -> list[ColumnElement[bool]]:
    valid = [Upload.status != Status.REJECTED]
    return [*valid, Upload.created_at <= until] if until else valid


def _attacks(row: Round, rules: RoundRules, until: datetime | None, step: float) -> dict[tuple[int, int], Attacked]:
    """The counted attack of every match: (attacker, defender) -> result."""
    order: dict[str, list[Any]] = {
        "latest": [Attack.upload_id.desc()],
        "best": [Attack.leakage.desc(), Attack.upload_id.desc()],
        "selected": [Upload.chosen_at.desc().nulls_last(), Attack.upload_id.desc()],
    }
    ranked = (
        db.select(
            Attack.id,
            Attack.match_id,
            func.row_number().over(partition_by=Attack.match_id, order_by=order[rules.counted_attack]).label("place"),
        )
        .join(Upload, Upload.id == Attack.upload_id)
        .where(Upload.round_id == row.id, Attack.leakage.between(0, 1), *_valid(until))
        .subquery()
    )
    query = (
        db.select(Match.attacker_id, Match.defender_id, Attack.leakage, Attack.classic, Attack.replicates)
        .outerjoin(ranked, and_(ranked.c.match_id == Match.id, ranked.c.place == 1))
        .outerjoin(Attack, Attack.id == ranked.c.id)
        .where(Match.round_id == row.id, *([Match.created_at <= until] if until else []))
        .order_by(Match.attacker_id, Match.defender_id)
    )
    return {(line[0], line[1]): _attacked(line[2], line[3], line[4], step) for line in db.session.execute(query)}


def _attacked(leakage: float | None, classic: float | None, replicates: bytes | None, step: float) -> Attacked:
    measured = _sound(leakage)
    if measured is None:
        return Attacked(None)
    coarse = lambda value, unit: round(value / unit) * unit if step else value  # noqa: E731
    return Attacked(coarse(measured, step), coarse(_sound(classic, 10) or 0.0, 10 * step), scores.unpack(replicates))


def _sound(value: object, most: float = 1.0) -> float | None:
    """The number if it is one between 0 and `most`; None for whatever else a broken row holds, NaN among it.

    A broken row costs its team a number, never everybody the page.
    """
    return float(value) if isinstance(value, int | float) and 0 <= value <= most else None


def _house(row: Round, until: datetime | None) -> dict[int, Attacked]:
    """The worst result of the house against each defence."""
    order = func.row_number().over(partition_by=ReferenceResult.defence_id, order_by=ReferenceResult.leakage.desc())
    ranked = (
        db.select(ReferenceResult.id, order.label("place"))
        .join(Defence, Defence.id == ReferenceResult.defence_id)
        .where(
            Defence.round_id == row.id,
            ReferenceResult.leakage.between(0, 1),
            *([ReferenceResult.finished_at <= until] if until else []),
        )
        .subquery()
    )
    query = db.select(ReferenceResult.defence_id, ReferenceResult.leakage, ReferenceResult.replicates).join(
        ranked, and_(ranked.c.id == ReferenceResult.id, ranked.c.place == 1)
    )
    return {line[0]: Attacked(line[1], 5 + 5 * line[1], scores.unpack(line[2])) for line in db.session.execute(query)}


def _entries(
    defences: Sequence[Row[Any]], attacks: dict[tuple[int, int], Attacked], house: dict[int, Attacked]
) -> list[Entry]:
    mine, against = defaultdict(list), defaultdict(list)
    for (attacker, defender), attack in attacks.items():
        mine[attacker].append(attack)
        against[defender].append(attack)
    return [
        Entry(
            team=line.team_id,
            utility=_sound(line.utility),
            classic_utility=_sound(line.classic, 10) or 0.0,
            attacks=tuple(mine[line.team_id]),
            against=(*against[line.team_id], *([house[line.defence_id]] if line.defence_id in house else [])),
        )
        for line in defences
    ]


def _places(entries: list[Entry], teams: dict[int, Row[Any]], house: dict[int, Attacked]) -> tuple[Place, ...]:
    places = []
    for entry in entries:
        line = teams[entry.team]
        attackers = [*entry.against, *([house[line.defence_id]] if line.defence_id in house else [])]
        leaks = [attack.leakage for attack in attackers if attack.leakage is not None]
        if entry.utility is not None and leaks:
            places.append(Place(line.name, entry.utility, max(leaks), line.is_house))
    return tuple(places)


def counted(row: Round) -> dict[tuple[int, int], Attacked]:
    """The exact result that counts now in every match: (attacker's id, defender's id) -> result."""
    return _attacks(row, rounds.rules(row), None, 0.0)


def overall(full: bool = False) -> list[tuple[str, float, dict[int, float]]]:
    """Teams by the sum of their scores over all rounds: (name, sum, score by round number)."""
    totals: dict[str, dict[int, float]] = defaultdict(dict)
    for row in rounds.everyone():
        shown = board(row, full)
        for standing in shown.rows:
            if standing.score is not None:
                totals[shown.names[standing.team]][row.number] = standing.score
    lines = [(name, sum(by_round.values()), by_round) for name, by_round in totals.items()]
    return sorted(lines, key=lambda line: (-line[1], line[0]))


def history(row: Round, full: bool = False) -> dict[str, list[tuple[datetime, float]]]:
    """Each team's score at moments at which results changed, up to 24 of them."""
    key = ("history", current_app.config["SQLALCHEMY_DATABASE_URI"], row.id, full, row.board_frozen_at)
    seconds = 12 * current_app.config["LEADERBOARD_CACHE_TIME"]
    cached: dict[str, list[tuple[datetime, float]]] = _memo.get(key, seconds, lambda: _history(row, full))
    return cached


def _history(row: Round, full: bool) -> dict[str, list[tuple[datetime, float]]]:
    moments = db.session.scalars(
        db.select(Upload.finished_at)
        .where(Upload.round_id == row.id, Upload.status == Status.ACCEPTED, Upload.finished_at.is_not(None))
        .order_by(Upload.finished_at)
    ).all()
    step = max(1, len(moments) // HISTORY_POINTS)
    series: dict[str, list[tuple[datetime, float]]] = defaultdict(list)
    for moment in sorted({*moments[::-1][::step], now()} - {None}):
        shown = compute(row, full, moment)
        for standing in shown.rows:
            if standing.score is not None:
                series[shown.names[standing.team]].append((moment, standing.score))
    return dict(series)


def forget() -> None:
    """Empty the cache of this process."""
    _memo.clear()
