"""Reads a zip of pcap captures, one per cell and repetition, named cell_<id>_rep_<n>.pcap as capture.sh names them.

What is kept of a capture is what a csv would hold: the size of each TCP payload, its direction, its time.
"""

import logging
import mmap
import re
import struct
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from app.archives import SHOWN, quoted
from app.errors import InvalidUpload, Reason
from app.traces import Traces
from app.tracks.fingerprinting import packets
from app.tracks.fingerprinting.captures import Captures
from app.tracks.fingerprinting.packets import IP_OFFSET, WIDTH, Raw

SUFFIXES = (".pcap", ".pcapng")
NAME = re.compile(r"cell_(\d{1,9})_rep_(\d{1,18})\.(pcap|pcapng)", re.ASCII)
NAMING = "A capture is named cell_<id>_rep_<n>.pcap (or .pcapng), and every cell and repetition occurs once."
INTACT = "Every capture is an intact pcap or pcapng file."
MAX_PACKETS_PER_FILE = 200_000
MAX_OTHER_BLOCKS = 1000
"""Blocks of a pcapng file that are no packets: interfaces, names, statistics."""
PCAP = (b"\xa1\xb2\xc3\xd4", b"\xd4\xc3\xb2\xa1", b"\xa1\xb2\x3c\x4d", b"\x4d\x3c\xb2\xa1")
PCAPNG = b"\x0a\x0d\x0d\x0a"
PACKET_BLOCKS = (2, 3, 6)


def is_capture(name: str) -> bool:
    """Whether a file of this name is meant as a capture."""
    return name.lower().endswith(SUFFIXES)


def parse_name(name: str) -> tuple[int, int] | None:
    """Cell and repetition of a capture by its file name, folders aside; None if it is named otherwise."""
    match = NAME.fullmatch(PurePosixPath(name).name)
    return (int(match[1]), int(match[2])) if match else None


def read_all(files: Sequence[tuple[str, Path]], max_packets: int) -> tuple[Captures | None, list[Reason]]:
    """All captures in the order of cell and repetition, and a reason for every kind of fault in the others.

    `files` are pairs of the name and the file. Without any readable capture there are only reasons.
    """
    named, reasons = _by_name(files)
    read: list[tuple[tuple[int, int], NDArray[np.int32], NDArray[np.float64]]] = []
    left = max_packets
    for key, name, path in named:
        try:
            size, time = read_one(path)
        except InvalidUpload as error:
            reasons += [replace(reason, where=f"{quoted(name)}: {reason.where}") for reason in error.reasons]
            continue
        left -= len(size)
        if left < 0:
            reasons.append(
                Reason(f"A defence has at most {max_packets:,} packets.", "more", "Leave out some captures.")
            )
            return None, _merged(reasons)
        read.append((key, size, time))
    if not read:
        return None, _merged(reasons)
    keys = np.array([key for key, _, _ in read], np.int64)
    traces = Traces.from_captures([size for _, size, _ in read], [time for _, _, time in read])
    return Captures(keys[:, 0].astype(np.int32), keys[:, 1], traces), _merged(reasons)


