"""The captures of a defence: packets grouped by cell and repetition, and where each stood in the upload."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.bundles import Bundle
from app.traces import Traces, gather


@dataclass(frozen=True)
class Captures:
    """n captures, sorted by cell and repetition; packets in the order of the file."""

    cell: NDArray[np.int32]
    """(n,): the grid cell that was asked for."""
    rep: NDArray[np.int64]
    """(n,): the team's own number of the repetition; any whole number."""
    traces: Traces
    line_of: Callable[[NDArray[np.int64]], NDArray[np.int64]] | None = None
    """Line numbers of the packets at the given positions; None if the upload was not a csv."""

    def __len__(self) -> int:
        """The number of captures."""
        return len(self.cell)

    def to_bundle(self) -> Bundle:
        """The defence as the arrays that the game keeps."""
        return {**self.traces.to_bundle(), "cell": self.cell, "rep": self.rep}


def group(
    cell: NDArray[np.int32],
    rep: NDArray[np.int64],
    size: NDArray[np.int32],
    time: NDArray[np.float64],
    lines: Callable[[NDArray[np.int64]], NDArray[np.int64]],
) -> Captures:
    """Group P rows, at least one, into captures; the rows of one need not be contiguous.

    `lines` tells the line numbers of rows. Rows that are in order already are not copied.
    """
    change = cell[1:] != cell[:-1]
    change |= rep[1:] != rep[:-1]
    start = np.concatenate([[0], np.flatnonzero(change) + 1])
    offset = np.append(start, len(cell))
    run_cell, run_rep = cell[start], rep[start]
    if _is_increasing(run_cell, run_rep):
        return Captures(run_cell, run_rep, Traces(offset, size, time), lines)
    order = np.lexsort((run_rep, run_cell))
    row, run_offset = gather(offset, order)
    run_cell, run_rep = run_cell[order], run_rep[order]
    first = np.append(True, (run_cell[1:] != run_cell[:-1]) | (run_rep[1:] != run_rep[:-1]))
    merged = np.append(run_offset[:-1][first], len(row))
    traces = Traces(merged, size[row], time[row])
    return Captures(run_cell[first], run_rep[first], traces, lambda packets: lines(row[packets]))


def _is_increasing(cell: NDArray[np.int32], rep: NDArray[np.int64]) -> bool:
    """Whether every (cell, repetition) is larger than the one before."""
    return bool(np.all((cell[1:] > cell[:-1]) | ((cell[1:] == cell[:-1]) & (rep[1:] > rep[:-1]))))
