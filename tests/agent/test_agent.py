"""The agent: returns against their definition, the loss, and learning in an imagined toy world."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from diamond.agent.actor_critic import actor_critic_loss, burn_in, lambda_returns, ppo_losses
from diamond.config.networks import PolicyConfig
from diamond.config.presets import make_preset
from diamond.data.dataset import FrameSet
from diamond.data.segments import SegmentSampler, draw_starts
from diamond.families.interface import Step
from diamond.nets.actor_critic_net import ActorCriticNet, ActorCriticShape
from diamond.records import RealStarts, Trajectories
from diamond.rng import Noise, StreamNoise, seeded_init, torch_generator
from diamond.seeds import Purpose
from diamond.training.policy_part import POLICY, imagination_policy
from diamond.training.training_loop import begin, train
from diamond.world.imagination import Decision, ImaginationPolicy, imagine

# Sums of at most eight float64 terms in another order.
ROUNDING = 1e-9


def numbers(seed: int, *shape: int) -> Tensor:
    generator = torch_generator(seed, Purpose.BOOTSTRAP)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def returns_by_definition(
    rewards: list[float], ends: list[bool], values: list[float], gamma: float, lambda_: float
) -> list[float]:
    """(1 - l) sum_n l^(n-1) G^(n) + l^(N-1) G^(N), G^(n) the n-step return cut at the first end."""

    def n_step(t: int, n: int) -> float:
        total = 0.0
        for k in range(n):
            total += gamma**k * rewards[t + k]
            if ends[t + k]:
                return total
        return total + gamma**n * values[t + n - 1]

    out = []
    for t in range(len(rewards)):
        longest = len(rewards) - t
        short = sum(lambda_ ** (n - 1) * n_step(t, n) for n in range(1, longest))
        out.append((1 - lambda_) * short + lambda_ ** (longest - 1) * n_step(t, longest))
    return out


STEPS = st.lists(
    st.tuples(st.floats(-3, 3), st.booleans(), st.floats(-10, 10)), min_size=1, max_size=8
)


@given(STEPS, st.floats(0, 1), st.floats(0, 1))
def test_lambda_returns_equal_their_definition(
    steps: list[tuple[float, bool, float]], gamma: float, lambda_: float
) -> None:
    rewards, ends, values = (list(column) for column in zip(*steps, strict=True))
    got = lambda_returns(
        torch.tensor([rewards], dtype=torch.float64),
        torch.tensor([ends]),
        torch.tensor([values], dtype=torch.float64),
        gamma,
        lambda_,
    )
    expected = returns_by_definition(rewards, ends, values, gamma, lambda_)
    assert got[0].tolist() == pytest.approx(expected, rel=ROUNDING, abs=ROUNDING)


def test_lambda_zero_is_one_step_and_lambda_one_is_the_discounted_sum() -> None:
    rewards = torch.tensor([[1.0, 0.0, 2.0]])
    ends = torch.zeros(1, 3, dtype=torch.bool)
    values = torch.tensor([[10.0, 20.0, 40.0]])
    # gamma = 1/2: 1 + 5, 0 + 10, 2 + 20.
    assert lambda_returns(rewards, ends, values, 0.5, 0.0).tolist() == [[6.0, 10.0, 22.0]]
    # 22 backwards: 0 + 11, 1 + 5.5.
    assert lambda_returns(rewards, ends, values, 0.5, 1.0).tolist() == [[6.5, 11.0, 22.0]]


def test_nothing_after_an_end_counts() -> None:
    rewards = torch.tensor([[1.0, 2.0, 100.0]])
    ends = torch.tensor([[False, True, False]])
    values = torch.tensor([[7.0, 1e6, 1e6]])
    first, second, _ = lambda_returns(rewards, ends, values, 0.5, 1.0)[0].tolist()
    assert (first, second) == (2.0, 2.0)


def test_rows_have_returns_of_their_own() -> None:
    rewards, values = numbers(0, 3, 5), numbers(1, 3, 5)
    ends = numbers(2, 3, 5) > 1
    whole = lambda_returns(rewards, ends, values, 0.9, 0.8)
    for row in range(3):
        one = slice(row, row + 1)
        assert torch.equal(
            lambda_returns(rewards[one], ends[one], values[one], 0.9, 0.8), whole[one]
        )


def policy_config(**changes: object) -> PolicyConfig:
    return make_preset("smoke", "Boxing").policy.model_copy(update=changes)


def trajectories(rewards: Tensor, actions: Tensor, logits: Tensor, values: Tensor) -> Trajectories:
    ends = torch.ones(rewards.shape, dtype=torch.bool)
    return Trajectories(actions, rewards, ends, logits, values, torch.zeros_like(rewards))


def test_actor_gradient_is_the_policy_gradient() -> None:
    """With single steps the gradient of the logits is -(r - v) (onehot - softmax) / n, exactly."""
    logits = numbers(0, 2, 3, 4).requires_grad_()
    values = numbers(1, 2, 3).requires_grad_()
    rewards = torch.tensor([[1.0, -1.0, 0.0], [0.0, 1.0, 1.0]], dtype=torch.float64)
    actions = torch.tensor([[0, 1, 2], [3, 0, 1]])
    config = policy_config(entropy_weight=0.0, value_weight=0.5)
    loss, _ = actor_critic_loss(trajectories(rewards, actions, logits, values), config)
    loss.backward()  # type: ignore[no-untyped-call]
    advantage = (rewards - values).detach()
    onehot = torch.nn.functional.one_hot(actions, 4)
    expected = -advantage[..., None] * (onehot - logits.detach().softmax(-1)) / 6
    assert logits.grad is not None
    assert values.grad is not None
    assert torch.allclose(logits.grad, expected, atol=ROUNDING)
    # The value loss is a mean square: 2 (v - r) / n times its weight.
    assert torch.allclose(values.grad, 0.5 * 2 * -advantage / 6, atol=ROUNDING)


def test_a_better_action_becomes_likelier_and_the_value_moves_to_the_return() -> None:
    logits = torch.zeros(1, 2, 3, requires_grad=True)
    values = torch.zeros(1, 2, requires_grad=True)
    batch = trajectories(torch.tensor([[1.0, -1.0]]), torch.tensor([[0, 1]]), logits, values)
    loss, _ = actor_critic_loss(batch, policy_config())
    loss.backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert values.grad is not None
    down = -logits.grad[0]
    assert down[0, 0] > 0 > down[0, 1]
    assert down[1, 1] < 0 < down[1, 0]
    assert -values.grad[0, 0] > 0 > -values.grad[0, 1]


def test_entropy_alone_flattens_the_policy() -> None:
    logits = torch.tensor([[[2.0, 0.0, -1.0]]], requires_grad=True)
    values = torch.zeros(1, 1, requires_grad=True)
    batch = trajectories(torch.zeros(1, 1), torch.zeros(1, 1, dtype=torch.int64), logits, values)
    loss, parts = actor_critic_loss(batch, policy_config(entropy_weight=1.0))
    loss.backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert -logits.grad[0, 0, 0] < 0 < -logits.grad[0, 0, 2]
    p = torch.tensor([2.0, 0.0, -1.0]).softmax(0)
    assert float(parts["entropy"]) == pytest.approx(float(-(p * p.log()).sum()), rel=1e-6)


def test_rewards_are_clipped_to_their_sign() -> None:
    def loss_of(rewards: Tensor) -> float:
        actions = torch.zeros(1, 3, dtype=torch.int64)
        batch = trajectories(rewards, actions, numbers(0, 1, 3, 2), numbers(1, 1, 3))
        return float(actor_critic_loss(batch, policy_config())[0])

    assert loss_of(torch.tensor([[7.0, 0.0, -400.0]])) == loss_of(torch.tensor([[1.0, 0.0, -1.0]]))


def test_burn_in_is_all_frames_but_the_last() -> None:
    with seeded_init(0, Purpose.POLICY_INIT):
        net = ActorCriticNet(ActorCriticShape(3, 16, 16, (8, 8), 12))
    frames = numbers(0, 2, 4, 3, 16, 16).float()
    padded = torch.zeros(2, dtype=torch.int64)
    hidden, cell = burn_in(net, frames, padded)
    memory = net.initial(2, frames)
    for index in range(3):
        memory = net(frames[:, index], memory)[2]
    assert torch.equal(hidden, memory[0])
    assert torch.equal(cell, memory[1])
    assert hidden.requires_grad
    assert not burn_in(net, frames[:, :1], padded)[0].any()


NUM_TARGETS = 3
LONGEST = 6


class ToyState(NamedTuple):
    """Which strip is lit (b,), env steps since the start (b,)."""

    target: Tensor
    age: Tensor


class ToyWorld:
    """One of three strips is lit; the action of that strip earns 1, any other -1.

    A trajectory ends after six steps, or after a mistake one time in two.
    """

    history = 1

    def start(self, frames: Tensor, actions: Tensor, padded: Tensor) -> ToyState:
        strips = frames[:, -1, 0, :, :12].reshape(-1, 16, NUM_TARGETS, 4).mean(dim=(1, 3))
        target = strips.argmax(dim=1)
        return ToyState(target, torch.zeros_like(target))

    def step(self, state: ToyState, action: Tensor, noise: Noise) -> tuple[ToyState, Step]:
        hit = action == state.target
        unlucky = noise.uniform("end", len(action)) < 0.5
        end = (state.age + 1 >= LONGEST) | (~hit & unlucky)
        target = (noise.uniform("target", len(action)) * NUM_TARGETS).long()
        after = ToyState(target, state.age + 1)
        return after, Step(draw_strips(target), hit.float() * 2 - 1, end)

    def frame(self, state: ToyState) -> Tensor:
        return draw_strips(state.target)


def draw_strips(target: Tensor) -> Tensor:
    frames = -torch.ones(len(target), 3, 16, 16)
    for row, index in enumerate(target.tolist()):
        frames[row, :, :, 4 * index : 4 * index + 4] = 1
    return frames


def toy_starts(num_frames: int, length: int) -> FrameSet:
    rng = np.random.default_rng(0)
    target = torch.from_numpy(rng.integers(NUM_TARGETS, size=num_frames))
    frames = draw_strips(target).add(1).mul(127.5).to(torch.uint8).permute(0, 2, 3, 1).numpy()
    return FrameSet(
        frames,
        np.zeros(num_frames, dtype=np.int64),
        np.zeros(num_frames, dtype=np.float32),
        np.zeros(num_frames, dtype=np.uint8),
        np.arange(0, num_frames + 1, length, dtype=np.int64),
    )


def train_on_toy(
    num_updates: int, seed: int, **changes: object
) -> tuple[list[Mapping[str, float]], ActorCriticNet]:
    config = policy_config(
        horizon_steps=8,
        burn_in_frames=2,
        gamma=0.9,
        entropy_weight=0.01,
        batch_size=32,
        **changes,
    )
    optimizer = config.optimizer.model_copy(
        update={"lr": 1e-2, "schedule": "constant", "warmup_updates": 5}
    )
    with seeded_init(seed, Purpose.POLICY_INIT):
        net = ActorCriticNet(ActorCriticShape(NUM_TARGETS, 16, 16, (4, 4), 32))
    world = ToyWorld()
    starts = SegmentSampler(toy_starts(60, 4), POLICY.data(config, world))
    loss_of = POLICY.passes_of(net, config, starts, seed, world)
    state = begin(net, optimizer)
    return [record.values for record in train(state, loss_of, optimizer, num_updates)], net


def test_the_actor_critic_learns_in_imagination() -> None:
    """Random play earns -1/3 a step, perfect play 1; 50 updates must reach .8 a step."""
    records, _ = train_on_toy(50, seed=0)
    per_step = [values["imagined_reward"] / 8 for values in records]
    # 32 trajectories of 8 steps: the standard error at random is .06.
    assert np.mean(per_step[:3]) == pytest.approx(-1 / 3, abs=0.2)
    assert np.mean(per_step[-10:]) > 0.8
    assert records[-1]["entropy"] < 0.5 * records[0]["entropy"]


PPO = {"algorithm": "ppo", "epochs": 3, "minibatches": 2, "normalise_advantages": True}


def test_several_passes_over_the_same_trajectories_learn_more_of_them() -> None:
    """Of 16 updates, which take REINFORCE from -1/3 to about 0."""
    found: list[float] = []
    for changes in ({}, PPO):
        records, _ = train_on_toy(16, 0, **changes)
        found.append(sum(values["imagined_reward"] / 8 for values in records[-4:]) / 4)
    assert found[1] > max(0.6, found[0] + 0.2)


@pytest.mark.parametrize("changes", [{}, PPO])
def test_training_in_imagination_is_a_function_of_the_seed(changes: dict[str, object]) -> None:
    first, again, other = (train_on_toy(3, seed, **changes)[0] for seed in (0, 0, 1))
    assert first == again
    assert first != other


def imagined_on_toy(config: PolicyConfig) -> tuple[ActorCriticNet, Trajectories]:
    with seeded_init(0, Purpose.POLICY_INIT):
        net = ActorCriticNet(ActorCriticShape(NUM_TARGETS, 16, 16, (4, 4), 32))
        torch.nn.init.normal_(net.actor.weight)
        torch.nn.init.normal_(net.critic.weight)
    world = ToyWorld()
    starts = SegmentSampler(toy_starts(60, 4), POLICY.data(config, world))
    generator = torch_generator(0, Purpose.POLICY_STARTS)
    noise = StreamNoise(torch_generator(0, Purpose.POLICY_NOISE))
    policy = imagination_policy(net, 2, torch_generator(0, Purpose.POLICY_ACTIONS))
    batch = imagine(
        world, policy, lambda num: draw_starts(starts, num, generator), lambda _: noise, (8, 12)
    )
    return net, batch


def test_a_policy_that_acts_again_says_the_same() -> None:
    """All frames encoded together, memories begun anew where trajectories did."""
    net, batch = imagined_on_toy(policy_config(burn_in_frames=2))
    assert batch.seen is not None
    assert batch.seen.begins[:, 1:].any()
    logits, values = net.over(batch.seen)
    assert torch.allclose(logits, batch.logits, atol=1e-5)
    assert torch.allclose(values, batch.values, atol=1e-5)


def test_the_first_step_of_ppo_is_that_of_reinforce() -> None:
    """Nothing is clipped yet, and the gradient of the ratio is that of the log-probability."""
    changes = {"normalise_advantages": True, "entropy_weight": 0.1, "burn_in_frames": 2}
    config = policy_config(**changes)
    net, batch = imagined_on_toy(config)
    assert batch.seen is not None
    # Without what flows through memories from before a restart.
    logits, values = net.over(batch.seen)
    again = dataclasses.replace(batch, logits=logits, values=values)
    order = torch_generator(0, Purpose.POLICY_MINIBATCHES)
    losses = (
        actor_critic_loss(again, config)[0],
        next(ppo_losses(net, batch, config, order))[0],
    )
    first, second = (torch.autograd.grad(loss, list(net.parameters())) for loss in losses)
    for mine, theirs in zip(first, second, strict=True):
        assert torch.allclose(mine, theirs, atol=1e-5)


def test_ppo_goes_through_all_trajectories_as_often_as_it_is_told() -> None:
    config = policy_config(**PPO, burn_in_frames=2)
    net, batch = imagined_on_toy(config)
    order = torch_generator(0, Purpose.POLICY_MINIBATCHES)
    assert len(list(ppo_losses(net, batch, config, order))) == 6


def test_a_probability_that_left_the_clip_has_no_gradient() -> None:
    """Twice as likely as before, and better than expected: no reason to move on."""
    config = policy_config(entropy_weight=0.0, value_weight=0.0, burn_in_frames=2)
    net, batch = imagined_on_toy(config)
    old = dataclasses.replace(
        batch,
        logits=batch.logits - 2.0 * torch.nn.functional.one_hot(batch.actions, NUM_TARGETS),
        rewards=torch.ones_like(batch.rewards),
        values=torch.full_like(batch.values, -10.0),
        ends=torch.ones_like(batch.ends),
    )
    order = torch_generator(0, Purpose.POLICY_MINIBATCHES)
    before = old.logits.log_softmax(-1).gather(-1, old.actions[..., None])
    assert batch.seen is not None
    now = net.over(batch.seen)[0].log_softmax(-1).gather(-1, old.actions[..., None])
    assert bool(((now - before).exp() > 1 + config.clip).any())
    loss, _ = next(ppo_losses(net, old, config, order))
    clipped = (now - before).exp().clamp(max=1 + config.clip)
    assert loss.item() == pytest.approx(-11 * clipped.mean().item(), rel=1e-4)


def test_trajectories_begin_shortly_before_events() -> None:
    """Of one reward at row 30: an event is the first to the fourth imagined env step."""
    real = toy_starts(60, 60)
    real.rewards[30] = 1
    real.frames[:] = np.arange(60, dtype=np.uint8)[:, None, None, None]
    config = policy_config(burn_in_frames=2, event_starts=0.5, event_lead_steps=4)
    source = SegmentSampler(real, POLICY.data(config, ToyWorld()))
    starts = draw_starts(source, 64, torch_generator(0, Purpose.POLICY_STARTS))
    last = starts.frames[:32, -1, 0, 0, 0].add(1).mul(127.5).round()
    assert set(last.tolist()) == {27.0, 28.0, 29.0, 30.0}


def test_imagination_never_starts_at_the_final_frame_of_an_episode() -> None:
    """After it the world model has seen nothing."""
    real = toy_starts(60, 4)
    real.frames[3::4] = 77

    class Watched(ToyWorld):
        seen: ClassVar[list[Tensor]] = []

        def start(self, frames: Tensor, actions: Tensor, padded: Tensor) -> ToyState:
            assert frames.shape[1] == actions.shape[1] + 1 == 2
            self.seen.append(frames)
            return super().start(frames, actions, padded)

    config = policy_config(horizon_steps=8, burn_in_frames=2, batch_size=64)
    net = ActorCriticNet(ActorCriticShape(NUM_TARGETS, 16, 16, (4, 4), 32))
    starts = SegmentSampler(real, POLICY.data(config, Watched()))
    POLICY.loss_of(net, config, starts, 0, Watched())(0)
    assert set(torch.cat(Watched.seen).flatten().tolist()) == {-1.0, 1.0}


class Counted:
    """A world of numbered frames whose rows end when they are told to."""

    history = 1

    def __init__(self, ends: Tensor) -> None:
        self.ends = ends
        self.time = 0

    def start(self, frames: Tensor, actions: Tensor, padded: Tensor) -> ToyState:
        target = frames[:, -1, 0, 0, 0]
        return ToyState(target, torch.zeros_like(target))

    def step(self, state: ToyState, action: Tensor, noise: Noise) -> tuple[ToyState, Step]:
        after = ToyState(state.target, state.age + 1)
        end = self.ends[:, self.time]
        self.time += 1
        return after, Step(self.frame(after), torch.zeros(len(action)), end)

    def frame(self, state: ToyState) -> Tensor:
        return (state.target + 0.01 * state.age)[:, None, None, None]


def counting_policy(log: dict[str, list[Any]]) -> ImaginationPolicy:
    """The memory counts the frames since the start, burn-in included."""

    def act(frame: Tensor, memory: tuple[Tensor, Tensor]) -> Decision:
        log["acted on"].append((frame.flatten().tolist(), memory[0].flatten().tolist()))
        b = len(frame)
        following = (memory[0] + 1, memory[1])
        return Decision(torch.zeros(b).long(), torch.zeros(b, 2), frame.flatten(), following)

    def warm_up(frames: Tensor, padded: Tensor) -> tuple[Tensor, Tensor]:
        count = torch.full((len(frames), 1), float(frames.shape[1] - 1))
        return count, count

    def value(frame: Tensor, memory: tuple[Tensor, Tensor]) -> Tensor:
        return frame.flatten()

    return ImaginationPolicy(act, warm_up, value)


def counting_restart(log: dict[str, list[Any]]) -> Callable[[int], RealStarts]:
    """Starts numbered 1, 2, 3 ... in the order in which they are asked for."""

    def restart(num: int) -> RealStarts:
        first = 1 + sum(log["restarts"])
        log["restarts"].append(num)
        ids = torch.arange(first, first + num).float()
        frames = ids[:, None, None, None, None].expand(num, 3, 1, 1, 1)
        return RealStarts(frames, torch.zeros(num, 2).long(), torch.zeros(num).long())

    return restart


def test_rows_that_end_go_on_from_fresh_starts() -> None:
    ends = torch.tensor([[0, 0, 0, 0], [0, 1, 0, 1], [1, 1, 0, 0]]).bool()
    log: dict[str, list[Any]] = {"acted on": [], "restarts": []}
    noise = StreamNoise(torch_generator(0, Purpose.POLICY_NOISE))
    batch = imagine(
        Counted(ends), counting_policy(log), counting_restart(log), lambda _: noise, (3, 4)
    )
    # Three rows begin; one ends at step 0, two at step 1; the end at the last step needs no start.
    assert log["restarts"] == [3, 1, 2]
    frames = [frame for frame, _ in log["acted on"]]
    assert frames[0] == pytest.approx([1, 2, 3])
    assert frames[1] == pytest.approx([1.01, 2.01, 4])
    assert frames[2] == pytest.approx([1.02, 5, 6])
    assert frames[3] == pytest.approx([1.03, 5.01, 6.01])
    # A fresh row has the memory of its own burn-in: two frames.
    assert [memory for _, memory in log["acted on"]] == [
        [2, 2, 2],
        [3, 3, 2],
        [4, 2, 2],
        [5, 3, 3],
    ]
    assert torch.equal(batch.ends, ends)
    # The next value is that of the next frame; nothing follows an end.
    following = [[1.01, 1.02, 1.03, 1.04], [2.01, 0, 5.01, 0], [0, 0, 6.01, 6.02]]
    assert batch.next_values.numpy() == pytest.approx(np.array(following))
    assert batch.seen is not None
    assert batch.seen.begins.tolist() == [
        [True, False, False, False],
        [True, False, True, False],
        [True, True, True, False],
    ]
    memory = [[2, 3, 4, 5], [2, 3, 2, 3], [2, 2, 2, 3]]
    assert batch.seen.memory[0][..., 0].tolist() == memory
    assert batch.seen.frames.flatten(1)[1].tolist() == pytest.approx([2, 2.01, 5, 5.01])


def test_gradients_flow_through_the_memory_but_not_across_a_restart() -> None:
    with seeded_init(0, Purpose.POLICY_INIT):
        net = ActorCriticNet(ActorCriticShape(NUM_TARGETS, 16, 16, (8, 8), 12))
        torch.nn.init.normal_(net.critic.weight)
    seen: list[Tensor] = []
    generator = torch_generator(0, Purpose.POLICY_ACTIONS)
    policy = imagination_policy(net, 2, generator)

    def act(frame: Tensor, memory: tuple[Tensor, Tensor]) -> Decision:
        decision = policy.act(frame, memory)
        hidden = decision.memory[0]
        hidden.retain_grad()
        seen.append(hidden)
        return decision

    class Ending(ToyWorld):
        def step(self, state: ToyState, action: Tensor, noise: Noise) -> tuple[ToyState, Step]:
            after, step = super().step(state, action, noise)
            return after, step._replace(end=torch.tensor([False, True]))

    def restart(num: int) -> RealStarts:
        frames = draw_strips(torch.zeros(2 * num).long()).reshape(num, 2, 3, 16, 16)
        return RealStarts(frames, torch.zeros(num, 1).long(), torch.zeros(num).long())

    noise = StreamNoise(torch_generator(0, Purpose.POLICY_NOISE))
    batch = imagine(Ending(), policy._replace(act=act), restart, lambda _: noise, (2, 2))
    assert not batch.next_values.requires_grad
    batch.values[:, 1].sum().backward()  # type: ignore[no-untyped-call]
    gradient = seen[0].grad
    assert gradient is not None
    assert float(gradient[0].abs().max()) > 0
    assert float(gradient[1].abs().max()) == 0
