"""The pages of corpora, and what a round issues."""

import dataclasses

import pytest

from app import tracks
from app.models import Status
from app.services import assets, corpora
from tests.factories import log_in, make_round, make_team, make_user, run_tasks


@pytest.fixture
def alice(app):
    return make_user("alice")


@pytest.fixture
def browser(client, alice):
    return log_in(client, alice)


class TestCorpora:
    def test_there_is_none_at_first_and_three_ways_to_make_one(self, browser):
        page = browser.get("/lab/corpora/").text
        assert "You have no corpora yet." in page
        assert 'value="2000"' in page
        assert "/lab/experiments/web-corpus" in page

    def test_sentences_of_the_template(self, app, browser, alice):
        sent = {"made": "synthetic", "synthetic-name": "first", "synthetic-count": "12", "synthetic-seed": "7"}
        answer = browser.post("/lab/corpora/", data=sent)
        assert "first, version 1, is there" in browser.get(answer.location).text
        run_tasks(app)
        (asset,) = assets.of(alice, "corpus")
        assert (asset.status, asset.facts["n"]) == (Status.ACCEPTED, 12)
        assert "Mallory composes scenes in watercolor at night." in browser.get("/lab/corpora/").text
        assert corpora.text(asset).strip() in browser.get(f"/lab/files/{asset.key}/text").text

    def test_pasted_sentences(self, browser, alice):
        sent = {"made": "pasted", "pasted-text": "One <b>two</b> three.\r\nFour five six."}
        assert browser.post("/lab/corpora/", data=sent).status_code == 303
        (asset,) = assets.of(alice, "corpus")
        page = browser.get(f"/lab/files/{asset.key}/text").text
        assert "One &lt;b&gt;two&lt;/b&gt; three." in page

    @pytest.mark.parametrize(
        ("sent", "said"),
        [
            ({"made": "synthetic", "synthetic-count": "0", "synthetic-seed": "7"}, "between 1 and 10000"),
            ({"made": "pasted", "pasted-text": "Only one."}, "at least two different sentences"),
        ],
    )
    def test_what_cannot_be_a_corpus_is_said_at_its_field(self, browser, sent, said):
        answer = browser.post("/lab/corpora/", data=sent)
        assert answer.status_code == 400
        assert said in answer.text

    def test_others_do_not_see_it(self, client, app, browser, alice):
        browser.post("/lab/corpora/", data={"made": "pasted", "pasted-text": "One two.\nThree four."})
        (asset,) = assets.of(alice, "corpus")
        other = log_in(client, make_user("eve"))
        assert other.get(f"/lab/files/{asset.key}/text").status_code == 404

    def test_only_a_corpus_can_be_read(self, browser, alice):
        from tests.services.lab import make_asset

        assert browser.get(f"/lab/files/{make_asset(alice).key}/text").status_code == 404


class TestWhatARoundIssues:
    def test_a_team_downloads_it_from_the_page_of_its_defence(self, app, browser, alice):
        make_team("Red", alice)
        row = make_round("defence")
        row.track, row.track_settings = "membership", {}
        row.track_settings = dataclasses.asdict(tracks.card("membership").load().Settings())
        assert "/defence/files" in browser.get("/defence/").text
        with browser.get("/defence/files") as answer:
            assert answer.mimetype == "application/zip"
            assert answer.data[:2] == b"PK"
            again = browser.get("/api/issue")
        assert again.data == answer.data
        again.close()

    def test_there_is_no_such_button_where_nothing_is_issued(self, app, browser, alice):
        make_team("Red", alice)
        make_round("defence")
        assert "/defence/files" not in browser.get("/defence/").text
        assert browser.get("/defence/files").status_code == 404
