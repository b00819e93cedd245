"""How long imagined trajectories hold: time to failure, with censoring; not the curve."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
MaskArray = NDArray[np.bool_]


@dataclass(frozen=True)
class Survival:
    """Time to failure of each trajectory.

    Attributes:
        time: int64 (n,) env steps: the time step of the failure, t = 1 the first, or else the
            last time step that could be looked at.
        observed: bool (n,), False where the trajectory held as long as it could be looked at: to
            the horizon or the end of the real episode.
    """

    time: NDArray[np.int64]
    observed: MaskArray


def drift_survival(l1: FloatArray, threshold: float) -> Survival:
    """Time until the drift exceeds a threshold.

    Args:
        l1: (n, horizon), NaN after the end of the real episode.
        threshold: In [0, 1].

    Raises:
        ValueError: When the threshold is not in [0, 1], or as `first_failure`.
    """
    if not 0 <= threshold <= 1:
        raise ValueError(f"a threshold of drift must be in [0, 1], got {threshold}")
    return first_failure(l1 > threshold, ~np.isnan(l1))


def skill_survival(beats: FloatArray) -> Survival:
    """Time until the skill of a frame is below 0: until its error is larger than the baseline's.

    Args:
        beats: The scores `beats_copy` or `beats_background`, (n, horizon): 0 where the error is
            larger, NaN after the end of the real episode.

    Raises:
        ValueError: As `first_failure`.
    """
    return first_failure(beats == 0, ~np.isnan(beats))


def first_failure(failed: MaskArray, valid: MaskArray) -> Survival:
    """The first failure of each trajectory, censored where there is none.

    Args:
        failed: bool (n, horizon); looked at only where valid.
        valid: bool (n, horizon), True up to the end of the real episode: no gaps.

    Returns:
        Times from 1 to the horizon; 0, and not observed, for a trajectory without a valid step.

    Raises:
        ValueError: When shapes or types differ, or valid has gaps.
    """
    if failed.dtype != np.bool_ or valid.dtype != np.bool_ or failed.shape != valid.shape:
        raise ValueError(
            f"failed and valid must be bool (n, horizon), got {failed.dtype} {failed.shape} and "
            f"{valid.dtype} {valid.shape}"
        )
    if np.any(valid[:, 1:] & ~valid[:, :-1]):
        raise ValueError("valid must be true up to the end of an episode and false after it")
    seen: MaskArray = failed & valid
    observed: MaskArray = np.any(seen, axis=1)
    time = np.where(observed, seen.argmax(axis=1) + 1, valid.sum(axis=1))
    return Survival(time.astype(np.int64), observed)
