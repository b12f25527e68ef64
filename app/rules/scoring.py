"""From utility and leakage to points, ranks and ties.

Two policies. `classic`: utility on a scale of 0 to 10 times the mean attack result on the same scale; while a match is
not attacked the factor is 1. `balanced`: a defence earns utility · (1 - worst leakage against it), an attack earns
the mean leakage of its matches; both are weighted and summed, on a scale of 0 to 100.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.rules.settings import RoundRules

REPLICATES = 200
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Attacked:
    """One match as its attacker sees it."""

    leakage: float | None
    """None while there is no accepted attack."""
    classic: float = 0.0
    replicates: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Entry:
    """What is known of one team in one round."""

    team: int
    utility: float | None
    """None while there is no accepted defence."""
    classic_utility: float = 0.0
    attacks: tuple[Attacked, ...] = ()
    against: tuple[Attacked, ...] = ()
    """Counted attacks against the team's defence, the house's among them if it counts."""


@dataclass(frozen=True)
class Standing:
    """One row of the board."""

    team: int
    rank: int | None
    """None while the team has no score."""
    rank_low: int | None
    rank_high: int | None
    score: float | None
    defence: float | None
    attack: float | None
    utility: float | None
    worst_leakage: float | None
    attacked: int
    matches: int


def standings(entries: Sequence[Entry], rules: RoundRules) -> list[Standing]:
    """The board, best first; teams without a score come last.

    Teams share a rank when the paired bootstrap cannot tell them from the first team of that rank:
    the 95 % interval of the difference of their scores, over replicates that resample the same items for both,
    contains 0.
    """
    entries = [_sound(entry) for entry in entries]
    points = [_points(entry, rules) for entry in entries]
    replicated = np.array([point.replicates for point in points]).reshape(len(points), REPLICATES)
    score = np.array([point.score if point.score is not None else -np.inf for point in points])
    order = np.argsort(-score, kind="stable")
    ranked = order[np.isfinite(score[order])]
    rank = _shared_ranks(score[ranked], replicated[ranked])
    low, high = _rank_intervals(replicated[ranked])
    # A rank that is shared with somebody better is in its own interval.
    low = [min(pair) for pair in zip(rank, low, strict=True)]
    placed = dict(zip(ranked.tolist(), zip(rank, low, high, strict=True), strict=True))
    return [_standing(entries[i], points[i], placed.get(i)) for i in order.tolist()]


def _sound(entry: Entry) -> Entry:
    """The entry without what is not a number: a broken row of the database must not take the board down."""
    utility = entry.utility if entry.utility is not None and math.isfinite(entry.utility) else None
    classic = entry.classic_utility if math.isfinite(entry.classic_utility) else 0.0
    return Entry(
        entry.team, utility, classic, tuple(map(_sound_attack, entry.attacks)), tuple(map(_sound_attack, entry.against))
    )


def _sound_attack(attack: Attacked) -> Attacked:
    if attack.leakage is None or (math.isfinite(attack.leakage) and math.isfinite(attack.classic)):
        return attack
    return Attacked(None)


@dataclass(frozen=True)
class _Points:
    score: float | None
    defence: float | None
    attack: float | None
    worst: float | None
    replicates: NDArray[np.float64]


def _points(entry: Entry, rules: RoundRules) -> _Points:
    return _classic(entry) if rules.scoring == "classic" else _balanced(entry, rules)


def _classic(entry: Entry) -> _Points:
    scores = [attack.classic for attack in entry.attacks if attack.leakage is not None]
    complete = bool(scores) and len(scores) == len(entry.attacks)
    attack = float(np.mean(scores)) if complete else None
    worst = _worst(entry)
    if entry.utility is None:
        return _Points(None, None, attack, worst, np.full(REPLICATES, -np.inf))
    factor = attack if attack is not None else 1.0
    score = entry.classic_utility * factor
    # The classic attack result is a rank statistic; its sampling error follows that of the leakage on the same scale.
    spread = 5 * (_mean_replicates(entry.attacks) - _mean_leakage(entry.attacks)) if complete else np.zeros(REPLICATES)
    return _Points(score, entry.classic_utility, attack, worst, entry.classic_utility * (factor + spread))


def _balanced(entry: Entry, rules: RoundRules) -> _Points:
    worst = _worst(entry)
    attack = _mean_leakage(entry.attacks) if entry.attacks else None
    if entry.utility is None:
        defence, defended = None, np.zeros(REPLICATES)
    else:
        defence = entry.utility * (1 - (worst or 0.0))
        defended = entry.utility * (1 - _worst_replicates(entry.against))
    attacked = _mean_replicates(entry.attacks)
    weights = rules.defence_weight + rules.attack_weight or 1.0
    if defence is None and not any(one.leakage is not None for one in entry.attacks):
        return _Points(None, None, attack, worst, np.full(REPLICATES, -np.inf))
    score = 100 * (rules.defence_weight * (defence or 0.0) + rules.attack_weight * (attack or 0.0)) / weights
    replicates = 100 * (rules.defence_weight * defended + rules.attack_weight * attacked) / weights
    percent = [None if value is None else 100 * value for value in (defence, attack)]
    return _Points(score, percent[0], percent[1], worst, replicates)


def _worst(entry: Entry) -> float | None:
    return max((attack.leakage for attack in entry.against if attack.leakage is not None), default=None)


def _mean_leakage(attacks: Sequence[Attacked]) -> float:
    """A match that is not attacked counts as leakage 0."""
    return float(np.mean([attack.leakage or 0.0 for attack in attacks])) if attacks else 0.0


def _replicates(attack: Attacked) -> NDArray[np.float64]:
    stored = attack.replicates
    if stored is not None and len(stored) == REPLICATES and np.isfinite(stored).all():
        return stored.astype(np.float64)
    return np.full(REPLICATES, attack.leakage or 0.0)


def _mean_replicates(attacks: Sequence[Attacked]) -> NDArray[np.float64]:
    return np.mean([_replicates(attack) for attack in attacks], axis=0) if attacks else np.zeros(REPLICATES)


def _worst_replicates(attacks: Sequence[Attacked]) -> NDArray[np.float64]:
    """Replicates of the attack that is worst, not the maximum over replicates, which would be biased upwards."""
    scored = [attack for attack in attacks if attack.leakage is not None]
    if not scored:
        return np.zeros(REPLICATES)
    return _replicates(max(scored, key=lambda attack: attack.leakage or 0.0))


def _shared_ranks(score: NDArray[np.float64], replicates: NDArray[np.float64]) -> list[int]:
    """Ranks 1, 1, 3, ...; `score` is sorted, best first."""
    ranks: list[int] = []
    leader = 0
    for position in range(len(score)):
        if position and not _tied(score[leader] - score[position], replicates[leader] - replicates[position]):
            leader = position
        ranks.append(leader + 1)
    return ranks


def _tied(difference: float, replicated: NDArray[np.float64]) -> bool:
    """Whether 0 lies in the 95 % interval of the replicated differences, or there is no difference at all."""
    tail = (1 - CONFIDENCE) / 2 * len(replicated)
    not_better, not_worse = np.count_nonzero(replicated <= 0), np.count_nonzero(replicated >= 0)
    return bool(difference == 0 or min(not_better, not_worse) > tail)


def _rank_intervals(replicates: NDArray[np.float64]) -> tuple[list[int], list[int]]:
    """The 95 % interval of each team's rank over the replicates."""
    if not len(replicates):
        return [], []
    ranks = (-replicates).argsort(axis=0, kind="stable").argsort(axis=0, kind="stable") + 1
    low, high = np.quantile(ranks, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], axis=1, method="nearest")
    return low.astype(int).tolist(), high.astype(int).tolist()


def _standing(entry: Entry, points: _Points, place: tuple[int, int, int] | None) -> Standing:
    rank, low, high = place or (None, None, None)
    return Standing(
        team=entry.team,
        rank=rank,
        rank_low=low,
        rank_high=high,
        score=points.score,
        defence=points.defence,
        attack=points.attack,
        utility=entry.utility,
        worst_leakage=points.worst,
        attacked=sum(attack.leakage is not None for attack in entry.attacks),
        matches=len(entry.attacks),
    )


def pareto_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Indices of the points (utility, leakage) that no other point beats in both, by rising leakage."""
    order = sorted(range(len(points)), key=lambda i: (points[i][1], -points[i][0]))
    front: list[int] = []
    best = -np.inf
    for i in order:
        if points[i][0] > best:
            front.append(i)
            best = points[i][0]
    return front
