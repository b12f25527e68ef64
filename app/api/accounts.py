"""Registering, confirming an address, resetting a password; and what everybody sees of a person."""

from typing import Any

from app.api.blueprint import Access, Resource
from app.api.limits import as_on_page
from app.api.schemas.accounts import (
    AccountSchema,
    AddressSchema,
    ConfirmationSchema,
    NewPasswordSchema,
    ProfileSchema,
    RegistrationSchema,
)
from app.services import accounts, teams

blueprint = Resource("accounts", "accounts", "Registering, confirming an address, resetting a password.", Access.PUBLIC)
profiles = Resource("users", "accounts", "What everybody sees of a person.")


@blueprint.route("/accounts", methods=["POST"])
@as_on_page("accounts.register", "REGISTER_RATE_LIMIT")
@blueprint.arguments(RegistrationSchema)
@blueprint.response(201, AccountSchema)
def register(values: dict[str, Any]) -> dict[str, Any]:
    """Register a person and their seat in a team, or neither; the same person again is a conflict.

    Then make a token with `POST /api/tokens`, once the address is confirmed where this site asks for that.
    """
    user = accounts.register(**values)
    about = {name: getattr(user, name) for name in ("username", "email", "sciper")}
    return {**about, "is_confirmed": user.verified_at is not None, "team": teams.of(user)}


@blueprint.route("/accounts/confirm/link", methods=["POST"])
@as_on_page("accounts.resend")
@blueprint.arguments(AddressSchema)
@blueprint.response(202)
def resend(values: dict[str, Any]) -> None:
    """Send the confirmation link again; the answer is the same for every address."""
    accounts.resend_verification(values["email"])


@blueprint.route("/accounts/confirm", methods=["POST"])
@blueprint.arguments(ConfirmationSchema)
@blueprint.response(204)
def confirm(values: dict[str, Any]) -> None:
    """Confirm an address by the link in the mail; a second time changes nothing."""
    accounts.verify(values["token"])


@blueprint.route("/accounts/reset/link", methods=["POST"])
@as_on_page("accounts.forgot")
@blueprint.arguments(AddressSchema)
@blueprint.response(202)
def forgot(values: dict[str, Any]) -> None:
    """Send a link for a new password; the answer is the same for every address."""
    accounts.request_reset(values["email"])


@blueprint.route("/accounts/reset", methods=["POST"])
@as_on_page("accounts.reset")
@blueprint.arguments(NewPasswordSchema)
@blueprint.response(204)
def reset(values: dict[str, Any]) -> None:
    """Set a new password by the link in the mail, which is good for one use; every session and token ends."""
    accounts.reset(values["token"], values["password"])


@profiles.route("/users/<string(maxlength=64):username>")
@profiles.response(200, ProfileSchema)
def one(username: str) -> dict[str, Any]:
    """Name and team of a person; of oneself there is more in `/api/me`."""
    user = accounts.named(username)
    return {"username": user.username, "is_admin": user.is_admin, "team": teams.of(user)}
