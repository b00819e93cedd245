"""The cases as this project runs them: the functions that the stages call."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from diamond.bench.cases import Case
from diamond.bench.inputs import (
    AGENT_PARTS,
    SEED,
    GivenSegments,
    Networks,
    as_given,
    build_networks,
    compile_world,
    make_segments,
    num_actions_of,
    section_of,
)
from diamond.config.run import RunConfig
from diamond.data.segments import starts_of
from diamond.envs.live import LiveGame
from diamond.envs.real_game import draw_episode_key
from diamond.families.diamond.config import diamond_of
from diamond.families.diamond.world import DiamondWorld
from diamond.part import AnyPart
from diamond.records import Segments, to_unit
from diamond.rng import StreamNoise, numpy_generator, torch_generator
from diamond.seeds import Purpose
from diamond.training.policy_part import POLICY
from diamond.training.state import begin_part

Run = Callable[[], object]
_NEVER = 10**9
_NUM_ACTIONS_DRAWN = 1000


class Ours:
    """The cases of one config on one device; networks are fresh for every case."""

    def __init__(self, config: RunConfig, device: torch.device, compiled: bool = False) -> None:
        self._config = as_given(config)
        self._device = device
        self._compiled = compiled
        self._num_actions = num_actions_of(config)

    def networks(self) -> Networks:
        """Fresh networks, the same ones every time."""
        return build_networks(self._config, self._num_actions, self._device)

    def _networks_of(self, part: str) -> Networks:
        """Fresh networks as a stage has them that does what a part does."""
        nets = self.networks()
        if self._compiled:
            compile_world(nets, part)
        return nets

    def prepare(self, case: Case) -> Run:
        """What runs a case once: an update, an imagined step of all rows, an env step."""
        match case.part:
            case "environment":
                return self._environment()
            case "imagination":
                assert case.steps is not None
                return self._imagination(case.steps, case.batch)
            case "scoring":
                return self._scoring(case.batch)
            case name:
                return self._training(next(part for part in AGENT_PARTS if part.name == name))

    def _environment(self) -> Run:
        config = self._config
        live = LiveGame(
            config.game,
            config.environment,
            config.view,
            _NEVER,
            lambda number: draw_episode_key(
                numpy_generator(SEED, Purpose.BENCH, "environment", number), config.environment
            ),
        )
        rng = numpy_generator(SEED, Purpose.BENCH, "actions")
        actions = rng.integers(live.num_actions, size=_NUM_ACTIONS_DRAWN).tolist()
        played = 0

        def run() -> Tensor:
            nonlocal played
            played += 1
            live.step(actions[played % len(actions)])
            # What a policy is given: without this the two sides would end in different things.
            return to_unit(torch.from_numpy(live.frame[None])).to(self._device)

        return run

    def _training(self, part: AnyPart) -> Run:
        nets = self._networks_of(part.name)
        config, net = section_of(self._config, part), getattr(nets, part.name)
        world = (
            world_of(self._config, nets, diamond_of(self._config).sampler.steps)
            if part is POLICY
            else None
        )
        source = GivenSegments(
            self._segments(config.batch_size, part.data(config, world).num_steps)
        )
        updates = begin_part(part, net, config, source, SEED, world).updates(_NEVER)
        return lambda: next(updates)

    def _imagination(self, steps: int, batch: int) -> Run:
        world = world_of(self._config, self._networks_of("imagination"), steps)
        start = self._segments(batch, world.history)
        start = start.to(self._device)
        state = world.start(*starts_of(start))
        noise = StreamNoise(
            torch_generator(SEED, Purpose.BENCH, "imagination", device=self._device)
        )

        def run() -> None:
            nonlocal state
            state, _ = world.step(state, start.actions[:, -1], noise)

        return run

    def _scoring(self, num_frames: int) -> Run:
        # What scores loads half a second of libraries, which a first imagined frame needs not.
        from diamond.fidelity.batched import score_frames  # noqa: PLC0415

        view = self._config.view
        rng = numpy_generator(SEED, Purpose.BENCH, "scoring")
        shape = (num_frames, view.height, view.width, 3)
        real, imagined = (rng.integers(256, size=shape, dtype=np.uint8) for _ in range(2))
        return lambda: score_frames(real, imagined, real[0], self._device)

    def _segments(self, rows: int, steps: int) -> Segments:
        return make_segments(self._config, self._num_actions, (rows, steps))


def world_of(config: RunConfig, nets: Networks, steps: int) -> DiamondWorld:
    """The world model as stages load it: without gradients, in evaluation."""
    for net in (nets.denoiser, nets.reward_end):
        net.requires_grad_(False)
        net.eval()
    sampler = diamond_of(config).sampler.model_copy(update={"steps": steps})
    return DiamondWorld(nets.denoiser, nets.reward_end, sampler)
