from dataclasses import replace

import numpy as np
import pytest
import torch

from app.attacks.gradients import networks
from app.attacks.gradients.base import LocalTraining, Unsuited
from app.attacks.gradients.labels import (
    agreement,
    bias_corrected,
    counts,
    idlg,
    recover,
    rounded,
    shrinkage,
    unique,
)
from tests.attacks.gradients.observations import observe, records

SHAPE = (3, 16, 16)


def observation(name, labels, training=None, spread=0.0):
    model = networks.build(name, SHAPE, 10, np.random.default_rng(0), spread=spread)
    x, _ = records(SHAPE, len(labels))
    return observe(model, x, torch.tensor(labels), training)


class TestIdlg:
    @pytest.mark.parametrize("label", [0, 4, 9])
    def test_it_reads_the_label_of_one_record(self, label):
        assert idlg(observation("cnn3", [label])).tolist() == [label]

    def test_it_reads_it_from_an_update_too(self):
        training = LocalTraining(epochs=5, learning_rates=(0.01,), weight_decay=1e-4, momentum=0.5)
        assert idlg(observation("lenet", [7], training)).tolist() == [7]

    def test_it_refuses_several_records(self):
        with pytest.raises(Unsuited, match="2 records"):
            idlg(observation("mlp", [1, 2]))


class TestUnique:
    def test_it_finds_labels_that_differ(self):
        assert unique(observation("cnn3", [8, 1, 5, 3])).tolist() == [1, 3, 5, 8]

    def test_it_refuses_more_records_than_classes(self):
        with pytest.raises(Unsuited, match="cannot all differ"):
            unique(observation("mlp", [0] * 11))


class TestCounting:
    def test_the_corrected_bias_counts_repeated_labels(self):
        assert bias_corrected(observation("cnn3", [2, 2, 2, 6, 6, 9, 9, 9])).tolist() == [2, 2, 2, 6, 6, 9, 9, 9]

    def test_expected_counts_are_right_for_a_fresh_network(self):
        found = counts(observation("cnn3", [2, 2, 2, 6, 6, 9, 9, 9]), np.random.default_rng(0))
        assert found.tolist() == [0, 0, 3, 0, 0, 0, 2, 0, 0, 3]

    def test_strong_weights_are_counted_by_their_predictions(self):
        # The mean push misleads where a network prefers a class from the start; the prediction on noise does not.
        one = observation("lenet", [3, 3, 4, 8])
        assert recover(one, np.random.default_rng(0)).tolist() == [3, 3, 4, 8]

    @pytest.mark.parametrize("total", [0, 3, 50])
    def test_rounding_keeps_the_sum(self, total):
        expected = torch.tensor([-0.4, 0.2, 1.6, 0.5, 0.9], dtype=torch.float64)
        found = rounded(expected, total)
        assert int(found.sum()) == total
        assert int(found.min()) >= 0


class TestShortenedGradients:
    def shortened(self, name, labels, factor):
        one = observation(name, labels)
        return replace(one, shared={name: factor * value for name, value in one.shared.items()})

    @pytest.mark.parametrize("name", ["cnn3", "mlp"])
    @pytest.mark.parametrize("factor", [1.0, 0.3, 0.01])
    def test_labels_are_counted_whatever_the_length(self, name, factor):
        one = self.shortened(name, [2, 2, 2, 6, 6, 9, 9, 9], factor)
        assert recover(one, np.random.default_rng(0)).tolist() == [2, 2, 2, 6, 6, 9, 9, 9]

    def test_whole_numbers_tell_the_factor(self):
        for factor in (0.3, 0.01):
            one = self.shortened("mlp", [2, 2, 2, 6, 6, 9, 9, 9], factor)
            assert shrinkage(one, np.random.default_rng(0)) == pytest.approx(factor, rel=0.05)

    @pytest.mark.parametrize("name", ["mlp", "cnn3", "lenet"])
    def test_a_gradient_of_full_length_is_left_as_it_is(self, name):
        assert shrinkage(observation(name, [3, 3, 4, 8]), np.random.default_rng(0)) == 1.0


class TestAgreement:
    def test_it_compares_multisets(self):
        assert agreement(torch.tensor([1, 1, 2, -1]), torch.tensor([2, 1, 3, 1]), 10) == 0.75
