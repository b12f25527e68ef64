import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from app.training import Recipe, Stack, epochs_of, logits, optimiser, perceptron, small_cnn, train
from app.training.recipe import runs

SGD = Recipe(epochs=3, batch=16, rate=0.05, momentum=0.9, weight_decay=1e-3, decay=0.9)
PLAIN = Recipe(epochs=3, batch=16, rate=0.1, momentum=0.0, weight_decay=1e-2)
ADAM = Recipe(epochs=3, batch=16, rate=3e-3, optimiser="adam", weight_decay=1e-3)
UNEQUAL = (40, 64, 7, 33, 40)


def alone(module, x, y, rows, recipe, seed, loss=None):
    """The plain loop that everybody writes."""
    loss = loss or (lambda outputs, targets, epoch: functional.cross_entropy(outputs, targets))
    if recipe.optimiser == "adam":
        moving = torch.optim.Adam(module.parameters(), recipe.rate, weight_decay=recipe.weight_decay)
    else:
        moving = torch.optim.SGD(
            module.parameters(), recipe.rate, momentum=recipe.momentum, weight_decay=recipe.weight_decay
        )
    module.train()
    for epoch, batches in enumerate(epochs_of(rows, recipe, seed)):
        moving.param_groups[0]["lr"] = recipe.rate_at(epoch)
        for batch in batches:
            moving.zero_grad()
            loss(module(x[batch]), y[batch], epoch).backward()
            moving.step()
    return module.eval()


def both(make, data, recipe, sizes=UNEQUAL, loss=None, **options):
    """Logits of the stack and of the models trained alone, both (M, n, K)."""
    x, y = data
    rng = np.random.default_rng(3)
    rows = [rng.choice(len(x), size, replace=False) for size in sizes]
    fresh, seeds = Stack.seeded(make, range(len(sizes))), list(range(10, 10 + len(sizes)))
    given = {} if loss is None else {"loss": loss}
    together = train(fresh, x, y, rows, recipe, seeds, **given, **options)
    models = [alone(fresh.module(m), x, y, rows[m], recipe, seeds[m], loss) for m in range(len(sizes))]
    with torch.no_grad():
        single = torch.stack([model(x) for model in models])
    return logits(together, x), single


def smoothed(outputs, targets, epoch):
    return functional.cross_entropy(outputs, targets, label_smoothing=0.1 * (epoch % 2))


def normalised():
    return nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 4))


