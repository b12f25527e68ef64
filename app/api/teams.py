"""Teams: who is in them, founding, joining, leaving."""

from typing import Any

from flask import current_app

from app.api import auth
from app.api.auth import me
from app.api.blueprint import Resource
from app.api.schemas.teams import InvitationSchema, NewTeamSchema, OpenSchema, TeamDetailSchema, TeamSchema
from app.errors import Forbidden
from app.models import Team, User
from app.services import teams

blueprint = Resource("teams", "teams", "Teams and who is in them.")


@blueprint.route("/teams")
@blueprint.response(200, TeamSchema(many=True))
@blueprint.paginate()
def everyone(pagination_parameters: Any) -> list[dict[str, Any]]:
    """All teams by name."""
    found, seated = teams.everyone(), teams.rosters()
    pagination_parameters.item_count = len(found)
    shown = found[pagination_parameters.first_item : pagination_parameters.last_item + 1]
    return [short(team, seated.get(team.id, [])) for team in shown]


@blueprint.route("/teams", methods=["POST"])
@blueprint.arguments(NewTeamSchema)
@blueprint.response(201, TeamDetailSchema)
def create(values: dict[str, Any]) -> dict[str, Any]:
    """Found a team and be its captain."""
    return full(teams.create(me(), values["name"]))


@blueprint.route("/teams/<id:identity>")
@blueprint.response(200, TeamDetailSchema)
def one(identity: int) -> dict[str, Any]:
    """One team; its history and invitation only for itself and for admins."""
    return full(teams.by_id(identity))


@blueprint.route("/teams/<id:identity>/join", methods=["POST"])
@blueprint.response(200, TeamDetailSchema)
def join(identity: int) -> dict[str, Any]:
    """Join a team that is open and has a free seat."""
    team = teams.by_id(identity)
    teams.join(me(), team)
    return full(team)


@blueprint.route("/teams/join", methods=["POST"])
@blueprint.arguments(InvitationSchema)
@blueprint.response(200, TeamDetailSchema)
def accept(values: dict[str, Any]) -> dict[str, Any]:
    """Join a team by the captain's invitation."""
    return full(teams.join_by_invitation(me(), values["invitation"]))


@blueprint.route("/teams/<id:identity>/leave", methods=["POST"])
@blueprint.response(204)
def leave(identity: int) -> None:
    """Leave one's team."""
    _mine(identity)
    teams.leave(me())


@blueprint.route("/teams/<id:identity>/open", methods=["PUT"])
@blueprint.arguments(OpenSchema)
@blueprint.response(200, TeamDetailSchema)
def set_open(values: dict[str, Any], identity: int) -> dict[str, Any]:
    """List one's team as open, or take members by invitation only; for its captain."""
    team = _mine(identity)
    teams.set_open(me(), values["is_open"])
    return full(team)


def _mine(identity: int) -> Team:
    team, mine = teams.by_id(identity), teams.of(me())
    if mine is None or mine.id != team.id:
        raise Forbidden("This is not your team.")
    return team


def short(team: Team, members: list[User]) -> dict[str, Any]:
    """A team in a list."""
    about = {name: getattr(team, name) for name in ("id", "name", "is_house", "is_open")}
    return {**about, "members": [user.username for user in members]}


def full(team: Team) -> dict[str, Any]:
    """A team; its history for itself and admins, its invitation for its captain."""
    members = teams.members(team)
    shown = short(team, members)
    if me() in members or auth.sees_all():
        history = teams.history(team)
        names = ("joined_at", "left_at")
        shown["history"] = [
            {"username": one.user.username, **{name: getattr(one, name) for name in names}} for one in history
        ]
    if members[:1] == [me()]:
        token = teams.invitation(me())
        shown |= {"invitation": token, "invitation_link": f"{current_app.config['PUBLIC_URL']}/team/join/{token}"}
    return shown
