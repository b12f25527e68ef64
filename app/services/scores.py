"""Bootstrap replicates between JSON, database and arrays."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def pack(replicates: Sequence[float]) -> bytes:
    """float32 in little-endian order, as the database keeps them."""
    return np.asarray(replicates, "<f4").tobytes()


def unpack(stored: bytes | None) -> NDArray[np.float32] | None:
    """The inverse of `pack`; None for none, and for what is no row of finite numbers."""
    if not stored or len(stored) % 4:
        return None
    replicates = np.frombuffer(stored, "<f4")
    return replicates if np.isfinite(replicates).all() else None
