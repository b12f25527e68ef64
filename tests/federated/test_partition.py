"""Partitions: nothing is lost or given twice, the rules hold, and a manifest tells one from another."""

import numpy as np
import pytest

from app.federated import partition
from app.federated.partition import Dirichlet, FixedClasses, Iid, PerWriter

LABELS = np.random.default_rng(0).integers(0, 10, 1000)
WRITERS = np.random.default_rng(1).integers(0, 40, 1000)
EVERY = (Iid(), Iid(shuffled=False), Dirichlet(), Dirichlet(beta=0.01, least=15), FixedClasses(), PerWriter())


def classes_of(shares, labels=LABELS):
    return [set(labels[rows].tolist()) for rows in shares.rows]


@pytest.mark.parametrize("rule", EVERY, ids=repr)
class TestEveryRule:
    def test_it_gives_each_record_to_one_client(self, rule):
        shares = rule.partition(LABELS, 10, 7, WRITERS)
        assert np.array_equal(np.sort(np.concatenate(shares.rows)), np.arange(1000))
        assert len(shares.rows) == 10
        assert shares.sizes.min() >= 1

    def test_the_same_seed_gives_the_same_shares(self, rule):
        first, second = (rule.partition(LABELS, 10, 7, WRITERS) for _ in range(2))
        assert all(np.array_equal(one, other) for one, other in zip(first.rows, second.rows, strict=True))

    def test_it_refuses_more_clients_than_records(self, rule):
        with pytest.raises(ValueError, match="cannot be dealt out"):
            rule.partition(LABELS[:5], 6, 0, WRITERS[:5])


class TestIid:
    def test_sizes_differ_by_at_most_one(self):
        assert sorted(Iid().partition(LABELS, 7, 0).sizes.tolist()) == [142, 143, 143, 143, 143, 143, 143]

    def test_blocks_are_consecutive_when_they_are_not_shuffled(self):
        shares = Iid(shuffled=False).partition(LABELS, 10, 0)
        assert shares.rows[3].tolist() == list(range(300, 400))


class TestDirichlet:
    def test_a_small_beta_makes_clients_differ_and_a_large_one_does_not(self):
        def spread(beta):
            shares = Dirichlet(beta=beta).partition(LABELS, 10, 3)
            counts = np.array([np.bincount(LABELS[rows], minlength=10) / len(rows) for rows in shares.rows])
            return counts.std(axis=0).mean()

        assert spread(0.05) > 0.2 > 0.05 > spread(1000.0)

    def test_every_client_owns_the_least_even_at_the_smallest_beta(self):
        shares = Dirichlet(beta=1e-3, least=90, balanced=False).partition(LABELS, 10, 0)
        assert shares.sizes.min() >= 90
        assert np.array_equal(np.sort(np.concatenate(shares.rows)), np.arange(1000))

    def test_it_refuses_a_least_that_there_is_not(self):
        with pytest.raises(ValueError, match="not 101 for each of 10"):
            Dirichlet(least=101).partition(LABELS, 10, 0)

    def test_a_balanced_partition_gives_the_rich_no_further_classes(self):
        free = Dirichlet(beta=0.1, balanced=False).partition(LABELS, 10, 5).sizes
        balanced = Dirichlet(beta=0.1).partition(LABELS, 10, 5).sizes
        assert balanced.max() < free.max()


class TestFixedClasses:
    @pytest.mark.parametrize("classes", [1, 2, 3, 10])
    def test_every_client_owns_exactly_so_many(self, classes):
        assert [len(each) for each in classes_of(FixedClasses(classes).partition(LABELS, 10, 0))] == [classes] * 10

    def test_classes_that_nobody_owns_are_counted_as_unused(self):
        shares = FixedClasses(2).partition(LABELS, 3, 0)
        manifest = shares.manifest(LABELS[:, None], LABELS)
        assert len(set.union(*classes_of(shares))) == 6
        assert manifest["unused"] == 1000 - shares.sizes.sum() > 0

    def test_it_refuses_more_classes_than_there_are(self):
        with pytest.raises(ValueError, match="10 classes, not 11"):
            FixedClasses(11).partition(LABELS, 3, 0)

    def test_it_refuses_to_leave_a_client_without_records(self):
        with pytest.raises(ValueError, match="would own no record"):
            FixedClasses(1).partition(np.array([0, 1, 1, 1, 1]), 4, 0)


class TestPerWriter:
    def test_the_records_of_a_writer_stay_together(self):
        owners = [set(WRITERS[rows].tolist()) for rows in PerWriter().partition(LABELS, 10, 0, WRITERS).rows]
        assert sum(map(len, owners)) == len(set.union(*owners)) == 40

    def test_it_refuses_records_without_writers(self):
        with pytest.raises(ValueError, match="needs the writer"):
            PerWriter().partition(LABELS, 10, 0)

    def test_it_refuses_fewer_writers_than_clients(self):
        with pytest.raises(ValueError, match="40 writers"):
            PerWriter().partition(LABELS, 50, 0, WRITERS)


class TestManifest:
    def test_it_says_what_repeats_the_partition(self):
        shares = Dirichlet(beta=0.3, least=5).partition(LABELS, 4, 11)
        manifest = shares.manifest(LABELS[:, None], LABELS)
        again = partition.RULES["dirichlet"](**manifest["settings"]).partition(LABELS, 4, manifest["seed"])
        assert again.manifest(LABELS[:, None], LABELS) == manifest
        assert manifest["sizes"] == [sum(counts) for counts in manifest["classes"]]

    def test_its_hashes_change_with_the_data_and_with_the_seed(self):
        one, other = (Iid().partition(LABELS, 4, seed).manifest(LABELS[:, None], LABELS) for seed in (0, 1))
        assert one["sha256"]["shares"] != other["sha256"]["shares"]
        assert partition.digest(LABELS) != partition.digest(LABELS[::-1])
        assert partition.digest(LABELS) != partition.digest(LABELS.reshape(2, 500))
        assert partition.digest(LABELS.astype(">i8")) == partition.digest(LABELS.astype("<i8"))
