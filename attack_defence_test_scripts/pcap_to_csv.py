"""Turns the captures of capture.sh into the csv.zip that the platform takes.

    python3 pcap_to_csv.py captures/ my_defence.csv.zip
    python3 pcap_to_csv.py captures/ my_defence.csv.zip --client 172.18.0.2 --round-to-cells

Captures are named cell_<id>_rep_<n>.pcap (or .pcapng). What is kept of each TCP packet with payload: its bytes
(+ from the client, - to the client) and its time. Uploading a zip of the captures themselves does the same.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from numpy.typing import NDArray

from app.errors import InvalidUpload
from app.traces import Traces
from app.tracks.fingerprinting import packets, pcap_file, writing

TOR_CELL = 512
"""Bytes; the payloads of Tor's TLS records are about multiples of it."""


def main(arguments: list[str]) -> int:
    """Convert the folder that the command line names; 1 if a capture had to be left out."""
    options = _options(arguments)
    files = sorted(path for path in options.captures.rglob("*") if pcap_file.is_capture(path.name))
    keys, sizes, times, problems = [], [], [], 0
    for path in files:
        key = pcap_file.parse_name(path.name)
        try:
            size, time = pcap_file.read_one(path, options.client)
        except InvalidUpload as error:
            print(f"{path}: {error}", file=sys.stderr)
            key = None
        if key is None:
            print(f"{path}: left out (wanted: a readable cell_<id>_rep_<n>.pcap)", file=sys.stderr)
            problems += 1
            continue
        keys.append(key)
        sizes.append(round_to_cells(size) if options.round_to_cells else size)
        times.append(time)
    if not keys:
        print(f"No captures in {options.captures}.", file=sys.stderr)
        return 1
    _write(options.target, keys, Traces.from_captures(sizes, times))
    print(f"{options.target}: {len(keys):,} captures. Check it with: python3 check_upload.py {options.target}")
    return 1 if problems else 0


def round_to_cells(size: NDArray[np.int32]) -> NDArray[np.int32]:
    """Sizes as the nearest multiple of a Tor cell, at least one cell, with their signs."""
    cells = np.maximum(1, np.round(np.abs(size) / TOR_CELL))
    return (np.sign(size) * cells * TOR_CELL).astype(np.int32)


def _write(target: Path, keys: list[tuple[int, int]], traces: Traces) -> None:
    """Write the captures in the order of cell and repetition."""
    cell, rep = np.array(keys, np.int64).T
    order = np.lexsort((rep, cell))
    writing.write_defence({**traces.take(order).to_bundle(), "cell": cell[order], "rep": rep[order]}, target)


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("captures", type=Path, help="the folder with the captures")
    parser.add_argument("target", type=Path, help="the csv.zip to be written")
    parser.add_argument(
        "--client",
        type=packets.parse_address,
        metavar="ADDRESS",
        help="the client's address (default: who opened the connection, else the private address or higher port)",
    )
    parser.add_argument("--round-to-cells", action="store_true", help=f"round sizes to Tor cells of {TOR_CELL} bytes")
    options = parser.parse_args(arguments)
    if not options.captures.is_dir():
        parser.error(f"{options.captures} is not a folder")
    return options


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
