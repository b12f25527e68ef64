"""The house's adversaries, run on every accepted defence."""

from app import sandbox
from app.errors import InvalidUpload
from app.extensions import db
from app.models import Defence, ReferenceResult, Status, User, now
from app.services import audit, files, queue, rounds, scores, work


def plan(defence: Defence) -> list[ReferenceResult]:
    """One queued row per adversary of the track, in the open transaction; an earlier result is computed again."""
    existing = {row.adversary: row for row in defence.references}
    planned = []
    for adversary in rounds.track(defence.round).adversaries():
        row = existing.get(adversary) or ReferenceResult(defence_id=defence.id, adversary=adversary)
        row.status, row.tries, row.claim, row.enqueued_at = Status.QUEUED, 0, "", now()
        db.session.add(row)
        planned.append(row)
    db.session.flush()
    return planned


def enqueue(rows: list[ReferenceResult]) -> None:
    """Tell the broker of committed rows."""
    for row in rows:
        queue.enqueue("references.play", row.id, queue=queue.EVALUATION)


def evaluate(row: ReferenceResult, key: str) -> None:
    """Let one adversary answer one challenge, and score the answer as a team's."""
    defence = row.defence
    with files.workspace() as folder:
        store = files.store()
        arguments = {
            "track": defence.round.track,
            "settings": defence.round.track_settings,
            "adversary": row.adversary,
            "team": defence.team_id,
            "seed": defence.seed,
            "public": str(store.fetch(defence.public, folder)),
            "secret": str(store.fetch(defence.secret, folder)),
        }
        beat = work.beat(ReferenceResult, row.id, key)
        try:
            result = sandbox.run(
                "app.tracks.referee:play_adversary",
                arguments,
                folder,
                files.adversary_limits(),
                beat,
                work.beat_seconds(),
            )
        except InvalidUpload as error:
            # The house's own answer cannot be the submitter's fault.
            raise sandbox.SandboxError(str(error)) from error
    work.finish(
        ReferenceResult, row.id, key, Status.ACCEPTED,
        leakage=result["value"], metrics=result["metrics"], figures=result["figures"],
        replicates=scores.pack(result["replicates"]), seconds=result["seconds"], device=result["device"],
    )  # fmt: skip
    db.session.commit()


def note_failure(identity: int) -> None:
    """Nothing to tell anybody: the defence is accepted, and admins see the row."""


def play_again(admin: User, defence: Defence) -> None:
    """Run every adversary on a defence again."""
    planned = plan(defence)
    audit.record(admin, "reference.play_again", f"defence {defence.id}")
    db.session.commit()
    enqueue(planned)


def worst(defence: Defence) -> ReferenceResult | None:
    """The adversary that learns most."""
    scored = [row for row in defence.references if row.leakage is not None]
    return max(scored, key=lambda row: row.leakage or 0.0, default=None)
