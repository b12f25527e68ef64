import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from app.defences.gradients import DEFENCES, Client, Steps
from app.defences.gradients.augmentation import Augmentation
from app.defences.gradients.client import norm, size, train
from app.defences.gradients.clipping import Clipping
from app.defences.gradients.dp_sgd import DpSgd
from app.defences.gradients.noise import GaussianNoise, LaplacianNoise
from app.defences.gradients.precode import Precode
from app.defences.gradients.quantisation import Quantisation, Sign
from app.defences.gradients.rules import LargerBatch, LocalSteps
from app.defences.gradients.secure_aggregation import ORDER, SecureAggregation
from app.defences.gradients.soteria import Soteria
from app.defences.gradients.sparsification import TopK
from app.defences.gradients.undefended import Undefended
from app.parameters import describe


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def client(records=6, steps=None, seed=0):
    numbers = generator(seed)
    network = nn.Sequential(nn.Flatten(), nn.Linear(36, 24), nn.ReLU(), nn.Linear(24, 16), nn.ReLU(), nn.Linear(16, 5))
    parameters = {
        name: 0.3 * torch.randn(values.shape, generator=numbers) for name, values in network.named_parameters()
    }
    inputs, labels = torch.rand(records, 1, 6, 6, generator=numbers), torch.arange(records) % 5
    return Client(network.requires_grad_(False), parameters, inputs, labels, steps)


def flat(shared):
    return torch.cat([values.flatten() for values in shared.values()])


def cosine(first, second):
    return float(nn.functional.cosine_similarity(flat(first), flat(second), dim=0))


def relative(first, second):
    return float(norm({name: first[name] - second[name] for name in second}) / norm(second))


UPDATE = Steps(epochs=2, batch=2, rate=0.05)
every_defence = pytest.mark.parametrize("slug", DEFENCES)
both_rules = pytest.mark.parametrize("steps", [None, UPDATE], ids=["gradient", "update"])


class TestEveryDefence:
    @every_defence
    @both_rules
    def test_the_same_generator_gives_the_same_numbers(self, slug, steps):
        first, second = (DEFENCES[slug]().protect_all([client(steps=steps)] * 2, generator(4)) for _ in range(2))

        assert all(torch.equal(a[name], b[name]) for a, b in zip(first, second, strict=True) for name in a)

    @every_defence
    @both_rules
    def test_it_is_finite_and_shaped_like_the_model(self, slug, steps):
        shared = DEFENCES[slug]().protect(client(steps=steps), generator())

        assert torch.isfinite(flat(shared)).all()
        if slug != "precode":
            assert {name: values.shape for name, values in shared.items()} == {
                name: values.shape for name, values in client().parameters.items()
            }

    @every_defence
    def test_it_writes_nothing_into_the_client(self, slug):
        given, before = client(steps=UPDATE), client(steps=UPDATE)

        DEFENCES[slug]().protect_all([given, client(seed=1)], generator())

        assert torch.equal(given.inputs, before.inputs)
        assert all(torch.equal(given.parameters[name], values) for name, values in before.parameters.items())
        assert not list(given.model.modules())[-1]._forward_pre_hooks

    @every_defence
    def test_it_names_its_source_and_explains_its_fields(self, slug):
        defence = DEFENCES[slug]

        assert defence.title
        assert any(year in defence.source for year in map(str, range(2010, 2026)))
        assert all(field.help for field in describe(defence))
        assert dataclasses.fields(defence) == () or defence.__dataclass_params__.frozen


