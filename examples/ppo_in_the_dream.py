"""PPO in a dream: an agent of your own learns in a world model, and then plays the real game.

    python examples/ppo_in_the_dream.py --checkpoint DIR

DIR is what `diamond export-checkpoint STUDY DIR` or `diamond import-checkpoint FILE.pt` made. The
agent, its loss and its loop are all here; the world model is one Gymnasium vector environment. Real
frames are seen only where a dream begins, until the very end. The agent is small and stays on the
processor; the world model takes a GPU where there is one.

Source: Schulman et al. 2017 (arXiv:1707.06347), in the style of CleanRL's `ppo_atari.py`.
"""

import argparse
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from gymnasium.wrappers.vector import RecordEpisodeStatistics
from numpy.typing import NDArray
from torch import Tensor, nn

from diamond.config.checkpoint_record import Checkpoint, read_checkpoint
from diamond.config.scoring import EvaluationConfig
from diamond.rng import categorical, seeded_init
from diamond.seeds import Purpose
from diamond.training.evaluation import Actor, play_episodes
from diamond.training.unseeing import random_actor
from diamond.world import make_vec

Frames = NDArray[np.uint8]
STACK = 4
"""Frames that the agent sees at once, the current one last: one alone shows no motion."""


@dataclass(frozen=True)
class Args:
    """What is trained, and how; every field is a flag."""

    checkpoint: str = ""
    starts: str = ""
    seed: int = 0
    total_steps: int = 200_000
    num_envs: int = 32
    rollout_steps: int = 64
    horizon: int = 50
    learning_rate: float = 2.5e-4
    gamma: float = 0.99
    gae_lambda: float = 0.95
    num_epochs: int = 4
    num_minibatches: int = 4
    clip: float = 0.1
    entropy_weight: float = 0.01
    value_weight: float = 0.5
    max_grad_norm: float = 0.5
    episodes: int = 10
    max_episode_steps: int = 27_000


