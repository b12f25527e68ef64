"""What has to be right before anything is started."""

import argparse
import contextlib
import errno
import fcntl
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

from app.launcher import Trouble

FREE_MB = 300
"""Less free disk than this and uploads would soon fail."""


@contextlib.contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, which the system gives back whatever happens to this process."""
    with (folder / "running.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise Trouble(
                f"The platform is running already in this folder (process {lock.read().strip() or 'unknown'}). "
                "Stop it with Ctrl-C in its terminal first."
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def refuse_full_disk(folder: Path) -> None:
    """Refuse a disk with less than FREE_MB left."""
    free = shutil.disk_usage(folder).free >> 20
    if free < FREE_MB:
        raise Trouble(
            f"The disk of {folder} has only {free} MB left; at least {FREE_MB} MB are needed. Make room first."
        )


def refuse_busy_port(options: argparse.Namespace) -> None:
    """Refuse an address or a port on which nothing can listen."""
    try:
        found = socket.getaddrinfo(options.host, options.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror:
        raise Trouble(f"{options.host} is not an address of this machine. Try --host 127.0.0.1.") from None
    family, kind, protocol, _, address = found[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except PermissionError:
            raise Trouble(
                f"Port {options.port} is for root only. Choose one above 1023: ./run-srs.sh --port 5000"
            ) from None
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                raise Trouble(f"{options.host} is not an address of this machine. Try --host 127.0.0.1.") from None
            raise Trouble(
                f"Port {options.port} is in use by another program. Choose another one: --port {options.port + 1}"
            ) from None
