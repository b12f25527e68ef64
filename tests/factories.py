"""Rows for tests. Alice and Bob are team Red, Carol is team Blue, Mallory has no team, Ada is the admin.

Everything here wants the `app` fixture's context and commits. The rows of a `make_` function are as a service would
have left them, without its rules having been asked.
"""

import contextvars
import functools
import io
import itertools
import tempfile
import zipfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from flask import Flask
from flask.testing import FlaskClient

from app import tracks
from app.extensions import celery, db
from app.models import (
    Attack,
    Defence,
    Match,
    Membership,
    PhaseChange,
    ReferenceResult,
    Round,
    Status,
    Team,
    Upload,
    UploadKind,
    User,
    now,
)
from app.rules.phases import Phase
from app.services import files, passwords, rounds, scores

PASSWORD = "correct horse battery"
SMALL = {
    "NB_CLASSES": 8,
    "NB_TRACES_TO_CLASSIFY": 24,
    "MEAN_NB_REP_PER_CLASS": 12,
    "DEVIATION_NB_REP_PER_CLASS": 4,
}
"""Settings of a fingerprinting round that is quick to play."""

_scipers = itertools.count(100_000)
_seeds = itertools.count(1)


@dataclass(frozen=True)
class Sent:
    """A task that was handed to the broker."""

    name: str
    arguments: tuple[Any, ...]
    queue: str


def run_tasks(app: Flask, without: Collection[str] = ()) -> list[Sent]:
    """Run what the broker was handed, in order and in this process, until nothing is left; what was run.

    Tasks named in `without` stay in `app.sent`: the house's adversaries ("references.play") take seconds each.
    """
    done: list[Sent] = []
    db.session.commit()
    while todo := next((task for task in app.sent if task.name not in without), None):
        app.sent.remove(todo)
        contextvars.Context().run(_run, app, todo)
        done.append(todo)
    db.session.rollback()
    return done


def _run(app: Flask, task: Sent) -> None:
    with app.app_context():
        celery.tasks[task.name].run(*task.arguments)


def make_user(name: str, *, is_admin: bool = False, **values: Any) -> User:
    """A verified person whose password is PASSWORD; `values` are columns."""
    columns = {
        "email": f"{name.lower()}@example.org",
        "password_hash": _password_hash(),
        "sciper": None if is_admin else next(_scipers),
        "verified_at": now(),
        "session_key": uuid4().hex,
    }
    return _added(User(username=name, is_admin=is_admin, **{**columns, **values}))


@functools.cache
def _password_hash() -> str:
    return passwords.hashed(PASSWORD)


def make_admin(name: str = "ada") -> User:
    """An admin."""
    return make_user(name, is_admin=True)


def make_team(name: str, *users: User, is_house: bool = False, is_open: bool = True) -> Team:
    """A team in which these people sit, the captain first."""
    team = _added(Team(name=name, is_house=is_house, is_open=is_open))
    for seat, user in enumerate(users, 1):
        _added(Membership(user_id=user.id, team_id=team.id, seat=seat))
    return team


def make_players() -> tuple[Team, Team, User]:
    """Teams Red (alice, bob) and Blue (carol), and the admin ada."""
    red = make_team("Red", make_user("alice"), make_user("bob"))
    return red, make_team("Blue", make_user("carol")), make_admin()


def make_round(
    phase: Phase | str = Phase.NONE,
    settings: Mapping[str, Any] | None = None,
    rules: Mapping[str, Any] | None = None,
    seed: int = 1,
    **values: Any,
) -> Round:
    """A fingerprinting round with SMALL settings, for an hour in `phase`; the first one becomes the current one."""
    row = rounds.create(None, "fingerprinting", settings={**SMALL, **(settings or {})}, rule_values=rules, seed=seed)
    if Phase(phase) is not Phase.NONE:
        set_phase(row, phase)
    for name, value in values.items():
        setattr(row, name, value)
    return _added(row)


def set_phase(row: Round, phase: Phase | str) -> None:
    """Put a round into a phase since an hour ago (later than every earlier call), without telling anybody."""
    at = now() - timedelta(hours=1) + timedelta(seconds=len(row.changes))
    row.changes.append(PhaseChange(phase=Phase(phase), at=at, announced_at=at))
    if Phase(phase) not in {Phase.NONE, Phase.FINISHED} and row.opened_at is None:
        row.opened_at = at
    db.session.commit()


def log_in(client: FlaskClient, user: User) -> FlaskClient:
    """Give the browser the cookie of a person who has just logged in."""
    identity = user.get_id()
    with client.session_transaction() as cookie:
        cookie.clear()
        cookie["_user_id"], cookie["_fresh"] = identity, True
    return client


def make_upload(
    team: Team,
    row: Round,
    kind: UploadKind | str = UploadKind.DEFENCE,
    status: Status | str = Status.ACCEPTED,
    content: bytes = b"not looked at",
    **values: Any,
) -> Upload:
    """An uploaded file and how far its evaluation is; `values` are columns."""
    digest, size = files.store().put(io.BytesIO(content))
    columns = {"filename": f"{kind}.zip", "digest": digest, "size": size, **_work(Status(status))}
    return _added(Upload(kind=UploadKind(kind), team_id=team.id, round_id=row.id, **{**columns, **values}))


