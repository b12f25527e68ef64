"""Tokens with which programs act for a person: made, used, listed, revoked."""

import secrets
from collections.abc import Collection
from datetime import timedelta
from enum import StrEnum
from hashlib import sha256

from sqlalchemy import func, or_, update

from app.errors import Conflict, Forbidden, NotFound, Refused
from app.extensions import db
from app.models import ApiToken, User, now
from app.services import audit

MARK = "srs_"
"""How every secret begins, so that people and scanners of leaked secrets know it for what it is."""
MAX_DAYS = 366
MAX_TOKENS = 50
"""Valid tokens of one person."""
USE_STEP = timedelta(minutes=1)
"""How exactly the last use is noted: a write for every request would make reading as dear as writing."""


class Scope(StrEnum):
    """What a token may do; none of them includes another."""

    READ = "read"
    UPLOAD = "upload"
    ADMIN = "admin"

    @property
    def help(self) -> str:
        """What the scope allows, as a sentence."""
        return HELP[self]


HELP = {
    Scope.READ: "See everything that you see on the pages, and download.",
    Scope.UPLOAD: "Hand in files, and act for yourself and your team.",
    Scope.ADMIN: "Use the functions of the teaching staff; only for admins.",
}


def create(user: User, name: str, scopes: Collection[Scope], days: int) -> tuple[ApiToken, str]:
    """A new token and its secret, which nobody can see again afterwards."""
    name = " ".join(name.split())
    _refuse_unfit(user, name, scopes, days)
    secret = MARK + secrets.token_urlsafe(32)
    token = ApiToken(
        user_id=user.id,
        name=name,
        prefix=secret[:12],
        digest=_digest(secret),
        scopes=sorted({scope.value for scope in scopes}),
        session_key=user.session_key,
        expires_at=now() + timedelta(days=days),
    )
    db.session.add(token)
    db.session.flush()
    audit.record(user, "token.create", f"token {token.id}", name=name, scopes=token.scopes, days=days)
    db.session.commit()
    return token, secret


def _refuse_unfit(user: User, name: str, scopes: Collection[Scope], days: int) -> None:
    if not 1 <= len(name) <= 80:
        raise Refused("Give the token a name of 1 to 80 letters, so that you know it again.")
    if not scopes:
        raise Refused("Choose at least one scope.")
    if not 1 <= days <= MAX_DAYS:
        raise Refused(f"A token is valid for 1 to {MAX_DAYS} days.")
    if Scope.ADMIN in scopes and not user.is_admin:
        raise Forbidden("Only admins make tokens with the scope admin.")
    if _valid_count(user) >= MAX_TOKENS:
        raise Conflict(f"You have {MAX_TOKENS} valid tokens. Revoke one that you do not need.")


def _valid_count(user: User) -> int:
    query = db.select(func.count(ApiToken.id)).where(
        ApiToken.user_id == user.id,
        ApiToken.revoked_at.is_(None),
        ApiToken.expires_at > now(),
        ApiToken.session_key == user.session_key,
    )
    return db.session.scalar(query) or 0


def _digest(secret: str) -> str:
    return sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def authenticate(secret: str) -> ApiToken | None:
    """The valid token with this secret, its use noted; None for one that is unknown, expired, revoked or orphaned."""
    # The lookup is by a digest of 256 random bits, so that its duration tells nothing about other secrets.
    token = db.session.scalar(db.select(ApiToken).where(ApiToken.digest == _digest(secret)))
    if token is None or not is_valid(token):
        return None
    moment = now()
    if token.last_used_at is None or token.last_used_at < moment - USE_STEP:
        _note_use(token)
    return token


def _note_use(token: ApiToken) -> None:
    moment = now()
    db.session.execute(
        update(ApiToken)
        .where(
            ApiToken.id == token.id,
            or_(ApiToken.last_used_at.is_(None), ApiToken.last_used_at < moment - USE_STEP),
        )
        .values(last_used_at=moment)
    )
    db.session.commit()


def is_valid(token: ApiToken) -> bool:
    """Whether the token opens anything: neither expired nor revoked, its owner active and not logged out since."""
    user = token.user
    is_alive = token.revoked_at is None and token.expires_at > now()
    return is_alive and user.is_active and token.session_key == user.session_key


def of(user: User) -> list[ApiToken]:
    """A person's tokens, newest first, spent ones among them."""
    return list(db.session.scalars(db.select(ApiToken).where(ApiToken.user_id == user.id).order_by(ApiToken.id.desc())))


def one(user: User, identity: int) -> ApiToken:
    """One of a person's own tokens."""
    token = db.session.get(ApiToken, identity)
    if token is None or token.user_id != user.id:
        raise NotFound("You have no such token.")
    return token


def revoke(user: User, token: ApiToken) -> None:
    """End a token; a second time changes nothing."""
    if token.revoked_at is not None:
        return
    token.revoked_at = now()
    audit.record(user, "token.revoke", f"token {token.id}", name=token.name)
    db.session.commit()
