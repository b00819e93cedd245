"""Record real episodes.

The training set of frames, and the held-out references with what replays them.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from diamond.config.run import (
    CONTEXT_FRAMES,
    EmulatorConfig,
    FramesConfig,
    ReferencesConfig,
    ViewConfig,
)
from diamond.data.counterfactuals import with_branch
from diamond.data.dataset import FrameSet
from diamond.data.references import Reference
from diamond.envs.atari import SCREEN_HEIGHT, SCREEN_WIDTH, AtariEnv, EpisodeKey, draw_episode_key
from diamond.envs.players import Players, scripted_players
from diamond.envs.view import apply_view
from diamond.rng import numpy_generator
from diamond.seeds import Purpose

Progress = Callable[[int, int], None]


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
    emulator: EmulatorConfig,
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
        game: One of the 26 games.
        emulator: Frame skip, no-ops, actions.
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
    env = AtariEnv(game, emulator)
    players = players or scripted_players(game, config.play)
    steps = islice(_play_on(env, emulator, players, seed), total)
    for row, step in enumerate(steps):
        frames[row] = apply_view(step.frame, view)
        if step.final:
            bounds.append(row + 1)
        else:
            actions[row], rewards[row], ends[row] = step.action, step.reward, step.end
        if row % 500 == 0:
            progress(row, total)
    if bounds[-1] != total:
        # The cut makes the last recorded frame a final frame without an action.
        actions[total - 1], rewards[total - 1], ends[total - 1] = 0, 0.0, 0
        bounds.append(total)
    return FrameSet(frames, actions, rewards, ends, np.asarray(bounds, dtype=np.int64))


def _play_on(
    env: AtariEnv, emulator: EmulatorConfig, players: Players, seed: int
) -> Iterator[_Step]:
    episode = 0
    while True:
        key = draw_episode_key(numpy_generator(seed, Purpose.FRAMES_EMULATOR, episode), emulator)
        rng = numpy_generator(seed, Purpose.FRAMES_ACTIONS, episode)
        player = players(env.action_codes, rng)
        frame, terminated = env.begin(key), False
        while not terminated:
            action = player.act(frame, env.ram())
            following, reward, terminated, _, info = env.step(action)
            end = terminated or bool(info["life_lost"])
            yield _Step(frame, action, reward, end, final=False)
            if end:
                yield _Step(following, 0, 0.0, False, final=True)
            frame = following
        episode += 1


def collect_references(
    game: str,
    emulator: EmulatorConfig,
    config: ReferencesConfig,
    seed: int,
    progress: Progress = silent,
) -> Iterator[Reference]:
    """Record one held-out start in each of `num_starts` episodes, as native frames.

    The context of start i begins a drawn number of env steps after the reset. An episode that
    ends before the first imagined step is drawn again; one that ends later is kept and masked
    from there. A start follows from its number, whichever others are recorded.

    Args:
        game: One of the 26 games.
        emulator: Frame skip, no-ops, actions.
        config: Player, starts, horizon, counterfactuals.
        seed: Data seed.
        progress: Told (starts recorded, starts wanted).
    """
    env = AtariEnv(game, emulator)
    for done in range(config.num_starts):
        start = config.first_start + done
        reference = _collect_reference(env, game, emulator, config, (seed, start))
        yield with_branch(env, reference, config, seed, start)
        progress(done + 1, config.num_starts)


def _collect_reference(
    env: AtariEnv,
    game: str,
    emulator: EmulatorConfig,
    config: ReferencesConfig,
    stream: tuple[int, int],
) -> Reference:
    seed, start = stream
    for attempt in range(MAX_ATTEMPTS):
        counters = (start, attempt)
        key = draw_episode_key(
            numpy_generator(seed, Purpose.REFERENCES_EMULATOR, *counters), emulator
        )
        offset_rng = numpy_generator(seed, Purpose.REFERENCES_START, *counters)
        offset = int(offset_rng.integers(config.max_offset_steps + 1))
        player_rng = numpy_generator(seed, Purpose.REFERENCES_ACTIONS, *counters)
        player = scripted_players(game, config.play)(env.action_codes, player_rng)
        reference = _record(env, key, player.act, offset, config.horizon_steps)
        if reference.num_valid_steps > 0:
            return reference
    raise ValueError(
        f"no {game} episode of reference {start} was long enough for an offset of "
        f"up to {config.max_offset_steps} and {CONTEXT_FRAMES} context frames "
        f"in {MAX_ATTEMPTS} tries"
    )


def _record(
    env: AtariEnv,
    key: EpisodeKey,
    act: Callable[[NDArray[np.uint8], NDArray[np.uint8]], int],
    offset: int,
    horizon_steps: int,
) -> Reference:
    num_frames = offset + CONTEXT_FRAMES + horizon_steps
    frames, stills, actions, rewards = [], [], [], []
    final: list[NDArray[np.uint8]] = []
    frame = env.begin(key)
    for row in range(num_frames):
        if row >= offset:
            frames.append(frame)
        if row % STILL_STRIDE == 0:
            stills.append(frame)
        if row + 1 == num_frames:
            break
        actions.append(act(frame, env.ram()))
        frame, reward, terminated, _, info = env.step(actions[-1])
        rewards.append(reward)
        if terminated or (info["life_lost"] and row + 1 >= offset + CONTEXT_FRAMES):
            final.append(frame)
            break
    codes = tuple(env.action_codes[action] for action in actions)
    num_valid = max(0, len(frames) - CONTEXT_FRAMES)
    return Reference(
        key,
        codes,
        offset,
        num_valid,
        _stack(frames),
        _stack(stills),
        tuple(rewards),
        _stack(final),
    )


def _stack(frames: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    if not frames:
        return np.empty((0, SCREEN_HEIGHT, SCREEN_WIDTH, 3), dtype=np.uint8)
    return np.stack(frames)
