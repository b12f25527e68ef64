"""Membership attacks on a word LSTM: training speed and attack quality, beside WhisperTrace's way of doing it.

    OMP_NUM_THREADS=1 python -m benchmarks.text_membership [loops] [pinned] [references] [--epochs 30] [--models 16]

- `loops`: seconds of an epoch on 1,400 of 2,000 synthetic sentences, one thread each: `library` is WhisperTrace's loop
  written again (a Dataset of sentences, a DataLoader that pads, a masked loss that is read after every batch, Adam as
  it comes); `tight` is ours. Both are scored by the same functions after the same epochs. Then 16 models of 12 epochs:
  the library loop one after another, ours in one process and in two, in seconds of the clock and of the processors.
- `pinned`: 100 epochs, batches of 64, rate 0.002; the AUC of the loss as the epochs pass, as WhisperTrace split the
  corpus and without duplicates.
- `references`: LiRA and its kin on the corpus without duplicates. Each model is attacked with the help of the others,
  except its own counterpart; the mean over all models is shown, for several numbers of reference models.
"""

import argparse
import resource
import statistics
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from app import metrics
from app.attacks.membership.text import ATTACKS, Evidence
from app.experiments.base import Watch
from app.experiments.language_training import training as experiment
from app.experiments.language_training.parameters import Parameters
from app.experiments.membership_audit.measures import Curve
from app.language import references, scoring, splits, templates, training
from app.language.corpora import Corpus
from app.language.network import WordLSTM
from app.language.recipes import Recipe
from app.language.references import Study
from app.language.tokens import PAD, Encoded, Vocabulary

CORPUS = Corpus(templates.synthetic(2000))
PARTS = ("loops", "pinned", "references")
FEW = (4, 8, 14)
FROM_LOSSES = ("loss", "zlib", "reference", "lira-offline", "lira")
"""Attacks that ask for no more than the loss of each sentence."""
COMPARING = FROM_LOSSES[2:]
"""Those of them that ask for reference models."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help=f"{', '.join(PARTS)}; all of them by default")
    parser.add_argument("--epochs", type=int, default=30, help="epochs of a reference model")
    parser.add_argument("--models", type=int, default=16, help="an even number of them")
    parser.add_argument("--rounds", type=int, default=3, help="the median of this many runs is shown")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, one thread for each model\n")
    for part in options.parts or PARTS:
        {"loops": loops, "pinned": pinned, "references": with_references}[part](options)


class Sentences(Dataset):
    """Sentences as numbers, one after another."""

    def __init__(self, lines: Encoded) -> None:
        self.rows = [
            (torch.tensor(x[:length]), torch.tensor(y[:length]))
            for x, y, length in zip(lines.inputs, lines.targets, lines.lengths, strict=True)
        ]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: int) -> tuple[torch.Tensor, torch.Tensor]:
        return self.rows[place]


def padded(rows: list) -> tuple[torch.Tensor, ...]:
    return tuple(
        nn.utils.rnn.pad_sequence(side, batch_first=True, padding_value=PAD) for side in zip(*rows, strict=True)
    )


def library_loop(lines: Encoded, words: int, recipe: Recipe, seed: int) -> WordLSTM:
    """WhisperTrace's training, as its description has it."""
    torch.manual_seed(seed)
    network = WordLSTM(words, recipe.embedding, recipe.hidden)
    optimiser = torch.optim.Adam(network.parameters(), recipe.learning_rate)
    loader = DataLoader(Sentences(lines), recipe.batch_size, shuffle=True, collate_fn=padded)
    for _ in range(recipe.epochs):
        total = 0.0
        for x, y in loader:
            scores = network(x)
            loss = functional.cross_entropy(scores.transpose(1, 2), y, ignore_index=PAD, reduction="none")
            mask = (x != PAD).float()
            loss = ((loss * mask).sum(1) / (mask.sum(1) + 1e-8)).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            total += loss.item() * len(x)
    return network.eval()


def tight_loop(lines: Encoded, words: int, recipe: Recipe, seed: int) -> WordLSTM:
    return training.train(lines, words, recipe, np.random.default_rng(seed))


