"""Trials as plans: each is an arm of the study, made of the same stages as any other; no Optuna."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from diamond.config.base import canonical, content_hash
from diamond.config.checkpoint_record import read_checkpoint
from diamond.config.metric_table import NO_CELLS, needs_cells
from diamond.config.overrides import get_field
from diamond.config.run import RunConfig
from diamond.errors import RequestError
from diamond.plan.checkpoint_fit import check_fits
from diamond.plan.designs import read_setting
from diamond.plan.find_axis import find_axis
from diamond.plan.make_plan import make_plan
from diamond.plan.plan import Arm, Plan, Run
from diamond.plan.recipe import preset_config
from diamond.plan.recordings.recorded_runs import on_recording
from diamond.plan.request import Request, check_protocol_name
from diamond.plan.stage_keys import StageName, StageSpec
from diamond.plan.variants import apply_axes, current_texts, fits_family
from diamond.stages.registry import records
from diamond.sweep.declaration import Sweep
from diamond.sweep.objectives import needs_lpips
from diamond.sweep.space import Parameter, Value, texts_of

BASELINE = "baseline"
"""Name of the arm with the preset's own values."""
STOP_AFTER = "denoiser.stop_after"
STOPPED_UPDATES = "denoiser.updates"
"""Field that ends the training of a denoiser on its way, where a pruner looks at it."""


def trial_name(number: int) -> str:
    """The name of a trial as an arm."""
    return f"trial {number}"


def num_trials(entries: Iterable[Mapping[str, Any]]) -> int:
    """How many trials the plans of a sweep name."""
    return len({name.partition(" | ")[0] for entry in entries for name in entry["arms"]})


def trial_plan(
    sweep: Sweep, name: str, texts: Mapping[str, str], stop_after: int | None = None
) -> Plan:
    """The plan of one trial: its runs, and the baselines without training that it shares.

    Args:
        sweep: The sweep.
        name: Name of the arm.
        texts: Text per axis.
        stop_after: Updates of the denoiser after which its fidelity is looked at; None: all.

    Raises:
        RequestError: The values are not allowed together.
    """
    words = [f"{axis}={text}" for axis, text in texts.items()]
    if stop_after is None:
        return make_plan(_request(sweep, f"{name}: {' '.join(words)}"))
    arm = f"{name}: {' '.join([*words, f'{STOP_AFTER}={stop_after}'])}"
    return make_plan(replace(_request(sweep, arm), until="fidelity"))


def rung_plan(plan: Plan, sweep: Sweep, texts: Mapping[str, str], stop_after: int) -> Plan | None:
    """The plan of a trial at a checkpoint of its denoiser, None where its training is not longer.

    Raises:
        RequestError: The values are not allowed together.
    """
    arm = own_arms(plan)[0]
    if stop_after >= get_field(arm.runs[0].config, STOPPED_UPDATES):
        return None
    return trial_plan(sweep, arm.name, texts, stop_after)


def own_arms(plan: Plan) -> list[Arm]:
    """The arm of a trial's plan, once a game."""
    return [arm for arm in plan.arms if arm.kind == "arm"]


def instances(plan: Plan) -> list[Run]:
    """The runs of a trial, seed by seed, and within a seed game by game."""
    arms = own_arms(plan)
    return [arm.runs[index] for index in range(len(arms[0].runs)) for arm in arms]


def stages_for(plan: Plan, runs: Sequence[Run]) -> tuple[StageSpec, ...]:
    """The stages of some runs of a trial and of the baselines that they are scored beside."""
    needed = {spec.key for run in runs for spec in run.all_stages}
    games = {run.config.game for run in runs}
    for arm in plan.arms:
        if arm.kind == "baseline" and arm.game in games:
            needed |= {spec.key for run in arm.runs for spec in run.stages}
    return tuple(spec for spec in plan.stages() if spec.key in needed)


def base_config(sweep: Sweep, game: str) -> RunConfig:
    """What all trials share on a game: the preset, or a checkpoint in it, and the settings."""
    said = sweep.declaration
    base = preset_config(said.preset, game, check_protocol_name(said.protocol))
    if sweep.checkpoint is not None:
        base = read_checkpoint(sweep.checkpoint).apply(base)
    base = on_recording(base, sweep.recordings, 0)
    texts = tuple(f"{axis}={text}" for axis, text in said.settings.items())
    return apply_axes(base, read_setting(texts, "[settings]").chosen)


