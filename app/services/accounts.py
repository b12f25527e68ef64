"""People: registering, logging in, verifying, resetting."""

import re
from datetime import timedelta
from uuid import uuid4

from flask import current_app
from sqlalchemy import func, or_, update
from sqlalchemy.exc import IntegrityError

from app.errors import Conflict, Forbidden, NotFound, Refused, TooMany
from app.extensions import db
from app.models import User, now
from app.services import audit, links, mails, passwords, site, teams

USERNAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}[A-Za-z0-9]")
SCIPERS = range(100_000, 1_000_000)
FREE_TRIES = 3
"""Wrong passwords before the growing delay begins."""


def register(
    username: str, email: str, password: str, sciper: int, team: str, new_team: str = "", invitation: str = ""
) -> User:
    """A new person, in a new team, in an open one (`team` is its name) or in the one that invited them, or in none.

    Either both are made or neither.
    """
    if not site.registration_open():
        raise Forbidden("Registration is closed. Ask the teaching staff.")
    user = _new(username, email, password, sciper)
    try:
        db.session.flush()
        _seat(user, team, new_team, invitation)
        audit.record(user, "account.register", user.username)
        _send_verification(user)
        db.session.commit()
    except IntegrityError as error:
        db.session.rollback()
        raise Conflict(
            _taken(username, email.lower(), sciper) or "Somebody took the last seat of this team a moment ago."
        ) from error
    except Refused:
        db.session.rollback()
        raise
    mails.deliver_soon()
    return user


def _seat(user: User, team: str, new_team: str, invitation: str) -> None:
    if team or new_team or invitation:
        teams.refuse_when_locked()
    if new_team:
        teams.found(user, new_team)
    elif invitation:
        teams.take_seat(user, teams.invited_to(invitation), by_invitation=True)
    elif team:
        teams.take_seat(user, teams.named(team))


def _new(username: str, email: str, password: str, sciper: int | None, is_admin: bool = False) -> User:
    username, email = username.strip(), email.strip().lower()
    if not USERNAME.fullmatch(username):
        raise Refused(
            "A username has 2 to 64 letters, digits, dots, dashes or underscores, "
            "and begins and ends with a letter or digit."
        )
    if sciper is not None and sciper not in SCIPERS:
        raise Refused(f"A sciper lies between {SCIPERS.start} and {SCIPERS.stop - 1}.")
    if problem := _taken(username, email, sciper):
        raise Conflict(problem)
    verified = None if current_app.config["VERIFY_EMAIL"] and not is_admin else now()
    user = User(
        username=username,
        email=email,
        password_hash=passwords.hashed(password),
        sciper=sciper,
        is_admin=is_admin,
        verified_at=verified,
        session_key=uuid4().hex,
    )
    db.session.add(user)
    return user


def _taken(username: str, email: str, sciper: int | None) -> str:
    taken = db.session.scalars(
        db.select(User).where(
            or_(func.lower(User.username) == username.lower(), User.email == email, User.sciper == (sciper or -1))
        )
    ).all()
    names = {
        "username": any(user.username.lower() == username.lower() for user in taken),
        "e-mail address": any(user.email == email for user in taken),
        "sciper": any(user.sciper == sciper for user in taken if sciper),
    }
    return " ".join(f"This {name} is already registered." for name, is_taken in names.items() if is_taken)


def create_admin(username: str, email: str, password: str) -> User:
    """A new admin, in no team."""
    user = _new(username, email, password, None, is_admin=True)
    audit.record(None, "account.create_admin", user.username)
    db.session.commit()
    return user


def any_admin() -> bool:
    """Whether there is an active admin."""
    return (
        db.session.scalar(db.select(User.id).where(User.is_admin.is_(True), User.is_active.is_(True)).limit(1))
        is not None
    )


def authenticate(name: str, password: str) -> User:
    """The person with this username or e-mail address and password.

    From the fourth wrong password on, each doubles the time (up to 15 minutes) in which the account takes none.
    """
    user = find(name)
    if user:
        _refuse_during_delay(user)
    if not passwords.matches(user.password_hash if user else "", password) or user is None:
        if user:
            _note_wrong_password(user)
        raise Refused("Invalid username or password.")
    if not user.is_active:
        raise Forbidden("This account is deactivated. Ask the teaching staff.")
    if user.verified_at is None:
        raise Forbidden("Confirm your e-mail address first: open the link in the mail, or ask for a new one below.")
    user.failed_logins, user.locked_until = 0, None
    audit.record(user, "account.login", user.username)
    db.session.commit()
    return user


def _refuse_during_delay(user: User) -> None:
    if user.locked_until and user.locked_until > now():
        seconds = int((user.locked_until - now()).total_seconds()) + 1
        raise TooMany(f"Too many wrong passwords. Try again in {seconds} seconds, or reset your password.")


def _note_wrong_password(user: User) -> None:
    # Counted by the database, so that parallel guesses are all counted.
    db.session.execute(update(User).where(User.id == user.id).values(failed_logins=User.failed_logins + 1))
    db.session.refresh(user)
    over = user.failed_logins - FREE_TRIES
    if over > 0:
        user.locked_until = now() + timedelta(seconds=min(900, 2**over))
    audit.record(None, "account.wrong_password", user.username)
    db.session.commit()


