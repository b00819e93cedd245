"""Scores of several imagined futures of one start: is the real one a likely draw?"""

from math import prod

import numpy as np

from diamond.arrays import ByteArray, FloatArray


def energy_score(real: ByteArray, samples: ByteArray) -> FloatArray:
    """Energy score of k sampled frames against the real one, at each time step; lower is better.

    (1/k) sum_i d(x_i, y) - 1/(2 k (k - 1)) sum_{i != j} d(x_i, x_j), d the root mean square
    difference over pixels and channels of frames in [0, 1]: Euclidean distance over the root of
    their number. The first term is the distance to the truth, the second one gives back what honest
    spread costs, so that in expectation no forecast scores better than the distribution of the real
    frames. With the divisor k (k - 1) that holds for any k: the expectation does not depend on k.

    Args:
        real: uint8 (t, h, w, 3).
        samples: uint8 (k, t, h, w, 3), k at least 2.

    Returns:
        (t,), from 0 to 1: by the triangle inequality the second term is never above the first.

    Raises:
        ValueError: Shapes or types do not agree, or there is one sample only.

    Source: Gneiting and Raftery (2007), Strictly proper scoring rules, prediction, and estimation,
        equation 21; Fricker, Ferro and Stephenson (2013), Three recommendations for evaluating
        climate predictions (the fair form).
    """
    if real.dtype != np.uint8 or samples.dtype != np.uint8 or samples.shape[1:] != real.shape:
        raise ValueError(
            f"real must be uint8 (t, h, w, 3) and samples uint8 (k, t, h, w, 3), got "
            f"{real.dtype} {real.shape} and {samples.dtype} {samples.shape}"
        )
    num_samples = len(samples)
    if num_samples < 2:
        raise ValueError(f"the energy score needs 2 samples at least, got {num_samples}")
    # Sums of products of levels are whole numbers far below 2**53: exact in any order.
    frames = np.concatenate((real[None], samples)).astype(np.float64)
    flat = frames.reshape(num_samples + 1, len(real), prod(real.shape[1:])).swapaxes(0, 1)
    products = flat @ flat.swapaxes(1, 2)
    squares = np.diagonal(products, axis1=1, axis2=2)
    squared = squares[:, :, None] + squares[:, None, :] - 2 * products
    distances = np.sqrt(squared / flat.shape[2]) / 255
    to_real = distances[:, 0, 1:].mean(axis=1)
    among = distances[:, 1:, 1:].sum(axis=(1, 2)) / (2 * num_samples * (num_samples - 1))
    score: FloatArray = to_real - among
    return score
