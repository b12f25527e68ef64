"""A process that loads the large libraries once, and forks a child for every evaluation.

Loading them takes seconds, a fork milliseconds. The server never looks at a file itself: whatever an evaluation did
ends with its child. Owner and server talk over a socket in lines: the owner sends a folder; the server answers BEGUN
and, after it has killed whatever the child left behind, the child's exit status. An owner that has had enough hangs
up: then the child goes, and the server with it, as when the owner dies. It also goes after a while without work.
"""

import contextlib
import gc
import importlib
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import NoReturn

from app.sandbox import child

KEPT_VARIABLES = ("PATH", "HOME", "LANG", "LC_ALL", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "LD_LIBRARY_PATH")
OWN_VARIABLES = {"OMP_WAIT_POLICY": "PASSIVE"}
"""Threads that wait for each other sleep: by default they keep their cores busy, and where several children share the
cores, that makes small networks fifty times slower."""
LIBRARIES = (
    *("pandas", "pyarrow.csv", "h5py", "scipy.optimize", "scipy.stats", "sklearn.datasets", "sklearn.ensemble"),
    *("torch", "torch._dynamo", "onnx"),
)
"""What evaluations load, and what that loads late: optimisers of PyTorch ask for its compiler."""
IDLE_SECONDS = 600.0
"""Without work for so long, a server goes, and so does its memory."""
STARTING = 300.0
"""Seconds that a server may take to load the libraries, on a machine that is very busy."""
PATIENCE = 10.0
"""Seconds that a server has to end once its owner has hung up."""
ROOT = Path(__file__).resolve().parents[2]
BEGUN = b"begun"


class Gone(Exception):
    """The server ended before the child did, or never came to begin it."""


class Overdue(Exception):
    """The child's time is over."""


class ForkServer:
    """The owner's side of one server."""

    def __init__(self, idle_seconds: float = IDLE_SECONDS) -> None:
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "app.sandbox", str(theirs.fileno()), str(idle_seconds)],
                cwd=ROOT,
                env=OWN_VARIABLES | {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        self._said = b""

    def evaluate(self, folder: Path, seconds: float, beat: Callable[[], None], beat_seconds: float) -> int:
        """The exit status of a child that did what the folder's request says; negative for a signal.

        Raises Overdue `seconds` after the child began, Gone, and what `beat` raises; hang up then.
        """
        with contextlib.suppress(ConnectionError):
            self._socket.sendall(os.fsencode(folder) + b"\n")
        late: type[Exception] = Gone
        end = time.monotonic() + STARTING
        while True:
            try:
                word = self._word(max(0.01, min(beat_seconds, end - time.monotonic())))
            except TimeoutError:
                if time.monotonic() >= end:
                    raise late from None
                beat()
            else:
                if word != BEGUN:
                    return int(word)
                end, late = time.monotonic() + seconds, Overdue

    def _word(self, seconds: float) -> bytes:
        """The next line; raises TimeoutError and Gone."""
        self._socket.settimeout(seconds)
        while b"\n" not in self._said:
            try:
                more = self._socket.recv(1024)
            except ConnectionError:
                more = b""
            if not more:
                raise Gone
            self._said += more
        word, _, self._said = self._said.partition(b"\n")
        return word

    def hang_up(self) -> None:
        """End the server, and what it has begun."""
        self.forget()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def forget(self) -> None:
        """Close this process's end of the line."""
        self._socket.close()


class Idle:
    """A server that waits for the next evaluation of this process, if there is one."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._server: ForkServer | None = None
        os.register_at_fork(after_in_child=self._forget)

    def take(self) -> ForkServer | None:
        """The server, for one evaluation at a time."""
        with self._lock:
            server, self._server = self._server, None
        return server

    def give_back(self, server: ForkServer) -> None:
        """Keep the server; of several that worked at once, one stays."""
        with self._lock:
            spare, self._server = self._server, server
        if spare is not None:
            spare.hang_up()

    def _forget(self) -> None:
        """A fork of this process has no server: it belongs to the one that started it."""
        self._lock = Lock()
        if self._server is not None:
            self._server.forget()
            self._server = None


_idle = Idle()


def evaluate(folder: Path, seconds: float, beat: Callable[[], None], beat_seconds: float) -> int:
    """As ForkServer.evaluate, by a server that has the libraries already where there is one."""
    server = _idle.take()
    if server is not None:
        # It may have ended for want of work, or been killed.
        with contextlib.suppress(Gone):
            return _evaluate(server, folder, seconds, beat, beat_seconds)
    return _evaluate(ForkServer(), folder, seconds, beat, beat_seconds)


def _evaluate(server: ForkServer, folder: Path, seconds: float, beat: Callable[[], None], beat_seconds: float) -> int:
    with contextlib.ExitStack() as otherwise:
        otherwise.callback(server.hang_up)
        code = server.evaluate(folder, seconds, beat, beat_seconds)
        otherwise.pop_all()
    _idle.give_back(server)
    return code


def serve(line: socket.socket, idle_seconds: float) -> None:
    """The server: load the libraries, then fork a child for every folder that the owner names."""
    # A worker that was asked to stop from its terminal finishes what it has begun.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    woken, wake = os.pipe()
    for end in (woken, wake):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    for name in LIBRARIES:
        importlib.import_module(name)
    # What is there already is not looked through again, so that children share its memory.
    gc.freeze()
    owner = os.getpid()
    while select.select([line], [], [], idle_seconds)[0] and (folder := line.recv(8192)):
        pid = os.fork()
        if not pid:
            _begin(Path(os.fsdecode(folder.rstrip(b"\n"))), owner, [line.detach(), woken, wake])
        with contextlib.suppress(BrokenPipeError):
            line.sendall(BEGUN + b"\n")
            line.sendall(b"%d\n" % _end(pid, line, woken))


def _end(pid: int, line: socket.socket, woken: int) -> int:
    """Wait until the child has ended, or the owner has hung up; the child's exit status."""
    while True:
        ready = select.select([line.fileno(), woken], [], [])[0]
        has_hung_up = line.fileno() in ready
        if has_hung_up:
            _kill(pid)
        with contextlib.suppress(BlockingIOError):
            os.read(woken, 64)
        ended, status = os.waitpid(pid, 0 if has_hung_up else os.WNOHANG)
        if ended:
            _kill(pid)
            return os.waitstatus_to_exitcode(status)


def _kill(pid: int) -> None:
    """End the child, and whatever it has started in its group."""
    for kill in (os.killpg, os.kill):
        with contextlib.suppress(ProcessLookupError):
            kill(pid, signal.SIGKILL)


def _begin(folder: Path, parent: int, ours: list[int]) -> NoReturn:
    """The child, as if it had been started by itself."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    for file in ours:
        os.close(file)
    os.setsid()
    child.work(folder, parent)
