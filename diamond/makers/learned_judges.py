"""Learned judges of rollouts: what networks say of real and of imagined frames.

What is made of it is in `diamond.fidelity`; no frame is compared with another here.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from diamond.arrays import ByteArray, FloatArray
from diamond.config.recording import ReferencesConfig
from diamond.config.worlds import find_family
from diamond.data.action_space import ActionArray
from diamond.data.reference_files import View
from diamond.engine.stage_context import StageContext
from diamond.families.diamond.reward_end_net import RewardEndNet
from diamond.families.interface import implementation_of
from diamond.fidelity.control import action_scores
from diamond.fidelity.frechet import frechet_scores
from diamond.fidelity.policy_reaction import Seen, policy_scores
from diamond.fidelity.reward_end import PredictedRewardEnds, reward_end_scores, reward_rates
from diamond.makers.imagined_events import score_events
from diamond.nets.actor_critic_net import ActorCriticNet
from diamond.nets.blocks import forget
from diamond.nets.inverse_dynamics_net import INVERSE_DYNAMICS, InverseDynamicsNet
from diamond.records import to_unit
from diamond.rng import numpy_generator
from diamond.seeds import Purpose
from diamond.training.policy_part import POLICY
from diamond.weights.trained_networks import load_part

BATCH_FRAMES = 512
"""Frames that a network is shown together."""


def judge_rollouts(
    context: StageContext, view: View, imagined: ByteArray, events: Path
) -> dict[str, FloatArray]:
    """Scores by the inverse dynamics model and, where the world has one, the reward/end model.

    Nothing by the latter where the references do not know their rewards.

    Args:
        context: Stage that reads `inverse_dynamics`, and `reward_end` or an agent if anything was
            trained.
        imagined: (starts, horizon, h, w, 3) uint8.
        events: File of the drawn events, if there are any.

    Returns:
        Arrays (starts, horizon), or (1, 1) for a metric of all frames, by name.
    """
    scores = _by_inverse_dynamics(context, view, imagined)
    if not np.isnan(view.rewards).any():
        scores |= _by_reward_end(context, view, imagined, events)
    return scores


def judge_policy(context: StageContext, view: View, imagined: ByteArray) -> dict[str, FloatArray]:
    """Scores by the policy: arrays (starts, horizon) by name."""
    net = load_part(context, POLICY)
    real_seen, imagined_seen = (
        watch(net, view, frames, context.device) for frames in (view.targets, imagined)
    )
    return policy_scores(real_seen, imagined_seen, view.valid)


@torch.no_grad()
def read_actions(
    net: InverseDynamicsNet, first: ByteArray, frames: ByteArray, device: torch.device
) -> tuple[ActionArray, FloatArray]:
    """The action that is read off every frame and the one before, and the features for it.

    Args:
        first: (starts, h, w, 3) uint8, the frame before the first one.
        frames: (starts, horizon, h, w, 3) uint8.

    Returns:
        Actions (starts, horizon) or (starts, horizon, k), and features (starts, horizon, d).
    """
    num_starts, horizon = frames.shape[:2]
    outputs = np.empty((num_starts, horizon, net.num_outputs), dtype=np.float32)
    features = np.empty((num_starts, horizon, net.shape.num_features))
    for start in range(num_starts):
        rows = np.concatenate((first[start, None], frames[start]))
        for part in _parts(horizon, 1):
            seen = _tensor(rows[part.start : part.stop + 1], device)
            hidden = net.features(seen[:-1], seen[1:])
            outputs[start, part] = net.head(hidden).cpu().numpy()
            features[start, part] = hidden.double().cpu().numpy()
    return net.named(torch.from_numpy(outputs)).numpy(), features


@torch.no_grad()
def predict_rewards_and_ends(
    net: RewardEndNet, view: View, frames: ByteArray, device: torch.device
) -> PredictedRewardEnds:
    """What a reward/end model says of trajectories, after the real context of each.

    Args:
        view: Context and actions.
        frames: (starts, horizon, h, w, 3) uint8, real or imagined.
    """
    num_starts, horizon = frames.shape[:2]
    rewards = np.empty((num_starts, horizon, 3))
    ends = np.empty((num_starts, horizon))
    actions = torch.from_numpy(view.actions).to(device)
    before = view.context.shape[1] - 1
    real = _tensor(view.context, device)
    memory = net.remember(real, actions[:, :before], torch.from_numpy(view.padded).to(device))
    last = real[:, -1:]
    for part in _parts(horizon, num_starts):
        following = _tensor(frames[:, part], device)
        steps = actions[:, before + part.start : before + part.stop]
        now = torch.cat((last, following[:, :-1]), dim=1)
        reward_logits, end_logits, memory = net(now, steps, following, memory)
        rewards[:, part] = reward_logits.double().softmax(dim=-1).cpu().numpy()
        ends[:, part] = end_logits.double().softmax(dim=-1)[..., 1].cpu().numpy()
        last = following[:, -1:]
    return PredictedRewardEnds(rewards, ends)


@torch.no_grad()
def watch(net: ActorCriticNet, view: View, frames: ByteArray, device: torch.device) -> Seen:
    """What a policy makes of every frame; its memory runs along, from the first real frame on.

    Args:
        view: Context.
        frames: (starts, horizon, h, w, 3) uint8, real or imagined.
    """
    num_starts, horizon = frames.shape[:2]
    padded = torch.from_numpy(view.padded).to(device)
    memory = net.initial(num_starts, torch.empty(0, device=device))
    for index in range(view.context.shape[1]):
        _, _, memory = net(_tensor(view.context[:, index], device), memory)
        memory = forget(memory, padded > index)
    logits = np.empty((num_starts, horizon, net.shape.num_actions))
    values = np.empty((num_starts, horizon))
    for index in range(horizon):
        found, value, memory = net(_tensor(frames[:, index], device), memory)
        logits[:, index], values[:, index] = found.cpu().numpy(), value.cpu().numpy()
    return Seen(logits, values)


def _by_inverse_dynamics(
    context: StageContext, view: View, imagined: ByteArray
) -> dict[str, FloatArray]:
    net = load_part(context, INVERSE_DYNAMICS)
    last = view.context[:, -1]
    named_real, real = read_actions(net, last, view.targets, context.device)
    named_imagined, dreamt = read_actions(net, last, imagined, context.device)
    taken = view.actions[:, view.context.shape[1] - 1 :]
    return action_scores(
        taken, named_real, named_imagined, view.valid, net.shape.num_actions
    ) | frechet_scores(real, dreamt, view.valid)


def _by_reward_end(
    context: StageContext, view: View, imagined: ByteArray, events: Path
) -> dict[str, FloatArray]:
    net = _rewards_net(context)
    if net is None:
        return {}
    real, dreamt = (
        predict_rewards_and_ends(net, view, frames, context.device)
        for frames in (view.targets, imagined)
    )
    signs, used = np.sign(view.rewards).astype(np.int64), view.valid | view.ends
    uniforms = start_uniforms(context, Purpose.FIDELITY_REWARDS, signs.shape)
    return {
        **reward_end_scores(signs, view.ends, used, real, dreamt),
        **reward_rates(signs, used, dreamt, uniforms),
        **score_events(events, view, real),
    }


def start_uniforms(context: StageContext, purpose: Purpose, shape: tuple[int, ...]) -> FloatArray:
    """Uniform numbers (starts, env steps) in [0, 1); those of a start are that of its number."""
    first = first_start(context)
    rows = range(first, first + shape[0])
    return np.stack([numpy_generator(context.seed, purpose, row).random(shape[1]) for row in rows])


def first_start(context: StageContext) -> int:
    """Number of the first held-out start of a stage that reads references."""
    played = context.upstream_config("references")["references"]
    return ReferencesConfig.model_validate(played).first_start


def _rewards_net(context: StageContext) -> RewardEndNet | None:
    """The network of the world model that tells rewards and ends; None where none was trained."""
    trained = [name for name in context.upstream if name not in ("references", "rollouts")]
    families = (context.upstream_config(name).get("family") for name in trained)
    name = next((name for name in families if name is not None), None)
    if name is None or not (family := find_family(name)).rewards_by:
        return None
    part = implementation_of(name).part(family.rewards_by)
    net: RewardEndNet = load_part(context, part, family.stage(part.name).name)
    return net


def _parts(horizon: int, frames_per_step: int) -> Iterator[slice]:
    """Parts of the horizon, of about `BATCH_FRAMES` frames each."""
    size = max(1, BATCH_FRAMES // frames_per_step)
    for first in range(0, horizon, size):
        yield slice(first, min(first + size, horizon))


def _tensor(frames: ByteArray, device: torch.device) -> Tensor:
    # A copy: torch warns of arrays that it could write to only by mistake, such as memory maps.
    return to_unit(torch.from_numpy(np.array(frames)).to(device))