def _work(status: Status) -> dict[str, Any]:
    columns: dict[str, Any] = {"status": status}
    if status is not Status.QUEUED:
        columns |= {"tries": 1, "claim": uuid4().hex, "started_at": now(), "heartbeat_at": now()}
    if status.final:
        columns |= {"finished_at": now(), "progress": 1.0}
    return columns


def make_defence(team: Team, row: Round, utility: float = 0.8, upload: Upload | None = None, **values: Any) -> Defence:
    """An accepted defence; its files are named as real ones but hold a word each."""
    upload = upload or make_upload(team, row)
    columns = {
        "classic": 10 * utility,
        "seed": next(_seeds),
        "metrics": {"classic_score": estimate(10 * utility), "median_bytes": estimate(51_234.0)},
        "public": _stored(b"public"),
        "secret": _stored(b"secret"),
        "download": _stored(_tiny_download(team.id)),
    }
    owner = {"upload_id": upload.id, "team_id": team.id, "round_id": row.id}
    return _added(Defence(utility=utility, **{**owner, **columns, **values}))


def _tiny_download(team: int) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for half in ("train", "test"):
            archive.writestr(f"team_{team}_{half}.csv.zip", half)
    return content.getvalue()


def make_reference_result(
    defence: Defence,
    adversary: str = "random-forest",
    leakage: float | None = 0.4,
    status: Status | str = Status.ACCEPTED,
    **values: Any,
) -> ReferenceResult:
    """What one adversary of the house reached against a defence."""
    done = {} if leakage is None else {"leakage": leakage, "replicates": _replicates(leakage), **_leaked(leakage)}
    columns = {"defence_id": defence.id, "adversary": adversary, "seconds": 1.2, "device": "cpu"}
    return _added(ReferenceResult(**{**columns, **_work(Status(status)), **done, **values}))


def make_match(row: Round, attacker: Team, defender: Team, defence: Defence | None = None) -> Match:
    """One team attacks a defence of another, by default its newest one, made here if it has none."""
    defence = defence or db.session.scalar(
        db.select(Defence).where(Defence.team_id == defender.id, Defence.round_id == row.id).order_by(Defence.id.desc())
    )
    defence = defence or make_defence(defender, row)
    row.matched_at = row.matched_at or now()
    pair = {"attacker_id": attacker.id, "defender_id": defender.id}
    return _added(Match(round_id=row.id, defence_id=defence.id, **pair))


def make_attack(match: Match, leakage: float = 0.5, upload: Upload | None = None, **values: Any) -> Attack:
    """An accepted attack in a match; matches that were answered by one file share its `upload`."""
    row = db.session.get_one(Round, match.round_id)
    upload = upload or make_upload(match.attacker, row, UploadKind.ATTACK)
    columns = {"leakage": leakage, "classic": 5 + 5 * leakage, "replicates": _replicates(leakage), **_leaked(leakage)}
    return _added(Attack(upload_id=upload.id, match_id=match.id, **{**columns, **values}))


def _leaked(leakage: float) -> dict[str, Any]:
    return {
        "metrics": {
            "advantage": estimate(leakage),
            "accuracy": estimate(leakage),
            "auc": estimate(0.5 + leakage / 2),
            "classic_performance": estimate(5 + 5 * leakage),
        }
    }


def _replicates(leakage: float) -> bytes:
    rng = np.random.default_rng(0)
    return scores.pack(np.clip(leakage + 0.05 * rng.standard_normal(200), 0, 1).tolist())


def estimate(value: float, width: float = 0.05) -> dict[str, float]:
    """A measured number as the database keeps it."""
    return {"value": value, "low": value - width, "high": value + width}


@functools.cache
def defence_file(name: str = "undefended", seed: int = 0, settings: tuple[tuple[str, Any], ...] = ()) -> bytes:
    """The zip that a team with SMALL settings would upload as its defence, under a defence of the house."""
    game = tracks.game("fingerprinting", {**SMALL, **dict(settings)})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "defence.csv.zip"
        game.write_defence(game.house_defence(name, np.random.default_rng(seed)), path)
        return path.read_bytes()


def answer_file(matches: Collection[Match], accuracy: float = 1.0) -> bytes:
    """The zip with which a team that knows the secrets would answer its matches, right in a share of the rows."""
    from app import bundles

    row = db.session.get_one(Round, next(iter(matches)).round_id)
    game, answers = rounds.track(row), {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for match in matches:
            secret = bundles.read(files.store().fetch(match.defence.secret, folder), None, 1 << 30)
            answer = game.best_answer(secret)
            wrong = np.arange(len(answer["capture"])) >= round(accuracy * len(answer["capture"]))
            answer["probabilities"][wrong] = np.roll(answer["probabilities"][wrong], 1, axis=1)
            answers[match.defender_id] = answer
        game.write_answer(answers, folder / "answer.csv.zip")
        return (folder / "answer.csv.zip").read_bytes()


def _stored(content: bytes) -> str:
    return files.store().put(io.BytesIO(content))[0]


def _added(row: Any) -> Any:
    db.session.add(row)
    db.session.commit()
    return row
