"""What a worker's child process does for one file: check a defence, score an attack, play an adversary.

Every function takes the folder that it may write into and plain JSON, and returns plain JSON; see `app.sandbox`.
`place` says which game is played: track, settings, the round's seed, the defender's number and the round's data set.
"""

import time
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from app import bundles, devices, sandbox
from app.parameters import describe
from app.tracks import game
from app.tracks.base import Bundle, Data, Score, Seat, Track

PUBLIC, SECRET, DOWNLOAD = "public.npz", "secret.npz", "download.zip"
MAX_BUNDLE_BYTES = 4 << 30


Place = dict[str, Any]


def _game(place: Place) -> Track:
    data = Data(place["data"]["kind"], Path(place["data"]["path"])) if place["data"] else None
    return game(place["track"], place["settings"], Seat(place["round"], place["team"]), data)


def check_defence(
    folder: Path, place: Place, upload: str, seed: int, reference: dict[str, float] | None
) -> dict[str, Any]:
    """Read, measure and split a defence; the challenge's halves and the opponents' download are left in `folder`."""
    played = _game(place)
    progress = sandbox.report_progress(folder)
    defence = played.read_defence(Path(upload))
    progress(0.3)
    utility = played.utility(defence, reference)
    progress(0.4)
    challenge = played.challenge(defence, np.random.default_rng(seed))
    progress(0.6)
    bundles.write(challenge.public, folder / PUBLIC)
    bundles.write(challenge.secret, folder / SECRET)
    files = folder / "files"
    files.mkdir()
    _zip(played.write_challenge(challenge.public, place["team"], files), folder / DOWNLOAD)
    return score_to_json(utility)


def check_data(folder: Path, place: Place) -> dict[str, Any]:
    """Raises InvalidUpload when the round's data set cannot carry the round."""
    _game(place).check_data()
    return {}


def write_issues(folder: Path, place: Place, teams: list[int]) -> dict[str, str]:
    """Leave a zip of what the round issues to each of these teams in `folder`; its name by the team's id as text."""
    written = {}
    for team in teams:
        files = folder / f"issue_{team}"
        files.mkdir()
        _zip(_game({**place, "team": team}).write_issue(files), folder / f"{files.name}.zip")
        written[str(team)] = f"{files.name}.zip"
    return written


def score_attack(folder: Path, place: Place, upload: str, matches: list[dict[str, Any]]) -> dict[str, Any]:
    """Read an answer to several matches and score each; keys are the defending teams' ids as text."""
    played = _game(place)
    publics = {match["team"]: _read(match["public"]) for match in matches}
    answers = played.read_answer(Path(upload), publics)
    return {
        str(match["team"]): score_to_json(
            played.leakage(answers[match["team"]], _read(match["secret"]), np.random.default_rng(match["seed"]))
        )
        for match in matches
    }


def play_adversary(folder: Path, place: Place, adversary: str, seed: int, halves: dict[str, str]) -> dict[str, Any]:
    """Let an adversary of the house answer a challenge, through the same file and the same scorer as a team's.

    `halves` are the paths of the challenge's "public" and "secret" bundles.
    """
    played, team = _game(place), place["team"]
    asked, device = _read(halves["public"]), devices.best()
    begin = time.perf_counter()
    answer = played.adversaries()[adversary](
        asked, np.random.default_rng(seed), device, sandbox.report_progress(folder)
    )
    seconds = time.perf_counter() - begin
    path = folder / f"answer{played.card.answer.suffixes[0]}"
    played.write_answer({team: answer}, path)
    read = played.read_answer(path, {team: asked})[team]
    score = played.leakage(read, _read(halves["secret"]), np.random.default_rng(seed))
    return {**score_to_json(score), "seconds": seconds, "device": device}


def make_house_defence(folder: Path, place: Place, name: str, seed: int, upload: str | None) -> dict[str, Any]:
    """Write a defence of the house as the file that a team would upload; made from `upload` (undefended) if given."""
    played = _game(place)
    base = played.read_defence(Path(upload)) if upload else None
    defence = played.house_defence(name, np.random.default_rng(seed), base)
    path = folder / f"defence{played.card.defence.suffixes[0]}"
    played.write_defence(defence, path)
    return {"file": path.name}


def describe_adversaries(folder: Path, track: str, settings: dict[str, Any], kind: str) -> dict[str, Any]:
    """Title, source and parameters of every adversary of a round with these settings and this kind of data, by slug.

    Asked of a child, which may load torch.
    """
    played = game(track, settings, data=Data(kind, folder) if kind else None)
    return {
        slug: {
            "title": adversary.title,
            "source": adversary.source,
            "parameters": [
                {"name": field.name, "value": getattr(adversary, field.name), "help": field.help, "unit": field.unit}
                for field in describe(type(adversary))
            ],
        }
        for slug, adversary in played.adversaries().items()
    }


def score_to_json(score: Score) -> dict[str, Any]:
    """A score as plain JSON."""
    return {
        "value": float(score.value),
        "metrics": {name: asdict(estimate) for name, estimate in score.metrics.items()},
        "figures": [asdict(figure) for figure in score.figures],
        "attacker_figures": [asdict(figure) for figure in score.attacker_figures],
        "replicates": [] if score.replicates is None else [float(value) for value in score.replicates],
    }


def _read(path: str) -> Bundle:
    return bundles.read(Path(path), None, MAX_BUNDLE_BYTES)


def _zip(files: list[Path], target: Path) -> None:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for file in files:
            archive.write(file, file.name)
