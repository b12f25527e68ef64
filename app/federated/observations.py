"""What an attacker in the server's place sees of one client in one round."""

from torch import nn

from app.attacks.gradients.base import LocalTraining, Observation
from app.federated.history import Round
from app.federated.training import FederatedTraining


def observe(
    seen: Round, client: int, training: FederatedTraining, model: nn.Module, input_shape: tuple[int, ...], classes: int
) -> Observation:
    """The update of one client in a round; `dataclasses.replace` adds what else the attacker knows.

    `model` is the architecture that the federation trains. Raises ValueError if the client took no part, or trained
    with Adam, whose steps no gradient attack follows.
    """
    if training.optimiser != "sgd":
        raise ValueError("gradient attacks follow the steps of SGD only")
    place = seen.place(client)
    return Observation(
        model=model,
        parameters={name: tensor[0] for name, tensor in seen.before.parameters.items()},
        shared=seen.update(client),
        records=int(seen.sizes[place]),
        input_shape=input_shape,
        classes=classes,
        training=LocalTraining(training.epochs, training.batch, (seen.rate,), training.momentum, training.weight_decay),
        buffers={name: buffer[0] for name, buffer in seen.before.buffers.items()},
        shared_buffers={name: buffer[place] for name, buffer in seen.after.buffers.items()},
    )
