#!/usr/bin/env python3
"""Make a defence file to try the platform with, or protect your own captures with a published defence.

    python make_test_defence.py                                  undefended simulated captures of 100 cells
    python make_test_defence.py --defence tamaraw --seed 7       the same, protected
    python make_test_defence.py --from mine.csv.zip --defence front --output protected.csv.zip

The file is a zip of one csv with the columns cell_id, rep, direction_size (bytes, + out, - in), timestamp (seconds).
"""

import argparse
import sys
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import csv

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from app.defences.traces import DEFENCES
from app.defences.traces.overhead import overhead
from app.defences.traces.simulator import simulate
from app.traces import Traces

COLUMNS = {"cell_id": pa.int32(), "rep": pa.int64(), "direction_size": pa.int32(), "timestamp": pa.float64()}
LEAST_REPETITIONS = 26
MOST_REPETITIONS = 38


def main(arguments: list[str] | None = None) -> None:
    """Read the command line, make or read captures, protect them, write them and say what it cost."""
    options = parse(arguments)
    rng = np.random.default_rng(options.seed)
    if options.source:
        traces, cell, rep = read(options.source)
    else:
        spread = min(2, options.mean_rep - LEAST_REPETITIONS, MOST_REPETITIONS - options.mean_rep)
        few, many = options.mean_rep - max(spread, 0), options.mean_rep + max(spread, 0)
        traces, cell, rep = simulate(options.classes, (few, many), rng)
    protected = traces if options.defence == "none" else DEFENCES[options.defence]().protect(traces, cell, rng)
    write(protected, cell, rep, options.output)
    cost = overhead(traces, protected)
    print(f"{options.output}: {len(protected):,} captures, {len(protected.size):,} packets, defence {options.defence}")
    print(f"bandwidth overhead {cost.bandwidth:+.1%}, latency overhead {cost.latency:+.1%}")


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classes", type=_positive, default=100, help="simulated cells (default 100)")
    parser.add_argument("--mean-rep", type=_positive, default=34, help="mean captures per simulated cell (default 34)")
    parser.add_argument("--defence", choices=["none", *DEFENCES], default="none", help="protection (default none)")
    parser.add_argument("--seed", type=int, default=0, help="seed of everything random (default 0)")
    parser.add_argument("--from", dest="source", type=Path, metavar="CSV_ZIP", help="protect this file instead")
    parser.add_argument("--output", type=Path, default=Path("test_defence.csv.zip"), help="file to write")
    return parser.parse_args(arguments)


def read(path: Path) -> tuple[Traces, np.ndarray, np.ndarray]:
    """The captures of a csv.zip with their cells and repetitions, sorted by both; packets stay in order."""
    try:
        with zipfile.ZipFile(path) as archive:
            text = archive.read(archive.namelist()[0])
        table = csv.read_csv(pa.BufferReader(text), convert_options=csv.ConvertOptions(column_types=COLUMNS))
    except (OSError, ValueError, IndexError, zipfile.BadZipFile) as error:
        sys.exit(f"{path} cannot be read as a zip of one csv: {error}")
    if set(table.column_names) != set(COLUMNS):
        sys.exit(f"{path} must have the columns {', '.join(COLUMNS)}; it has {', '.join(table.column_names)}")
    if not table.num_rows or any(table[name].null_count for name in COLUMNS):
        sys.exit(f"{path} holds no packets, or empty fields")
    cell, rep, size, time = (table[name].to_numpy() for name in COLUMNS)
    order = np.lexsort((rep, cell))
    cell, rep, size, time = cell[order], rep[order], size[order], time[order]
    start = np.flatnonzero(np.append(True, (np.diff(cell) != 0) | (np.diff(rep) != 0)))
    return Traces(np.append(start, len(cell)), size, time), cell[start], rep[start]


def write(traces: Traces, cell: np.ndarray, rep: np.ndarray, path: Path) -> None:
    """Write captures as a zip of one csv, times rounded to 0.1 ms: finer ones are noise that does not compress."""
    columns = [cell[traces.owner], rep[traces.owner], traces.size, np.round(traces.time, 4)]
    text = pa.BufferOutputStream()
    text.write((",".join(COLUMNS) + "\n").encode())
    csv.write_csv(pa.table(columns, names=list(COLUMNS)), text, csv.WriteOptions(include_header=False))
    # A fixed date makes the same captures the same file.
    entry = zipfile.ZipInfo("test_defence.csv", date_time=(2020, 1, 1, 0, 0, 0))
    entry.compress_type = zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(entry, text.getvalue().to_pybytes())


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


if __name__ == "__main__":
    main()
