"""The operators that the interpreter knows. This list is the security boundary: what is not on it is never run.

None of them runs code of the file, reads another file, loops for a number of times that the file says (an LSTM takes a
bounded number of steps, one for each place of its input), or makes a tensor whose size depends on data. Left out on
purpose: If, Loop, Scan, everything of sequences, maps and texts, and whatever is random (RandomNormal, Multinomial,
Bernoulli), since a classifier's answer must be the same twice.
"""

from collections.abc import Mapping
from types import MappingProxyType

from app.onnx_models.operators import (
    activations,
    arithmetic,
    constants,
    convolution,
    indexing,
    normalisation,
    padding,
    pooling,
    quantisation,
    recurrent,
    reductions,
    resizing,
    shapes,
)
from app.onnx_models.operators.registry import Operator

OPERATORS: Mapping[str, Operator] = MappingProxyType(
    arithmetic.OPERATORS
    | activations.OPERATORS
    | constants.OPERATORS
    | convolution.OPERATORS
    | indexing.OPERATORS
    | normalisation.OPERATORS
    | padding.OPERATORS
    | pooling.OPERATORS
    | quantisation.OPERATORS
    | recurrent.OPERATORS
    | reductions.OPERATORS
    | resizing.OPERATORS
    | shapes.OPERATORS
)
"""By name, in ONNX's own domain."""
QUANTISED = frozenset(quantisation.OPERATORS)
