"""Matches: who attacks whom."""

from typing import Any

from app.api.auth import me
from app.api.blueprint import Resource
from app.api.schemas.uploads import MatchSchema, RoundFilterSchema
from app.models import Match
from app.services import matches, rounds, teams

blueprint = Resource("matches", "matches", "Who attacks whom.")


@blueprint.route("/matches")
@blueprint.response(200, MatchSchema(many=True))
@blueprint.paginate()
def everyone(pagination_parameters: Any) -> list[dict[str, Any]]:
    """The matches of all rounds, newest round first."""
    found, total = matches.newest(pagination_parameters.page, pagination_parameters.page_size)
    pagination_parameters.item_count = total
    return shown(found)


@blueprint.route("/matches/mine")
@blueprint.arguments(RoundFilterSchema, location="query")
@blueprint.response(200, MatchSchema(many=True))
def mine(filters: dict[str, Any]) -> list[dict[str, Any]]:
    """The matches in which one's team attacks in a round."""
    team, row = teams.of(me()), rounds.by_number(filters.get("round"))
    return shown(matches.of_attacker(team, row)) if team else []


def shown(found: list[Match]) -> list[dict[str, Any]]:
    """Matches as their schema reads them."""
    done = matches.attacked(found)
    numbers = {row.id: row.number for row in rounds.everyone()}
    return [
        {
            "id": match.id,
            "round": numbers[match.round_id],
            "attacker": match.attacker,
            "defender": match.defender,
            "is_attacked": match.id in done,
        }
        for match in found
    ]
