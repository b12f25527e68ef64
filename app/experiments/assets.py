"""The kinds of files that experiments work on, and how a stranger's file of each kind is checked."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

MANY = 200
"""The most entries of a list among the facts."""
PREVIEW = 5
"""Sentences of a corpus among the facts."""


def _model(path: Path) -> dict[str, Any]:
    """What an ONNX classifier takes and gives."""
    from app import onnx_models  # Loads torch, which only the workers' children should.

    model = onnx_models.load(path)
    return {
        "input_shape": list(model.input_shape),
        "output_shape": list(model.output_shape),
        "parameters": model.parameters_count,
        "operators": dict(sorted(model.operators.items())),
        "opset": model.opset,
        "ends_with_softmax": model.ends_with_softmax,
        "is_quantised": model.is_quantised,
        "operations": model.row_operations,
        "warnings": _warnings(model),
    }


def _warnings(model: Any) -> list[str]:
    """What its owner should know before the model is attacked."""
    found = []
    if len(model.output_shape) != 2:
        found.append(f"A classifier gives one row of logits for each input; this model gives {model.output_shape}.")
    if model.ends_with_softmax:
        found.append("The model ends with a softmax. Attacks use what goes into it, so that gradients do not vanish.")
    if model.is_quantised:
        found.append("The model is quantised: its gradients are estimates, and attacks that need none matter more.")
    if model.rows.name == "APART":
        found.append("The model takes a fixed number of inputs at a time, which makes evaluations slow.")
    return found


def _dataset(path: Path) -> dict[str, Any]:
    """What a set of labelled images holds."""
    import numpy as np

    from app import image_sets

    images = image_sets.read(path)
    counts = np.bincount(images.labels, minlength=images.classes)
    return {
        "n": len(images),
        "shape": list(images.samples.shape[1:]),
        "layout": images.layout,
        "classes": images.classes,
        "class_names": list(images.class_names[:MANY]),
        "class_counts": counts[:MANY].tolist(),
        "range": [images.low, images.high],
        "dtype": images.original_dtype,
    }


def _table(path: Path) -> dict[str, Any]:
    """What a table of labelled records holds."""
    return _records("table", path)


def _sentences(path: Path) -> dict[str, Any]:
    """What a text of one sentence per line holds."""
    return _records("sentences", path)


def _records(kind: str, path: Path) -> dict[str, Any]:
    import numpy as np

    from app import record_sets

    found = record_sets.read(kind, path)
    counts = [] if found.is_text else np.bincount(found.y, minlength=found.classes)[:MANY].tolist()
    return {
        "n": len(found),
        "shape": list(found.shape),
        "words" if found.is_text else "classes": found.classes,
        "class_names": list(found.class_names[:MANY]),
        "class_counts": counts,
        "feature_names": list(found.feature_names[:MANY]),
    }


def _corpus(path: Path) -> dict[str, Any]:
    """What a text for a language model holds."""
    from app.language import corpora

    corpus = corpora.read(path)
    return {
        "n": len(corpus),
        "distinct": len(corpus.distinct),
        "words": len({word for key in corpus.keys for word in key}),
        "source": corpus.source,
        "digest": corpus.digest,
        "preview": list(corpus.sentences[:PREVIEW]),
    }


def _checkpoint(path: Path) -> dict[str, Any]:
    """How a trained language model came about."""
    from app.language import checkpoints

    checkpoint = checkpoints.read(path)
    manifest = checkpoint.manifest
    return {
        "corpus": manifest.corpus,
        "split": manifest.way,
        "members": len(manifest.members),
        "others": len(manifest.others),
        "words": len(checkpoint.vocabulary),
        "loss": checkpoint.losses[-1] if checkpoint.losses else None,
        "seed": manifest.seed,
        **vars(manifest.recipe),
        "versions": dict(manifest.versions),
    }


KINDS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "model": _model,
    "dataset": _dataset,
    "table": _table,
    "sentences": _sentences,
    "corpus": _corpus,
    "checkpoint": _checkpoint,
}
"""Kind -> a function that reads the file, raises InvalidUpload with every reason, and says what it holds."""

SUFFIXES: dict[str, tuple[str, ...]] = {
    "model": (".onnx",),
    "dataset": (".h5", ".hdf5", ".npz"),
    "table": (".csv", ".npz"),
    "sentences": (".txt",),
    "corpus": (".txt",),
    "checkpoint": (".safetensors",),
}
"""Kind -> how the names of its files end."""


def check(kind: str, path: Path) -> dict[str, Any]:
    """What a file of this kind holds. Raises InvalidUpload with every reason, KeyError for an unknown kind."""
    return KINDS[kind](path)