class TestTrain:
    def test_a_gradient_is_that_of_autograd(self):
        given = client()
        leaves = {name: values.clone().requires_grad_(True) for name, values in given.parameters.items()}
        given.loss(leaves, given.inputs, given.labels).backward()

        shared = train(given, generator())

        assert all(torch.allclose(shared[name], leaves[name].grad) for name in leaves)

    def test_an_update_is_that_of_torch_s_own_sgd(self):
        given = client(steps=Steps(epochs=3, batch=4, rate=0.1))
        network = nn.Sequential(*[type(each)() if not isinstance(each, nn.Linear) else each for each in given.model])
        network.load_state_dict(dict(given.parameters))
        network.requires_grad_(True)
        optimiser = torch.optim.SGD(network.parameters(), 0.1)
        for rows in given.batches(generator(7)):
            optimiser.zero_grad()
            nn.functional.cross_entropy(network(given.inputs[rows]), given.labels[rows]).backward()
            optimiser.step()

        shared = train(given, generator(7))

        for name, values in network.named_parameters():
            assert torch.allclose(shared[name], given.parameters[name] - values, atol=1e-7)

    def test_every_pass_takes_every_record_once_in_its_own_order(self):
        rows = list(client(steps=Steps(epochs=2, batch=4)).batches(generator()))

        assert [len(each) for each in rows] == [4, 2, 4, 2]
        first, second = torch.cat(rows[:2]), torch.cat(rows[2:])
        assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(6))
        assert first.tolist() != second.tolist()

    def test_gradients_of_single_records_have_the_batch_s_as_their_mean(self):
        given = client()

        single = given.gradients(given.parameters, given.inputs, given.labels)

        assert relative({name: values.mean(0) for name, values in single.items()}, train(given, generator())) < 1e-6


class TestNoise:
    @pytest.mark.parametrize("defence", [GaussianNoise, LaplacianNoise])
    @pytest.mark.parametrize("strength", [0.1, 3.0])
    def test_its_length_is_a_share_of_the_gradient_s(self, defence, strength):
        truth = train(client(), generator())

        assert relative(defence(strength=strength).protect(client(), generator()), truth) == pytest.approx(
            strength, rel=0.1
        )

    def test_laplacian_noise_has_heavier_tails(self):
        zero = {"a": torch.ones(100_000)}
        kurtosis = []
        for defence in (GaussianNoise(), LaplacianNoise()):
            noise = defence.transform(zero, generator())["a"] - 1
            kurtosis.append(float((noise**4).mean() / (noise**2).mean() ** 2))

        assert kurtosis == pytest.approx([3.0, 6.0], rel=0.1)


class TestClipping:
    def test_it_shortens_what_is_long_and_keeps_its_direction(self):
        truth = train(client(), generator())
        clipped = Clipping(bound=0.01).protect(client(), generator())

        assert float(norm(clipped)) == pytest.approx(0.01)
        assert cosine(clipped, truth) == pytest.approx(1.0)
        assert relative(Clipping(bound=1e3).protect(client(), generator()), truth) == 0.0


class TestDpSgd:
    def test_without_noise_it_is_the_mean_of_clipped_gradients(self):
        given, bound = client(), 0.5
        single = given.gradients(given.parameters, given.inputs, given.labels)
        lengths = torch.stack([norm({name: values[row] for name, values in single.items()}) for row in range(6)])
        assert lengths.min() < bound < lengths.max() or lengths.min() > bound
        factors = (bound / lengths).clamp(max=1.0)

        shared = DpSgd(strength=0.0, bound=bound).protect(given, generator())

        expected = {name: torch.einsum("b,b...->...", factors, values) / 6 for name, values in single.items()}
        assert relative(shared, expected) < 1e-6

    def test_one_record_moves_the_sum_by_no_more_than_the_bound(self):
        given = client()
        fewer = given.with_records(given.inputs[1:], given.labels[1:])
        quiet = DpSgd(strength=0.0, bound=0.3)

        whole, part = quiet.protect(given, generator()), quiet.protect(fewer, generator())

        assert float(norm({name: 6 * whole[name] - 5 * part[name] for name in whole})) <= 0.3 + 1e-5

    def test_its_noise_is_a_multiple_of_the_bound(self):
        quiet, loud = (DpSgd(strength=s, bound=2.0).protect(client(), generator()) for s in (0.0, 1.5))

        deviation = (flat(loud) - flat(quiet)).std()

        assert float(deviation) == pytest.approx(1.5 * 2.0 / 6, rel=0.1)


