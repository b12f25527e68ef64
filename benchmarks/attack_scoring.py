"""From an uploaded attack to its scores: this project against its predecessor's way.

    python benchmarks/attack_scoring.py [--matches 3]

Both read the csv.zip with the class probabilities of 300 captures of 100 cells per match, check it, and score every
match. The predecessor's way is pandas and scikit-learn, as its rules describe it: accuracy and macro one-vs-rest AUC,
by position, without intervals. "With intervals" adds what ours also computes: 1,000 bootstrap resamples of both, in a
loop over scikit-learn, of which `RESAMPLED` are run and the time is scaled. Ours joins by id and computes advantage,
accuracy, top 5, AUC and log-loss with intervals, replicates and three figures. Every run is a process of its own; its
CPU time counts from after the imports.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CAPTURES, CLASSES = 300, 100
RESAMPLED, RESAMPLES = 20, 1000


def make(matches, folder):
    """An answer to `matches` challenges, with its public and secret halves."""
    import numpy as np

    from app.tracks.fingerprinting import writing

    rng = np.random.default_rng(0)
    answers, publics, secrets = {}, {}, {}
    for team in range(1, matches + 1):
        cell = rng.permutation(np.arange(CAPTURES) % CLASSES + 1)
        capture = np.sort(rng.integers(0, 1 << 62, CAPTURES))
        probabilities = rng.dirichlet(np.ones(CLASSES), CAPTURES)
        probabilities[np.arange(CAPTURES), cell - 1] += 0.03
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        answers[team] = {"capture": capture, "probabilities": probabilities.astype(np.float32)}
        publics[team], secrets[team] = {"test_capture": capture}, {"capture": capture, "cell": cell}
    writing.write_answer(answers, folder / "attack.csv.zip")
    return publics, secrets


def predecessor(path, publics, secrets):
    import numpy as np
    import pandas as pd
    from sklearn.metrics import accuracy_score, roc_auc_score

    yield "imports"
    frame = pd.read_csv(path)
    columns = [f"proba_class_{c}" for c in range(1, CLASSES + 1)]
    yield "read"
    assert set(frame.columns) == {"team_id", "capture_id", *columns}
    assert len(frame) == sum(len(public["test_capture"]) for public in publics.values())
    assert set(frame["team_id"]) == set(publics)
    for team, public in publics.items():
        assert set(frame[frame["team_id"] == team]["capture_id"]) == set(public["test_capture"])
    assert ((frame[columns] >= 0) & (frame[columns] <= 1)).all().all()
    assert ((frame[columns].sum(axis=1) - 1).abs() <= 1e-5).all()
    yield "verify"
    for team, secret in secrets.items():
        scores = frame[frame["team_id"] == team][columns].to_numpy()
        scores /= scores.sum(axis=1, keepdims=True)
        accuracy_score(secret["cell"], scores.argmax(axis=1) + 1)
        10 * roc_auc_score(secret["cell"], scores, multi_class="ovr")
    yield "score"
    rng = np.random.default_rng(0)
    for _ in range(RESAMPLED):
        for secret in secrets.values():
            rows = rng.integers(0, CAPTURES, CAPTURES)
            labels = secret["cell"][rows]
            accuracy_score(labels, scores[rows].argmax(axis=1) + 1)
            np.mean([roc_auc_score(labels == c, scores[rows, c - 1]) for c in np.unique(labels)])
    yield "intervals"


def ours(path, publics, secrets):
    import numpy as np

    from app import tracks
    from app.tracks.fingerprinting import answer_file  # noqa: F401 (imports are not part of the comparison)

    game = tracks.game("fingerprinting", {})
    yield "imports"
    answers = game.read_answer(path, publics)
    yield "read"
    yield "verify"  # Part of reading.
    for team, secret in secrets.items():
        game.leakage(answers[team], secret, np.random.default_rng(0))
    yield "score"
    yield "intervals"  # Part of scoring.


def measure(way, matches):
    """CPU seconds of every step, and the peak memory in MB."""
    seconds = {}
    with tempfile.TemporaryDirectory() as folder:
        publics, secrets = make(matches, Path(folder))
        begin = time.process_time()
        for step in way(Path(folder) / "attack.csv.zip", publics, secrets):
            seconds[step] = time.process_time() - begin
            begin = time.process_time()
    return seconds | {"peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000}


def run(way, matches):
    command = [sys.executable, __file__, "--matches", str(matches), "--way", way]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT, env=environment)
    return json.loads(done.stdout)


def table(matches):
    old, new = run("predecessor", matches), run("ours", matches)
    old["intervals"] *= RESAMPLES / RESAMPLED
    rows = {
        "read and check": ("read", "verify"),
        "score": ("score",),
        "together": ("read", "verify", "score"),
        "with intervals": ("read", "verify", "score", "intervals"),
    }
    print(f"{matches} matches")
    print(f"{'CPU seconds':16}{'predecessor':>12}{'ours':>9}{'ratio':>8}")
    for name, steps in rows.items():
        first, second = (sum(each[step] for step in steps) for each in (old, new))
        print(f"{name:16}{first:12.3f}{second:9.3f}{first / second:8.1f}")
    print(f"{'peak MB':16}{old['peak']:12.0f}{new['peak']:9.0f}{old['peak'] / new['peak']:8.1f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--matches", type=int, default=3)
    parser.add_argument("--way", choices=["predecessor", "ours"])
    arguments = parser.parse_args()
    if arguments.way:
        ways = {"predecessor": predecessor, "ours": ours}
        print(json.dumps(measure(ways[arguments.way], arguments.matches)))
    else:
        table(arguments.matches)


if __name__ == "__main__":
    main()
