"""How well numbers are told."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from diamond.arrays import FloatArray


def variance_explained(truth: NDArray[Any], guess: NDArray[Any]) -> FloatArray:
    """What each example adds to R2: 1 - |x - y|^2 / V, V the mean of |x - mean x|^2.

    The mean over the examples is R2: 1 for perfect guesses, 0 for always guessing the mean.

    Args:
        truth: (n,) numbers, or (n, k) of k numbers each.
        guess: The same shape.

    Returns:
        (n,), at most 1; NaN where nothing varies.
    """
    x, y = (np.asarray(one, dtype=np.float64).reshape(len(one), -1) for one in (truth, guess))
    errors = np.square(x - y).sum(axis=1)
    spread = np.square(x - x.mean(axis=0)).sum() / len(x) if len(x) else 0.0
    return 1 - errors / spread if spread > 0 else np.full(len(x), np.nan)
