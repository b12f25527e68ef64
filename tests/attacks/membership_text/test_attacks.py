"""Attacks on a language model's training text: their formulas, and the properties that all of them share."""

import zlib

import numpy as np
import pytest
from scipy.stats import norm

from app import metrics
from app.attacks.membership.text import (
    ATTACKS,
    Evidence,
    LikelihoodRatio,
    Loss,
    MinK,
    MinKPlusPlus,
    Neighbourhood,
    OfflineLikelihoodRatio,
    Reference,
    ZlibRatio,
)
from app.attacks.membership.text.likelihood_ratio import PRIOR

WORDS, MODELS = 8, 6
EVERY = pytest.mark.parametrize("attack", [attack() for attack in ATTACKS.values()], ids=list(ATTACKS))


def evidence(n=400, members=200, gain=1.0, seed=0):
    """Made-up sentences: some are harder than others, and members cost the model `gain` nats a word less."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, WORDS + 1, n)
    hardness = rng.gamma(4.0, 0.3, n) + gain + 0.5
    is_member = np.arange(n) < members
    noise = rng.gamma(4.0, 0.25, (n, WORDS))
    logs = -np.maximum(hardness[:, None] - gain * is_member[:, None] + noise - 1.0, 0.01)
    reference_members = rng.random((MODELS, n)) < 0.5
    losses = hardness - gain * reference_members + 0.2 * rng.normal(size=(MODELS, n))
    return Evidence(
        log_probabilities=logs,
        means=-(hardness[:, None] + noise),
        deviations=rng.gamma(4.0, 0.25, (n, WORDS)) + 0.1,
        lengths=lengths,
        texts=tuple("word " * length for length in lengths),
        neighbour_losses=hardness[:, None] + 0.3 * rng.normal(size=(n, 5)),
        reference_losses=np.maximum(losses, 0.01),
        reference_members=reference_members,
    ), is_member


def taken(found, places):
    """The evidence on some of the sentences."""
    rows = {name: getattr(found, name)[places] for name in ("log_probabilities", "means", "deviations", "lengths")}
    return Evidence(
        **rows,
        texts=tuple(found.texts[place] for place in places),
        neighbour_losses=found.neighbour_losses[places],
        reference_losses=found.reference_losses[:, places],
        reference_members=found.reference_members[:, places],
    )


class TestEveryAttack:
    @EVERY
    def test_members_score_higher(self, attack):
        found, is_member = evidence()
        assert metrics.auc(attack(found), is_member) > 0.6

    @EVERY
    def test_it_learns_nothing_where_nothing_was_learnt(self, attack):
        found, is_member = evidence(n=2000, members=1000, gain=0.0)
        assert metrics.auc(attack(found), is_member) == pytest.approx(0.5, abs=0.05)

    @EVERY
    def test_shuffled_labels_are_a_blind_guess(self, attack):
        found, is_member = evidence(n=2000, members=1000)
        shuffled = np.random.default_rng(1).permutation(is_member)
        assert metrics.auc(attack(found), shuffled) == pytest.approx(0.5, abs=0.05)

    @EVERY
    def test_the_shortest_texts_have_finite_scores(self, attack):
        found, _ = evidence()
        short = np.flatnonzero(found.lengths == 1)
        assert len(short) > 10
        assert np.isfinite(attack(found)).all()
        assert np.isfinite(attack(taken(found, short))).all()

    @EVERY
    def test_certain_and_hopeless_words_have_finite_scores(self, attack):
        found, _ = evidence(n=6, members=3)
        for value in (0.0, -800.0):
            same = np.full_like(found.log_probabilities, value)
            flat = Evidence(same, same, np.zeros_like(same), found.lengths, found.texts, found.neighbour_losses,
                            np.full_like(found.reference_losses, -value), found.reference_members)  # fmt: skip
            assert np.isfinite(attack(flat)).all()

    @EVERY
    def test_equal_sentences_tie(self, attack):
        found, _ = evidence(n=20, members=10)
        scores = attack(taken(found, np.repeat(np.arange(20), 2)))
        assert np.array_equal(scores[0::2], scores[1::2])

    @EVERY
    def test_the_order_of_the_sentences_does_not_matter(self, attack):
        found, _ = evidence()
        order = np.random.default_rng(3).permutation(len(found.lengths))
        assert np.allclose(attack(taken(found, order)), attack(found)[order])

    @EVERY
    def test_what_stands_after_the_end_does_not_matter(self, attack):
        found, _ = evidence()
        logs = np.where(found.real, found.log_probabilities, -99.0)
        rest = {name: getattr(found, name) for name in ("neighbour_losses", "reference_losses", "reference_members")}
        other = Evidence(logs, found.means, found.deviations, found.lengths, found.texts, **rest)
        assert np.allclose(attack(other), attack(found))


class TestFormulas:
    FOUND = evidence(n=30, members=15)[0]

    def own(self, place):
        return self.FOUND.log_probabilities[place, : self.FOUND.lengths[place]]

    def test_loss(self):
        expected = [self.own(place).mean() for place in range(30)]
        assert np.allclose(Loss()(self.FOUND), expected)

    def test_zlib_ratio(self):
        sizes = [len(zlib.compress(text.encode())) for text in self.FOUND.texts]
        assert np.allclose(ZlibRatio()(self.FOUND), [self.own(place).mean() / size for place, size in enumerate(sizes)])

    @pytest.mark.parametrize("share", [0.01, 0.2, 0.5, 1.0])
    def test_min_k(self, share):
        expected = [
            np.sort(self.own(place))[: max(1, int(share * self.FOUND.lengths[place]))].mean() for place in range(30)
        ]
        assert np.allclose(MinK(share=share)(self.FOUND), expected)

    def test_all_words_of_min_k_are_the_loss(self):
        assert np.allclose(MinK(share=1.0)(self.FOUND), Loss()(self.FOUND))

    def test_min_k_plus_plus(self):
        expected = []
        for place, length in enumerate(self.FOUND.lengths):
            rows = (self.FOUND.means[place, :length], self.FOUND.deviations[place, :length])
            standard = np.sort((self.own(place) - rows[0]) / rows[1])
            expected.append(standard[: max(1, int(0.2 * length))].mean())
        assert np.allclose(MinKPlusPlus()(self.FOUND), expected)

    def test_neighbourhood(self):
        expected = self.FOUND.neighbour_losses.mean(1) - self.FOUND.losses
        assert np.allclose(Neighbourhood()(self.FOUND), expected)

    def test_reference_models_without_the_sentence(self):
        losses, inside = self.FOUND.reference_losses, self.FOUND.reference_members
        for place in np.flatnonzero((~inside).any(0)):
            expected = losses[~inside[:, place], place].mean() - self.FOUND.losses[place]
            assert Reference()(self.FOUND)[place] == pytest.approx(expected)

    def moments(self, side):
        """Mean and moderated deviation of each sentence's log-losses, one sentence at a time."""
        logs = np.log(self.FOUND.reference_losses)
        chosen = [logs[side[:, place], place] for place in range(30)]
        squares = [((part - part.mean()) ** 2).sum() if len(part) else 0.0 for part in chosen]
        freedom = [max(len(part) - 1, 0) for part in chosen]
        pooled = sum(squares) / sum(freedom)
        means = [part.mean() if len(part) else logs[:, place].mean() for place, part in enumerate(chosen)]
        pairs = zip(squares, freedom, strict=True)
        return np.array(means), np.array(
            [np.sqrt((square + PRIOR * pooled) / (free + PRIOR)) for square, free in pairs]
        )

    def test_likelihood_ratio(self):
        inside, own = self.FOUND.reference_members, np.log(self.FOUND.losses)
        expected = norm.logpdf(own, *self.moments(inside)) - norm.logpdf(own, *self.moments(~inside))
        usable = inside.any(0) & (~inside).any(0)
        assert np.allclose(LikelihoodRatio()(self.FOUND)[usable], expected[usable])

    def test_offline_likelihood_ratio(self):
        inside, own = self.FOUND.reference_members, np.log(self.FOUND.losses)
        usable = (~inside).any(0)
        expected = -norm.logcdf(own, *self.moments(~inside))
        assert np.allclose(OfflineLikelihoodRatio()(self.FOUND)[usable], expected[usable])

    def test_a_sentence_that_every_model_saw_is_scored(self):
        seen = Evidence(**{**vars(self.FOUND), "reference_members": np.ones_like(self.FOUND.reference_members)})
        for name in ("reference", "lira", "lira-offline"):
            assert np.isfinite(ATTACKS[name]()(seen)).all()
