"""What the tests of the sandbox run inside of it."""

import ctypes
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

from app import sandbox
from app.errors import InvalidUpload, Reason


def add(folder, left, right):
    return {"sum": left + right}


def where(folder):
    return {
        "folder": str(folder),
        "variables": sorted(os.environ),
        "session": os.getsid(0) == os.getpid(),
        "process": os.getpid(),
        "parent": os.getppid(),
    }


KNOWN = []


def remember(folder):
    KNOWN.append(folder)
    np.known = getattr(np, "known", 0) + 1
    return {"known": max(len(KNOWN), np.known)}


def end_the_server(folder):
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(600)


def write(folder, name, text):
    (Path(folder) / name).write_text(text)
    return {}


def report(folder, share, seconds):
    sandbox.report_progress(folder)(share)
    time.sleep(seconds)
    return {}


def refuse(folder):
    raise InvalidUpload([Reason("First rule.", "line 1", "Mend it.", 3), Reason("Second rule.")])


def break_down(folder):
    raise ZeroDivisionError("our own mistake")


def allocate(folder, megabytes):
    return {"first": float(np.ones(megabytes << 17)[0])}


def sleep(folder):
    (folder / "pid").write_text(str(os.getpid()))
    time.sleep(600)


def spin(folder):
    while True:
        pass


def die(folder):
    os.kill(os.getpid(), signal.SIGKILL)


def crash(folder):
    ctypes.string_at(0)


def write_much(folder, megabytes):
    with (folder / "much").open("wb") as file:
        for _ in range(megabytes):
            file.write(bytes(1 << 20))
    return {}


def leave(folder):
    sys.exit(3)


def hide_a_grandchild(folder):
    child = os.fork()
    if not child:
        (folder / "pid").write_text(str(os.getpid()))
        time.sleep(600)
    while not (folder / "pid").exists():
        time.sleep(0.01)
    return {}
