"""The federation: equal to clients trained one by one, averaged by hand; and what it keeps."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from app.defences.models.dp_sgd import DpSgd
from app.federated import Data, Dirichlet, FederatedTraining, FixedClasses, Iid, average, observe, run
from app.federated.private import PrivateLocal
from app.training import Stack, cross_entropy, epochs_of, perceptron, seeded


def data(n=90, shape=(6,), classes=3, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, *shape)).astype(np.float32)
    y = np.argmax(x.reshape(n, -1)[:, :classes], 1).astype(np.int64)
    return Data(x, y, x[:20], y[:20])


def dense():
    with seeded(1):
        return perceptron((6,), 3, (9,))


def normalised():
    # A bias before the normalisation has no gradient but rounding errors, which Adam makes as large as any other.
    with seeded(2):
        return nn.Sequential(
            nn.Conv2d(1, 3, 3, padding=1, bias=False), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 3)
        )


NETWORKS = {"perceptron": ((6,), dense), "batch normalisation": ((1, 4, 4), normalised)}
TRAININGS = {
    "sgd": FederatedTraining(rounds=2, epochs=2, batch=8, rate=0.1, momentum=0.7, weight_decay=1e-2, decay=0.5),
    "adam": FederatedTraining(rounds=2, epochs=2, batch=8, rate=0.01, optimiser="adam"),
    "whole shares": FederatedTraining(rounds=2, epochs=3, batch=0, rate=0.1, is_shuffled=False),
}


def one_by_one(model, partition, records, history):
    """The rounds of the history, trained with torch's own optimisers, one client after another."""
    training, server = history.training, copy.deepcopy(model)
    x, y = torch.from_numpy(records.x), torch.from_numpy(records.y)
    for seen in history.rounds:
        clients = []
        for client, seed in zip(seen.clients, seen.seeds, strict=True):
            own = copy.deepcopy(server).train()
            kind = torch.optim.Adam if training.optimiser == "adam" else torch.optim.SGD
            extra = {} if training.optimiser == "adam" else {"momentum": training.momentum}
            optimiser = kind(
                own.parameters(), training.rate_at(seen.number), weight_decay=training.weight_decay, **extra
            )
            largest = max(len(partition.rows[each]) for each in seen.clients)
            for epoch in epochs_of(partition.rows[client], training.recipe(seen.number, largest), int(seed)):
                for rows in epoch:
                    optimiser.zero_grad()
                    nn.functional.cross_entropy(own(x[rows]), y[rows]).backward()
                    optimiser.step()
            clients.append(own.state_dict())
        shares = seen.sizes / seen.sizes.sum()
        mean = {
            name: sum(float(share) * own[name] for share, own in zip(shares, clients, strict=True))
            for name in clients[0]
            if clients[0][name].is_floating_point()
        }
        server.load_state_dict({**server.state_dict(), **mean})
    return clients, server.state_dict()


@pytest.mark.parametrize("training", TRAININGS)
@pytest.mark.parametrize("network", NETWORKS)
class TestEquality:
    def test_clients_trained_together_are_as_trained_one_by_one(self, network, training):
        shape, make = NETWORKS[network]
        records, model = data(shape=shape), make()
        partition = Dirichlet(beta=0.5, least=4).partition(records.y, 5, 3)
        assert len(set(partition.sizes.tolist())) > 1
        history = run(model, partition, records, TRAININGS[training], np.random.default_rng(0))
        clients, server = one_by_one(model, partition, records, history)
        for name, tensor in history.final.tensors.items():
            if tensor.is_floating_point():
                assert torch.allclose(tensor[0], server[name], atol=2e-5), name
        for name, tensor in history.local.parameters.items():
            for place, own in enumerate(clients):
                assert torch.allclose(tensor[place], own[name], atol=2e-5), name


