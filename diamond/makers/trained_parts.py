"""The stages that train: parts of a world model, policy and judge; the loop: `diamond.training`."""

import json
from math import isnan
from typing import Any, cast

from diamond.config.environments import RecordingConfig, read_environment
from diamond.config.networks import PartConfig
from diamond.config.recording import FramesConfig, ViewConfig
from diamond.config.worlds import find_family
from diamond.data.collect import collect_frames
from diamond.data.dataset import FrameSet
from diamond.data.segments import SegmentSampler
from diamond.engine.output_names import HELD_OUT_FILE, NO_EVENTS, curve_file
from diamond.engine.stage_context import StageContext
from diamond.engine.store import StageResult
from diamond.families.interface import implementation_of
from diamond.makers.stopped_training import Window, find_stopped, keep_stopped
from diamond.nets.inverse_dynamics_net import INVERSE_DYNAMICS, InverseDynamicsNet
from diamond.part import C, Extent, N, Part
from diamond.recordings.recording_files import open_recording
from diamond.recordings.sets import frame_set, played_actions
from diamond.seeds import Purpose, derive
from diamond.stages.policy import curve_updates
from diamond.training.inverse_dynamics_evaluation import judge_held_out, judge_held_out_numbers
from diamond.training.policy_part import POLICY
from diamond.training.training_loop import Training, TrainingState, begin_part
from diamond.weights.trained_networks import load_world, read_shape, save_network, save_weights

RECORDS_PER_STAGE = 200
"""Training curves have about this many points, whatever the number of updates."""


def train_part(context: StageContext) -> StageResult:
    """Train a part of a world model; writes weights.safetensors and shape.json.

    Where it is told to stop early, state.safetensors too, from which a longer training goes on.
    """
    family = context.config["family"]
    own = next(s for s in find_family(family).stages if s.part in context.config)
    part = implementation_of(family).part(own.part)
    folder = context.upstream["frames"]
    frames, config = FrameSet.load(folder), part.section(context.config)
    _train(context, part, frames, read_shape(folder))
    told = _no_events(frames, part.data(config, None))
    return context.result(updates=config.num_trained_updates, **told)


def train_policy(context: StageContext) -> StageResult:
    """Train the actor-critic in imagination; writes weights.safetensors and shape.json.

    Where its learning curve is asked for, its weights on the way too: `curve_file`.
    """
    world = load_world(context).model
    folder, config = context.upstream["frames"], POLICY.section(context.config)
    frames = FrameSet.load(folder)
    curve = curve_updates(config.updates, context.config.get("curve_points", 0))
    _train(context, POLICY, frames, read_shape(folder), world, curve)
    told = _no_events(frames, POLICY.data(config, world))
    return context.result(updates=config.updates, **told)


def _no_events(frames: FrameSet, extent: Extent) -> dict[str, float]:
    """Say so where segments were to be drawn around events, and the frames have none."""
    return {NO_EVENTS: 1.0} if SegmentSampler(frames, extent).lacks_events else {}


def train_inverse_dynamics(context: StageContext) -> StageResult:
    """Train the judge that tells actions from frames, on frames that are recorded for it.

    Without a game it sees those of the recording that the world model learns from.
    Writes weights.safetensors, shape.json and held_out.json.
    """
    config = INVERSE_DYNAMICS.section(context.config)
    environment = read_environment(context.config["environment"])
    view = ViewConfig.model_validate(context.config["view"])
    space = played_actions(context.home, context.config["game"], environment)
    shape = space.shape | {"height": view.height, "width": view.width}
    if isinstance(environment, RecordingConfig):
        recording = open_recording(context.home, str(environment.digest))
        seen = frame_set(recording, view, config.num_frames)
        held_out = frame_set(recording, view, config.num_held_out_frames, held_out=True)
    else:
        seen = _record(context, "training", config.num_frames)
        held_out = _record(context, "held out", config.num_held_out_frames)
    net = _train(context, INVERSE_DYNAMICS, seen, shape)
    rows, timings = _judged(net, held_out, space.codes)
    (context.folder / HELD_OUT_FILE).write_text(json.dumps(rows, allow_nan=False) + "\n")
    return context.result(updates=config.updates, **timings)


