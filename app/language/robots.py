"""What a site asks robots to leave alone (RFC 9309)."""

from dataclasses import dataclass
from itertools import groupby

MAX_BYTES = 500 << 10
EVERYONE = "*"


@dataclass(frozen=True)
class Rule:
    """One line of a group."""

    path: str
    """With * for anything and, at its end, $ for the end of the path."""
    allows: bool

    def matches(self, path: str) -> bool:
        """Whether the rule is about a path; takes time that grows with their lengths only."""
        ends = self.path.endswith("$")
        first, *rest = self.path.removesuffix("$").split("*")
        if not path.startswith(first):
            return False
        place = len(first)
        for number, part in enumerate(rest):
            is_last = ends and number == len(rest) - 1
            found = path.rfind(part) if is_last else path.find(part, place)
            if found < place or (is_last and found + len(part) != len(path)):
                return False
            place = found + len(part)
        return not ends or bool(rest) or place == len(path)


def rules(text: str, agent: str) -> list[Rule]:
    """The rules for a robot whose product token is `agent`: those of its own groups, else those for everyone."""
    groups: dict[str, list[Rule]] = {}
    lines = [line.partition("#")[0].partition(":") for line in text.splitlines()]
    parts = [(key.strip().lower(), value.strip()) for key, sign, value in lines if sign]
    known = [part for part in parts if part[0] in {"user-agent", "allow", "disallow"}]
    names: list[str] = []
    for is_name, entries in groupby(known, lambda part: part[0] == "user-agent"):
        if is_name:
            names = [value.lower() for _, value in entries]
            for name in names:
                groups.setdefault(name, [])
            continue
        found = [Rule(path, key == "allow") for key, path in entries if path]
        for name in names:
            groups[name] += found
    return groups.get(agent.lower(), groups.get(EVERYONE, []))


def allows(found: list[Rule], path: str) -> bool:
    """Whether a path may be fetched: the longest rule that matches decides, and allowing wins a tie."""
    matching = [(len(rule.path), rule.allows) for rule in found if rule.matches(path)]
    return path == "/robots.txt" or max(matching, default=(0, True))[1]
