"""Signed links that expire: e-mail verification, password reset, team invitation."""

from typing import Any

from flask import current_app
from itsdangerous import BadSignature, SignatureExpired, URLSafeTimedSerializer

from app.errors import Refused


def sign(purpose: str, payload: Any) -> str:
    """A token that only this installation can make, good for one purpose."""
    return _serializer(purpose).dumps(payload)


def read(purpose: str, token: str, hours: float | None = None) -> Any:
    """The payload of a token. Refuses a forged one, one for another purpose and one that is too old."""
    hours = current_app.config["LINK_HOURS"] if hours is None else hours
    try:
        return _serializer(purpose).loads(token, max_age=int(hours * 3600))
    except SignatureExpired as error:
        raise Refused(f"This link is older than {hours:g} hours. Ask for a new one.") from error
    except BadSignature as error:
        raise Refused("This link is not valid. Copy the whole link, or ask for a new one.") from error


def _serializer(purpose: str) -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(current_app.config["SECRET_KEY"], salt=f"srs {purpose}")
