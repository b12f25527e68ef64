"""Reads the defence that a team uploads: a zip of one csv, or of pcap captures."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from app import archives, csv_tables
from app.bundles import Bundle
from app.errors import InvalidUpload, Reason
from app.tracks.fingerprinting import captures, pcap_file, validation
from app.tracks.fingerprinting.captures import Captures

if TYPE_CHECKING:
    from app.tracks.fingerprinting.settings import Settings

MEGABYTE = 1_000_000


def read(upload: Path, settings: "Settings") -> Bundle:
    """The captures of a defence, sorted by cell and repetition.

    Keys: offset int64[n + 1], size int32[P], time float64[P] (see `Traces`), cell int32[n] in 1 to N, rep int64[n].
    Raises InvalidUpload with every reason at once.
    """
    names = archives.names(upload, max_members(settings))
    with tempfile.TemporaryDirectory(prefix="defence-") as folder:
        read_captures = _read_pcaps if any(map(pcap_file.is_capture, names)) else _read_csv
        found, reasons = read_captures(upload, Path(folder), settings)
    if found is not None:
        reasons = [*reasons, *validation.check(found, settings)]
    if found is None or reasons:
        raise InvalidUpload(reasons)
    return found.to_bundle()


def max_members(settings: "Settings") -> int:
    """How many members a zip of captures may have, with a folder entry and macOS's shadow of each."""
    most = validation.repetitions_allowed(settings)[1]
    return max(archives.MAX_MEMBERS, 2 * settings.NB_CLASSES * (most + 1))


def _read_csv(upload: Path, folder: Path, settings: "Settings") -> tuple[Captures | None, list[Reason]]:
    path = archives.extract_single(upload, folder, (".csv",), settings.MAX_UNZIPPED_MB * MEGABYTE)
    cell, rep, size, time = settings.defence_columns
    types = {cell: "int32", rep: "int64", size: "int32", time: "float64"}
    table = csv_tables.read(path, types, settings.MAX_ROWS)
    if not table.is_telling:
        return None, list(table.faults)
    columns = table.columns
    return captures.group(columns[cell], columns[rep], columns[size], columns[time], table.lines), list(table.faults)


def _read_pcaps(upload: Path, folder: Path, settings: "Settings") -> tuple[Captures | None, list[Reason]]:
    suffixes, limit = pcap_file.SUFFIXES, settings.MAX_UNZIPPED_MB * MEGABYTE
    files = archives.extract_all(upload, folder, suffixes, max_members(settings), limit)
    return pcap_file.read_all(files, settings.MAX_ROWS)
