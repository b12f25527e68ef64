"""From an uploaded defence to the files that opponents download: this project against its predecessor's way.

    python benchmarks/defence_check.py [defence.csv.zip] [--times 10]

Both read the zip, check it, measure its utility, split it and write the files. The predecessor's way is pandas, as its
rules describe it: read_csv of the zip, groupby checks, a groupby utility, a sha256 of every row's cell and repetition,
a split by merge, and to_csv into three zips. (`--kind` hashes every capture only once, which is kinder to it.) Its ids
have 8 digits, ours 19. Every run is a process of its own; its CPU time counts from after the imports, its peak memory
includes them. The second table has `--times` as many rows: the same captures under new cell numbers.
"""

import argparse
import hashlib
import json
import os
import resource
import secrets
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
REAL = ROOT / "../shared/data/secretstroll/secretstroll_defence.csv.zip"
STEPS = ("read", "verify", "utility", "split", "write")


COLUMNS = ["cell_id", "rep", "direction_size", "timestamp"]


def predecessor(path, folder, times, kind=False):
    import pandas as pd

    yield "imports"
    frame = pd.read_csv(path)
    yield "read"
    verify(frame, 100 * times)
    yield "verify"
    utility(frame)
    yield "utility"
    train, test, verification = split(frame, 300 * times, kind)
    yield "split"
    train.to_csv(folder / "train.csv.zip", index=False)
    test.to_csv(folder / "test.csv.zip", index=False)
    verification.to_csv(folder / "verif.csv.zip", index=False)
    yield "write"


def verify(frame, classes):
    assert set(frame.columns) == set(COLUMNS)
    assert frame["cell_id"].nunique() == classes
    assert ((frame.groupby("cell_id")["rep"].nunique() - 32).abs() < 7).all()
    assert (frame.groupby(["cell_id", "rep"]).count() > 5).all().all()


def utility(frame):
    sizes = frame["direction_size"]
    inward = frame.assign(v=sizes.where(sizes < 0, 0)).groupby(["cell_id", "rep"])["v"].sum()
    outward = frame.assign(v=sizes.where(sizes > 0, 0)).groupby(["cell_id", "rep"])["v"].sum()
    for values in (inward, outward, frame.groupby(["cell_id", "rep"])["timestamp"].max()):
        values.max(), values.mean(), values.median()


def split(frame, wanted, kind):
    import pandas as pd

    key = secrets.token_bytes(16)

    def hashed(rows):
        pairs = zip(rows["cell_id"].tolist(), rows["rep"].tolist(), strict=True)
        texts = (key + f"{cell}{rep}".encode() for cell, rep in pairs)
        return [int.from_bytes(hashlib.sha256(text).digest()[:3], "big") for text in texts]

    if not kind:
        frame["capture_id"] = hashed(frame)
    pairs = frame.drop_duplicates(["cell_id", "rep"])[["cell_id", "rep", *([] if kind else ["capture_id"])]]
    if kind:
        pairs = pairs.assign(capture_id=hashed(pairs))
        frame = frame.merge(pairs, on=["cell_id", "rep"])
    first = pairs.groupby("cell_id").head(1)
    asked = pd.concat([first, pairs.drop(index=first.index).sample(wanted - len(first))])
    test = frame.merge(asked[["capture_id"]], on="capture_id").sort_values(["capture_id", "timestamp"])
    train = frame[~frame["capture_id"].isin(asked["capture_id"])].drop(columns="rep")
    train = train.rename(columns={"capture_id": "rep"})[COLUMNS].sort_values(["cell_id", "rep"])
    verification = asked[["capture_id", "cell_id"]].sort_values("capture_id")
    return train, test[["capture_id", "direction_size", "timestamp"]], verification


