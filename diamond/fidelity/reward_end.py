"""Rewards and ends as the reward/end model sees them, against those of the game."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.stats import rankdata

from diamond.arrays import BoolArray, FloatArray, IntArray
from diamond.config.metric_table import REAL_SUFFIX
from diamond.stats.classification import (
    auroc,
    brier_score,
    class_precision,
    class_recall,
    macro_f1,
)

CLASSES = ("negative", "zero", "positive")
"""The reward classes -1, 0 and 1, in this order."""
RECALLS = tuple(f"reward_recall_{name}" for name in CLASSES)
PRECISIONS = tuple(f"reward_precision_{name}" for name in CLASSES)
MIN_RANKED = 3
"""Starts below which ranks say nothing: of two, the correlation is 1 or -1 whatever happens."""


@dataclass(frozen=True)
class PredictedRewardEnds:
    """What a reward/end model says of a batch of trajectories.

    Attributes:
        rewards: (starts, horizon, 3) probabilities of the reward classes -1, 0 and 1.
        ends: (starts, horizon) probability of an end.
    """

    rewards: FloatArray
    ends: FloatArray

    @property
    def classes(self) -> IntArray:
        """(starts, horizon) the most likely sign of the reward, -1, 0 or 1."""
        signs: IntArray = self.rewards.argmax(axis=-1) - 1
        return signs

    @property
    def rates(self) -> FloatArray:
        """(starts, horizon) the probability of any reward."""
        return self.rewards[..., 0] + self.rewards[..., 2]

    @property
    def expected(self) -> FloatArray:
        """(starts, horizon) the expected sign of the reward, in [-1, 1]."""
        return self.rewards[..., 2] - self.rewards[..., 0]


def reward_end_scores(
    signs: IntArray,
    ends: BoolArray,
    used: BoolArray,
    real: PredictedRewardEnds,
    imagined: PredictedRewardEnds,
) -> dict[str, FloatArray]:
    """Score what a reward/end model says of real and of imagined frames by what the game said.

    Args:
        signs: (starts, horizon) sign of the true rewards.
        ends: (starts, horizon) where the game ended or a life was lost.
        used: (starts, horizon) bool, the env steps that were played, ends included.
        real: What the model says of the real frames.
        imagined: What it says of the imagined frames.

    Returns:
        Arrays (starts, horizon) and (1, 1) by name; NaN where nothing can be said: of a class
        without an example, of ends that all or none of the env steps have, of events that nobody
        sees.
    """
    scores: dict[str, FloatArray] = {}
    for suffix, said in (("", imagined), (REAL_SUFFIX, real)):
        truth, guess = signs[used] + 1, said.classes[used] + 1
        sets = dict(zip(RECALLS, class_recall(truth, guess, 3), strict=True))
        sets |= dict(zip(PRECISIONS, class_precision(truth, guess, 3), strict=True))
        sets |= {
            "reward_f1": macro_f1(truth, guess, 3),
            "reward_timing_error": timing_error(signs, said.classes, used),
            "return_rank_correlation": return_rank_correlation(signs, said.expected, used),
            "end_auroc": auroc(ends[used], said.ends[used]),
            "end_brier": brier_score(ends[used], said.ends[used]),
        }
        scores |= {f"{name}{suffix}": np.array([[value]]) for name, value in sets.items()}
        scores[f"reward_sum_error{suffix}"] = reward_sum_error(signs, said.expected, used)
    return scores


def reward_rates(
    signs: IntArray,
    used: BoolArray,
    imagined: PredictedRewardEnds,
    uniforms: FloatArray,
) -> dict[str, FloatArray]:
    """How often there is a reward in imagination, and in the game after the same starts.

    Args:
        signs: (starts, horizon) sign of the true rewards.
        used: (starts, horizon) bool, the env steps that were played.
        imagined: What the model says of the imagined frames.
        uniforms: (starts, horizon) in [0, 1), by which one reward is drawn for each env step.

    Returns:
        By name (starts, horizon), NaN where not used: the probability of a reward, and whether one
        is drawn; beside both whether the game gave one. And (1, 1), the sum of the probabilities
        over the number of true rewards, NaN without any.
    """
    none = imagined.rewards[..., 1]
    found = {"reward_rate": imagined.rates, "reward_rate_drawn": uniforms >= none}
    given = np.where(used, signs != 0, np.nan)
    scores = {name: np.where(used, values, np.nan) for name, values in found.items()}
    scores |= {f"{name}{REAL_SUFFIX}": given for name in found}
    num_given = int((signs[used] != 0).sum())
    ratio = float(imagined.rates[used].sum()) / num_given if num_given else np.nan
    scores["reward_rate_ratio"] = np.array([[ratio]])
    scores[f"reward_rate_ratio{REAL_SUFFIX}"] = np.array([[1.0 if num_given else np.nan]])
    return scores


def reward_sum_error(signs: IntArray, expected: FloatArray, used: BoolArray) -> FloatArray:
    """|sum of expected rewards so far - sum of true ones|, of rewards clipped to their sign.

    Args:
        signs: (starts, horizon) sign of the true rewards.
        expected: (starts, horizon) expected sign.
        used: (starts, horizon) bool, true from the start on for as long as was played.

    Returns:
        (starts, horizon), at least 0; NaN where not used.
    """
    off = np.where(used, expected - signs, 0.0).cumsum(axis=1)
    return np.where(used, np.abs(off), np.nan)


def timing_error(truth: IntArray, guess: IntArray, used: BoolArray) -> float:
    """Mean distance in time between true reward events and the predicted ones they are paired with.

    An event is an env step with a reward. Within a start and a sign every event is paired with at
    most one other, as many as there are, so that the distances sum to the least. What finds no
    partner is no part of it: recall and F1 see it.

    Args:
        truth: (starts, horizon) signs -1, 0, 1.
        guess: The predicted signs.
        used: (starts, horizon) bool, the env steps that count.

    Returns:
        Env steps, at least 0; NaN when no event has a partner.
    """
    distances: list[IntArray] = []
    for start in range(len(truth)):
        for sign in (-1, 1):
            here = np.flatnonzero(used[start] & (truth[start] == sign))
            there = np.flatnonzero(used[start] & (guess[start] == sign))
            apart = np.abs(here[:, None] - there[None, :])
            distances.append(apart[linear_sum_assignment(apart)])
    found = np.concatenate(distances) if distances else np.empty(0)
    return float(found.mean()) if len(found) else np.nan


def return_rank_correlation(signs: IntArray, expected: FloatArray, used: BoolArray) -> float:
    """Spearman's rank correlation over starts of the expected and the true sum of rewards.

    Returns:
        In [-1, 1]; NaN with fewer than three starts, or where one side is the same for all.

    Source: Spearman (1904), The proof and measurement of association between two things.
    """
    if len(signs) < MIN_RANKED:
        return np.nan
    true_ranks = rankdata(np.where(used, signs, 0).sum(axis=1))
    said_ranks = rankdata(np.where(used, expected, 0.0).sum(axis=1))
    if np.ptp(true_ranks) == 0 or np.ptp(said_ranks) == 0:
        return np.nan
    return float(np.corrcoef(true_ranks, said_ranks)[0, 1])
