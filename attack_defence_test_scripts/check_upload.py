"""Checks a defence or an attack before it is uploaded, with the very rules of the platform and without a network.

    python3 check_upload.py my_defence.zip
    python3 check_upload.py --track membership my_model.onnx
    python3 check_upload.py --attack my_classification.csv.zip --challenge downloaded.zip

Every reason for a refusal is printed at once. The exit status is 0 if the file would be accepted, 1 if not. What a
round does not tell, such as an admin's own data set or hidden records, is known to the platform only: there, a defence
is checked against the track's default data.
"""

import argparse
import re
import sys
import tempfile
from pathlib import Path, PurePosixPath

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from app import archives, tracks
from app.errors import InvalidParameters, InvalidUpload, Reason
from app.tracks.base import Bundle, Track

MAX_FILES = 5000
MAX_BYTES = 20 * 10**9
SUFFIXES = (".zip", ".npz", ".onnx", ".json")
SHOWN = 6
FILE = re.compile(r"team_(\d+)_[a-z_]+\.[a-z.]+")


def main(arguments: list[str]) -> int:
    """Check the file that the command line names and print the result."""
    options = _options(arguments)
    try:
        track = tracks.game(options.track, dict(pair.split("=", 1) for pair in options.set))
        print(_check(options, track))
    except (InvalidParameters, ValueError) as error:
        print(f"--set takes NAME=VALUE of the round's settings: {error}", file=sys.stderr)
        return 2
    except InvalidUpload as error:
        print(f"{options.upload.name} would be refused, for {_counted(len(error.reasons), 'reason')}:\n")
        for number, reason in enumerate(error.reasons, 1):
            _print_reason(number, reason)
        return 1
    return 0


def read_challenge(path: Path, track: Track) -> dict[int, Bundle]:
    """What is asked about each opponent, by team, in a downloaded challenge. Raises InvalidUpload."""
    with tempfile.TemporaryDirectory(prefix="challenge-") as name:
        folder, teams = Path(name), set()
        for shown, file in archives.extract_all(path, folder, SUFFIXES, MAX_FILES, MAX_BYTES):
            match = FILE.fullmatch(PurePosixPath(shown).name)
            if match:
                file.rename(folder / match[0])
                teams.add(int(match[1]))
        if not teams:
            rule = "A downloaded challenge holds files team_<id>_… of each opponent."
            raise InvalidUpload([Reason(rule, path.name, "Download the challenge again and give it as it is.")])
        return {team: track.read_challenge(team, folder) for team in sorted(teams)}


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("upload", type=Path, help="the file that you want to upload")
    slugs = [card.slug for card in tracks.CARDS]
    parser.add_argument(
        "--track", choices=slugs, default=slugs[0], help=f"the track of your round; {slugs[0]} if left out"
    )
    parser.add_argument("--attack", action="store_true", help="the file is an attack, not a defence")
    parser.add_argument("--challenge", type=Path, help="the zip with your opponents' files, as downloaded")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of your round")
    options = parser.parse_args(arguments)
    if options.attack and options.challenge is None:
        parser.error("--attack needs --challenge: what is to be answered is in it")
    for path in filter(None, (options.upload, options.challenge)):
        if not path.is_file():
            parser.error(f"{path} is not a file")
    return options


def _check(options: argparse.Namespace, track: Track) -> str:
    """What was found in an acceptable file."""
    if options.attack:
        answers = track.read_answer(options.upload, read_challenge(options.challenge, track))
        return f"{options.upload.name} is fine: answers to {_counted(len(answers), 'opponent')}."
    found = track.read_defence(options.upload)
    contents = ", ".join(
        f"{name} {'x'.join(map(str, values.shape)) or '1'}" for name, values in sorted(found.items())[:SHOWN]
    )
    return f"{options.upload.name} is fine: {contents}{', …' if len(found) > SHOWN else ''}."


def _print_reason(number: int, reason: Reason) -> None:
    print(f"{number}. {reason.rule}")
    if reason.where:
        print(f"   Found:  {reason.where}" + (f"  ({reason.count:,} in total)" if reason.count > 1 else ""))
    print(f"   To do:  {reason.fix}\n")


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
