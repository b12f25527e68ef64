"""Runs a function on an untrusted file in a child process with memory, time and file limits.

The child gets no secret of the parent's environment and answers with JSON and files in the folder that it is given,
never with pickled objects. It dies with its parent.
"""

import contextlib
import ctypes
import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.errors import InvalidUpload, Reason, SRSError

REQUEST, ANSWER, PROGRESS, STDERR = "request.json", "answer.json", "progress", "stderr"
KEPT_VARIABLES = ("PATH", "HOME", "LANG", "LC_ALL", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "LD_LIBRARY_PATH")
OWN_VARIABLES = {"OMP_WAIT_POLICY": "PASSIVE"}
"""Threads that wait for each other sleep: by default they keep their cores busy, and where several children share the
cores, that makes small networks fifty times slower."""
ROOT = Path(__file__).resolve().parent.parent


class SandboxError(SRSError):
    """The child broke for a reason that is ours: the message is its traceback."""


@dataclass(frozen=True)
class Limits:
    """What the child may use."""

    memory_mb: int
    """Address space; 0 for no limit, which a CUDA device needs."""
    seconds: int
    """Wall-clock time; CPU time is limited to as much on every core, and to twice as much at least."""
    file_mb: int = 2048


def run(
    target: str,
    arguments: dict[str, Any],
    folder: Path,
    limits: Limits,
    beat: Callable[[float], None] = lambda share: None,
    beat_seconds: float = 5.0,
) -> dict[str, Any]:
    """The JSON object that `target` ("package.module:function") returns for `arguments` and `folder`.

    `beat` is called every `beat_seconds` with the progress that the child wrote. Raises InvalidUpload with the child's
    reasons, or with the limit that the file broke; SandboxError for anything that is not the file's fault.
    """
    (folder / ANSWER).unlink(missing_ok=True)
    (folder / REQUEST).write_text(json.dumps({"target": target, "arguments": arguments, "limits": vars(limits)}))
    with (folder / STDERR).open("wb") as stderr:
        child = subprocess.Popen(
            [sys.executable, "-m", "app.sandbox", str(folder), str(os.getpid())],
            cwd=ROOT,
            env=OWN_VARIABLES | {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            start_new_session=True,
        )
    try:
        _watch(child, folder, limits, beat, beat_seconds)
    finally:
        _kill(child)
    return _answer(folder, child.returncode, limits)


def _watch(
    child: subprocess.Popen, folder: Path, limits: Limits, beat: Callable[[float], None], beat_seconds: float
) -> None:
    end = time.monotonic() + limits.seconds
    while True:
        try:
            child.wait(max(0.01, min(beat_seconds, end - time.monotonic())))
        except subprocess.TimeoutExpired:
            if time.monotonic() >= end:
                raise _over_time(limits) from None
            beat(_progress(folder))
        else:
            return


def _over_time(limits: Limits) -> InvalidUpload:
    return InvalidUpload(
        [
            Reason(
                rule=f"Evaluating a file may take {limits.seconds} seconds.",
                where="the evaluation was stopped after that time",
                fix="Make the file smaller or simpler.",
            )
        ]
    )


def _progress(folder: Path) -> float:
    with contextlib.suppress(OSError, ValueError):
        return min(1.0, max(0.0, float((folder / PROGRESS).read_text())))
    return 0.0


def _kill(child: subprocess.Popen) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _answer(folder: Path, code: int, limits: Limits) -> dict[str, Any]:
    path = folder / ANSWER
    answer = json.loads(path.read_text()) if code == 0 and path.exists() else {}
    if "result" in answer:
        result: dict[str, Any] = answer["result"]
        return result
    if "reasons" in answer:
        raise InvalidUpload(Reason(**reason) for reason in answer["reasons"])
    if answer.get("memory") or code in {
        -signal.SIGSEGV,
        -signal.SIGKILL,
        -signal.SIGXCPU,
        -signal.SIGABRT,
        -signal.SIGXFSZ,
    }:
        raise InvalidUpload(
            [
                Reason(
                    rule=f"Evaluating a file may use {limits.memory_mb} MB of memory and {limits.seconds} seconds.",
                    where="the evaluation used more",
                    fix="Make the file smaller.",
                )
            ]
        )
    raise SandboxError(
        answer.get("traceback") or (folder / STDERR).read_text(errors="replace")[-4000:] or f"exit {code}"
    )


def report_progress(folder: Path) -> Callable[[float], None]:
    """A progress function for the child, which the parent's `beat` sees."""

    def report(share: float) -> None:
        aside = folder / f"{PROGRESS}.part"
        aside.write_text(f"{share:.4f}")
        aside.rename(folder / PROGRESS)

    return report


def _limit(limits: dict[str, int], parent: int) -> None:
    _die_with_parent(parent)
    if limits["memory_mb"]:
        resource.setrlimit(resource.RLIMIT_AS, (limits["memory_mb"] << 20,) * 2)
    cores = max(2, os.cpu_count() or 1)
    resource.setrlimit(resource.RLIMIT_CPU, (cores * limits["seconds"] + 5,) * 2)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limits["file_mb"] << 20,) * 2)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _die_with_parent(parent: int) -> None:
    if sys.platform == "linux":
        death_signal = 1
        ctypes.CDLL(None).prctl(death_signal, signal.SIGKILL)
    if os.getppid() != parent:
        # The parent died before the line above took hold.
        os.kill(os.getpid(), signal.SIGKILL)


def main(folder: Path, parent: int) -> None:
    """The child: read the request, take the limits, call the target, write the answer."""
    request = json.loads((folder / REQUEST).read_text())
    _limit(request["limits"], parent)
    module, _, name = request["target"].partition(":")
    try:
        answer: dict[str, Any] = {
            "result": getattr(importlib.import_module(module), name)(folder, **request["arguments"])
        }
    except InvalidUpload as error:
        answer = {"reasons": [reason.to_json() for reason in error.reasons]}
    except MemoryError:
        answer = {"memory": True}
    except Exception:  # noqa: BLE001 (the boundary of the child: what went wrong is the parent's to judge)
        answer = {"traceback": traceback.format_exc()}
    (folder / ANSWER).write_text(json.dumps(answer))
    sys.stdout.flush()
    # Libraries' threads and destructors are of no use any more, and some crash at exit.
    os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
