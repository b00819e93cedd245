"""The stages that train: denoiser, reward_end, policy and the judge; loops: `diamond.training`."""

import json
from dataclasses import dataclass

from diamond.config.networks import (
    DenoiserConfig,
    OptimizerConfig,
    PolicyConfig,
    RewardEndConfig,
    SamplerConfig,
)
from diamond.config.run import EmulatorConfig, FramesConfig, InverseDynamicsConfig, ViewConfig
from diamond.data.collect import collect_frames
from diamond.data.dataset import FrameSet, PaddedSegmentSampler, SegmentSampler
from diamond.envs.atari import AtariEnv
from diamond.pipeline.context import StageContext
from diamond.pipeline.models import (
    build_inverse_dynamics,
    build_policy,
    load_world,
    read_shape,
    save_network,
)
from diamond.pipeline.outputs import HELD_OUT_FILE
from diamond.pipeline.stopped import Window, find_stopped, keep_stopped
from diamond.pipeline.store import StageResult
from diamond.rng import seeded_init
from diamond.seeds import Purpose, derive
from diamond.training.inverse_dynamics import HeldOut, inverse_dynamics_loss, judge_held_out
from diamond.training.losses import denoiser_loss, policy_loss, reward_end_loss
from diamond.training.state import Loss, TrainingState, begin, train
from diamond.world.build import build_denoiser, build_reward_end

RECORDS_PER_STAGE = 200
"""Training curves have about this many points, whatever the number of updates."""


