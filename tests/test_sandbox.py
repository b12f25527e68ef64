"""Untrusted work in a child process: what comes back, what is refused, and that nothing survives."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from app import sandbox
from app.errors import InvalidUpload
from app.sandbox import Limits, SandboxError, fork_server

ROOMY = Limits(memory_mb=4096, seconds=30)


def run(name, folder, limits=ROOMY, /, **arguments):
    return sandbox.run(f"tests.sandboxed:{name}", arguments, folder, limits)


def start_anew():
    """Let the next evaluation start a server of its own."""
    server = fork_server._idle.take()
    if server is not None:
        server.hang_up()


def is_alive(pid):
    """Whether a process runs; one that nobody has waited for yet does not."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError), open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0] != "Z"
    return False


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


class TestAnswers:
    def test_it_returns_what_the_function_returned(self, tmp_path):
        assert run("add", tmp_path, left=2, right=40) == {"sum": 42}

    def test_files_that_the_child_wrote_are_in_the_folder(self, tmp_path):
        run("write", tmp_path, name="result.txt", text="done")
        assert (tmp_path / "result.txt").read_text() == "done"

    def test_reasons_of_a_refused_file_arrive_complete(self, tmp_path):
        with pytest.raises(InvalidUpload) as caught:
            run("refuse", tmp_path)
        first, second = caught.value.reasons
        assert (first.rule, first.where, first.fix, first.count) == ("First rule.", "line 1", "Mend it.", 3)
        assert second.rule == "Second rule."

    def test_a_mistake_of_ours_is_not_the_files_fault_and_carries_its_traceback(self, tmp_path):
        with pytest.raises(SandboxError, match="ZeroDivisionError: our own mistake"):
            run("break_down", tmp_path)

    def test_a_function_that_does_not_exist_is_our_mistake(self, tmp_path):
        with pytest.raises(SandboxError, match="AttributeError"):
            run("no_such_function", tmp_path)

    def test_leaving_without_an_answer_is_our_mistake(self, tmp_path):
        with pytest.raises(SandboxError, match="exit 3"):
            run("leave", tmp_path)

    def test_an_answer_of_an_earlier_run_in_the_folder_is_not_taken_for_this_ones(self, tmp_path):
        run("add", tmp_path, left=1, right=1)
        with pytest.raises(SandboxError):
            run("leave", tmp_path)


class TestIsolation:
    def test_the_child_sees_no_secret_of_the_environment(self, tmp_path, monkeypatch):
        monkeypatch.setenv("SECRET_KEY", "hidden")
        monkeypatch.setenv("DATABASE_URL", "postgresql://user:password@host/db")
        start_anew()
        seen = run("where", tmp_path)
        # The interpreter sets the first of these, scikit-learn the next two, PyTorch the last.
        others = {"LC_CTYPE", "KMP_DUPLICATE_LIB_OK", "KMP_INIT_AT_FORK", "TORCHINDUCTOR_CACHE_DIR"}
        assert set(seen["variables"]) <= {*fork_server.KEPT_VARIABLES, *fork_server.OWN_VARIABLES, *others}
        assert seen["folder"] == str(tmp_path)

    def test_the_child_leads_a_session_of_its_own(self, tmp_path):
        assert run("where", tmp_path)["session"]

    def test_a_process_that_the_child_started_is_gone_when_it_returns(self, tmp_path):
        run("hide_a_grandchild", tmp_path)
        pid = int((tmp_path / "pid").read_text())
        wait_for(lambda: not is_alive(pid))

    def test_the_child_dies_with_its_parent(self, tmp_path):
        code = (
            "import sys; from pathlib import Path; from app import sandbox;"
            f"sandbox.run('tests.sandboxed:sleep', {{}}, Path({str(tmp_path)!r}), sandbox.Limits(4096, 60))"
        )
        parent = subprocess.Popen([sys.executable, "-c", code], cwd=fork_server.ROOT)
        try:
            wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
        finally:
            os.kill(parent.pid, signal.SIGKILL)
            parent.wait()
        pid = int((tmp_path / "pid").read_text())
        wait_for(lambda: not is_alive(pid))


