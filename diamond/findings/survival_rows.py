"""How long the imagined frames of each arm stay near the real ones: rows of the document."""

from functools import lru_cache
from pathlib import Path

import numpy as np

from diamond.config.metric_table import METRIC_OF
from diamond.engine.output_names import SCORES_FILE
from diamond.engine.store import Store
from diamond.findings.arm_inputs import find_stage, scored_on
from diamond.plan.plan import Arm, Plan
from diamond.results.comparison_model import SurvivalCurve, SurvivalRow
from diamond.results.rollout_estimates import load_scores, nan_mean, over_horizon
from diamond.stats.survival_analysis import Survival, first_above, kaplan_meier, survival_over_seeds

Files = tuple[Path, ...]
"""The files of the scores of one run."""

METRIC = "l1"
"""The drift: it is defined wherever the real episode goes on, and says when frames differ."""

REFERENCE = "copy_last"
"""The family whose drift sets the threshold: a picture that stands still.

Further from the real frames than that on average, a rollout tells less of them than
repeating the last frame. Skill below 0 at one time step is not used: at t = 1 and in frozen frames
the copy is nearly or wholly exact, and any model would be lost at once.
"""

METHOD_SEEDS = "mean of Kaplan-Meier curves, t over seeds"
METHOD_STARTS = "Kaplan-Meier, Greenwood log-log over starts within one trained model"
NO_REFERENCE = "the arm that repeats the last frame has no scores"
NO_DRIFT = "the arm that repeats the last frame has no drift: no real frame follows any start"
NO_SCORES = "no scores"
OTHER_VIEW = "scored at another view than the arm that repeats the last frame"


def survival_rows(plan: Plan, game: str, store: Store, horizon: int) -> tuple[SurvivalRow, ...]:
    """Survival of the fidelity of each arm of a game that imagines.

    A start is lost at the first time step at which its drift is above the threshold: the mean drift
    of copying the last frame, over starts and horizon. It is censored by the end of
    its real episode and by the horizon.

    Returns:
        A row for each arm whose plan scores it; where nothing is defined, with the `reason`.
    """
    arms = [
        arm
        for arm in plan.arms
        if arm.game == game and find_stage(arm.runs[0], METRIC_OF[METRIC].stage) is not None
    ]
    reference = next((arm for arm in arms if arm.runs[0].config.world.family == REFERENCE), None)
    drift = _files(reference, store) if reference is not None else ()
    rows = []
    for arm in arms:
        files = _files(arm, store)
        if not drift or reference is None:
            reason = NO_REFERENCE
        elif np.isnan(threshold_of(drift[0])):
            reason = NO_DRIFT
        elif not files:
            reason = NO_SCORES
        elif scored_on(arm) != scored_on(reference):
            reason = OTHER_VIEW
        else:
            reason = None
        found = survival_of(files, drift[0], horizon) if reason is None else SurvivalCurve()
        rows.append(SurvivalRow(game=game, arm=arm.name, metric=METRIC, reason=reason, curve=found))
    return tuple(rows)


def _files(arm: Arm, store: Store) -> tuple[Files, ...]:
    """The file of the drift of each run that is scored; of one file, as `load_scores` takes it."""
    specs = [find_stage(run, METRIC_OF[METRIC].stage) for run in arm.runs]
    return tuple(
        (store.folder(spec.stage, spec.key) / SCORES_FILE,)
        for spec in specs
        if spec is not None and store.status(spec) == "done"
    )


@lru_cache(maxsize=64)
def threshold_of(drift: Files) -> float:
    """Mean drift of a still picture over starts and horizon, NaN where it is defined nowhere."""
    return nan_mean(over_horizon(load_scores(drift)[METRIC]))


@lru_cache(maxsize=1024)
def survival_of(runs: tuple[Files, ...], drift: Files, horizon: int) -> SurvivalCurve:
    """The survival of an arm, made once: files of scores never change once they are there."""
    threshold = threshold_of(drift)
    times = [first_above(load_scores(files)[METRIC], threshold) for files in runs]
    seeds_decide = len(times) > 1
    found: Survival = (
        survival_over_seeds(times, horizon) if seeds_decide else kaplan_meier(times[0], horizon)
    )
    return SurvivalCurve(
        threshold=threshold,
        steps=tuple(range(1, horizon + 1)),
        survival=found.survival.tolist(),
        lo=found.lo.tolist(),
        hi=found.hi.tolist(),
        at_risk=found.at_risk.tolist(),
        n=len(times) if seeds_decide else len(times[0].steps),
        median=found.median,
        unit="seed" if seeds_decide else "start",
        method=METHOD_SEEDS if seeds_decide else METHOD_STARTS,
    )