class TestTopK:
    def test_it_keeps_the_largest_numbers_and_no_more(self):
        truth = train(client(), generator())

        shared = TopK(strength=0.9).protect(client(), generator())

        kept = flat(shared) != 0
        assert int(kept.sum()) == round(0.1 * size(truth))
        assert flat(truth).abs()[kept].min() >= flat(truth).abs()[~kept].max()
        assert torch.equal(flat(shared)[kept], flat(truth)[kept])

    def test_equal_numbers_do_not_let_more_through(self):
        assert int((TopK(strength=0.5).transform({"a": torch.ones(10)}, generator())["a"] != 0).sum()) == 5


class TestQuantisation:
    def test_a_layer_has_few_levels(self):
        shared = Quantisation(bits=3).protect(client(), generator())

        assert all(len(values.unique()) <= 7 for values in shared.values())

    def test_its_mean_over_many_draws_is_the_truth(self):
        given, numbers = {"a": torch.linspace(-1, 1, 11)}, generator()

        mean = torch.stack([Quantisation(bits=2).transform(given, numbers)["a"] for _ in range(4000)]).mean(0)

        assert torch.allclose(mean, given["a"], atol=0.05)

    def test_a_layer_of_zeros_stays_one(self):
        assert Quantisation().transform({"a": torch.zeros(4)}, generator())["a"].tolist() == [0.0] * 4


class TestSign:
    def test_a_layer_has_one_size(self):
        truth, shared = train(client(), generator()), Sign().protect(client(), generator())

        for name, values in shared.items():
            assert torch.equal(values.sign(), truth[name].sign())
            assert torch.allclose(values.abs()[values != 0], truth[name].abs().mean())


class TestSoteria:
    def test_it_prunes_columns_of_the_last_dense_layer_only(self):
        truth, shared = train(client(), generator()), Soteria(strength=0.5).protect(client(), generator())

        assert all(torch.equal(shared[name], truth[name]) for name in truth if name != "5.weight")
        pruned = (shared["5.weight"] == 0).all(dim=0)
        assert int(pruned.sum()) >= 8
        assert torch.equal(shared["5.weight"][:, ~pruned], truth["5.weight"][:, ~pruned])

    def test_it_prunes_the_features_that_tell_most(self):
        """A linear feature r = w x has slope w, so that |r| / |dr/dx| is how far x lies along w."""
        network = nn.Sequential(nn.Flatten(), nn.Linear(2, 3, bias=False), nn.Linear(3, 2, bias=False))
        parameters = {
            "1.weight": torch.tensor([[1.0, 0.0], [0.0, 10.0], [1.0, 1.0]]),
            "2.weight": torch.tensor([[1.0, -1.0, 2.0], [0.0, 1.0, -1.0]]),
        }
        given = Client(network.requires_grad_(False), parameters, torch.tensor([[3.0, 0.1]]), torch.tensor([0]))

        shared = Soteria(strength=0.34).protect(given, generator())

        assert (shared["2.weight"] == 0).all(dim=0).tolist() == [True, False, False]

    def test_it_needs_a_dense_layer(self):
        network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten()).requires_grad_(False)
        given = Client(network, dict(network.named_parameters()), torch.rand(1, 1, 3, 3), torch.tensor([0]))

        with pytest.raises(ValueError, match="dense"):
            Soteria().protect(given, generator())


