"""Trains the model while somebody watches, and puts what came of it into a report."""

import json

import numpy as np

from app.experiments.base import Report, Watch
from app.experiments.language_training.course import MILESTONES, Course
from app.experiments.language_training.parameters import Parameters
from app.language import checkpoints, onnx_files, scoring, splits
from app.language.checkpoints import Checkpoint
from app.language.corpora import Corpus
from app.language.manifests import Manifest
from app.language.network import WordLSTM
from app.language.tokens import Vocabulary
from app.language.training import Watch as Watcher
from app.metrics import wilson
from app.reports import Estimate, Table

LOOKS = 200
"""How often the loss curve is shown, at most."""


def run(corpus: Corpus, parameters: Parameters, seed: int, device: str, progress: Watch) -> Report:
    """Train on the members of the corpus that the seed draws. What `progress` raises ends the training."""
    split = splits.split(corpus, parameters.split, parameters.share, seed)
    manifest = Manifest.of(corpus, split, parameters.split, seed, parameters.recipe())
    overlap = splits.overlap(corpus, split.members, split.others)
    course = Course()
    checkpoint = checkpoints.fit(corpus, manifest, device, _watch(corpus, manifest, course, device, progress))
    return _report(corpus, checkpoint, course, overlap)


def _watch(corpus: Corpus, manifest: Manifest, course: Course, device: str, progress: Watch) -> Watcher:
    """Notes what the model knows after each epoch, and tells."""
    vocabulary = Vocabulary.of(corpus.sentences[place] for place in manifest.members)
    members, others = (
        vocabulary.encode([corpus.sentences[place] for place in places])
        for places in (manifest.members, manifest.others)
    )
    epochs = manifest.recipe.epochs

    def watch(epoch: int, loss: float, network: WordLSTM) -> None:
        strange = scoring.losses(network, others, device)
        course.note(loss, strange)
        if epoch in MILESTONES or epoch == epochs:
            course.note_milestone(scoring.losses(network, members, device), strange)
        if epoch % max(1, epochs // LOOKS) == 0:
            progress.show(course.figure())
        progress(epoch / epochs)

    return watch


def _report(corpus: Corpus, checkpoint: Checkpoint, course: Course, overlap: np.ndarray) -> Report:
    manifest, vocabulary = checkpoint.manifest, checkpoint.vocabulary
    _, member_loss, other_loss, auc = course.milestones[-1]
    count = int(overlap.sum())
    return Report(
        metrics={
            "member_loss": Estimate(member_loss),
            "other_loss": Estimate(other_loss),
            "auc": Estimate(auc),
            "overlap": Estimate(count / len(overlap), *wilson(count, len(overlap))),
        },
        tables=(*course.tables()[:1], _manifest_table(corpus, checkpoint), course.tables()[1]),
        figures=(course.figure(), course.memory()),
        arrays={
            "training_loss": np.array(course.training),
            "other_loss": np.array(course.others),
            "members": np.array(manifest.members, np.int64),
            "others": np.array(manifest.others, np.int64),
        },
        files={
            "checkpoint.safetensors": checkpoints.to_bytes(checkpoint),
            "manifest.json": json.dumps(manifest.to_json(), indent=1).encode(),
            "model.onnx": onnx_files.write(checkpoint.network),
            "vocabulary.json": json.dumps(vocabulary.words).encode(),
        },
        notes=_notes(corpus, checkpoint, count),
    )


def _manifest_table(corpus: Corpus, checkpoint: Checkpoint) -> Table:
    manifest = checkpoint.manifest
    rows = (
        ("Corpus", manifest.corpus),
        ("Source", corpus.source),
        ("Sentences", manifest.sentences),
        ("Different sentences", len(corpus.distinct)),
        ("Members", len(manifest.members)),
        ("Others", len(manifest.others)),
        ("Split", splits.WAYS[manifest.way]),
        ("Seed", manifest.seed),
        ("Words", len(checkpoint.vocabulary)),
        ("Weights", sum(weight.numel() for weight in checkpoint.network.parameters())),
        *vars(manifest.recipe).items(),
        *manifest.versions.items(),
    )
    return Table("Manifest", ("What", "Value"), rows, "An audit reads the same from the checkpoint.")


def _notes(corpus: Corpus, checkpoint: Checkpoint, overlap: int) -> tuple[str, ...]:
    manifest, left_out = checkpoint.manifest, len(corpus) - len(corpus.distinct)
    found = []
    if manifest.way == splits.WITH_DUPLICATES and overlap:
        found.append(
            f"{overlap} of {len(manifest.others)} others have the very words of a member: the model was trained on "
            "them after all, so no attack can tell them apart."
        )
    elif left_out:
        found.append(f"{left_out} sentences of the corpus repeat others, or have no words; they were left out.")
    return tuple(found)
