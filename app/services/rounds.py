"""Rounds: creating them, their settings, their phases and schedules."""

import secrets
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from flask import current_app
from sqlalchemy import func, update

from app import tracks
from app.errors import Conflict, NotFound
from app.extensions import db
from app.models import Asset, PhaseChange, Round, User, now
from app.parameters import Parameter, as_json, describe, parse
from app.rules.phases import Phase, Timetable, timetable
from app.rules.settings import RoundRules
from app.services import audit, datasets, mails, queue, teams
from app.tracks.base import Data, Seat, Track

OPENING = {Phase.DEFENCE, Phase.ATTACK, Phase.BOTH}
"""Phases that open a round and so freeze its settings."""


def current() -> Round | None:
    """The round that the pages mean when they name none."""
    return db.session.scalar(db.select(Round).where(Round.is_current.is_(True)))


def by_number(number: int | None) -> Round:
    """The round of this number, or the current one."""
    row = current() if number is None else db.session.scalar(db.select(Round).where(Round.number == number))
    if row is None:
        raise NotFound("There is no such round." if number is not None else "No round has been set up yet.")
    return row


def everyone() -> list[Round]:
    """All rounds, newest first."""
    return list(db.session.scalars(db.select(Round).order_by(Round.number.desc())))


def phase(row: Round, moment: datetime | None = None) -> Timetable:
    """Where a round stands now: the same for every process, because it is computed from the table."""
    return timetable(row.changes, moment or now())


def track(row: Round) -> Track:
    """The round's game with its settings, to ask what it offers; its data set is known by its kind only."""
    data = Data(row.data.kind, Path()) if row.data else None
    return tracks.game(row.track, row.track_settings, Seat(row.seed), data)


def rules(row: Round) -> RoundRules:
    """The round's rules."""
    return parse(RoundRules, row.rules)


def setting_fields(slug: str) -> tuple[tuple[Parameter, ...], tuple[Parameter, ...]]:
    """The parameters of a track's settings and of the rules, with this installation's defaults."""
    card = tracks.card(slug)
    return _configured(card.load().Settings), _configured(RoundRules, card.rules)


def _configured(cls: type, usual: Mapping[str, Any] = MappingProxyType({})) -> tuple[Parameter, ...]:
    defaults = {**usual, **current_app.config}
    return tuple(
        replace(parameter, default=defaults.get(parameter.name, parameter.default)) for parameter in describe(cls)
    )


def _filled(cls: type, fields: tuple[Parameter, ...], values: Mapping[str, Any]) -> dict[str, Any]:
    return as_json(parse(cls, {**{field.name: field.default for field in fields}, **values}))


