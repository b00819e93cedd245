"""Errors set against those of showing the last real frame, or the background."""

import numpy as np

from diamond.arrays import FloatArray


def skill(errors: FloatArray, baseline_errors: FloatArray) -> FloatArray:
    """How much smaller errors are than a baseline's, pooled over the trajectories of a time step.

    A ratio per frame would be ruled by the few frames in which the baseline is nearly exact, and
    would not exist where it is exact. Divided by the baseline's mean over trajectories instead, the
    mean skill of a time step is 1 - (mean error) / (mean error of the baseline).

    Args:
        errors: (n, horizon), at least 0; NaN where there is nothing to compare with.
        baseline_errors: Same shape, of the same frames.

    Returns:
        (n, horizon), at most 1; below 0 for an error above the baseline's mean. NaN where an error
        is, and at time steps where the baseline makes no error at all: nothing is better then.

    Raises:
        ValueError: When shapes differ.

    Source: Murphy (1988), Skill scores based on the mean square error, equation 4.
    """
    _check_shapes(errors, baseline_errors)
    both = ~np.isnan(errors + baseline_errors)
    total = np.where(both, baseline_errors, 0).sum(axis=0)
    mean = np.where(total > 0, total, np.nan) / np.maximum(both.sum(axis=0), 1)
    skills: FloatArray = np.where(both, 1 - errors / mean, np.nan)
    return skills


def beats(errors: FloatArray, baseline_errors: FloatArray) -> FloatArray:
    """Whether errors are smaller than a baseline's on the very same frames.

    Args:
        errors: Any shape; NaN where there is nothing to compare with.
        baseline_errors: Same shape.

    Returns:
        1 where the error is smaller, 0.5 where it is equal, 0 where it is larger; NaN where
        either is.

    Raises:
        ValueError: When shapes differ.
    """
    _check_shapes(errors, baseline_errors)
    compared: FloatArray = (1 + np.sign(baseline_errors - errors)) / 2
    return compared


def _check_shapes(errors: FloatArray, baseline_errors: FloatArray) -> None:
    if errors.shape != baseline_errors.shape:
        raise ValueError(
            f"errors and those of the baseline must have one shape, got {errors.shape} and "
            f"{baseline_errors.shape}"
        )
