"""Reads an untrusted file into ONNX's own message, without following anything that it refers to."""

import errno
import os
import stat
from pathlib import Path

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import ModelProto

from app.onnx_models import wire
from app.onnx_models.complaints import Unsupported, quoted, refusal
from app.onnx_models.limits import ModelLimits


def read(path: Path, limits: ModelLimits) -> ModelProto:
    """The message in the regular file at `path`. Raises InvalidUpload if it is none or is too large."""
    data = _content(path, limits)
    try:
        wire.check(data, limits.fields)
        model = ModelProto()
        model.ParseFromString(data)
    except (Unsupported, DecodeError) as error:
        raise refusal("The file is an undamaged ONNX model.", quoted(str(error))) from error
    if not model.HasField("graph") or not model.graph.node:
        raise refusal("The file is an undamaged ONNX model.", "it has no graph with nodes")
    return model


def _content(path: Path, limits: ModelLimits) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        # A link is the submitter's doing; a file that is missing or not readable is ours.
        if error.errno == errno.ELOOP:
            raise refusal("The file is a regular file.", "a symbolic link") from error
        raise
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise refusal("The file is a regular file.", "a device, pipe or folder")
    with os.fdopen(descriptor, "rb") as file:
        if status.st_size > limits.file_bytes:
            rule = f"The file has at most {limits.file_bytes / 1e6:,.0f} MB."
            raise refusal(rule, f"{status.st_size / 1e6:,.1f} MB", "Upload a smaller model, with float32 weights.")
        return file.read(limits.file_bytes + 1)