class TestTrain:
    @pytest.mark.parametrize("recipe", [SGD, PLAIN, ADAM], ids=["momentum", "plain", "adam"])
    def test_a_perceptron_learns_what_it_learns_alone(self, table, recipe):
        together, single = both(lambda: perceptron((12,), 4, (16, 8)), table, recipe)

        assert torch.allclose(together, single, atol=2e-5)

    @pytest.mark.parametrize("recipe", [SGD, PLAIN, ADAM], ids=["momentum", "plain", "adam"])
    def test_a_convolutional_network_learns_what_it_learns_alone(self, images, recipe):
        together, single = both(lambda: small_cnn((2, 8, 8), 4, 4), images, recipe, (40, 32, 7))

        assert torch.allclose(together, single, atol=5e-5)

    def test_batch_normalisation_sees_the_models_own_batch_only(self, images):
        together, single = both(normalised, images, SGD, (40, 32, 21))

        assert torch.allclose(together, single, atol=1e-4)

    @pytest.mark.parametrize("make", [lambda: perceptron((12,), 4), lambda: nn.Sequential(nn.Linear(12, 4), nn.Tanh())])
    def test_a_loss_of_ones_own_is_followed(self, table, make):
        together, single = both(make, table, SGD, loss=smoothed)

        assert torch.allclose(together, single, atol=2e-5)

    def test_soft_targets_are_learned(self, table):
        x, y = table
        soft = 0.8 * functional.one_hot(y, 4).float() + 0.05

        together, single = both(lambda: perceptron((12,), 4), (x, soft), SGD)

        assert torch.allclose(together, single, atol=2e-5)

    def test_incomplete_batches_can_be_left_out(self, table):
        recipe = Recipe(epochs=2, batch=16, rate=0.1, is_dropping=True)

        together, single = both(lambda: perceptron((12,), 4), table, recipe)

        assert torch.allclose(together, single, atol=2e-5)

    def test_blocks_change_nothing(self, table):
        ones, _ = both(lambda: perceptron((12,), 4), table, SGD, block=2)
        alls, _ = both(lambda: perceptron((12,), 4), table, SGD, block=5)

        assert torch.allclose(ones, alls, atol=1e-6)

    def test_the_given_stack_is_left_as_it_was(self, table, rng):
        x, y = table
        stack = Stack.seeded(lambda: perceptron((12,), 4), [1, 2])
        before = stack.copied()

        train(stack, x, y, [np.arange(20)] * 2, SGD, rng)

        assert all(torch.equal(stack.tensors[name], before.tensors[name]) for name in before.tensors)

    def test_dropout_is_drawn_from_the_seed_and_global_generators_stay(self, table):
        x, y = table
        stack = Stack.seeded(lambda: nn.Sequential(nn.Linear(12, 8), nn.Dropout(0.5), nn.Linear(8, 4)), [1, 2])
        before = torch.random.get_rng_state()

        one, same = (train(stack, x, y, [np.arange(40)] * 2, SGD, [5, 6]) for _ in range(2))

        assert torch.equal(logits(one, x), logits(same, x))
        assert torch.equal(torch.random.get_rng_state(), before)

    def test_progress_ends_at_one(self, table, rng):
        x, y = table
        told = []

        train(
            Stack.seeded(lambda: perceptron((12,), 4), range(3)),
            x,
            y,
            [np.arange(9)] * 3,
            SGD,
            rng,
            block=2,
            progress=told.append,
        )

        assert told == sorted(told)
        assert told[-1] == 1.0

    def test_tiny_numbers_are_zero_while_it_trains_and_are_kept_afterwards(self, table, rng):
        if not torch.set_flush_denormal(False):
            pytest.skip("this processor always keeps them")
        x, y = table
        seen = []

        def look(share):
            seen.append(float(torch.tensor(1e-30) * 1e-10))

        train(Stack.seeded(lambda: perceptron((12,), 4), [1]), x, y, [np.arange(20)], SGD, rng, progress=look)

        assert seen[0] == 0.0
        assert seen[-1] == float(torch.tensor(1e-30) * 1e-10) > 0.0

    def test_a_model_without_rows_is_refused(self, table, rng):
        x, y = table

        with pytest.raises(ValueError, match="needs rows"):
            train(Stack.seeded(lambda: perceptron((12,), 4), range(2)), x, y, [np.arange(3), np.arange(0)], SGD, rng)

    def test_long_runs_equal_the_plain_loop_but_for_rounding(self, table):
        x, y = table
        data, recipe = (x.double(), y), Recipe(epochs=80, batch=16, rate=0.05, momentum=0.9)

        together, single = both(lambda: perceptron((12,), 4, (16,)).double(), data, recipe, (40, 64))

        assert torch.allclose(together, single, atol=1e-9)

    @pytest.mark.parametrize("recipe", [SGD, PLAIN, ADAM], ids=["momentum", "plain", "adam"])
    def test_a_network_without_hidden_layers_learns_what_it_learns_alone(self, table, recipe):
        together, single = both(lambda: perceptron((12,), 4, ()), table, recipe)

        assert torch.allclose(together, single, atol=2e-5)


class TestRuns:
    @pytest.mark.parametrize("is_dropping", [False, True])
    @pytest.mark.parametrize("sizes", [(64, 40, 40, 33, 7), (32, 32), (5, 3), (16,)])
    def test_every_model_takes_its_own_batches_in_order(self, sizes, is_dropping):
        recipe = Recipe(epochs=1, batch=16, is_shuffled=False, is_dropping=is_dropping)
        orders = [np.arange(size) + 100 * model for model, size in enumerate(sizes)]

        taken = [[] for _ in sizes]
        for run in runs(orders, recipe):
            for rows in run.rows:
                for model, own in zip(range(len(sizes))[run.models], rows, strict=True):
                    taken[model].append(own.tolist())

        expected = [next(epochs_of(order, recipe, 0)) for order in orders]
        assert taken == [[batch.tolist() for batch in batches] for batches in expected]


class TestOptimiser:
    @pytest.mark.parametrize("recipe", [SGD, PLAIN, ADAM], ids=["momentum", "plain", "adam"])
    def test_a_product_moves_as_its_result_does(self, recipe, rng):
        left, right = (torch.from_numpy(rng.standard_normal(shape)) for shape in ((3, 4, 5), (3, 5, 2)))
        moved, expected = (optimiser({"w": torch.ones(3, 4, 2, dtype=torch.float64)}, recipe) for _ in range(2))

        for _ in range(3):
            part = moved.part(slice(1, 3))
            part.add_product("w", left[1:], right[1:], 0.5)
            part.end()
            expected.step({"w": 0.5 * (left @ right)[1:]}, slice(1, 3))

        assert torch.allclose(moved.parameters["w"], expected.parameters["w"], atol=1e-12)
        assert torch.equal(moved.parameters["w"][0], torch.ones(4, 2, dtype=torch.float64))
        assert not torch.allclose(moved.parameters["w"][1:], torch.ones(2, 4, 2, dtype=torch.float64))