def find(name: str) -> User | None:
    """The person with this username or e-mail address, in any case of letters."""
    name = name.strip().lower()
    return db.session.scalar(db.select(User).where(or_(func.lower(User.username) == name, User.email == name)))


def by_session(identity: str) -> User | None:
    """The active person whom a session cookie names; None once the session key has changed."""
    number, _, key = identity.partition(":")
    user = db.session.get(User, int(number)) if number.isdigit() else None
    return user if user and user.is_active and user.session_key == key else None


def named(username: str) -> User:
    """The person with this username."""
    user = db.session.scalar(db.select(User).where(func.lower(User.username) == username.lower()))
    if user is None:
        raise NotFound("There is nobody of this name.")
    return user


def _send_verification(user: User) -> None:
    if user.verified_at is None:
        token = links.sign("verify", [user.id, user.email])
        mails.post(user, "verify", "Confirm your e-mail address", token=token)


def resend_verification(email: str) -> None:
    """Send the link again; says nothing about whether the address is known."""
    user = find(email)
    if user and user.verified_at is None:
        _send_verification(user)
        db.session.commit()
        mails.deliver_soon()


def verify(token: str) -> User:
    """Confirm the address in a signed link."""
    identity, email = links.read("verify", token)
    user = db.session.get(User, identity)
    if user is None or user.email != email:
        raise Refused("This link belongs to an address that has been changed since.")
    user.verified_at = user.verified_at or now()
    audit.record(user, "account.verify", user.username)
    db.session.commit()
    return user


def request_reset(email: str) -> None:
    """Send a reset link; says nothing about whether the address is known."""
    if not current_app.config["PASSWORD_RESET"]:
        raise Forbidden("Passwords are reset by the teaching staff.")
    user = find(email)
    if user and user.is_active:
        mails.post(user, "reset", "Choose a new password", token=_reset_token(user))
        audit.record(user, "account.request_reset", user.username)
        db.session.commit()
        mails.deliver_soon()


def _reset_token(user: User) -> str:
    # The hash makes the link good for one reset only.
    return links.sign("reset", [user.id, user.password_hash[-12:]])


def resettable(token: str) -> User:
    """The person whose password a reset link changes. Refuses a link that is forged, too old or used."""
    identity, mark = links.read("reset", token)
    user = db.session.get(User, identity)
    if user is None or user.password_hash[-12:] != mark:
        raise Refused("This link has been used already. Ask for a new one.")
    return user


def reset(token: str, password: str) -> User:
    """Set a new password by a signed link, and log the person out everywhere else."""
    user = resettable(token)
    _set_password(user, password)
    # Whoever opened the link reads the address's mail.
    user.verified_at = user.verified_at or now()
    audit.record(user, "account.reset", user.username)
    db.session.commit()
    return user


def change_password(user: User, old: str, new: str) -> None:
    """Set a new password, knowing the old one; wrong ones count as at the login, since a session can be stolen."""
    _refuse_during_delay(user)
    if not passwords.matches(user.password_hash, old):
        _note_wrong_password(user)
        raise Refused("The current password is not right.")
    _set_password(user, new)
    audit.record(user, "account.change_password", user.username)
    db.session.commit()


def _set_password(user: User, password: str) -> None:
    user.password_hash = passwords.hashed(password)
    user.session_key = uuid4().hex
    user.failed_logins, user.locked_until = 0, None


def everybody(search: str = "") -> list[User]:
    """All people by name, or those whose name, address or sciper contains the text."""
    query = db.select(User).order_by(func.lower(User.username))
    if search:
        places = (User.username, User.email, db.cast(User.sciper, db.String))
        query = query.where(or_(*(place.icontains(search, autoescape=True) for place in places)))
    return list(db.session.scalars(query))


def edit(admin: User, user: User, email: str, sciper: int | None, is_admin: bool, is_active: bool) -> None:
    """Change a person; an admin cannot take away their own rights."""
    if is_admin and teams.of(user):
        raise Conflict("Admins are in no team. Take this person out of the team first.")
    if user.id == admin.id and not (is_admin and is_active):
        raise Conflict("You cannot take away your own admin rights or deactivate yourself. Ask another admin.")
    if sciper is not None and sciper not in SCIPERS:
        raise Refused(f"A sciper lies between {SCIPERS.start} and {SCIPERS.stop - 1}.")
    before = {"email": user.email, "sciper": user.sciper, "is_admin": user.is_admin, "is_active": user.is_active}
    after = {"email": email.strip().lower(), "sciper": sciper, "is_admin": is_admin, "is_active": is_active}
    changes = {name: [before[name], after[name]] for name in after if before[name] != after[name]}
    try:
        for name, value in after.items():
            setattr(user, name, value)
        if not is_active:
            user.session_key = uuid4().hex
        audit.record(admin, "user.edit", user.username, **changes)
        db.session.commit()
    except IntegrityError as error:
        db.session.rollback()
        raise Conflict("Another account has this e-mail address or sciper.") from error


def admin_reset(admin: User, user: User) -> str:
    """Log a person out and return a reset link's token, which is also mailed."""
    user.session_key = uuid4().hex
    token = _reset_token(user)
    mails.post(user, "reset", "Choose a new password", token=token)
    audit.record(admin, "user.reset", user.username)
    db.session.commit()
    mails.deliver_soon()
    return token
