"""Attacks the model, calibrates the verdicts, and puts what was found into a report."""

import numpy as np
from numpy.typing import NDArray

from app.experiments.base import Report, Watch
from app.experiments.membership_audit import evidence, reporting, sentences, verdicts
from app.experiments.membership_audit.evidence import Candidates
from app.experiments.membership_audit.findings import Findings
from app.experiments.membership_audit.outputs import Verdict
from app.experiments.membership_audit.parameters import Parameters
from app.experiments.membership_audit.verdicts import Calibration
from app.language.checkpoints import Checkpoint
from app.language.corpora import Corpus


def run(
    checkpoint: Checkpoint,
    corpus: Corpus,
    parameters: Parameters,
    rng: np.random.Generator,
    device: str,
    progress: Watch,
) -> Report:
    """Audit a model. Raises InvalidUpload when the corpus is another one, or has too few others."""
    checkpoint.manifest.check_corpus(corpus)
    asked = parameters.asked() or sentences.demonstration(corpus, checkpoint.manifest)
    candidates = Candidates.of(corpus, checkpoint, asked)
    calibrated, tested = verdicts.halve(candidates.members + np.flatnonzero(candidates.is_fair), rng)
    known = evidence.gather(checkpoint, candidates, parameters, rng, device, progress)
    attacks = parameters.chosen()
    scores = {name: attack(known) for name, attack in attacks.items()}
    chosen = scores[parameters.verdict_by]
    calibration = Calibration(np.sort(chosen[calibrated]), parameters.false_positive_rate)
    found = Findings(
        candidates=candidates,
        attacks=attacks,
        scores=scores,
        losses=known.losses,
        calibration=calibration,
        accused_members=int(calibration.accuses(chosen[: candidates.members]).sum()),
        tested=len(tested),
        accused_others=int(calibration.accuses(chosen[tested]).sum()),
        verdicts=_verdicts(checkpoint, corpus, candidates, known.losses, chosen, calibration),
    )
    return reporting.report(found, checkpoint, parameters)


def _verdicts(
    checkpoint: Checkpoint,
    corpus: Corpus,
    candidates: Candidates,
    losses: NDArray[np.float64],
    scores: NDArray[np.float64],
    calibration: Calibration,
) -> tuple[Verdict, ...]:
    whereabouts = sentences.Whereabouts.of(corpus, checkpoint.manifest)
    p_values, accused = calibration.p_values(scores), calibration.accuses(scores)
    return tuple(
        Verdict(
            content=candidates.texts[place],
            whereabouts=whereabouts.find(candidates.texts[place]),
            score=-float(losses[place]),
            attack_score=float(scores[place]),
            p_value=float(p_values[place]),
            is_member=bool(accused[place]),
            unknown=checkpoint.vocabulary.unknown_share(candidates.texts[place]),
        )
        for place in range(candidates.known, len(candidates.texts))
    )
