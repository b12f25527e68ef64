"""Sentences that begin alike are read as one for as long."""

import numpy as np
import pytest

from app.language import templates
from app.language.batches import batches, beginnings
from app.language.tokens import Vocabulary

ALIKE = ("a b c d e f g h", "a b c d e f g i", "a b c d e f j", "a b c d e f", "k")
LINES = {"templates": templates.synthetic(40), "alike": ALIKE, "one": ("a b",), "nothing in common but an end": ("",)}


def told(batch):
    """(what was read up to a word, what is to be said, its weight) of all words, from the batch alone."""
    before = [-1] * batch.counts[0] + batch.before.tolist()
    found = []
    for place, target, weight in zip(batch.after, batch.targets, batch.weights, strict=True):
        words = []
        while place >= 0:
            words.append(int(batch.inputs[place]))
            place = before[place]
        found.append((words[::-1], int(target), float(weight)))
    return sorted(found)


@pytest.mark.parametrize("sentences", LINES.values(), ids=LINES)
class TestBatches:
    def test_sharing_changes_nothing_of_what_is_read_and_said(self, sentences):
        lines = Vocabulary.of(sentences).encode(sentences)

        shared, apart = (
            [told(batch) for batch in batches(lines, 16, np.random.default_rng(1), begun)]
            for begun in (beginnings(lines), None)
        )

        assert shared == apart

    def test_words_follow_their_own_sentence_once_steps_are_no_longer_shared(self, sentences):
        lines = Vocabulary.of(sentences).encode(sentences)

        for batch in batches(lines, 16, np.random.default_rng(1), beginnings(lines)):
            starts = np.cumsum([0, *batch.counts])
            for step in range(batch.shared + 1, len(batch.counts)):
                own = batch.before[starts[step] - starts[1] : starts[step + 1] - starts[1]]
                assert np.array_equal(own, starts[step - 1] + np.arange(batch.counts[step]))


class TestSharing:
    def test_a_beginning_is_read_once(self):
        lines = Vocabulary.of(ALIKE).encode(ALIKE)

        [batch] = batches(lines, 16, np.random.default_rng(1), beginnings(lines))

        assert batch.counts[:8] == (1, 2, 1, 1, 1, 1, 1, 2)
        assert len(batch.targets) == lines.lengths.sum()
