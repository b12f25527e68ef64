"""Who asks, and the tokens of whoever asks."""

from typing import Any

from flask import url_for

from app.api import auth
from app.api.auth import me
from app.api.blueprint import Access, Resource
from app.api.limits import as_on_page
from app.api.schemas.accounts import PasswordChangeSchema
from app.api.schemas.teams import MadeTokenSchema, MeSchema, NewTokenSchema, TokenSchema
from app.errors import Forbidden
from app.models import ApiToken, Team, UploadKind
from app.services import accounts, rounds, teams, tokens, uploads
from app.services.tokens import Scope

blueprint = Resource("me", "me", "Who asks, and with what.")
login = Resource("login", "me", "Making a token with a password.", Access.PUBLIC)


@blueprint.route("/me")
@blueprint.response(200, MeSchema)
def show() -> dict[str, Any]:
    """The person, team and token behind this request."""
    user, team, token = me(), teams.of(me()), auth.caller().token
    about = {name: getattr(user, name) for name in ("username", "email", "sciper", "is_admin", "created_at")}
    about |= {"team": team, "memberships": user.memberships}
    return {**about, "token": _shown(token) if token else None, "uploads_left": _left(team)}


def _left(team: Team | None) -> dict[str, int] | None:
    row = rounds.current()
    if team is None or row is None:
        return None
    kinds = (UploadKind.DEFENCE, UploadKind.ATTACK)
    return {kind.value: max(0, uploads.remaining(team, row, kind)) for kind in kinds}


@blueprint.route("/me/password", methods=["PUT"])
@as_on_page("accounts.password")
@blueprint.arguments(PasswordChangeSchema)
@blueprint.response(204)
def change_password(values: dict[str, Any]) -> None:
    """Set a new password, knowing the current one; every session and token ends, the one that was sent among them."""
    accounts.change_password(me(), values["current"], values["password"])


@blueprint.route("/tokens")
@blueprint.response(200, TokenSchema(many=True))
def everyone() -> list[dict[str, Any]]:
    """One's own tokens, newest first, spent ones among them."""
    return [_shown(token) for token in tokens.of(me())]


@login.route("/tokens", methods=["POST"])
@as_on_page("accounts.login")
@login.arguments(NewTokenSchema)
@login.response(201, MadeTokenSchema, headers={"Location": {"schema": {"type": "string"}}})
def create(values: dict[str, Any]) -> tuple[dict[str, Any], int, dict[str, str]]:
    """Make a token with username and password; the answer is the only one that shows its secret.

    Without a password, make one on the page *API tokens* of the site.
    """
    user = accounts.authenticate(values["username"], values["password"])
    scopes = {Scope(word) for word in values["scopes"]}
    token, secret = tokens.create(user, values["name"], scopes, values["days"])
    return {**_shown(token), "secret": secret}, 201, {"Location": url_for("api.me.show")}


@blueprint.route("/tokens/<id:identity>", methods=["DELETE"])
@blueprint.response(204)
def revoke(identity: int) -> None:
    """Revoke one's own token: itself, or with the scope upload another one."""
    token, used = tokens.one(me(), identity), auth.caller().token
    if used is not None and used.id != token.id and not set(token.scopes) <= set(used.scopes):
        raise Forbidden("This token may not revoke one that may do more. Revoke it on the site.")
    tokens.revoke(me(), token)


def _shown(token: ApiToken) -> dict[str, Any]:
    names = ("id", "name", "prefix", "scopes", "created_at", "expires_at", "revoked_at", "last_used_at")
    return {name: getattr(token, name) for name in names} | {"is_valid": tokens.is_valid(token)}
