"""Named arrays from an untrusted HDF5 file: looked at before they are read, and read without the library's filters.

The C library follows links and external storage into other files, allocates what a header claims and unpacks without a
bound. Here a data set must be a hard link to plain numbers that lie in this file, every chunk of them; chunks are
unpacked by `app.image_sets.chunks`, which stops at their size.
"""

import math
import zlib
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import h5py  # type: ignore[import-untyped]
import numpy as np

from app.archives import MAX_RATIO, RATIO_MATTERS_FROM, quoted
from app.errors import Reason
from app.image_sets import chunks

MAGIC = b"\x89HDF\r\n\x1a\n"
MAX_AXES = 8
MAX_TEXTS, MAX_TEXT_BYTES, MAX_LETTERS = 10_000, 1 << 20, 256
BROKEN = (OSError, RuntimeError, ValueError, TypeError, KeyError, OverflowError, MemoryError, zlib.error)
"""What h5py raises on damaged or hostile files."""
SAVE = "Save with file.create_dataset(name, data=array, compression='gzip'), in one file."
KINDS = {"f": "numbers", "i": "whole numbers", "u": "whole numbers", "b": "truth values"}


class _Refused(Exception):
    """A data set breaks a rule."""

    def __init__(self, rule: str, where: str = "", fix: str = SAVE) -> None:
        self.reason = Reason(rule, where, fix)
        super().__init__(rule)


def read(path: Path, names: Collection[str], texts: Collection[str], max_bytes: int) -> tuple[dict, list[Reason]]:
    """The arrays called `names` (numbers) and `texts` (texts) as far as the file has them, and what is wrong with them.

    All together take at most `max_bytes` bytes. What else the file holds is never opened.
    """
    arrays: dict[str, np.ndarray] = {}
    reasons: list[Reason] = []
    try:
        # Without locking nothing is ever written, and the plain driver knows no other files.
        with h5py.File(path, "r", driver="sec2", locking=False) as file:
            for name in (*names, *texts):
                left = max_bytes - sum(array.nbytes for array in arrays.values())
                array = _read_one(file, name, name in texts, left, reasons)
                if array is not None:
                    arrays[name] = array
    except BROKEN as error:
        reasons.append(_damaged("the file", error))
    return arrays, reasons


def _read_one(file: Any, name: str, is_text: bool, max_bytes: int, reasons: list[Reason]) -> np.ndarray | None:
    try:
        if not file.id.links.exists(name.encode()):
            return None
        found = _open(file, name)
        _refuse_elsewhere(found, name)
        return _texts(found, name) if is_text else _numbers(found, name, file.id.get_filesize(), max_bytes)
    except _Refused as refused:
        reasons.append(refused.reason)
    except BROKEN as error:
        reasons.append(_damaged(quoted(name), error))
    return None


def _damaged(what: str, error: BaseException) -> Reason:
    return Reason("The file is an undamaged HDF5 file.", f"{what}: {quoted(str(error)[:200])}", SAVE)


def _open(file: Any, name: str) -> Any:
    """The data set behind a hard link."""
    kind = file.id.links.get_info(name.encode()).type
    if kind != h5py.h5l.TYPE_HARD:
        word = {h5py.h5l.TYPE_SOFT: "a soft link", h5py.h5l.TYPE_EXTERNAL: "an external link"}.get(kind, "a link")
        raise _Refused("Every array lies in the file itself.", f"{quoted(name)} is {word}")
    found = h5py.h5o.open(file.id, name.encode())
    if not isinstance(found, h5py.h5d.DatasetID):
        raise _Refused("Every array is a data set.", f"{quoted(name)} is a group or a type")
    return found


def _refuse_elsewhere(found: Any, name: str) -> None:
    """Refuse what is stored in other files; nothing that depends on their content is asked for before."""
    plan = found.get_create_plist()
    rule = "Every array lies in the file itself."
    if plan.get_layout() == h5py.h5d.VIRTUAL:
        raise _Refused(rule, f"{quoted(name)} is a virtual data set")
    if plan.get_external_count():
        raise _Refused(rule, f"{quoted(name)} has external storage")


def _numbers(found: Any, name: str, file_bytes: int, max_bytes: int) -> np.ndarray:
    dtype, shape = _plain_type(found, name), found.shape
    if shape is None or not 1 <= len(shape) <= MAX_AXES:
        raise _Refused(f"An array has 1 to {MAX_AXES} axes.", f"{quoted(name)} has {len(shape or ())}", "Reshape it.")
    nbytes = math.prod(shape) * dtype.itemsize
    if nbytes > max_bytes:
        rule = f"The arrays have at most {max_bytes / 1e6:,.1f} MB in total."
        raise _Refused(rule, f"{quoted(name)} claims {nbytes / 1e6:,.1f} MB", "Upload fewer samples or a smaller type.")
    stored = min(found.get_storage_size(), file_bytes)
    if nbytes > max(RATIO_MATTERS_FROM, MAX_RATIO * stored):
        rule = f"An array of more than 1 MB is stored in at least 1/{MAX_RATIO} of its size."
        raise _Refused(rule, f"{quoted(name)} claims {nbytes:,} bytes and stores {stored:,}")
    if found.get_create_plist().get_layout() == h5py.h5d.CHUNKED:
        return _chunked(found, name, dtype, file_bytes, max_bytes)
    if stored < nbytes:
        raise _Refused("Every value is stored in the file.", f"{quoted(name)} stores {stored:,} of {nbytes:,} bytes")
    if found.get_create_plist().get_nfilters():
        raise _Refused("Only chunks are compressed.", quoted(name))
    array = np.empty(shape, dtype)
    found.read(h5py.h5s.ALL, h5py.h5s.ALL, array)
    return array


