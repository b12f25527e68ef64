"""What a round issues to its teams before they defend: made once for each team, and then the same for ever."""

from typing import IO

from sqlalchemy.exc import IntegrityError

from app import sandbox, tracks
from app.errors import Conflict, Forbidden, NotFound
from app.extensions import db
from app.models import Issue, Round, Team, User
from app.services import audit, files, places, rounds, teams
from app.storage import put_path


def download(user: User, row: Round) -> tuple[IO[bytes], str]:
    """The zip of the user's team, open for reading, and its name; made now if no worker has made it yet."""
    team = teams.of(user)
    if not tracks.card(row.track).issue:
        raise NotFound("In this track a round issues nothing to its teams.")
    if team is None:
        raise Forbidden("You are in no team yet. Join or found one first.")
    if not (rounds.is_open(row) or user.is_admin):
        raise Conflict(f"Round {row.number} has not opened yet. Your team's files are here when it does.")
    if of(team, row) is None:
        _make([team.id], row)
    issue = of(team, row)
    if issue is None:
        raise NotFound("This round issues nothing to your team.")
    audit.record(user, "issue.download", team.name, digest=issue.digest)
    db.session.commit()
    with files.workspace() as folder:
        # An open file outlives its name, so that a copy from object storage is gone once it is closed.
        file = files.store().fetch(issue.digest, folder).open("rb")
    return file, f"round_{row.number}_team_{team.id}_files.zip"


def of(team: Team, row: Round) -> Issue | None:
    """What a round has issued to a team, if it has."""
    return db.session.scalar(db.select(Issue).where(Issue.team_id == team.id, Issue.round_id == row.id))


def prepare(row: Round) -> int:
    """Make what is still missing for the teams of an open round, so that nobody waits for it; how many were made."""
    if not (tracks.card(row.track).issue and rounds.is_open(row)):
        return 0
    missing = [team.id for team in teams.everyone() if of(team, row) is None]
    if missing:
        _make(missing, row)
    return len(missing)


def _make(team_ids: list[int], row: Round) -> None:
    """Make and keep the files of these teams, all in one child process."""
    # Rolling back would take the id out of the object's hands.
    round_id = row.id
    with files.workspace() as folder:
        arguments = {"place": places.place(row, 0, folder), "teams": team_ids}
        made = sandbox.run("app.tracks.referee:write_issues", arguments, folder, files.check_limits())
        digests = {int(team): put_path(files.store(), folder / name)[0] for team, name in made.items()}
    for team, digest in digests.items():
        db.session.add(Issue(round_id=round_id, team_id=team, digest=digest))
        try:
            db.session.commit()
        except IntegrityError:
            # Somebody of the same team asked in the same moment, and theirs is kept.
            db.session.rollback()
