"""Whether the recorded actions can be read off imagined frames, as they can off real ones."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from diamond.config.metric_table import REAL_SUFFIX
from diamond.stats.classification import balanced_accuracy
from diamond.stats.regression import variance_explained

ACTION_ACCURACY = "action_accuracy"
ACTION_BALANCED = "action_balanced_accuracy"
ACTION_R2 = "action_r2"


def action_scores(
    taken: NDArray[Any],
    named_real: NDArray[Any],
    named_imagined: NDArray[Any],
    used: NDArray[np.bool_],
    num_actions: int,
) -> dict[str, NDArray[np.float64]]:
    """Compare the actions that a judge names with those that were taken.

    Args:
        taken: The action that led to each frame, (starts, horizon) int64 or (starts, horizon, k)
            float32.
        named_real: The action that the judge reads off the real frames t - 1 and t.
        named_imagined: The same off the imagined frames; frame 0 is real.
        used: (starts, horizon) bool, the frames that are compared.
        num_actions: Actions to choose from; 0 where an action is k numbers.

    Returns:
        Per frame 1 where the action is named rightly, 0 where not, NaN where not used; over all
        frames the mean over actions of the share that is named rightly, (1, 1). Where an action is
        k numbers, per frame what it adds to their R2 alone.
    """
    scores: dict[str, NDArray[np.float64]] = {}
    for suffix, named in (("", named_imagined), (REAL_SUFFIX, named_real)):
        if not num_actions:
            share = np.full(used.shape, np.nan)
            share[used] = variance_explained(taken[used], named[used])
            scores[f"{ACTION_R2}{suffix}"] = share
            continue
        right = np.where(used, (named == taken).astype(np.float64), np.nan)
        balanced = balanced_accuracy(taken[used], named[used], num_actions)
        scores |= {
            f"{ACTION_ACCURACY}{suffix}": right,
            f"{ACTION_BALANCED}{suffix}": np.array([[balanced]]),
        }
    return scores
