"""The lab's studies by hand, with real workers: a language model trained and audited, private batches rebuilt."""

import pytest
from playwright.sync_api import expect

from tests.browser.visitor import Visitor

PASSWORD = "a long race at night"
PATIENCE = 300_000
"""Milliseconds that a worker may take on a busy machine."""

pytestmark = pytest.mark.broker


def register(site: str, visit, name: str, number: int) -> Visitor:
    """A person without a team, logged in."""
    visitor: Visitor = visit(site)
    visitor.open("/register")
    visitor.fill(username=name, email=f"{name}@example.org", password=PASSWORD, password2=PASSWORD, sciper=str(number))
    visitor.press("Register")
    visitor.log_in(name, PASSWORD)
    return visitor


def accepted(visitor: Visitor) -> None:
    """Wait until the page says, by itself, that the work is done."""
    expect(visitor.page.locator("main .status-accepted").first).to_be_visible(timeout=PATIENCE)


class TestALanguageModel:
    def test_from_the_corpus_to_a_verdict(self, platform, visit):
        fay = register(platform.address, visit, "fay", 100_021)
        self.make_a_corpus(fay)
        self.train(fay)
        self.audit(fay)

    def make_a_corpus(self, fay):
        fay.open("/lab/corpora/")
        fay.look("corpora-empty")
        fay.fill(**{"synthetic-name": "small", "synthetic-count": 150})
        fay.press("Make the corpus")
        accepted(fay)
        fay.page.get_by_role("link", name="Read the whole text").click()
        expect(fay.page.locator("#corpus-text")).to_contain_text("Mallory composes scenes in watercolor at night.")
        fay.look("corpus")
        fay.open("/lab/corpora/")
        fay.look("corpora")

    def train(self, fay):
        fay.open("/lab/experiments/language-training")
        fay.fill(**{"parameters-name": "my checkpoint", "parameters-epochs": 60, "seed": 1})
        fay.look("training-form")
        fay.press("Run the experiment")
        expect(fay.page.locator("main figure.chart").first).to_be_visible(timeout=PATIENCE)
        fay.page.screenshot(path=fay.folder / "training-running.png", full_page=True)
        accepted(fay)
        expect(fay.page.locator("main")).to_contain_text("checkpoint.safetensors")
        fay.look("training-report", in_the_dark=True)

    def audit(self, fay):
        page = fay.page
        fay.open("/lab/files/")
        expect(page.get_by_role("link", name="my checkpoint").first).to_be_visible()
        fay.open("/lab/experiments/membership-audit")
        expect(page.locator("[name=inputs-checkpoint] option:checked")).to_contain_text("my checkpoint")
        page.fill("[name=parameters-sentences]", "Mallory composes scenes in watercolor at night.\nNi!")
        fay.look("audit-form")
        fay.press("Run the experiment")
        accepted(fay)
        expect(page.locator("main")).to_contain_text("Mallory composes scenes in watercolor at night.")
        assert page.locator("main figure.chart").count() >= 3
        fay.look("audit-report", in_the_dark=True)


class TestGradientLeakage:
    def test_originals_and_reconstructions_stand_side_by_side(self, platform, visit):
        gil = register(platform.address, visit, "gil", 100_022)
        gil.open("/lab/experiments/gradient-leakage")
        page = gil.page
        page.select_option("[name=parameters-attack]", "analytic")
        page.select_option("[name=parameters-model]", "mlp")
        page.select_option("[name=parameters-data]", "digits")
        page.select_option("[name=parameters-defence]", "gaussian-noise")
        page.select_option("[name=parameters-axis]", "strength")
        gil.fill(**{"parameters-victims": 4, "parameters-points": "0.0001, 0.01, 1", "seed": 1})
        gil.look("gradient-leakage-form")
        gil.press("Run the experiment")
        accepted(gil)
        expect(page.locator("main")).to_contain_text("How the quality decays")
        assert page.locator("main .image-grid img").count() == 8
        gil.look("gradient-leakage-report", in_the_dark=True)


class TestFederatedProtection:
    def test_one_button_fills_in_a_whole_federation_which_may_then_be_changed(self, platform, visit):
        hal = register(platform.address, visit, "hal", 100_023)
        hal.open("/lab/experiments/federated-protection")
        page = hal.page
        page.select_option("[name=parameters-configuration]", "overfitted")
        page.get_by_role("button", name="Reference", exact=True).click()
        hal.look("federated-protection-reference")
        expect(page.locator("[name=parameters-configuration]")).to_have_value("own")
        expected = {"clients": "10", "records": "2400", "rounds": "10", "rate": "0.005", "model": "deep"}
        for name, value in expected.items():
            expect(page.locator(f"[name=parameters-{name}]")).to_have_value(value)
        expect(page.locator("[name=parameters-is_shuffled]")).not_to_be_checked()
        page.get_by_role("button", name="Over-fitted", exact=True).click()
        expect(page.locator("[name=parameters-optimiser]")).to_have_value("adam")
        expect(page.locator("[name=parameters-is_shuffled]")).to_be_checked()
        page.select_option("[name=parameters-attacks]", "quick")
        hal.fill(**{"parameters-clients": 3, "parameters-rounds": 2, "parameters-seeds": 1, "seed": 1})
        hal.press("Run the experiment")
        accepted(hal)
        expect(page.locator("main")).to_contain_text("Loss, TPR at 0.1 % FPR")
        hal.look("federated-protection-report", in_the_dark=True)
