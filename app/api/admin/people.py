"""People and teams: looking up, editing, resetting, moving; and the switches of the site."""

from typing import Any

from flask import current_app

from app.api.admin import resource
from app.api.auth import me
from app.api.schemas.admin import SearchSchema, SiteSchema
from app.api.schemas.teams import NewTeamSchema, ResetSchema, SeatSchema, TeamDetailSchema, UserEditSchema, UserSchema
from app.api.teams import full as full_team
from app.errors import InvalidParameters
from app.models import Team, User
from app.services import accounts, site, teams

blueprint = resource("people", "People, teams, registration.")
COLUMNS = ("username", "email", "sciper", "is_admin", "is_active", "created_at", "verified_at")
NAME = "<string(maxlength=64):username>"


def _shown(user: User, team: Team | None) -> dict[str, Any]:
    return {name: getattr(user, name) for name in COLUMNS} | {"team": team}


@blueprint.route("/admin/users")
@blueprint.arguments(SearchSchema, location="query")
@blueprint.response(200, UserSchema(many=True))
@blueprint.paginate()
def everybody(filters: dict[str, Any], pagination_parameters: Any) -> list[dict[str, Any]]:
    """All people by name, or those who match a search."""
    found, seats = accounts.everybody(filters.get("search", "").strip()), teams.by_person()
    pagination_parameters.item_count = len(found)
    shown = found[pagination_parameters.first_item : pagination_parameters.last_item + 1]
    return [_shown(user, seats.get(user.id)) for user in shown]


@blueprint.route(f"/admin/users/{NAME}")
@blueprint.response(200, UserSchema)
def one(username: str) -> dict[str, Any]:
    """One person."""
    user = accounts.named(username)
    return _shown(user, teams.of(user))


@blueprint.route(f"/admin/users/{NAME}", methods=["PATCH"])
@blueprint.arguments(UserEditSchema)
@blueprint.response(200, UserSchema)
def edit(values: dict[str, Any], username: str) -> dict[str, Any]:
    """Change a person. Nobody takes away their own rights."""
    user = accounts.named(username)
    names = ("email", "sciper", "is_admin", "is_active")
    kept = {name: getattr(user, name) for name in names}
    accounts.edit(me(), user, **{**kept, **values})
    return _shown(user, teams.of(user))


@blueprint.route(f"/admin/users/{NAME}/team", methods=["PUT"])
@blueprint.arguments(SeatSchema)
@blueprint.response(200, UserSchema)
def move(values: dict[str, Any], username: str) -> dict[str, Any]:
    """Put a person into a team, or take them out; the lock date does not matter."""
    user, identity = accounts.named(username), values["team_id"]
    teams.move(me(), user, None if identity is None else teams.by_id(identity))
    return _shown(user, teams.of(user))


@blueprint.route(f"/admin/users/{NAME}/reset", methods=["POST"])
@blueprint.response(200, ResetSchema)
def reset(username: str) -> dict[str, str]:
    """Log a person out everywhere, their tokens among it, and make a link for a new password."""
    token = accounts.admin_reset(me(), accounts.named(username))
    return {"link": f"{current_app.config['PUBLIC_URL']}/reset/{token}"}


@blueprint.route("/admin/teams/<id:identity>/name", methods=["PUT"])
@blueprint.arguments(NewTeamSchema)
@blueprint.response(200, TeamDetailSchema)
def rename(values: dict[str, Any], identity: int) -> dict[str, Any]:
    """Rename a team."""
    team = teams.by_id(identity)
    teams.rename(me(), team, values["name"])
    return full_team(team)


@blueprint.route(f"/admin/teams/<id:identity>/members/{NAME}", methods=["DELETE"])
@blueprint.response(204)
def remove(identity: int, username: str) -> None:
    """Take a person out of this team; one who is not in it, or not any more, stays where they are."""
    team, user = teams.by_id(identity), accounts.named(username)
    if user in teams.members(team):
        teams.move(me(), user, None)


@blueprint.route("/admin/site")
@blueprint.response(200, SiteSchema)
def show_site() -> dict[str, Any]:
    """The switches of the site."""
    return _switches()


@blueprint.route("/admin/site", methods=["PATCH"])
@blueprint.arguments(SiteSchema)
@blueprint.response(200, SiteSchema)
def edit_site(values: dict[str, Any]) -> dict[str, Any]:
    """Open or lock registration; set or clear the date from which on nobody changes team."""
    if not values:
        raise InvalidParameters({"registration_open": "name at least one switch"})
    if "registration_open" in values:
        site.set_registration_open(me(), values["registration_open"])
    if "team_lock" in values:
        site.set_team_lock(me(), values["team_lock"])
    return _switches()


def _switches() -> dict[str, Any]:
    return {"registration_open": site.registration_open(), "team_lock": site.team_lock()}