def _filled_both(
    slug: str, settings: Mapping[str, Any], rule_values: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    of_track, of_rules = setting_fields(slug)
    return _filled(tracks.card(slug).load().Settings, of_track, settings), _filled(RoundRules, of_rules, rule_values)


def own_settings(row: Round) -> dict[str, Any]:
    """The track's settings of a round that differ from the defaults that come with the track."""
    settings = describe(tracks.card(row.track).load().Settings)
    chosen = {parameter.name: row.track_settings.get(parameter.name, parameter.default) for parameter in settings}
    return {
        parameter.name: chosen[parameter.name] for parameter in settings if chosen[parameter.name] != parameter.default
    }


def create(
    admin: User | None,
    track: str,
    title: str = "",
    settings: Mapping[str, Any] | None = None,
    rule_values: Mapping[str, Any] | None = None,
    seed: int | None = None,
    data: Asset | None = None,
) -> Round:
    """A new round in phase none; the first one becomes the current one.

    Raises InvalidParameters, also when the data set cannot carry a round with these settings.
    """
    card = tracks.card(track)
    last = db.session.scalar(db.select(func.max(Round.number))) or 0
    filled, filled_rules = _filled_both(card.slug, settings or {}, rule_values or {})
    row = Round(
        number=last + 1,
        title=title.strip() or card.title,
        track=card.slug,
        track_settings=filled,
        rules=filled_rules,
        seed=secrets.randbits(62) if seed is None else seed,
        is_current=current() is None,
        data=data,
    )
    datasets.check(row)
    db.session.add(row)
    db.session.flush()
    audit.record(admin, "round.create", f"round {row.number}", track=card.slug)
    db.session.commit()
    return row


def edit(
    admin: User,
    row: Round,
    title: str,
    settings: Mapping[str, Any],
    rule_values: Mapping[str, Any],
    data: Asset | None = None,
) -> None:
    """Change a round's title at any time, its settings and its data set until it opens.

    Raises InvalidParameters, also when the data set cannot carry a round with these settings.
    """
    filled = *_filled_both(row.track, settings, rule_values), data
    if is_open(row) and filled != (row.track_settings, row.rules, row.data):
        raise Conflict("The settings were frozen when the round opened. Set up a new round to change them.")
    row.title = title.strip() or row.title
    row.track_settings, row.rules, row.data = filled
    if not is_open(row):
        datasets.check(row)
    audit.record(admin, "round.edit", f"round {row.number}")
    db.session.commit()


def is_open(row: Round) -> bool:
    """Whether the round has ever opened, which freezes its settings."""
    return row.opened_at is not None and row.opened_at <= now()


def make_current(admin: User | None, row: Round) -> None:
    """Make this the round that the pages mean when they name none."""
    db.session.execute(update(Round).values(is_current=False))
    row.is_current = True
    audit.record(admin, "round.current", f"round {row.number}")
    db.session.commit()


def set_phase(admin: User | None, row: Round, target: Phase) -> None:
    """Change the phase now."""
    _change(admin, row, target, now())
    announce()


def schedule(admin: User, row: Round, target: Phase, at: datetime) -> None:
    """Change the phase at a moment in the future."""
    if at <= now():
        raise Conflict("This moment is in the past. Choose a later one, or change the phase now.")
    _change(admin, row, target, at)


def _change(admin: User | None, row: Round, target: Phase, at: datetime) -> None:
    row.changes.append(PhaseChange(phase=target, at=at))
    if target in OPENING:
        row.opened_at = min(at, row.opened_at or at)
    audit.record(admin, "round.phase", f"round {row.number}", phase=target, at=at.isoformat())
    db.session.commit()


def unschedule(admin: User, row: Round, change_id: int) -> None:
    """Take back a change that has not happened yet."""
    for change in row.changes:
        if change.id == change_id and change.at > now():
            break
    else:
        raise Conflict("This change has happened already.")
    row.changes.remove(change)
    row.opened_at = min((one.at for one in row.changes if one.phase in OPENING), default=None)
    audit.record(admin, "round.unschedule", f"round {row.number}", phase=change.phase, at=change.at.isoformat())
    db.session.commit()


def announce() -> None:
    """Mail everybody about phases that have opened since the last call; each is announced once."""
    due = db.session.scalars(
        db.select(PhaseChange).where(PhaseChange.announced_at.is_(None), PhaseChange.at <= now())
    ).all()
    for change in due:
        claimed = db.session.execute(
            update(PhaseChange)
            .where(PhaseChange.id == change.id, PhaseChange.announced_at.is_(None))
            .values(announced_at=now())
        )
        if claimed.rowcount and _is_latest(change) and change.phase is not Phase.NONE:  # type: ignore[attr-defined]
            subject = f"Round {change.round.number}: {change.phase.label}"
            card = tracks.card(change.round.track)
            mails.post_all(teams.players(), "phase", subject, round=change.round, phase=change.phase, card=card)
    db.session.commit()
    for round_id in sorted({change.round_id for change in due if change.phase in OPENING}):
        queue.enqueue("issues.prepare", round_id, queue=queue.CHECKS)
    if due:
        mails.deliver_soon()


def _is_latest(change: PhaseChange) -> bool:
    past = [one.id for one in change.round.changes if one.at <= now()]
    return past[-1:] == [change.id]


def freeze_board(admin: User, row: Round, frozen: bool) -> None:
    """Show students the leaderboard as it is now, or live again."""
    row.board_frozen_at = now() if frozen else None
    audit.record(admin, "round.freeze" if frozen else "round.unfreeze", f"round {row.number}")
    db.session.commit()


def by_id(identity: int) -> Round:
    """The round with this id."""
    return db.session.get_one(Round, identity)