def _record(context: StageContext, part: str, num_frames: int) -> FrameSet:
    """Record frames for the judge: episodes of their own, those of each part apart from others."""
    config = INVERSE_DYNAMICS.section(context.config)
    return collect_frames(
        context.config["game"],
        read_environment(context.config["environment"]),
        ViewConfig.model_validate(context.config["view"]),
        FramesConfig(play=config.play, num_frames=num_frames),
        derive(context.seed, Purpose.INVERSE_DYNAMICS_FRAMES, part),
        lambda done, total: context.progress(0, config.updates, f"{part}: {done} frames"),
    )


def _judged(
    net: InverseDynamicsNet, held_out: FrameSet, codes: tuple[int, ...]
) -> tuple[dict[str, object], dict[str, float]]:
    """What held_out.json and the timings of the stage say of the judge.

    Args:
        codes: Of the discrete actions; none of continuous ones.
    """
    if not codes:
        read = judge_held_out_numbers(net, held_out)
        r2, *each = (None if isnan(one) else one for one in (read.r2, *read.each))
        timings = {} if r2 is None else {"held_out_r2": r2}
        return {"num_steps": read.num_steps, "r2": r2, "numbers": each}, timings
    found = judge_held_out(net, held_out)
    actions = [
        {"code": code, "count": count, "recall": recall if count else None}
        for code, count, recall in zip(codes, found.counts, found.recall, strict=True)
    ]
    told = {"accuracy": found.accuracy, "majority_rate": found.majority_rate}
    timings = {f"held_out_{name}": value for name, value in told.items()}
    return {"num_steps": found.num_steps, **told, "actions": actions}, timings


def _train(
    context: StageContext,
    part: Part[N, C],
    frames: FrameSet,
    shape: dict[str, int],
    given: Any = None,
    curve: tuple[int, ...] = (),
) -> N:
    """Train a part on recorded frames and write it; returns the network to use.

    Its weights after the updates of `curve` are kept as well.
    """
    config = part.section(context.config)
    net = part.fresh(config, shape, context.seed, context.device)
    source = SegmentSampler(frames, part.data(config, given))
    training = begin_part(part, net, config, source, context.seed, given)
    context.make_fast(*part.compiled(net), trains=True)
    state = training.state
    _resume(context, state)
    window = _run(context, training, config, curve)
    if state.update < config.updates:
        keep_stopped(context, state, window)
    used = cast("N", state.result())
    save_network(used, shape, context.folder)
    return used


def _resume(context: StageContext, state: TrainingState) -> None:
    """Go back to the checkpoint of the stage, if it has one."""
    saved = context.resume()
    if saved is not None:
        state.restore(saved.tensors, int(saved.counters["done"]))


def _take_over(
    context: StageContext, state: TrainingState, config: PartConfig, every: int
) -> Window:
    """Go on from a training that stopped later, if the home has one; returns its open window."""
    if "stop_after" not in type(config).model_fields:
        return ()
    stopped = find_stopped(context, state.update, config.num_trained_updates, every)
    if stopped is None:
        return ()
    counters = stopped.saved.counters
    state.restore(stopped.saved.tensors, int(counters["done"]))
    context.begin_after(stopped.lines, stopped.seconds)
    window: Window = counters["window"]
    return window


def _run(
    context: StageContext, training: Training, config: PartConfig, curve: tuple[int, ...]
) -> Window:
    """Train as long as the section says; returns the window that is open then."""
    num_updates, end = config.updates, config.num_trained_updates
    every = max(1, num_updates // RECORDS_PER_STAGE)
    window = list(_take_over(context, training.state, config, every))
    _keep(context, training.state, curve)
    for record in training.updates(num_updates, end):
        _keep(context, training.state, curve)
        window.append(record.values)
        context.progress(record.update, end, f"loss {record.values['loss']:.4f}")
        if record.update % every and record.update != num_updates:
            continue
        # Checkpoints fall on the ends of windows, so that a resume averages the same updates.
        context.events.metric(record.update, _mean(window))
        window.clear()
        if context.checkpoint_due():
            context.checkpoint(training.state.tensors(), record.update, end)
    return window


def _keep(context: StageContext, state: TrainingState, curve: tuple[int, ...]) -> None:
    """Write the weights where the curve asks for them: before the checkpoint of that update."""
    if state.update in curve:
        path = context.folder / curve_file(state.update)
        path.parent.mkdir(exist_ok=True)
        save_weights(state.result(), path)


def _mean(window: Window) -> dict[str, float]:
    return {name: sum(values[name] for values in window) / len(window) for name in window[0]}