def identity_of(sweep: Sweep) -> str:
    """Hash of what the trials of a study must agree on to be compared: words and what they mean."""
    configs = {game: base_config(sweep, game) for game in sweep.declaration.games}
    families = dict.fromkeys(config.world.family for config in configs.values())
    numerics = {one.name: one.numerics for one in records(*families)}
    bases = {game: canonical(config) for game, config in configs.items()}
    return content_hash({"said": sweep.identity, "bases": bases, "numerics": numerics})


def baseline_texts(sweep: Sweep) -> dict[str, str]:
    """Text per axis of the values that the preset has; none of an axis of another family."""
    config = base_config(sweep, sweep.declaration.games[0])
    return current_texts((p.name for p in sweep.declaration.parameters), config)


def first_stage(parameter: Parameter) -> StageName:
    """The first stage that a parameter touches; trials share everything before it."""
    return find_axis(parameter.name).first_stage


def _check_stops(sweep: Sweep, config: RunConfig) -> None:
    """Refuse a pruner that stops a training which cannot be stopped."""
    pruner = sweep.declaration.pruner
    if pruner is None or not pruner.at:
        return
    if not fits_family(find_axis(STOP_AFTER), config) or "family" in sweep.declaration.space:
        raise RequestError(
            f"the pruner {pruner.name} looks at a world model at {STOP_AFTER}, which the family "
            f"diamond alone has\n  use the pruner wilcoxon, or leave [pruner] out"
        )


def check_sweep(sweep: Sweep) -> Plan:
    """Refuse a space of which an end is not allowed, before anything runs.

    Returns:
        The plan of the preset's values.

    Raises:
        RequestError: A setting, a value at an end of the space or a time step is not allowed.
    """
    said = sweep.declaration
    if sweep.checkpoint is not None:
        axes = [find_axis(name) for name in (*said.space, *said.settings)]
        check_fits(_request(sweep, ""), read_checkpoint(sweep.checkpoint), tuple(axes))
    baseline = make_plan(_request(sweep, f"{BASELINE}: {_settings_words(sweep)}"))
    baseline_config = own_arms(baseline)[0].runs[0].config
    _check_stops(sweep, baseline_config)
    horizon = baseline_config.rollouts.horizon_steps
    for measure in (*said.measures, *said.bounds):
        if measure.time_step is not None and measure.time_step > horizon:
            raise RequestError(
                f"{measure.name}: the horizon of the preset {said.preset} is {horizon} env steps\n"
                f"  allowed: at = 1 to {horizon}, or none for the mean over all"
            )
        if needs_lpips(measure.quantity) and baseline_config.fidelity.lpips == "none":
            raise RequestError(
                f"{measure.name} is not measured unless it is asked for\n"
                '  add to [settings]: lpips = "alex"'
            )
        if needs_cells(measure.quantity.name) and not baseline_config.shows_cells:
            raise RequestError(f"{measure.name}: {NO_CELLS}")
    for parameter in said.parameters:
        for value in parameter.ends():
            _check_end(sweep, parameter, value)
    return baseline


def _check_end(sweep: Sweep, parameter: Parameter, value: Value) -> None:
    space = {p.name: p for p in sweep.declaration.parameters}
    chosen: dict[str, Value] = {parameter.name: value}
    when = parameter.when
    while when is not None:
        chosen[when.name] = when.values[0]
        when = space[when.name].when
    texts = texts_of(sweep.declaration.parameters, chosen)
    try:
        trial_plan(sweep, "end", texts)
    except RequestError as error:
        raise RequestError(
            f"{sweep.path}: [space] {parameter.name}: {parameter.text(value)} is not allowed\n"
            f"  {error}"
        ) from error


def _settings_words(sweep: Sweep) -> str:
    return " ".join(f"{axis}={text}" for axis, text in baseline_texts(sweep).items())


def _request(sweep: Sweep, arm: str) -> Request:
    said = sweep.declaration
    return Request(
        assignments=(),
        preset=said.preset,
        games=said.games,
        num_seeds=said.seeds,
        until=said.until,
        name=sweep.name,
        checkpoint=sweep.checkpoint,
        protocol=check_protocol_name(said.protocol),
        arms=(arm,),
        settings=tuple(f"{axis}={text}" for axis, text in said.settings.items()),
        recordings=sweep.recordings,
    )
