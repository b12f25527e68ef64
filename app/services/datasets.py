"""Data sets of rounds: checked files of the lab that admins have chosen."""

from app import sandbox, tracks
from app.errors import InvalidParameters, InvalidUpload, NotFound
from app.extensions import db
from app.models import Asset, Round, Status, User
from app.services import files, places


def suited(slug: str) -> list[Asset]:
    """The accepted files of admins that a round of this track may be played on, newest first."""
    query = (
        db.select(Asset)
        .join(User, User.id == Asset.owner_id)
        .where(
            User.is_admin.is_(True),
            Asset.kind.in_(tracks.card(slug).data_kinds),
            Asset.status == Status.ACCEPTED,
            Asset.is_deleted.is_(False),
        )
    )
    return list(db.session.scalars(query.order_by(Asset.id.desc())))


def named(slug: str, key: str | None) -> Asset | None:
    """The data set with this key; None for an empty one, which means the track's own. Refuses an unsuited one."""
    if not key:
        return None
    for asset in suited(slug):
        if asset.key == key:
            return asset
    raise NotFound("There is no accepted data set of this kind in the lab of an admin.")


def check(row: Round) -> None:
    """Raises InvalidParameters when the round's data set cannot carry the round; without one nothing is checked."""
    if row.data is None:
        return
    with files.workspace() as folder:
        arguments = {"place": places.place(row, 0, folder)}
        try:
            sandbox.run("app.tracks.referee:check_data", arguments, folder, files.check_limits())
        except InvalidUpload as error:
            raise InvalidParameters({"data": str(error)}) from error
