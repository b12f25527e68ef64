"""What protections of shared gradients hold, against attackers who do not know of them and against those who do.

    OMP_NUM_THREADS=1 python -m benchmarks.gradient_defences [--arms one eight trained averaging many] [--seed 0]

A round of the track: scikit-learn's digits of 8 x 8 pixels, an MLP 64-200-200-10, four clients, labels hidden; private
digits are distorted, and in no public part. Every protection of `app.defences.gradients` that keeps the model, at one
to three strengths, meets three attacks: SPEAR (exact), inverting gradients (matching by signed Adam) and iDLG (matching
by L-BFGS). What each row of the privacy card says:

- `plain`: the attacker takes what is shared for an honest gradient.
- `aware`: the attacker knows protection and strength. It maximises the probability of what was shared under the
  protection times that of the records under a normal prior of the public ones (Balunović, Dimitrov, Staab and Vechev,
  2022, ICLR, eq. 3): the noise's own distance, the kept places only, the signs only, transformed copies and local steps
  simulated, pools of clients taken as one batch. SPEAR's answer is polished by the same objective. Of its answer and
  the plain one it hands in the more probable one, which needs no truth; where pools change the size there is no choice.
- `cosine`, `loss`: what is left of the update, the cosine to the true one and the share of its decrease of the loss on
  held-out digits, as the track's referee measures them.
- `mean`, `least`: PSNR in dB after matching; `>20`: the share above 20 dB; `IIP`: the share of records that are the
  nearest of their class to their reconstruction; `labels`: right as multisets, read from the last layer. Under the name
  of each arm stands what the mean public image and the best blind set of images reach.

Arms: one record and eight of an untrained network's gradient; eight with a trained network; eight and federated
averaging (one epoch of two steps); 32 records. One thread.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from app import reconstruction_metrics as quality
from app.attacks.gradients.base import LocalTraining, Observation, Unsuited
from app.defences.gradients import Shared
from app.tracks.base import Seat
from app.tracks.gradient_leakage import clients, records, scores
from app.tracks.gradient_leakage.clients import Place
from app.tracks.gradient_leakage.settings import Settings
from benchmarks.gradient_attackers import Prior, aware, chosen, informed, plain
from benchmarks.gradient_protections import CLIENTS, Protection, protections

ATTACKS = ("spear", "ig", "idlg")


@dataclass(frozen=True)
class Arm:
    """A round and the budget of its attacks."""

    settings: Settings
    title: str
    attacks: tuple[str, ...] = ATTACKS
    iterations: int = 160
    """Of inverting gradients, and evaluations of iDLG."""
    is_short: bool = False
    """One strength of each protection."""


def settings(count: int, **others: object) -> Settings:
    return Settings(BATCHES=CLIENTS, RECORDS=count, LABELS="hidden", **others)  # type: ignore[arg-type]


ARMS = {
    "one": Arm(settings(1), "1 record, untrained, gradient"),
    "eight": Arm(settings(8), "8 records, untrained, gradient"),
    "trained": Arm(settings(8, WARM_UP=10), "8 records, trained (10 epochs), gradient", ("spear", "ig"), is_short=True),
    "averaging": Arm(
        settings(8, SHARED="update", LOCAL_EPOCHS=1, LOCAL_BATCH=4, LEARNING_RATE=0.05),
        "8 records, untrained, update of one epoch of two steps",
        ("spear", "ig"),
        iterations=60,
        is_short=True,
    ),
    "many": Arm(settings(32), "32 records, untrained, gradient", ("ig",), 100, is_short=True),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arms", nargs="*", default=list(ARMS), choices=list(ARMS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=[], help="parts of the names of protections")
    options = parser.parse_args()
    torch.set_num_threads(1)
    begin = time.process_time()
    for name in options.arms:
        card(ARMS[name], options.seed, options.only)
    print(
        f"\nseed {options.seed}, {time.process_time() - begin:.0f} CPU s in all, torch {torch.__version__}, one thread"
    )


def observations(place: Place, shares: Sequence[Shared], count: int) -> list[Observation]:
    """What the server sees of each share."""
    network, parts = clients.model(place), records.parts(place.settings, place.seat, place.data)
    weights = {name: values.detach() for name, values in network.named_parameters()}
    rule = clients.steps(place.settings)
    training = None if rule is None else LocalTraining(rule.epochs, rule.batch, (rule.rate,))
    public = torch.tensor(parts.public.inputs)
    return [
        Observation(network, weights, share, count, parts.shape, parts.classes, training, public=public)
        for share in shares
    ]


def card(arm: Arm, seed: int, only: Sequence[str]) -> None:
    """The rows of one arm."""
    place = Place(arm.settings, Seat(seed, 1), None)
    parts = records.parts(arm.settings, place.seat, None)
    true, labels = records.private(arm.settings, place.seat, None)
    print(f"\n{arm.title}; {blind_line(parts.public.inputs, true)}")
    print(
        f"{'protection':<20}{'cosine':>7}{'loss':>6} {'attack':<12}{'mean':>6}{'least':>6}{'>20':>5}{'SSIM':>6}"
        f"{'IIP':>6}{'labels':>7}{'CPU s':>7}"
    )
    prior = Prior(torch.tensor(parts.public.inputs))
    for protection in protections():
        if (arm.is_short and not protection.is_main) or (only and not any(part in protection.name for part in only)):
            continue
        torch_rng = torch.Generator().manual_seed(seed)
        shares = protection.defence.protect_all(clients.clients(place), torch_rng)
        utility = scores.utility(place, clients.stacked(shares)).metrics
        lead = f"{protection.name:<20}{utility['cosine'].value:7.2f}{utility['loss_share'].value:6.2f} "
        seen = observations(place, shares, arm.settings.RECORDS)
        for attack in arm.attacks:
            for row in rows(attack, seen, protection, prior, arm):
                print(lead + row(true, labels, parts), flush=True)
                lead = " " * len(lead)


def rows(
    attack: str, seen: list[Observation], protection: Protection, prior: Prior, arm: Arm
) -> list[Callable[..., str]]:
    """The lines of the plain and the aware attacker."""
    try:
        first = timed(lambda: plain(attack, seen, arm.iterations))
        made = [line(f"{attack} plain", first)]
        known = informed(seen, protection)
        second = timed(lambda: aware(attack, known, protection, prior, arm.iterations))
    except Unsuited as reason:
        text = f"{attack:<12} {reason}"
        return [lambda *_: text]
    if known[0].records == seen[0].records:
        second = (chosen(first[0], second[0], known, protection, prior), second[1])
    return [*made, line(f"{attack} aware", second, protection.pool)]


def timed(work: Callable[[], tuple[Tensor, ...]]) -> tuple[tuple[Tensor, ...], float]:
    start = time.process_time()
    return work(), time.process_time() - start


def line(name: str, found: tuple[tuple[Tensor, ...], float], pool: int = 1) -> Callable[..., str]:
    """The numbers of one attacker; pools of clients are scored as one batch."""
    (inputs, labels, *_), seconds = found

    def text(true: np.ndarray, true_labels: np.ndarray, parts: records.Parts) -> str:
        shape = (len(true) // pool, pool * true.shape[1])
        own, classes = true.reshape(*shape, *true.shape[2:]), true_labels.reshape(shape)
        given = np.nan_to_num(inputs.numpy(), nan=0.5).clip(0.0, 1.0).reshape(own.shape)
        matched = quality.match(given, own).inputs
        psnr = quality.psnr(quality.mse(matched, own))
        similar = quality.ssim(matched, own).mean()
        hits = quality.identified(matched, own, classes, parts.held_out.inputs, parts.held_out.labels).mean()
        right = quality.label_accuracy(labels.numpy(), classes).mean()
        return (
            f"{name:<12}{psnr.mean():6.1f}{psnr.min():6.1f}{quality.share_above(psnr, 20.0):5.0%}{similar:6.2f}"
            f"{hits:6.0%}{right:7.0%}{seconds:7.2f}"
        )

    return text


def blind_line(public: np.ndarray, true: np.ndarray) -> str:
    rng, found = np.random.default_rng(0), []
    guess = quality.blind_guess(public, true.shape[1], rng)
    for blind in (quality.mean_record(public, *true.shape[:2]), np.broadcast_to(guess, true.shape)):
        errors = quality.mse(quality.match(blind, true).inputs, true)
        found.append(quality.psnr(errors).mean())
    return f"blind: {found[0]:.1f} dB by the mean image, {found[1]:.1f} dB by the best set"


if __name__ == "__main__":
    main()
