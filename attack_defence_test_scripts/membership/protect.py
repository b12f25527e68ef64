#!/usr/bin/env python3
"""Train so that members look like strangers, and export to ONNX.

    python3 protect.py dp-sgd --epsilon 8         differentially private training (needs opacus)
    python3 protect.py relaxloss --alpha 0.8      hold the loss at the level that strangers have
    python3 protect.py p2 --epsilon 0.1           train as usual, then poison the predictions a little
    python3 protect.py early-stopping --epochs 10

Takes the options of train.py as well. Needs torch, numpy and onnx, nothing of the platform.
"""

import argparse
import warnings

import torch
from network import classes, cross_entropy, new_network, parser, records, report_and_export, train
from torch import Tensor, nn
from torch.nn import functional


def main() -> None:
    """Train with one protection, report, export."""
    parsing = parser(__doc__)
    parsing.add_argument("method", choices=METHODS)
    parsing.add_argument("--epsilon", type=float, help="dp-sgd: the privacy budget (8); p2: change of confidence (0.1)")
    parsing.add_argument("--alpha", type=float, default=0.8, help="relaxloss: the loss that is aimed at (default 0.8)")
    options = parsing.parse_args()
    torch.manual_seed(options.seed)
    x, y = records(options.folder / "training_set.npz")
    network = new_network(tuple(x.shape[1:]), classes(options.folder), options.width)
    report_and_export(METHODS[options.method](network, x, y, options), options)


def early_stopping(network: nn.Sequential, x: Tensor, y: Tensor, options: argparse.Namespace) -> nn.Module:
    """Stop before the network knows its records by heart: choose few --epochs."""
    return train(network, x, y, min(options.epochs, 10))


def relaxloss(network: nn.Sequential, x: Tensor, y: Tensor, options: argparse.Namespace) -> nn.Module:
    """RelaxLoss (Chen, Yu and Fritz, 2022): climb where the loss is below alpha, and flatten the wrong classes."""

    def loss(logits: Tensor, labels: Tensor, epoch: int) -> Tensor:
        entropy = cross_entropy(logits, labels, epoch)
        if epoch % 2 == 0:
            return (entropy - options.alpha).abs()
        if entropy > options.alpha:
            return entropy
        own = logits.detach().softmax(1).gather(1, labels[:, None])
        flat = ((1 - own) / (logits.shape[1] - 1)).expand_as(logits).scatter(1, labels[:, None], own)
        return functional.cross_entropy(logits, flat)

    return train(network, x, y, options.epochs, loss)


def dp_sgd(network: nn.Sequential, x: Tensor, y: Tensor, options: argparse.Namespace) -> nn.Module:
    """DP-SGD (Abadi et al., 2016) by opacus: every record's gradient is clipped, and noise hides what is left of it."""
    with warnings.catch_warnings():
        # Opacus recommends its slow generator of random numbers; for a game the fast one will do.
        warnings.simplefilter("ignore")
        from opacus import PrivacyEngine

        loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=max(32, len(x) // 4))
        optimiser = torch.optim.SGD(network.parameters(), 0.5)
        engine = PrivacyEngine()
        private, optimiser, loader = engine.make_private_with_epsilon(
            module=network.train(),
            optimizer=optimiser,
            data_loader=loader,
            target_epsilon=options.epsilon or 8.0,
            target_delta=1.0 / len(x),
            epochs=options.epochs,
            max_grad_norm=1.0,
        )
        for _ in range(options.epochs):
            for rows, labels in loader:
                optimiser.zero_grad()
                functional.cross_entropy(private(rows), labels).backward()
                optimiser.step()
        print(f"epsilon {engine.get_epsilon(1.0 / len(x)):.2f} at delta 1/{len(x)}")
    # The wrapper's hooks keep the gradients of single records, which are not wanted any more.
    plain = new_network(tuple(x.shape[1:]), network[-1].out_features, network[1].out_features)
    plain.load_state_dict({name.removeprefix("_module."): value for name, value in private.state_dict().items()})
    return plain.eval()


def p2(network: nn.Sequential, x: Tensor, y: Tensor, options: argparse.Namespace) -> nn.Module:
    """P2, the additional round: learn predictions that are moved, a little, towards the opposite gradient.

    The label of each prediction stays, and its confidence moves by epsilon at most. Measure whether it helps: on some
    models the members become easier to find.
    """
    train(network, x, y, options.epochs)
    with torch.no_grad():
        wanted = poisoned(network(x).softmax(1), y, options.epsilon or 0.1)
    optimiser = torch.optim.Adam(network.parameters(), 3e-4)
    for _ in range(options.epochs):
        for rows in torch.randperm(len(x)).split(32):
            optimiser.zero_grad()
            (network(x[rows]).softmax(1) - wanted[rows]).norm(dim=1).mean().backward()
            optimiser.step()
    return network.eval()


def poisoned(probabilities: Tensor, y: Tensor, epsilon: float) -> Tensor:
    """The predictions (n, classes), moved as far as label and confidence allow (bisection, all records at once)."""
    # The gradient by the last layer is (p - e_j) times the same activations for every class j.
    errors = probabilities[:, None, :] - torch.eye(probabilities.shape[1])
    own = errors[torch.arange(len(y)), y][:, None, :]
    aim = functional.one_hot(functional.cosine_similarity(errors, own, dim=2).argmin(1), probabilities.shape[1])
    low, high = torch.zeros(len(y), 1), torch.ones(len(y), 1)
    for _ in range(14):
        middle = (low + high) / 2
        moved = (1 - middle) * probabilities + middle * aim
        is_near = (moved.amax(1) - probabilities.amax(1)).abs() <= epsilon
        is_good = (is_near & (moved.argmax(1) == probabilities.argmax(1)))[:, None]
        low, high = torch.where(is_good, middle, low), torch.where(is_good, high, middle)
    return (1 - low) * probabilities + low * aim


METHODS = {"dp-sgd": dp_sgd, "relaxloss": relaxloss, "p2": p2, "early-stopping": early_stopping}


if __name__ == "__main__":
    main()