class TestAugmentation:
    def test_it_is_the_gradient_over_images_and_turned_images(self):
        given = client()
        images = torch.cat([torch.rot90(given.inputs, turns, (2, 3)) for turns in range(4)])

        expected = train(given.with_records(images, given.labels.repeat(4)), generator())

        assert relative(Augmentation(strength=3).protect(given, generator()), expected) < 1e-6

    @pytest.mark.parametrize("kind", ["rotation", "shear"])
    def test_small_angles_change_little_and_large_ones_more(self, kind):
        truth = train(client(), generator())
        changes = [
            relative(Augmentation(strength=1, kind=kind, most=most).protect(client(), generator()), truth)
            for most in (1.0, 60.0)
        ]

        assert 0 < changes[0] < 0.2 * changes[1]

    def test_rotations_keep_the_middle_of_images_that_are_not_square(self):
        image = torch.zeros(1, 1, 5, 9)
        image[0, 0, 2, 4] = 1.0

        turned = Augmentation(kind="rotation")._copy(image, 0, generator())

        assert turned[0, 0, 2, 4] == pytest.approx(1.0)

    def test_rows_of_a_table_cannot_be_turned(self):
        given = client()
        with pytest.raises(ValueError, match="images"):
            Augmentation().protect(given.with_records(given.inputs.flatten(1), given.labels), generator())


class TestLocalSteps:
    def test_one_small_full_step_is_the_gradient(self):
        shared = LocalSteps(strength=1, batch=0, rate=1e-2).protect(client(), generator())

        assert relative(shared, train(client(), generator())) < 1e-4

    def test_more_steps_lead_further_from_the_gradient(self):
        truth = train(client(), generator())
        near, far = (cosine(LocalSteps(strength=n).protect(client(), generator()), truth) for n in (1, 40))

        assert 1.0 > near > far > 0.0


class TestLargerBatch:
    def test_a_group_shares_the_gradient_over_all_of_its_records(self):
        clients = [client(seed=seed) for seed in range(3)]
        clients = [dataclasses.replace(each, parameters=clients[0].parameters) for each in clients]

        shares = LargerBatch(strength=2).protect_all(clients, generator())

        alone = [train(each, generator()) for each in clients]
        mean = {name: (alone[0][name] + alone[1][name]) / 2 for name in alone[0]}
        assert relative(shares[0], mean) < 1e-5
        assert relative(shares[1], mean) < 1e-5
        assert relative(shares[2], alone[2]) < 1e-6


class TestSecureAggregation:
    def test_everybody_stands_for_the_mean(self):
        clients = [client(seed=seed) for seed in range(3)]
        alone = [train(each, generator()) for each in clients]

        shares = SecureAggregation().protect_all(clients, generator())

        mean = {name: torch.stack([share[name] for share in alone]).mean(0) for name in alone[0]}
        assert all(relative(share, mean) < 1e-4 for share in shares)

    def test_a_masked_share_looks_uniform_and_says_nothing(self):
        defence, share = SecureAggregation(), {"a": torch.full((20_000,), 0.25)}

        masked = defence.masked([share, {"a": -share["a"]}, share], generator())

        for each in masked:
            assert np.histogram(each["a"], bins=8, range=(0, ORDER))[0] == pytest.approx(2500, rel=0.1)
        assert torch.allclose(defence.opened(masked)["a"], share["a"], atol=1e-5)


class TestPrecode:
    def test_it_adds_a_bottleneck_and_keeps_the_other_layers(self):
        shared = Precode(width=7).protect(client(), generator())

        assert shared["bottleneck.encoder.weight"].shape == (14, 16)
        assert shared["body.1.weight"].shape == (24, 36)
        assert shared["head.weight"].shape == (5, 16)

    def test_its_draw_hides_the_gradient(self):
        first, second = (Precode().protect(client(), generator(seed)) for seed in (1, 2))

        assert cosine(first, second) < 0.99

    def test_the_divergence_is_part_of_the_loss(self):
        light, heavy = (Precode(strength=s).protect(client(), generator()) for s in (0.0, 1.0))

        assert relative(heavy, light) > 0.01

    def test_it_needs_a_sequence_that_ends_in_a_dense_layer(self):
        given = client()
        with pytest.raises(ValueError, match="sequence"):
            Precode().protect(dataclasses.replace(given, model=given.model[:-1]), generator())


class TestUndefended:
    def test_it_is_the_truth(self):
        assert relative(Undefended().protect(client(), generator()), train(client(), generator())) == 0.0
