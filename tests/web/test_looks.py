"""The students' pages in a real browser: accessible, quiet, and no wider than a phone."""

import os
import shutil
import threading
from pathlib import Path

import pytest
from werkzeug.serving import make_server

from app.services import accounts
from tests.factories import (
    PASSWORD,
    make_attack,
    make_defence,
    make_match,
    make_players,
    make_reference_result,
    make_round,
    make_upload,
)
from tests.web.test_teams import HEATMAP

AXE = Path(__file__).parent / "axe" / "axe.min.js"
CHROMIUM = shutil.which("chromium")
ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
PAGES = (
    "/",
    "/team/Red",
    "/team/Red/house/random-forest",
    "/attack/",
    "/upload/1",
    "/leaderboard/",
    "/rules/fingerprinting",
)

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not CHROMIUM and not os.environ.get("SRS_REQUIRE_BROWSER"), reason="no Chromium on this machine"
    ),
]


@pytest.fixture
def site(app):
    """The address of a server with a round that was played."""
    red, blue, _ = make_players()
    row = make_round("both")
    reasons = [{"rule": "No cell is missing.", "where": "cell 3", "fix": "Add it.", "count": 2}]
    make_upload(red, row, status="rejected", reasons=reasons, user_id=accounts.named("alice").id)
    make_reference_result(make_defence(red, row), figures=[HEATMAP])
    make_attack(make_match(row, blue, red))
    make_attack(make_match(row, red, blue))
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


class TestPages:
    def test_nothing_is_out_of_reach(self, site):
        from playwright.sync_api import sync_playwright

        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
            page = browser.new_page(viewport={"width": 390, "height": 844})
            said = []
            page.on("console", lambda message: said.append(message.text))
            page.on("pageerror", lambda error: said.append(str(error)))
            page.goto(f"{site}/login")
            problems = look(page, "/login")
            page.fill("[name=username]", "alice")
            page.fill("[name=password]", PASSWORD)
            page.click("main button[type=submit]")
            page.wait_for_url(f"{site}/")
            for path in PAGES:
                page.goto(site + path)
                problems += look(page, path)
            browser.close()
        assert problems == []
        assert said == []


def look(page, path):
    """What is wrong with a page on a phone, in both themes."""
    problems = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.reload()
        page.evaluate(AXE.read_text() + "\n;null")
        found = page.evaluate("axe.run()")["violations"]
        problems += [(path, scheme, one["id"], [node["html"] for node in one["nodes"]]) for one in found]
    width = page.evaluate("document.documentElement.scrollWidth")
    return problems + ([(path, "is wider than a phone", width)] if width > 390 else [])
