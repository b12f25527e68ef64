"""The lab in a real browser: upload where it is needed, run, watch, cancel, look closely, take the picture home."""

import numpy as np
import pytest
from PIL import Image

from app.extensions import db
from app.models import Asset, Job, Status, now
from app.services import accounts
from tests.factories import PASSWORD, make_players
from tests.web.lab_rows import CARD, REPORT, keep, make_asset, make_job, offer

REASONS = [{"rule": "Numbers are small.", "where": "line 3", "fix": "Divide them.", "count": 2}]


@pytest.fixture
def alice(app, monkeypatch, visit, site):
    """Alice at her browser, and one of her jobs of each kind."""
    make_players()
    offer(monkeypatch)
    visitor = visit(site)
    visitor.log_in("alice", PASSWORD)
    return visitor


def change(table, **values):
    """What a worker would write into the one row that waits or runs."""
    row = db.session.scalar(db.select(table).where(table.status.in_([Status.QUEUED, Status.RUNNING])))
    for name, value in values.items():
        setattr(row, name, value)
    db.session.commit()


class TestRunning:
    def test_from_the_file_to_the_picture(self, alice, tmp_path):
        page, numbers = alice.page, tmp_path / "numbers.txt"
        numbers.write_text("1 2 3")
        alice.open("/lab/")
        page.get_by_role("link", name=CARD.title, exact=True).click()
        page.fill("[name=parameters-words]", "mine")
        page.set_input_files("[name=new-numbers-file]", numbers)
        page.locator("#input-numbers").get_by_role("button", name="Upload").click()
        page.locator("#input-numbers .status-queued").wait_for()
        change(Asset, status=Status.ACCEPTED, finished_at=now())
        page.locator("#input-numbers option", has_text="version 1").wait_for(state="attached")
        assert page.input_value("[name=parameters-words]") == "mine"
        alice.press("Usual words")
        assert page.input_value("[name=parameters-words]") == "as usual"
        alice.press("Run the experiment")
        page.locator(".status-queued").wait_for()
        change(Job, status=Status.RUNNING, started_at=now(), progress=0.4)
        page.locator("progress[value='40']").wait_for()
        alice.press("Cancel the job")
        page.get_by_text("Stopping …").wait_for()
        kept = keep({"values": np.array([1.0, 2.0])})
        change(Job, status=Status.ACCEPTED, report=REPORT, arrays=kept, progress=1.0, finished_at=now())
        page.get_by_role("heading", name="Before you trust these numbers").wait_for()
        for place, least in ((1, 100), (2, 100), (3, 50), (4, 50)):
            with page.expect_download() as download:
                page.locator(f"[data-png=figure-{place}]").click()
            path = tmp_path / f"{place}.png"
            download.value.save_as(path)
            assert has_drawn(path) >= least

    def test_every_page_is_fit_to_be_seen(self, alice):
        owner = accounts.named("alice")
        asset = make_asset(owner)
        long = "a_rather_long_name_of_a_file_that_somebody_has_exported_yesterday.txt"
        make_asset(owner, long, "rejected", reasons=REASONS)
        rejected = make_job(owner, "rejected", reasons=REASONS)
        done = make_job(owner, inputs={"numbers": asset.id}, parameters={"kind": "trimmed", "rounds": 3})
        make_job(owner, "cancelled")
        failed = make_job(owner, "failed")
        running = make_job(owner, "running", progress=0.4)
        addresses = {
            "experiment": "/lab/experiments/means",
            "running": f"/lab/jobs/{running.key}",
            "index": "/lab/",
            "jobs": "/lab/jobs/",
            "done": f"/lab/jobs/{done.key}",
            "rejected": f"/lab/jobs/{rejected.key}",
            "failed": f"/lab/jobs/{failed.key}",
            "inspect": f"/lab/jobs/{done.key}/inspect",
            "files": "/lab/files/",
            "file": f"/lab/files/{asset.key}",
        }
        for name, address in addresses.items():
            alice.open(address)
            alice.look(f"lab-{name}", in_the_dark=name in {"done", "jobs"})


def has_drawn(path):
    """How many colours a picture has."""
    with Image.open(path) as picture:
        return len(picture.convert("RGB").getcolors(1 << 20))
