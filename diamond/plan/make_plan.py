"""From a request to the plan of a study: checks, games, arms, stages."""

from collections.abc import Sequence

from diamond.config.checkpoint_record import read_checkpoint
from diamond.config.game_names import check_games
from diamond.config.run import RunConfig
from diamond.errors import RequestError
from diamond.plan.asked_settings import Layout, layout_of, study_name
from diamond.plan.axis_values import COLLECTOR, OFF_DATA
from diamond.plan.checkpoint_fit import check_fits
from diamond.plan.designs import read_setting
from diamond.plan.match import match_costs
from diamond.plan.path import Path, make_path
from diamond.plan.plan import Arm, Plan, imagines
from diamond.plan.plan_arms import (
    baseline_arms,
    control_arms,
    refuse_equal_arms,
    refuse_other_starts,
    refuse_unscored,
    trained_arms,
)
from diamond.plan.recipe import preset_config
from diamond.plan.recordings.asked_recordings import FLAG
from diamond.plan.recordings.recorded_runs import check_enough_frames, on_recording
from diamond.plan.request import Request, check_stage
from diamond.plan.stage_keys import scores_until
from diamond.plan.variants import Variant, apply_axes, make_variant


def make_plan(request: Request) -> Plan:
    """Check a request and lay out its arms, runs and stages.

    Raises:
        RequestError: Something in the request does not exist or is not allowed.
    """
    layout = layout_of(request)
    shared = read_setting(request.settings, "settings").chosen
    chosen = (*shared, *layout.chosen())
    _check_seeds(request)
    until = check_stage(request.until, request.protocol)
    checkpoint = None if request.checkpoint is None else read_checkpoint(request.checkpoint)
    if checkpoint is not None:
        check_fits(request, checkpoint, tuple(dict.fromkeys(axis for axis, _ in chosen)))
    games = check_games(request.games)
    if request.recordings:
        _check_recorded(request, tuple(axis.name for axis, _ in chosen))
    arms: list[Arm] = []
    paths: dict[str, Path] = {}
    for game in games:
        base = preset_config(request.preset, game, request.protocol)
        if checkpoint is not None:
            base = checkpoint.apply(base)
        base = on_recording(base, request.recordings, request.first_start)
        base = _on_starts(apply_axes(base, shared), request.first_start)
        variants, path = _variants(layout, base)
        if request.match is not None:
            variants = match_costs(request.match, variants)
        for variant in variants:
            check_enough_frames(variant.config, request.recordings)
        made = trained_arms(variants, request, until)
        refuse_other_starts(made)
        refuse_equal_arms(made)
        refuse_unscored(made, until)
        arms += made
        paths |= {} if path is None else {game: path}
    if scores_until(until, request.protocol, "rollouts") and any(imagines(arm) for arm in arms):
        arms += [arm for game in games for arm in baseline_arms(arms, game, until)]
    controls = [arm for game in games for arm in control_arms(arms, game, request, until)]
    study = request.name or study_name(layout, games, request, checkpoint)
    players = (text for axis, text in chosen if axis.name in (COLLECTOR, OFF_DATA))
    collectors = tuple(dict.fromkeys(players))
    return Plan(
        study,
        request,
        layout.design,
        layout.varied,
        tuple(arms),
        paths,
        until,
        collectors,
        tuple(controls),
    )


def _check_seeds(request: Request) -> None:
    if request.num_seeds < 1:
        raise RequestError(f"--seeds {request.num_seeds}: at least 1 seed is needed")
    for option, first in (
        ("--first-seed", request.first_seed),
        ("--first-start", request.first_start),
    ):
        if first < 0:
            raise RequestError(f"{option} {first}: numbers begin at 0\n  allowed: 0 or more")
    if request.aa and request.num_seeds < 2:
        raise RequestError(
            "--aa compares the baseline with itself under other seeds: one seed of each says "
            "nothing of training again\n  add --seeds 3, or more"
        )
    if request.aa and request.checkpoint is not None:
        raise RequestError(
            "--aa with --checkpoint: a checkpoint is one trained model\n  leave one of the two out"
        )


def _check_recorded(request: Request, axes: Sequence[str]) -> None:
    """Refuse what a recording cannot be asked: who plays, and to be collected anew."""
    names = ",".join(one.name for one in request.recordings)
    played = next((axis for axis in axes if axis in (COLLECTOR, OFF_DATA)), None)
    if played is not None:
        raise RequestError(
            f"{played} with {FLAG} {names}: nobody plays, the frames are recorded already\n"
            f"  leave {played} out"
        )
    if request.protocol != "static":
        raise RequestError(
            f"--protocol {request.protocol} with {FLAG} {names}: an agent collects its frames in a "
            "game, a recording has them already\n  allowed: --protocol static"
        )


def _variants(layout: Layout, base: RunConfig) -> tuple[list[Variant], Path | None]:
    """The arms of a game and its path."""
    variants: list[Variant] = []
    path = None
    if layout.ends is not None:
        path, variants = make_path(base, *layout.ends)
    return [*variants, *(make_variant(base, s) for s in (*layout.settings, *layout.arms))], path


def _on_starts(config: RunConfig, first: int) -> RunConfig:
    """The config with its held-out starts from a number on: no axis, all arms share them."""
    references = config.references.model_copy(update={"first_start": first})
    return config.model_copy(update={"references": references})
