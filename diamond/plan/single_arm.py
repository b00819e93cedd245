"""A plan with one trained world model, beside the baselines without training."""

from pathlib import Path

from diamond.config.base import canonical, content_hash
from diamond.config.game_names import slug_of
from diamond.config.run import RunConfig
from diamond.plan.plan import Arm, Plan, Run
from diamond.plan.plan_arms import baseline_arms
from diamond.plan.request import Request
from diamond.plan.stage_keys import StageName, StageSpec, stages_of

UNTIL: StageName = "fidelity"
NOT_READ: frozenset[StageName] = frozenset({"frames"})
"""Stages that no rollout reads where the world model is trained already."""


def fidelity_plan(name: str, config: RunConfig, checkpoint: Path | None) -> Plan:
    """Lay out the scoring of one trained world model.

    Args:
        name: Of the arm.
        config: What it is, how frames are drawn, the starts and the horizon.
        checkpoint: The folder that it comes from, None for a stage of the home.

    Returns:
        A plan named after the config, so that another model, horizon or number of starts is another
        one. The frames that the model was trained on are not in it.
    """
    study = f"fidelity-{slug_of(config.game)}-{content_hash(canonical(config))[:8]}"
    request = Request(
        (),
        config.preset,
        (config.game,),
        1,
        UNTIL,
        study,
        checkpoint,
        config.protocol,
        arms=(name,),
    )
    arm = Arm(name, "arm", config.game, {}, (Run(config, _read(stages_of(config, UNTIL))),), True)
    arms = (arm, *baseline_arms([arm], config.game, UNTIL))
    return Plan(study, request, "arms", (), arms, {}, UNTIL, ())


def _read(stages: tuple[StageSpec, ...]) -> tuple[StageSpec, ...]:
    return tuple(spec for spec in stages if spec.stage not in NOT_READ)
