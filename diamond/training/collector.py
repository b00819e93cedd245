"""Real play of the policy in training: into the replay, or as updates without a world model."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from diamond.config.environments import Environment
from diamond.config.networks import PolicyConfig
from diamond.config.online import OnlineConfig
from diamond.config.recording import ViewConfig
from diamond.data.replay import Replay
from diamond.envs.live import LiveGame, LiveStep
from diamond.envs.real_game import draw_episode_key
from diamond.nets.actor_critic_net import ActorCriticNet
from diamond.nets.blocks import Recurrent, forget
from diamond.part import Losses, Passes
from diamond.records import Seen, Trajectories, to_unit
from diamond.rng import categorical, numpy_generator, torch_generator
from diamond.seeds import Purpose
from diamond.training.policy_part import learn_from
from diamond.training.training_loop import strip


@dataclass(frozen=True)
class Play:
    """What real play needs to know.

    Attributes:
        view: Crop and size of the frames.
        online: Length of games, chance of a random action.
        seed: Run seed.
    """

    game: str
    environment: Environment
    view: ViewConfig
    online: OnlineConfig
    seed: int

    def live(self, place: int) -> LiveGame:
        """The games of one place, each from a seed and no-ops of its own."""
        return LiveGame(
            self.game,
            self.environment,
            self.view,
            self.online.max_episode_steps,
            lambda number: draw_episode_key(
                numpy_generator(self.seed, Purpose.AGENT_EMULATOR, place, number), self.environment
            ),
        )


@dataclass
class ReturnLog:
    """Unclipped returns of the episodes of one place. Mutable.

    Attributes:
        total_reward: Reward so far of the episode that is played.
        num_steps: Its env steps so far.
        finished: (return, env steps) of the episodes closed since the last `take`.
    """

    total_reward: float = 0.0
    num_steps: int = 0
    finished: list[tuple[float, int]] = field(default_factory=list)

    def note(self, step: LiveStep) -> None:
        """Count one env step."""
        self.total_reward += step.reward
        self.num_steps += 1
        if step.closed:
            self.finished.append((self.total_reward, self.num_steps))
            self.forget()

    def forget(self) -> None:
        """Go on to the next episode, whatever the one that is played came to."""
        self.total_reward, self.num_steps = 0.0, 0


def mean_returns(logs: list[ReturnLog]) -> dict[str, float]:
    """Means over the closed episodes, which are forgotten; empty where none was closed."""
    found = [episode for log in logs for episode in log.finished]
    for log in logs:
        log.finished.clear()
    if not found:
        return {}
    returns, lengths = zip(*found, strict=True)
    return {
        "collected_return": sum(returns) / len(found),
        "collected_length": sum(lengths) / len(found),
        "collected_episodes": float(len(found)),
    }


class Experience(Protocol):
    """Where real frames come from, and what of it has to be saved."""

    @property
    def num_env_steps(self) -> int:
        """Env steps so far."""
        ...

    def begin(self) -> None:
        """Collect before the first update."""
        ...

    def collect(self, epoch: int) -> None:
        """Collect at the start of an epoch (1-based)."""
        ...

    def take_returns(self) -> dict[str, float]:
        """Means over the episodes closed since the last call."""
        ...

    def tensors(self) -> dict[str, Tensor]:
        """What is needed to go on, by name."""
        ...

    def counters(self) -> Mapping[str, Any]:
        """What else is needed, plain data."""
        ...

    def restore(self, tensors: Mapping[str, Tensor], counters: Mapping[str, Any]) -> bool:
        """Go back to a saved moment; False when that is not possible."""
        ...


class Collector:
    """Plays one game after the other with the current policy, into the replay. Mutable.

    The memory of the policy is carried from one collection to the next and is zero where an
    episode begins; now and then an action is random.

    Source: arXiv:2405.12399, released code.
    """

    def __init__(self, play: Play, net: ActorCriticNet, replay: Replay) -> None:
        """Begin the first game."""
        self._play = play
        self._net = net
        self._replay = replay
        self._live = play.live(0)
        self._log = ReturnLog()
        self._memory = _zeros(net, 1)

    @property
    def num_env_steps(self) -> int:
        """Env steps collected so far."""
        return self._replay.num_env_steps

    def begin(self) -> None:
        """Collect before the first update, until enough rewards were seen."""
        online = self._play.online
        self._replay.begin(self._live.frame)
        self._collect(online.initial.min_env_steps, 0, 0)
        while (
            self._replay.num_minority_rewards() < online.initial.minority_rewards
            and self.num_env_steps < online.initial.max_env_steps
        ):
            self._collect(online.epoch_env_steps, 0, self.num_env_steps)

    def collect(self, epoch: int) -> None:
        """Play on with the policy of this epoch."""
        self._collect(self._play.online.epoch_env_steps, epoch)

    def take_returns(self) -> dict[str, float]:
        """Means over the episodes closed since the last call."""
        return mean_returns([self._log])

    def tensors(self) -> dict[str, Tensor]:
        """What the collector and its replay need to go on."""
        replay = {f"replay/{name}": tensor for name, tensor in self._replay.tensors().items()}
        return _live_tensors([self._live], self._memory) | replay

    def counters(self) -> Mapping[str, Any]:
        """The returns of the episode that is played."""
        return vars(self._log)

    def restore(self, tensors: Mapping[str, Tensor], counters: Mapping[str, Any]) -> bool:
        """Make the game again by its actions; False when the frames of the replay are damaged.

        The episode of a game that cannot be replayed is cut, and the next game begins.
        """
        if not self._replay.restore(strip("replay/", tensors)):
            return False
        self._log = ReturnLog(**counters)
        (whole,), self._memory = _restore_live([self._live], tensors, self._net)
        if not whole:
            self._log.forget()
            self._replay.cut()
            self._replay.begin(self._live.frame)
        return True

    def _collect(self, num_env_steps: int, *counters: int) -> None:
        rng = numpy_generator(self._play.seed, Purpose.AGENT_ACTIONS, *counters)
        for _ in range(num_env_steps):
            self._step(*rng.random(3))

    @torch.no_grad()
    def _step(self, which: float, whether: float, instead: float) -> None:
        device = self._memory[0].device
        seen = to_unit(torch.from_numpy(self._live.frame[None])).to(device)
        logits, _, self._memory = self._net(seen, self._memory)
        drawn = categorical(logits, torch.tensor([which], dtype=torch.float64, device=device))
        action = int(drawn)
        if whether < self._play.online.epsilon:
            action = int(instead * self._live.num_actions)
        step = self._live.step(action)
        self._log.note(step)
        self._replay.add(action, step.reward, step.end, step.frame)
        if step.closed:
            self._memory = _zeros(self._net, 1)
            self._replay.close()
            self._replay.begin(self._live.frame)


class RealGames:
    """The actor-critic loss on play in the real game, as many games at once as a batch. Mutable.

    Games and memories are carried from one update to the next; a game that is cut counts as ended.

    Source: arXiv:2405.12399, released code, model-free training.
    """

    def __init__(self, play: Play, net: ActorCriticNet, config: PolicyConfig) -> None:
        """Begin a game at each place of the batch."""
        self._play = play
        self._net = net
        self._config = config
        self._live = [play.live(place) for place in range(config.batch_size)]
        self._logs = [ReturnLog() for _ in self._live]
        self._memory = _zeros(net, config.batch_size)
        self.num_env_steps = 0

    def begin(self) -> None:
        """Nothing is collected before the first update."""

    def collect(self, epoch: int) -> None:
        """Nothing is collected beside the updates."""

    def losses(self, update: int) -> Passes:
        """Play `horizon_steps` env steps in every game and score the policy on them."""
        order = torch_generator(self._play.seed, Purpose.POLICY_MINIBATCHES, update)
        passes = learn_from(lambda: self._played(update), self._net, self._config, order)
        if isinstance(passes, tuple):
            return _as_played(*passes)
        return (_as_played(*one) for one in passes)

    def _played(self, update: int) -> Trajectories:
        generator = torch_generator(self._play.seed, Purpose.POLICY_ACTIONS, update)
        memory = (self._memory[0].detach(), self._memory[1].detach())
        device = memory[0].device
        rows: list[tuple[Tensor, ...]] = []
        for _ in range(self._config.horizon_steps):
            seen, before = self._seen(device), memory
            logits, values, memory = self._net(seen, memory)
            uniforms = torch.rand(len(self._live), generator=generator).to(device)
            actions = categorical(logits.detach(), uniforms)
            steps = [live.step(a) for live, a in zip(self._live, actions.tolist(), strict=True)]
            for log, step in zip(self._logs, steps, strict=True):
                log.note(step)
            self.num_env_steps += len(steps)
            closed = torch.tensor([step.closed for step in steps], device=device)
            rewards = torch.tensor([step.reward for step in steps], device=device)
            hidden, cell = before[0].detach(), before[1].detach()
            rows.append((actions, rewards, closed, logits, values, seen, hidden, cell))
            memory = forget(memory, closed)
        self._memory = (memory[0].detach(), memory[1].detach())
        with torch.no_grad():
            last = self._net(self._seen(device), memory)[1]
        columns = [torch.stack(column, dim=1) for column in zip(*rows, strict=True)]
        actions, rewards, ends, logits, values, frames, hidden, cell = columns
        following = torch.cat((values[:, 1:].detach(), last[:, None]), dim=1)
        begins = torch.cat((torch.ones_like(ends[:, :1]), ends[:, :-1]), dim=1)
        return Trajectories(
            actions,
            rewards,
            ends,
            logits,
            values,
            following.masked_fill(ends, 0.0),
            Seen(frames, begins, (hidden, cell)),
        )

    def take_returns(self) -> dict[str, float]:
        """Means over the episodes closed since the last call."""
        return mean_returns(self._logs)

    def tensors(self) -> dict[str, Tensor]:
        """What the games need to go on."""
        return _live_tensors(self._live, self._memory)

    def counters(self) -> Mapping[str, Any]:
        """The env steps so far and the returns of the episodes that are played."""
        return {"env_steps": self.num_env_steps, "logs": [vars(log) for log in self._logs]}

    def restore(self, tensors: Mapping[str, Tensor], counters: Mapping[str, Any]) -> bool:
        """Make the games again by their actions, or begin the next ones; always possible."""
        whole, self._memory = _restore_live(self._live, tensors, self._net)
        self._logs = [ReturnLog(**log) for log in counters["logs"]]
        for log, same in zip(self._logs, whole, strict=True):
            if not same:
                log.forget()
        self.num_env_steps = int(counters["env_steps"])
        return True

    def _seen(self, device: torch.device) -> Tensor:
        return _unit(np.stack([live.frame for live in self._live]), device)


def _as_played(loss: Tensor, parts: Mapping[str, Tensor]) -> Losses:
    named = dict(parts)
    return loss, named | {"played_reward": named.pop("imagined_reward")}


def _unit(frames: np.ndarray[Any, np.dtype[np.uint8]], device: torch.device) -> Tensor:
    return to_unit(torch.from_numpy(frames)).to(device)


def _zeros(net: ActorCriticNet, batch_size: int) -> Recurrent:
    return net.initial(batch_size, next(net.parameters()).detach())


def _live_tensors(games: list[LiveGame], memory: Recurrent) -> dict[str, Tensor]:
    hidden, cell = memory  # a zero memory is one tensor twice, which a file cannot hold
    named = {"hidden": hidden, "cell": cell.clone()}
    for place, live in enumerate(games):
        named[f"actions/{place}"] = torch.tensor([live.number, *live.actions], dtype=torch.int64)
    return named


def _restore_live(
    games: list[LiveGame], tensors: Mapping[str, Tensor], net: ActorCriticNet
) -> tuple[list[bool], Recurrent]:
    """Which games are as they were, and their memories; that of another game is zero."""
    whole = []
    for place, live in enumerate(games):
        number, *actions = tensors[f"actions/{place}"].tolist()
        whole.append(live.restore(number, actions))
    device = next(net.parameters()).device
    hidden, cell = (tensors[name].to(device, copy=True) for name in ("hidden", "cell"))
    for place, same in enumerate(whole):
        if not same:
            hidden[place], cell[place] = 0.0, 0.0
    return whole, (hidden, cell)
