"""Who attacks whom."""

from collections.abc import Mapping

import numpy as np


def pair(places: Mapping[int, int], matches: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Pairs (attacker, defender): every attacker attacks k others and every defender is attacked by k, nobody itself.

    `places` maps each attacking team to the team whose defence stands in its place: itself, or a team of the house.
    The places stand in a random circle and each attacks the k = min(matches, n - 1) that follow it. The result
    depends on the places and the seed only, not on their order.
    """
    attackers = np.array(sorted(places), dtype=np.int64)
    circle = rng.permutation(attackers).tolist()
    count = min(matches, max(0, len(circle) - 1))
    return sorted(
        (attacker, places[circle[(position + step) % len(circle)]])
        for position, attacker in enumerate(circle)
        for step in range(1, count + 1)
    )
