"""Playing the real game with a policy: several episodes in step, each with a stream of its own."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diamond.config.run import EmulatorConfig, EvaluationConfig, ViewConfig
from diamond.envs.atari import AtariEnv, draw_episode_key
from diamond.envs.view import apply_view
from diamond.nets.actor_critic_net import ActorCriticNet
from diamond.nets.outcome_net import Recurrent
from diamond.records import to_unit
from diamond.rng import categorical, numpy_generator
from diamond.seeds import Purpose

Progress = Callable[[int, int], None]


class Actor(Protocol):
    """Chooses actions for a batch of episodes; its memory is a value passed in and out."""

    def __call__(
        self, frames: NDArray[np.uint8], uniforms: NDArray[np.float64], memory: Recurrent | None
    ) -> tuple[NDArray[np.int64], Recurrent | None]:
        """Frames (b, h, w, 3) and a uniform number each (b,) to actions (b,) and memory."""
        ...


@dataclass(frozen=True)
class Episode:
    """One real episode: undiscounted, unclipped return; length in env steps; whether it was cut."""

    total_reward: float
    num_steps: int
    truncated: bool


@dataclass
class _Playing:
    env: AtariEnv
    rng: np.random.Generator
    frame: NDArray[np.uint8]
    total_reward: float = 0.0
    num_steps: int = 0
    over: bool = False


def play_episodes(
    game: str,
    configs: tuple[EmulatorConfig, ViewConfig, EvaluationConfig],
    actor_for: Callable[[int], Actor],
    seed: int,
    progress: Progress,
) -> list[Episode]:
    """Play `num_episodes` episodes side by side; lives lost do not end them.

    Args:
        game: One of the 26 games.
        configs: Emulator, view and evaluation.
        actor_for: Number of actions to an actor.
        seed: Seed of the episodes; equal seeds play the same starts.
        progress: Told (env steps done, env steps at most) of the longest episode.

    Returns:
        The episodes in order.
    """
    emulator, view, config = configs
    episodes = [_begin(game, emulator, view, seed, index) for index in range(config.num_episodes)]
    actor = actor_for(len(episodes[0].env.action_codes))
    memory: Recurrent | None = None
    for num_steps in range(config.max_episode_steps):
        if all(episode.over for episode in episodes):
            break
        frames = np.stack([episode.frame for episode in episodes])
        uniforms = np.array([episode.rng.random() for episode in episodes])
        actions, memory = actor(frames, uniforms, memory)
        for episode, action in zip(episodes, actions, strict=True):
            _advance(episode, int(action), view)
        if num_steps % 50 == 0:
            progress(num_steps, config.max_episode_steps)
    return [Episode(e.total_reward, e.num_steps, not e.over) for e in episodes]


def sampled_actor(net: ActorCriticNet, device: torch.device) -> Callable[[int], Actor]:
    """An actor that samples from the policy."""

    @torch.no_grad()
    def act(
        frames: NDArray[np.uint8], uniforms: NDArray[np.float64], memory: Recurrent | None
    ) -> tuple[NDArray[np.int64], Recurrent]:
        seen = to_unit(torch.from_numpy(frames)).to(device)
        before = net.initial(len(seen), seen) if memory is None else memory
        logits, _, after = net(seen, before)
        drawn: Tensor = categorical(logits, torch.from_numpy(uniforms).to(device))
        return drawn.cpu().numpy(), after

    return lambda num_actions: act


def random_actor() -> Callable[[int], Actor]:
    """An actor that chooses uniformly."""

    def make(num_actions: int) -> Actor:
        def act(
            frames: NDArray[np.uint8], uniforms: NDArray[np.float64], memory: Recurrent | None
        ) -> tuple[NDArray[np.int64], Recurrent | None]:
            return (uniforms * num_actions).astype(np.int64), None

        return act

    return make


def _begin(
    game: str, emulator: EmulatorConfig, view: ViewConfig, seed: int, index: int
) -> _Playing:
    env = AtariEnv(game, emulator)
    key = draw_episode_key(numpy_generator(seed, Purpose.RETURNS_EMULATOR, index), emulator)
    frame = apply_view(env.begin(key), view)
    return _Playing(env, numpy_generator(seed, Purpose.RETURNS_ACTIONS, index), frame)


def _advance(episode: _Playing, action: int, view: ViewConfig) -> None:
    if episode.over:
        return
    native, reward, terminated, _, _ = episode.env.step(action)
    episode.frame = apply_view(native, view)
    episode.total_reward += reward
    episode.num_steps += 1
    episode.over = terminated