@dataclass(frozen=True)
class _Course:
    """How long a network is trained, and how.

    Attributes:
        optimizer: Learning rate and clipping.
        num_updates: Updates in all, from which the learning rate follows.
        ema: Decay of the averaged weights, 0 when there are none.
        stop: Updates after which training stops, None at the end.
    """

    optimizer: OptimizerConfig
    num_updates: int
    ema: float = 0.0
    stop: int | None = None

    @property
    def every(self) -> int:
        """Updates between two points of the training curves."""
        return max(1, self.num_updates // RECORDS_PER_STAGE)


def train_denoiser(context: StageContext) -> StageResult:
    """Train the denoiser; writes weights.safetensors and shape.json.

    Where it is told to stop early, state.safetensors too, from which a longer training goes on.
    """
    config = DenoiserConfig.model_validate(context.config["denoiser"])
    shape = read_shape(context.upstream["frames"])
    segments = SegmentSampler(FrameSet.load(context.upstream["frames"]), config.segment_steps)
    with seeded_init(context.seed, Purpose.DENOISER_INIT):
        denoiser = build_denoiser(config, shape).to(context.device)
    state = begin(denoiser, config.optimizer, config.ema)
    context.make_fast(denoiser.net, trains=True)
    loss_of = denoiser_loss(denoiser, segments, context.seed)
    course = _Course(config.optimizer, config.updates, config.ema, config.stop_after)
    _resume(context, state)
    window = _run(context, state, loss_of, course, _take_over(context, state, course))
    if config.stop_after is not None:
        keep_stopped(context, state, window)
    save_network(state.result(), shape, context.folder)
    return context.result(updates=state.update)


def train_reward_end(context: StageContext) -> StageResult:
    """Train the reward/end model; writes weights.safetensors and shape.json."""
    config = RewardEndConfig.model_validate(context.config["reward_end"])
    shape = read_shape(context.upstream["frames"])
    frames = FrameSet.load(context.upstream["frames"])
    segments = PaddedSegmentSampler(frames, config.sequence_steps)
    with seeded_init(context.seed, Purpose.REWARD_END_INIT):
        net = build_reward_end(config, shape).to(context.device)
    state = begin(net, config.optimizer)
    context.make_fast(net, trains=True)
    loss_of = reward_end_loss(net, config, segments, context.seed)
    _resume(context, state)
    _run(context, state, loss_of, _Course(config.optimizer, config.updates))
    save_network(state.result(), shape, context.folder)
    return context.result(updates=config.updates)


def train_policy(context: StageContext) -> StageResult:
    """Train the actor-critic in imagination; writes weights.safetensors and shape.json."""
    config = PolicyConfig.model_validate(context.config["policy"])
    sampler = SamplerConfig.model_validate(context.config["sampler"])
    shape = read_shape(context.upstream["frames"])
    world = load_world(context, sampler)
    history = DenoiserConfig.model_validate(context.upstream_config("denoiser")["denoiser"]).history
    num_frames = max(history, config.burn_in_frames)
    starts = SegmentSampler(FrameSet.load(context.upstream["frames"]), num_frames)
    with seeded_init(context.seed, Purpose.POLICY_INIT):
        net = build_policy(config, shape).to(context.device)
    state = begin(net, config.optimizer)
    loss_of = policy_loss(net, config, world, starts, context.seed)
    _resume(context, state)
    _run(context, state, loss_of, _Course(config.optimizer, config.updates))
    save_network(state.result(), shape, context.folder)
    return context.result(updates=config.updates)


def train_inverse_dynamics(context: StageContext) -> StageResult:
    """Train the judge that tells actions from frames, on frames that are recorded for it.

    Writes weights.safetensors, shape.json and held_out.json.
    """
    config = InverseDynamicsConfig.model_validate(context.config["inverse_dynamics"])
    emulator = EmulatorConfig.model_validate(context.config["emulator"])
    view = ViewConfig.model_validate(context.config["view"])
    codes = AtariEnv(context.config["game"], emulator).action_codes
    shape = {"num_actions": len(codes), "height": view.height, "width": view.width}
    seen = _record(context, "training", config.num_frames)
    held_out = _record(context, "held out", config.num_held_out_frames)
    with seeded_init(context.seed, Purpose.INVERSE_DYNAMICS_INIT):
        net = build_inverse_dynamics(config, shape).to(context.device)
    state = begin(net, config.optimizer)
    loss_of = inverse_dynamics_loss(net, SegmentSampler(seen, 1), config.batch_size, context.seed)
    _resume(context, state)
    _run(context, state, loss_of, _Course(config.optimizer, config.updates))
    save_network(net, shape, context.folder)
    found = judge_held_out(net, held_out)
    rows = _held_out_rows(found, codes)
    (context.folder / HELD_OUT_FILE).write_text(json.dumps(rows, allow_nan=False) + "\n")
    return context.result(
        updates=config.updates,
        held_out_accuracy=found.accuracy,
        held_out_majority_rate=found.majority_rate,
    )


def _record(context: StageContext, part: str, num_frames: int) -> FrameSet:
    """Record frames for the judge: episodes of their own, those of each part apart from others."""
    config = InverseDynamicsConfig.model_validate(context.config["inverse_dynamics"])
    return collect_frames(
        context.config["game"],
        EmulatorConfig.model_validate(context.config["emulator"]),
        ViewConfig.model_validate(context.config["view"]),
        FramesConfig(play=config.play, num_frames=num_frames),
        derive(context.seed, Purpose.INVERSE_DYNAMICS_FRAMES, part),
        lambda done, total: context.progress(0, config.updates, f"{part}: {done} frames"),
    )


def _held_out_rows(found: HeldOut, codes: tuple[int, ...]) -> dict[str, object]:
    return {
        "num_steps": found.num_steps,
        "accuracy": found.accuracy,
        "majority_rate": found.majority_rate,
        "actions": [
            {"code": code, "count": count, "recall": recall if count else None}
            for code, count, recall in zip(codes, found.counts, found.recall, strict=True)
        ],
    }


def _resume(context: StageContext, state: TrainingState) -> None:
    """Go back to the checkpoint of the stage, if it has one."""
    saved = context.resume()
    if saved is not None:
        state.restore(saved.tensors, int(saved.counters["done"]))


def _take_over(context: StageContext, state: TrainingState, course: _Course) -> Window:
    """Go on from a training that stopped later, if the home has one; returns its open window."""
    stopped = find_stopped(context, state.update, course.every)
    if stopped is None:
        return ()
    counters = stopped.saved.counters
    state.restore(stopped.saved.tensors, int(counters["done"]))
    context.begin_after(stopped.lines, stopped.seconds)
    window: Window = counters["window"]
    return window


def _run(
    context: StageContext, state: TrainingState, loss_of: Loss, course: _Course, begun: Window = ()
) -> Window:
    """Train to the end of a course, or to its stop; returns the window that is open then."""
    num_updates, window = course.num_updates, list(begun)
    end = num_updates if course.stop is None else course.stop
    for record in train(state, loss_of, course.optimizer, num_updates, course.ema, end):
        window.append(record.values)
        context.progress(record.update, end, f"loss {record.values['loss']:.4f}")
        if record.update % course.every and record.update != num_updates:
            continue
        # Checkpoints fall on the ends of windows, so that a resume averages the same updates.
        context.events.metric(record.update, _mean(window))
        window.clear()
        if context.checkpoint_due():
            context.checkpoint(state.tensors(), record.update)
    return window


def _mean(window: Window) -> dict[str, float]:
    return {name: sum(values[name] for values in window) / len(window) for name in window[0]}
