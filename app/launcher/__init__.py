"""What run-srs.sh calls once the environment is there: migrate, start every part, and watch them.

Nothing here ends in a traceback: what a person can mend is said in a sentence, anything else goes into a log.
"""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class Trouble(Exception):
    """Why the platform cannot start, and what to do."""
