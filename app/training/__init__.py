"""Training many small networks at once.

The rule: a network is a template module plus named tensors with a leading axis of models; nothing here keeps state in
a module, so a template is never changed, and training M models together gives what training each alone would give.
"""

from app.training.architectures import default_network, perceptron, small_cnn
from app.training.gradients import gradient_norms, per_sample_gradients
from app.training.inference import log_probabilities, logits
from app.training.loop import train
from app.training.losses import Loss, cross_entropy
from app.training.optimisers import Optimiser, optimiser
from app.training.recipe import Recipe, epochs_of
from app.training.stack import Stack, seeded

__all__ = [
    "Loss",
    "Optimiser",
    "Recipe",
    "Stack",
    "cross_entropy",
    "default_network",
    "epochs_of",
    "gradient_norms",
    "log_probabilities",
    "logits",
    "optimiser",
    "per_sample_gradients",
    "perceptron",
    "seeded",
    "small_cnn",
    "train",
]