class Agent(nn.Module):
    """Three convolutions, a linear layer, an actor and a critic; sees frames (b, k, h, w, 3)."""

    def __init__(self, num_frames: int, frame: tuple[int, ...], num_actions: int) -> None:
        super().__init__()
        self.num_frames = num_frames
        widths = (3 * num_frames, 32, 64, 64)
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.ReLU()]
        flat = 64 * -(-frame[0] // 8) * -(-frame[1] // 8)
        self.encoder = nn.Sequential(*layers, nn.Flatten(), nn.Linear(flat, 256), nn.ReLU())
        self.actor, self.critic = nn.Linear(256, num_actions), nn.Linear(256, 1)
        nn.init.orthogonal_(self.actor.weight, 0.01)

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Frames to logits (b, num_actions) and values (b,)."""
        channels = frames.permute(0, 1, 4, 2, 3).flatten(1, 2)
        features = self.encoder(channels.float() / 127.5 - 1)
        return self.actor(features), self.critic(features).squeeze(1)


class Rollout(NamedTuple):
    """What happened in t env steps of n dreams: (t, n), but for the frames (t, n, k, h, w, 3)."""

    frames: Tensor
    actions: Tensor
    log_probs: Tensor
    values: Tensor
    rewards: Tensor
    over: Tensor


def begin(past: Frames, current: Frames) -> Frames:
    """What the agent sees where a dream begins: the real frames before it, and its first one."""
    return np.concatenate((past[:, max(0, past.shape[1] - STACK + 1) :], current[:, None]), axis=1)


def push(seen: Frames, current: Frames) -> Frames:
    """What the agent sees one env step later."""
    return np.concatenate((seen[:, 1:], current[:, None]), axis=1)


@torch.no_grad()
def roll(
    envs: Any, agent: Agent, seen: Frames, args: Args, numbers: torch.Generator
) -> tuple[Rollout, Frames, list[float]]:
    """Dream on; also what is seen at the end, and the returns of the dreams that ended."""
    steps: list[tuple[Tensor, ...]] = []
    returns: list[float] = []
    for _ in range(args.rollout_steps):
        frames = torch.from_numpy(seen)
        logits, values = agent(frames)
        actions = torch.multinomial(logits.softmax(1), 1, generator=numbers).squeeze(1)
        log_probs = logits.log_softmax(1).gather(1, actions[:, None]).squeeze(1)
        current, rewards, terminated, truncated, infos = envs.step(actions.numpy())
        earned, over = torch.from_numpy(rewards).float(), terminated | truncated
        cut = truncated & ~terminated
        if cut.any():  # what would have followed is worth what the critic says
            last = push(seen[cut], np.stack(list(infos["final_obs"][cut])))
            earned[cut] += args.gamma * agent(torch.from_numpy(last))[1]
        steps.append((frames, actions, log_probs, values, earned, torch.from_numpy(over)))
        seen = push(seen, current)
        if over.any():
            seen[over] = begin(infos["burn_in_frames"][over], current[over])
            returns += infos["episode"]["r"][over].tolist()
    return Rollout(*map(torch.stack, zip(*steps, strict=True))), seen, returns


def advantages_of(rollout: Rollout, last_values: Tensor, args: Args) -> Tensor:
    """Generalised advantage estimates (t, n); source: arXiv:1506.02438, equation 16."""
    advantages = torch.zeros_like(rollout.rewards)
    following, advantage = last_values, torch.zeros_like(last_values)
    for t in reversed(range(len(advantages))):
        goes_on = args.gamma * (~rollout.over[t]).float()
        delta = rollout.rewards[t] + goes_on * following - rollout.values[t]
        advantage = delta + goes_on * args.gae_lambda * advantage
        advantages[t], following = advantage, rollout.values[t]
    return advantages


def loss_of(agent: Agent, batch: Rollout, advantages: Tensor, args: Args) -> Tensor:
    """Clipped objective of the policy, squared error of the value, entropy: equation 9."""
    logits, values = agent(batch.frames)
    log_probs = logits.log_softmax(1)
    chosen = log_probs.gather(1, batch.actions[:, None]).squeeze(1)
    ratio = (chosen - batch.log_probs).exp()
    gain = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
    policy = -torch.min(ratio * gain, ratio.clamp(1 - args.clip, 1 + args.clip) * gain).mean()
    value = 0.5 * F.mse_loss(values, batch.values + advantages)
    entropy = -(log_probs.exp() * log_probs).sum(1).mean()
    return policy + args.value_weight * value - args.entropy_weight * entropy


def train(envs: Any, args: Args) -> tuple[Agent, list[float]]:
    """PPO in imagined games; also the mean return of each rollout's dreams, oldest first."""
    numbers = torch.Generator().manual_seed(args.seed)
    current, infos = envs.reset(seed=args.seed)
    seen = begin(infos["burn_in_frames"], current)
    with seeded_init(args.seed, Purpose.POLICY_INIT):
        agent = Agent(seen.shape[1], current.shape[1:], envs.single_action_space.n)
    optimizer = torch.optim.Adam(agent.parameters(), args.learning_rate, eps=1e-5)
    size = args.rollout_steps * args.num_envs
    curve: list[float] = []
    for index in range(max(1, args.total_steps // size)):
        rollout, seen, returns = roll(envs, agent, seen, args, numbers)
        with torch.no_grad():
            last_values = agent(torch.from_numpy(seen))[1]
        advantages = advantages_of(rollout, last_values, args).flatten()
        flat = Rollout(*(part.flatten(0, 1) for part in rollout))
        for _ in range(args.num_epochs):
            for rows in torch.randperm(size, generator=numbers).chunk(args.num_minibatches):
                batch = Rollout(*(part[rows] for part in flat))
                optimizer.zero_grad()
                loss_of(agent, batch, advantages[rows], args).backward()
                nn.utils.clip_grad_norm_(agent.parameters(), args.max_grad_norm)
                optimizer.step()
        curve.append(float(np.mean(returns or [np.nan])))
        print(f"{(index + 1) * size:8} steps  dream return {curve[-1]:7.3f}", flush=True)
    return agent, curve


def awake(agent: Agent) -> Actor:
    """The agent in the real game; where an episode begins, its first frame stands for the past."""

    @torch.no_grad()
    def act(frames: Frames, uniforms: NDArray[np.float64], memory: Any) -> Any:
        current = torch.from_numpy(frames)[:, None]
        past = current.expand(-1, agent.num_frames - 1, -1, -1, -1)
        if memory is not None:
            past = torch.where(memory[1], memory[0], past)
        seen = torch.cat((past, current), dim=1)
        actions = categorical(agent(seen)[0], torch.from_numpy(uniforms))
        known = torch.ones(len(seen), 1, 1, 1, 1, dtype=torch.bool)
        return actions.numpy(), (seen[:, 1:], known)

    return act


def real_return(checkpoint: Checkpoint, actor_for: Any, args: Args) -> float:
    """Mean return of real episodes, undiscounted and unclipped; lost lives do not end them."""
    limits = EvaluationConfig(num_episodes=args.episodes, max_episode_steps=args.max_episode_steps)
    configs = checkpoint.environment, checkpoint.view, limits
    played = play_episodes(checkpoint.game, configs, actor_for, args.seed, lambda *_: None)
    return float(np.mean([episode.total_reward for episode in played]))


def main(args: Args) -> None:
    """Train in the dream, play in the real game, and say how it went."""
    checkpoint = read_checkpoint(Path(args.checkpoint))
    envs = make_vec(args.checkpoint, args.num_envs, args.horizon, starts=args.starts or None)
    agent, curve = train(RecordEpisodeStatistics(envs), args)
    print(f"return of a dream: {curve[0]:.3f} at first, {curve[-1]:.3f} at last")
    real = real_return(checkpoint, lambda _: awake(agent), args)
    chance = real_return(checkpoint, random_actor, args)
    print(f"return in {checkpoint.game}: {real:.2f}, at random {chance:.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="PPO in the world model of a checkpoint.")
    for field in fields(Args):
        flag, kind = "--" + field.name.replace("_", "-"), type(field.default)
        parser.add_argument(flag, type=kind, default=field.default, required=flag == "--checkpoint")
    main(Args(**vars(parser.parse_args())))
