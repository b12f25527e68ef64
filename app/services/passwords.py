"""Hashing and checking passwords with argon2id."""

from functools import lru_cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from flask import current_app

from app.errors import Refused


@lru_cache
def _hasher(memory_kib: int) -> PasswordHasher:
    # OWASP's parameters: 19 MiB, two passes, one lane.
    return PasswordHasher(time_cost=2, memory_cost=memory_kib, parallelism=1)


def hasher() -> PasswordHasher:
    """The hasher of this installation."""
    return _hasher(current_app.config["ARGON2_MEMORY_KIB"])


def hashed(password: str) -> str:
    """The hash of a new password. Refuses one that is too short or absurdly long."""
    minimum = current_app.config["PASSWORD_MIN_LENGTH"]
    if not minimum <= len(password) <= 1000:
        raise Refused(f"A password needs {minimum} to 1000 characters.")
    return hasher().hash(password)


def matches(stored: str, password: str) -> bool:
    """Whether the password is the one that was hashed; takes as long for an unusable hash."""
    try:
        return hasher().verify(stored or _decoy(), password) and bool(stored)
    except (VerificationError, InvalidHashError):
        return False


@lru_cache(maxsize=1)
def _decoy() -> str:
    return hasher().hash("nobody's password")
