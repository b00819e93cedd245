"""Playing the real game with a policy: several episodes in step, each with a stream of its own."""

from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import islice
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diamond.config.environments import Environment
from diamond.config.recording import ViewConfig
from diamond.config.scoring import EvaluationConfig
from diamond.data.collect import Progress
from diamond.envs.open_game import open_game
from diamond.envs.real_game import GameEnv, draw_episode_key
from diamond.envs.view import apply_view
from diamond.nets.actor_critic_net import ActorCriticNet
from diamond.nets.blocks import Recurrent
from diamond.records import to_unit
from diamond.rng import categorical, numpy_generator
from diamond.seeds import Purpose


class Actor(Protocol):
    """Chooses actions for a batch of episodes; its memory is a value passed in and out."""

    def __call__(
        self, frames: NDArray[np.uint8], uniforms: NDArray[np.float64], memory: Recurrent | None
    ) -> tuple[NDArray[np.int64], Recurrent | None]:
        """Frames (b, h, w, 3) and a uniform number each (b,) to actions (b,) and memory."""
        ...


@dataclass(frozen=True)
class Episode:
    """One real episode.

    Attributes:
        total_reward: Undiscounted, unclipped return.
        num_steps: Its env steps.
        truncated: Whether it was cut.
        digest: Of its actions and rewards: equal where equal ones were played and earned.
        action_counts: How often each action was taken, by its index.
    """

    total_reward: float
    num_steps: int
    truncated: bool
    digest: str
    action_counts: tuple[int, ...]


@dataclass
class Playing:
    """An episode that is played, and changes with every env step.

    Attributes:
        rng: Stream of its actions.
        native: Screen of the game (h, w, 3) uint8.
        frame: What the agent sees (h, w, 3) uint8.
        most_steps: Env steps after which it is cut.
        actions: Taken so far.
        rewards: Earned so far, unclipped.
        over: Whether the game ended.
        stopped: Whether the game was stopped by its own limit.
    """

    index: int
    env: GameEnv
    rng: np.random.Generator
    native: NDArray[np.uint8]
    frame: NDArray[np.uint8]
    most_steps: int
    actions: "array[int]" = field(default_factory=lambda: array("q"))
    rewards: "array[float]" = field(default_factory=lambda: array("d"))
    over: bool = False
    stopped: bool = False

    @property
    def num_steps(self) -> int:
        """Env steps taken."""
        return len(self.actions)

    @property
    def done(self) -> bool:
        """Whether it ended or was cut."""
        return self.over or self.stopped or self.num_steps >= self.most_steps

    def result(self) -> Episode:
        """What it came to."""
        played = self.actions.tobytes() + self.rewards.tobytes()
        counts = np.bincount(self.actions, minlength=len(self.env.action_codes))
        return Episode(
            sum(self.rewards, 0.0),
            self.num_steps,
            truncated=not self.over,
            digest=blake2b(played, digest_size=8).hexdigest(),
            action_counts=tuple(counts.tolist()),
        )


Configs = tuple[Environment, ViewConfig | None, EvaluationConfig]
"""How the game is played, what the player sees (None: the screen) and how much is played."""


def play_side_by_side(
    game: str, configs: Configs, actor_for: Callable[[int], Actor], seed: int, num_slots: int
) -> Iterator[Sequence[Playing]]:
    """Play `num_episodes` episodes, so many at a time; lives lost do not end them.

    Args:
        configs: Environment, view and evaluation.
        actor_for: Number of actions to an actor; a memory of zeros is that of no frame.
        seed: Seed of the episodes; equal seeds play the same starts.
        num_slots: Episodes at a time.

    Yields:
        After every env step the episode of each slot, in the order of the slots. One that is done
        is seen so once; then the next takes its slot, or it stays where none is left.
    """
    environment, view, config = configs
    indices = iter(range(config.num_episodes))

    def begin(index: int, env: GameEnv) -> Playing:
        key = draw_episode_key(numpy_generator(seed, Purpose.RETURNS_EMULATOR, index), environment)
        native = env.begin(key)
        rng = numpy_generator(seed, Purpose.RETURNS_ACTIONS, index)
        return Playing(index, env, rng, native, _seen(native, view), config.max_episode_steps)

    slots = [begin(index, open_game(game, environment)) for index in islice(indices, num_slots)]
    actor = actor_for(len(slots[0].env.action_codes))
    memory: Recurrent | None = None
    while not all(episode.done for episode in slots):
        frames = np.stack([episode.frame for episode in slots])
        uniforms = np.array([episode.rng.random() for episode in slots])
        actions, memory = actor(frames, uniforms, memory)
        for episode, action in zip(slots, actions, strict=True):
            _advance(episode, int(action), view)
        yield slots
        for row, episode in enumerate(slots):
            if episode.done and (index := next(indices, None)) is not None:
                slots[row] = begin(index, episode.env)
                memory = _without(memory, row)
    for episode in slots:
        episode.env.close()


def play_episodes(
    game: str,
    configs: Configs,
    actor_for: Callable[[int], Actor],
    seed: int,
    progress: Progress,
) -> list[Episode]:
    """Play all episodes at once; lives lost do not end them.

    Args:
        configs: Environment, view and evaluation.
        actor_for: Number of actions to an actor.
        seed: Seed of the episodes; equal seeds play the same starts.
        progress: Told (env steps done, env steps at most) of the longest episode.

    Returns:
        The episodes in order.
    """
    config = configs[2]
    done: dict[int, Episode] = {}
    played = play_side_by_side(game, configs, actor_for, seed, config.num_episodes)
    for num_steps, slots in enumerate(played):
        if num_steps % 50 == 0:
            progress(num_steps, config.max_episode_steps)
        done |= finished(slots)
    return [done[index] for index in range(config.num_episodes)]


def finished(slots: Sequence[Playing]) -> dict[int, Episode]:
    """The episodes among these that are done, by index."""
    return {playing.index: playing.result() for playing in slots if playing.done}


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


def _advance(episode: Playing, action: int, view: ViewConfig | None) -> None:
    if episode.done:
        return
    episode.native, reward, terminated, truncated, _ = episode.env.step(action)
    episode.frame = _seen(episode.native, view)
    episode.actions.append(action)
    episode.rewards.append(reward)
    episode.over, episode.stopped = terminated, truncated


def _seen(native: NDArray[np.uint8], view: ViewConfig | None) -> NDArray[np.uint8]:
    return native if view is None else apply_view(native, view)


def _without(memory: Recurrent | None, row: int) -> Recurrent | None:
    """The memory after one row forgot."""
    if memory is None:
        return None
    hidden, cell = (tensor.clone() for tensor in memory)
    hidden[row], cell[row] = 0.0, 0.0
    return hidden, cell
