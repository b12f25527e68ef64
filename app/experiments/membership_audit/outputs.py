"""The verdicts as files, in the formats that scripts of the predecessor read."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass

WORST = 17.0
"""The loss, in nats, that the normalised score calls 0."""
WIDTH = 80
HEADERS = ("Content", "Is member", "Score", "Normalized score [%]")


@dataclass(frozen=True)
class Verdict:
    """What is known of one sentence."""

    content: str
    whereabouts: str
    score: float
    """Minus its loss, in nats."""
    attack_score: float
    """Of the attack that gives the verdict."""
    p_value: float
    is_member: bool
    """What the verdict says."""
    unknown: float
    """Share of its words that the model does not know."""

    @property
    def normalised(self) -> float:
        """The score from 0 (a loss of WORST and more) to 1 (none)."""
        return min(1.0, max(0.0, (self.score + WORST) / WORST))


def table(verdicts: Sequence[Verdict]) -> bytes:
    """The output.csv."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(("content", "is_member", "score", "normalized_score"))
    for one in verdicts:
        # A spreadsheet would run a text that begins like a formula.
        content = f"'{one.content}" if one.content[:1] in {"=", "+", "-", "@", "\t"} else one.content
        writer.writerow((content, one.is_member, round(one.score, 3), round(one.normalised, 3)))
    return buffer.getvalue().encode()


def text(verdicts: Sequence[Verdict]) -> bytes:
    """The output.txt: a table drawn with lines, a blank line before and after."""
    rows = [
        (_cut(one.content), str(one.is_member), f"{round(one.score, 3)}", f"{100 * one.normalised:.1f}")
        for one in verdicts
    ]
    widths = [max(len(cell) for cell in column) for column in zip(HEADERS, *rows, strict=True)]
    top, middle, bottom = (f"─{sign}─".join("─" * width for width in widths) for sign in ("┬", "┼", "┴"))
    drawn = [
        " │ ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (HEADERS, *rows)
    ]
    return "\n".join(("", top, drawn[0], middle, *drawn[1:], bottom, "", "")).encode()


def _cut(content: str) -> str:
    return content if len(content) <= WIDTH else content[: WIDTH - 3] + "..."
