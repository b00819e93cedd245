"""The Frechet distance between features of two sets of frames, under Gaussians fitted to both.

With features of a network of this project it is named after that network, never FID: that is the
distance under one certain network, whose weights are not here.
"""

import numpy as np

from diamond.arrays import BoolArray, FloatArray
from diamond.config.metric_table import REAL_SUFFIX

FRECHET = "fd_inverse_dynamics"
NEGLIGIBLE = 1e-6
"""A negative eigenvalue of a covariance is rounding when it is so small beside the largest."""


def gaussian_distance(
    mean_a: FloatArray, cov_a: FloatArray, mean_b: FloatArray, cov_b: FloatArray
) -> float:
    """Squared 2-Wasserstein distance between two Gaussians.

    |m_a - m_b|^2 + tr C_a + tr C_b - 2 tr (C_a^(1/2) C_b C_a^(1/2))^(1/2)

    The last trace is taken as the sum of the singular values of C_a^(1/2) C_b^(1/2): no root of a
    matrix that is not symmetric, and no eigenvalue squared, so that covariances without full rank
    do no harm.

    Args:
        mean_a: (d,).
        cov_a: (d, d), symmetric and positive semidefinite.
        mean_b: (d,).
        cov_b: (d, d).

    Returns:
        At least 0.

    Raises:
        ValueError: A covariance is not symmetric, has a negative eigenvalue or a value that is not
            finite.

    Source: Dowson and Landau (1982), The Frechet distance between multivariate normal
        distributions; for features of networks Heusel et al. 2017 (arXiv:1706.08500).
    """
    shift = float(np.square(mean_a - mean_b).sum())
    cross = np.linalg.norm(_root(cov_a) @ _root(cov_b), ord="nuc")
    return max(0.0, shift + float(np.trace(cov_a) + np.trace(cov_b) - 2 * cross))


def frechet_distance(a: FloatArray, b: FloatArray) -> float:
    """`gaussian_distance` between the Gaussians fitted to two sets of features.

    Few rows bias it upwards, about as 1 / rows: two halves of one set are not at 0. Values from
    different numbers of rows do not compare.

    Args:
        a: (n, d) features, one row a frame.
        b: (m, d).

    Returns:
        At least 0; NaN where a set has fewer than two rows.

    Raises:
        ValueError: A feature is not finite, or the sets have different features.
    """
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise ValueError(f"features must be (n, d) and (m, d), got {a.shape} and {b.shape}")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("a feature is not finite")
    if len(a) < 2 or len(b) < 2:
        return np.nan
    fitted = [(rows.mean(axis=0), np.atleast_2d(np.cov(rows, rowvar=False))) for rows in (a, b)]
    return gaussian_distance(*fitted[0], *fitted[1])


def frechet_scores(
    real: FloatArray, imagined: FloatArray, used: BoolArray
) -> dict[str, FloatArray]:
    """Distance of imagined from real frames, and of real frames from other real frames.

    The latter is between the starts at even and at odd places: other episodes, half as many frames.

    Args:
        real: (starts, horizon, d) features of real frames.
        imagined: The same of imagined frames.
        used: (starts, horizon) bool, the frames that are compared.

    Returns:
        Two arrays (1, 1), NaN where a set has fewer than two frames.
    """
    halves = [real[part::2][used[part::2]] for part in (0, 1)]
    return {
        FRECHET: np.array([[frechet_distance(imagined[used], real[used])]]),
        f"{FRECHET}{REAL_SUFFIX}": np.array([[frechet_distance(*halves)]]),
    }


def _root(cov: FloatArray) -> FloatArray:
    """The symmetric square root of a covariance."""
    if not np.isfinite(cov).all() or not np.allclose(cov, cov.T):
        raise ValueError("a covariance is not symmetric and finite")
    values, vectors = np.linalg.eigh(cov)
    if values[0] < -NEGLIGIBLE * max(values[-1], np.finfo(np.float64).tiny):
        raise ValueError(f"a covariance has the negative eigenvalue {values[0]:g}")
    root: FloatArray = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    return root