def read_one(path: Path, client: bytes | None = None) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Sizes (+ from the client) and times of the TCP packets with payload in one capture.

    `client` is an address of 16 bytes (`packets.parse_address`); without it `packets.find_client` decides.
    Raises InvalidUpload.
    """
    raw = _read_raw(path)
    foreign = np.setdiff1d(raw.link, list(IP_OFFSET))
    if len(foreign):
        rule = 'A capture was taken on Ethernet, on Linux\' "any" device, on loopback or as raw IP.'
        raise InvalidUpload([Reason(rule, f"link type {foreign[0]}", "Capture on another interface.")])
    found = packets.segments(raw)
    if len(found.payload):
        size, time = packets.signed(found, packets.find_client(found) if client is None else client)
        if len(size):
            return size, time
    rule = "Every capture contains TCP packets with payload from or to the client."
    raise InvalidUpload([Reason(rule, f"none among {len(raw.link):,} packets", "Capture again, or leave it out.")])


def _by_name(files: Sequence[tuple[str, Path]]) -> tuple[list[tuple[tuple[int, int], str, Path]], list[Reason]]:
    """The files with readable names, sorted by cell and repetition."""
    named: dict[tuple[int, int], tuple[str, Path]] = {}
    reasons = []
    for name, path in files:
        key = parse_name(name)
        if key is None or key in named:
            why = quoted(name) if key is None else f"{quoted(name)} again"
            reasons.append(Reason(NAMING, why, "Rename the file, or leave it out."))
        else:
            named[key] = (name, path)
    return [(key, *named[key]) for key in sorted(named)], reasons


def _merged(reasons: list[Reason]) -> list[Reason]:
    """One reason for each rule, with the first places of all that break it."""
    grouped: dict[tuple[str, str], list[str]] = {}
    for reason in reasons:
        grouped.setdefault((reason.rule, reason.fix), []).append(reason.where)
    return [
        Reason(rule, "; ".join(where[:SHOWN]) + ("; …" if len(where) > SHOWN else ""), fix, len(where))
        for (rule, fix), where in grouped.items()
    ]


def _broken(found: str, fix: str = "Capture again, or leave this repetition out.") -> InvalidUpload:
    return InvalidUpload([Reason(INTACT, found, fix)])


def _read_raw(path: Path) -> Raw:
    """The packets of an intact file. Raises InvalidUpload."""
    from scapy.error import Scapy_Exception  # Scapy is slow to import, and few uploads need it.

    logging.getLogger("scapy.runtime").setLevel(logging.ERROR)  # It warns of every broken packet.
    try:
        heads = list(_heads(path))
        columns = np.array([head[1:] for head in heads], np.int64).reshape(-1, 4)
    except (Scapy_Exception, EOFError, struct.error, ValueError, TypeError, IndexError, OverflowError) as error:
        raise _broken(quoted(str(error))) from error
    if not heads:
        raise _broken("no packets")
    data = np.frombuffer(b"".join(head[0] for head in heads), np.uint8).reshape(-1, WIDTH)
    return Raw(data, *columns.T)


def _heads(path: Path) -> Iterator[tuple[bytes, int, int, int, int]]:
    """First bytes, link type, captured bytes, wire bytes and nanoseconds of each packet."""
    with path.open("rb") as file:
        magic = file.read(4)
    if magic in PCAP:
        return _pcap(path)
    if magic == PCAPNG:
        _check_blocks(path)
        return _pcapng(path)
    if not magic:
        raise _broken("an empty file")
    if magic[:2] == b"\x1f\x8b":
        raise _broken("a gzip file", "Unpack the capture (gunzip) before zipping it.")
    raise _broken(f"a file that begins with {quoted(magic.decode('latin-1'))}")


def _pcap(path: Path) -> Iterator[tuple[bytes, int, int, int, int]]:
    from scapy.utils import RawPcapReader

    with path.open("rb") as file:
        reader, consumed = RawPcapReader(cast("Any", file)), 24
        scale = 1 if reader.nano else 1000
        for number, (data, meta) in enumerate(reader):
            _check_count(number)
            consumed += 16 + meta.caplen
            moment = meta.sec * 10**9 + meta.usec * scale
            yield data[:WIDTH].ljust(WIDTH, b"\0"), reader.linktype & 0xFFFF, meta.caplen, meta.wirelen, moment
    if consumed != path.stat().st_size:
        raise _broken("the file is cut off")


def _pcapng(path: Path) -> Iterator[tuple[bytes, int, int, int, int]]:
    from scapy.utils import RawPcapNgReader

    with path.open("rb") as file:
        reader: Any = RawPcapNgReader(cast("Any", file))
        for number, (data, meta) in enumerate(reader):
            _check_count(number)
            if meta.tshigh is None:
                raise _broken("packets without a time (simple packet blocks)")
            moment = ((meta.tshigh << 32) | meta.tslow) * 10**9 // meta.tsresol
            yield data[:WIDTH].ljust(WIDTH, b"\0"), meta.linktype, len(data), meta.wirelen, moment


def _check_count(number: int) -> None:
    if number >= MAX_PACKETS_PER_FILE:
        rule = f"One capture has at most {MAX_PACKETS_PER_FILE:,} packets."
        raise InvalidUpload([Reason(rule, "more", "Capture one repetition per file.")])


def _check_blocks(path: Path) -> None:
    """Walk over the blocks of a pcapng file: they end where the file ends, and few of them are no packets."""
    order, position, others = "<", 0, 0
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for number in range(MAX_PACKETS_PER_FILE + MAX_OTHER_BLOCKS):
            if position + 12 > len(data):
                break
            if data[position : position + 4] == PCAPNG:
                order = ">" if data[position + 8 : position + 12] == b"\x1a\x2b\x3c\x4d" else "<"
            kind, length = struct.unpack_from(f"{order}II", data, position)
            others += kind not in PACKET_BLOCKS
            if length < 12 or others > MAX_OTHER_BLOCKS:
                raise _broken(f"block {number + 1:,} has {length} bytes, or too many blocks are no packets")
            position += length + -length % 4
        if position != len(data):
            raise _broken("the file is cut off, or holds too many blocks")