class TestLimits:
    @pytest.mark.parametrize(
        ("name", "arguments", "limits"),
        [
            ("allocate", {"megabytes": 2000}, Limits(memory_mb=1000, seconds=30)),
            ("die", {}, ROOMY),
            ("crash", {}, ROOMY),
        ],
        ids=["memory", "killed", "crashed"],
    )
    def test_using_more_than_allowed_is_the_files_fault_and_names_the_limit(self, tmp_path, name, arguments, limits):
        with pytest.raises(InvalidUpload, match=f"{limits.memory_mb} MB of memory"):
            run(name, tmp_path, limits, **arguments)

    @pytest.mark.parametrize("name", ["sleep", "spin"])
    def test_taking_too_long_is_the_files_fault_and_names_the_limit(self, tmp_path, name):
        with pytest.raises(InvalidUpload, match="may take 1 seconds"):
            run(name, tmp_path, Limits(memory_mb=4096, seconds=1))

    def test_a_file_that_grows_too_large_does_not_fill_the_disk(self, tmp_path):
        with pytest.raises((InvalidUpload, SandboxError)):
            run("write_much", tmp_path, Limits(memory_mb=4096, seconds=30, file_mb=2), megabytes=5)
        assert (tmp_path / "much").stat().st_size <= 2 << 20

    def test_memory_within_the_limit_is_fine(self, tmp_path):
        assert run("allocate", tmp_path, megabytes=200) == {"first": 1.0}

    def test_the_libraries_do_not_count(self, tmp_path):
        assert run("add", tmp_path, Limits(memory_mb=100, seconds=30), left=1, right=1) == {"sum": 2}

    def test_no_memory_limit_where_none_is_asked_for(self, tmp_path):
        assert run("allocate", tmp_path, Limits(memory_mb=0, seconds=30), megabytes=200) == {"first": 1.0}


class TestProgress:
    def test_the_parent_hears_how_far_the_child_is(self, tmp_path):
        heard = []
        arguments = {"share": 0.25, "seconds": 0.5}
        sandbox.run("tests.sandboxed:report", arguments, tmp_path, ROOMY, heard.append, beat_seconds=0.05)
        assert heard
        assert heard[-1] == 0.25

    def test_progress_that_is_nonsense_counts_as_none(self, tmp_path):
        (tmp_path / sandbox.PROGRESS).write_text("much")
        assert sandbox._progress(tmp_path) == 0.0

    def test_progress_stays_between_nothing_and_everything(self, tmp_path):
        sandbox.report_progress(tmp_path)(7.0)
        assert sandbox._progress(tmp_path) == 1.0


class TestTheForkServer:
    def test_children_of_one_server_follow_each_other(self, tmp_path):
        first, second = (run("where", tmp_path) for _ in range(2))
        assert first["parent"] == second["parent"]
        assert first["process"] != second["process"]

    def test_what_a_child_changes_the_next_one_does_not_see(self, tmp_path):
        assert run("remember", tmp_path) == {"known": 1}
        assert run("remember", tmp_path) == {"known": 1}

    def test_one_that_ended_is_replaced(self, tmp_path):
        server = run("where", tmp_path)["parent"]
        os.kill(server, signal.SIGKILL)
        wait_for(lambda: not is_alive(server))
        assert run("where", tmp_path)["parent"] != server

    def test_a_child_that_ends_it_harms_nobody_else(self, tmp_path):
        with pytest.raises(SandboxError, match="was ended"):
            run("end_the_server", tmp_path)
        assert run("add", tmp_path, left=1, right=1) == {"sum": 2}

    def test_it_goes_without_work(self, tmp_path):
        server = fork_server.ForkServer(idle_seconds=0.0)
        server._process.wait(60)
        with pytest.raises(fork_server.Gone):
            server.evaluate(tmp_path, 1.0, lambda: None, 1.0)
        server.hang_up()

    def test_evaluations_at_the_same_time_have_one_each(self, tmp_path):
        folders = [tmp_path / name for name in "ab"]
        for folder in folders:
            folder.mkdir()
        with ThreadPoolExecutor() as pool:
            found = list(pool.map(lambda folder: run("report", folder, share=0.5, seconds=1), folders))
            seen = list(pool.map(lambda folder: run("where", folder), folders))
        assert found == [{}, {}]
        assert {each["folder"] for each in seen} == set(map(str, folders))

    def test_whoever_loses_patience_ends_the_child(self, tmp_path):
        def enough(share):
            if (tmp_path / "pid").exists() and (tmp_path / "pid").read_text():
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            sandbox.run("tests.sandboxed:sleep", {}, tmp_path, ROOMY, enough, beat_seconds=0.05)
        assert not is_alive(int((tmp_path / "pid").read_text()))

    def test_a_fork_of_its_owner_starts_its_own(self, tmp_path):
        code = (
            "import os; from pathlib import Path; from app import sandbox; from tests.test_sandbox import run;"
            f"folder = Path({str(tmp_path)!r}); first = run('where', folder)['parent'];"
            "child = os.fork();"
            "child or (print(run('where', folder)['parent'] != first, flush=True), os._exit(0));"
            "os.waitpid(child, 0); print(run('where', folder)['parent'] == first)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=fork_server.ROOT, capture_output=True, text=True, check=True
        )
        assert done.stdout.split() == ["True", "True"]

    def test_loading_the_libraries_asks_for_no_accelerator(self):
        """A process that has asked CUDA for its devices can use none after a fork."""
        code = """
import importlib, torch
from app.sandbox.fork_server import LIBRARIES
asked = []
for name in ("is_available", "device_count", "init", "current_device"):
    setattr(torch.cuda, name, lambda *_, name=name: asked.append(name))
for name in LIBRARIES:
    importlib.import_module(name)
assert asked == [], asked
"""
        subprocess.run([sys.executable, "-c", code], cwd=fork_server.ROOT, check=True)
