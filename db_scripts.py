"""Scripts for `flask shell`: a test population, clean-ups and a played round, all through the services."""

import secrets
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

import numpy as np
from flask import current_app

from app.extensions import db
from app.models import Attack, Match, Round, Status, Team, Upload, User, now
from app.rules.phases import Phase
from app.services import accounts, attacks, audit, defences, files, house, leaderboard, matches, rounds, teams

__all__ = ["demo", "flush_matches", "flush_whole_db", "populate_test_users"]

DEMO_PASSWORD = "secret-race"  # noqa: S105 (It is documented: demonstrations have no secrets.)
DEMO_TEAMS = {
    "al-bo": ("alice", "bob"),
    "cha-di": ("charlie", "diana"),
    "eu-fra": ("eugene", "frank"),
    "ger-hec": ("gerald", "hector"),
    "ign-joh": ("ignatius", "john"),
}
DEMO_DEFENCES = ("undefended", "burst-padding", "front", "regulator", "tamaraw")
DEMO_SETTINGS = {
    "NB_CLASSES": 10,
    "NB_TRACES_TO_CLASSIFY": 30,
    "MEAN_NB_REP_PER_CLASS": 14,
    "DEVIATION_NB_REP_PER_CLASS": 4,
}
REFERENCE_SCRIPT = Path(__file__).resolve().parent / "attack_defence_test_scripts" / "fingerprinting.py"
DEADLINE_SECONDS = 120

Row = TypeVar("Row", Upload, Round)


class DemoError(Exception):
    """The demonstration cannot be played; the message says why."""


def populate_test_users() -> list[Team]:
    """Five teams of two (alice … john), and an admin if there is none; every password is DEMO_PASSWORD."""
    if not accounts.any_admin():
        accounts.create_admin("admin", _address("admin"), DEMO_PASSWORD)
    made = []
    for number, (name, members) in enumerate(DEMO_TEAMS.items()):
        for seat, member in enumerate(members):
            user = accounts.find(member) or _register(member, 100_001 + 2 * number + seat)
            if teams.of(user) is None:
                _seat(user, name)
        made.append(teams.named(name))
    return made


def _register(name: str, sciper: int) -> User:
    user = accounts.register(name, _address(name), DEMO_PASSWORD, sciper, team="")
    # Nobody reads the mail of these people.
    user.verified_at = user.verified_at or now()
    db.session.commit()
    return user


def _address(name: str) -> str:
    return str(current_app.config["MAIL_TEST_RECEIVER_FORMAT"]).format(name)


def _seat(user: User, name: str) -> None:
    if any(team.name == name for team in teams.everyone()):
        teams.join(user, teams.named(name))
    else:
        teams.create(user, name)


def flush_matches(number: int | None = None) -> int:
    """Remove the matches of a round (by default the current one) and their attacks; how many matches there were."""
    row = rounds.by_number(number)
    found = matches.of_round(row)
    identities = [match.id for match in found]
    db.session.execute(db.delete(Attack).where(Attack.match_id.in_(identities)))
    db.session.execute(db.delete(Match).where(Match.id.in_(identities)))
    row.matched_at = None
    audit.record(None, "matches.flush", f"round {row.number}", matches=len(found))
    db.session.commit()
    leaderboard.forget()
    return len(found)


def flush_whole_db(confirmed: bool = False) -> None:
    """Remove every row of every table. Refuses unless it is called with `confirmed=True`."""
    if not confirmed:
        raise DemoError("This removes everybody and everything. Call flush_whole_db(confirmed=True) if you mean it.")
    # Rounds and defences refer to each other.
    db.session.execute(db.update(Round).values(reference_id=None))
    for table in reversed(db.metadata.sorted_tables):
        db.session.execute(table.delete())
    db.session.commit()
    leaderboard.forget()


