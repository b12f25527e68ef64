"""What defences and attacks have in common: receiving, limits, queue, history, re-evaluation."""

import hashlib
from datetime import datetime, timedelta
from typing import IO

from sqlalchemy import func
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import joinedload

from app import tracks
from app.errors import Conflict, Forbidden, InvalidUpload, NotFound, TooMany
from app.extensions import db
from app.models import Round, Status, Team, Upload, UploadKind, User, now
from app.services import audit, files, mails, queue, rounds, teams, work

TASKS = {
    UploadKind.DEFENCE: "defences.check",
    UploadKind.REFERENCE: "defences.check",
    UploadKind.ATTACK: "attacks.score",
}


def receive(user: User, kind: UploadKind, file: IO[bytes], filename: str, key: str | None = None) -> Upload:
    """Keep a team's file: on disk and in the database when this returns, evaluated later.

    Refuses people without a team, closed phases and used-up limits, before anything is stored. `key` is the sender's
    name for this upload: the same file sent again under it is the upload that is there already.
    """
    if earlier := _repeated(user, kind, file, key):
        return earlier
    team, row = _may_upload(user, kind)
    digest, size = files.store().put(file)
    if not size:
        raise Conflict("The file is empty.")
    try:
        upload = keep(kind, team, row, digest, size, filename, user)
        upload.idempotency_key = key
        audit.record(user, f"upload.{kind}", f"upload {upload.id}", digest=digest)
        db.session.commit()
    except IntegrityError:
        # The same request arrived twice in the same moment, and the other one was first.
        db.session.rollback()
        if (earlier := _repeated(user, kind, file, key)) is None:
            raise
        return earlier
    enqueue(upload)
    return upload


def _repeated(user: User, kind: UploadKind, file: IO[bytes], key: str | None) -> Upload | None:
    if key is None:
        return None
    query = db.select(Upload).where(Upload.user_id == user.id, Upload.idempotency_key == key)
    earlier = db.session.scalar(query)
    if earlier is not None:
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
        if (earlier.kind, earlier.digest) != (kind, digest):
            raise Conflict(
                f"This key was used already, for upload {earlier.id} with another content. Choose a new one."
            )
    return earlier


def keep(
    kind: UploadKind, team: Team, row: Round, digest: str, size: int, filename: str, user: User | None = None
) -> Upload:
    """A row for a stored file, in the open transaction."""
    upload = Upload(
        kind=kind,
        team_id=team.id,
        round_id=row.id,
        user_id=user.id if user else None,
        filename=filename[-255:] or "upload",
        digest=digest,
        size=size,
    )
    db.session.add(upload)
    db.session.flush()
    return upload


def enqueue(upload: Upload) -> None:
    """Tell the broker of a committed upload."""
    queue.enqueue(TASKS[upload.kind], upload.id, queue=queue.CHECKS)


def _may_upload(user: User, kind: UploadKind) -> tuple[Team, Round]:
    team, row = teams.of(user), rounds.by_number(None)
    if team is None:
        raise Forbidden("You are in no team yet. Join or found one first.")
    phase = rounds.phase(row).phase
    if not (phase.defence_open if kind is UploadKind.DEFENCE else phase.attack_open):
        raise Conflict(f"Round {row.number} takes no {kind} now: {phase.label.lower()}.")
    left = remaining(team, row, kind)
    if left <= 0:
        raise TooMany(
            f"Your team has used up its {kind} uploads: at most {rounds.rules(row).UPLOADS_PER_DAY} in 24 hours "
            f"and {rounds.rules(row).UPLOADS_PER_PHASE} in a phase."
        )
    return team, row


def remaining(team: Team, row: Round, kind: UploadKind) -> int:
    """How many uploads of this kind the team has left now; our own failures and refunded ones do not count."""
    rules, since = rounds.rules(row), rounds.phase(row).since
    used = lambda moment: _used(team, row, kind, moment)  # noqa: E731
    left = rules.UPLOADS_PER_DAY - used(now() - timedelta(hours=24))
    return min(left, rules.UPLOADS_PER_PHASE - used(since)) if since else left


def _used(team: Team, row: Round, kind: UploadKind, since: datetime) -> int:
    return (
        db.session.scalar(
            db.select(func.count(Upload.id)).where(
                Upload.team_id == team.id,
                Upload.round_id == row.id,
                Upload.kind == kind,
                Upload.created_at >= since,
                Upload.is_refunded.is_(False),
                Upload.status != Status.FAILED,
            )
        )
        or 0
    )


def one(identity: int, user: User | None = None) -> Upload:
    """An upload; for a person who is no admin only if it is their team's."""
    upload = db.session.get(Upload, identity)
    if upload is None:
        raise NotFound("There is no such upload.")
    if user is not None and not user.is_admin:
        team = teams.of(user)
        if team is None or team.id != upload.team_id:
            raise NotFound("There is no such upload.")
    return upload


