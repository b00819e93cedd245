"""The stages that train: denoiser, outcome and policy; the loops are in `diamond.training`."""

from collections.abc import Mapping

from diamond.config.networks import (
    DenoiserConfig,
    OptimizerConfig,
    OutcomeConfig,
    PolicyConfig,
    SamplerConfig,
)
from diamond.data.dataset import FrameSet, PaddedSegmentSampler, SegmentSampler
from diamond.pipeline.context import StageContext
from diamond.pipeline.models import build_policy, load_world, read_shape, save_network
from diamond.pipeline.store import StageResult
from diamond.rng import seeded_init
from diamond.seeds import Purpose
from diamond.training.losses import denoiser_loss, outcome_loss, policy_loss
from diamond.training.state import Loss, TrainingState, begin, train
from diamond.world.build import build_denoiser, build_outcome

RECORDS_PER_STAGE = 200
"""Training curves have about this many points, whatever the number of updates."""


def train_denoiser(context: StageContext) -> StageResult:
    """Train the denoiser; writes weights.safetensors and shape.json."""
    config = DenoiserConfig.model_validate(context.config["denoiser"])
    shape = read_shape(context.upstream["frames"])
    segments = SegmentSampler(
        FrameSet.load(context.upstream["frames"]), config.history + config.autoregressive_passes - 1
    )
    with seeded_init(context.seed, Purpose.DENOISER_INIT):
        denoiser = build_denoiser(config, shape).to(context.device)
    state = begin(denoiser, config.optimizer, config.ema)
    loss_of = denoiser_loss(denoiser, segments, context.seed)
    _run(context, state, loss_of, config.optimizer, config.updates, config.ema)
    save_network(state.result(), shape, context.folder)
    return context.result(updates=config.updates)


def train_outcome(context: StageContext) -> StageResult:
    """Train the reward/end model; writes weights.safetensors and shape.json."""
    config = OutcomeConfig.model_validate(context.config["outcome"])
    shape = read_shape(context.upstream["frames"])
    frames = FrameSet.load(context.upstream["frames"])
    segments = PaddedSegmentSampler(frames, config.sequence_steps)
    with seeded_init(context.seed, Purpose.OUTCOME_INIT):
        net = build_outcome(config, shape).to(context.device)
    state = begin(net, config.optimizer)
    loss_of = outcome_loss(net, config, segments, context.seed)
    _run(context, state, loss_of, config.optimizer, config.updates)
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
    _run(context, state, loss_of, config.optimizer, config.updates)
    save_network(state.result(), shape, context.folder)
    return context.result(updates=config.updates)


def _run(
    context: StageContext,
    state: TrainingState,
    loss_of: Loss,
    optimizer: OptimizerConfig,
    num_updates: int,
    ema: float = 0.0,
) -> None:
    saved = context.resume()
    if saved is not None:
        state.restore(saved.tensors, int(saved.counters["done"]))
    every = max(1, num_updates // RECORDS_PER_STAGE)
    window: list[Mapping[str, float]] = []
    for record in train(state, loss_of, optimizer, num_updates, ema):
        window.append(record.values)
        context.progress(record.update, num_updates, f"loss {record.values['loss']:.4f}")
        if record.update % every and record.update != num_updates:
            continue
        # Checkpoints fall on the ends of windows, so that a resume averages the same updates.
        context.events.metric(record.update, _mean(window))
        window.clear()
        if context.checkpoint_due():
            context.checkpoint(state.tensors(), record.update)


def _mean(window: list[Mapping[str, float]]) -> dict[str, float]:
    return {name: sum(values[name] for values in window) / len(window) for name in window[0]}
