"""Checks a defence or an attack before it is uploaded, with the very rules of the platform and without a network.

    python3 check_upload.py my_defence.zip
    python3 check_upload.py --attack my_classification.csv.zip --challenge downloaded.zip

Every reason for a refusal is printed at once. The exit status is 0 if the file would be accepted, 1 if not.
"""

import argparse
import re
import sys
import tempfile
from pathlib import Path, PurePosixPath

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from app import archives, csv_tables, parameters
from app.bundles import Bundle
from app.errors import InvalidParameters, InvalidUpload, Reason
from app.tracks.fingerprinting import answer_file, defence_file
from app.tracks.fingerprinting.settings import Settings

MAX_OPPONENTS = 1000
TEST_NAME = re.compile(r"team_(\d+)_test\.csv\.zip")


def main(arguments: list[str]) -> int:
    """Check the file that the command line names and print the result."""
    options = _options(arguments)
    try:
        settings = parameters.parse(Settings, dict(pair.split("=", 1) for pair in options.set))
        print(_check(options, settings))
    except (InvalidParameters, ValueError) as error:
        print(f"--set takes NAME=VALUE of the round's settings: {error}", file=sys.stderr)
        return 2
    except InvalidUpload as error:
        print(f"{options.upload.name} would be refused, for {_counted(len(error.reasons), 'reason')}:\n")
        for number, reason in enumerate(error.reasons, 1):
            _print_reason(number, reason)
        return 1
    return 0


def read_challenge(path: Path, settings: Settings) -> dict[int, Bundle]:
    """The ids of the captures to classify, by team, of a downloaded challenge. Raises InvalidUpload."""
    _, _, size, time = settings.defence_columns
    capture = settings.attack_columns[1]
    limit = settings.MAX_UNZIPPED_MB * 1_000_000
    publics: dict[int, Bundle] = {}
    with tempfile.TemporaryDirectory(prefix="challenge-") as name:
        folder = Path(name)
        for shown, file in archives.extract_all(path, folder, (".zip",), MAX_OPPONENTS, limit * MAX_OPPONENTS):
            match = TEST_NAME.fullmatch(PurePosixPath(shown).name)
            if match:
                inner = Path(tempfile.mkdtemp(dir=folder))
                table = csv_tables.read(
                    archives.extract_single(file, inner, (".csv",), limit),
                    {capture: "int64", size: "int32", time: "float64"},
                    settings.MAX_ROWS,
                )
                publics[int(match[1])] = {"test_capture": np.unique(table.columns[capture])}
    if not publics:
        rule = "A downloaded challenge holds team_<id>_test.csv.zip for each opponent."
        raise InvalidUpload([Reason(rule, path.name, "Download the challenge again and give it as it is.")])
    return publics


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("upload", type=Path, help="the zip that you want to upload")
    parser.add_argument("--attack", action="store_true", help="the file is an attack, not a defence")
    parser.add_argument("--challenge", type=Path, help="the zip with your opponents' captures, as downloaded")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of your round")
    options = parser.parse_args(arguments)
    if options.attack and options.challenge is None:
        parser.error("--attack needs --challenge: the ids to be answered are in it")
    for path in filter(None, (options.upload, options.challenge)):
        if not path.is_file():
            parser.error(f"{path} is not a file")
    return options


def _check(options: argparse.Namespace, settings: Settings) -> str:
    """What was found in an acceptable file."""
    if options.attack:
        answers = answer_file.read(options.upload, read_challenge(options.challenge, settings), settings)
        rows = sum(len(answer["capture"]) for answer in answers.values())
        return f"{options.upload.name} is fine: {rows:,} captures of {_counted(len(answers), 'opponent')}."
    defence = defence_file.read(options.upload, settings)
    captures, packets = len(defence["cell"]), len(defence["size"])
    return f"{options.upload.name} is fine: {captures:,} captures of {settings.NB_CLASSES} cells, {packets:,} packets."


def _print_reason(number: int, reason: Reason) -> None:
    print(f"{number}. {reason.rule}")
    if reason.where:
        print(f"   Found:  {reason.where}" + (f"  ({reason.count:,} in total)" if reason.count > 1 else ""))
    print(f"   To do:  {reason.fix}\n")


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
