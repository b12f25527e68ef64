"""A person at a browser who notices whatever goes wrong: console, network, headers, accessibility, layout."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Request, Response

AXE = Path(__file__).parents[1] / "web" / "axe" / "axe.min.js"
DESK, PHONE = 1280, 390
GRAVE = {"serious", "critical"}
MARKED_BY_STATUS = "Failed to load resource: the server responded with a status of"
"""The console's words for an answer from 400 on, which `_answer` judges by its status."""


@dataclass
class Visitor:
    """One browser profile with one page; `problems` is what nobody should have seen."""

    page: Page
    site: str
    folder: Path
    """Where screenshots go."""
    problems: list[str] = field(default_factory=list)
    refusals: set[int] = field(default_factory=set)
    """Statuses that the test provokes."""

    def __post_init__(self) -> None:
        self.watch(self.page)

    @property
    def context(self) -> BrowserContext:
        return self.page.context

    def watch(self, page: Page) -> None:
        """Note everything that goes wrong on a page."""
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.problems.append(f"{page.url}: {error}"))
        page.on("response", self._answer)
        page.on("requestfailed", self._failure)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"} and not message.text.startswith(MARKED_BY_STATUS):
            self.problems.append(f"{message.location.get('url')}: console says {message.text}")

    def _answer(self, response: Response) -> None:
        if not response.url.startswith(self.site):
            self.problems.append(f"{response.url} is not on this site")
        elif response.status >= 400 and response.status not in self.refusals:
            self.problems.append(f"{response.request.method} {response.url} answered {response.status}")
        elif response.status != 304 and "content-security-policy" not in response.headers:
            self.problems.append(f"{response.url} came without a Content-Security-Policy")

    def _failure(self, request: Request) -> None:
        # A download ends a navigation, and leaving a page ends what it was asking for.
        if "ERR_ABORTED" not in (request.failure or ""):
            self.problems.append(f"{request.method} {request.url} failed: {request.failure}")

    @contextmanager
    def refused(self, *statuses: int) -> Iterator[None]:
        """Within, answers with these statuses are what the test wants."""
        self.refusals |= set(statuses)
        yield
        self.refusals -= set(statuses)

    def open(self, path: str) -> None:
        """Go to a path of the site."""
        self.page.goto(self.site + path)

    def press(self, name: str) -> None:
        """Click the button of this name."""
        self.page.wait_for_load_state()
        self.page.get_by_role("button", name=name, exact=True).click()

    def confirm(self, name: str) -> None:
        """Click a button that asks first, and say yes."""
        # Before its scripts have run, a page sends the form without asking.
        self.page.wait_for_load_state()
        self.page.locator("main").get_by_role("button", name=name, exact=True).click()
        self.page.locator("dialog").get_by_role("button", name=name, exact=True).click()

    def fill(self, **values: object) -> None:
        """Type into the fields of these names."""
        for name, value in values.items():
            self.page.fill(f"main [name='{name}']", str(value))

    def log_in(self, name: str, password: str) -> None:
        """Log in and land on the start page."""
        self.open("/login")
        self.fill(username=name, password=password)
        self.press("Log in")
        self.page.wait_for_url(f"{self.site}/")

    def look(self, name: str, *, in_the_dark: bool = False) -> None:
        """Look at the page on a desk and on a phone: screenshots, axe, nothing wider than the window."""
        for scheme in ("light", "dark") if in_the_dark else ("light",):
            self.page.emulate_media(color_scheme=scheme)
            for width in (DESK, PHONE):
                self.page.set_viewport_size({"width": width, "height": 900})
                self._measure(f"{name} at {width} px, {scheme}")
                self.page.screenshot(path=self.folder / f"{name}-{width}-{scheme}.png", full_page=True)
            self.problems += grave(self.page, f"{name}, {scheme}")
        self.page.set_viewport_size({"width": DESK, "height": 900})
        self.page.emulate_media(color_scheme="light")
        self.is_content()

    def _measure(self, name: str) -> None:
        wide = self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        if wide > 0:
            self.problems.append(f"{name} is {wide} px too wide")

    def is_content(self) -> None:
        """Fail if anything went wrong so far."""
        assert self.problems == [], "\n".join(self.problems)


def grave(page: Page, name: str) -> list[str]:
    """The serious and critical findings of axe on a page."""
    # An evaluation is allowed where the Content-Security-Policy refuses a script element.
    page.evaluate(AXE.read_text() + "\n;null")
    found = page.evaluate("axe.run()")["violations"]
    return [
        f"{name}: {one['id']}: {json.dumps([node['html'] for node in one['nodes']])[:600]}"
        for one in found
        if one["impact"] in GRAVE
    ]
