"""Reads and writes the protected gradients or updates that a defender uploads."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from app import archives, bundles
from app.bundles import ArraySpec, Bundle
from app.errors import InvalidUpload, Reason
from app.tracks.gradient_leakage import safetensors_file

ZIP = b"PK"
SPARE_BYTES = 8192
LARGEST = 1e6
"""No number may be larger: weights that move so far are nobody's, and squares of more leave single precision."""
PRECISE = 4
"""Bytes of a number that can be as large as LARGEST."""
FIX = "Save with numpy.savez(path, **arrays) or safetensors.numpy.save_file(arrays, path)."


def read(upload: Path, shapes: Mapping[str, tuple[int, ...]]) -> Bundle:
    """The arrays by parameter name, float32 (K, ...); `shapes` says which there must be.

    Raises InvalidUpload with every reason at once.
    """
    spec = {name: ArraySpec("f", shape) for name, shape in shapes.items()}
    most = sum(8 * int(np.prod(shape)) + SPARE_BYTES for shape in shapes.values())
    if upload.stat().st_size > most + SPARE_BYTES * len(shapes):
        rule = f"The file has at most {most / 1e6:,.1f} MB, which is what the arrays take in double precision."
        raise InvalidUpload([Reason(rule, f"{upload.stat().st_size / 1e6:,.1f} MB", FIX)])
    with upload.open("rb") as file:
        begin = file.read(10)
    if begin[:2] == ZIP:
        arrays = bundles.read(upload, spec, most)
    elif begin[8:9] == b"{":
        arrays = safetensors_file.read(upload, shapes)
    else:
        raise InvalidUpload([Reason("The file is an npz or a safetensors file.", _beginning(begin), FIX)])
    if reasons := list(_complaints(arrays)):
        raise InvalidUpload(reasons)
    return {name: arrays[name].astype(np.float32) for name in shapes}


def write(defence: Bundle, path: Path) -> None:
    """Write the arrays as npz."""
    bundles.write(defence, path)


def _beginning(begin: bytes) -> str:
    return f"it begins with {archives.quoted(begin.decode('latin-1'))}" if begin else "an empty file"


def _complaints(arrays: Bundle) -> Iterator[Reason]:
    for name, values in arrays.items():
        # Written so that a value that is no number is too large as well.
        wide = values.astype(np.float32) if values.itemsize < PRECISE else values
        bad = ~(np.abs(wide) <= LARGEST)
        if count := int(bad.sum()):
            first = np.flatnonzero(bad.ravel())[: archives.SHOWN]
            places = ", ".join(str(tuple(map(int, np.unravel_index(place, values.shape)))) for place in first)
            rule = f"The numbers of {archives.quoted(name)} are finite and at most {LARGEST:,.0f} in size."
            yield Reason(rule, places, "Clip them, and remove NaN and infinity.", count)
