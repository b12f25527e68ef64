"""The house as a defender: reference defences that stand in for teams without one, and the undefended reference."""

from flask import current_app
from sqlalchemy.orm import joinedload

from app import sandbox
from app.errors import Conflict
from app.extensions import db
from app.models import Defence, Round, Status, Team, Upload, UploadKind, User
from app.services import audit, files, places, queue, rounds, uploads
from app.storage import put_path

REFERENCE = "House reference"


def team(name: str) -> Team:
    """The team of the house that plays this defence, made on first use in the open transaction."""
    found = db.session.scalar(db.select(Team).where(Team.name == name, Team.is_house.is_(True)))
    if found is None:
        found = Team(name=name, is_house=True, is_open=False)
        db.session.add(found)
        db.session.flush()
    return found


def prepare(admin: User, row: Round, count: int) -> None:
    """Have `count` house defences made and checked by a worker."""
    audit.record(admin, "house.prepare", f"round {row.number}", count=count)
    db.session.commit()
    for index in range(count):
        queue.enqueue("house.make", row.id, index, queue=queue.CHECKS)


def prepare_reference(admin: User | None, row: Round) -> None:
    """Have the undefended reference made from generated data."""
    audit.record(admin, "house.prepare_reference", f"round {row.number}")
    db.session.commit()
    queue.enqueue("house.make_reference", row.id, queue=queue.CHECKS)


def submit_reference(admin: User, row: Round, file: "object", filename: str) -> Upload:
    """An admin hands in the round's undefended reference; it is checked like any defence."""
    digest, size = files.store().put(file)  # type: ignore[arg-type]
    upload = uploads.keep(UploadKind.REFERENCE, team(REFERENCE), row, digest, size, filename, admin)
    audit.record(admin, "house.reference", f"round {row.number}", digest=digest)
    db.session.commit()
    uploads.enqueue(upload)
    return upload


def make(row: Round, index: int) -> Upload | None:
    """Make the house's defence number `index` and hand it in; None if it is there already."""
    names = rounds.track(row).house_defences()
    # The undefended one, first in the list, comes last: a stand-in should be a defence.
    name = [*names[1:], names[0]][index % len(names)]
    owner = team(_team_name(name, index // len(names)))
    if _latest(owner, row):
        db.session.commit()
        return None
    return _make(row, owner, name, UploadKind.DEFENCE, index)


def make_reference(row: Round) -> Upload:
    """Make the undefended reference from generated data and hand it in."""
    return _make(row, team(REFERENCE), rounds.track(row).house_defences()[0], UploadKind.REFERENCE, 10_000)


def _team_name(name: str, copy: int) -> str:
    return f"House {name}" + (f" {copy + 1}" if copy else "")


def _make(row: Round, owner: Team, name: str, kind: UploadKind, index: int) -> Upload:
    with files.workspace() as folder:
        base = None
        if kind is UploadKind.DEFENCE and row.reference_id:
            digest = db.session.get_one(Defence, row.reference_id).upload.digest
            base = str(files.store().fetch(digest, folder))
        seed = (row.seed + index) & ((1 << 62) - 1)
        arguments = {"place": places.place(row, owner.id, folder), "name": name, "seed": seed, "upload": base}
        made = sandbox.run("app.tracks.referee:make_house_defence", arguments, folder, files.check_limits())
        path = folder / made["file"]
        digest, size = put_path(files.store(), path)
    upload = uploads.keep(kind, owner, row, digest, size, f"{name}{path.suffix}")
    db.session.commit()
    uploads.enqueue(upload)
    return upload


def _latest(owner: Team, row: Round) -> Upload | None:
    return db.session.scalar(
        db.select(Upload).where(
            Upload.team_id == owner.id,
            Upload.round_id == row.id,
            Upload.status.not_in([Status.REJECTED, Status.FAILED]),
        )
    )


def defences(row: Round) -> list[Defence]:
    """The house's accepted defences of a round, without the reference."""
    query = (
        db.select(Defence)
        .join(Team, Team.id == Defence.team_id)
        .join(Upload, Upload.id == Defence.upload_id)
        .where(Defence.round_id == row.id, Team.is_house.is_(True), Upload.kind == UploadKind.DEFENCE)
    )
    return list(db.session.scalars(query.order_by(Defence.id)))


def stand_ins(row: Round, count: int) -> list[Defence]:
    """`count` accepted defences of different house teams. Refuses while there are fewer."""
    found = list({defence.team_id: defence for defence in defences(row)}.values())
    if len(found) < count:
        current_app.logger.info("Round %s needs %s house defences, has %s", row.number, count, len(found))
        raise Conflict(
            f"{count} teams have no accepted defence and the house is to play in their place, but only {len(found)} "
            f"of its defences are ready. Prepare {count} house defences first."
        )
    return found[:count]


def reference(row: Round) -> Defence | None:
    """The undefended reference that the round's utility is measured against."""
    return db.session.get(Defence, row.reference_id) if row.reference_id else None


def uploads_of(row: Round) -> list[Upload]:
    """Everything that the house has handed in for a round, newest first."""
    query = (
        db.select(Upload)
        .join(Team, Team.id == Upload.team_id)
        .where(Upload.round_id == row.id, Team.is_house.is_(True))
        .options(joinedload(Upload.team))
    )
    return list(db.session.scalars(query.order_by(Upload.id.desc())))
