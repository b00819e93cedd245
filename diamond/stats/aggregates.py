"""Aggregates of scores over runs and games, with stratified bootstrap intervals; no games here."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from diamond.arrays import FloatArray
from diamond.stats.intervals import DEFAULT_NUM_RESAMPLES, TAIL

AGGREGATES = ("mean", "median", "iqm", "optimality_gap")
"""Names of the values that `aggregates` returns, in their order."""

TAILS = (TAIL, 1 - TAIL)
"""Probabilities below the two bounds of an interval."""

TRIMMED = 0.25
"""Share of the pooled scores that the IQM leaves out at each end."""

BLOCK_VALUES = 1 << 20
"""Numbers resampled at once: 8 MiB, whatever the number of runs and of resamples."""

Statistic = Callable[[FloatArray], FloatArray]
"""From scores (..., runs, games) to values (..., k)."""


@dataclass(frozen=True, slots=True)
class Estimates:
    """Values with percentile intervals, each of shape (k,); the bounds are NaN with one run."""

    values: FloatArray
    lo: FloatArray
    hi: FloatArray


@dataclass(frozen=True, slots=True)
class Improvement:
    """P(X > Y) with its interval; the bounds are NaN where either side has one run."""

    probability: float
    lo: float
    hi: float


def human_normalised(scores: FloatArray, random: FloatArray, human: FloatArray) -> FloatArray:
    """Human-normalised scores: 0 is random play, 1 the human reference.

    Args:
        scores: Points of the game, shape (..., runs, games).
        random: Points of random play, shape (games,).
        human: Points of the human reference, shape (games,), nowhere equal to `random`.

    Returns:
        (score - random) / (human - random), of the shape of `scores`.

    Source: Mnih et al. (2015), Human-level control through deep reinforcement learning.
    """
    return (scores - random) / (human - random)


def mean_score(scores: FloatArray) -> FloatArray:
    """Mean over games of the means over runs: (..., runs, games) to (...)."""
    return np.asarray(scores.mean(axis=-2).mean(axis=-1))


def median_score(scores: FloatArray) -> FloatArray:
    """Median over games of the means over runs: (..., runs, games) to (...)."""
    return np.asarray(np.median(scores.mean(axis=-2), axis=-1))


def iqm(scores: FloatArray) -> FloatArray:
    """Interquartile mean: mean of the pooled runs x games without a quarter at each end.

    Args:
        scores: Shape (..., runs, games). The number left out at each end is rounded down.

    Returns:
        Shape (...).

    Source: Agarwal et al. (2021), arXiv:2108.13264, section 4.3. It is not the trimmed mean of the
        per-game means, which is another number.
    """
    pooled = np.sort(_pooled(scores), axis=-1)
    cut = int(TRIMMED * pooled.shape[-1])
    return np.asarray(pooled[..., cut : pooled.shape[-1] - cut].mean(axis=-1))


def optimality_gap(scores: FloatArray) -> FloatArray:
    """How far the pooled runs x games stay below 1: 1 - mean(min(score, 1)).

    Args:
        scores: Shape (..., runs, games).

    Returns:
        Shape (...); 0 when every run reaches 1, lower is better.

    Source: Agarwal et al. (2021), arXiv:2108.13264, section 4.3, with gamma = 1.
    """
    return np.asarray(1.0 - np.minimum(_pooled(scores), 1.0).mean(axis=-1))


def aggregates(scores: FloatArray) -> FloatArray:
    """Mean, median, IQM and optimality gap: (..., runs, games) to (..., 4)."""
    statistics = (mean_score, median_score, iqm, optimality_gap)
    return np.stack([statistic(scores) for statistic in statistics], axis=-1)


def performance_profile(scores: FloatArray, taus: FloatArray) -> FloatArray:
    """Share of the pooled runs x games whose score is above each threshold.

    Args:
        scores: Shape (..., runs, games).
        taus: Thresholds in the unit of the scores, shape (k,).

    Returns:
        Shape (..., k), in [0, 1]. A score that equals a threshold is not above it.

    Source: Agarwal et al. (2021), arXiv:2108.13264, section 4.2.
    """
    pooled = _pooled(scores)
    return np.stack([(pooled > tau).mean(axis=-1) for tau in taus], axis=-1)


def superhuman(scores: FloatArray, human: FloatArray) -> int:
    """Number of games whose mean over runs is at least the human score.

    Args:
        scores: Points of the game, shape (runs, games).
        human: Points of the human reference, shape (games,).

    Returns:
        A count. A tie counts, as in the published tables: IRIS has exactly the human score in Pong
        and is printed with 10 superhuman games, not 9.
    """
    return int((scores.mean(axis=0) >= human).sum())


def stratified_bootstrap(
    scores: FloatArray,
    statistic: Statistic,
    seed: int,
    num_resamples: int = DEFAULT_NUM_RESAMPLES,
) -> Estimates:
    """Percentile intervals from resampling the runs within each game.

    The games are the benchmark, not a sample: the spread is that of training again on these games.

    Args:
        scores: One score for each run and game, shape (runs, games).
        statistic: What to estimate: from (..., runs, games) to (..., k).
        seed: Seed of the resampling, from `diamond.seeds.derive`.

    Returns:
        The statistic of the scores with its bounds, each of shape (k,). With one run the bounds are
        NaN, because resampling one run shows no spread.

    Raises:
        ValueError: When the scores are not a 2-D array with values.

    Source: Agarwal et al. (2021), arXiv:2108.13264, section 4.1.
    """
    _check(scores)
    values = statistic(scores)
    if scores.shape[0] < 2:
        undefined = np.full(values.shape, np.nan)
        return Estimates(values, undefined, undefined.copy())
    rng = np.random.default_rng(seed)
    resampled = [statistic(block) for block in _resampled(scores, rng, num_resamples)]
    lo, hi = np.quantile(np.concatenate(resampled), TAILS, axis=0)
    return Estimates(values, lo, hi)


def probability_of_improvement(
    x: FloatArray,
    y: FloatArray,
    seed: int,
    num_resamples: int = DEFAULT_NUM_RESAMPLES,
) -> Improvement:
    """Probability that a run of X beats a run of Y on a random game of the benchmark.

    Args:
        x: Scores of X, shape (runs of X, games).
        y: Scores of Y on the same games in the same order, shape (runs of Y, games).
        seed: Seed of the resampling, from `diamond.seeds.derive`.

    Returns:
        Mann-Whitney U of X over the number of pairs of runs, averaged over games; a tie is half a
        win. The interval resamples the runs of X and of Y within each game.

    Raises:
        ValueError: When the scores are not 2-D arrays with values or the numbers of games differ.

    Source: Agarwal et al. (2021), arXiv:2108.13264, section 4.3; Mann and Whitney (1947).
    """
    _check(x)
    _check(y)
    if x.shape[1] != y.shape[1]:
        raise ValueError(f"X has {x.shape[1]} games, Y has {y.shape[1]}")
    wins = (1.0 + np.sign(x[:, None, :] - y[None, :, :])) / 2
    probability = float(wins.mean(axis=(0, 1)).mean())
    if min(x.shape[0], y.shape[0]) < 2:
        return Improvement(probability, np.nan, np.nan)
    rng = np.random.default_rng(seed)
    resampled = np.zeros(num_resamples)
    for game in range(x.shape[1]):
        weights_x = _bootstrap_weights(rng, x.shape[0], num_resamples)
        weights_y = _bootstrap_weights(rng, y.shape[0], num_resamples)
        resampled += ((weights_x @ wins[:, :, game]) * weights_y).sum(axis=1)
    lo, hi = np.quantile(resampled / x.shape[1], TAILS)
    return Improvement(probability, float(lo), float(hi))


def _resampled(
    scores: FloatArray, rng: np.random.Generator, num_resamples: int
) -> Iterator[FloatArray]:
    """Yield resamples (b, runs, games): each game draws its runs by itself, with replacement."""
    block = max(1, BLOCK_VALUES // scores.size)
    for first in range(0, num_resamples, block):
        count = min(block, num_resamples - first)
        picks = rng.integers(scores.shape[0], size=(count, *scores.shape))
        yield np.take_along_axis(scores[None], picks, axis=1)


def _bootstrap_weights(rng: np.random.Generator, num_runs: int, num_resamples: int) -> FloatArray:
    """Shares of the runs in each resample: (resamples, runs), rows of sum 1."""
    counts = rng.multinomial(num_runs, np.full(num_runs, 1 / num_runs), size=num_resamples)
    return counts / num_runs


def _pooled(scores: FloatArray) -> FloatArray:
    """Lay runs and games side by side: (..., runs, games) to (..., runs x games)."""
    return scores.reshape(*scores.shape[:-2], -1)


def _check(scores: FloatArray) -> None:
    if scores.ndim != 2 or scores.size == 0:
        raise ValueError(f"scores must have shape (runs, games), not empty, got {scores.shape}")
