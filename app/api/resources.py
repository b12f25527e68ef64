"""The registry of the API: every resource, in the order in which the document lists them."""

from functools import cache

from flask import current_app
from flask_smorest import Blueprint

from app.api import (
    accounts,
    assets,
    attacks,
    audits,
    auth,
    checkpoints,
    corpora,
    defences,
    errors,
    jobs,
    leaderboard,
    matches,
    me,
    rounds,
    security_evaluations,
    studies,
    teams,
    tracks,
)
from app.api.admin import matches as admin_matches
from app.api.admin import people, records
from app.api.admin import rounds as admin_rounds
from app.api.admin import uploads as admin_uploads
from app.api.blueprint import Resource, tag_answer
from app.extensions import limiter

RESOURCES: tuple[Resource, ...] = (
    accounts.blueprint,
    me.login,
    me.blueprint,
    accounts.profiles,
    tracks.blueprint,
    rounds.blueprint,
    teams.blueprint,
    defences.blueprint,
    matches.blueprint,
    attacks.blueprint,
    leaderboard.blueprint,
    assets.blueprint,
    jobs.blueprint,
    security_evaluations.blueprint,
    corpora.blueprint,
    checkpoints.blueprint,
    audits.blueprint,
    *(studies.study(slug) for slug in studies.SLUGS),
    admin_rounds.blueprint,
    admin_matches.blueprint,
    people.blueprint,
    admin_uploads.blueprint,
    records.blueprint,
)


@cache
def api() -> Blueprint:
    """All resources under one address, one guard, one limit and one way to say what went wrong."""
    found = Blueprint("api", __name__, url_prefix="/api")
    found.before_request(auth.guard)
    found.after_request(tag_answer)
    errors.bind(found)
    limiter.shared_limit(lambda: current_app.config["API_RATE_LIMIT"], scope="api", key_func=auth.key)(found)
    for resource in RESOURCES:
        found.register_blueprint(resource)
    return found
