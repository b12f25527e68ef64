#!/usr/bin/env python3
"""Adversarial training: attack every batch before it is learnt, then export to ONNX.

    python3 harden.py                             against changes of up to 0.15 of every pixel
    python3 harden.py --norm l2 --epsilon 1       against changes of Euclidean length 1

Takes the options of train.py as well. Needs torch, scikit-learn and numpy, nothing of the platform.
"""

from pgd import pgd
from torch import Tensor, nn
from train import accuracy, four_fifths, parser, report_and_export, train


def main() -> None:
    """Train with protection, report, export."""
    parsing = parser(__doc__)
    parsing.add_argument("--norm", choices=("linf", "l2"), default="linf", help="NORM of the round")
    parsing.add_argument("--epsilon", type=float, default=0.15, help="EPSILON of the round, or more (default 0.15)")
    parsing.add_argument("--steps", type=int, default=5, help="steps of the training attack (default 5)")
    options = parsing.parse_args()

    def attacked(network: nn.Module, x: Tensor, y: Tensor, done: float) -> Tensor:
        # A large ball from the start is not learnt at all, so it grows during the first half.
        return pgd(network, x, y, options.norm, options.epsilon * min(1.0, 2 * done), options.steps)

    network = train(options, attacked)
    _, (x, y) = four_fifths(options)
    robust = accuracy(network, pgd(network, x, y, options.norm, options.epsilon, 50), y)
    print(f"robust accuracy within {options.epsilon:g} ({options.norm}): {robust:.3f}")
    report_and_export(network, options)


if __name__ == "__main__":
    main()
