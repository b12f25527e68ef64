"""Phases of a round: what may be uploaded, and when that changes."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol


class Phase(StrEnum):
    """What is open in a round."""

    NONE = "none"
    DEFENCE = "defence"
    ATTACK = "attack"
    BOTH = "both"
    FINISHED = "finished"

    @property
    def defence_open(self) -> bool:
        """Whether defences may be uploaded."""
        return self in {Phase.DEFENCE, Phase.BOTH}

    @property
    def attack_open(self) -> bool:
        """Whether attacks may be uploaded."""
        return self in {Phase.ATTACK, Phase.BOTH}

    @property
    def label(self) -> str:
        """The phase as people read it."""
        return LABELS[self]


LABELS = {
    Phase.NONE: "Closed",
    Phase.DEFENCE: "Defence phase",
    Phase.ATTACK: "Attack phase",
    Phase.BOTH: "Defence and attack phase",
    Phase.FINISHED: "Finished",
}


class Change(Protocol):
    """From `at` on, `phase` holds."""

    @property
    def at(self) -> datetime:
        """The moment of the change."""

    @property
    def phase(self) -> Phase:
        """The phase from then on."""


@dataclass(frozen=True)
class Timetable:
    """Where a round stands at one moment."""

    phase: Phase
    since: datetime | None
    next_change: datetime | None
    next_phase: Phase | None


def timetable(changes: Iterable[Change], moment: datetime) -> Timetable:
    """The phase that the latest change before or at `moment` set, and the first change after it.

    Of several changes at the same moment the last one given holds.
    """
    ordered = sorted(changes, key=lambda change: change.at)
    past = [change for change in ordered if change.at <= moment]
    future = [change for change in ordered if change.at > moment]
    current = past[-1] if past else None
    upcoming = future[0] if future else None
    return Timetable(
        phase=current.phase if current else Phase.NONE,
        since=current.at if current else None,
        next_change=upcoming.at if upcoming else None,
        next_phase=upcoming.phase if upcoming else None,
    )
