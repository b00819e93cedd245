"""The stage that makes a whole agent online: collect, update every network, test, in turn.

What is collected and how is in `diamond.training.collector`.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from diamond.config.environments import read_environment
from diamond.config.online import OnlineConfig
from diamond.config.recording import ViewConfig
from diamond.config.scoring import EvaluationConfig
from diamond.config.worlds import world_section
from diamond.data.replay import Replay
from diamond.data.segments import SegmentSampler
from diamond.engine.stage_context import StageContext
from diamond.engine.store import StageResult
from diamond.engine.training_checkpoint import Saved
from diamond.envs.open_game import data_shape
from diamond.families.interface import Material, implementation_of
from diamond.part import AnyPart, Extent
from diamond.seeds import Purpose, derive
from diamond.training.collector import Collector, Experience, Play, RealGames
from diamond.training.evaluation import play_episodes, sampled_actor
from diamond.training.policy_part import POLICY
from diamond.training.training_loop import Training, begin, begin_part, strip
from diamond.weights.trained_networks import save_network

REPLAY_FOLDER = "checkpoint/replay"
"""Needed until the agent is done; the store removes it with the checkpoint."""


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
        environment = read_environment(config["environment"])
        view = ViewConfig.model_validate(config["view"])
        self._play = Play(config["game"], environment, view, self._online, context.seed)
        self._shape = data_shape(config["game"], environment, view)
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
        context, config = self._context, POLICY.section(self._context.config)
        self._net = net = POLICY.fresh(config, self._shape, context.seed, context.device)
        self._experience: Experience
        if self._online.environment == "real":
            games = RealGames(self._play, net, config)
            state = begin(net, config.optimizer)
            self._experience = games
            self._parts = [Training(POLICY.name, state, games.losses, config.optimizer)]
            return
        folder = context.attempt.folder / REPLAY_FOLDER
        # Parents too would bring back an attempt that another process took over and removed.
        folder.parent.mkdir(exist_ok=True)
        folder.mkdir(exist_ok=True)
        size = (self._shape["height"], self._shape["width"])
        pads_starts = self._play.environment.padding == "start"
        replay = Replay(folder, self._online.env_steps, size, pads_starts)
        self._experience = Collector(self._play, net, replay)
        family = implementation_of(context.config["family"])
        self._parts = [self._world_part(part, replay) for part in family.parts]
        networks = {part.name: part.state.result() for part in self._parts}
        world = family.build(Material(networks, world_section(context.config)))
        starts = self._source(POLICY.data(config, world), replay)
        self._parts.append(begin_part(POLICY, net, config, starts, context.seed, world))

    def _world_part(self, part: AnyPart, replay: Replay) -> Training:
        """A network of the world model in training; what it comes to imagines meanwhile."""
        context = self._context
        config = part.section(context.config)
        net = part.fresh(config, self._shape, context.seed, context.device)
        source = self._source(part.data(config, None), replay)
        training = begin_part(part, net, config, source, context.seed)
        context.make_fast(*part.compiled(net), trains=True)
        if training.state.averaged is not None:
            context.make_fast(*part.compiled(training.state.averaged), trains=False)
        return training

    def _source(self, extent: Extent, replay: Replay) -> SegmentSampler:
        return SegmentSampler(replay, extent, self._online.recency_weights)

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

    def _update(self, part: Training, progress: Progress) -> None:
        """Bring one network to the end of the epoch."""
        until = self._online.num_updates(part.name, progress.epoch)
        num_updates = self._online.num_updates(part.name, progress.num_epochs)
        began = time.monotonic()
        for record in part.updates(num_updates, until):
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
            (self._play.environment, self._play.view, evaluation),
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
        self._context.progress(self._done(), self._total(progress), note)

    def _total(self, progress: Progress) -> int:
        last = progress.num_epochs
        return sum(self._online.num_updates(part.name, last) for part in self._parts)

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
        self._context.checkpoint(tensors, self._done(), self._total(progress), extra)
