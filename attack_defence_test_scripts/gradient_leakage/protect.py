#!/usr/bin/env python3
"""Protections to build on: noise, pruning, and clipping each record with noise on top.

    python3 protect.py noise --strength 0.5       noise half as long as the gradient
    python3 protect.py top-k --strength 0.95      drop 95 % of the numbers
    python3 protect.py dp-sgd --strength 0.01     clip every record's gradient to 1, noise of this deviation

Prints the cosine to the true gradients, which is close to what the referee measures (see the rules page for what it
subtracts first), and writes my_defence.npz.
"""

import torch
from client import Update, build, gradient, parser, read_records, read_rules, read_weights, share, write
from torch import Tensor, nn

DEFENCES = ("noise", "top-k", "dp-sgd")


def main() -> None:
    """Protect every batch, report, write."""
    parsing = parser(__doc__)
    parsing.add_argument("defence", choices=DEFENCES)
    parsing.add_argument("--strength", type=float, required=True, help="see above")
    parsing.add_argument("--seed", type=int, default=0, help="of the noise; keep it to yourself (default 0)")
    options = parsing.parse_args()
    torch.manual_seed(options.seed)
    rules, weights = read_rules(options.folder / "rules.json"), read_weights(options.folder / "weights.npz")
    inputs, labels = read_records(options.folder / "private.npz")
    network = build(rules)
    batches = list(zip(inputs, labels, strict=True))
    true = [share(network, weights, x, y, rules) for x, y in batches]
    if options.defence == "dp-sgd":
        protected = [private(network, weights, x, y, rules, options.strength) for x, y in batches]
    else:
        change = noisy if options.defence == "noise" else sparse
        protected = [change(update, options.strength) for update in true]
    mean = torch.stack([cosine(*pair) for pair in zip(protected, true, strict=True)]).mean()
    print(f"mean cosine to the truth: {mean:.3f}")
    write(protected, options.output)


def noisy(update: Update, strength: float) -> Update:
    """Normal noise whose length is a share of the update's length."""
    values = flat(update)
    deviation = strength * values.norm() / values.numel() ** 0.5
    return {name: part + deviation * torch.randn_like(part) for name, part in update.items()}


def sparse(update: Update, strength: float) -> Update:
    """The largest numbers only."""
    sizes = flat(update).abs()
    least = sizes.kthvalue(max(1, round(strength * len(sizes)))).values
    return {name: part * (part.abs() > least) for name, part in update.items()}


def private(network: nn.Module, weights: Update, x: Tensor, y: Tensor, rules: dict, strength: float) -> Update:
    """The mean of gradients that are clipped to length 1, with noise on their sum (Abadi et al., 2016).

    For rounds in which gradients are shared; local steps are left to you.
    """
    total = {name: strength * torch.randn_like(part) for name, part in weights.items()}
    for row in range(len(y)):
        single = gradient(network, weights, x[row : row + 1], y[row : row + 1])
        factor = 1.0 / flat(single).norm().clamp_min(1.0)
        total = {name: part + factor * single[name] for name, part in total.items()}
    scale = 1.0 if rules["shared"] == "gradient" else rules["learning_rate"] * rules["local_epochs"]
    return {name: scale * part / len(y) for name, part in total.items()}


def cosine(first: Update, second: Update) -> Tensor:
    """The cosine of the angle between two updates."""
    return torch.nn.functional.cosine_similarity(flat(first), flat(second), dim=0)


def flat(update: Update) -> Tensor:
    """All numbers in one row."""
    return torch.cat([part.flatten() for part in update.values()])


if __name__ == "__main__":
    main()
