"""What every template knows: who looks, their team, the current round and its phase."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask import Flask, g
from flask_login import current_user

from app.models import Round, Team, User
from app.rules.phases import Phase
from app.services import rounds, teams
from app.web import PRODUCT
from app.web.measures import beside_leakage


@dataclass(frozen=True)
class PhaseView:
    """The current phase as the templates need it."""

    name: str
    label: str
    defence_open: bool
    attack_open: bool
    next_change: datetime | None
    next_name: str
    """What happens then, as in "Attack phase in 2 d" and "The round ends in 2 d"."""


@dataclass(frozen=True)
class RoundView:
    """The current round as the templates need it."""

    number: int
    title: str
    phase_label: str


def person() -> User | None:
    """Whoever is logged in."""
    user: User | None = current_user._get_current_object() if current_user.is_authenticated else None
    return user


def team() -> Team | None:
    """The team of whoever is logged in, asked of the database once a request."""
    if "team" not in g:
        user = person()
        g.team = teams.of(user) if user else None
    found: Team | None = g.team
    return found


def current_round() -> Round | None:
    """The current round, asked of the database once a request."""
    if "round" not in g:
        g.round = rounds.current()
    found: Round | None = g.round
    return found


def phase_view(row: Round | None) -> PhaseView:
    """A round's phase as the templates need it."""
    if row is None:
        return PhaseView("none", "No round yet", False, False, None, "")
    table = rounds.phase(row)
    phase: Phase = table.phase
    following = coming(table.next_phase) if table.next_phase else ""
    return PhaseView(phase.value, phase.label, phase.defence_open, phase.attack_open, table.next_change, following)


def coming(phase: Phase) -> str:
    """What the beginning of a phase is called ahead of it: "Attack phase", "The round ends"."""
    return {Phase.FINISHED: "The round ends", Phase.NONE: "The round closes"}.get(phase, phase.label)


def init_app(app: Flask) -> None:
    """Make these known to every template."""
    # Globals, because macros of other files do not see what a context processor adds.
    app.jinja_env.globals.update(coming=coming, beside_leakage=beside_leakage)

    @app.context_processor
    def known() -> dict[str, Any]:
        row = current_round()
        view = phase_view(row)
        return {
            "product": PRODUCT,
            "current_team": team(),
            "current_round": RoundView(row.number, row.title, view.label) if row else None,
            "phase": view,
        }
