"""A competition in which every admin page has something to show, and what all of its tables hold."""

from datetime import timedelta
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.routing import Rule

from app.extensions import db
from app.models import Mail, MailStatus, Round, User, now
from app.rules.phases import Phase
from app.services import audit, matches, rounds, site
from tests.factories import (
    make_attack,
    make_defence,
    make_players,
    make_reference_result,
    make_round,
    make_team,
    make_upload,
    make_user,
    set_phase,
)

MARKUP = "<img src=x onerror=alert(1)>"


def build() -> User:
    """Round 1 has been attacked and round 2 has only been set up; the admin."""
    red, blue, ada = make_players()
    make_user("mallory")
    make_team("House tamaraw", is_house=True)
    row = make_round("defence", title=MARKUP)
    for team, utility in ((red, 0.7), (blue, 0.5)):
        make_reference_result(make_defence(team, row, utility))
    make_reference_result(make_defence(red, row), leakage=None, status="failed", log="Traceback: no memory")
    reason = {"rule": "Times are finite.", "where": MARKUP, "fix": "Mend them.", "count": 2}
    make_upload(red, row, "defence", "rejected", reasons=[reason], filename=MARKUP)
    make_upload(blue, row, "defence", "failed", log="Traceback: no space left", tries=3)
    make_upload(blue, row, "defence", "queued")
    rounds.schedule(ada, row, Phase.FINISHED, now() + timedelta(days=1))
    for match in matches.generate(ada, row):
        make_attack(match)
    set_phase(row, "attack")
    error = "SMTPRecipientsRefused: no such user"
    db.session.add(
        Mail(
            recipient="carol@example.org",
            subject=MARKUP,
            text="t",
            html="<p>h</p>",
            status=MailStatus.FAILED,
            error=error,
        )
    )
    audit.record(ada, "round.note", MARKUP, text=MARKUP)
    rounds.create(ada, "fingerprinting", title="The second")
    site.note_sweep()
    db.session.commit()
    return ada


def everything() -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table."""
    db.session.rollback()
    return {
        table.name: [tuple(row) for row in db.session.execute(table.select())] for table in db.metadata.sorted_tables
    }


def addresses(app: Flask, method: str) -> list[str]:
    """An existing address of every admin page that takes this method."""
    rules = [rule for rule in app.url_map.iter_rules() if rule.endpoint.startswith("admin.")]
    return [_address(app, rule) for rule in rules if method in (rule.methods or ())]


def _address(app: Flask, rule: Rule) -> str:
    change = next(change.id for change in db.session.get_one(Round, 1).changes if change.at > now())
    values = {"number": 1, "identity": 1, "change_id": change, "user_id": 2, "kind": "defence", "name": "alice"}
    if rule.endpoint == "admin.export":
        values["name"] = "users"
    built = rule.build({name: values[name] for name in rule.arguments})
    assert built is not None
    return built[1]


def acted(client: FlaskClient, address: str, **data: Any) -> str:
    """The page that a browser shows after this action, which has to answer with a redirect."""
    answer = client.post(address, data=data)
    assert answer.status_code == 303, (answer.status_code, answer.text)
    return client.get(answer.location).text
