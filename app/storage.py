"""Files by digest: what was put once can be opened for ever, on a local folder or on S3-compatible storage."""

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import IO, Any, Protocol

CHUNK = 1 << 20
SPOOLED, WORKSPACE = "put-", "work-"
"""How the names of temporary files and folders begin."""


class Storage(Protocol):
    """Where files live; a file's name is the SHA-256 of its content."""

    def put(self, file: IO[bytes]) -> tuple[str, int]:
        """Store a file; its digest and size in bytes. It is durable when this returns."""

    def fetch(self, digest: str, folder: Path) -> Path:
        """A readable local path of the file, in place or copied into `folder`. FileNotFoundError if unknown."""


def put_path(storage: Storage, path: Path) -> tuple[str, int]:
    """Store the file at `path`."""
    with path.open("rb") as file:
        return storage.put(file)


@contextlib.contextmanager
def _spooled(file: IO[bytes], folder: Path) -> Iterator[tuple[Path, str, int]]:
    """A durable temporary copy of `file` in `folder`, with its digest and size."""
    digest, size = sha256(), 0
    descriptor, name = tempfile.mkstemp(dir=folder, prefix=SPOOLED)
    try:
        with os.fdopen(descriptor, "wb") as copy:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
                size += len(chunk)
                copy.write(chunk)
            copy.flush()
            os.fsync(copy.fileno())
        yield Path(name), digest.hexdigest(), size
    finally:
        Path(name).unlink(missing_ok=True)


def _checked(digest: str) -> str:
    if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
        raise ValueError("a digest has 64 hexadecimal digits")
    return digest


@dataclass(frozen=True)
class LocalStorage:
    """Files in a folder of this machine (or of a network file system)."""

    root: Path

    def _path(self, digest: str) -> Path:
        return self.root / _checked(digest)[:2] / digest

    def put(self, file: IO[bytes]) -> tuple[str, int]:
        """Write aside, then rename: a reader sees the whole file or none."""
        self.root.mkdir(parents=True, exist_ok=True)
        with _spooled(file, self.root) as (copy, digest, size):
            target = self._path(digest)
            target.parent.mkdir(exist_ok=True)
            if not target.exists():
                copy.chmod(0o440)
                # Of two that come here with the same file, the second replaces it by the same content.
                copy.replace(target)
                _sync_folder(target.parent)
        return digest, size

    def fetch(self, digest: str, folder: Path) -> Path:
        """The file in place."""
        path = self._path(digest)
        if not path.exists():
            raise FileNotFoundError(digest)
        return path


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@dataclass(frozen=True)
class S3Storage:
    """Files in a bucket of S3-compatible storage."""

    client: Any
    bucket: str
    prefix: str
    spool: Path

    def _key(self, digest: str) -> str:
        return f"{self.prefix}{_checked(digest)[:2]}/{digest}"

    def put(self, file: IO[bytes]) -> tuple[str, int]:
        """Spool to learn the digest, then upload."""
        self.spool.mkdir(parents=True, exist_ok=True)
        with _spooled(file, self.spool) as (copy, digest, size):
            self.client.upload_file(str(copy), self.bucket, self._key(digest))
        return digest, size

    def fetch(self, digest: str, folder: Path) -> Path:
        """A copy in `folder`."""
        target = folder / _checked(digest)
        if not target.exists():
            aside = target.with_suffix(".part")
            try:
                self.client.download_file(self.bucket, self._key(digest), str(aside))
            except self.client.exceptions.ClientError as error:
                raise FileNotFoundError(digest) from error
            aside.rename(target)
        return target


def connect(address: str, spool: Path, endpoint: str = "") -> Storage:
    """The storage at a path, or at `s3://bucket/prefix` (credentials as boto3 finds them)."""
    if not address.startswith("s3://"):
        return LocalStorage(Path(address))
    import boto3  # Half a second that only installations with object storage should pay.

    bucket, _, prefix = address.removeprefix("s3://").partition("/")
    client = boto3.client("s3", endpoint_url=endpoint or None)
    return S3Storage(client, bucket, f"{prefix.rstrip('/')}/" if prefix.strip("/") else "", spool)


def tidy(parent: Path, seconds: float) -> int:
    """Remove temporary files and folders of processes that were killed, older than this; how many there were."""
    limit = time.time() - seconds
    found = [path for prefix in (SPOOLED, WORKSPACE) for path in parent.glob(f"{prefix}*") if _modified(path) < limit]
    for path in found:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    return len(found)


def _modified(path: Path) -> float:
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_mtime
    # Somebody else has just removed it.
    return float("inf")


@contextlib.contextmanager
def workspace(parent: Path) -> Iterator[Path]:
    """A private temporary folder that is gone afterwards."""
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=parent, prefix=WORKSPACE))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
