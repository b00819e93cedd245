"""Episodes as a reader found them, and the source that they make where all agree."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diamond.arrays import ByteArray
from diamond.errors import RequestError
from diamond.recordings.episodes import Actions, RecordedEpisode, Source

FLAG = "import-frames"
MAX_ACTIONS = 1000
"""Different discrete actions: more are most likely numbers."""


@dataclass(frozen=True)
class RawEpisode:
    """An episode whose actions are not yet compared with those of others.

    Attributes:
        name: See `RecordedEpisode`.
        where: The command and the file, for errors.
        num_frames: t.
        frames: See `RecordedEpisode`.
        actions: (n,) integers, words or numbers, or (n, k) numbers; n is t - 1 or t.
        rewards: (n,) numbers; None where the files do not say.
        ends: (n,) bool or 0 and 1; None where the files do not say.
        names: A word for each number of an action; empty where the files do not say.
        frame_rate: See `RecordedEpisode`.
        remarks: See `RecordedEpisode`.
    """

    name: str
    where: str
    num_frames: int
    frames: Callable[[], Iterator[ByteArray]]
    actions: NDArray[Any]
    rewards: NDArray[Any] | None = None
    ends: NDArray[Any] | None = None
    names: tuple[str, ...] = ()
    frame_rate: float | None = None
    remarks: tuple[str, ...] = ()


def make_source(
    kind: str, episodes: Sequence[RawEpisode], action_names: tuple[str, ...] | None = None
) -> Source:
    """Check episodes one by one and against each other.

    Args:
        kind: See `Source`.
        episodes: In their order, at least one.
        action_names: A word for each discrete action, where the files say how many there are.

    Raises:
        RequestError: An episode is too short, its actions are too few or too many, a value is not
            finite, or two episodes differ in size, kind or number of values.
    """
    actions = [_checked_actions(one) for one in episodes]
    names, agreed = _agree(episodes, actions, action_names)
    whole = [_whole(one, found) for one, found in zip(episodes, agreed, strict=True)]
    _check_sizes(whole)
    return Source(kind, tuple(whole), names)


def check_length(num_rows: int, num_frames: int, where: str) -> None:
    """Refuse actions that cannot belong to the frames.

    Args:
        num_rows: Actions.
        num_frames: t.
        where: The command and the file, for errors.

    Raises:
        RequestError: There are not t - 1 or t.
    """
    if num_frames < 2:
        raise RequestError(
            f"{where} has {num_frames} frame{'' if num_frames == 1 else 's'}\n"
            "  allowed: 2 or more: an action leads from one to the next"
        )
    if num_rows not in (num_frames - 1, num_frames):
        raise RequestError(
            f"{where} has {num_rows} actions for {num_frames} frames\n"
            f"  allowed: {num_frames - 1}, action i leads from frame i to frame i + 1; or "
            f"{num_frames}, of which the last leads nowhere"
        )


def left_out(num_frames: int) -> str:
    """What is said where there are as many actions as frames."""
    return f"the last of {num_frames} actions leads to no frame and is left out"


def check_finite(values: NDArray[Any], what: str, where: str) -> None:
    """Refuse numbers that are NaN or infinite, and name the first row that has one.

    Args:
        values: (n,) or (n, k) numbers.
        what: What they are.
        where: The command and the file, for errors.

    Raises:
        RequestError: One is not finite.
    """
    rows = np.flatnonzero(~np.isfinite(values).reshape(len(values), -1).all(axis=1))
    if rows.size:
        raise RequestError(
            f"{where}: {what} {rows[0]}, counted from 0, is NaN or infinite ({rows.size} in all)\n"
            "  allowed: numbers"
        )


def _checked_actions(episode: RawEpisode) -> NDArray[Any]:
    """The t - 1 actions: (t - 1,) int64 or str, or (t - 1, k) float64."""
    found, where = episode.actions, episode.where
    if found.ndim not in (1, 2) or 0 in found.shape[1:] or found.dtype.kind not in "biufUS":
        raise RequestError(
            f"{where}: 'actions' is {found.dtype} {found.shape}\n"
            "  allowed: (t - 1,) integers or words, or (t - 1, k) numbers"
        )
    check_length(len(found), episode.num_frames, where)
    found = found[: episode.num_frames - 1]
    if found.dtype.kind in "US":
        if found.ndim == 2:
            raise RequestError(
                f"{where}: 'actions' is {found.dtype} {found.shape}\n  allowed: one word for each"
            )
        return np.char.decode(found) if found.dtype.kind == "S" else found
    if found.ndim == 2 or found.dtype.kind == "f":
        check_finite(found, "action", where)
        return found.reshape(len(found), -1).astype(np.float64)
    low, high = int(found.min()), int(found.max())
    if low < 0 or high >= MAX_ACTIONS:
        raise RequestError(
            f"{where} has actions from {low} to {high}\n  allowed: indices from 0 to "
            f"{MAX_ACTIONS - 1}; are they amounts? Those of a continuous action are floats"
        )
    return found.astype(np.int64)


def _agree(
    episodes: Sequence[RawEpisode],
    actions: Sequence[NDArray[Any]],
    action_names: tuple[str, ...] | None,
) -> tuple[tuple[str, ...], list[Actions]]:
    """The names of actions, or of their numbers, and the actions of each episode."""
    for one, found in zip(episodes, actions, strict=True):
        if _form(found) != _form(actions[0]) or one.names != episodes[0].names:
            raise RequestError(
                f"{one.where} has actions that are {_told(one, found)}, {episodes[0].where} "
                f"{_told(episodes[0], actions[0])}\n  all episodes need the same kind of actions"
            )
    if actions[0].ndim == 2:
        numbered = tuple(f"a{column}" for column in range(actions[0].shape[1]))
        return episodes[0].names or numbered, list(actions)
    if actions[0].dtype.kind == "U":
        words = np.unique(np.concatenate(actions))
        if len(words) > MAX_ACTIONS:
            raise RequestError(
                f"{FLAG}: there are {len(words)} different actions, such as {words[0]!r}\n"
                f"  allowed: {MAX_ACTIONS}; are they numbers with something else between them?"
            )
        return tuple(map(str, words)), [np.searchsorted(words, found) for found in actions]
    highest = max(int(found.max()) for found in actions)
    if action_names is None:
        action_names = tuple(str(index) for index in range(highest + 1))
    if highest >= len(action_names):
        raise RequestError(
            f"{FLAG}: there is an action {highest}\n"
            f"  allowed: 0 to {len(action_names) - 1}, as the files say"
        )
    return action_names, list(actions)


def _form(actions: NDArray[Any]) -> tuple[str, tuple[int, ...]]:
    return actions.dtype.kind, actions.shape[1:]


def _told(episode: RawEpisode, actions: NDArray[Any]) -> str:
    if actions.ndim == 2:
        named = f" ({', '.join(episode.names)})" if episode.names else ""
        return f"{actions.shape[1]} numbers{named}"
    return "words" if actions.dtype.kind == "U" else "integers"


def _whole(episode: RawEpisode, actions: Actions) -> RecordedEpisode:
    remarks = episode.remarks
    if len(episode.actions) == episode.num_frames:
        remarks += (left_out(episode.num_frames),)
    return RecordedEpisode(
        episode.name,
        episode.num_frames,
        episode.frames,
        actions,
        _rewards(episode),
        _ends(episode),
        episode.frame_rate,
        remarks,
    )


def _rewards(episode: RawEpisode) -> NDArray[np.float32] | None:
    if episode.rewards is None:
        return None
    found = _rows(episode, episode.rewards, "rewards")
    if found.dtype.kind not in "biuf":
        raise RequestError(f"{episode.where}: 'rewards' is {found.dtype}\n  allowed: numbers")
    with np.errstate(over="ignore"):
        rewards = found.astype(np.float32)
    check_finite(rewards, "reward", episode.where)
    return rewards


def _ends(episode: RawEpisode) -> NDArray[np.bool_] | None:
    if episode.ends is None:
        return None
    found = _rows(episode, episode.ends, "terminated")
    if found.dtype.kind not in "biuf" or not np.isin(found, (0, 1)).all():
        raise RequestError(
            f"{episode.where}: 'terminated' is {found.dtype} with other values than true and false"
            "\n  allowed: bool, or 0 and 1: whether each action ended the game"
        )
    return found.astype(np.bool_)


def _rows(episode: RawEpisode, values: NDArray[Any], what: str) -> NDArray[Any]:
    if values.shape != episode.actions.shape[:1]:
        raise RequestError(
            f"{episode.where}: {what!r} is {values.shape}, there are {len(episode.actions)} "
            "actions\n  allowed: one for each action"
        )
    return values[: episode.num_frames - 1]


def _check_sizes(episodes: Sequence[RecordedEpisode]) -> None:
    sizes = [next(episode.frames()).shape[:2] for episode in episodes]
    for episode, size in zip(episodes, sizes, strict=True):
        if size != sizes[0]:
            raise RequestError(
                f"{FLAG}: {episode.name!r} has frames of {size[0]} x {size[1]} pixels, "
                f"{episodes[0].name!r} of {sizes[0][0]} x {sizes[0][1]}\n"
                "  all episodes of a recording need one size: give those of each size another name"
            )
