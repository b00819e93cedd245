"""What a policy earns in its imagination and in the real game, from the same held-out states."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from diamond.arrays import ByteArray, FloatArray
from diamond.config.environments import read_environment
from diamond.config.metric_table import REAL_SUFFIX
from diamond.config.recording import ViewConfig
from diamond.config.run import CONTEXT_FRAMES
from diamond.data.counterfactuals import replay_to_start
from diamond.data.reference_files import Reference, View, is_recorded
from diamond.engine.stage_context import StageContext
from diamond.envs.open_game import open_game
from diamond.envs.real_game import GameEnv
from diamond.envs.view import apply_view
from diamond.families.interface import WorldModel
from diamond.makers.learned_judges import first_start, start_uniforms
from diamond.nets.actor_critic_net import ActorCriticNet
from diamond.nets.blocks import Recurrent
from diamond.records import RealStarts, to_unit
from diamond.rng import KeyedNoise, categorical
from diamond.seeds import Purpose
from diamond.training.evaluation import Actor, sampled_actor
from diamond.training.policy_part import POLICY
from diamond.weights.trained_networks import load_part, load_world
from diamond.world.imagination import NoiseAt


def score_gap(
    context: StageContext, view: View, references: Sequence[Reference]
) -> dict[str, FloatArray]:
    """Returns of the policy in imagination and in the game over the horizon that it learns from.

    Args:
        context: Stage that reads references, the parts of the world model and the policy.
        view: The references as the policy sees them.
        references: The same.

    Returns:
        As `gap_scores`.
    """
    net = load_part(context, POLICY)
    num_steps = POLICY.section(context.upstream_config("policy")).horizon_steps
    uniforms = start_uniforms(context, Purpose.FIDELITY_ACTIONS, (len(references), num_steps))
    before = CONTEXT_FRAMES - 1
    starts = RealStarts(
        to_unit(torch.from_numpy(view.context)),
        torch.from_numpy(view.actions[:, :before]),
        torch.from_numpy(view.padded),
    ).to(context.device)
    with torch.no_grad():
        memory = net.remember(starts.frames[:, :before], starts.padded)
    first = first_start(context)
    names = [f"policy/{first + row}" for row in range(len(references))]
    world = load_world(context).model

    def noise_at(time_step: int) -> KeyedNoise:
        return KeyedNoise(context.seed, names, time_step)

    imagined = imagined_returns(world, net, (starts, memory), uniforms, noise_at)
    config = context.upstream_config("references")
    environment = read_environment(config["environment"])
    real = np.full(len(references), np.nan)
    if environment.replayable and not is_recorded(references):
        env = open_game(config["game"], environment)
        seen = ViewConfig.model_validate(context.config["view"])
        real = real_returns(env, net, (view, memory), references, seen, uniforms)
        env.close()
    return gap_scores(imagined, real)


def gap_scores(imagined: FloatArray, real: FloatArray) -> dict[str, FloatArray]:
    """Returns (starts,) and their difference, by name (starts, 1); the difference should be 0."""
    gap = imagined - real
    found = {"imagined_return": imagined, "real_return": real, "imagination_gap": gap}
    found[f"imagination_gap{REAL_SUFFIX}"] = 0 * gap
    return {name: values[:, None] for name, values in found.items()}


@torch.no_grad()
def imagined_returns(
    world: WorldModel[Any],
    net: ActorCriticNet,
    begun: tuple[RealStarts, Recurrent],
    uniforms: FloatArray,
    noise_at: NoiseAt,
) -> FloatArray:
    """Sums of imagined rewards under sampled actions, up to the first imagined end.

    Args:
        net: The policy.
        begun: Real starts, and what the policy remembers before the last frame of each.
        uniforms: (starts, env steps) in [0, 1), by which actions are drawn.
        noise_at: Noise of each time step.

    Returns:
        (starts,).
    """
    starts, memory = begun
    state = world.start(*starts)
    total = torch.zeros(len(uniforms), device=starts.frames.device)
    alive = torch.ones_like(total)
    for index in range(uniforms.shape[1]):
        logits, _, memory = net(world.frame(state), memory)
        drawn = torch.from_numpy(uniforms[:, index]).to(logits.device)
        state, step = world.step(state, categorical(logits, drawn), noise_at(index))
        total += alive * step.reward.sign()
        alive *= (~step.end).float()
    return total.double().cpu().numpy()


def real_returns(
    env: GameEnv,
    net: ActorCriticNet,
    begun: tuple[View, Recurrent],
    references: Sequence[Reference],
    view: ViewConfig,
    uniforms: FloatArray,
) -> FloatArray:
    """Sums of rewards in the game under sampled actions, up to its end or a lost life.

    Args:
        net: The policy.
        begun: The references as the policy sees them, and what it remembers before the last
            context frame of each.
        references: What the game is brought back to.
        view: Crop and size of what the policy sees.
        uniforms: (starts, env steps) in [0, 1), by which actions are drawn.

    Returns:
        (starts,); NaN where the game does not come back to the frame that it showed.
    """
    seen, (hidden, cell) = begun
    actor = sampled_actor(net, hidden.device)(len(env.action_codes))
    found = np.full(len(references), np.nan)
    for row, reference in enumerate(references):
        frame = apply_view(replay_to_start(env, reference), view)
        if np.array_equal(frame, seen.context[row, -1]):
            memory = hidden[row : row + 1], cell[row : row + 1]
            found[row] = _play(env, actor, (frame, memory), view, uniforms[row])
    return found


def _play(
    env: GameEnv,
    actor: Actor,
    begun: tuple[ByteArray, Recurrent],
    view: ViewConfig,
    uniforms: FloatArray,
) -> float:
    """The sum of rewards from where a game stands and what the actor remembers."""
    total, frame = 0.0, begun[0]
    memory: Recurrent | None = begun[1]
    for drawn in uniforms:
        actions, memory = actor(frame[None], np.array([drawn]), memory)
        native, reward, terminated, truncated, info = env.step(int(actions[0]))
        frame = apply_view(native, view)
        total += float(np.sign(reward))
        if terminated or truncated or info["life_lost"]:
            break
    return total
