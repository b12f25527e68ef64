"""Files of the lab: uploaded, checked in a child process, versioned, private to their owner."""

import re
from typing import IO
from uuid import uuid4

from flask import current_app
from sqlalchemy import func

from app import sandbox
from app.errors import Conflict, InvalidUpload, NotFound, Refused, TooMany
from app.experiments.assets import KINDS
from app.extensions import db
from app.models import Asset, Job, Status, User, now
from app.services import audit, files, queue, work


def submit(owner: User, kind: str, file: IO[bytes], name: str) -> Asset:
    """Keep a file of a person; it is checked by a worker. The same name again makes a new version."""
    if kind not in KINDS:
        raise Refused(f"There is no kind of file {kind!r}. There are: {', '.join(sorted(KINDS))}.")
    if len(of(owner)) >= current_app.config["ASSETS_PER_USER"]:
        raise TooMany("You keep as many files as allowed. Delete one that you do not need any more.")
    digest, size = files.store().put(file)
    if not size:
        raise Conflict("The file is empty.")
    asset = keep(owner, kind, name, digest, size)
    audit.record(owner, "asset.upload", f"{kind} {name}", digest=digest)
    db.session.commit()
    enqueue(asset)
    return asset


def keep(owner: User, kind: str, name: str, digest: str, size: int) -> Asset:
    """A row for a stored file, to be checked, in the open transaction; the same name again makes a new version."""
    # A browser's name without what no database and no header can hold.
    name = re.sub(r"[^\w .,()+-]", "_", name)[-120:] or kind
    query = db.select(func.max(Asset.version)).where(Asset.owner_id == owner.id, Asset.kind == kind, Asset.name == name)
    asset = Asset(
        key=uuid4().hex,
        owner_id=owner.id,
        kind=kind,
        name=name,
        version=(db.session.scalar(query) or 0) + 1,
        digest=digest,
        size=size,
    )
    db.session.add(asset)
    db.session.flush()
    return asset


def enqueue(asset: Asset) -> None:
    """Tell the broker of a committed asset."""
    queue.enqueue("assets.check", asset.id, queue=queue.CHECKS)


def evaluate(asset: Asset, key: str) -> None:
    """Check a file; accept it with what it holds, or reject it with every reason."""
    with files.workspace() as folder:
        arguments = {"kind": asset.kind, "path": str(files.store().fetch(asset.digest, folder))}
        beat = work.beat(Asset, asset.id, key)
        try:
            facts = sandbox.run(
                "app.experiments.runner:check_asset", arguments, folder, files.check_limits(), beat, work.beat_seconds()
            )
        except InvalidUpload as error:
            reasons = [reason.to_json() for reason in error.reasons]
            work.finish(Asset, asset.id, key, Status.REJECTED, reasons=reasons)
        else:
            work.finish(Asset, asset.id, key, Status.ACCEPTED, facts=facts)
    db.session.commit()


def note_failure(identity: int) -> None:
    """Nothing to tell anybody: the owner sees the state, and admins the log."""


def of(owner: User, kind: str = "") -> list[Asset]:
    """A person's files, newest first."""
    query = db.select(Asset).where(Asset.owner_id == owner.id, Asset.is_deleted.is_(False))
    if kind:
        query = query.where(Asset.kind == kind)
    return list(db.session.scalars(query.order_by(Asset.id.desc())))


def by_key(key: str, user: User) -> Asset:
    """A file of one's own; admins see everybody's."""
    asset = db.session.scalar(db.select(Asset).where(Asset.key == key, Asset.is_deleted.is_(False)))
    if asset is None or (asset.owner_id != user.id and not user.is_admin):
        raise NotFound("There is no such file.")
    return asset


def delete(user: User, asset: Asset) -> None:
    """Take a file off its owner's list; jobs that used it keep their results."""
    running = [
        job
        for job in db.session.scalars(db.select(Job).where(Job.owner_id == asset.owner_id))
        if not job.status.final and asset.id in job.inputs.values()
    ]
    if running:
        raise Conflict("A job is working on this file. Cancel it first, or wait.")
    asset.is_deleted, asset.finished_at = True, asset.finished_at or now()
    audit.record(user, "asset.delete", f"{asset.kind} {asset.name}")
    db.session.commit()
