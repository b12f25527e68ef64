"""The loss, measured against how much the text can be compressed at all."""

import zlib
from dataclasses import dataclass

import numpy as np

from app.attacks.membership.text.base import Evidence, Floats, TextAttack


@dataclass(frozen=True)
class ZlibRatio(TextAttack):
    """Repetitive text is cheap for every model; what zlib cannot shorten is cheap only for one that learnt it."""

    title = "zlib ratio"
    source = (
        "Carlini, Tramèr, Wallace et al., 2021, USENIX Security, section 5.2 (zlib entropy): the mean cross-entropy "
        "divided by the bytes of the compressed text."
    )

    def __call__(self, evidence: Evidence) -> Floats:
        """Minus the loss per byte."""
        sizes = np.array([len(zlib.compress(text.encode())) for text in evidence.texts], np.float64)
        return -evidence.losses / sizes
