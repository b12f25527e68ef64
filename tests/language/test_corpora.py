"""Corpora, their words, and which of their sentences a model is trained on."""

import hashlib
import random
from pathlib import Path

import numpy as np
import pytest

from app.errors import InvalidUpload
from app.language import corpora, splits, templates
from app.language.corpora import Corpus
from app.language.tokens import BOS, EOS, PAD, UNK, Vocabulary, tokenise

REFERENCE = Path(__file__).resolve().parents[2] / "../shared/data/text/synthetic_1_2000.txt"
DIGEST = "0ed4190c742f990adc4b586cb89432a28d53860ac55e8ee5bdfb9ae7a86cc514"


class TestTemplates:
    def test_two_thousand_sentences_are_the_reference_corpus(self):
        text = "\n".join(templates.synthetic(2000))
        assert hashlib.sha256(text.encode()).hexdigest() == DIGEST

    @pytest.mark.skipif(not REFERENCE.exists(), reason="needs the reference corpus")
    def test_the_reference_corpus_is_a_file_of_ours_byte_for_byte(self):
        assert Corpus(templates.synthetic(2000)).to_text().encode() == REFERENCE.read_bytes()

    def test_a_shorter_corpus_is_the_beginning_of_a_longer_one(self):
        assert templates.synthetic(10) == templates.synthetic(50)[:10]

    def test_another_seed_makes_another_corpus(self):
        assert templates.synthetic(10, seed=8) != templates.synthetic(10)

    def test_it_leaves_the_shared_generator_alone(self):
        state = random.getstate()
        templates.synthetic(10)
        assert random.getstate() == state


class TestTokenise:
    @pytest.mark.parametrize(
        ("sentence", "words"),
        [
            ("Alice writes essays at dawn.", ["alice", "writes", "essays", "at", "dawn", "."]),
            ("Ni!", ["ni"]),
            ("about 3.14", ["about", "3", ".14"]),
            ("Café d'été", ["caf", "dt"]),
            ("???", []),
        ],
    )
    def test_it_keeps_letters_digits_and_stops(self, sentence, words):
        assert tokenise(sentence) == words


class TestVocabulary:
    def test_words_are_numbered_as_they_occur(self):
        assert Vocabulary.of(["b a.", "a c"]).words == ("<pad>", "<bos>", "<eos>", "<unk>", "b", "a", ".", "c")

    def test_a_sentence_is_framed_and_filled_up(self):
        lines = Vocabulary.of(["a b"]).encode(["a", "b z a"])
        assert lines.inputs.tolist() == [[BOS, 4, PAD, PAD], [BOS, 5, UNK, 4]]
        assert lines.targets.tolist() == [[4, EOS, PAD, PAD], [5, UNK, 4, EOS]]
        assert lines.lengths.tolist() == [2, 4]

    def test_a_sentence_without_words_has_an_end(self):
        lines = Vocabulary.of(["a"]).encode(["???"])
        assert lines.inputs.tolist() == [[BOS]]
        assert lines.targets.tolist() == [[EOS]]

    def test_a_choice_is_no_longer_than_its_longest(self):
        lines = Vocabulary.of(["a"]).encode(["a", "a a a a"])
        assert lines.take(np.array([0])).inputs.shape == (1, 2)

    def test_it_tells_the_share_of_unknown_words(self):
        known = Vocabulary.of(["a b."])
        assert known.unknown_share("a z.") == pytest.approx(1 / 3)
        assert known.unknown_share("") == 0.0


class TestCorpus:
    def test_a_file_is_read_back(self, tmp_path):
        corpus = Corpus(("One sentence.", "Another one."), "https://example.org/page")
        (tmp_path / "corpus.txt").write_text(corpus.to_text(), encoding="utf-8")
        assert corpora.read(tmp_path / "corpus.txt") == corpus

    def test_an_empty_first_line_is_no_sentence(self):
        assert corpora.parse("\nOne.\n\nTwo.\r\n").sentences == ("One.", "Two.")

    def test_sentences_are_the_same_when_their_words_are(self):
        corpus = Corpus(("One two.", "ONE, two.", "???", "Three."))
        assert corpus.distinct == (0, 3)

    def test_the_digest_is_about_sentences_alone(self):
        assert Corpus(("A.", "B."), "https://example.org").digest == Corpus(("A.", "B.")).digest
        assert Corpus(("A.", "B.")).digest != Corpus(("B.", "A.")).digest

    def test_every_complaint_comes_at_once(self):
        text = "\n".join(["word " * 300, "x" * 3000, "bell\a", "fine"])
        with pytest.raises(InvalidUpload) as refused:
            corpora.parse(text)
        assert [reason.where for reason in refused.value.reasons] == ["line 2", "line 3", "line 1"]

    @pytest.mark.parametrize("text", ["", "One.\nONE.", "\n\n"])
    def test_it_needs_two_different_sentences(self, text):
        with pytest.raises(InvalidUpload, match="two different sentences"):
            corpora.parse(text)

    def test_it_refuses_too_many_sentences_and_too_many_words(self, monkeypatch):
        monkeypatch.setattr(corpora, "MAX_WORDS", 2)
        with pytest.raises(InvalidUpload, match="different words"):
            corpora.parse("a b\nc d")
        monkeypatch.setattr(corpora, "MAX_SENTENCES", 1)
        with pytest.raises(InvalidUpload, match="at most 1 sentences"):
            corpora.parse("a b\nc d")

    def test_it_refuses_what_is_no_text_and_what_is_too_long(self, tmp_path, monkeypatch):
        (tmp_path / "corpus.txt").write_bytes(b"fine\n\xff\xfe")
        with pytest.raises(InvalidUpload, match="UTF-8"):
            corpora.read(tmp_path / "corpus.txt")
        monkeypatch.setattr(corpora, "MAX_BYTES", 3)
        with pytest.raises(InvalidUpload, match="at most"):
            corpora.read(tmp_path / "corpus.txt")


class TestSplit:
    CORPUS = Corpus(tuple(templates.synthetic(200)) * 2)

    def test_with_duplicates_it_cuts_the_file_as_it_stands(self):
        found = splits.split(self.CORPUS, splits.WITH_DUPLICATES)
        assert found.members.tolist() == list(range(280))
        assert found.others.tolist() == list(range(280, 400))
        assert splits.overlap(self.CORPUS, found.members, found.others).all()

    @pytest.mark.parametrize("way", [splits.SHUFFLED, splits.IN_ORDER])
    def test_each_sentence_is_taken_once(self, way):
        found = splits.split(self.CORPUS, way, seed=3)
        places = np.concatenate([found.members, found.others])
        assert sorted(places) == list(self.CORPUS.distinct)
        assert len(found.members) == round(0.7 * len(places))
        assert not splits.overlap(self.CORPUS, found.members, found.others).any()

    def test_a_seed_draws_the_members(self):
        found = [splits.split(self.CORPUS, splits.SHUFFLED, seed=seed).members.tolist() for seed in (1, 1, 2)]
        assert found[0] == found[1] != found[2]

    def test_both_sides_have_a_sentence(self):
        for share in (0.05, 0.95):
            found = splits.split(Corpus(("a", "b")), splits.IN_ORDER, share)
            assert (len(found.members), len(found.others)) == (1, 1)
