"""The online protocol: what an agent collects, how it goes on, and what is refused."""

import dataclasses
import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from diamond.config.environments import GymnasiumConfig
from diamond.config.game_names import GAMES
from diamond.config.online import OnlineConfig
from diamond.config.presets import make_preset
from diamond.config.recording import ViewConfig
from diamond.data.replay import Replay
from diamond.data.segments import SegmentSampler, episode_weights
from diamond.engine.files import read_json
from diamond.engine.stage_context import StageContext
from diamond.engine.store import Store
from diamond.envs.live import LiveGame
from diamond.envs.real_game import EpisodeKey
from diamond.errors import StageFailedError
from diamond.makers.online_agent import Progress
from diamond.part import Extent
from diamond.plan.make_plan import make_plan
from diamond.plan.plan import Plan
from diamond.plan.request import Request
from diamond.plan.stage_keys import StageSpec
from diamond.rng import torch_generator
from diamond.seeds import Purpose
from diamond.tracking.event_log import read_events
from diamond.training.collector import Collector, Play
from diamond.training.policy_part import POLICY
from diamond.workers.worker import run_stage
from tests.commands import digests, prepare_anew

SMOKE = make_preset("smoke", "Boxing", "online")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As in a worker: the order of additions depends on the number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def online_plan(*settings: str, games: tuple[str, ...] = ("Boxing",)) -> Plan:
    return make_plan(
        Request(settings, "smoke", games, 1, None, None, protocol="online", goal="agent")
    )


def agent_of(plan: Plan) -> StageSpec:
    return next(spec for spec in plan.stages() if spec.stage == "agent")


def make_agent(home: Path, spec: StageSpec, checkpoint_seconds: float = 1e9) -> Path:
    store = Store(home)
    store.check_writable()
    prepare_anew(store, spec)
    run_stage(store, "agent", spec.key, lambda _: None, checkpoint_seconds)
    return store.folder("agent", spec.key)


def curves(folder: Path) -> list[tuple[int, dict[str, float]]]:
    """Metrics by epoch, without those that measure time."""
    return [
        (e.step, {n: v for n, v in e.values.items() if not n.endswith("per_second")})
        for e in read_events(folder / "events.jsonl", None)
    ]


# --- going on after an interruption -----------------------------------------------------------


class PowerCutError(OSError):
    """The end of a process, in a test that wants to go on."""


IMAGINED = ("policy.horizon_steps=4",)  # what the preset has anyway
REAL = ("environment=real", "policy.batch_size=2", "online.final_epochs=3")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Mapping[tuple[str, ...], Path]:
    """Agents that nobody interrupted."""
    torch.set_num_threads(1)
    homes: dict[tuple[str, ...], Path] = {}
    for settings in (IMAGINED, REAL):
        homes[settings] = tmp_path_factory.mktemp("whole")
        make_agent(homes[settings], agent_of(online_plan(*settings)))
    return homes


def cut_at(moment: Callable[[Mapping[str, Any]], bool]) -> Callable[..., None]:
    """A checkpoint that is the last thing a process does when its moment has come."""
    whole = StageContext.checkpoint

    def cut(
        self: StageContext,
        tensors: Mapping[str, Tensor],
        done: int,
        total: int,
        extra: Mapping[str, Any],
    ) -> None:
        if moment({"done": done, **extra["progress"]}):
            whole(self, tensors, done, total, extra)
            self.events.metric(99, {"loss": 1e9})  # what a resume has to forget
            self.events.commit()
            raise PowerCutError

    return cut


