"""Processes are started, watched, started again once, and none of them is left."""

import contextlib
import os
import signal
import sys
import time

import pytest

from app import supervisor
from app.supervisor import Part, PartFailedError, Stopped, Supervisor, stopping_on_signals


def python(name, code, **options):
    return Part(name, [sys.executable, "-c", code], **options)


SLEEPER = "import time; print('ready', flush=True); time.sleep(600)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SLEEPER
PARENT = (
    "import subprocess, sys; "
    f"print(subprocess.Popen([sys.executable, '-c', {SLEEPER!r}], stdout=subprocess.DEVNULL).pid, flush=True); "
    f"{SLEEPER}"
)


@pytest.fixture
def running(tmp_path):
    made = Supervisor(tmp_path)
    yield made
    made.stop()


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def log(tmp_path, name):
    with contextlib.suppress(FileNotFoundError):
        return (tmp_path / f"{name}.log").read_text()
    return ""


def wait_for_log(tmp_path, name, text):
    """Wait for whole lines: an unbuffered part writes the end of a line apart."""
    wait_for(lambda: log(tmp_path, name) == text)


def is_alive(pid):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


class TestStart:
    def test_what_a_part_says_is_in_its_log(self, running, tmp_path):
        running.start(python("talker", SLEEPER))
        wait_for_log(tmp_path, "talker", "ready\n")

    def test_a_part_gets_its_variables_on_top_of_ours(self, running, tmp_path, monkeypatch):
        monkeypatch.setenv("OURS", "1")
        code = "import os, time; print(os.environ['OURS'], os.environ['MINE'], flush=True); time.sleep(600)"
        running.start(python("talker", code, variables={"MINE": "2"}))
        wait_for_log(tmp_path, "talker", "1 2\n")

    def test_a_log_that_has_grown_large_makes_place(self, running, tmp_path, monkeypatch):
        monkeypatch.setattr(supervisor, "MAX_LOG_BYTES", 10)
        (tmp_path / "talker.log").write_text("something long from earlier")
        running.start(python("talker", SLEEPER))
        wait_for_log(tmp_path, "talker", "ready\n")
        assert (tmp_path / "talker.log.1").read_text() == "something long from earlier"


class TestCheck:
    def test_a_part_that_died_is_started_again(self, running, tmp_path):
        running.start(python("part", "import os; " + SLEEPER))
        wait_for_log(tmp_path, "part", "ready\n")
        os.kill(running._running["part"][1].pid, signal.SIGKILL)
        running._running["part"][1].wait()
        running.check()
        wait_for_log(tmp_path, "part", "ready\nready\n")

    def test_a_part_that_dies_again_at_once_is_given_up_with_its_last_words(self, running, tmp_path):
        running.start(python("part", "raise SystemExit('I cannot work like this')"))
        with pytest.raises(PartFailedError, match=r"part stopped twice \(exit status 1\)(?s:.*)cannot work like this"):
            running.wait_until(lambda: False, 10, "the part")

    def test_what_runs_is_left_alone(self, running):
        running.start(python("part", SLEEPER))
        process = running._running["part"][1]
        running.check()
        assert running._running["part"][1] is process


class TestWaitUntil:
    def test_it_returns_as_soon_as_the_answer_is_yes(self, running):
        running.wait_until(lambda: True, 0, "nothing")

    def test_it_says_what_did_not_answer(self, running, tmp_path):
        with pytest.raises(PartFailedError, match=f"The web server did not answer within 0.2 seconds.*{tmp_path}"):
            running.wait_until(lambda: False, 0.2, "The web server")


class TestStop:
    def test_a_part_goes_together_with_what_it_started(self, running, tmp_path):
        running.start(python("parent", PARENT))
        wait_for(lambda: "ready" in log(tmp_path, "parent"))
        grandchild = int(log(tmp_path, "parent").split()[0])
        running.stop()
        wait_for(lambda: not is_alive(grandchild))

    def test_a_part_that_does_not_listen_is_killed(self, running, tmp_path):
        running.start(python("stubborn", STUBBORN, patience=0.1))
        wait_for_log(tmp_path, "stubborn", "ready\n")
        process = running._running["stubborn"][1]
        running.stop()
        assert process.returncode == -signal.SIGKILL

    def test_a_part_that_listens_is_not(self, running, tmp_path):
        running.start(python("kind", SLEEPER))
        wait_for_log(tmp_path, "kind", "ready\n")
        process = running._running["kind"][1]
        running.stop()
        assert process.returncode == -signal.SIGTERM

    def test_the_first_part_goes_last(self, running, tmp_path):
        def telling(name):
            end = f"lambda *_: (open({str(tmp_path / 'order')!r}, 'a').write('{name} '), sys.exit())"
            return python(name, f"import signal, sys; signal.signal(signal.SIGTERM, {end}); {SLEEPER}")

        for name in ("broker", "worker"):
            running.start(telling(name))
            wait_for_log(tmp_path, name, "ready\n")
        running.stop()
        assert (tmp_path / "order").read_text() == "worker broker "


class TestSignals:
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    def test_they_become_an_orderly_stop_and_the_old_handlers_come_back(self, number):
        before = signal.getsignal(number)
        with pytest.raises(Stopped), stopping_on_signals():
            signal.raise_signal(number)
        assert signal.getsignal(number) is before

    def test_a_second_one_does_not_disturb_the_stopping(self):
        with stopping_on_signals():
            with pytest.raises(Stopped):
                signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
