"""The fast path: perceptrons that are trained together, in memory that is laid out for it."""

import torch
from torch import Tensor
from torch.func import vmap

from app.training.losses import Loss, cross_entropy
from app.training.multilayer import Multilayer
from app.training.optimisers import optimiser
from app.training.recipe import Recipe, Run
from app.training.stack import Stack, Weights

FIRST = "first"
_of_relu = torch.ops.aten.threshold_backward.grad_input
"""ReLU's own backward pass, which can work in place."""


def table(x: Tensor) -> Tensor:
    """(n, d + 1): records (n, ...) as rows, each followed by a 1, so that biases of the first layer are weights too."""
    return torch.cat([x.flatten(1), x.new_ones(len(x), 1)], dim=1)


class Perceptrons:
    """M models that take their steps together, without autograd and without allocating what a step can reuse.

    The first layer is kept as (M, in + 1, out), its bias in the last row: no matrix product of the largest layer has
    to turn anything round. The last layer's answers are kept as (M, classes, batch), which makes a softmax over few
    classes several times as fast.
    """

    def __init__(self, shape: Multilayer, stack: Stack, recipe: Recipe) -> None:
        """Begin with the weights of the stack, which are copied."""
        self.shape = shape
        (weight, bias), *self.others = shape.layers
        first = torch.cat([stack.parameters[weight].transpose(1, 2), stack.parameters[bias][:, None]], dim=1)
        others = {weight: stack.parameters[weight].clone() for weight, _ in self.others}
        # As a column that is added to every record of a batch.
        biases = {bias: stack.parameters[bias][:, :, None].clone() for _, bias in self.others}
        self.optimiser = optimiser({FIRST: first, **others, **biases}, recipe)
        self._steps: dict[tuple[int, int, int], _Step] = {}

    @property
    def parameters(self) -> Weights:
        """The weights as a stack keeps them."""
        own, ((weight, bias), *others) = self.optimiser.parameters, self.shape.layers
        first = own[FIRST]
        found = {weight: first[:, :-1].transpose(1, 2), bias: first[:, -1]}
        return {**found, **{w: own[w] for w, _ in others}, **{b: own[b][:, :, 0] for _, b in others}}

    def run(self, run: Run, rows: Tensor, y: Tensor, loss: Loss, epoch: int) -> None:
        """The steps of a run on records that are rows of `rows` (n, d + 1) with targets `y` (n, ...)."""
        steps, _, batch = run.rows.shape
        key = (run.models.start, run.models.stop, batch)
        if key not in self._steps:
            self._steps[key] = _Step(self, run.models, batch)
        step = self._steps[key]
        step.optimiser.rate = self.optimiser.rate
        places = torch.from_numpy(run.rows.reshape(steps, -1)).to(rows.device)
        targets = y.index_select(0, places.view(-1)).view(*run.rows.shape, *y.shape[1:])
        for at in range(steps):
            step.take(rows, places[at], targets[at], loss, epoch)


class _Step:
    """The step of some neighbouring models on batches of one size: views of weights, and room for what is between.

    Names with a `_t` are transposed.
    """

    def __init__(self, whole: Perceptrons, models: slice, batch: int) -> None:
        self.optimiser = whole.optimiser.part(models)
        own = self.optimiser.parameters
        self.first = own[FIRST]
        self.names = whole.others
        self.weights = [own[weight] for weight, _ in self.names]
        self.biases = [own[bias] for _, bias in self.names]
        k, inputs, width = self.first.shape
        self.share = 1.0 / batch
        self.rows = self.first.new_empty(k * batch, inputs)
        self.x = self.rows.view(k, batch, inputs)
        self.x_t = self.x.transpose(1, 2)
        widths = [width, *[weight.shape[1] for weight in self.weights]]
        self.outputs = [self.first.new_empty(k, batch, width) for width in widths[:-1]]
        self.slopes = [torch.empty_like(output) for output in self.outputs]
        self.logits = self.first.new_empty(k, widths[-1], batch)
        self.ones, self.minus = self.first.new_ones(k, batch, 1), self.first.new_full((k, 1, batch), -1.0)

    def take(self, rows: Tensor, places: Tensor, targets: Tensor, loss: Loss, epoch: int) -> None:
        """Step on the records at `places` (models x batch,) with targets (models, batch, ...)."""
        torch.index_select(rows, 0, places, out=self.rows)
        logits = self._logits()
        if loss is cross_entropy and not targets.is_floating_point():
            slope = torch.softmax(logits, 1).scatter_add_(1, targets[:, None], self.minus)
            self._descend(slope, self.share)
        else:
            self._descend(_slope(logits.transpose(1, 2), targets, loss, epoch).transpose(1, 2), 1.0)

    def _logits(self) -> Tensor:
        """(k, classes, batch): the answers; what the layers before the last give is kept."""
        if not self.outputs:
            return torch.bmm(self.first.transpose(1, 2), self.x_t, out=self.logits)
        torch.bmm(self.x, self.first, out=self.outputs[0]).relu_()
        inner = zip(self.weights[:-1], self.biases[:-1], self.outputs, self.outputs[1:], strict=False)
        for weight, bias, taken, given in inner:
            torch.baddbmm(bias.transpose(1, 2), taken, weight.transpose(1, 2), out=given).relu_()
        return torch.baddbmm(self.biases[-1], self.weights[-1], self.outputs[-1].transpose(1, 2), out=self.logits)

    def _descend(self, slope: Tensor, share: float) -> None:
        """Backwards from the slopes (k, classes, batch) of the loss by the logits, and the optimiser's step."""
        given, given_t, optimiser = slope, slope.transpose(1, 2), self.optimiser
        for layer in range(len(self.names) - 1, -1, -1):
            (weight, bias), taken, before = self.names[layer], self.outputs[layer], self.slopes[layer]
            torch.bmm(given_t, self.weights[layer], out=before)
            optimiser.add_product(weight, given, taken, share)
            optimiser.add_product(bias, given, self.ones, share)
            _of_relu(before, taken, 0.0, grad_input=before)
            given, given_t = before.transpose(1, 2), before
        optimiser.add_product(FIRST, self.x_t, given_t, share)
        optimiser.end()


def _slope(logits: Tensor, targets: Tensor, loss: Loss, epoch: int) -> Tensor:
    """The slopes (k, B, K) of the models' losses by their logits; only this much is left to autograd."""
    leaf = logits.detach().requires_grad_(True)
    with torch.enable_grad():
        losses = vmap(lambda one, own: loss(one, own, epoch))(leaf, targets)
        return torch.autograd.grad(losses.sum(), leaf)[0]
