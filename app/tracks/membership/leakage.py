"""How much an answer reveals of who is a member: 0 = a blind guess, 1 = everything."""

import numpy as np
from numpy.typing import NDArray

from app import metrics, roc
from app.errors import InvalidUpload, Reason
from app.tracks.base import Bundle, Estimate, Score
from app.tracks.membership import figures, resampling
from app.tracks.membership.answer_file import SCORE
from app.tracks.membership.resampling import LOW_RATE, Curves, blocks, reach_of_a_guess

RESAMPLES = 1000
REPLICATES = 200
"""Replicates of the value that are kept, the first ones of all resamples."""
RATES = {"tpr_10": 0.1, "tpr_1": LOW_RATE, "tpr_01": 0.001}


def leakage(answer: Bundle, secret: Bundle) -> Score:
    """The larger of 2 AUC - 1 and the normalised TPR at 1 % FPR, if it is beyond the reach of a guess; else 0.

    The larger of two noisy numbers is positive by chance: nearly every random answer would be rewarded, and the best of
    several tries would be so well. So a value counts, in full, only if 99 of 100 random answers stay below it.
    Members and strangers are resampled each for themselves, by the ids of the secret: replicate b of every answer to
    one challenge is about the same records. Raises InvalidUpload when the answer is not about exactly these records.
    """
    scores, is_member, rows = joined(answer, secret)
    area, curve = metrics.auc(scores, is_member), roc.roc(scores, is_member)
    areas, accuracies, leakages = _resampled(scores, is_member, secret)
    guess = reach_of_a_guess(int(is_member.sum()), int((~is_member).sum()))
    value, replicates = float(resampling.leakage(area, curve.tpr_at(LOW_RATE).value)), leakages[:REPLICATES]
    counts = value > guess
    return Score(
        value=value if counts else 0.0,
        metrics={
            "auc": Estimate(area, *metrics.percentile_interval(areas)),
            "balanced_accuracy": Estimate(curve.balanced_accuracy, *metrics.percentile_interval(accuracies)),
            **{name: Estimate(*curve.tpr_at(rate)) for name, rate in RATES.items()},
            "guess": Estimate(guess),
        },
        replicates=replicates if counts else np.zeros_like(replicates),
        figures=(
            figures.roc(curve),
            figures.exposure(scores, is_member),
            figures.most_exposed(scores, is_member, rows),
        ),
    )


def joined(answer: Bundle, secret: Bundle) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.int64]]:
    """Scores, membership and rows of the training set (n,) of the candidates of the secret, sorted by id."""
    answered, asked = np.argsort(answer["record_id"]), np.argsort(secret["record_id"])
    if not len(asked) or not np.array_equal(answer["record_id"][answered], secret["record_id"][asked]):
        rule = "An answer holds one row for every candidate of the challenge, and no other row."
        where = f"{len(answered)} rows for {len(asked)} candidates"
        raise InvalidUpload([Reason(rule, where, "Take the ids from the candidates of this defence.")])
    return answer[SCORE][answered].astype(np.float64), secret["is_member"][asked], secret["row"][asked]


def best_answer(secret: Bundle) -> Bundle:
    """Members first, strangers last."""
    return {"record_id": secret["record_id"], SCORE: secret["is_member"].astype(np.float64)}


def _resampled(scores: NDArray[np.float64], is_member: NDArray[np.bool_], secret: Bundle) -> NDArray[np.float64]:
    """(3, B): AUC, balanced accuracy and leakage of resamples."""
    rng = np.random.default_rng(np.sort(secret["record_id"]).astype(np.uint64).view(np.uint32))
    found = []
    for size in blocks(RESAMPLES, len(scores)):
        weights = np.zeros((size, len(scores)))
        for side in (is_member, ~is_member):
            weights[:, side] = metrics.multiplicities(metrics.resamples(int(side.sum()), size, rng))
        curves = Curves.of(scores, is_member, weights)
        found.append([curves.areas(), curves.balanced_accuracies(), curves.leakages()])
    return np.concatenate(found, axis=1)
