"""What can be chosen: attacks, networks, data, and the predecessor's scripts by name; loads no torch."""

from types import MappingProxyType

ATTACKS = MappingProxyType(
    {
        "analytic": "analytic:Analytic",
        "spear": "spear:Spear",
        "embedding": "embedding:EmbeddingInversion",
        "dlg": "dlg:Dlg",
        "idlg": "idlg:Idlg",
        "ig": "ig:InvertingGradients",
        "grad-inversion": "grad_inversion:GradInversion",
        "grnn": "grnn:Grnn",
        "ggl": "ggl:Ggl",
        "cpa": "cpa:CocktailParty",
        "rtf": "rtf:RobbingTheFed",
        "dlf": "dlf:Dlf",
    }
)
"""Module and class of each attack."""
TITLES = MappingProxyType(
    {
        "analytic": "Analytic inversion of the first layer",
        "spear": "SPEAR: exact batches",
        "embedding": "Exact embedding, then feature inversion",
        "dlg": "DLG",
        "idlg": "iDLG",
        "ig": "Inverting gradients",
        "grad-inversion": "GradInversion",
        "grnn": "GRNN",
        "ggl": "GGL: a generator as prior",
        "cpa": "Cocktail party",
        "rtf": "Robbing the Fed (malicious server)",
        "dlf": "Data leakage in federated averaging",
    }
)
"""How each attack reads in a form."""

MODELS = ("mlp", "fc2", "lenet", "lenet_relu", "lenet5", "cnn", "cnn3", "resnet18", "vgg16", "vgg16_small")
DATA = ("digits", "photographs")
DEFENCES = (
    *("none", "clipping", "gaussian-noise", "laplacian-noise", "top-k", "quantisation", "sign", "soteria"),
    *("augmentation", "local-steps", "larger-batch", "secure-aggregation", "dp-sgd"),
)

SCRIPTS: MappingProxyType[str, dict[str, object]] = MappingProxyType(
    {
        "dlg": {"attack": "dlg", "model": "cnn", "victims": 10, "records": 1, "local_epochs": 0},
        "idlg": {"attack": "idlg", "model": "cnn", "victims": 10, "records": 1, "local_epochs": 0},
        "ig_single": {
            "attack": "ig", "model": "cnn", "victims": 10, "records": 1, "local_epochs": 0, "variation": 1e-6,
        },
        "ig_weight": {
            "attack": "ig", "model": "cnn", "victims": 10, "records": 1, "local_epochs": 5, "learning_rate": 1e-4,
            "variation": 1e-6,
        },
        "ig_multi": {
            "attack": "ig", "model": "cnn", "victims": 1, "records": 10, "local_epochs": 5, "learning_rate": 1e-4,
            "variation": 1e-6,
        },
        "rtf": {"attack": "rtf", "model": "cnn", "victims": 1, "records": 64, "local_epochs": 0, "bins": 100},
        "ggl": {"attack": "ggl", "model": "resnet18", "victims": 10, "records": 1, "local_epochs": 0},
        "grnn": {"attack": "grnn", "model": "cnn", "victims": 10, "records": 4, "local_epochs": 0},
        "cpa": {"attack": "cpa", "model": "fc2", "victims": 1, "records": 50, "local_epochs": 0},
        "dlf": {
            "attack": "dlf", "model": "cnn3", "victims": 1, "records": 50, "local_epochs": 10, "local_batch": 10,
            "learning_rate": 0.004,
        },
    }
)  # fmt: skip
"""Settings of the published scripts by their names, as far as they differ between them."""

FEDERATED = MappingProxyType({"learning_rate": 0.1, "decay": 0.95, "local_epochs": 1, "beta": 0.5})
"""What the scripts of the federated mode have in common."""
