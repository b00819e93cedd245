"""The stage that makes a whole agent online: collect, update every network, test, in turn.

What is collected and how is in `diamond.training.collector`.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from diamond.config.networks import (
    DenoiserConfig,
    OptimizerConfig,
    PolicyConfig,
    RewardEndConfig,
    SamplerConfig,
)
from diamond.config.online import OnlineConfig
from diamond.config.run import EmulatorConfig, EvaluationConfig, ViewConfig
from diamond.data.replay import PaddedRecencySampler, RecencySampler, Replay
from diamond.envs.atari import AtariEnv
from diamond.nets.actor_critic_net import ActorCriticNet
from diamond.nets.reward_end_net import RewardEndNet
from diamond.pipeline.checkpoint import Saved
from diamond.pipeline.context import StageContext
from diamond.pipeline.models import build_policy, save_network
from diamond.pipeline.store import StageResult
from diamond.rng import seeded_init
from diamond.seeds import Purpose, derive
from diamond.training.collector import Collector, Experience, Play, RealGames
from diamond.training.evaluation import play_episodes, sampled_actor
from diamond.training.losses import denoiser_loss, policy_loss, reward_end_loss
from diamond.training.state import Loss, TrainingState, begin, strip, train
from diamond.world.build import build_denoiser, build_reward_end
from diamond.world.denoiser import Denoiser
from diamond.world.diamond_world import DiamondWorld

REPLAY_FOLDER = "checkpoint/replay"
"""Needed until the agent is done; the store removes it with the checkpoint."""


@dataclass
class Part:
    """One network in training. Mutable: its state is.

    Attributes:
        name: denoiser, reward_end or policy; also its folder in the agent's.
        state: Network and optimiser.
        loss_of: The loss of an update.
        optimizer: Learning rate and clipping.
        num_updates: Updates in the first epoch, and in each later one.
        ema: Decay of the averaged weights, 0 when there are none.
    """

    name: str
    state: TrainingState
    loss_of: Loss
    optimizer: OptimizerConfig
    num_updates: tuple[int, int]
    ema: float = 0.0

    def target(self, epoch: int) -> int:
        """Updates done at the end of an epoch (1-based)."""
        first, later = self.num_updates
        return first + (epoch - 1) * later


@dataclass
class Progress:
    """How far an agent is; plain data, saved with it. Mutable.

    Attributes:
        epoch: The epoch at work, 1-based.
        num_collecting: Epochs with collection.
        num_epochs: Epochs in all.
        collected: Whether this epoch has collected.
        sums: Sums of the numbers of this epoch's updates, by part and name.
        seconds: Time of this epoch's updates, by part.
    """

    epoch: int
    num_collecting: int
    num_epochs: int
    collected: bool = False
    sums: dict[str, dict[str, float]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def note(self, part: str, values: Mapping[str, float], seconds: float) -> None:
        """Count one update."""
        sums = self.sums.setdefault(part, {"updates": 0.0})
        for name, value in {**values, "updates": 1.0}.items():
            sums[name] = sums.get(name, 0.0) + value
        self.seconds[part] = self.seconds.get(part, 0.0) + seconds

    def means(self) -> dict[str, float]:
        """Means over the updates of the epoch, and updates per second."""
        found: dict[str, float] = {}
        for part, sums in self.sums.items():
            count = sums["updates"]
            found |= {f"{part}_{n}": v / count for n, v in sums.items() if n != "updates"}
            found[f"{part}_updates_per_second"] = count / max(self.seconds[part], 1e-9)
        return found

    def advance(self) -> None:
        """Go to the next epoch."""
        self.epoch += 1
        self.collected = False
        self.sums, self.seconds = {}, {}


def train_agent(context: StageContext) -> StageResult:
    """Make an agent; writes weights.safetensors and shape.json of each network in its folder."""
    loop = _Loop(context)
    loop.run()
    return loop.save()


class _Loop:
    """The loop of epochs. Mutable: it holds the networks in training and the play."""

    def __init__(self, context: StageContext) -> None:
        self._context = context
        config = context.config
        self._online = OnlineConfig.model_validate(config["online"])
        emulator = EmulatorConfig.model_validate(config["emulator"])
        view = ViewConfig.model_validate(config["view"])
        self._play = Play(config["game"], emulator, view, self._online, context.seed)
        num_actions = len(AtariEnv(config["game"], emulator).action_codes)
        self._shape = {"num_actions": num_actions, "height": view.height, "width": view.width}
        self._build()

    def run(self) -> None:
        """Work through all epochs from the last checkpoint on."""
        progress = self._resumed()
        while progress.epoch <= progress.num_epochs:
            if not progress.collected and progress.epoch <= progress.num_collecting:
                self._experience.collect(progress.epoch)
            progress.collected = True
            for part in self._parts:
                self._update(part, progress)
            self._close(progress)

    def save(self) -> StageResult:
        """Write the networks."""
        for part in self._parts:
            folder = self._context.folder / part.name
            folder.mkdir(exist_ok=True)
            save_network(part.state.result(), self._shape, folder)
        counts = {f"{part.name}_updates": float(part.state.update) for part in self._parts}
        return self._context.result(env_steps=float(self._experience.num_env_steps), **counts)

    def _build(self) -> None:
        """Make fresh networks and begin to play."""
        context, config = self._context, PolicyConfig.model_validate(self._context.config["policy"])
        with seeded_init(context.seed, Purpose.POLICY_INIT):
            net = build_policy(config, self._shape).to(context.device)
        self._net: ActorCriticNet = net
        self._experience: Experience
        if self._online.environment == "real":
            games = RealGames(self._play, net, config)
            self._experience, self._parts = games, [self._policy(config, games.loss)]
            return
        folder = context.attempt.folder / REPLAY_FOLDER
        # Parents too would bring back an attempt that another process took over and removed.
        folder.parent.mkdir(exist_ok=True)
        folder.mkdir(exist_ok=True)
        size = (self._shape["height"], self._shape["width"])
        replay = Replay(folder, self._online.env_steps, size)
        self._experience = Collector(self._play, net, replay)
        denoiser, denoiser_part = self._denoiser(replay)
        reward_end, reward_end_part = self._reward_end(replay)
        sampler = SamplerConfig.model_validate(context.config["sampler"])
        world = DiamondWorld(denoiser, reward_end, sampler)
        num_frames = max(denoiser.config.history, config.burn_in_frames)
        starts = RecencySampler(replay, num_frames, self._online.recency_weights)
        loss_of = policy_loss(net, config, world, starts, context.seed)
        self._parts = [denoiser_part, reward_end_part, self._policy(config, loss_of)]

    def _denoiser(self, replay: Replay) -> tuple[Denoiser, Part]:
        """The denoiser to imagine with, and its training."""
        context = self._context
        config = DenoiserConfig.model_validate(context.config["denoiser"])
        with seeded_init(context.seed, Purpose.DENOISER_INIT):
            denoiser = build_denoiser(config, self._shape).to(context.device)
        segments = RecencySampler(replay, config.segment_steps, self._online.recency_weights)
        state = begin(denoiser, config.optimizer, config.ema)
        updates = self._online.first_updates.denoiser, self._online.updates.denoiser
        loss_of = denoiser_loss(denoiser, segments, context.seed)
        part = Part("denoiser", state, loss_of, config.optimizer, updates, config.ema)
        used = state.result()
        assert isinstance(used, Denoiser)
        context.make_fast(denoiser.net, trains=True)
        if used is not denoiser:
            context.make_fast(used.net, trains=False)
        return used, part

    def _reward_end(self, replay: Replay) -> tuple[RewardEndNet, Part]:
        """The reward/end model and its training."""
        context = self._context
        config = RewardEndConfig.model_validate(context.config["reward_end"])
        with seeded_init(context.seed, Purpose.REWARD_END_INIT):
            net = build_reward_end(config, self._shape).to(context.device)
        segments = PaddedRecencySampler(replay, config.sequence_steps, self._online.recency_weights)
        updates = self._online.first_updates.reward_end, self._online.updates.reward_end
        state = begin(net, config.optimizer)
        context.make_fast(net, trains=True)
        loss_of = reward_end_loss(net, config, segments, context.seed)
        return net, Part("reward_end", state, loss_of, config.optimizer, updates)

    def _policy(self, config: PolicyConfig, loss_of: Loss) -> Part:
        updates = self._online.first_updates.policy, self._online.updates.policy
        state = begin(self._net, config.optimizer)
        return Part("policy", state, loss_of, config.optimizer, updates)

    def _resumed(self) -> Progress:
        """Go back to the last checkpoint, or collect what comes before the first update."""
        saved = self._context.resume()
        progress = None if saved is None else self._restored(saved)
        if progress is not None:
            return progress
        if saved is not None:
            self._context.begin_anew()
            self._build()  # the networks were restored for nothing
        self._context.progress(0, 0, "initial collection")
        self._experience.begin()
        num_collecting, num_epochs = self._online.num_epochs(self._experience.num_env_steps)
        return Progress(1, num_collecting, num_epochs)

    def _restored(self, saved: Saved) -> Progress | None:
        counters = saved.counters
        play = strip("play/", saved.tensors)
        if not self._experience.restore(play, counters["play"]):
            return None
        for part in self._parts:
            part.state.restore(
                strip(f"{part.name}/", saved.tensors), counters["updates"][part.name]
            )
        return Progress(**counters["progress"])

    def _update(self, part: Part, progress: Progress) -> None:
        """Bring one network to the end of the epoch."""
        until, num_updates = part.target(progress.epoch), part.target(progress.num_epochs)
        began = time.monotonic()
        for record in train(part.state, part.loss_of, part.optimizer, num_updates, part.ema, until):
            progress.note(part.name, record.values, time.monotonic() - began)
            loss = record.values["loss"]
            self._show(progress, f"epoch {progress.epoch}: {part.name} loss {loss:.4f}")
            self._checkpoint_if_due(progress)
            began = time.monotonic()

    def _close(self, progress: Progress) -> None:
        """Test if it is time, log the epoch and go to the next one."""
        values = {"env_steps": float(self._experience.num_env_steps)}
        values |= self._experience.take_returns() | progress.means()
        if progress.epoch % self._online.test.every_epochs == 0:
            values |= self._test(progress)
        self._context.events.metric(progress.epoch, values)
        progress.advance()
        self._checkpoint_if_due(progress)

    def _test(self, progress: Progress) -> dict[str, float]:
        """Play a few real episodes to their end with the policy as it is."""
        online = self._online
        evaluation = EvaluationConfig(
            num_episodes=online.test.num_episodes, max_episode_steps=online.max_episode_steps
        )
        episodes = play_episodes(
            self._play.game,
            (self._play.emulator, self._play.view, evaluation),
            sampled_actor(self._net, self._context.device),
            derive(self._context.seed, Purpose.AGENT_TEST, progress.epoch),
            lambda done, _: self._show(progress, f"epoch {progress.epoch}: test, {done} env steps"),
        )
        returns = [episode.total_reward for episode in episodes]
        lengths = [episode.num_steps for episode in episodes]
        return {
            "test_return": sum(returns) / len(returns),
            "test_length": sum(lengths) / len(lengths),
        }

    def _show(self, progress: Progress, note: str) -> None:
        total = sum(part.target(progress.num_epochs) for part in self._parts)
        self._context.progress(self._done(), total, note)

    def _done(self) -> int:
        return sum(part.state.update for part in self._parts)

    def _checkpoint_if_due(self, progress: Progress) -> None:
        if not self._context.checkpoint_due():
            return
        tensors = {f"play/{name}": t for name, t in self._experience.tensors().items()}
        for part in self._parts:
            tensors |= {f"{part.name}/{name}": t for name, t in part.state.tensors().items()}
        extra = {
            "progress": vars(progress),
            "play": self._experience.counters(),
            "updates": {part.name: part.state.update for part in self._parts},
        }
        self._context.checkpoint(tensors, self._done(), extra)
