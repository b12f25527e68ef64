"""Switches that admins turn while the site runs."""

from datetime import UTC, datetime

from flask import current_app

from app.extensions import db
from app.models import SiteSetting, User, now
from app.services import audit


def registration_open() -> bool:
    """Whether new people may register."""
    return bool(_value("registration_open", current_app.config["REGISTRATION_OPEN"]))


def team_lock() -> datetime | None:
    """The moment from which on nobody changes team."""
    text = _value("team_lock", current_app.config["TEAM_LOCK_DATE"])
    if not text:
        return None
    moment = datetime.fromisoformat(str(text))
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def teams_locked() -> bool:
    """Whether the lock date has passed."""
    lock = team_lock()
    return lock is not None and lock <= now()


def set_registration_open(admin: User, is_open: bool) -> None:
    """Open or lock registration."""
    _set("registration_open", is_open)
    audit.record(admin, "site.registration", "open" if is_open else "locked")
    db.session.commit()


def set_team_lock(admin: User, moment: datetime | None) -> None:
    """Set or clear the moment from which on nobody changes team."""
    _set("team_lock", moment.astimezone(UTC).isoformat() if moment else "")
    audit.record(admin, "site.team_lock", str(moment or "none"))
    db.session.commit()


def last_sweep() -> datetime | None:
    """When the sweeper last ran to its end; None before its first run."""
    text = _value("last_sweep", "")
    return datetime.fromisoformat(str(text)) if text else None


def note_sweep() -> None:
    """The sweeper ran to its end."""
    _set("last_sweep", now().isoformat())
    db.session.commit()


def _value(name: str, default: object) -> object:
    row = db.session.get(SiteSetting, name)
    return default if row is None else row.value


def _set(name: str, value: object) -> None:
    db.session.merge(SiteSetting(name=name, value=value))
