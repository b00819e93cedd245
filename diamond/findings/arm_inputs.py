"""What arms see, read and share, by the plan alone; their scores are in `arm_scores`."""

from collections.abc import Sequence

from diamond.config.base import canonical, canonical_json
from diamond.config.recording import ViewConfig
from diamond.config.worlds import family_of
from diamond.plan.plan import Arm, Run
from diamond.plan.stage_keys import StageName, StageSpec


def view_of(arm: Arm) -> ViewConfig:
    """What the runs of an arm see of the screen, and are scored at."""
    return arm.runs[0].config.view


def scored_on(arm: Arm) -> tuple[ViewConfig, str]:
    """The view of an arm and how its game is played: metrics of others cannot be compared."""
    return view_of(arm), canonical_json(canonical(arm.runs[0].config.environment))


def views_of(arms: Sequence[Arm]) -> list[ViewConfig]:
    """The views of arms, each once: pixel metrics of different ones cannot be compared."""
    return list(dict.fromkeys(view_of(arm) for arm in arms))


def find_stage(run: Run, stage: StageName) -> StageSpec | None:
    """The stage of a run by name, None when the plan stops before it."""
    return next((spec for spec in run.stages if spec.stage == stage), None)


def trained_model(arm: Arm) -> str | None:
    """What imagines in the first run of an arm: equal where arms share one trained model.

    The key of the part that draws its frames, online that of the whole agent; the weights of
    imported networks.
    """
    run = arm.runs[0]
    if run.config.imported is not None:
        return run.config.imported.weights[family_of(run.config).drawing[0].part]
    names = [*(stage.name for stage in family_of(run.config).drawing), "agent"]
    found = [spec.key for spec in run.stages if spec.stage in names]
    return " ".join(found) or None