def loops(options: argparse.Namespace) -> None:
    """Seconds of an epoch, and the same quality."""
    split = splits.split(CORPUS, splits.WITH_DUPLICATES)
    members, others = ([CORPUS.sentences[place] for place in side] for side in (split.members, split.others))
    vocabulary = Vocabulary.of(members)
    lines, everybody = vocabulary.encode(members), vocabulary.encode([*members, *others])
    is_member = np.arange(len(everybody)) < len(lines)
    recipe, seconds = Recipe(epochs=4), {}
    print(f"{'loop':<10} {'CPU s/epoch':>12} {'loss':>7} {'AUC':>7}   after {recipe.epochs} epochs")
    for name, loop in (("library", library_loop), ("tight", tight_loop)):
        loop(lines.take(np.arange(64)), len(vocabulary), Recipe(epochs=1), 0)
        spent = []
        for turn in range(options.rounds):
            start = time.process_time()
            network = loop(lines, len(vocabulary), recipe, turn)
            spent.append((time.process_time() - start) / recipe.epochs)
        seconds[name] = statistics.median(spent)
        losses = scoring.losses(network, everybody)
        area = metrics.auc(-losses, is_member)
        print(f"{name:<10} {seconds[name]:12.3f} {losses[is_member].mean():7.3f} {area:7.4f}")
    print(f"tight: {seconds['library'] / seconds['tight']:.2f}x less CPU\n")
    side_by_side(lines, len(vocabulary))


def side_by_side(lines: Encoded, words: int, models: int = 16, epochs: int = 12) -> None:
    """Seconds of the clock for several models: the library loop in turn, ours in one and in two processes."""
    recipe, seeds = Recipe(epochs=epochs), range(models)
    study, everybody = Study(lines, words, recipe), np.ones((models, len(lines)), bool)

    def in_turn() -> None:
        for seed in seeds:
            scoring.losses(library_loop(lines, words, recipe, seed), lines)

    def ours(processes: int) -> None:
        references.reference_losses(study, everybody, np.random.default_rng(0), processes=processes)

    ways = {"library, in turn": in_turn, "tight, in turn": lambda: ours(1), "tight, two processes": lambda: ours(2)}
    found = {}
    print(f"{models} models of {epochs} epochs, starting the processes included")
    for name, way in ways.items():
        start, spent = time.perf_counter(), processor_seconds()
        way()
        found[name], spent = time.perf_counter() - start, processor_seconds() - spent
        print(f"{name:<22} {found[name]:7.1f} s {found['library, in turn'] / found[name]:7.2f}x {spent:9.1f} CPU s")
    print()


def processor_seconds() -> float:
    """Of this process and of those that it has waited for."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def pinned(options: argparse.Namespace) -> None:
    """The published runs."""
    for way in (splits.WITH_DUPLICATES, splits.IN_ORDER):
        start = time.process_time()
        report = experiment.run(CORPUS, Parameters(split=way), 0, "cpu", Watch())
        print(f"{splits.WAYS[way]}: {time.process_time() - start:.0f} CPU s")
        print(f"{'epoch':>7} {'members':>8} {'others':>8} {'AUC':>7}")
        for epoch, member_loss, other_loss, area in report.tables[0].rows:
            print(f"{epoch:7} {member_loss:8.3f} {other_loss:8.3f} {area:7.4f}")
    print()


def with_references(options: argparse.Namespace) -> None:
    """Attacks by the number of reference models."""
    sentences = tuple(CORPUS.sentences[place] for place in CORPUS.distinct)
    vocabulary = Vocabulary.of(sentences)
    rng = np.random.default_rng(0)
    members = references.halves(len(sentences), options.models, rng)
    study = Study(vocabulary.encode(sentences), len(vocabulary), Recipe(epochs=options.epochs))
    start = time.perf_counter()
    losses = references.reference_losses(study, members, rng, processes=2)
    print(f"{options.models} models of {options.epochs} epochs in two processes: {time.perf_counter() - start:.0f} s")
    print(f"{'attack':<14} {'models':>6} {'AUC':>7} {'balanced':>9} {'TPR@1%':>7} {'TPR@0.1%':>9}")
    for name in FROM_LOSSES:
        for count in sorted({min(few, len(members) - 2) for few in FEW}) if name in COMPARING else (0,):
            rows = [attacked(name, target, count, losses, members, sentences) for target in range(len(members))]
            area, balanced, low, lowest = np.mean(rows, axis=0)
            print(f"{name:<14} {count:6} {area:7.4f} {balanced:9.3f} {low:7.3f} {lowest:9.3f}")


def attacked(name: str, target: int, count: int, losses, members, sentences) -> tuple[float, ...]:
    """AUC, balanced accuracy, TPR at 1 % and 0.1 % FPR of an attack on one of the models by `count` others."""
    helpers = [other for other in range(len(members)) if other // 2 != target // 2][:count]
    n = len(sentences)
    evidence = Evidence(
        log_probabilities=-losses[target][:, None],
        means=np.zeros((n, 1)),
        deviations=np.ones((n, 1)),
        lengths=np.ones(n, np.int64),
        texts=sentences,
        reference_losses=losses[helpers],
        reference_members=members[helpers],
    )
    scores = ATTACKS[name]()(evidence)
    curve = Curve.of(scores, members[target])
    return metrics.auc(scores, members[target]), curve.balanced_accuracy, curve.true_at(0.01), curve.true_at(0.001)


if __name__ == "__main__":
    main()
