"""The leaderboard: standings, the utility/privacy plane, the history, the sum over all rounds."""

from dataclasses import asdict
from typing import Any

from app.api import auth
from app.api.blueprint import Resource
from app.api.schemas.leaderboard import BoardSchema, OverallSchema, PlaceSchema, SeriesSchema
from app.api.schemas.uploads import RoundFilterSchema
from app.rules.scoring import pareto_front
from app.services import leaderboard, rounds
from app.services.leaderboard import Board

blueprint = Resource("leaderboard", "leaderboard", "Standings; admins see through the freeze.")


def _board(filters: dict[str, Any]) -> Board:
    return leaderboard.board(rounds.by_number(filters.get("round")), auth.sees_all())


@blueprint.route("/leaderboard")
@blueprint.arguments(RoundFilterSchema, location="query")
@blueprint.response(200, BoardSchema)
def standings(filters: dict[str, Any]) -> dict[str, Any]:
    """The standings of a round."""
    board = _board(filters)
    rows = [{**asdict(row), "team": board.names[row.team], "team_id": row.team} for row in board.rows]
    about = {"round": board.round_number, "as_of": board.as_of, "is_frozen": board.is_frozen}
    return {**about, "standings": rows}


@blueprint.route("/leaderboard/plane")
@blueprint.arguments(RoundFilterSchema, location="query")
@blueprint.response(200, PlaceSchema(many=True))
def plane(filters: dict[str, Any]) -> list[dict[str, Any]]:
    """Every defence that was attacked, in the plane of utility and privacy."""
    places = _board(filters).places
    front = set(pareto_front([(place.utility, place.leakage) for place in places]))
    return [{**asdict(place), "is_on_front": index in front} for index, place in enumerate(places)]


@blueprint.route("/leaderboard/history")
@blueprint.arguments(RoundFilterSchema, location="query")
@blueprint.response(200, SeriesSchema(many=True))
def history(filters: dict[str, Any]) -> list[dict[str, Any]]:
    """Each team's score at moments at which results changed."""
    series = leaderboard.history(rounds.by_number(filters.get("round")), auth.sees_all())
    return [
        {"team": name, "points": [{"at": at, "score": score} for at, score in points]}
        for name, points in series.items()
    ]


@blueprint.route("/leaderboard/overall")
@blueprint.response(200, OverallSchema(many=True))
def overall() -> list[dict[str, Any]]:
    """Teams by the sum of their scores over all rounds."""
    lines = leaderboard.overall(auth.sees_all())
    return [
        {
            "team": name,
            "rank": 1 + sum(other > score for _, other, _ in lines),
            "score": score,
            "rounds": {str(number): value for number, value in by_round.items()},
        }
        for name, score, by_round in lines
    ]
