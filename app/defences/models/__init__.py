"""Protections of trained models against membership inference: in training, in the loss, or in the answers.

The rule: a protection keeps the predicted class wherever it acts on answers, names its paper, and never claims a
privacy that no accountant has counted.
"""
