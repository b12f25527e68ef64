"""The storage and the workspaces of this installation."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import cast

from flask import current_app

from app import storage
from app.sandbox import Limits

DAY = 24 * 3600.0


def store() -> storage.Storage:
    """Where uploads and what was made of them live."""
    connected = current_app.extensions.get("srs_storage")
    if connected is None:
        config = current_app.config
        connected = storage.connect(
            config["UPLOAD_FOLDER"], Path(config["TEMPORARY_UPLOAD_FOLDER"]), config["S3_ENDPOINT_URL"]
        )
        current_app.extensions["srs_storage"] = connected
    return cast(storage.Storage, connected)


def workspace() -> AbstractContextManager[Path]:
    """A private temporary folder."""
    return storage.workspace(Path(current_app.config["TEMPORARY_UPLOAD_FOLDER"]))


def tidy() -> int:
    """Remove what killed workers left in the temporary folders a day ago; how many files and folders."""
    folders = {Path(current_app.config["TEMPORARY_UPLOAD_FOLDER"])}
    if not current_app.config["UPLOAD_FOLDER"].startswith("s3://"):
        folders.add(Path(current_app.config["UPLOAD_FOLDER"]))
    return sum(storage.tidy(folder, DAY) for folder in folders)


def check_limits() -> Limits:
    """What the evaluation of one uploaded file may use."""
    return Limits(current_app.config["CHECK_MEMORY_MB"], current_app.config["CHECK_SECONDS"])


def job_limits() -> Limits:
    """What one job of the lab may use."""
    memory = 0 if current_app.config["GPU_WORKER"] else current_app.config["JOB_MEMORY_MB"]
    return Limits(memory, current_app.config["JOB_SECONDS"])


def adversary_limits() -> Limits:
    """What one adversary of the house may use; a CUDA device cannot live with a bounded address space."""
    memory = 0 if current_app.config["GPU_WORKER"] else current_app.config["ADVERSARY_MEMORY_MB"]
    return Limits(memory, current_app.config["ADVERSARY_SECONDS"])
