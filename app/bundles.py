"""Bundles: named arrays in an npz file. They are the only thing that teams exchange: never code, never pickle."""

import math
import zipfile
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from tokenize import TokenError
from typing import IO

import numpy as np

from app import archives
from app.errors import InvalidUpload, Reason

Bundle = dict[str, np.ndarray]

MAX_ARRAYS = 1024
MAX_DIMENSIONS = 8
MAX_HEADER = 4096
NUMBERS = "biuf"
KINDS = {"b": "truth values", "i": "whole numbers", "u": "whole numbers", "f": "numbers", "U": "texts", "S": "bytes"}
FIX = "Save with numpy.savez(path, name=array, ...), without objects."


@dataclass(frozen=True)
class ArraySpec:
    """What one array of an uploaded bundle must be."""

    kinds: str = "f"
    """The allowed numpy kinds: b truth values, i and u whole numbers, f floating point, U texts."""
    shape: tuple[int | None, ...] | None = None
    """The length of each axis, None where any length will do; None for any shape."""
    finite: bool = True
    """Whether NaN and infinity are refused."""
    optional: bool = False


@dataclass(frozen=True)
class _Header:
    """What a member of an npz says of itself."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype
    start: int
    """Bytes before the data."""

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def write(bundle: Mapping[str, np.ndarray], path: Path, *, compress: bool = False) -> None:
    """Write the arrays to `path`; equal bundles become equal bytes.

    Raises ValueError for arrays of objects.
    """
    method = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", method) as archive:
        for name in sorted(bundle):
            member = zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0))
            member.compress_type, member.create_system, member.external_attr = method, 3, 0o644 << 16
            array = np.asarray(bundle[name], order="C")
            array = array.astype(array.dtype.newbyteorder("<"), copy=False)
            with archive.open(member, "w", force_zip64=array.nbytes > zipfile.ZIP64_LIMIT // 2) as file:
                np.lib.format.write_array(file, array, allow_pickle=False)


def read(path: Path, spec: Mapping[str, ArraySpec] | None = None, max_bytes: int = 1 << 30) -> Bundle:
    """The arrays of an npz file that holds exactly what `spec` names, or any numbers and texts without a spec.

    At most `max_bytes` bytes are unpacked, and nothing is allocated before the file was found to hold it.
    Raises InvalidUpload with every reason at once.
    """
    with archives.open_zip(path, MAX_ARRAYS) as archive:
        members = archives.content(archive)
        reasons = [*_container_complaints(members, max_bytes), *_name_complaints(members, spec)]
        if reasons:
            raise InvalidUpload(reasons)
        bundle = {}
        for member in members:
            name = member.filename.removesuffix(".npy")
            expected = spec[name] if spec else ArraySpec(NUMBERS + "US", finite=False)
            array = _read_array(archive, member, expected, reasons)
            if array is not None:
                bundle[name] = array
    if reasons:
        raise InvalidUpload(reasons)
    return bundle


def _container_complaints(members: list[zipfile.ZipInfo], max_bytes: int) -> Iterable[Reason]:
    for member in members:
        yield from archives.unreadable(member)
    foreign = [member.filename for member in members if not member.filename.endswith(".npy")]
    if foreign:
        found = ", ".join(map(archives.quoted, foreign[: archives.SHOWN]))
        yield Reason("The npz holds arrays only (*.npy).", found, FIX, len(foreign))
    twice = [name for name, times in Counter(member.filename for member in members).items() if times > 1]
    if twice:
        found = ", ".join(map(archives.quoted, twice[: archives.SHOWN]))
        yield Reason("Every array has its own name.", f"twice: {found}", FIX, len(twice))
    declared = sum(member.file_size for member in members)
    if declared > max_bytes:
        # A ratio is not asked for: arrays of zeros are honest, and the sum of bytes bounds them as well.
        limit = f"The arrays have at most {max_bytes / 1e6:,.1f} MB in total."
        yield Reason(limit, f"{declared / 1e6:,.1f} MB", "Upload smaller arrays or a smaller type.")


def _name_complaints(members: list[zipfile.ZipInfo], spec: Mapping[str, ArraySpec] | None) -> Iterable[Reason]:
    if spec is None:
        return
    found = {member.filename.removesuffix(".npy") for member in members}
    missing = [name for name, array in spec.items() if not array.optional and name not in found]
    unknown = sorted(found - set(spec))
    rule = f"The npz holds the arrays {', '.join(spec)}."
    if missing:
        yield Reason(rule, f"missing: {', '.join(missing[:20])}", "Add the missing arrays.", len(missing))
    if unknown:
        shown = ", ".join(map(archives.quoted, unknown[: archives.SHOWN]))
        yield Reason(rule, f"unknown: {shown}", "Remove or rename the unknown arrays.", len(unknown))


def _read_array(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, spec: ArraySpec, reasons: list[Reason]
) -> np.ndarray | None:
    """The array of one member; None after adding to `reasons` why it is not one."""
    name = member.filename.removesuffix(".npy")
    try:
        with archive.open(member) as file:
            header = _read_header(file)
            complaints = list(_header_complaints(name, header, member.file_size, spec))
            array = None if complaints else _read_data(file, header)
    except (*archives.BROKEN, SyntaxError, TokenError, TypeError, MemoryError) as error:
        found = f"{archives.quoted(name)}: {archives.quoted(str(error))}"
        reasons.append(Reason("Every array is an undamaged npy file.", found, FIX))
        return None
    if array is not None and spec.finite and array.dtype.kind == "f":
        complaints = list(_value_complaints(name, array))
    reasons.extend(complaints)
    return None if complaints else array


def _read_header(file: IO[bytes]) -> _Header:
    """The header of an npy file; ValueError if it is none. It is parsed as literals and never executed."""
    magic = file.read(8)
    version, width = magic[6:7], 2 if magic[6:7] == b"\1" else 4
    if magic[:6] != b"\x93NUMPY" or version not in (b"\1", b"\2", b"\3"):
        raise ValueError("no npy file")
    prefix = file.read(width)
    length = int.from_bytes(prefix, "little")
    if length > MAX_HEADER:
        raise ValueError(f"a header of {length:,} bytes")
    header = BytesIO(prefix + file.read(length))
    read_header = np.lib.format.read_array_header_1_0 if width == 2 else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read_header(header, max_header_size=MAX_HEADER)
    return _Header(shape, fortran, dtype, 8 + width + length)


def _header_complaints(name: str, header: _Header, file_size: int, spec: ArraySpec) -> Iterable[Reason]:
    kind, shown = header.dtype.kind, archives.quoted(name)
    if not _is_plain(header.dtype) or kind not in spec.kinds:
        wanted = " or ".join(dict.fromkeys(KINDS[allowed] for allowed in spec.kinds))
        found = "Python objects" if header.dtype.hasobject else archives.quoted(str(header.dtype))
        yield Reason(f"The array {shown} holds {wanted}.", found, "Convert it with array.astype(...). " + FIX)
        return
    if len(header.shape) > MAX_DIMENSIONS or min(header.shape, default=0) < 0:
        rule = f"An array has at most {MAX_DIMENSIONS} axes, none of a negative length."
        yield Reason(rule, f"{shown} has {_shape(header.shape)}", "Reshape it.")
    elif spec.shape is not None and not _fits(header.shape, spec.shape):
        wanted = _shape(spec.shape)
        yield Reason(f"The array {shown} has the shape {wanted}.", _shape(header.shape), "Reshape it, or fill it up.")
    elif header.start + header.nbytes != file_size:
        found = f"{shown} claims {header.nbytes:,} bytes and has {file_size - header.start:,}"
        yield Reason("Every array is as long as its header says.", found, FIX)


def _is_plain(dtype: np.dtype) -> bool:
    """Whether the values are numbers of at most 64 bits or texts that take space."""
    return (
        not dtype.hasobject
        and (dtype.kind in "US" or (dtype.kind in NUMBERS and dtype.itemsize <= 8))
        and dtype.itemsize > 0
    )


def _fits(shape: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    return len(shape) == len(wanted) and all(want in (None, length) for length, want in zip(shape, wanted, strict=True))


def _shape(shape: tuple[int | None, ...]) -> str:
    return f"({', '.join('any' if length is None else str(length) for length in shape)})"


def _read_data(file: IO[bytes], header: _Header) -> np.ndarray:
    """The data after the header, which was found to be as long as the member."""
    array = np.empty(math.prod(header.shape), header.dtype)
    target, filled = array.view(np.uint8).data, 0
    while chunk := file.read(archives.CHUNK):
        if filled + len(chunk) > len(target):
            raise ValueError("more data than the header says")
        target[filled : filled + len(chunk)] = chunk
        filled += len(chunk)
    if filled != header.nbytes:
        raise ValueError("less data than the header says")
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    return native.reshape(header.shape, order="F" if header.fortran else "C")


def _value_complaints(name: str, array: np.ndarray) -> Iterable[Reason]:
    bad = ~np.isfinite(array)
    if count := int(bad.sum()):
        first = np.flatnonzero(bad.ravel())[: archives.SHOWN]
        places = ", ".join(str(tuple(map(int, np.unravel_index(place, array.shape)))) for place in first)
        rule = f"The array {archives.quoted(name)} holds finite numbers."
        yield Reason(rule, f"NaN or infinity at {places}", "Remove NaN and infinity.", count)
