"""The white-box attacker in a federation: what it tells of members, and that it tells nothing of other records."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from app.attacks.membership.white_box import WhiteBox
from app.experiments.federated_protection import samples, white_box
from app.experiments.federated_protection.choices import WHITE_BOX
from app.experiments.federated_protection.federation import Federation
from app.experiments.federated_protection.parameters import Parameters
from app.experiments.federated_protection.protections import plain, protected
from app.experiments.federated_protection.white_box import CLIENTS, GLOBAL, attacked, candidates
from app.record_sets import RecordSet, digits

CHOSEN = Parameters(clients=3, records=100, rounds=7, epochs=12, rate=0.1, momentum=0.9, p2_epochs=5)


def by_heart() -> RecordSet:
    """Digits with labels drawn at random, which can only be learnt by heart."""
    known = digits()
    return replace(known, y=np.random.default_rng(3).integers(0, 4, len(known.y)), classes=4)


@pytest.fixture(scope="module")
def federation():
    """Three clients that learn a hundred records each by heart."""
    records = by_heart()
    drawn = samples.draw(records, CHOSEN, np.random.default_rng(0))
    return Federation(records, drawn, CHOSEN, 0, "cpu")


@pytest.fixture(scope="module")
def found(federation):
    """What every form of the attack tells of the unprotected federation."""
    return white_box.white_box(federation, plain(federation), plain(attacked(federation)))


class TestMembersThatWereLearntByHeart:
    @pytest.mark.parametrize("name", WHITE_BOX)
    def test_they_are_told_from_what_the_clients_sent(self, found, name):
        assert found[name, CLIENTS].auc > 0.7
        assert found[name, CLIENTS].tpr[0].low > 0.1

    @pytest.mark.parametrize("name", WHITE_BOX)
    def test_they_are_told_from_the_averages(self, found, name):
        assert found[name, GLOBAL].auc > 0.6

    def test_who_sees_or_does_more_tells_no_less(self, found):
        for whose, last in ((CLIENTS, found["white-box", CLIENTS]), (GLOBAL, found["white-box", GLOBAL])):
            assert found["white-box-rounds", whose].auc > last.auc - 0.05
            assert found["white-box-active", whose].auc > last.auc - 0.05


class TestRecordsThatNobodyLearnt:
    def test_nothing_is_told_of_them(self, federation):
        sample = federation.sample
        count = len(sample.members)
        # Half of the new records take the places of the members, who alone were trained on.
        posing = replace(sample, members=sample.others[:count], others=sample.others[count:])
        asking = replace(federation, sample=posing)
        active = plain(replace(federation, send=attacked(asking).send))

        told = white_box.white_box(asking, plain(federation), active)

        assert len(told) == 2 * len(WHITE_BOX)
        for each in told.values():
            # Two standard deviations of a Mann-Whitney statistic of 150 against 150 are 0.067.
            assert each.auc == pytest.approx(0.5, abs=0.1)


class TestCandidates:
    def test_members_are_asked_about_beside_as_many_others_and_known_in_pairs(self, federation):
        asked = candidates(federation)
        half = len(asked.rows) // 2

        assert half == 300
        assert set(asked.rows[:half]) == set(federation.sample.members.tolist())
        assert set(asked.rows[half:]) <= set(federation.sample.others.tolist())
        assert np.array_equal(asked.is_known[:half], asked.is_known[half:])
        for client, rows in enumerate(federation.sample.shares.rows):
            mine = asked.rows[:half][asked.owners[:half] == client]
            assert set(mine) == set(federation.sample.members[rows].tolist())

    def test_evidence_on_the_clients_models_is_in_the_order_of_the_candidates(self, federation):
        asked, outcome = candidates(federation), plain(federation)

        evidence = white_box._evidence(federation, asked, outcome.seen[-2:], CLIENTS)

        place = 7
        record = torch.tensor(federation.records.x[asked.rows[place]])[None]
        client, label = int(asked.owners[place]), int(federation.records.y[asked.rows[place]])
        for observation, seen in enumerate(outcome.seen[-2:]):
            scores = seen.clients.forward(seen.clients.weights(client), record)
            expected = -float(scores.log_softmax(-1)[0, label])
            assert float(evidence.losses[place, observation]) == pytest.approx(expected, abs=1e-4)
        assert int(evidence.labels[place].argmax()) == label


class TestAttackedFederation:
    def test_only_the_last_rounds_are_meddled_with(self, federation):
        honest, meddled = plain(federation), plain(attacked(federation))
        name = next(iter(honest.final.parameters))
        is_same = [
            torch.equal(before.server.parameters[name], after.server.parameters[name])
            for before, after in zip(honest.seen, meddled.seen, strict=True)
        ]
        assert is_same == [True] * 2 + [False] * white_box.SEVERAL

    def test_a_post_protection_comes_after_all_rounds_that_were_seen(self, federation):
        chosen = replace(federation, parameters=replace(CHOSEN, protection="p2-distilled"))
        outcome, before = protected(chosen), plain(federation)
        assert len(outcome.seen) == len(before.seen) + 1
        for name, tensor in before.final.parameters.items():
            assert torch.equal(outcome.seen[-2].server.parameters[name], tensor)
            assert not torch.equal(outcome.final.parameters[name], tensor)

    def test_what_several_rounds_told_is_not_hidden_by_a_protection_that_comes_afterwards(self, federation):
        chosen = replace(federation, parameters=replace(CHOSEN, protection="p2-distilled"))
        told = white_box.white_box(chosen, protected(chosen))
        assert told["white-box-rounds", CLIENTS].auc > told["white-box", CLIENTS].auc + 0.1


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """A smaller attack network learns as much of so few records."""
    monkeypatch.setattr(white_box, "ATTACKER", ATTACKER)


ATTACKER = WhiteBox(epochs=15, kernels=4)
