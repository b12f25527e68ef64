"""What a child does: take its limits, call the function, and write down what came of it."""

import contextlib
import ctypes
import importlib
import json
import os
import resource
import signal
import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn

from app.errors import InvalidUpload

REQUEST, ANSWER, STDERR = "request.json", "answer.json", "stderr"


def work(folder: Path, parent: int) -> NoReturn:
    """Do what the folder's request says, and end this process, at the latest when `parent` ends."""
    code = 1
    try:
        _speak_into(folder / STDERR)
        request = json.loads((folder / REQUEST).read_text())
        _limit(request["limits"], parent)
        (folder / ANSWER).write_text(json.dumps(_answer(folder, request)))
        code = 0
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else 1
    finally:
        if sys.exc_info()[0]:
            traceback.print_exc()
        sys.stderr.flush()
        # Libraries' threads and destructors are of no use any more, and some crash at exit.
        os._exit(code)


def _answer(folder: Path, request: dict[str, Any]) -> dict[str, Any]:
    module, _, name = request["target"].partition(":")
    try:
        return {"result": getattr(importlib.import_module(module), name)(folder, **request["arguments"])}
    except InvalidUpload as error:
        return {"reasons": [reason.to_json() for reason in error.reasons]}
    except MemoryError:
        return {"memory": True}
    except Exception:  # noqa: BLE001 (the boundary of the child: what went wrong is the parent's to judge)
        return {"traceback": traceback.format_exc()}


def _speak_into(path: Path) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(file, 2)
    os.close(file)


def _limit(limits: dict[str, int], parent: int) -> None:
    _die_with(parent)
    if limits["memory_mb"]:
        resource.setrlimit(resource.RLIMIT_AS, (_address_space() + (limits["memory_mb"] << 20),) * 2)
    cores = max(2, os.cpu_count() or 1)
    resource.setrlimit(resource.RLIMIT_CPU, (cores * limits["seconds"] + 5,) * 2)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limits["file_mb"] << 20,) * 2)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _address_space() -> int:
    """Bytes that the libraries take, which are no fault of the file; 0 where the system does not tell."""
    with contextlib.suppress(FileNotFoundError):
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    return 0


def _die_with(parent: int) -> None:
    if sys.platform == "linux":
        death_signal = 1
        ctypes.CDLL(None).prctl(death_signal, signal.SIGKILL)
    if os.getppid() != parent:
        # The parent died before the line above took hold.
        os.kill(os.getpid(), signal.SIGKILL)
