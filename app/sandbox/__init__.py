"""Runs a function on an untrusted file in a child process with memory, time and file limits.

The child gets no secret of the parent's environment and answers with JSON and files in the folder that it is given,
never with pickled objects. It dies with its parent.
"""

import contextlib
import json
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.errors import InvalidUpload, Reason, SRSError
from app.sandbox import fork_server
from app.sandbox.child import ANSWER, REQUEST, STDERR

PROGRESS = "progress"


class SandboxError(SRSError):
    """The child broke for a reason that is ours: the message is its traceback."""


@dataclass(frozen=True)
class Limits:
    """What the child may use."""

    memory_mb: int
    """Address space beyond that of the libraries; 0 for no limit, which a CUDA device needs."""
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
    try:
        code = fork_server.evaluate(folder, limits.seconds, lambda: beat(_progress(folder)), beat_seconds)
    except fork_server.Overdue:
        raise _over_time(limits) from None
    except fork_server.Gone:
        raise SandboxError("the process that evaluates was ended") from None
    return _answer(folder, code, limits)


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