def demo(say: Callable[[str], object] = print) -> None:
    """Play one complete round of five teams through the services and the running workers, and leave it open.

    Raises DemoError on a site that is in use already, and when the workers do not answer in time.
    """
    if rounds.current() or teams.everyone():
        raise DemoError("There are teams or rounds on this site already; the demonstration needs an empty one.")
    begin = time.monotonic()
    playing = populate_test_users()
    say(f"Five teams: {', '.join(DEMO_TEAMS)}. Every password is {DEMO_PASSWORD!r}.")
    row = rounds.create(None, "fingerprinting", "Demonstration", DEMO_SETTINGS, seed=secrets.randbits(62))
    house.prepare_reference(None, row)
    _wait("the undefended reference", lambda: _fresh(row).reference_id is not None)
    rounds.set_phase(None, row, Phase.DEFENCE)
    _defend(playing, row, say)
    rounds.set_phase(None, row, Phase.ATTACK)
    matches.generate(None, row)
    _attack(playing, say)
    rounds.set_phase(None, row, Phase.BOTH)
    say(f"Played in {time.monotonic() - begin:.0f} seconds. The house attacks in the background now.")


def _defend(playing: list[Team], row: Round, say: Callable[[str], object]) -> None:
    game, rng = rounds.track(row), np.random.default_rng(row.seed)
    handed_in = []
    with tempfile.TemporaryDirectory(prefix="srs-demo-") as folder:
        # All teams protect the same captures, so that what differs is the protection.
        reference = house.reference(row)
        base = game.read_defence(files.store().fetch(reference.upload.digest, Path(folder))) if reference else None
        for team, name in zip(playing, DEMO_DEFENCES, strict=True):
            path = Path(folder) / f"{team.name}.csv.zip"
            game.write_defence(game.house_defence(name, rng, base), path)
            with path.open("rb") as file:
                handed_in.append(defences.submit(_captain(team), file, path.name))
            say(f"{team.name} defends with {name}")
    _accepted(handed_in)


def _attack(playing: list[Team], say: Callable[[str], object]) -> None:
    handed_in = []
    with tempfile.TemporaryDirectory(prefix="srs-demo-") as name:
        for team in playing:
            folder = Path(name) / team.name
            folder.mkdir()
            answer = _classify(_captain(team), folder)
            with answer.open("rb") as file:
                handed_in.append(attacks.submit(_captain(team), file, answer.name))
            say(f"{team.name} attacks with {REFERENCE_SCRIPT.name}")
    _accepted(handed_in)


def _classify(user: User, folder: Path) -> Path:
    """Do what a student does: download, unzip, run the reference script."""
    download = folder / "sets_to_attack.zip"
    attacks.download(user, download)
    with zipfile.ZipFile(download) as archive:
        archive.extractall(folder)
    opponents = sorted(path.name.split("_")[1] for path in folder.glob("team_*_test.csv.zip"))
    command = [sys.executable, str(REFERENCE_SCRIPT), *opponents, "--folder", str(folder)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DemoError(f"The reference attack failed: {done.stderr[-1000:]}")
    return folder / "my_classification.csv.zip"


def _captain(team: Team) -> User:
    return teams.members(team)[0]


def _accepted(handed_in: Iterable[Upload]) -> None:
    """Wait for the worker's verdict on these uploads. Raises DemoError if one is not accepted."""
    for upload in handed_in:
        _wait(f"the check of {upload.filename}", lambda one=upload: _fresh(one).status.final)  # type: ignore[misc]
        if upload.status is not Status.ACCEPTED:
            raise DemoError(f"{upload.filename} was {upload.status}: {upload.reasons or upload.log}")


def _fresh(row: Row) -> Row:
    # A new transaction, or the database would go on showing this one's past.
    db.session.rollback()
    db.session.refresh(row)
    return row


def _wait(what: str, done: Callable[[], bool]) -> None:
    end = time.monotonic() + DEADLINE_SECONDS
    while not done():
        if time.monotonic() > end:
            raise DemoError(f"{what} is not done after {DEADLINE_SECONDS} seconds. Are the workers running?")
        time.sleep(0.25)
