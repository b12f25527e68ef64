"""Matches: a preview, the click that makes them, and what became of them."""

from hashlib import sha256

from flask import flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response
from wtforms import HiddenField

from app.errors import Conflict
from app.models import Round
from app.services import leaderboard, matches, rounds
from app.web.access import me
from app.web.admin import blueprint
from app.web.admin.pages import chosen_round
from app.web.forms import Form


class GenerateForm(Form):
    """The confirmation of a preview."""

    plan = HiddenField()
    """Names the preview that the admin saw."""


@blueprint.route("/generate_matches/", methods=["GET", "POST"], endpoint="matches")
@blueprint.route("/admin/matches", methods=["GET", "POST"], endpoint="matches")
def show() -> Response | str | tuple[str, int]:
    """The matches of a round, or what generating would do; a POST generates."""
    row = chosen_round()
    if row is None:
        return render_template("admin/no_round.html", title="Matches")
    if row.matched_at:
        return _generated(row)
    form = GenerateForm()
    plan, problem = _plan(row)
    if plan and form.succeeds(lambda: _generate(row, plan, form.plan.data)):
        flash(f"{form.result} matches have been generated, and every team is told its opponents by mail.", "success")
        return redirect(url_for("admin.matches", round=row.number), 303)
    form.plan.data = mark(plan) if plan else ""
    page = render_template(
        "admin/matches_preview.html",
        row=row,
        plan=plan,
        problem=problem,
        form=form,
        rules=rounds.rules(row),
        rounds=rounds.everyone(),
    )
    return page, 409 if problem and request.method == "POST" else form.status


def _plan(row: Round) -> tuple[matches.Plan | None, str]:
    try:
        return matches.preview(row), ""
    except Conflict as error:
        return None, str(error)


def _generate(row: Round, plan: matches.Plan, seen: str | None) -> int:
    if seen != mark(plan):
        raise Conflict("Something has changed since you looked, a new defence perhaps. This is the new preview.")
    return len(matches.generate(me(), row))


def mark(plan: matches.Plan) -> str:
    """A short name of a plan: differs when anything in it does."""
    pairs = [(attacker.id, defender.id, defence.id) for attacker, defender, defence in plan.pairs]
    return sha256(repr((pairs, [team.id for team in plan.skipped])).encode()).hexdigest()[:16]


def _generated(row: Round) -> tuple[str, int]:
    if request.method == "POST":
        # A second click, or a second admin.
        flash(f"Round {row.number} had its matches already; nothing was changed.", "warning")
    page = render_template(
        "admin/matches.html",
        row=row,
        matches=matches.of_round(row),
        counted=leaderboard.counted(row),
        rules=rounds.rules(row),
        rounds=rounds.everyone(),
    )
    return page, 409 if request.method == "POST" else 200
