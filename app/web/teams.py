"""Teams: who is in them, and for the team itself everything that it did."""

from typing import Any

import numpy as np
from flask import Blueprint, Response, abort, current_app, flash, redirect, render_template, request, url_for
from flask_login import login_required
from werkzeug.wrappers import Response as Answer

from app import tracks
from app.errors import Forbidden
from app.models import Defence, Round, Team
from app.services import attacks, defences, leaderboard, matches, references, rounds, site, teams, uploads
from app.web import charts
from app.web.access import me
from app.web.context import person
from app.web.context import team as own_team
from app.web.figures import drawings
from app.web.forms.teams import TeamForm

blueprint = Blueprint("teams", __name__, url_prefix="/team")


@blueprint.get("/<name>")
@login_required
def show(name: str) -> str:
    """Members and standing for everybody; uploads, defence and attacks for the team and the teaching staff."""
    team, row = teams.named(name), _round()
    people = teams.members(team)
    view = {
        "team": team,
        "row": row,
        "rounds": rounds.everyone(),
        "members": people,
        "captain": people[0] if people else None,
        "is_mine": _is_mine(team),
        "sees_all": _sees_all(team),
        "standing": _standing(team, row),
        "can_join": _can_join(team),
    }
    if not view["sees_all"]:
        return render_template("teams/other.html", **view)
    view |= {
        "history": teams.history(team),
        "is_locked": site.teams_locked(),
        "invitation": _invitation(team),
        "has_seat": len(people) < current_app.config["MAX_TEAM_SIZE"],
    }
    return render_template("teams/show.html", **view, **(_play(team, row) if row else {}))


def _round() -> Round | None:
    number = request.args.get("round", type=int)
    return rounds.current() if number is None else rounds.by_number(number)


def _is_mine(team: Team) -> bool:
    mine = own_team()
    return mine is not None and mine.id == team.id


def _sees_all(team: Team) -> bool:
    return _is_mine(team) or me().is_admin


def _can_join(team: Team) -> bool:
    if own_team() or me().is_admin or site.teams_locked():
        return False
    return team.id in {one.id for one in teams.open_teams()}


def _invitation(team: Team) -> str:
    is_captain = _is_mine(team) and teams.captain(team) == me()
    return url_for("teams.accept", token=teams.invitation(me()), _external=True) if is_captain else ""


def _standing(team: Team, row: Round | None) -> Any:
    """The team's row of the board that everybody sees."""
    if row is None or team.is_house:
        return None
    return next((one for one in leaderboard.board(row).rows if one.team == team.id), None)


def _play(team: Team, row: Round) -> dict[str, Any]:
    """What the team did in a round, and what was done to it."""
    found = matches.of_attacker(team, row)
    counted = attacks.counted(found, row)
    return {
        "card": tracks.card(row.track),
        "rules": rounds.rules(row),
        "attack_open": rounds.phase(row).phase.attack_open,
        "matches": found,
        "counted": counted,
        "results": {identity: attacks.shown(attack, row) for identity, attack in counted.items()},
        "pressure": attacks.against(team, row),
        **_uploads(team, row),
        **_house(defences.counted(team, row)),
    }


def _uploads(team: Team, row: Round) -> dict[str, Any]:
    history = uploads.of_team(team, row)
    return {"uploads": history, "positions": {one.id: uploads.position(one) for one in history if not one.status.final}}


def _house(defence: Defence | None) -> dict[str, Any]:
    """The defence with what the house's adversaries reached, the worst one's figures among it."""
    if defence is None:
        return {"defence": None}
    worst = references.worst(defence)
    is_done = all(result.status.final for result in defence.references)
    return {
        "defence": defence,
        "adversaries": references.cards(defence.round.track, defence.round),
        "leakages": {one.id: references.leakage(one) for one in defence.references if one.leakage is not None},
        "costs": drawings(defence.figures),
        "worst": worst,
        "is_done": is_done,
        "drawings": drawings(worst.figures) if worst and is_done else [],
    }


@blueprint.get("/<name>/uploads")
@login_required
def live_uploads(name: str) -> str:
    """The team's uploads, as the page polls them."""
    team, row = _guarded(name)
    return render_template("teams/_uploads.html", team=team, row=row, **_uploads(team, row))


