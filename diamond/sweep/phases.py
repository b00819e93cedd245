"""The parts of a trial: up to each look of the pruner, and to its end."""

from collections.abc import Mapping
from dataclasses import dataclass

from diamond.plan.plan import Plan, Run
from diamond.plan.stage_keys import StageSpec
from diamond.stages.registry import stage_names
from diamond.sweep.declaration import Sweep
from diamond.sweep.trials import instances, rung_plan, stages_for


@dataclass(frozen=True)
class Phase:
    """A part of a trial at whose end a pruner looks, or the trial ends.

    Attributes:
        step: What the pruner is told that the value belongs to; None: nothing is told.
        plan: The plan whose stages are made.
        runs: The runs that are made whole.
        specs: Their stages.
    """

    step: int | None
    plan: Plan
    runs: tuple[Run, ...]
    specs: tuple[StageSpec, ...]


def phases_of(sweep: Sweep, plan: Plan, texts: Mapping[str, str]) -> list[Phase]:
    """The parts of a trial: up to each look of the pruner, and to its end."""
    pruner, runs = sweep.declaration.pruner, tuple(instances(plan))
    whole = Phase(None, plan, runs, stages_for(plan, runs))
    if pruner is None:
        return [whole]
    if pruner.name == "wilcoxon":
        found = [Phase(n, plan, (r,), stages_for(plan, (r,))) for n, r in enumerate(runs)]
        return [*found, whole]
    rungs = []
    for updates in pruner.at:
        rung = rung_plan(plan, sweep, texts, updates)
        if rung is not None:
            own = tuple(instances(rung))
            rungs.append(Phase(updates, rung, own, stages_for(rung, own)))
    return [*rungs, whole]


def priority(number: int, spec: StageSpec) -> float:
    """Earlier trials go first, and of one trial the stages that others wait for."""
    stages = stage_names()
    return -number * len(stages) - stages.index(spec.stage)
