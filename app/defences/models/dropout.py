"""Dropout: networks that learn with a part of their values missing."""

import copy

from torch import nn

SOURCE = (
    "Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov, 2014, JMLR, section 4, scaled while training; as a "
    "protection: Salem et al., 2019, NDSS, section VI-A."
)


def with_dropout(model: nn.Module, rate: float) -> nn.Module:
    """A copy of the model with dropout after every activation; the names of its weights stay the same.

    `rate` in [0, 1) is the share of zeros. `app.training` draws the masks from the seeds of the models.
    """
    if not 0.0 <= rate < 1.0:
        raise ValueError(f"a dropout of {rate} is not in [0, 1)")
    changed = copy.deepcopy(model)
    for module in list(changed.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.ReLU | nn.Sigmoid | nn.Tanh):
                setattr(module, name, nn.Sequential(child, nn.Dropout(rate)))
    return changed
