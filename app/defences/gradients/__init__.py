"""Protections of what a federated client shares.

The rule: a defence is a frozen dataclass that takes a `Client` and a torch generator and gives a gradient or an update;
the same generator state gives the same numbers, and nothing is written into the client. Where one number says how
strong a defence is, the field is called `strength`.
"""

from app.defences.gradients.augmentation import Augmentation
from app.defences.gradients.base import GradientDefence
from app.defences.gradients.client import Client, Shared, Steps
from app.defences.gradients.clipping import Clipping
from app.defences.gradients.dp_sgd import DpSgd
from app.defences.gradients.noise import GaussianNoise, LaplacianNoise
from app.defences.gradients.precode import Precode
from app.defences.gradients.quantisation import Quantisation, Sign
from app.defences.gradients.rules import LargerBatch, LocalSteps
from app.defences.gradients.secure_aggregation import SecureAggregation
from app.defences.gradients.soteria import Soteria
from app.defences.gradients.sparsification import TopK
from app.defences.gradients.undefended import Undefended

__all__ = ["DEFENCES", "Client", "GradientDefence", "Shared", "Steps"]

DEFENCES: dict[str, type[GradientDefence]] = {
    "undefended": Undefended,
    "clipping": Clipping,
    "gaussian-noise": GaussianNoise,
    "laplacian-noise": LaplacianNoise,
    "top-k": TopK,
    "quantisation": Quantisation,
    "sign": Sign,
    "soteria": Soteria,
    "precode": Precode,
    "augmentation": Augmentation,
    "local-steps": LocalSteps,
    "larger-batch": LargerBatch,
    "secure-aggregation": SecureAggregation,
    "dp-sgd": DpSgd,
}
"""The protections by slug."""
