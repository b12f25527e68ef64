"""Who asks: the owner of a token, or whoever is logged in in this browser."""

from dataclasses import dataclass

from flask import current_app, g, request
from flask_limiter.util import get_remote_address
from flask_login import current_user
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import Unauthorized

from app.errors import Forbidden
from app.extensions import csrf
from app.models import ApiToken, User
from app.services import tokens
from app.services.tokens import Scope

SAFE = {"GET", "HEAD", "OPTIONS"}


@dataclass(frozen=True)
class Caller:
    """Who asks, and with which token; `problem` says why an Authorization header opens nothing."""

    person: User | None = None
    token: ApiToken | None = None
    problem: str = ""


def caller() -> Caller:
    """Who asks, found out once a request."""
    if "caller" not in g:
        g.caller = _identify()
    found: Caller = g.caller
    return found


def _identify() -> Caller:
    header = request.headers.get("Authorization")
    if header is None:
        is_known = current_user.is_authenticated
        return Caller(person=current_user._get_current_object() if is_known else None)
    # The cookie does not count beside a header: what is not checked for forgery must not be helped by the browser.
    scheme, _, secret = header.partition(" ")
    if scheme.lower() != "bearer":
        return Caller(problem="Send the token as 'Authorization: Bearer …'.")
    token = tokens.authenticate(secret.strip())
    if token is None:
        return Caller(problem="This token is unknown, expired or revoked.")
    return Caller(token.user, token)


def key() -> str:
    """Whose requests are counted together: a token's, else a person's, else an address's."""
    found = caller()
    if found.token:
        return f"token {found.token.id}"
    return f"person {found.person.id}" if found.person else f"address {get_remote_address()}"


def guard() -> None:
    """Before every operation: refuse a bad token, and a session's state change without its CSRF token."""
    found = caller()
    if found.problem:
        raise _unauthorised(found.problem, "invalid_token")
    if found.person and not found.token and request.method not in SAFE and current_app.config["WTF_CSRF_ENABLED"]:
        csrf.protect()


def me() -> User:
    """The person who asks; for operations behind `require_person`."""
    person = caller().person
    if person is None:
        raise _unauthorised("Send a token as 'Authorization: Bearer …', or log in on the site.")
    return person


def needed(method: str, is_admin: bool) -> Scope:
    """The scope that a token needs for a method."""
    if is_admin:
        return Scope.ADMIN
    return Scope.READ if method.upper() in SAFE else Scope.UPLOAD


def require_person() -> None:
    """Somebody, with a token for this if it is a token."""
    me()
    _require_scope(needed(request.method, is_admin=False))


def require_admin() -> None:
    """An admin, with a token for this if it is a token."""
    if not me().is_admin:
        raise Forbidden("Only the teaching staff may do this.")
    _require_scope(Scope.ADMIN)


def _require_scope(scope: Scope) -> None:
    if not has_scope(scope):
        raise Forbidden(f"This token lacks the scope {scope}.")


def has_scope(scope: Scope) -> bool:
    """Whether the caller may use this scope; a session has all of them."""
    token = caller().token
    return token is None or scope in token.scopes


def sees_all() -> bool:
    """Whether an admin asks as an admin."""
    return me().is_admin and has_scope(Scope.ADMIN)


def _unauthorised(detail: str, error: str = "") -> Unauthorized:
    values: dict[str, str | None] = {"realm": "srs", **({"error": error} if error else {})}
    return Unauthorized(detail, www_authenticate=WWWAuthenticate("bearer", values))