@pytest.mark.parametrize(
    ("settings", "moment"),
    [
        (IMAGINED, lambda at: at["done"] == 2),  # the denoiser, in the first epoch
        (IMAGINED, lambda at: at["done"] == 6),  # the actor-critic, in the first epoch
        (IMAGINED, lambda at: at["epoch"] == 2 and not at["collected"]),
        (IMAGINED, lambda at: at["epoch"] == 2 and at["collected"]),
        (IMAGINED, lambda at: at["epoch"] == at["num_epochs"]),  # nothing is collected any more
        (REAL, lambda at: at["done"] == 1),
        (REAL, lambda at: at["epoch"] == 3 and not at["collected"]),
    ],
)
def test_an_agent_cut_at_any_moment_ends_with_the_same_bits(
    whole: Mapping[tuple[str, ...], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    settings: tuple[str, ...],
    moment: Callable[[Mapping[str, Any]], bool],
) -> None:
    spec = agent_of(online_plan(*settings))
    with monkeypatch.context() as patched:
        patched.setattr(StageContext, "checkpoint", cut_at(moment))
        with pytest.raises(PowerCutError):
            make_agent(tmp_path, spec, checkpoint_seconds=0.0)
    assert Store(tmp_path).status(spec) == "partial"
    folder = make_agent(tmp_path, spec)
    name = f"agent/{spec.key}"
    assert digests(tmp_path)[name] == digests(whole[settings])[name]
    assert curves(folder) == curves(whole[settings] / "stages" / name)


@pytest.mark.parametrize("damage", ["cut", "flipped", "gone"])
def test_an_agent_whose_collected_frames_were_damaged_begins_anew(
    whole: Mapping[tuple[str, ...], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    damage: str,
) -> None:
    spec = agent_of(online_plan(*IMAGINED))
    with monkeypatch.context() as patched:
        patched.setattr(StageContext, "checkpoint", cut_at(lambda at: at["epoch"] == 2))
        with pytest.raises(PowerCutError):
            make_agent(tmp_path, spec, checkpoint_seconds=0.0)
    path = next(tmp_path.glob("work/agent/*/attempts/*/checkpoint/replay/frames.npy"))
    content = bytearray(path.read_bytes())
    if damage == "gone":
        path.unlink()
    else:
        content[200] ^= 1  # in the first frame, behind the header
        path.write_bytes(content[: len(content) // 2] if damage == "cut" else content)
    begun: list[int] = []
    begin = Collector.begin

    def count(self: Collector) -> None:
        begun.append(1)
        begin(self)

    monkeypatch.setattr(Collector, "begin", count)
    folder = make_agent(tmp_path, spec)
    assert begun == [1]
    name = f"agent/{spec.key}"
    assert digests(tmp_path)[name] == digests(whole[IMAGINED])[name]
    assert curves(folder) == curves(whole[IMAGINED] / "stages" / name)


# --- every game -------------------------------------------------------------------------------


@pytest.mark.parametrize("game", GAMES)
def test_every_game_is_collected_trained_on_and_played(game: str, tmp_path: Path) -> None:
    few = [f"online.first_updates.{part}=1" for part in ("denoiser", "reward_end", "policy")]
    plan = online_plan(
        *few, "online.final_epochs=1", "online.env_steps=80", "online.test.every_epochs=1",
        games=(game,),
    )  # fmt: skip
    spec = agent_of(plan)
    folder = make_agent(tmp_path, spec)
    for part in ("denoiser", "reward_end", "policy"):
        assert (folder / part / "weights.safetensors").is_file()
    steps, values = zip(*curves(folder), strict=True)
    assert steps == tuple(range(1, len(steps) + 1))
    assert values[-1]["env_steps"] == 80
    assert "test_return" in values[0]
    assert all("denoiser_loss" in v and "policy_loss" in v for v in values)
    returns = next(s for s in plan.stages() if s.stage == "returns" and s.upstream)
    store = Store(tmp_path)
    store.prepare(returns)
    run_stage(store, "returns", returns.key, lambda _: None, 1e9)
    played = read_json(store.folder("returns", returns.key) / "returns.json")
    (episode,) = played["played"]["episodes"]
    assert sum(played["played"]["action_counts"]) == episode["num_steps"] > 0


# --- play and replay --------------------------------------------------------------------------


def live_game(game: str = "Breakout", max_episode_steps: int = 1000) -> LiveGame:
    config = make_preset("smoke", game)
    return LiveGame(
        game,
        config.environment,
        config.view,
        max_episode_steps,
        lambda number: EpisodeKey(number, number % 5),
    )


def test_a_lost_life_ends_an_episode_and_the_game_goes_on() -> None:
    live = live_game()
    rng = np.random.default_rng(0)
    ends = []
    for _ in range(300):
        step = live.step(int(rng.integers(live.num_actions)))
        assert not step.cut
        if step.end and live.number == 0:
            # The next episode begins with the frame that ended this one.
            assert np.array_equal(step.frame, live.frame)
            ends.append(len(live.actions))
        if live.number == 1:
            break
    assert len(ends) == 4  # of five lives the last one takes the game with it
    assert live.actions == []


def test_a_game_is_cut_at_its_greatest_length_without_an_end() -> None:
    live = live_game("Pong", max_episode_steps=7)
    steps = [live.step(0) for _ in range(14)]
    assert [step.cut for step in steps] == ([False] * 6 + [True]) * 2
    assert not any(step.end for step in steps)
    assert live.number == 2


@pytest.mark.parametrize("num_steps", [1, 150, 400])
def test_a_game_is_made_again_by_its_number_and_actions(num_steps: int) -> None:
    rng = np.random.default_rng(1)
    live, again = live_game(), live_game()
    for _ in range(num_steps):
        live.step(int(rng.integers(live.num_actions)))
    again.restore(live.number, list(live.actions))
    for _ in range(60):
        assert np.array_equal(live.frame, again.frame)
        action = int(rng.integers(live.num_actions))
        ours, theirs = live.step(action), again.step(action)
        assert ours[1:] == theirs[1:]
        assert live.number == again.number


def numbered_replay(folder: Path, lengths: tuple[int, ...]) -> Replay:
    """Episodes of given env steps; frame, action and reward of a row tell where it is."""
    replay = Replay(folder, sum(lengths), (2, 2))
    row = 0
    for length in lengths:
        replay.begin(np.full((2, 2, 3), row, dtype=np.uint8))
        for step in range(length):
            row += 1
            end = step == length - 1
            replay.add(row, float(row), end, np.full((2, 2, 3), row, dtype=np.uint8))
        row += 1
        replay.close()
    return replay


def test_segments_of_the_replay_are_whole_inside_one_episode(tmp_path: Path) -> None:
    replay = numbered_replay(tmp_path, (5, 2, 9, 4, 30))
    sampler = SegmentSampler(replay, Extent(4), (0.1, 0.1, 0.1, 0.7))
    drawn = sampler.sample(500, torch_generator(0, Purpose.DENOISER_SEGMENTS))
    rows = drawn.frames[:, :, 0, 0, 0].add(1).mul(127.5).round().long()
    assert torch.equal(rows[:, 1:], rows[:, :1] + torch.arange(1, 5))
    assert torch.equal(drawn.actions, rows[:, :-1] + 1)
    assert torch.equal(drawn.rewards, (rows[:, :-1] + 1).float())
    bounds = replay.episodes()
    first, last = np.searchsorted(bounds, rows[:, [0, -1]].numpy(), "right").T
    assert np.array_equal(first, last)
    ends = set((bounds[1:] - 1).tolist())
    assert torch.equal(
        drawn.ends.bool(), torch.tensor([[int(r) in ends for r in row] for row in rows[:, 1:]])
    )


def test_shares_of_the_samples_by_age_of_the_episode(tmp_path: Path) -> None:
    lengths = (3, 9, 3, 9, 3, 9, 3, 9, 3, 9)  # quarters of 2, 2, 2 and, with the rest, 4 episodes
    replay = numbered_replay(tmp_path, lengths)
    sampler = SegmentSampler(replay, Extent(1), (0.1, 0.2, 0.0, 0.7))
    drawn = sampler.sample(20_000, torch_generator(0, Purpose.DENOISER_SEGMENTS))
    rows = drawn.frames[:, 0, 0, 0, 0].add(1).mul(127.5).round().long().numpy()
    episode = np.searchsorted(replay.episodes(), rows, "right") - 1
    shares = np.bincount(episode, minlength=10) / len(rows)
    # A quarter by its weight, then an episode uniformly, whatever its length; 4 sigma is 0.014.
    expected = [0.05, 0.05, 0.1, 0.1, 0.0, 0.0, 0.175, 0.175, 0.175, 0.175]
    assert np.allclose(shares, expected, atol=0.014)


@pytest.mark.parametrize("growing", [False, True], ids=["closed", "an episode has just begun"])
def test_padded_segments_of_the_replay_by_age_and_env_step(tmp_path: Path, growing: bool) -> None:
    """A half by its weight, then an episode, then an env step uniformly, however short it is."""
    replay = numbered_replay(tmp_path, (3, 1, 9, 2))
    if growing:
        replay.begin(np.full((2, 2, 3), 99, dtype=np.uint8))
    sampler = SegmentSampler(replay, Extent(4, padded=True), (0.2, 0.8))
    num_draws = 20_000
    drawn = sampler.sample(num_draws, torch_generator(0, Purpose.REWARD_END_SEGMENTS))
    assert drawn.frames.shape[:2] == (num_draws, 5)
    assert bool((drawn.valid[:, :-1] | ~drawn.valid[:, 1:]).all())  # padding comes last
    rows = drawn.frames[:, :-1, 0, 0, 0].add(1).mul(127.5).round().long()
    assert torch.equal(drawn.actions[drawn.valid], rows[drawn.valid] + 1)
    counts = np.bincount(rows[drawn.valid].numpy(), minlength=19) / num_draws
    expected = np.zeros(19)
    for low, num_steps, chance in ((0, 3, 0.1), (4, 1, 0.1), (6, 9, 0.4), (16, 2, 0.4)):
        for step in range(num_steps):
            for place in range(4):
                held = range(max(0, step - place), min(num_steps, step - place + 4))
                expected[[low + i for i in held]] += chance / num_steps / 4
    # Four standard deviations of a binomial share; final frames have none.
    assert (np.abs(counts - expected) <= 4 * np.sqrt(expected * (1 - expected) / num_draws)).all()


@pytest.mark.parametrize("growing", [False, True], ids=["closed", "an episode has just begun"])
def test_few_episodes_are_drawn_by_their_env_steps(tmp_path: Path, growing: bool) -> None:
    """As in the released code, which has no episode before its first env step; not by segments."""
    replay = numbered_replay(tmp_path, (3, 9, 1))
    if growing:
        replay.begin(np.full((2, 2, 3), 99, dtype=np.uint8))
    sampler = SegmentSampler(replay, Extent(2), (0.1, 0.1, 0.1, 0.7))
    num_draws = 20_000
    drawn = sampler.sample(num_draws, torch_generator(0, Purpose.DENOISER_SEGMENTS))
    rows = drawn.frames[:, 0, 0, 0, 0].add(1).mul(127.5).round().long().numpy()
    counts = np.bincount(rows, minlength=16) / num_draws
    # 3 and 9 of 12 env steps, uniformly over 2 and 8 segments; one of 1 env step holds none.
    expected = np.repeat([3 / 12 / 2, 0, 9 / 12 / 8, 0], [2, 2, 8, 4])
    assert (np.abs(counts - expected) <= 4 * np.sqrt(expected * (1 - expected) / num_draws)).all()


def test_an_episode_too_short_for_a_segment_gives_its_chance_to_its_quarter() -> None:
    usable = np.array([True, False, True, True])
    assert episode_weights(np.array([9, 5, 12, 6]), usable, (0.3, 0.7)).tolist() == [
        0.3,
        0,
        0.35,
        0.35,
    ]


def test_a_replay_without_an_episode_of_the_length_says_so(tmp_path: Path) -> None:
    sampler = SegmentSampler(numbered_replay(tmp_path, (3, 2)), Extent(4), (1.0,))
    with pytest.raises(StageFailedError, match=r"no episode has 4 env steps"):
        sampler.sample(1, torch_generator(0, Purpose.DENOISER_SEGMENTS))


def test_minority_rewards_are_those_outside_the_most_frequent_class(tmp_path: Path) -> None:
    replay = Replay(tmp_path, 7, (2, 2))
    frame = np.zeros((2, 2, 3), dtype=np.uint8)
    replay.begin(frame)
    for reward in (0.0, 5.0, 5.0, -1.0, 1.0, 0.0, 200.0):
        replay.add(0, reward, False, frame)
    assert replay.num_minority_rewards() == 3  # four are positive; the frame at the end has none


def test_initial_collection_stops_at_enough_rewards_or_at_its_most(tmp_path: Path) -> None:
    found = {}
    for enough in (0, 1000):
        plan = online_plan(f"online.initial.minority_rewards={enough}")
        config = agent_of(plan).config
        folder = tmp_path / str(enough)
        folder.mkdir()
        loop_config = OnlineConfig.model_validate(config["online"])
        view = SMOKE.view
        play = Play("Boxing", SMOKE.environment, view, loop_config, 0)
        net = POLICY.build(SMOKE.policy, {"num_actions": 18, "height": 32, "width": 32})
        replay = Replay(folder, loop_config.env_steps, (view.height, view.width))
        collector = Collector(play, net, replay)
        collector.begin()
        found[enough] = collector.num_env_steps
    assert found == {0: 60, 1000: 80}
    assert loop_config.num_epochs(60) == (2, 4)
    assert loop_config.num_epochs(80) == (1, 3)


def test_collection_is_random_with_epsilon_one_and_else_follows_the_policy(tmp_path: Path) -> None:
    shares = {}
    for epsilon in (0.0, 1.0):
        online = make_preset("smoke", "Boxing", "online").online
        assert online is not None
        play = Play(
            "Boxing",
            SMOKE.environment,
            SMOKE.view,
            online.model_copy(update={"epsilon": epsilon}),
            0,
        )
        net = POLICY.build(SMOKE.policy, {"num_actions": 18, "height": 32, "width": 32})
        net.actor.bias.data[3] = 50.0
        folder = tmp_path / str(epsilon)
        folder.mkdir()
        replay = Replay(folder, online.env_steps, (32, 32))
        Collector(play, net, replay).begin()
        shares[epsilon] = float((replay.actions[: replay.num_rows - 1] == 3).mean())
    assert shares[0.0] > 0.95
    assert shares[1.0] < 0.3


def test_a_collector_goes_on_with_game_memory_and_returns(tmp_path: Path) -> None:
    """The policy here depends on its memory, so that a lost one would show in the actions."""

    def collector(name: str) -> tuple[Collector, Replay]:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        online = make_preset("smoke", "Breakout", "online").online
        assert online is not None
        online = online.model_copy(update={"max_episode_steps": 1000})  # no cut here
        play = Play("Breakout", SMOKE.environment, SMOKE.view, online, 0)
        net = POLICY.build(SMOKE.policy, {"num_actions": 4, "height": 32, "width": 32})
        rng = torch_generator(0, Purpose.POLICY_INIT)
        for parameter in net.parameters():
            parameter.data = torch.randn(parameter.shape, generator=rng) * 0.5
        replay = Replay(folder, 4 * online.epoch_env_steps + 80, (32, 32))
        return Collector(play, net, replay), replay

    first, kept = collector("one")
    first.begin()
    first.collect(1)
    tensors = {name: tensor.clone() for name, tensor in first.tensors().items()}
    counters = json.loads(json.dumps(first.counters()))
    first.collect(2)
    second, made = collector("one")
    assert second.restore(tensors, counters)
    restored = second.tensors()
    assert all(torch.equal(restored[name], tensors[name]) for name in tensors)
    assert tensors["hidden"].abs().sum() > 0
    second.collect(2)
    assert made.num_rows == kept.num_rows
    assert np.array_equal(made.actions, kept.actions)
    assert len(set(made.actions[: made.num_rows].tolist())) > 1
    assert np.array_equal(made.frames[: made.num_rows], kept.frames[: kept.num_rows])
    assert made.bounds == kept.bounds
    ours, theirs = second.tensors(), first.tensors()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert second.take_returns() == first.take_returns()


# --- a game that cannot be replayed -----------------------------------------------------------

DRIFT = "tests.own_games:Own/Drift-v0"
DRIFTING = GymnasiumConfig(deterministic=False)
NATIVE = ViewConfig(height=16, width=16, crop=None)


def drifting_collector(folder: Path, max_episode_steps: int) -> tuple[Collector, Replay]:
    folder.mkdir(exist_ok=True)
    base = SMOKE.online
    assert base is not None
    initial = base.initial.model_copy(update={"minority_rewards": 0})
    online = base.model_copy(update={"max_episode_steps": max_episode_steps, "initial": initial})
    net = POLICY.build(SMOKE.policy, {"num_actions": 3, "height": 16, "width": 16})
    replay = Replay(folder, online.env_steps, (16, 16))
    return Collector(Play(DRIFT, DRIFTING, NATIVE, online, 0), net, replay), replay


def told(replay: Replay) -> list[list[list[int]]]:
    """Of each episode: number of the game and env steps since its reset, as its frames tell."""
    rows = replay.frames[: replay.num_rows, 0, :2, 0].astype(int).tolist()
    bounds = replay.episodes()
    return [rows[low:high] for low, high in itertools.pairwise(bounds)]


@pytest.mark.parametrize(
    ("max_episode_steps", "num_left"),
    [(1000, 20), (20, 0)],
    ids=["in the middle of a game", "where a game has just begun"],
)
def test_going_on_cuts_the_game_that_was_played_and_loses_nothing_else(
    tmp_path: Path, max_episode_steps: int, num_left: int
) -> None:
    """60 env steps before the interruption: a whole game of 40 and a rest, or three cut ones."""
    first, kept = drifting_collector(tmp_path, max_episode_steps)
    first.begin()
    tensors = {name: tensor.clone() for name, tensor in first.tensors().items()}
    counters = json.loads(json.dumps(first.counters()))
    before = told(kept)
    assert len(before[-1]) == num_left + 1
    first.collect(1)  # what the interruption takes
    second, made = drifting_collector(tmp_path, max_episode_steps)
    assert second.restore(tensors, counters)
    after = told(made)
    assert after[:-1] == (before if num_left else before[:-1])
    assert [steps for _, steps in after[-1]] == [0]
    assert after[-1] != before[-1][:1]
    assert not any(second.tensors()[name].any() for name in ("hidden", "cell"))
    assert second.counters()["num_steps"] == 0
    assert second.counters()["finished"] == counters["finished"]
    second.collect(1)
    assert made.num_env_steps == 80
    # No episode is of two games, and none lacks a step; nothing ended where it was cut.
    episodes = told(made)
    assert all(len({game for game, _ in episode}) == 1 for episode in episodes)
    assert all([s for _, s in e] == list(range(len(e))) for e in episodes)
    assert sum(len(episode) - 1 for episode in episodes) == 80
    ends = [made.ends[high - 2] for high in made.episodes()[1:]]
    assert [bool(end) for end in ends] == [len(episode) == 41 for episode in episodes]
    # It can be interrupted again.
    third, again = drifting_collector(tmp_path, max_episode_steps)
    tensors = {name: tensor.clone() for name, tensor in second.tensors().items()}
    assert third.restore(tensors, json.loads(json.dumps(second.counters())))
    assert told(again)[:-1] == told(made)[: len(told(again)) - 1]


def drifting_agent(*settings: str) -> StageSpec:
    spec = agent_of(online_plan(*settings))
    environment, view = DRIFTING.model_dump(), NATIVE.model_dump()
    config = {**spec.config, "game": DRIFT, "environment": environment, "view": view}
    return dataclasses.replace(spec, config=config)


@pytest.mark.parametrize("settings", [IMAGINED, REAL], ids=["imagined", "real"])
def test_an_agent_of_a_drifting_game_goes_on_and_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: tuple[str, ...]
) -> None:
    spec = drifting_agent(*settings)
    with monkeypatch.context() as patched:
        patched.setattr(StageContext, "checkpoint", cut_at(lambda at: at["epoch"] == 2))
        with pytest.raises(PowerCutError):
            make_agent(tmp_path, spec, checkpoint_seconds=0.0)
    begun: list[int] = []
    monkeypatch.setattr(Collector, "begin", lambda self: begun.append(1))
    folder = make_agent(tmp_path, spec)
    assert begun == []  # it went on
    assert (folder / "policy" / "weights.safetensors").is_file()
    assert all(np.isfinite(list(values.values())).all() for _, values in curves(folder))


def test_metrics_of_an_epoch_are_means_over_its_updates_alone() -> None:
    progress = Progress(1, 2, 3)
    progress.note("policy", {"loss": 1.0}, 0.5)
    progress.note("policy", {"loss": 3.0}, 0.5)
    assert progress.means() == {"policy_loss": 2.0, "policy_updates_per_second": 2.0}
    progress.advance()
    progress.note("policy", {"loss": 7.0}, 0.25)
    assert progress.means() == {"policy_loss": 7.0, "policy_updates_per_second": 4.0}
    assert (progress.epoch, progress.collected) == (2, False)
