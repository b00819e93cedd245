"""A search as a study of Optuna in memory, and Optuna's drawing in the style of the other figures.

What is drawn of it: `search_figures`.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from textwrap import fill
from typing import Any

import matplotlib
import optuna
from matplotlib import pyplot, style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.importance import BaseImportanceEvaluator
from optuna.trial import FrozenTrial, TrialState, create_trial

from diamond.report.figures.figure_style import GRID, plain, settings
from diamond.report.numbers import label_of
from diamond.results.search import Objective, Parameter, Search, Trial

_STATES = {
    "complete": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
    "running": TrialState.RUNNING,
}


class Recorded(BaseImportanceEvaluator):
    """The importance that the result has; nothing is estimated again."""

    def __init__(self, shares: dict[str, float]) -> None:
        self._shares = shares

    def evaluate(self, study: optuna.Study, params: Any = None, *, target: Any = None) -> Any:
        """Return the share of each parameter."""
        return self._shares


class _Choice(str):
    """A choice that figures show as it stands, not in quotation marks."""

    __slots__ = ()

    def __repr__(self) -> str:
        return plain(str(self))


def study_of(search: Search, objectives: Sequence[int]) -> optuna.Study:
    """Return a study in memory with the trials of a result, in some of its objectives."""
    chosen = [search.objectives[index] for index in objectives]
    study = optuna.create_study(directions=[each.direction for each in chosen])
    study.set_metric_names([objective_label(each, 46) for each in chosen])
    space = {each.name: _distribution(each, search.trials) for each in search.space}
    numbered = {trial.number: trial for trial in search.trials}
    for number in range(max(numbered, default=-1) + 1):
        trial = numbered.get(number)
        # Trials have their numbers by their order.
        lost = create_trial(state=TrialState.FAIL)
        study.add_trial(lost if trial is None else _trial(search, trial, objectives, space))
    return study


def _trial(
    search: Search, trial: Trial, objectives: Sequence[int], space: dict[str, BaseDistribution]
) -> FrozenTrial:
    asked = {name: space[name] for name in trial.params if name in space}
    params: dict[str, Any] = {}
    for name, distribution in asked.items():
        value = trial.params[name]
        categorical = isinstance(distribution, CategoricalDistribution)
        params[name] = _Choice(value) if categorical else value
    state = _STATES[trial.state]
    if state == TrialState.COMPLETE and not trial.values:
        state = TrialState.FAIL
    complete = state == TrialState.COMPLETE
    return create_trial(
        state=state,
        values=[trial.values[index] for index in objectives] if complete else None,
        params=params,
        distributions=asked,
        intermediate_values=dict(search.reports(trial)),
        constraints={"kept": 1.0} if complete and not trial.feasible else None,
    )


def _distribution(parameter: Parameter, trials: Sequence[Trial]) -> BaseDistribution:
    """Return what a parameter may be, what trials of other studies had beyond it included."""
    found = [trial.params[parameter.name] for trial in trials if parameter.name in trial.params]
    if parameter.kind == "categorical":
        choices = dict.fromkeys([*(parameter.choices or ()), *map(str, found)])
        return CategoricalDistribution([_Choice(choice) for choice in choices])
    numbers = [float(v) for v in (*found, parameter.low, parameter.high) if v is not None]
    low, high = min(numbers), max(numbers)
    log = parameter.log and low > 0
    if parameter.kind == "int":
        return IntDistribution(int(low), int(high), log=log)
    return FloatDistribution(low, high, log=log)


def objective_label(objective: Objective, width: int) -> str:
    """Return the name of an objective in lines of `width` characters, and what is good."""
    return f"{plain(fill(label_of(objective), width))}\n({objective.better})"


@contextmanager
def optuna_drawing(width: float, height: float) -> Iterator[None]:
    """Draw in the style of the other figures, without a window and without remarks.

    Optuna asks for a style by its name, which means nothing while it draws. It draws with pyplot:
    searches are drawn by commands alone, so that no notebook loses its backend.
    """
    pyplot.switch_backend("agg")
    own = settings() | {
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": GRID,
        "grid.linewidth": 0.6,
        "figure.figsize": (width, height),
        "figure.constrained_layout.use": True,
        "lines.markersize": 5.0,
    }
    level, asked = optuna.logging.get_verbosity(), style.library["ggplot"]
    with matplotlib.rc_context(own), warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        warnings.filterwarnings("ignore", "Attempting to set identical", UserWarning)
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        style.library["ggplot"] = matplotlib.RcParams()
        try:
            yield
        finally:
            style.library["ggplot"] = asked
            optuna.logging.set_verbosity(level)


def taken(axes: Axes) -> Figure:
    """Take a figure from pyplot, which would keep it, and its title from it: the page has one."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    pyplot.close(figure)
    figure.suptitle("")
    figure.set_layout_engine("constrained")
    for each in figure.axes:
        each.set_title("")
        each.set_title("", loc="left")
        legend = each.get_legend()
        if legend is not None:
            legend.remove()
    return figure
