#!/usr/bin/env python3
"""A first model to build on: train it on your secret training set and export it to ONNX.

    python3 train.py                              writes my_defence.onnx: accurate, and it gives its records away

Run it where training_set.npz, population.npz and about.json of your round are. Needs torch, numpy and onnx.
"""

import torch
from network import classes, new_network, parser, records, report_and_export, train


def main() -> None:
    """Train without protection and export."""
    options = parser(__doc__).parse_args()
    torch.manual_seed(options.seed)
    x, y = records(options.folder / "training_set.npz")
    network = new_network(tuple(x.shape[1:]), classes(options.folder), options.width)
    report_and_export(train(network, x, y, options.epochs), options)


if __name__ == "__main__":
    main()
