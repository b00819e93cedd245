"""Record real episodes.

The training set of frames, and the held-out references with what replays them.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from diamond.config.environments import Environment
from diamond.config.recording import FramesConfig, ReferencesConfig, ViewConfig
from diamond.config.run import CONTEXT_FRAMES
from diamond.data.counterfactuals import with_branch
from diamond.data.dataset import FrameSet
from diamond.data.reference_files import Reference
from diamond.envs.collecting_players import Players, scripted_players
from diamond.envs.open_game import open_game
from diamond.envs.real_game import EpisodeKey, GameEnv, draw_episode_key
from diamond.envs.view import apply_view
from diamond.errors import StageFailedError
from diamond.rng import numpy_generator
from diamond.seeds import Purpose

Progress = Callable[[int, int], None]
Act = Callable[[NDArray[np.uint8], NDArray[np.uint8]], int]
"""Screen and memory of the console to an action index."""


def silent(done: int, total: int) -> None:
    """No progress is shown."""


MAX_ATTEMPTS = 1000
"""Episodes tried for one reference before its length is called impossible."""
STILL_STRIDE = 8
"""One frame in so many, from the reset on, is kept for the median background of an episode."""


@dataclass(frozen=True)
class _Step:
    frame: NDArray[np.uint8]
    action: int
    reward: float
    end: bool
    final: bool


def collect_frames(
    game: str,
    environment: Environment,
    view: ViewConfig,
    config: FramesConfig,
    seed: int,
    progress: Progress = silent,
    players: Players | None = None,
) -> FrameSet:
    """Play episodes until `num_frames` frames are recorded.

    A lost life ends an episode of the set; the game goes on and the next episode begins with the
    frame after it. The last episode is cut where the set is full.

    Args:
        view: Crop and size of the recorded frames.
        config: Player and number of frames.
        seed: Data seed.
        progress: Told (frames recorded, frames wanted).
        players: Makes the player of each episode; None takes the scripted one of the config.

    Returns:
        A `FrameSet` in memory.
    """
    total = config.num_frames
    frames = np.empty((total, view.height, view.width, 3), dtype=np.uint8)
    actions = np.zeros(total, dtype=np.int64)
    rewards = np.zeros(total, dtype=np.float32)
    ends = np.zeros(total, dtype=np.uint8)
    bounds = [0]
    env = open_game(game, environment)
    players = players or scripted_players(game, config.play)
    steps = islice(_play_on(env, environment, players, seed), total)
    for row, step in enumerate(steps):
        frames[row] = apply_view(step.frame, view)
        if step.final:
            bounds.append(row + 1)
        else:
            actions[row], rewards[row], ends[row] = step.action, step.reward, step.end
        if row % 500 == 0:
            progress(row, total)
    env.close()
    if bounds[-1] != total:
        # The cut makes the last recorded frame a final frame without an action.
        actions[total - 1], rewards[total - 1], ends[total - 1] = 0, 0.0, 0
        bounds.append(total)
    pads_starts = environment.padding == "start"
    return FrameSet(frames, actions, rewards, ends, np.asarray(bounds, dtype=np.int64), pads_starts)


def _play_on(
    env: GameEnv, environment: Environment, players: Players, seed: int
) -> Iterator[_Step]:
    episode = 0
    while True:
        key = draw_episode_key(numpy_generator(seed, Purpose.FRAMES_EMULATOR, episode), environment)
        rng = numpy_generator(seed, Purpose.FRAMES_ACTIONS, episode)
        player = players(env.action_codes, rng)
        frame, over = env.begin(key), False
        while not over:
            action = player.act(frame, env.ram())
            following, reward, terminated, truncated, info = env.step(action)
            end, over = terminated or bool(info["life_lost"]), terminated or truncated
            yield _Step(frame, action, reward, end, final=False)
            if end or over:
                yield _Step(following, 0, 0.0, False, final=True)
            frame = following
        episode += 1


def collect_references(
    game: str,
    environment: Environment,
    config: ReferencesConfig,
    seed: int,
    progress: Progress = silent,
) -> Iterator[Reference]:
    """Record one held-out start in each of `num_starts` episodes, as native frames.

    The context of start i begins a drawn number of env steps after the reset. An episode that
    ends before the first imagined step is drawn again; one that ends later is kept and masked
    from there. A start follows from its number, whichever others are recorded.

    Args:
        config: Player, starts, horizon, counterfactuals.
        seed: Data seed.
        progress: Told (starts recorded, starts wanted).
    """
    env = open_game(game, environment)
    players = scripted_players(game, config.play)
    for done in range(config.num_starts):
        start = config.first_start + done
        reference = _collect_reference(env, environment, config, players, (seed, start), game)
        yield with_branch(env, reference, config, seed, start)
        progress(done + 1, config.num_starts)
    env.close()


def collect_off_data(
    game: str,
    environment: Environment,
    config: ReferencesConfig,
    seed: int,
    progress: Progress = silent,
    players: Players | None = None,
) -> Iterator[Reference]:
    """Record the starts of the better player, as `collect_references` does the others.

    Their streams are their own, and they have no counterfactuals.

    Args:
        config: The player and its starts; horizon and offset are those of the other starts.
        seed: Data seed.
        progress: Told (starts recorded, starts wanted).
        players: Makes the player of each episode; None takes the scripted one of the config.
    """
    if config.off_data is None:
        return
    env = open_game(game, environment)
    players = players or scripted_players(game, config.off_data.play)
    for done in range(config.off_data.num_starts):
        stream = (seed, config.first_start + done)
        yield _collect_reference(env, environment, config, players, stream, game, _OFF_DATA)
        progress(done + 1, config.off_data.num_starts)
    env.close()


_ORDINARY = (Purpose.REFERENCES_EMULATOR, Purpose.REFERENCES_START, Purpose.REFERENCES_ACTIONS)
"""Streams of an episode: what starts it, where in it the context begins, its player."""
_OFF_DATA = (Purpose.OFF_DATA_EMULATOR, Purpose.OFF_DATA_START, Purpose.OFF_DATA_ACTIONS)


def _collect_reference(
    env: GameEnv,
    environment: Environment,
    config: ReferencesConfig,
    players: Players,
    stream: tuple[int, int],
    game: str,
    purposes: tuple[Purpose, Purpose, Purpose] = _ORDINARY,
) -> Reference:
    seed, start = stream
    for attempt in range(MAX_ATTEMPTS):
        emulator_rng, offset_rng, player_rng = (
            numpy_generator(seed, purpose, start, attempt) for purpose in purposes
        )
        key = draw_episode_key(emulator_rng, environment)
        player = players(env.action_codes, player_rng)
        if environment.padding == "start":
            reference = _record_anywhere(env, key, player.act, offset_rng, config)
        else:
            offset = int(offset_rng.integers(config.max_offset_steps + 1))
            reference = _record(env, key, player.act, offset, config.horizon_steps)
        if reference is not None and reference.num_valid_steps > 0:
            return reference
    raise StageFailedError(
        f"no {game} episode of reference {start} was long enough for an offset of "
        f"up to {config.max_offset_steps} and {CONTEXT_FRAMES} context frames "
        f"in {MAX_ATTEMPTS} tries"
    )


def _record(env: GameEnv, key: EpisodeKey, act: Act, offset: int, horizon_steps: int) -> Reference:
    num_frames = offset + CONTEXT_FRAMES + horizon_steps
    played = _play(env, key, act, num_frames, offset + CONTEXT_FRAMES)
    # Of a game that cannot be replayed every frame from the reset on is kept.
    return _reference(env, key, played, offset, STILL_STRIDE if env.replayable else 1)


def _record_anywhere(
    env: GameEnv,
    key: EpisodeKey,
    act: Act,
    offset_rng: np.random.Generator,
    config: ReferencesConfig,
) -> Reference | None:
    """An episode of any length; the context is padded where it begins before the episode.

    Its last frame is drawn uniformly from the frames that one more follows, up to
    `max_offset_steps` env steps after the reset.
    """
    played = _play(env, key, act, config.max_offset_steps + 1 + config.horizon_steps, None)
    last = min(config.max_offset_steps, len(played.frames) - 2)
    if last < 0:
        return None
    drawn = int(offset_rng.integers(last + 1))
    lives = [step for step in played.lives_lost if step > drawn]
    ended = lives[0] if lives else len(played.frames)
    most = drawn + 1 + config.horizon_steps
    final = played.frames[ended : ended + 1] if lives else played.final
    kept = _Played(
        played.frames[: min(ended, most)],
        played.actions[: min(ended, most - 1)],
        played.rewards[: min(ended, most - 1)],
        final if ended < most else [],
        [],
    )
    return _reference(env, key, kept, drawn + 1 - CONTEXT_FRAMES, 1)


@dataclass(frozen=True)
class _Played:
    """An episode from the reset on.

    Attributes:
        frames: Those that are not final.
        actions: Indices, one for each frame but the last; one more where the episode ended.
        rewards: Of each action.
        final: The frame after the end, if it ended.
        lives_lost: Numbers of the frames that followed the loss of a life.
    """

    frames: list[NDArray[np.uint8]]
    actions: list[int]
    rewards: list[float]
    final: list[NDArray[np.uint8]]
    lives_lost: list[int]


def _play(
    env: GameEnv, key: EpisodeKey, act: Act, num_frames: int, ends_from: int | None
) -> _Played:
    """Play an episode.

    Args:
        key: What starts it.
        act: Chooses actions.
        num_frames: Frames at most.
        ends_from: The first frame at which a lost life ends it too; None: no lost life does.
    """
    played = _Played([env.begin(key)], [], [], [], [])
    while len(played.frames) < num_frames:
        played.actions.append(act(played.frames[-1], env.ram()))
        frame, reward, terminated, truncated, info = env.step(played.actions[-1])
        played.rewards.append(reward)
        number = len(played.frames)
        if terminated or (info["life_lost"] and ends_from is not None and number >= ends_from):
            played.final.append(frame)
            break
        played.frames.append(frame)
        if info["life_lost"]:
            played.lives_lost.append(number)
        if truncated:
            break
    return played


def _reference(
    env: GameEnv, key: EpisodeKey, played: _Played, offset: int, still_stride: int
) -> Reference:
    """What of an episode is kept; the context of a negative offset is padded in front."""
    first = max(0, offset)
    frames = [played.frames[0]] * -min(0, offset) + played.frames[first:]
    return Reference(
        key,
        tuple(env.action_codes[action] for action in played.actions),
        offset,
        max(0, len(frames) - CONTEXT_FRAMES),
        _stack(frames, env),
        _stack(played.frames[::still_stride], env),
        tuple(played.rewards),
        _stack(played.final, env),
    )


def _stack(frames: list[NDArray[np.uint8]], env: GameEnv) -> NDArray[np.uint8]:
    if not frames:
        return np.empty((0, *env.native_size, 3), dtype=np.uint8)
    return np.stack(frames)
