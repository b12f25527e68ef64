"""What a round issues, what the referee asks about a defence, and the files that carry both. Loads torch."""

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app import bundles
from app.bundles import Bundle
from app.errors import InvalidUpload, Reason
from app.tracks.base import Challenge
from app.tracks.gradient_leakage import clients, guessing, records
from app.tracks.gradient_leakage.clients import Place
from app.tracks.gradient_leakage.records import Records
from app.tracks.gradient_leakage.rules import Rules, from_array, rules

WEIGHTS, SHARED = "weights/", "shared/"
"""What comes before the names of parameters in a challenge."""
RULES = "team_{team}_rules.json"


def shapes(place: Place) -> dict[str, tuple[int, ...]]:
    """The shape of every array of a defence, by parameter name."""
    return {name: (place.settings.BATCHES, *values.shape) for name, values in clients.weights(place).items()}


def check_size(place: Place) -> None:
    """Raises InvalidUpload when defences would be larger than the round allows."""
    size = sum(4 * math.prod(shape) for shape in shapes(place).values())
    if size > place.settings.MAX_UPLOAD_MB * 1e6:
        rule = f"A defence takes at most MAX_UPLOAD_MB = {place.settings.MAX_UPLOAD_MB:g} MB in single precision."
        fix = "Choose smaller records, a smaller model or fewer batches."
        raise InvalidUpload([Reason(rule, f"{size / 1e6:,.1f} MB", fix)])


def issue(place: Place, folder: Path) -> list[Path]:
    """Write rules, initial weights, public records and the team's private batches."""
    settings, parts = place.settings, records.parts(place.settings, place.seat, place.data)
    inputs, labels = records.private(settings, place.seat, place.data)
    contents: dict[str, Bundle] = {
        "weights.npz": clients.weights(place),
        "public.npz": {"inputs": parts.public.inputs, "labels": parts.public.labels},
        "private.npz": {"inputs": inputs, "labels": labels},
    }
    return [_write_rules(rules(settings, parts), folder / "rules.json"), *_write_all(contents, folder)]


def challenge(place: Place, defence: Bundle, rng: np.random.Generator) -> Challenge:
    """The protected updates in a new order, the model and the public records; the secret is the private batches.

    Records are shuffled within their batches as well: nobody is to learn from the order of two versions of a defence.
    """
    settings, parts = place.settings, records.parts(place.settings, place.seat, place.data)
    inputs, labels = records.private(settings, place.seat, place.data)
    order = rng.permutation(settings.BATCHES)
    inner = rng.permuted(np.tile(np.arange(settings.RECORDS), (settings.BATCHES, 1)), axis=1)
    inputs, labels = inputs[order[:, None], inner], labels[order[:, None], inner]
    told = {"labels": np.sort(labels, axis=1)} if settings.LABELS == "given" else {}
    public = {
        "rules": rules(settings, parts).as_array(),
        "public_inputs": parts.public.inputs.copy(),
        "public_labels": parts.public.labels.copy(),
        **{WEIGHTS + name: values.copy() for name, values in clients.weights(place).items()},
        **{SHARED + name: values[order] for name, values in defence.items()},
        **told,
    }
    secret = {
        "inputs": inputs,
        "labels": labels,
        "blind": guessing.errors(parts.public, inputs, labels if told else None),
        "others": parts.held_out.inputs.copy(),
        "other_labels": parts.held_out.labels.copy(),
    }
    return Challenge(public, secret)


def write(public: Bundle, team: int, folder: Path) -> list[Path]:
    """Write the files that an opponent downloads: rules, weights, public records, and what the team shared."""
    known = {"inputs": public["public_inputs"], "labels": public["public_labels"]}
    given = {"labels": public["labels"]} if "labels" in public else {}
    contents = {
        f"team_{team}_weights.npz": part(public, WEIGHTS),
        f"team_{team}_shared.npz": part(public, SHARED),
        f"team_{team}_public.npz": known,
        **({f"team_{team}_labels.npz": given} if given else {}),
    }
    written = _write_rules(from_array(public["rules"]), folder / RULES.format(team=team))
    return [written, *_write_all(contents, folder)]


def asked(team: int, folder: Path) -> Bundle:
    """The rules that `write` wrote, as they lie in a challenge. Raises InvalidUpload."""
    text = np.array((folder / RULES.format(team=team)).read_text(encoding="utf-8"))
    try:
        from_array(text)
    except (ValueError, TypeError, KeyError) as error:
        rule = "The file of rules is the one that the platform wrote."
        raise InvalidUpload([Reason(rule, str(error), "Download the challenge again and give it as it is.")]) from error
    return {"rules": text}


def part(public: Bundle, prefix: str) -> Bundle:
    """The arrays whose names begin with `prefix`, without it, in their order."""
    return {name.removeprefix(prefix): values for name, values in public.items() if name.startswith(prefix)}


def public_records(public: Bundle) -> Records:
    """The public records of a challenge."""
    return Records(public["public_inputs"], public["public_labels"])


def given_labels(public: Bundle) -> NDArray[np.int64] | None:
    """(K, B): the labels that the rules tell, in ascending order; None if they tell none."""
    return public.get("labels")


def _write_rules(known: Rules, path: Path) -> Path:
    path.write_text(known.as_text() + "\n", encoding="utf-8")
    return path


def _write_all(contents: dict[str, Bundle], folder: Path) -> list[Path]:
    for name, arrays in contents.items():
        bundles.write(arrays, folder / name)
    return [folder / name for name in contents]