def ours(path, folder, times):
    import numpy as np

    from app import tracks
    from app.tracks.fingerprinting import defence_file  # noqa: F401 (imports are not part of the comparison)

    settings = {
        "NB_CLASSES": 100 * times,
        "NB_TRACES_TO_CLASSIFY": 300 * times,
        "MAX_ROWS": 2_000_000 * times,
        "MAX_UNZIPPED_MB": 60 * times,
    }
    game = tracks.game("fingerprinting", settings)
    yield "imports"
    defence = game.read_defence(path)
    yield "read"
    yield "verify"  # Part of reading.
    game.utility(defence)
    yield "utility"
    challenge = game.challenge(defence, np.random.default_rng(0))
    del defence  # The worker needs only the challenge from here on.
    yield "split"
    game.write_challenge(challenge.public, 1, folder)
    yield "write"


def measure(way, path, times, **options):
    """CPU seconds of every step, and the peak memory in MB."""
    seconds, begin = {}, time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        for step in way(path, Path(folder), times, **options):
            if step == "imports":
                base = peak()
            seconds[step] = time.process_time() - begin
            begin = time.process_time()
    return seconds | {"peak": peak(), "base": base}


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def multiply(path, times, target):
    """The captures `times` times, under new cell numbers; streamed, so that this process stays small."""
    with (
        zipfile.ZipFile(path) as archive,
        zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as out,
        out.open("defence.csv", "w", force_zip64=True) as sink,
    ):
        name = archive.namelist()[0]
        for time_ in range(times):
            with archive.open(name) as source:
                header = source.readline()
                sink.write(b"" if time_ else header)
                for line in source:
                    cell, rest = line.split(b",", 1)
                    sink.write(b"%d,%s" % (int(cell) + 100 * time_, rest))
    with zipfile.ZipFile(target) as archive:
        return archive.infolist()[0].file_size / 1e6


def run(way, path, times, kind):
    command = [sys.executable, __file__, str(path), "--times", str(times), "--way", way, *(["--kind"] if kind else [])]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT, env=environment())
    return json.loads(done.stdout)


def environment():
    return os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def table(path, times, megabytes, kind):
    old, new = run("predecessor", path, times, kind), run("ours", path, times, kind)
    print(f"\n{megabytes:.1f} MB of csv")
    print(f"{'CPU seconds':14}{'predecessor':>12}{'ours':>9}{'ratio':>8}")
    for step in STEPS:
        shown = f"{old[step] / new[step]:8.1f}" if new[step] > 1e-3 else "       -"
        print(f"{step:14}{old[step]:12.3f}{new[step]:9.3f}{shown}")
    sums = [sum(each[step] for step in STEPS) for each in (old, new)]
    print(f"{'together':14}{sums[0]:12.3f}{sums[1]:9.3f}{sums[0] / sums[1]:8.1f}")
    for name, subtract in (("peak MB", "none"), ("above imports", "base")):
        values = [each["peak"] - each.get(subtract, 0.0) for each in (old, new)]
        print(f"{name:14}{values[0]:12.0f}{values[1]:9.0f}{values[0] / values[1]:8.1f}")
        print(f"{'  x the csv':14}{values[0] / megabytes:12.1f}{values[1] / megabytes:9.1f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("defence", nargs="?", type=Path, default=REAL)
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--kind", action="store_true")
    parser.add_argument("--way", choices=["predecessor", "ours"])
    arguments = parser.parse_args()
    if arguments.way:
        if arguments.way == "ours":
            print(json.dumps(measure(ours, arguments.defence, arguments.times)))
        else:
            print(json.dumps(measure(predecessor, arguments.defence, arguments.times, kind=arguments.kind)))
        return
    with zipfile.ZipFile(arguments.defence) as archive:
        megabytes = archive.infolist()[0].file_size / 1e6
    table(arguments.defence, 1, megabytes, arguments.kind)
    with tempfile.TemporaryDirectory() as folder:
        large = Path(folder) / "large.csv.zip"
        table(large, arguments.times, multiply(arguments.defence, arguments.times, large), arguments.kind)


if __name__ == "__main__":
    main()
