#!/usr/bin/env python3
"""Sets up the environment if need be and runs the whole test suite; arguments are passed on to pytest.

    python3 test.py                          linters, types, layers, and every test
    python3 test.py tests/web -k leaderboard only these tests

The tests make databases and folders of their own: the installation's are never touched.
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
PROGRAMS = ROOT / ".venv" / "bin"
CHECKS = (
    ["ruff", "check", "."],
    ["ruff", "format", "--check", "."],
    ["mypy"],
    ["lint-imports"],
)
WHOLE = ["-n", "2", "--dist", "loadgroup", "--durations=20"]
"""How pytest runs everything: two processes, tests that share a browser in one of them, and the slowest named."""


def main(arguments: list[str]) -> int:
    """Run everything, or only pytest with these arguments; the exit status of the first failure."""
    status = run(["./run-srs.sh", "--for-tests"])
    if status:
        return status
    checks = [] if arguments else [[str(PROGRAMS / name), *options] for name, *options in CHECKS]
    tests = [str(PROGRAMS / "python"), "-m", "pytest", *(arguments or WHOLE)]
    # The tests come last, so that their closing line is the last one; they run even if a linter complains.
    results = [run(command) for command in [*checks, tests]]
    return next((result for result in results if result), 0)


def run(command: list[str]) -> int:
    """Run one command in the repository and say so; its exit status."""
    print("$", " ".join(command).replace(f"{ROOT}/", ""), flush=True)
    return subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONWARNINGS": ""}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