@blueprint.get("/<name>/house")
@login_required
def live_house(name: str) -> str:
    """The house's results, as the page polls them."""
    team, row = _guarded(name)
    card = tracks.card(row.track)
    return render_template("teams/_house.html", team=team, row=row, card=card, **_house(defences.counted(team, row)))


@blueprint.get("/<name>/house/<adversary>")
@login_required
def adversary(name: str, adversary: str) -> str:
    """One adversary of the house against the team's defence, with all figures."""
    team, row = _guarded(name)
    result = references.named(_defence(team, row), adversary)
    return render_template(
        "teams/adversary.html",
        team=team,
        row=row,
        card=tracks.card(row.track),
        result=result,
        adversaries=references.cards(row.track, row),
        others=[one.adversary for one in result.defence.references],
        drawings=drawings(result.figures),
        pictures=[index for index, figure in enumerate(result.figures) if figure["kind"] == "heatmap"],
    )


@blueprint.get("/<name>/house/<adversary>/<int:index>.png")
@login_required
def picture(name: str, adversary: str, index: int) -> Response:
    """A heatmap alone, one pixel per cell, to keep or to print."""
    team, row = _guarded(name)
    figures = references.named(_defence(team, row), adversary).figures
    if index >= len(figures) or figures[index]["kind"] != "heatmap":
        abort(404)
    values = np.asarray(figures[index]["arrays"]["values"], dtype=float)
    return Response(charts.heatmap_png(values), mimetype="image/png")


def _guarded(name: str) -> tuple[Team, Round]:
    """The team and the round, for the team itself and the teaching staff."""
    team = teams.named(name)
    if not _sees_all(team):
        raise Forbidden("Only the team itself sees this.")
    return team, _round() or rounds.by_number(None)


def _defence(team: Team, row: Round) -> Defence:
    defence = defences.counted(team, row)
    if defence is None:
        abort(404)
    return defence


@blueprint.route("/new", methods=["GET", "POST"])
@login_required
def new() -> tuple[str, int] | Answer:
    """Found a team, or join one of the open ones."""
    form = TeamForm()
    if form.succeeds(lambda: teams.create(me(), form.name.data)):
        flash(f"Team {form.result.name} is yours. Invite others with the link on this page.", "success")
        return redirect(url_for("teams.show", name=form.result.name), 303)
    page = render_template(
        "teams/new.html",
        form=form,
        open_teams=[(one, teams.members(one)) for one in teams.open_teams()],
        is_locked=site.teams_locked(),
    )
    return page, form.status


@blueprint.post("/<name>/join")
@login_required
def join(name: str) -> Answer:
    """Join an open team."""
    team = teams.named(name)
    teams.join(me(), team)
    flash(f"You are in team {team.name} now.", "success")
    return redirect(url_for("teams.show", name=team.name), 303)


@blueprint.get("/join/<token>")
def accept(token: str) -> str:
    """What an invitation is for; whoever has no account registers first."""
    team = teams.invited_to(token)
    here = url_for("teams.accept", token=token)
    return render_template(
        "teams/accept.html", team=team, members=teams.members(team), token=token, here=here, somebody=person()
    )


@blueprint.post("/join/<token>")
@login_required
def accepted(token: str) -> Answer:
    """Join by invitation."""
    team = teams.join_by_invitation(me(), token)
    flash(f"You are in team {team.name} now.", "success")
    return redirect(url_for("teams.show", name=team.name), 303)


@blueprint.post("/<name>/leave")
@login_required
def leave(name: str) -> Answer:
    """Leave one's team."""
    team = _mine(name)
    teams.leave(me())
    flash(f"You have left team {team.name}.", "success")
    return redirect(url_for("users.show", name=me().username), 303)


@blueprint.post("/<name>/open")
@login_required
def set_open(name: str) -> Answer:
    """List the team as open, or take members by invitation only."""
    team = _mine(name)
    is_open = request.form.get("is_open") == "1"
    teams.set_open(me(), is_open)
    flash("Anybody may join now." if is_open else "The team takes members by invitation only now.", "success")
    return redirect(url_for("teams.show", name=team.name), 303)


def _mine(name: str) -> Team:
    team = teams.named(name)
    if not _is_mine(team):
        raise Forbidden("This is not your team.")
    return team
