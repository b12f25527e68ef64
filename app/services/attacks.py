"""Attacks: what to download, handing in, scoring, and which one counts."""

import zipfile
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from sqlalchemy.orm import joinedload

from app import sandbox
from app.errors import Conflict, Forbidden, InvalidUpload
from app.extensions import db
from app.models import Attack, Match, Round, Status, Team, Upload, UploadKind, User, now
from app.services import audit, files, mails, matches, places, rounds, scores, teams, uploads, work


def submit(user: User, file: IO[bytes], filename: str, key: str | None = None) -> Upload:
    """A team hands in its answer to all of its matches; the same file under the same `key` is handed in once."""
    _matches_of(user)
    return uploads.receive(user, UploadKind.ATTACK, file, filename, key)


def _matches_of(user: User) -> tuple[Team, Round, list[Match]]:
    row, team = rounds.by_number(None), teams.of(user)
    if team is None:
        raise Forbidden("You are in no team yet. Join or found one first.")
    found = matches.of_attacker(team, row)
    if not found:
        raise Conflict(
            "Your team has nobody to attack in this round yet. Matches are generated after the defence phase."
        )
    return team, row, found


def download(user: User, target: Path) -> str:
    """Write one zip with the challenge files of all opponents to `target`; the name that the browser shows."""
    team, row, found = _matches_of(user)
    if not (rounds.phase(row).phase.attack_open or user.is_admin):
        raise Conflict(f"Round {row.number} takes no attacks now.")
    with files.workspace() as folder, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for match in found:
            with zipfile.ZipFile(files.store().fetch(match.defence.download, folder)) as part:
                for name in part.namelist():
                    archive.writestr(name, part.read(name))
    audit.record(user, "attack.download", team.name)
    db.session.commit()
    return f"user_{user.id}_round_{row.number}_sets_to_attack.zip"


def evaluate(upload: Upload, key: str) -> None:
    """Score an answer against every match of its team; or reject it with every reason."""
    found = matches.of_attacker(upload.team, upload.round)
    with files.workspace() as folder:
        try:
            results = _score(upload, key, found, folder)
        except InvalidUpload as error:
            uploads.reject(upload, key, error)
            return
    if not work.finish(Upload, upload.id, key, Status.ACCEPTED):
        db.session.rollback()
        return
    kept = [_keep(upload, match, results[str(match.defender_id)]) for match in found]
    db.session.flush()
    uploads.tell_accepted(upload, attacks=kept, shown={attack.match_id: shown(attack, upload.round) for attack in kept})
    db.session.commit()
    mails.deliver_soon()


def _score(upload: Upload, key: str, found: list[Match], folder: Path) -> dict[str, Any]:
    store = files.store()
    asked = [
        {
            "team": match.defender_id,
            "public": str(store.fetch(match.defence.public, folder)),
            "secret": str(store.fetch(match.defence.secret, folder)),
            "seed": match.defence.seed,
        }
        for match in found
    ]
    arguments = {
        "place": places.place(upload.round, 0, folder),
        "upload": str(store.fetch(upload.digest, folder)),
        "matches": asked,
    }
    beat = work.beat(Upload, upload.id, key)
    return sandbox.run(
        "app.tracks.referee:score_attack", arguments, folder, files.check_limits(), beat, work.beat_seconds()
    )


def _keep(upload: Upload, match: Match, result: dict[str, Any]) -> Attack:
    attack = db.session.scalar(db.select(Attack).where(Attack.upload_id == upload.id, Attack.match_id == match.id))
    if attack is None:
        attack = Attack(upload_id=upload.id, match_id=match.id, match=match)
        db.session.add(attack)
    else:
        audit.record(None, "attack.reevaluated", f"upload {upload.id}", leakage=[attack.leakage, result["value"]])
    attack.leakage, attack.classic = result["value"], classic_result(result)
    attack.metrics, attack.replicates = result["metrics"], scores.pack(result["replicates"])
    attack.figures = result["attacker_figures"]
    return attack


def classic_result(result: dict[str, Any]) -> float:
    """The attack on the classic scale, on which a blind guess has 5 and a perfect one 10."""
    estimate = result["metrics"].get("classic_performance")
    return float(estimate["value"]) if estimate else 5 + 5 * float(result["value"])


def shown(attack: Attack, row: Round) -> dict[str, Any]:
    """Leakage and metrics as a team may see them: rounded to the round's feedback step, without intervals then."""
    step = rounds.rules(row).feedback_step
    if not step:
        return {"leakage": attack.leakage, "metrics": attack.metrics}
    coarse = lambda value: round(round(value / step) * step, 6)  # noqa: E731
    metrics = {
        name: {"value": coarse(estimate["value"]), "low": None, "high": None}
        for name, estimate in attack.metrics.items()
    }
    return {"leakage": coarse(attack.leakage), "metrics": metrics}


def choose(user: User, upload: Upload) -> None:
    """The team says which of its attacks counts."""
    if rounds.rules(upload.round).counted_attack != "selected":
        raise Conflict("In this round the teams do not choose which attack counts.")
    if upload.kind is not UploadKind.ATTACK or upload.status is not Status.ACCEPTED:
        raise Conflict("Only an accepted attack can count.")
    if not rounds.phase(upload.round).phase.attack_open:
        raise Conflict("The attack phase is over.")
    upload.chosen_at = now()
    audit.record(user, "attack.choose", f"upload {upload.id}")
    db.session.commit()


def of_upload(upload: Upload) -> list[Attack]:
    """The scored parts of an upload."""
    return list(db.session.scalars(db.select(Attack).where(Attack.upload_id == upload.id).order_by(Attack.match_id)))


def counted(found: Collection[Match], row: Round) -> dict[int, Attack]:
    """The attack that counts in each of these matches of a round, by the id of the match; none where there is none."""
    query = (
        db.select(Attack)
        .join(Upload, Upload.id == Attack.upload_id)
        .where(Attack.match_id.in_([match.id for match in found]), Upload.status != Status.REJECTED)
        .options(joinedload(Attack.upload))
    )
    orders: dict[str, Callable[[Attack], tuple[float, float]]] = {
        "latest": lambda attack: (0.0, attack.upload_id),
        "best": lambda attack: (attack.leakage, attack.upload_id),
        "selected": lambda attack: (
            attack.upload.chosen_at.timestamp() if attack.upload.chosen_at else 0.0,
            attack.upload_id,
        ),
    }
    order = orders[rounds.rules(row).counted_attack]
    return {attack.match_id: attack for attack in sorted(db.session.scalars(query), key=order)}


@dataclass(frozen=True)
class Pressure:
    """What other teams' counted attacks reach against a defence, without saying who reached what."""

    matches: int
    attacked: int
    best: float | None
    mean: float | None


def against(team: Team, row: Round) -> Pressure:
    """The counted attacks against a team's defence, as aggregates, rounded as attackers see them."""
    found = matches.of_defender(team, row)
    leaks = [shown(attack, row)["leakage"] for attack in counted(found, row).values()]
    best, mean = (max(leaks), sum(leaks) / len(leaks)) if leaks else (None, None)
    return Pressure(matches=len(found), attacked=len(leaks), best=best, mean=mean)