def of_team(team: Team, row: Round, kind: UploadKind | None = None, limit: int = 100) -> list[Upload]:
    """A team's uploads of a round, newest first."""
    query = db.select(Upload).where(Upload.team_id == team.id, Upload.round_id == row.id)
    if kind:
        query = query.where(Upload.kind == kind)
    return list(db.session.scalars(query.order_by(Upload.id.desc()).limit(limit)))


def position(upload: Upload) -> int:
    """The place in the queue, 1 = next; 0 when it does not wait."""
    if upload.status is not Status.QUEUED:
        return 0
    ahead = db.session.scalar(
        db.select(func.count(Upload.id)).where(Upload.status == Status.QUEUED, Upload.id < upload.id)
    )
    return (ahead or 0) + 1


def reject(upload: Upload, key: str, error: InvalidUpload) -> None:
    """The file breaks the rules: keep every reason and tell the team."""
    reasons = [reason.to_json() for reason in error.reasons]
    if work.finish(Upload, upload.id, key, Status.REJECTED, reasons=reasons):
        _tell(upload, "rejected", f"Your {upload.kind} was not accepted", reasons=error.reasons)
    db.session.commit()
    mails.deliver_soon()


def tell_accepted(upload: Upload, **context: object) -> None:
    """Tell the team of its result, in the open transaction."""
    _tell(upload, f"{upload.kind}_accepted", f"Your {upload.kind} was accepted", **context)


def _tell(upload: Upload, template: str, subject: str, **context: object) -> None:
    if upload.team.is_house:
        return
    context |= {"upload": upload, "card": tracks.card(upload.round.track)}
    mails.post_all(teams.members(upload.team), template, f"Round {upload.round.number}: {subject}", **context)


def note_failure(upload_id: int) -> None:
    """All tries are used up and the fault is ours: say so to the team."""
    upload = db.session.get_one(Upload, upload_id, populate_existing=True)
    _tell(upload, "failed", f"We could not evaluate your {upload.kind}")
    db.session.commit()
    mails.deliver_soon()


def everything(
    page: int,
    size: int = 50,
    row: Round | None = None,
    status: str = "",
    kind: str = "",
    team: Team | None = None,
) -> tuple[list[Upload], int]:
    """One page of all uploads or of a team's, newest first, and their number."""
    query = db.select(Upload).order_by(Upload.id.desc()).options(joinedload(Upload.team), joinedload(Upload.round))
    if team is not None:
        query = query.where(Upload.team_id == team.id)
    if row is not None:
        query = query.where(Upload.round_id == row.id)
    if status in set(Status):
        query = query.where(Upload.status == Status(status))
    if kind in set(UploadKind):
        query = query.where(Upload.kind == UploadKind(kind))
    total = db.session.scalar(db.select(func.count()).select_from(query.order_by(None).subquery())) or 0
    return list(db.session.scalars(query.limit(size).offset((page - 1) * size))), total


def kind_named(name: str) -> UploadKind:
    """The kind of upload that an address names."""
    if name not in set(UploadKind):
        raise NotFound("There is no such kind of upload.")
    return UploadKind(name)


def reevaluate(admin: User, upload: Upload) -> None:
    """Evaluate a file again, as if it had just arrived."""
    _requeue([upload])
    audit.record(admin, "upload.reevaluate", f"upload {upload.id}")
    db.session.commit()
    enqueue(upload)


def reevaluate_all(admin: User, row: Round, kind: UploadKind) -> int:
    """Evaluate every finished file of one kind of a round again; how many there are."""
    query = db.select(Upload).where(Upload.round_id == row.id, Upload.kind == kind)
    finished = [upload for upload in db.session.scalars(query.order_by(Upload.id)) if upload.status.final]
    _requeue(finished)
    audit.record(admin, "upload.reevaluate_all", f"round {row.number}", kind=kind, uploads=len(finished))
    db.session.commit()
    for upload in finished:
        enqueue(upload)
    return len(finished)


def _requeue(uploads: list[Upload]) -> None:
    for upload in uploads:
        if not upload.status.final:
            raise Conflict("This upload is being evaluated already.")
        upload.status, upload.tries, upload.claim = Status.QUEUED, 0, ""
        upload.reasons, upload.finished_at, upload.enqueued_at = [], None, now()


def refund(admin: User, upload: Upload) -> None:
    """Do not count an upload against its team's limits."""
    upload.is_refunded = True
    audit.record(admin, "upload.refund", f"upload {upload.id}")
    db.session.commit()


def content(upload: Upload) -> IO[bytes]:
    """The uploaded file, open for reading."""
    with files.workspace() as folder:
        # An open file outlives its name, so that a copy from object storage is gone once it is closed.
        return files.store().fetch(upload.digest, folder).open("rb")
