"""The start page: what is open, what to do next, and all matches."""

from dataclasses import dataclass
from typing import Any

from flask import Blueprint, current_app, render_template, request, url_for

from app import tracks
from app.models import Match, Round, Status, Team, UploadKind, User
from app.services import defences, leaderboard, matches, rounds, site, uploads
from app.web.context import current_round, person, team

blueprint = Blueprint("home", __name__)


@dataclass(frozen=True)
class Step:
    """Something to do next."""

    text: str
    label: str = ""
    url: str = ""
    kind: str = "primary"
    """The colour of the button: primary | defence | attack."""


@blueprint.get("/index")
@blueprint.get("/")
def index() -> str:
    """A welcome for strangers; the next steps, the team's state and all matches for everybody else."""
    user, row = person(), current_round()
    if user is None:
        return render_template(
            "home/welcome.html",
            rounds=[(one, rounds.phase(one)) for one in rounds.everyone()],
            cards={card.slug: card for card in tracks.CARDS},
            is_open=site.registration_open(),
        )
    mine = team()
    return render_template(
        "home/index.html",
        steps=_steps(user, mine, row),
        state=_state(mine, row) if mine and row else None,
        **_matches(request.args.get("page", 1, type=int)),
    )


def _matches(page: int) -> dict[str, Any]:
    """One page of all matches, newest round first."""
    size = max(1, current_app.config["MATCHES_PER_PAGE"])
    page = max(1, page)
    found, total = matches.newest(page, size)
    return {
        "matches": found,
        "attacked": matches.attacked(found),
        "numbers": {one.id: one.number for one in rounds.everyone()},
        "page": page,
        "pages": max(1, -(-total // size)),
        "total": total,
    }


def _state(mine: Team, row: Round) -> dict[str, Any]:
    """How one's own team stands on the board that everybody sees, and what of its own work waits."""
    board = leaderboard.board(row)
    history = uploads.of_team(mine, row, limit=5)
    return {
        "standing": next((one for one in board.rows if one.team == mine.id), None),
        "teams": len(board.rows),
        "is_frozen": board.is_frozen,
        "pending": [upload for upload in history if not upload.status.final],
    }


def _steps(user: User, mine: Team | None, row: Round | None) -> list[Step]:
    """What this person can do now, the most urgent first."""
    if user.is_admin:
        return [Step("You are an admin and play in no team.", "Administration", url_for("admin.phase"))]
    if mine is None:
        return [Step("You have no team yet. Found one or join one to take part.", "Find a team", url_for("teams.new"))]
    if row is None:
        return [Step("No round has been set up yet. The teaching staff will announce it.")]
    phase = rounds.phase(row).phase
    steps = [_defend(mine, row)] if phase.defence_open else []
    steps += [_attack(mine, row)] if phase.attack_open else []
    return steps or [
        Step(
            f"Round {row.number} takes no uploads now ({phase.label.lower()}). Read how it is played and scored.",
            "Rules",
            url_for("rules.track", slug=row.track),
        )
    ]


def _defend(mine: Team, row: Round) -> Step:
    form = url_for("defences.form")
    last = next(iter(uploads.of_team(mine, row, UploadKind.DEFENCE, limit=1)), None)
    if last and not last.status.final:
        return Step("Your defence is being checked.", "Watch", url_for("uploads.show", identity=last.id), "defence")
    if last and last.status is Status.REJECTED:
        text = "Your last defence was not accepted. Read why, mend it and upload it again."
        return Step(text, "What to mend", url_for("uploads.show", identity=last.id), "defence")
    if defences.latest(mine, row):
        return Step("Your defence is accepted. You can still upload a better one.", "Upload another", form, "defence")
    return Step("Upload a defence: without one your team plays no matches.", "Upload a defence", form, "defence")


def _attack(mine: Team, row: Round) -> Step:
    found, form = matches.of_attacker(mine, row), url_for("attacks.form")
    if not found:
        return Step("You have nobody to attack yet: the teaching staff generates the matches.", "", "", "attack")
    done = matches.attacked(found)
    open_matches = [match for match in found if match.id not in done]
    if open_matches:
        return Step(f"Attack {_names(open_matches)}.", "Download and attack", form, "attack")
    return Step("You have attacked everybody. You can still upload a better attack.", "Attack again", form, "attack")


def _names(found: list[Match]) -> str:
    names = [match.defender.name for match in found]
    if len(names) == 1:
        return names[0]
    shown, rest = names[:5], len(names) - 5
    if rest > 0:
        return f"{', '.join(shown)} and {rest} more"
    return f"{', '.join(names[:-1])} and {names[-1]}"
