"""Chromium, visitors, and a whole platform as `run-srs.sh` starts it. Nothing here is kept in the repository."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright
from werkzeug.serving import make_server

from config import ROOT
from tests.browser.visitor import DESK, Visitor

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
ARGUMENTS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
]
SECONDS_TO_START = 90
SECRET = "only-for-tests"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test of this folder needs a browser, and they share one."""
    here = Path(__file__).parent
    is_missing = not Path(CHROMIUM).exists() and not os.environ.get("SRS_REQUIRE_BROWSER")
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.xdist_group("browser"))
            if is_missing:
                item.add_marker(pytest.mark.skip(reason="no Chromium on this machine"))


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """The browser. It ends with this folder, because its event loop would be in the way of other tests."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def screenshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where screenshots go: SRS_SCREENSHOTS, or a temporary folder."""
    wanted = os.environ.get("SRS_SCREENSHOTS")
    folder = Path(wanted) if wanted else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def visit(chromium: Browser, screenshots: Path) -> Iterator[Callable[..., Visitor]]:
    """Make visitors of a site, each with a profile of its own; all have to be content in the end."""
    visitors: list[Visitor] = []

    def make(site: str, **options: object) -> Visitor:
        context = chromium.new_context(viewport={"width": DESK, "height": 900}, locale="en-GB", **options)
        context.set_default_timeout(20_000)
        visitors.append(Visitor(context.new_page(), site, screenshots))
        return visitors[-1]

    yield make
    for visitor in visitors:
        visitor.context.close()
    problems = [problem for visitor in visitors for problem in visitor.problems]
    assert problems == [], "\n".join(problems)


@pytest.fixture
def site(app) -> Iterator[str]:
    """The address of a server for the `app` of the test, in this process."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@dataclass(frozen=True)
class Platform:
    """A running installation whose evaluation worker can be halted: the house's networks keep the cores busy."""

    address: str
    folder: Path
    password: str
    """Of the first admin, as the terminal showed it."""
    launcher: int
    """The process id."""

    def pause_the_house(self) -> None:
        """Let nothing be attacked for now, so that the cores are free for the browser."""
        os.killpg(self._evaluation(), signal.SIGSTOP)

    def let_the_house_play(self) -> None:
        """Let the evaluation worker go on, with the cheapest adversaries."""
        os.killpg(self._evaluation(), signal.SIGCONT)

    def _evaluation(self) -> int:
        """The worker, which leads a process group of its own."""
        children = Path(f"/proc/{self.launcher}/task/{self.launcher}/children").read_text().split()
        return next(int(child) for child in children if b"evaluation-1@" in Path(f"/proc/{child}/cmdline").read_bytes())


@pytest.fixture(scope="package")
def platform() -> Iterator[Platform]:
    """What `run-srs.sh` starts: broker, workers, sweeper and the production web server, on an empty database."""
    # Below pytest's own folder a socket's address would grow too long.
    with tempfile.TemporaryDirectory(prefix="srs-browser-") as name, _launched(Path(name)) as platform:
        yield platform


@contextlib.contextmanager
def _launched(folder: Path) -> Iterator[Platform]:
    address = f"http://127.0.0.1:{_free_port()}"
    output = folder / "terminal.txt"
    with output.open("wb") as terminal:
        process = subprocess.Popen(
            [sys.executable, "-m", "app.launcher", "--port", address.rpartition(":")[2]],
            cwd=ROOT,
            env={**os.environ, **_variables(folder, address)},
            stdout=terminal,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        platform = Platform(address, folder, _first_password(process, output), process.pid)
        yield platform
        platform.let_the_house_play()
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


def _variables(folder: Path, address: str) -> dict[str, str]:
    """The settings; an empty one also hides what this machine's .env says."""
    hidden = ("DATABASE_URL", "CELERY_BROKER_URL", "RESULT_BACKEND", "UPLOAD_FOLDER", "MAIL_SERVER", "MAIL_FOLDER")
    return {
        **dict.fromkeys([*hidden, "TEMPORARY_UPLOAD_FOLDER", "LOG_FOLDER", "ADMIN", "VERIFY_EMAIL"], ""),
        "SRS_INSTANCE": str(folder),
        "SECRET_KEY": "for-the-browser-tests",
        "BROKER_PASSWORD": SECRET,
        "PUBLIC_URL": address,
        "SWEEP_SECONDS": "1",
        "LEADERBOARD_CACHE_TIME": "1",
        "ARGON2_MEMORY_KIB": "64",
        "PYTHONWARNINGS": "",
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _first_password(process: subprocess.Popen, output: Path) -> str:
    """Wait until the platform says that it runs; the admin's password."""
    end = time.monotonic() + SECONDS_TO_START
    while not (found := re.search(r'password "(.+?)"', output.read_text())):
        assert process.poll() is None, output.read_text()
        assert time.monotonic() < end, output.read_text()
        time.sleep(0.05)
    return found[1]