def _plain_type(found: Any, name: str) -> np.dtype:
    """The type of the values, if they are numbers of at most 64 bits as processors know them."""
    try:
        stored = found.get_type()
        dtype = stored.dtype
        is_plain = (
            dtype.kind in KINDS
            and dtype.itemsize <= 8
            and dtype.itemsize == stored.get_size()
            and stored.equal(h5py.h5t.py_create(dtype, logical=True))
        )
    except (TypeError, ValueError, NotImplementedError) as error:
        raise _Refused("An array holds plain numbers.", f"{quoted(name)}: {quoted(str(error)[:100])}") from error
    if not is_plain:
        words = "references or other objects" if dtype.hasobject else quoted(str(dtype))
        raise _Refused("An array holds plain numbers.", f"{quoted(name)} holds {words}", "Convert it with astype(...).")
    return dtype


def _chunked(found: Any, name: str, dtype: np.dtype, file_bytes: int, max_bytes: int) -> np.ndarray:
    plan = found.get_create_plist()
    filters = [plan.get_filter(place)[0] for place in range(min(plan.get_nfilters(), chunks.MAX_FILTERS + 1))]
    foreign = [code for code in filters if code not in chunks.FILTERS]
    if foreign or len(filters) > chunks.MAX_FILTERS:
        rule = "Data sets use no filters but gzip, shuffle and fletcher32."
        raise _Refused(rule, f"{quoted(name)}: {', '.join(map(str, foreign)) or len(filters)}")
    grid = chunks.Grid(found.shape, plan.get_chunk(), dtype)
    if grid.chunk_bytes > max_bytes or grid.count > chunks.MAX_CHUNKS or grid.count * grid.chunk_bytes > 4 * max_bytes:
        rule = f"A data set has at most {chunks.MAX_CHUNKS:,} chunks, which are not larger than the data."
        raise _Refused(rule, f"{quoted(name)}: {grid.count:,} of {grid.chunk_bytes:,} bytes", SAVE)
    sizes = _chunk_sizes(found, grid)
    if len(sizes) != grid.count or max(sizes.values(), default=0) > file_bytes:
        where = f"{quoted(name)} has {len(sizes):,} of {grid.count:,} chunks"
        raise _Refused("Every value is stored in the file.", where)
    return chunks.assemble(grid, filters, _raw_chunks(found, sizes))


def _chunk_sizes(found: Any, grid: chunks.Grid) -> dict[tuple[int, ...], int]:
    """Where each chunk of the grid begins, and how many bytes it claims in the file."""
    sizes: dict[tuple[int, ...], int] = {}

    def note(info: Any) -> int | None:
        if grid.has(info.chunk_offset):
            sizes[tuple(info.chunk_offset)] = info.size
        return 1 if len(sizes) > grid.count else None

    found.chunk_iter(note)
    return sizes


def _raw_chunks(found: Any, sizes: dict[tuple[int, ...], int]) -> Iterable[tuple[tuple[int, ...], int, bytes]]:
    for offset in sizes:
        mask, raw = found.read_direct_chunk(offset)
        yield offset, mask, raw


def _texts(found: Any, name: str) -> np.ndarray:
    """(n,) texts of fixed or variable length, of which the first 256 letters are kept.

    One is read at a time, because all may point to the same long one.
    """
    data = h5py.Dataset(found)
    dtype = found.get_type().dtype
    is_text = dtype.kind == "S" or h5py.check_string_dtype(dtype) is not None
    if not is_text or len(found.shape or ()) != 1 or found.shape[0] > MAX_TEXTS:
        rule = f"{quoted(name)} is a list of at most {MAX_TEXTS:,} texts."
        raise _Refused(rule, f"{quoted(str(dtype))}, {found.shape}", "Save a list of short texts.")
    plan = found.get_create_plist()
    if plan.get_nfilters() or (dtype.kind == "S" and dtype.itemsize > MAX_TEXT_BYTES // max(1, found.shape[0])):
        raise _Refused("Texts are short and not compressed.", quoted(name), "Save a list of short texts.")
    if plan.get_layout() == h5py.h5d.CHUNKED and math.prod(plan.get_chunk()) > 2 * MAX_TEXTS:
        raise _Refused("Texts are short and not compressed.", quoted(name), "Save a list of short texts.")
    texts: list[str] = []
    total = 0
    for place in range(found.shape[0]):
        raw = data[place]
        total += len(raw)
        if total > MAX_TEXT_BYTES:
            raise _Refused(f"All texts have at most {MAX_TEXT_BYTES:,} bytes.", quoted(name), "Save short texts.")
        texts.append((raw if isinstance(raw, bytes) else str(raw).encode()).decode("utf-8", "replace")[:MAX_LETTERS])
    return np.array(texts, dtype=np.str_)
