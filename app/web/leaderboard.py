"""Standings: a table, the utility/privacy plane, the history, and exports."""

import csv
import io
import json
from typing import Any

from flask import Blueprint, Response, abort, render_template, request
from flask_login import login_required

from app import tracks
from app.errors import NotFound
from app.models import Round
from app.rules.scoring import Standing, pareto_front
from app.services import leaderboard, rounds
from app.services.leaderboard import Board
from app.tracks.base import Figure
from app.web import charts
from app.web.access import me
from app.web.context import team

blueprint = Blueprint("leaderboard", __name__, url_prefix="/leaderboard")

SERIES = 7
"""Teams whose history is drawn beside one's own: as many as there are colours."""


@blueprint.get("/")
@login_required
def show() -> str:
    """The board of the current round, or of `?round=`; admins see through the freeze."""
    row = _round()
    if row is None:
        return render_template("leaderboard/none.html")
    board = leaderboard.board(row, me().is_admin)
    mine = team()
    return render_template(
        "leaderboard/show.html",
        row=row,
        board=board,
        rules=rounds.rules(row),
        card=tracks.card(row.track),
        rounds=rounds.everyone(),
        mine=mine.id if mine else None,
        plane=_plane(board, mine.name if mine else ""),
        history=_history(row, board, mine.name if mine else ""),
    )


def _round() -> Round | None:
    number = request.args.get("round", type=int)
    if number is None and request.args.get("round"):
        raise NotFound("There is no such round.")
    return rounds.current() if number is None else rounds.by_number(number)


def _plane(board: Board, mine: str) -> charts.Drawing | None:
    """Every defence that was attacked: the teams', the house's, and who is not beaten on both sides."""
    if not board.places:
        return None
    front = [board.places[i] for i in pareto_front([(place.utility, place.leakage) for place in board.places])]
    points = [
        (place.is_house, charts.Point(place.name, 1 - place.leakage, place.utility, mine=place.name == mine))
        for place in board.places
    ]
    return charts.plane(
        [point for is_house, point in points if not is_house],
        [(1 - place.leakage, place.utility) for place in front],
        [point for is_house, point in points if is_house],
        note="Leakage is that of the worst attack against a defence, the house's among them.",
    )


def _history(row: Round, board: Board, mine: str) -> charts.Drawing | None:
    """The scores of the best teams and of one's own since the first result."""
    series = leaderboard.history(row, me().is_admin)
    ranked = [board.names[standing.team] for standing in board.rows]
    drawn = [name for name in ranked if name in series]
    names = [name for name in drawn if name != mine][:SERIES] + [name for name in drawn if name == mine]
    moments = [moment for name in names for moment, _ in series[name]]
    if len(set(moments)) < 2:
        return None
    start = min(moments)
    unit, seconds = _unit((max(moments) - start).total_seconds())
    arrays = {
        "x": [[(moment - start).total_seconds() / seconds for moment, _ in series[name]] for name in names],
        "y": [[score for _, score in series[name]] for name in names],
        "series": names,
    }
    note = f"The {SERIES} best teams and yours." if len(drawn) > len(names) else ""
    return charts.draw(Figure("lines", "Score over time", f"{unit} since the first result", "Score", arrays, note))


def _unit(span: float) -> tuple[str, float]:
    """The unit in which a span of seconds reads well, and its length in seconds."""
    units = (("Days", 86_400.0), ("Hours", 3600.0), ("Minutes", 60.0))
    return next((unit for unit in units if span >= 2 * unit[1]), ("Seconds", 1.0))


@blueprint.get("/overall")
@login_required
def overall() -> str:
    """The sum over all rounds."""
    lines = leaderboard.overall(me().is_admin)
    mine = team()
    return render_template(
        "leaderboard/overall.html",
        lines=lines,
        ranks=[1 + sum(other[1] > line[1] for other in lines) for line in lines],
        rounds=rounds.everyone(),
        mine=mine.name if mine else "",
    )


@blueprint.get("/export.<kind>")
@login_required
def export(kind: str) -> Response:
    """The board as CSV or JSON."""
    row = _round()
    if kind not in {"csv", "json"} or row is None:
        abort(404)
    board = leaderboard.board(row, me().is_admin)
    records = [_record(board, standing) for standing in board.rows]
    text = _csv(records) if kind == "csv" else _json(board, records)
    answer = Response(text, mimetype="text/csv" if kind == "csv" else "application/json")
    answer.headers["Content-Disposition"] = f"attachment; filename=leaderboard_round_{row.number}.{kind}"
    return answer


COLUMNS = (
    *("rank", "rank_low", "rank_high", "score", "defence", "attack", "utility", "worst_leakage", "attacked", "matches"),
)


def _record(board: Board, standing: Standing) -> dict[str, Any]:
    return {"team": board.names[standing.team]} | {name: getattr(standing, name) for name in COLUMNS}


def _csv(records: list[dict[str, Any]]) -> str:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, ("team", *COLUMNS))
    writer.writeheader()
    writer.writerows(records)
    return buffer.getvalue()


def _json(board: Board, records: list[dict[str, Any]]) -> str:
    about = {"round": board.round_number, "as_of": board.as_of.isoformat(), "is_frozen": board.is_frozen}
    return json.dumps({**about, "standings": records}, allow_nan=False, indent=2)
