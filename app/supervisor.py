"""Starts the processes of which a platform consists, watches them, and stops every one of them.

Each part is the leader of a session of its own, so that the terminal's Ctrl-C reaches this process only, and a part
goes together with whatever it has started. On Linux the parts die with this process even when it is killed.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

MAX_LOG_BYTES = 5_000_000
DEATH_SIGNAL = 1
"""PR_SET_PDEATHSIG of Linux's prctl."""


class PartFailedError(Exception):
    """A part does not run although it has been started twice; the message is for the terminal."""


class Stopped(BaseException):
    """Somebody asked this process to stop."""


@dataclass(frozen=True)
class Part:
    """One process to keep running."""

    name: str
    command: Sequence[str]
    variables: Mapping[str, str] = field(default_factory=dict)
    """Environment variables on top of this process's own."""
    patience: float = 5.0
    """Seconds between the request to stop and the end."""


@dataclass
class Supervisor:
    """The running parts, in the order in which they were started."""

    folder: Path
    """Where each part's output goes, as <name>.log."""
    steady_seconds: float = 60.0
    """A part that ran for so long before it died may be started once more."""
    _running: dict[str, tuple[Part, subprocess.Popen]] = field(default_factory=dict)
    _restarted: dict[str, float] = field(default_factory=dict)

    def start(self, part: Part) -> None:
        """Start a part; its output is appended to its log."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with _log(self.folder / f"{part.name}.log").open("ab") as log:
            process = subprocess.Popen(
                part.command,
                env={**os.environ, **part.variables},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            )
        self._running[part.name] = (part, process)

    def check(self) -> None:
        """Start parts again that have died. Raises PartFailedError for one that dies again within a minute."""
        for part, process in list(self._running.values()):
            if process.poll() is not None:
                self._again(part, process.returncode)

    def _again(self, part: Part, code: int) -> None:
        last, moment = self._restarted.get(part.name, 0.0), time.monotonic()
        if last and moment - last < self.steady_seconds:
            log = self.folder / f"{part.name}.log"
            raise PartFailedError(f"{part.name} stopped twice ({_ending(code)}). The end of {log}:\n{_tail(log)}")
        _end_group(self._running[part.name][1], signal.SIGKILL)
        self._restarted[part.name] = moment
        self.start(part)

    def wait_until(self, ready: Callable[[], bool], seconds: float, what: str) -> None:
        """Wait until `ready` says so, watching the parts. Raises PartFailedError after `seconds`."""
        end = time.monotonic() + seconds
        while not ready():
            self.check()
            if time.monotonic() > end:
                raise PartFailedError(
                    f"{what} did not answer within {seconds:g} seconds. See the files in {self.folder}."
                )
            time.sleep(0.1)

    def stop(self) -> None:
        """Stop everything, kindly at first, then for certain; the part that was started first goes last."""
        first, rest = list(self._running)[:1], list(self._running)[1:]
        for names in (rest, first):
            running = [self._running[name] for name in reversed(names)]
            for _, process in running:
                _end(process, signal.SIGTERM)
            for part, process in running:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(part.patience)
                _end_group(process, signal.SIGKILL)
                process.wait()
        self._running.clear()


def _ending(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"


def _end(process: subprocess.Popen, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(number)


def _end_group(process: subprocess.Popen, number: signal.Signals) -> None:
    """Signal whatever a part has left behind in its session's first group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(DEATH_SIGNAL, signal.SIGTERM)


def _log(path: Path) -> Path:
    """The file, which has made place for a new one if it had grown large."""
    if path.exists() and path.stat().st_size > MAX_LOG_BYTES:
        path.replace(path.with_suffix(".log.1"))
    return path


def _tail(path: Path, lines: int = 12) -> str:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 4000))
        return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])


@contextlib.contextmanager
def stopping_on_signals() -> Iterator[None]:
    """Turn Ctrl-C, a request to terminate and a closed terminal into `Stopped`; a second one changes nothing."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def stop(number: int, frame: FrameType | None) -> None:
        for one in numbers:
            signal.signal(one, signal.SIG_IGN)
        raise Stopped

    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