class TestHistory:
    def ran(self, **changes):
        records = data()
        training = FederatedTraining(**{"rounds": 3, "epochs": 1, "batch": 10, "rate": 0.2, **changes})
        partition = Iid().partition(records.y, 6, 0)
        return records, partition, run(dense(), partition, records, training, np.random.default_rng(4))

    def test_updates_lead_from_what_was_sent_to_what_was_averaged(self):
        _, _, history = self.ran()
        globals_ = [*(each.before for each in history.rounds[1:]), history.final]
        for seen, following in zip(history.rounds, globals_, strict=True):
            for name, update in seen.updates.items():
                mean = torch.tensordot(torch.tensor(seen.sizes / seen.sizes.sum()).float(), update, dims=1)
                assert torch.allclose(seen.before.parameters[name][0] - mean, following.parameters[name][0], atol=1e-6)

    def test_the_same_generator_gives_the_same_history(self):
        first, second = self.ran()[2], self.ran()[2]
        assert all(torch.equal(first.final.parameters[n], second.final.parameters[n]) for n in first.final.parameters)

    def test_the_model_given_stays_as_it_is(self):
        model, records = dense(), data()
        before = copy.deepcopy(model.state_dict())
        run(model, Iid().partition(records.y, 3, 0), records, FederatedTraining(rounds=1), np.random.default_rng(0))
        assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())

    def test_records_that_may_not_be_written_are_taken(self):
        records = data()
        for array in (records.x, records.y):
            array.setflags(write=False)
        partition = Iid().partition(records.y, 3, 0)
        assert run(dense(), partition, records, FederatedTraining(rounds=1), np.random.default_rng(0)).rounds

    def test_it_learns_and_says_so(self):
        _, _, history = self.ran(rounds=30, epochs=3)
        assert history.rounds[-1].accuracy > 0.9 > history.rounds[0].accuracy
        assert len(history.rounds[-1].local_accuracies) == 6

    def test_a_part_of_the_clients_can_take_part(self):
        _, _, history = self.ran(participation=0.5, rounds=8)
        assert all(len(seen.clients) == len(set(seen.clients.tolist())) == 3 for seen in history.rounds)
        assert {client for seen in history.rounds for client in seen.clients.tolist()} == set(range(6))
        absent = next(client for client in range(6) if client not in history.rounds[0].clients)
        with pytest.raises(ValueError, match="took no part in round 0"):
            history.rounds[0].update(absent)

    def test_only_what_is_wanted_is_kept(self):
        records = data()
        partition = Iid().partition(records.y, 6, 0)
        history = run(dense(), partition, records, FederatedTraining(rounds=2), np.random.default_rng(0),
                      keep=lambda seen: seen.only([4]))  # fmt: skip
        assert [len(seen.after) for seen in history.rounds] == [1, 1]
        assert history.rounds[0].clients.tolist() == [4]

    def test_clients_start_from_what_the_server_sends_and_it_averages_what_comes_back(self):
        records = data()
        partition = Iid().partition(records.y, 3, 0)
        asked = []

        def send(number, server):
            asked.append(number)
            if number == 0:
                return server
            moved = {name: tensor + 1.0 for name, tensor in server.parameters.items()}
            return Stack(server.template, moved, server.buffers)

        training = FederatedTraining(rounds=2, rate=0.0)
        history = run(dense(), partition, records, training, np.random.default_rng(0), send=send)

        assert asked == [0, 1]
        for name, tensor in history.rounds[0].before.parameters.items():
            assert torch.allclose(history.rounds[1].before.parameters[name], tensor + 1.0)
            assert torch.allclose(history.final.parameters[name], tensor + 1.0)

    def test_more_than_memory_holds_is_refused_unless_chosen(self):
        records = data(n=200)
        partition = Iid().partition(records.y, 100, 0)
        with pytest.raises(ValueError, match="would keep"):
            run(
                perceptron((6,), 3, (20_000,)),
                partition,
                records,
                FederatedTraining(rounds=100),
                np.random.default_rng(0),
            )

    def test_the_learning_rate_decays_by_round(self):
        _, _, history = self.ran(decay=0.5)
        assert [seen.rate for seen in history.rounds] == [0.2, 0.1, 0.05]


class TestAverage:
    def test_it_is_weighted_by_the_numbers_of_records(self):
        stack = Stack.fresh(lambda: perceptron((2,), 2, (3,)), 3, np.random.default_rng(0))
        found = average(stack, np.array([1, 2, 5]))
        for name, tensor in stack.parameters.items():
            assert torch.allclose(found.parameters[name][0], (tensor[0] + 2 * tensor[1] + 5 * tensor[2]) / 8, atol=1e-6)

    def test_running_statistics_are_averaged_and_counters_are_not(self):
        stack = Stack.of([normalised(), normalised()])
        stack.buffers["1.running_mean"][1] += 4.0
        stack.buffers["1.num_batches_tracked"] += 7
        found = average(stack, np.array([3, 1]))
        assert torch.allclose(found.buffers["1.running_mean"][0], torch.ones(3))
        assert found.buffers["1.num_batches_tracked"].tolist() == [7]


class TestObservation:
    def test_an_attacker_sees_the_update_and_how_it_was_made(self):
        records, model = data(), dense()
        training = FederatedTraining(rounds=2, epochs=1, batch=0, rate=0.3, decay=0.5, is_shuffled=False)
        partition = FixedClasses(1).partition(records.y, 3, 0)
        history = run(model, partition, records, training, np.random.default_rng(0))
        seen = observe(history.rounds[1], 2, training, model, (6,), 3)
        rows = partition.rows[2]
        weights = {name: tensor.clone().requires_grad_(True) for name, tensor in seen.parameters.items()}
        scores = torch.func.functional_call(model, weights, torch.from_numpy(records.x[rows]))
        slopes = torch.autograd.grad(cross_entropy(scores, torch.from_numpy(records.y[rows])), list(weights.values()))
        assert seen.records == len(rows)
        assert seen.training.rate(0) == 0.15
        steps = seen.training.steps(seen.records)
        for name, slope in zip(weights, slopes, strict=True):
            assert steps == 1 or len(rows) < max(partition.sizes)
            assert torch.allclose(seen.shared[name], 0.15 * slope, atol=1e-6)

    def test_adam_is_refused(self):
        records = data()
        training = FederatedTraining(rounds=1, optimiser="adam")
        history = run(dense(), Iid().partition(records.y, 2, 0), records, training, np.random.default_rng(0))
        with pytest.raises(ValueError, match="SGD only"):
            observe(history.rounds[0], 0, training, dense(), (6,), 3)


class TestPrivateLocal:
    def test_without_noise_and_clipping_it_is_nearly_the_usual_training(self):
        records = data()
        training = FederatedTraining(rounds=2, epochs=1, batch=0, rate=0.2, is_shuffled=False)
        partition = Iid().partition(records.y, 3, 0)
        local = PrivateLocal(DpSgd(clip=1e6, noise_multiplier=0.0))
        plain, private = (
            run(dense(), partition, records, training, np.random.default_rng(0), local=way) for way in (None, local)
        )
        for name, tensor in plain.final.parameters.items():
            assert torch.allclose(tensor, private.final.parameters[name], atol=1e-5)
