"""What an uploaded ONNX file may contain and need."""

from dataclasses import dataclass

OLDEST_OPSET, NEWEST_OPSET = 7, 25
MAX_RANK = 8
MAX_LENGTH = 1 << 24
"""The longest axis of an input."""
MAX_ELEMENTS = 1 << 26
"""The elements of a tensor that an operator makes out of nothing but numbers (ConstantOfShape, Range)."""


@dataclass(frozen=True)
class ModelLimits:
    """The bounds of one file; every one is checked before the memory is taken."""

    file_bytes: int = 256 << 20
    nodes: int = 20_000
    fields: int = 1_000_000
    """Fields and messages of the file's encoding, which bounds the memory that reading it takes."""
    parameter_bytes: int = 512 << 20
    """All initialisers and constants together, as they lie in memory."""
    tensor_bytes: int = 256 << 20
    """One intermediate result of one input."""
    sample_bytes: int = 1 << 30
    """All intermediate results of one input together, and all results of computing with constants."""
    run_bytes: int = 2 << 30
    """All intermediate results of one run; larger batches are run in parts."""
    operations: int = 10**11
    """Multiplications and additions for one input."""

    @classmethod
    def of_round(cls, megabytes: float, million_operations: int, tensor_bytes: int) -> "ModelLimits":
        """The bounds of a team's model: its file, the work for one input, and its largest intermediate result."""
        size = int(megabytes * 1e6)
        return cls(
            file_bytes=size,
            nodes=5_000,
            parameter_bytes=4 * size,
            tensor_bytes=tensor_bytes,
            sample_bytes=4 * tensor_bytes,
            run_bytes=512 << 20,
            operations=million_operations * 10**6,
        )
