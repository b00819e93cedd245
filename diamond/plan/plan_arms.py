"""The arms of a plan: of a game's variants, its controls and its baselines without training."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from diamond.config.base import canonical, canonical_members
from diamond.config.run import RunConfig
from diamond.config.scoring import DEFECTS, Defect
from diamond.config.worlds import family_of, find_family
from diamond.errors import RequestError
from diamond.plan.axis_values import OFF_DATA, current_off_data
from diamond.plan.plan import Arm, Run, arm_of, imagines
from diamond.plan.request import Request
from diamond.plan.stage_keys import StageName, scores_until, stages_by_seed, stages_of
from diamond.plan.variants import Variant, baseline_of
from diamond.stages.fidelity import FIDELITY
from diamond.stages.registry import find_stage_record, left_out, stages_of_run

if TYPE_CHECKING:
    from diamond.families.interface import Family


AA_NAME = "baseline, other seeds"


def trained_arms(
    variants: Sequence[Variant], request: Request, until: StageName | None
) -> list[Arm]:
    """An arm for each variant of a game, and the baseline again where that is asked for."""
    arms = [_arm(variant, request.seeds, until) for variant in variants]
    first = baseline_of(variants)
    arms[first] = replace(arms[first], is_baseline=True)
    if request.aa:
        again = replace(variants[first], name=AA_NAME)
        later = range(request.seeds.stop, request.seeds.stop + request.num_seeds)
        arms.append(replace(_arm(again, later, until), aa=True))
    return arms


def _arm(variant: Variant, seeds: Sequence[int], until: StageName | None) -> Arm:
    runs = [
        Run(variant.config.model_copy(update={"seed": seed}), stages)
        for seed, stages in zip(seeds, stages_by_seed(variant.config, seeds, until), strict=True)
    ]
    return Arm(
        variant.name,
        "arm",
        variant.config.game,
        variant.axis_values,
        tuple(runs),
        matched=variant.matched,
    )


def control_arms(
    arms: Sequence[Arm], game: str, request: Request, until: StageName | None
) -> list[Arm]:
    """The baseline arm of a game with each known defect; it shares all training.

    Raises:
        RequestError: Nothing is imagined or scored, or there are no actions of another start.
    """
    if not request.controls:
        return []
    baseline = next(arm for arm in arms if arm.game == game and arm.is_baseline)
    if not imagines(baseline) or not scores_until(until, request.protocol):
        why = f"--until {until}" if imagines(baseline) else f"the arm {baseline.name!r}"
        raise RequestError(
            f"--controls with {why}: no imagined frames are scored, so no metric can tell a "
            "defect\n  leave --controls out, or score frames: --until fidelity, or all"
        )
    config = baseline.runs[0].config
    if config.rollouts.num_starts < 2 or config.rollouts.defect != "none":
        raise RequestError(
            f"--controls with rollouts.num_starts={config.rollouts.num_starts} and "
            f"rollouts.defect={config.rollouts.defect}: defects are made of the baseline arm\n"
            "  allowed: two starts or more, and a baseline arm without a defect"
        )
    return [_control(baseline, defect, request.seeds) for defect in DEFECTS]


def _control(baseline: Arm, defect: Defect, seeds: Sequence[int]) -> Arm:
    config = baseline.runs[0].config
    rollouts = config.rollouts.model_copy(update={"defect": defect})
    variant = Variant(
        f"control {defect}", config.model_copy(update={"rollouts": rollouts}), baseline.axis_values
    )
    return replace(_arm(variant, seeds, FIDELITY.name), kind="control", matched=baseline.matched)


def baseline_arms(arms: Sequence[Arm], game: str, until: StageName | None) -> list[Arm]:
    """World models without training, on the starts of the first arm of a game.

    They are the controls of the families of all its arms.
    """
    families = [family_of(arm.runs[0].config) for arm in arms if arm.game == game]
    controls = dict.fromkeys(name for family in families for name in family.controls)
    config = arm_of(arms, game).runs[0].config
    return [_baseline_arm(config, find_family(name), until) for name in controls]


def baseline_config(config: RunConfig, family: "Family") -> RunConfig:
    """A run of a family without training beside another run."""
    world = family.preset(config.preset, config.game)
    update = {"world": world, "protocol": "static", "online": None, "imported": None}
    return config.model_copy(update=update)


def _baseline_arm(config: RunConfig, family: "Family", until: StageName | None) -> Arm:
    own = baseline_config(config, family)
    return Arm(family.title, "baseline", own.game, {}, (Run(own, stages_of(own, until)),))


def refuse_unscored(arms: list[Arm], until: StageName | None) -> None:
    """Refuse to stop at a stage that an arm does not have."""
    for arm in arms:
        config = arm.runs[0].config
        if until is not None and "real" not in find_stage_record(until).runs and not imagines(arm):
            raise RequestError(
                f"--until {until}: the arm {arm.name!r} is trained in the real game and imagines "
                "nothing\n  allowed with it: agent, returns, all"
            )
        allowed = [stage.name for stage in stages_of_run(config)]
        if until is not None and until in (reasons := left_out(config)):
            raise RequestError(
                f"--until {until}: {reasons[until]}, so there is no such stage\n"
                f"  allowed with it: {', '.join(allowed)}, all"
            )
        if until is not None and imagines(arm) and until not in allowed:
            raise RequestError(
                f"--until {until}: the arm {arm.name!r} of the family {config.world.family} has no "
                f"such stage\n  allowed with it: {', '.join(allowed)}, all"
            )


def refuse_other_starts(arms: list[Arm]) -> None:
    """Refuse arms that are scored against starts of different players."""
    found = {current_off_data(arm.runs[0].config): arm.name for arm in arms}
    if len(found) > 1:
        told = "; ".join(f"{player} ({arm})" for player, arm in found.items())
        raise RequestError(
            f"{OFF_DATA} differs between arms: {told}\n  all arms of a study are scored against "
            f"the same real frames: give it once, for instance --set {OFF_DATA}=shipped"
        )


def refuse_equal_arms(arms: list[Arm]) -> None:
    """Refuse arms of one name, and arms that are the same runs."""
    seen: dict[str, str] = {}
    families = {arm.runs[0].config.world.family for arm in arms}
    names = {find_family(name).title for one in families for name in find_family(one).controls}
    for arm in arms:
        if arm.name in names:
            raise RequestError(
                f"two arms are called {arm.name!r}; give one of them another name with --arm"
            )
        names.add(arm.name)
        identity = canonical_members(canonical(arm.runs[0].config))
        if identity in seen:
            raise RequestError(
                f"{seen[identity]!r} and {arm.name!r} are the same run; "
                "give each value and each arm once"
            )
        seen[identity] = arm.name
    _refuse_untouched(arms)


def _refuse_untouched(arms: Sequence[Arm]) -> None:
    """Refuse arms that differ in nothing but stages that a recording leaves out."""
    seen: dict[tuple[str, ...], str] = {}
    for arm in arms:
        config = arm.runs[0].config
        reasons = left_out(config)
        if not reasons:
            continue
        keys = tuple(spec.key for spec in stages_of(config))
        if keys in seen:
            told = "; ".join(dict.fromkeys(reasons.values()))
            raise RequestError(
                f"{seen[keys]!r} and {arm.name!r} are the same run on {arm.game}: they differ in "
                f"what is left out ({', '.join(reasons)}: {told})\n"
                "  vary what its stages read: `diamond axes` says of each axis which one is first"
            )
        seen[keys] = arm.name
