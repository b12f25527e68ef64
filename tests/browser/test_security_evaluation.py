"""A security evaluation by hand, on a platform as `run-srs.sh` starts it: real broker, real workers, real files."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.visitor import Visitor
from tests.image_classifiers import images, npz_file, onnx_file

PASSWORD = "a long race at night"
PATIENCE = 60_000
"""Milliseconds that a worker may take on a busy machine."""
SIZES = "0.02, 0.05, 0.1, 0.2"

pytestmark = pytest.mark.broker


class TestASecurityEvaluation:
    def test_from_the_files_to_a_single_sample(self, platform, visit):
        erin = visit(platform.address)
        register(erin)
        samples, labels = images(60)
        erin.open("/lab/")
        erin.page.get_by_role("link", name="Security evaluation", exact=True).click()
        upload(erin, "model", "small.onnx", onnx_file())
        upload(erin, "dataset", "images.npz", npz_file(samples, labels))
        erin.look("evaluation-form")
        start(erin)
        watch_the_bar(erin)
        open_the_curve(erin)
        inspect_a_sample(erin)


def register(erin: Visitor) -> None:
    """A person without a team."""
    erin.open("/register")
    erin.fill(username="erin", email="erin@example.org", password=PASSWORD, password2=PASSWORD, sciper=100_017)
    erin.press("Register")
    erin.log_in("erin", PASSWORD)


def upload(erin: Visitor, name: str, file: str, content: bytes) -> None:
    """Hand in a file where it is needed, and wait until a worker's check lets it be chosen."""
    block = erin.page.locator(f"#input-{name}")
    file_of_memory = {"name": file, "mimeType": "application/octet-stream", "buffer": content}
    erin.page.set_input_files(f"[name=new-{name}-file]", file_of_memory)
    block.get_by_role("button", name="Upload").click()
    expect(block.locator("select option", has_text="version 1")).to_be_attached(timeout=PATIENCE)
    assert file in block.locator("select option:checked").inner_text()


def start(erin: Visitor) -> None:
    """Enough starts that the bar can be seen on its way."""
    page = erin.page
    page.select_option("[name=parameters-attack]", "pgd-linf")
    page.select_option("[name=parameters-evaluation_mode]", "complete")
    erin.fill(**{"parameters-perturbation_values": SIZES, "seed": 3})
    for title, values in (("Effort of the attack", {"steps": 150, "restarts": 20}),):
        page.locator("summary", has_text=title).click()
        erin.fill(**{f"parameters-{field}": value for field, value in values.items()})
    erin.press("Run the experiment")


def watch_the_bar(erin: Visitor) -> None:
    """The page moves the bar by itself, at least twice, before it shows the result."""
    # A reload would forget this.
    erin.page.evaluate("window.arrival = 'first'")
    erin.page.locator("main progress").wait_for(timeout=PATIENCE)
    erin.page.screenshot(path=erin.folder / "evaluation-running.png", full_page=True)
    # Noted in the page itself, because a quick machine moves the bar faster than a test can ask.
    erin.page.evaluate(
        """() => {
            window.bars = new Set();
            window.setInterval(() => {
                const bar = document.querySelector("main progress");
                if (bar && bar.hasAttribute("value")) window.bars.add(bar.getAttribute("value"));
            }, 50);
        }"""
    )
    expect(erin.page.locator("main .status-accepted")).to_be_visible(timeout=PATIENCE)
    assert erin.page.evaluate("window.arrival") == "first"
    assert erin.page.evaluate("window.bars.size") >= 2


def open_the_curve(erin: Visitor) -> None:
    """The curve, its numbers and its level are there, and say the same."""
    page = erin.page
    curve = page.locator("figure.chart").first
    expect(curve.locator(".chart-title")).to_have_text("Accuracy by size of the perturbation")
    erin.look("evaluation-report", in_the_dark=True)
    curve.locator("summary").click()
    rows = curve.locator("tbody tr").all_inner_texts()
    accuracy = [float(row.split()[-1]) for row in rows if row.startswith("Accuracy")]
    assert len(accuracy) == 1 + len(SIZES.split(","))
    assert accuracy == sorted(accuracy, reverse=True)
    assert accuracy[0] > 0.9 > accuracy[-1]
    assert re.search(r"\b(low|medium|high)\b", page.locator("main").inner_text())


def inspect_a_sample(erin: Visitor) -> None:
    """Another sample at another size: its images, its classes, and how the attack came there."""
    page = erin.page
    page.get_by_role("link", name="Look at single samples").click()
    expect(page.get_by_role("heading", name="A closer look")).to_be_visible()
    before = page.locator("main .image-grid img").first.get_attribute("src")
    first, second = page.locator("main form select").all()[:2]
    first.select_option(index=3)
    second.select_option(index=len(SIZES.split(",")))
    erin.press("Show")
    expect(page.locator("main .image-grid img").first).not_to_have_attribute("src", before or "")
    assert page.locator("main .image-grid img").count() >= 3
    assert page.locator("main figure.chart").count() >= 3
    erin.look("evaluation-sample", in_the_dark=True)
