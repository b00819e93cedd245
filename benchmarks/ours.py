"""The cases as this project runs them, and what it computes: the functions that stages call."""

from collections.abc import Callable, Mapping
from itertools import cycle

import torch
from torch import Tensor

from benchmarks import inputs
from benchmarks.cases import Case
from diamond.agent.actor_critic import actor_critic_loss
from diamond.config.overrides import override
from diamond.config.run import RunConfig
from diamond.data.segments import starts_of
from diamond.engine.arithmetic import compile_network
from diamond.envs.live import LiveGame
from diamond.envs.real_game import EpisodeKey, draw_episode_key
from diamond.families.diamond.config import diamond_of
from diamond.families.diamond.world import DIAMOND_WORLD, DiamondWorld
from diamond.part import AnyPart
from diamond.records import Segments, Trajectories, to_unit
from diamond.rng import StreamNoise, numpy_generator, torch_generator
from diamond.seeds import Purpose
from diamond.training.policy_part import POLICY
from diamond.training.training_loop import begin_part
from diamond.weights.released_names import to_released

Run = Callable[[], object]
IMAGINED = ("frame", "reward logits", "end logits")


class Ours:
    """The cases of one config on one device; networks are fresh for every case."""

    def __init__(self, config: RunConfig, device: torch.device, compiled: bool = False) -> None:
        # Segments are given: there are no final frames to leave out.
        self._config = override(config, {"denoiser.final_frames": "targets"})
        self._device = device
        self._compiled = compiled
        self._num_actions = inputs.num_actions_of(config)

    def released_weights(self) -> dict[str, Tensor]:
        """The weights of fresh networks under the names of the released code."""
        named = self._networks(None).named()
        return to_released(
            {
                part: {n: t.detach().cpu() for n, t in net.state_dict().items()}
                for part, net in named
            }
        )

    def prepare(self, case: Case) -> Run:
        """What runs a case once: an update, an imagined step of all rows, an env step."""
        if case.part == "environment":
            return self._environment()
        if case.part == "imagination":
            assert case.steps is not None
            return self._imagination(case.steps, case.batch)
        return self._training(_part(case.part))

    def outputs(self, part: str) -> Mapping[str, Tensor]:
        """Losses, norms of gradients, frames and logits of a part by name."""
        nets = self._networks(part)
        if part == "policy":
            return self._policy_outputs(nets)
        if part == "imagination":
            return self._imagined_outputs(nets)
        return self._training_outputs(nets, _part(part))

    def _networks(self, part: str | None) -> inputs.Networks:
        """Fresh networks, always the same, as a stage has them that does what a part does."""
        nets = inputs.build_networks(self._config, self._num_actions, self._device)
        for world_part in DIAMOND_WORLD.parts if self._compiled and part else ():
            for net in world_part.compiled(getattr(nets, world_part.name)):
                compile_network(net, trains=part in ("denoiser", "reward_end"))
        return nets

    def _segments(self, rows: int, steps: int) -> Segments:
        return inputs.make_segments(self._config, self._num_actions, (rows, steps))

    def _environment(self) -> Run:
        game, environment = self._config.game, self._config.environment

        def key_of(number: int) -> EpisodeKey:
            rng = numpy_generator(inputs.SEED, Purpose.BENCH, "environment", number)
            return draw_episode_key(rng, environment)

        live = LiveGame(game, environment, self._config.view, inputs.NEVER, key_of)
        rng = numpy_generator(inputs.SEED, Purpose.BENCH, "actions")
        actions = cycle(rng.integers(live.num_actions, size=inputs.NUM_ACTIONS_DRAWN).tolist())

        def run() -> Tensor:
            live.step(next(actions))
            # What a policy is given: without this the two sides would end in different things.
            return to_unit(torch.from_numpy(live.frame[None])).to(self._device)

        return run

    def _training(self, part: AnyPart) -> Run:
        nets = self._networks(part.name)
        config, net = inputs.section_of(self._config, part), getattr(nets, part.name)
        steps = diamond_of(self._config).sampler.steps
        world = world_of(self._config, nets, steps) if part is POLICY else None
        segments = self._segments(config.batch_size, part.data(config, world).num_steps)
        begun = begin_part(part, net, config, inputs.GivenSegments(segments), inputs.SEED, world)
        updates = begun.updates(inputs.NEVER)
        return lambda: next(updates)

    def _imagination(self, steps: int, batch: int) -> Run:
        world = world_of(self._config, self._networks("imagination"), steps)
        start = self._segments(batch, world.history).to(self._device)
        state = world.start(*starts_of(start))
        generator = torch_generator(inputs.SEED, Purpose.BENCH, "imagination", device=self._device)
        noise = StreamNoise(generator)

        def run() -> None:
            nonlocal state
            state, _ = world.step(state, start.actions[:, -1], noise)

        return run

    def _training_outputs(self, nets: inputs.Networks, part: AnyPart) -> dict[str, Tensor]:
        config, net = inputs.section_of(self._config, part), getattr(nets, part.name)
        rows = min(config.batch_size, inputs.CHECK_ROWS)
        segments = inputs.with_ends(self._segments(rows, part.data(config, None).num_steps))
        loss, terms = part.loss_of(net, config, inputs.GivenSegments(segments), inputs.SEED)(0)
        named = {name.replace("_", " "): value for name, value in terms.items()} or {"loss": loss}
        return named | {"gradient norm": inputs.gradient_norm(net, loss)}

    def _policy_outputs(self, nets: inputs.Networks) -> dict[str, Tensor]:
        play, next_values = inputs.make_play(self._config, self._num_actions)
        play, next_values = play.to(self._device), next_values.to(self._device)
        net, rows = nets.policy, []
        memory = net.initial(inputs.CHECK_ROWS, play.frames)
        for frame in play.frames[:, :-1].unbind(dim=1):
            logits, value, memory = net(frame, memory)
            rows.append((logits, value))
        logits, values = (torch.stack(column, dim=1) for column in zip(*rows, strict=True))
        ends = play.ends.bool()
        played = Trajectories(play.actions, play.rewards, ends, logits, values, next_values)
        loss, _ = actor_critic_loss(played, self._config.policy)
        norm = inputs.gradient_norm(net, loss)
        return {"logits": logits, "values": values, "loss": loss, "gradient norm": norm}

    def _imagined_outputs(self, nets: inputs.Networks) -> dict[str, Tensor]:
        start = self._segments(inputs.CHECK_ROWS, diamond_of(self._config).denoiser.history)
        start = start.to(self._device)
        last, actions = start.frames[:, -2:-1], start.actions[:, -1]
        config = override(self._config, {"sampler.quantizer": "none"})
        found: dict[str, Tensor] = {}
        for steps in inputs.CHECK_DENOISING:
            world = world_of(config, nets, steps)
            state = world.start(*starts_of(start))
            unused = StreamNoise(torch_generator(inputs.SEED, Purpose.BENCH, "unused"))
            _, step = world.step(state, actions, unused)
            with torch.no_grad():
                rewards, ends, _ = nets.reward_end(
                    last, actions[:, None], step.frame[:, None], (state.hidden, state.cell)
                )
            tensors = step.frame, rewards, ends
            found |= {f"n={steps} {name}": x for name, x in zip(IMAGINED, tensors, strict=True)}
        return found


def world_of(config: RunConfig, nets: inputs.Networks, steps: int) -> DiamondWorld:
    """The world model as stages load it: without gradients, in evaluation."""
    for net in (nets.denoiser, nets.reward_end):
        net.requires_grad_(False)
        net.eval()
    sampler = diamond_of(config).sampler.model_copy(update={"steps": steps})
    return DiamondWorld(nets.denoiser, nets.reward_end, sampler)


def _part(name: str) -> AnyPart:
    return next(part for part in inputs.AGENT_PARTS if part.name == name)
