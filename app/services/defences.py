"""Defences: handing in, checking, and what the team sees of them."""

from pathlib import Path
from typing import IO, Any

import numpy as np
from sqlalchemy import func

from app import sandbox
from app.errors import InvalidUpload
from app.extensions import db
from app.models import Defence, Match, Round, Status, Team, Upload, UploadKind, User
from app.services import audit, files, mails, places, references, uploads, work
from app.storage import put_path
from app.tracks import referee


def submit(user: User, file: IO[bytes], filename: str, key: str | None = None) -> Upload:
    """A team hands in a defence; the same file under the same `key` is handed in once."""
    return uploads.receive(user, UploadKind.DEFENCE, file, filename, key)


def evaluate(upload: Upload, key: str) -> None:
    """Check a defence, measure it, and make its challenge; or reject it with every reason."""
    with files.workspace() as folder:
        try:
            result = _check(upload, key, folder)
        except InvalidUpload as error:
            uploads.reject(upload, key, error)
            return
        stored = {
            name: put_path(files.store(), folder / name)[0]
            for name in (referee.PUBLIC, referee.SECRET, referee.DOWNLOAD)
        }
    if not work.finish(Upload, upload.id, key, Status.ACCEPTED):
        db.session.rollback()
        return
    defence = _keep(upload, result, stored)
    planned = references.plan(defence)
    uploads.tell_accepted(upload, defence=defence)
    db.session.commit()
    mails.deliver_soon()
    references.enqueue(planned)


def _check(upload: Upload, key: str, folder: Path) -> dict[str, Any]:
    row = upload.round
    arguments = {
        "place": places.place(row, upload.team_id, folder),
        "upload": str(files.store().fetch(upload.digest, folder)),
        "seed": seed(row, upload),
        "reference": _reference_values(row) if upload.kind is UploadKind.DEFENCE else None,
    }
    beat = work.beat(Upload, upload.id, key)
    return sandbox.run(
        "app.tracks.referee:check_defence", arguments, folder, files.check_limits(), beat, work.beat_seconds()
    )


def seed(row: Round, upload: Upload) -> int:
    """The seed of an upload's split: follows from the round's, so that a second evaluation asks the same question."""
    sequence = np.random.SeedSequence([row.seed, upload.id])
    return int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))


def _reference_values(row: Round) -> dict[str, float] | None:
    if row.reference_id is None:
        return None
    reference = db.session.get_one(Defence, row.reference_id)
    return {name: estimate["value"] for name, estimate in reference.metrics.items()}


def _keep(upload: Upload, result: dict[str, Any], stored: dict[str, str]) -> Defence:
    defence = db.session.scalar(db.select(Defence).where(Defence.upload_id == upload.id))
    halves = {"public": stored[referee.PUBLIC], "secret": stored[referee.SECRET], "download": stored[referee.DOWNLOAD]}
    measured = {
        # The undefended reference is what usefulness is measured against.
        "utility": 1.0 if upload.kind is UploadKind.REFERENCE else result["value"],
        "classic": classic_utility(result),
        "metrics": result["metrics"],
        "figures": result["figures"],
    }
    if defence is None:
        defence = Defence(
            upload_id=upload.id, team_id=upload.team_id, round_id=upload.round_id,
            seed=seed(upload.round, upload), **measured, **halves,
        )  # fmt: skip
        db.session.add(defence)
    else:
        audit.record(None, "defence.reevaluated", f"upload {upload.id}", utility=[defence.utility, result["value"]])
        # A question that opponents are answering is not asked anew.
        is_pinned = db.session.scalar(db.select(func.count(Match.id)).where(Match.defence_id == defence.id))
        for name, value in {**measured, **({} if is_pinned else halves)}.items():
            setattr(defence, name, value)
    db.session.flush()
    if upload.kind is UploadKind.REFERENCE:
        upload.round.reference_id = defence.id
    return defence


def classic_utility(result: dict[str, Any]) -> float:
    """Utility on the classic scale of 0 to 10; tracks without a formula of their own use ten times the utility."""
    estimate = result["metrics"].get("classic_score")
    return float(estimate["value"]) if estimate else 10 * float(result["value"])


def latest(team: Team, row: Round) -> Defence | None:
    """A team's newest accepted defence of a round."""
    return db.session.scalar(
        db.select(Defence)
        .join(Upload, Upload.id == Defence.upload_id)
        .where(
            Defence.team_id == team.id,
            Defence.round_id == row.id,
            Upload.kind == UploadKind.DEFENCE,
            Upload.status != Status.REJECTED,
        )
        .order_by(Defence.upload_id.desc())
        .limit(1)
    )


def counted(team: Team, row: Round) -> Defence | None:
    """The version that counts: the one that opponents attack once there are matches, the newest before."""
    pinned = db.session.scalar(
        db.select(Defence)
        .join(Match, Match.defence_id == Defence.id)
        .where(Match.defender_id == team.id, Match.round_id == row.id)
        .limit(1)
    )
    return pinned or latest(team, row)


def of_upload(upload: Upload) -> Defence | None:
    """The defence that an upload became."""
    return db.session.scalar(db.select(Defence).where(Defence.upload_id == upload.id))
