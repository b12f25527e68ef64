import pytest

from app import tracks
from app.services import references
from tests.factories import make_round
from tests.web.pages import text

real_cards = references.cards


class TestRules:
    def test_every_track_is_listed(self, client):
        page = client.get("/rules/").text
        assert all(f"/rules/{card.slug}" in page for card in tracks.CARDS)
        assert all(client.get(f"/rules/{card.slug}").status_code == 200 for card in tracks.CARDS)

    def test_the_only_track_is_shown_at_once(self, client, monkeypatch):
        monkeypatch.setattr(tracks, "CARDS", tracks.CARDS[:1])
        assert client.get("/rules/").location == "/rules/fingerprinting"

    def test_it_is_open_to_everybody(self, client):
        page = text(client.get("/rules/fingerprinting"))
        assert "How a round goes" in page
        assert "Blind guess" in page
        assert "trees = 260" in page

    def test_the_settings_are_those_of_the_round(self, client):
        make_round(settings={"NB_CLASSES": 7}, rules={"MATCHES_PER_TEAM": 11})
        page = text(client.get("/rules/fingerprinting"))
        assert "NB_CLASSES 7 Cells that every defence must contain" in page
        assert "MATCHES_PER_TEAM 11" in page

    def test_without_a_round_there_are_no_settings(self, client):
        assert "MATCHES_PER_TEAM" not in text(client.get("/rules/fingerprinting"))

    def test_tables_and_listings_can_be_scrolled_with_the_keyboard(self, client):
        page = client.get("/rules/fingerprinting").get_data(as_text=True)
        assert '<div class="table-frame" tabindex="0"' in page
        assert '<pre class="panel" tabindex="0">' in page
        assert "<pre><code" not in page

    @pytest.mark.parametrize("slug", ["nothing", "..", "%2e%2e%2fetc", "base.py"])
    def test_other_names_are_not_found(self, client, slug):
        assert client.get(f"/rules/{slug}").status_code == 404


class TestCards:
    def test_a_child_describes_the_adversaries_and_is_asked_once(self, app, monkeypatch):
        asked = []

        def run(target, arguments, *others):
            asked.append((target, arguments))
            return {"blind": {"title": "Blind guess", "source": "x", "parameters": []}}

        monkeypatch.setattr(references.sandbox, "run", run)
        references._memo.clear()
        assert real_cards("fingerprinting")["blind"].title == "Blind guess"
        real_cards("fingerprinting")
        wanted = {"track": "fingerprinting", "settings": {}, "kind": ""}
        assert asked == [("app.tracks.referee:describe_adversaries", wanted)]
        references._memo.clear()

    def test_pages_do_without_while_it_cannot_be_asked(self, app, monkeypatch):
        def broken(*arguments):
            raise references.sandbox.SandboxError("no torch here")

        monkeypatch.setattr(references.sandbox, "run", broken)
        references._memo.clear()
        assert real_cards("fingerprinting") == {}

    def test_every_card_names_a_page_of_rules(self):
        from pathlib import Path

        for card in tracks.CARDS:
            assert (Path(tracks.__file__).parent / card.slug / "README.md").exists()
