"""What a policy earns in imagination and in the game from the same held-out states."""

from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from diamond.config.presets import make_preset
from diamond.config.run import CONTEXT_FRAMES
from diamond.data.action_space import ActionSpace
from diamond.data.collect import collect_references
from diamond.data.counterfactuals import replay_to_start
from diamond.data.reference_files import Reference, View, view_references
from diamond.envs.open_game import open_game
from diamond.envs.real_game import GameEnv
from diamond.envs.view import apply_view
from diamond.families.interface import Step
from diamond.makers.imagination_gap import gap_scores, imagined_returns, real_returns
from diamond.nets.actor_critic_net import ActorCriticNet
from diamond.nets.blocks import Recurrent
from diamond.records import RealStarts, to_unit
from diamond.rng import Noise, StreamNoise, seeded_init
from diamond.seeds import Purpose
from diamond.training.policy_part import POLICY

CONFIG = make_preset("smoke", "MinAtar/Breakout-v1")
NUM_STARTS, NUM_STEPS = 6, 40
CPU = torch.device("cpu")


@cache
def held_out() -> tuple[Reference, ...]:
    changed = CONFIG.references.model_copy(update={"num_starts": NUM_STARTS})
    return tuple(collect_references(CONFIG.game, CONFIG.environment, changed, 3))


def game() -> GameEnv:
    return open_game(CONFIG.game, CONFIG.environment)


def view() -> View:
    return view_references(held_out(), CONFIG.view, ActionSpace(game().action_codes), 4)


def policy() -> ActorCriticNet:
    """A policy of chance weights: what it does hangs on what it saw."""
    shape = {"num_actions": len(game().action_codes), "height": 10, "width": 10}
    with seeded_init(5, Purpose.POLICY_INIT):
        net = POLICY.build(CONFIG.policy, shape)
        torch.nn.init.normal_(net.actor.weight, std=8.0)
    return net


def uniforms() -> NDArray[np.float64]:
    return np.random.default_rng(4).random((NUM_STARTS, NUM_STEPS))


class Shown(NamedTuple):
    """The frame of each trajectory (b, c, h, w)."""

    now: Tensor


class Emulator:
    """The game itself as a world model; after an end it gives rewards that must not count."""

    history = 1

    def __init__(self) -> None:
        self._envs = [game() for _ in held_out()]
        self._over = [False] * NUM_STARTS

    def start(self, frames: Tensor, actions: Tensor, padded: Tensor) -> Shown:
        pairs = zip(self._envs, held_out(), strict=True)
        return self._shown([replay_to_start(env, reference) for env, reference in pairs])

    def step(self, state: Shown, action: Tensor, noise: Noise) -> tuple[Shown, Step]:
        natives, rewards, ends = [], [], []
        for row, env in enumerate(self._envs):
            if self._over[row]:
                natives.append(np.zeros((10, 10, 3), np.uint8))
                rewards.append(1.0)
                ends.append(False)
                continue
            native, reward, over, _, _ = env.step(int(action[row]))
            self._over[row] = over
            natives.append(native)
            rewards.append(reward)
            ends.append(over)
        after = self._shown(natives)
        return after, Step(after.now, torch.tensor(rewards), torch.tensor(ends))

    def frame(self, state: Shown) -> Tensor:
        return state.now

    @staticmethod
    def _shown(natives: list[NDArray[np.uint8]]) -> Shown:
        seen = np.stack([apply_view(native, CONFIG.view) for native in natives])
        return Shown(to_unit(torch.from_numpy(seen)))


def begun(net: ActorCriticNet) -> tuple[RealStarts, Recurrent]:
    found, before = view(), CONTEXT_FRAMES - 1
    starts = RealStarts(
        to_unit(torch.from_numpy(found.context)),
        torch.from_numpy(found.actions[:, :before]),
        torch.from_numpy(found.padded),
    )
    with torch.no_grad():
        return starts, net.remember(starts.frames[:, :before], starts.padded)


def scores(world: Emulator, seen: View) -> Mapping[str, NDArray[np.float64]]:
    net = policy()
    starts, memory = begun(net)
    noise = StreamNoise(torch.Generator())
    imagined = imagined_returns(world, net, (starts, memory), uniforms(), lambda _: noise)
    real = real_returns(game(), net, (seen, memory), held_out(), CONFIG.view, uniforms())
    return gap_scores(imagined, real)


def test_a_perfect_world_model_leaves_no_gap() -> None:
    """Policy, memory and chance are the same in both; what comes after an end counts in none."""
    world = Emulator()
    found = scores(world, view())
    assert found["imagination_gap"].tolist() == [[0.0]] * NUM_STARTS
    assert found["imagination_gap_real"].tolist() == [[0.0]] * NUM_STARTS
    assert all(world._over) and found["real_return"].sum() > 0


def test_a_world_without_rewards_falls_short_by_what_the_game_gives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = Emulator.step

    def blind(self: Emulator, state: Shown, action: Tensor, noise: Noise) -> tuple[Shown, Step]:
        after, step = whole(self, state, action, noise)
        return after, step._replace(reward=torch.zeros(NUM_STARTS))

    monkeypatch.setattr(Emulator, "step", blind)
    found = scores(Emulator(), view())
    assert (found["imagined_return"] == 0).all()
    assert (found["imagination_gap"] == -found["real_return"]).all()


def test_a_state_that_the_game_does_not_come_back_to_has_no_gap() -> None:
    seen = view()
    seen.context[0, -1] ^= 1
    found = scores(Emulator(), seen)
    assert np.isnan(found["imagination_gap"]).ravel().tolist() == [True] + [False] * 5
    assert np.isfinite(found["imagined_return"]).all()
