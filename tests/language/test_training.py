"""Training, scoring and reference models, on small networks."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from app import metrics
from app.errors import InvalidUpload
from app.language import network as networks
from app.language import references, scoring, templates, training
from app.language.recipes import Recipe
from app.language.references import Study
from app.language.tokens import SPECIAL, UNK, Vocabulary

SENTENCES = (*templates.synthetic(48), "Ni!", "???", "A rather longer sentence than all of the others here, isn't it.")
VOCABULARY = Vocabulary.of(SENTENCES)
LINES = VOCABULARY.encode(SENTENCES)
SMALL = Recipe(epochs=2, batch_size=16, learning_rate=0.01, embedding=8, hidden=12)


def fresh(seed=0):
    return networks.fresh(len(VOCABULARY), 8, 12, np.random.default_rng(seed), "cpu").eval()


def direct_loss(network, sentence):
    """The loss of one sentence, without padding, a mask or a batch."""
    line = VOCABULARY.encode([sentence])
    with torch.no_grad():
        scores = network(torch.from_numpy(line.inputs))[0]
    return float(functional.cross_entropy(scores, torch.from_numpy(line.targets)[0]))


class TestNetwork:
    def test_the_reference_network_has_the_published_size(self):
        network = networks.empty(57, 128, 256, "meta")
        assert sum(weight.numel() for weight in network.parameters()) == 417_209

    def test_weights_are_drawn_from_the_seed_alone(self):
        state = torch.get_rng_state()
        first, again, other = fresh(1), fresh(1), fresh(2)
        assert torch.equal(torch.get_rng_state(), state)
        assert torch.equal(first.output.weight, again.output.weight)
        assert not torch.equal(first.output.weight, other.output.weight)


class TestTrain:
    def test_one_step_is_that_of_adam_on_the_mean_of_sentence_losses(self):
        recipe = Recipe(epochs=1, batch_size=len(LINES), learning_rate=0.01, embedding=8, hidden=12)
        found = training.train(LINES, len(VOCABULARY), recipe, np.random.default_rng(5))
        expected = networks.fresh(len(VOCABULARY), 8, 12, np.random.default_rng(5), "cpu")
        optimiser = torch.optim.Adam(expected.parameters(), 0.01)
        losses = []
        for sentence in SENTENCES:
            line = VOCABULARY.encode([sentence])
            scores = expected(torch.from_numpy(line.inputs))[0]
            losses.append(functional.cross_entropy(scores, torch.from_numpy(line.targets)[0]))
        torch.stack(losses).mean().backward()
        optimiser.step()
        for name, weight in expected.named_parameters():
            assert torch.allclose(found.get_parameter(name), weight, atol=2e-4), name

    def test_the_same_seed_trains_the_same_model(self):
        first, again = (
            training.train(LINES, len(VOCABULARY), SMALL, np.random.default_rng(5)).output.weight for _ in range(2)
        )
        assert torch.equal(first, again)

    def test_it_tells_the_falling_loss_of_every_epoch(self):
        seen = []
        recipe = Recipe(epochs=6, batch_size=16, learning_rate=0.01, embedding=8, hidden=12)
        training.train(
            LINES,
            len(VOCABULARY),
            recipe,
            np.random.default_rng(0),
            watch=lambda epoch, loss, _: seen.append((epoch, loss)),
        )
        assert [epoch for epoch, _ in seen] == [1, 2, 3, 4, 5, 6]
        assert np.all(np.diff([loss for _, loss in seen]) < 0)

    def test_what_a_watcher_raises_ends_it(self):
        def stop(epoch, loss, network):
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            training.train(LINES, len(VOCABULARY), SMALL, np.random.default_rng(0), watch=stop)

    def test_it_refuses_a_loss_that_is_no_longer_finite(self, monkeypatch):
        broken = fresh()
        torch.nn.init.constant_(broken.output.weight, float("inf"))
        monkeypatch.setattr(training.networks, "fresh", lambda *_: broken)
        with pytest.raises(InvalidUpload, match="smaller learning rate"):
            training.train(LINES, len(VOCABULARY), SMALL, np.random.default_rng(0))

    def test_it_refuses_a_batch_that_would_not_fit(self, monkeypatch):
        monkeypatch.setattr(training, "MAX_SCORES", 100)
        with pytest.raises(InvalidUpload, match="smaller batch size"):
            training.train(LINES, len(VOCABULARY), SMALL, np.random.default_rng(0))


class TestScoring:
    def test_losses_are_those_of_each_sentence_alone(self):
        network = fresh()
        expected = [direct_loss(network, sentence) for sentence in SENTENCES]
        assert np.allclose(scoring.losses(network, LINES), expected, atol=1e-5)

    def test_statistics_are_those_of_the_distribution(self):
        network = fresh()
        found = scoring.statistics(network, LINES, len(VOCABULARY))
        with torch.no_grad():
            logs = network(torch.from_numpy(LINES.inputs))[3, 2].log_softmax(-1).double().numpy()
        mean = np.average(logs, weights=np.exp(logs))
        assert found.log_probabilities[3, 2] == pytest.approx(logs[LINES.targets[3, 2]], abs=1e-5)
        assert found.means[3, 2] == pytest.approx(mean, abs=1e-5)
        assert found.deviations[3, 2] == pytest.approx(
            np.sqrt(np.average((logs - mean) ** 2, weights=np.exp(logs))), abs=1e-5
        )
        assert np.allclose(found.losses, scoring.losses(network, LINES), atol=1e-6)

    def test_nothing_counts_after_the_end(self):
        found = scoring.statistics(fresh(), LINES, len(VOCABULARY))
        after = np.arange(LINES.targets.shape[1]) >= LINES.lengths[:, None]
        assert not any(part[after].any() for part in (found.log_probabilities, found.means, found.deviations))

    def test_the_number_of_rows_at_a_time_changes_nothing(self, monkeypatch):
        whole = scoring.statistics(fresh(), LINES, len(VOCABULARY)).means
        assert np.allclose(scoring.statistics(fresh(), LINES, len(VOCABULARY), rows=7).means, whole, atol=1e-6)
        monkeypatch.setattr(scoring, "SCORES", 1)
        assert np.allclose(scoring.statistics(fresh(), LINES, len(VOCABULARY)).means, whole, atol=1e-6)


class TestNeighbours:
    def test_one_word_of_each_sentence_is_another_known_one(self):
        for copy in scoring.neighbours(fresh(), LINES, 3, np.random.default_rng(0)):
            changed = copy.targets != LINES.targets
            has_words = LINES.lengths > 1
            assert np.array_equal(changed.sum(1), has_words)
            assert (copy.targets[changed] >= len(SPECIAL)).all()
            assert (copy.targets[changed] != UNK).all()
            assert np.array_equal(copy.inputs[:, 1:][changed[:, :-1]], copy.targets[:, :-1][changed[:, :-1]])

    def test_a_sentence_stays_when_there_is_no_other_word(self):
        vocabulary = Vocabulary.of(["a"])
        network = networks.fresh(len(vocabulary), 4, 4, np.random.default_rng(0), "cpu")
        [copy] = scoring.neighbours(network, vocabulary.encode(["a a"]), 1, np.random.default_rng(0))
        assert copy.targets.tolist() == vocabulary.encode(["a a"]).targets.tolist()


class TestReferences:
    STUDY = Study(LINES, len(VOCABULARY), SMALL)

    def test_halves_come_in_pairs_that_leave_nothing_out(self):
        found = references.halves(11, 5, np.random.default_rng(0))
        assert found.shape == (5, 11)
        assert np.array_equal(found[0], ~found[1])
        assert found[0].sum() == 5

    def test_processes_change_nothing(self):
        members = references.halves(len(LINES), 4, np.random.default_rng(0))
        told: list[float] = []
        alone, together = (
            references.reference_losses(
                self.STUDY, members, np.random.default_rng(1), processes=processes, progress=told.append
            )
            for processes in (1, 2)
        )
        assert np.allclose(alone, together, atol=1e-6)
        assert told[-1] == 1.0

    def test_what_goes_wrong_in_another_process_is_raised_here(self):
        members = references.halves(len(LINES), 4, np.random.default_rng(0))
        # Words that the networks do not know.
        study = Study(LINES, 2, SMALL)
        with pytest.raises((IndexError, RuntimeError)):
            references.reference_losses(study, members, np.random.default_rng(1), processes=2)

    def test_each_model_learns_its_own_half(self):
        members = references.halves(len(LINES), 2, np.random.default_rng(0))
        recipe = Recipe(epochs=40, batch_size=16, learning_rate=0.02, embedding=16, hidden=24)
        study = Study(LINES, len(VOCABULARY), recipe)
        losses = references.reference_losses(study, members, np.random.default_rng(1))
        assert all(metrics.auc(-loss, half) > 0.8 for loss, half in zip(losses, members, strict=True))

    def test_what_the_progress_raises_ends_it(self):
        def stop(share):
            raise KeyboardInterrupt

        members = references.halves(len(LINES), 2, np.random.default_rng(0))
        with pytest.raises(KeyboardInterrupt):
            references.reference_losses(self.STUDY, members, np.random.default_rng(1), progress=stop)

    def test_a_model_stops_after_an_epoch_when_asked(self, monkeypatch):
        class Asked:
            def is_set(self):
                return True

        monkeypatch.setattr(references, "_own", [references._Shared(Asked(), None, None)])
        with pytest.raises(references.StoppedError):
            references._losses(self.STUDY, np.ones(len(LINES), bool), 0, "cpu")
