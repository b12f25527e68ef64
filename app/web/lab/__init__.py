"""The lab: experiments outside of a round, one's files and one's jobs, which nobody else but admins sees."""

from typing import Any

from flask import Blueprint
from flask_login import login_required

from app import experiments
from app.models import Job

blueprint = Blueprint("lab", __name__, url_prefix="/lab")


@blueprint.before_request
@login_required
def only_people() -> None:
    """The one guard of every page here, so that no page can be added without it."""


@blueprint.context_processor
def known() -> dict[str, Any]:
    """What every template of the lab knows."""
    return {"card_of": card_of}


def card_of(job: Job) -> experiments.Card:
    """The card of a job's experiment; a bare one if the experiment is not offered any more."""
    cards = {card.slug: card for card in experiments.CARDS}
    return cards.get(job.experiment) or experiments.Card(job.experiment, job.experiment, "", (), (), "")


# The pages register themselves on the blueprint, so it has to exist first.
from app.web.lab import corpora, exports, files, inspection, jobs, start  # noqa: E402

__all__ = ["blueprint", "card_of", "corpora", "exports", "files", "inspection", "jobs", "start"]
