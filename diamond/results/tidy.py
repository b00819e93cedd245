"""A result as one long table of numbers, a row each: for pandas and what draws from it."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from diamond.results.arm_model import Run
from diamond.results.model import Result
from diamond.results.values import MEAN

_NO_STEP = 0
"""In place of a time step, which begin with 1."""
_NO_SEED = -1
_NO_GAME = -1
"""The code of a missing category."""


class _Numbers(NamedTuple):
    """Numbers of one metric of one run: at one time step after another, or one without any."""

    arm: str
    game: str | None
    seed: int | None
    metric: str
    first_step: int | None
    values: Sequence[float | None]


def tidy_table(result: Result) -> pd.DataFrame:
    """The numbers of all runs, a row each; means over seeds and intervals stay in the result.

    Args:
        result: Of an ablation or of a search.

    Returns:
        Columns ``arm``, ``game``, ``metric`` (categories in the order of the result), ``seed``,
        ``time_step`` (Int64, from 1; <NA> of what has none) and ``value`` (float64). A number that
        is not defined has no row.
    """
    found = list(_of_runs(result) if result.search is None else _of_trials(result))
    counts = [len(one.values) for one in found]

    def repeated(each: Iterable[int]) -> NDArray[np.int64]:
        return np.repeat(np.fromiter(each, np.int64, len(found)), counts)

    def category(names: Sequence[str | None]) -> pd.Categorical:
        known = [name for name in dict.fromkeys(names) if name is not None]
        code = {name: number for number, name in enumerate(known)}
        codes = repeated(_NO_GAME if name is None else code[name] for name in names)
        return pd.Categorical.from_codes(codes, known)

    def number(values: NDArray[np.int64], absent: int) -> pd.arrays.IntegerArray:
        return pd.arrays.IntegerArray(values, values == absent)

    values = np.fromiter(
        (np.nan if value is None else value for one in found for value in one.values), np.float64
    )
    begins = np.cumsum(counts) - counts
    within = np.arange(len(values)) - repeated(begins)
    first = repeated(one.first_step or _NO_STEP for one in found)
    steps = np.where(first == _NO_STEP, _NO_STEP, first + within)
    seeds = repeated(_NO_SEED if one.seed is None else one.seed for one in found)
    table = pd.DataFrame(
        {
            "arm": category([one.arm for one in found]),
            "game": category([one.game for one in found]),
            "seed": number(seeds, _NO_SEED),
            "metric": category([one.metric for one in found]),
            "time_step": number(steps, _NO_STEP),
            "value": values,
        }
    )
    return table[~np.isnan(values)].reset_index(drop=True)


def _of_runs(result: Result) -> Iterator[_Numbers]:
    for arm in result.arms:
        for run in arm.runs:
            for metric, curve in run.curves.items():
                yield _Numbers(arm.name, arm.game, run.seed, metric, 1, curve)
            for metric, value in _single(run):
                yield _Numbers(arm.name, arm.game, run.seed, metric, None, (value,))


def _single(run: Run) -> Iterator[tuple[str, float | None]]:
    """The numbers of a run that belong to no time step."""
    for metric, at in run.metrics.items():
        yield metric, at[MEAN]
    if run.returns is not None:
        yield "hns", run.returns.hns
    if run.costs is not None:
        yield from run.costs


def _of_trials(result: Result) -> Iterator[_Numbers]:
    """The objectives of a search; of several games they are means over all of them."""
    assert result.search is not None
    game = result.games[0] if len(result.games) == 1 else None
    for trial in result.search.trials:
        for objective, value in zip(result.search.objectives, trial.values, strict=False):
            step = None if objective.at == MEAN else int(objective.at)
            yield _Numbers(trial.name, game, None, objective.name, step, (value,))
