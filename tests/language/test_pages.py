"""Pages become sentences: each text once, cut where sentences end."""

import pytest

from app.errors import InvalidUpload
from app.language import pages
from app.language.fetching import Page


def html(body):
    return f"<!doctype html><html><head><title>No text.</title></head><body>{body}</body></html>".encode()


class TestTextBlocks:
    def test_a_text_in_nested_blocks_is_taken_once(self):
        page = html("<div><section><div><p>Deep down there.</p></div></section></div>")
        assert pages.text_blocks(page) == ["Deep down there."]

    def test_text_between_blocks_is_kept_in_its_place(self):
        page = html("<div>Before it. <p>In <b>the</b> middle.</p> After it.</div>")
        assert pages.text_blocks(page) == ["Before it.", "In the middle.", "After it."]

    @pytest.mark.parametrize("name", ["script", "style", "nav", "footer", "aside", "template", "noscript", "svg"])
    def test_what_is_no_running_text_is_left_out(self, name):
        assert pages.text_blocks(html(f"<p>Kept.</p><{name}><p>Left out.</p></{name}>")) == ["Kept."]

    def test_comments_are_no_text(self):
        assert pages.text_blocks(html("<p>Kept<!-- not this --> whole.</p>")) == ["Kept whole."]

    def test_a_broken_page_is_read_as_far_as_it_goes(self):
        assert pages.text_blocks(b"<p>One <p>two <b>three </i><td>four") == ["One", "two three", "four"]

    def test_lists_and_lines_are_blocks(self):
        assert pages.text_blocks(html("<ul><li>One<li>Two</ul><p>Three<br>four")) == ["One", "Two", "Three", "four"]

    def test_the_charset_of_the_server_counts(self):
        content = "<p>Grüße</p>".encode("latin-1")
        assert pages.text_blocks(content, "latin-1") == ["Grüße"]

    def test_a_deep_page_takes_no_deep_stack(self):
        depth = 5_000
        assert pages.text_blocks(b"<div>" * depth + b"bottom" + b"</div>" * depth) == ["bottom"]

    def test_it_refuses_a_page_of_elements_alone(self, monkeypatch):
        monkeypatch.setattr(pages, "MAX_TAGS", 10)
        with pytest.raises(InvalidUpload, match="elements"):
            pages.text_blocks(b"<b>" * 11)


class TestSentences:
    @pytest.mark.parametrize(
        ("text", "found"),
        [
            ("It rained all day. Nobody came! Why not?", ["It rained all day.", "Nobody came!"]),
            (
                "The value is 3.14 in most books. It is not exact.",
                ["The value is 3.14 in most books.", "It is not exact."],
            ),
            ("See e.g. Landau and E. M. Lifshitz for it.", ["See e.g. Landau and E. M. Lifshitz for it."]),
            ("As Dr. Smith showed in Fig. 3, it holds.", ["As Dr. Smith showed in Fig. 3, it holds."]),
            ('He said "It is over." Then he left the room.', ['He said "It is over."', "Then he left the room."]),
            ("A heading without a stop", ["A heading without a stop."]),
            ("Short.", []),
            ("x" * 400, []),
            ("… — … — … — …", []),
            ("", []),
        ],
    )
    def test_it_cuts_where_sentences_end(self, text, found):
        assert pages.sentences(text) == found


class TestCorpus:
    def test_a_sentence_of_a_page_comes_once(self):
        content = html("<p>The same sentence here.</p><p>Another sentence there.</p><div>The same sentence here.</div>")
        corpus = pages.corpus(Page("https://example.org/", "text/html", "", content))
        assert corpus.sentences == ("The same sentence here.", "Another sentence there.")
        assert corpus.source == "https://example.org/"

    def test_plain_text_has_paragraphs(self):
        content = b"The first sentence\ngoes on here.\n\nThe second one does not."
        corpus = pages.corpus(Page("https://example.org/", "text/plain", "", content))
        assert corpus.sentences == ("The first sentence goes on here.", "The second one does not.")

    def test_it_refuses_a_page_without_sentences(self):
        with pytest.raises(InvalidUpload, match="at least two sentences"):
            pages.corpus(Page("https://example.org/", "text/html", "", html("<p>Only this sentence.</p>")))
