"""How much each parameter of a sweep matters to an objective, with intervals."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import optuna
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState

from diamond.results.search import Importance, Share
from diamond.seeds import Purpose, derive
from diamond.sweep.proposals import quiet

MIN_TRIALS = 10
"""Fewer trials say nothing of which parameter matters."""
RESAMPLES = 100
LEVEL = 0.95
SEED = 0


def importance_of(study: optuna.Study, objective: int, resamples: int = RESAMPLES) -> Importance:
    """Share of each parameter in what tells good trials from the others.

    PED-ANOVA on the complete trials: how far the values of the better tenth depart from those of
    all trials. The interval is the percentile bootstrap over trials; it says how much another
    sweep of this length could differ, not what another sampler would look at.

    Args:
        study: The study.
        objective: Which of its objectives.
        resamples: Bootstrap samples behind every interval.

    Returns:
        The shares, the greatest first, or why there are none.

    Source: Watanabe, Bansal, Hutter, "PED-ANOVA", IJCAI 2023 (arXiv 2304.10255).
    """
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(trials) < MIN_TRIALS:
        few = f"{len(trials)} complete trials are too few; at least {MIN_TRIALS} are needed"
        return Importance(objective=objective, reason=few)
    if len({trial.values[objective] for trial in trials}) < 2:
        return Importance(objective=objective, reason="the objective is the same in all trials")
    direction = study.directions[objective]
    found = _shares(trials, objective, direction)
    if found is None:
        return Importance(
            objective=objective, reason="no trial differs from the others in a parameter"
        )
    generator = np.random.Generator(
        np.random.PCG64(derive(SEED, Purpose.IMPORTANCE_BOOTSTRAP, objective))
    )
    drawn = [
        _shares(
            [trials[i] for i in generator.integers(len(trials), size=len(trials))],
            objective,
            direction,
        )
        for _ in range(resamples)
    ]
    rows = []
    for name, value in sorted(found.items(), key=lambda item: -item[1]):
        shares = [one[name] for one in drawn if one is not None and name in one]
        lo, hi = (
            (float(np.quantile(shares, q)) for q in ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
            if len(shares) > resamples / 2
            else (None, None)
        )
        rows.append(Share(name=name, value=value, lo=lo, hi=hi))
    return Importance(objective=objective, rows=tuple(rows))


def _shares(
    trials: Sequence[FrozenTrial], objective: int, direction: Any
) -> dict[str, float] | None:
    """Importances that add up to 1; None where no parameter tells good trials from others."""
    if len({trial.values[objective] for trial in trials}) < 2:
        return None
    with quiet():
        sample = optuna.create_study(direction=direction)
        sample.add_trials(
            optuna.trial.create_trial(
                params=trial.params,
                distributions=trial.distributions,
                value=trial.values[objective],
            )
            for trial in trials
        )
        found = get_param_importances(
            sample, evaluator=PedAnovaImportanceEvaluator(), normalize=False
        )
    total = sum(found.values())
    return {name: value / total for name, value in found.items()} if total > 0 else None
