"""A referee that says what the test wants, so that the tests of services need no child process."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from app import sandbox
from app.tracks import referee as real
from tests.factories import estimate


@dataclass
class Referee:
    """Stands in for the sandbox: remembers what it was asked, and answers by the name of the question."""

    verdicts: dict[str, Any] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    meanwhile: Callable[[], object] = lambda: None
    """What happens elsewhere while the child is at work."""

    def run(self, target, arguments, folder, limits, beat=lambda share: None, beat_seconds=5.0):
        name = target.partition(":")[2]
        self.asked.append((name, arguments))
        self.meanwhile()
        verdict = self.verdicts[name]
        if isinstance(verdict, Exception):
            raise verdict
        if name == "check_defence":
            for part in (real.PUBLIC, real.SECRET, real.DOWNLOAD):
                (folder / part).write_text(f"{part} of {arguments['upload']} with {arguments['seed']}")
        if name == "make_house_defence":
            (folder / "defence.zip").write_text(arguments["name"])
        if name == "write_issues":
            for team in arguments["teams"]:
                (folder / f"{team}.zip").write_text(f"files of team {team}")
        return verdict(arguments) if callable(verdict) else verdict

    def asked_for(self, name):
        """The arguments of every question of this name."""
        return [arguments for asked, arguments in self.asked if asked == name]


def score(value, **metrics):
    """A score as the referee's child tells it."""
    told = {name: estimate(number) for name, number in metrics.items()}
    return {"value": value, "metrics": told, "figures": [], "attacker_figures": [], "replicates": [value] * 200}


@pytest.fixture
def referee(monkeypatch):
    stand_in = Referee(
        {
            "check_defence": score(0.7, classic_score=6.5, median_bytes=50_000.0),
            "score_attack": lambda asked: {
                str(match["team"]): score(0.4, classic_performance=7.5, accuracy=0.475) for match in asked["matches"]
            },
            "play_adversary": {**score(0.3, accuracy=0.4), "seconds": 1.5, "device": "cpu"},
            "make_house_defence": {"file": "defence.zip"},
            "write_issues": lambda asked: {str(team): f"{team}.zip" for team in asked["teams"]},
            "check_data": {},
        }
    )
    monkeypatch.setattr(sandbox, "run", stand_in.run)
    return stand_in
