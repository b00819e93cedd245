"""Real and imagined frames of a few starts, read from the store for strips and the player."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from diamond.config.base import first_reason
from diamond.config.environments import RecordingConfig
from diamond.config.run import RunConfig
from diamond.config.worlds import family_of
from diamond.data.action_space import ActionSpace
from diamond.data.frame_files import FrameWriter, StoredFrames, stored_episodes
from diamond.data.reference_files import (
    NATIVE_FILE,
    Reference,
    future_codes,
    load_references,
    view_references,
)
from diamond.engine.output_names import FILMS_FILE, FRAMES_FILE
from diamond.engine.store import Store
from diamond.errors import RequestError, StoreError
from diamond.recordings.recording_files import list_recordings
from diamond.results.arm_model import Arm
from diamond.results.model import Result

MAX_FILMS = 2
REAL = "real"


@dataclass(frozen=True)
class Film:
    """All frames of one start, those of every arm at the size of the finest one.

    Attributes:
        start: Number of the held-out start, which is also its episode's.
        seed: Training seed of the arms that are shown; the first one of the study.
        length: Time steps until the real episode ends, at most the horizon; later ones are not
            scored and their real frames are black.
        rows: (name, frames (horizon, h, w, 3) uint8), the real ones first.
        copy_last: Name of the row that repeats the last real frame, None without one.
        actions: Name of the action that led to each of the first `length` frames; its number where
            the game cannot be opened here; its numbers as they were recorded where it is several.
        rewards: What it earned in the real game; empty where the recording does not say.
    """

    game: str
    start: int
    seed: int
    length: int
    rows: tuple[tuple[str, NDArray[np.uint8]], ...]
    copy_last: str | None
    actions: tuple[str, ...] = ()
    rewards: tuple[float, ...] = ()


@dataclass(frozen=True, eq=False)
class StartFrames:
    """What followed one held-out start: real frames, and those that a run imagined instead.

    Attributes:
        arm: Name of the arm or of the trial.
        seed: Training seed of the run.
        length: Env steps until the real episode ends, at most the horizon.
        real: (horizon, h, w, 3) uint8 RGB, as the arm sees the game; frame i is at time step i + 1,
            black where the episode has ended.
        imagined: (horizon, h, w, 3) uint8 RGB, under the same actions.
    """

    arm: str
    game: str
    seed: int
    start: int
    length: int
    real: NDArray[np.uint8]
    imagined: NDArray[np.uint8]


@dataclass(frozen=True)
class Rollouts:
    """The rollouts of a run, and what they are told apart by.

    Attributes:
        name: Of the arm or the trial.
        config: Of the run, but for its seed.
        seed: Training seed of the run.
        references: Key of the references.
        folder: Of the rollouts.
    """

    name: str
    config: RunConfig
    seed: int
    references: str
    folder: Path


def load_films(result: Result, store: Store) -> list[Film]:
    """Read the films of every game: the first starts whose real episode lasts longest.

    Args:
        result: Of a study; arms whose frames are not there have no row.

    Returns:
        Up to `MAX_FILMS` for each game; none where the store has no imagined frames of it.

    Raises:
        StoreError: The references of its rollouts are gone, or another version planned it.
    """
    films: list[Film] = []
    for game in result.games:
        found = [_imagined(result, arm, store) for arm in result.arms_of(game)]
        arms = [one for one in found if one is not None]
        if arms:
            films += _game_films(game, arms, store)
    return films


def _imagined(result: Result, arm: Arm, store: Store) -> Rollouts | None:
    run = arm.runs[0]
    keys = {name: stage.key for name, stage in run.stages.items()}
    if "rollouts" not in keys:
        return None
    manifest = store.manifest("rollouts", keys["rollouts"])
    folder = store.folder("rollouts", keys["rollouts"])
    if manifest is None or manifest["state"] != "done" or not _shown_starts(folder):
        return None
    said = result.provenance.config.get(f"{arm.name} | {arm.game}")
    config = read_config(arm.name, said, result.command)
    return Rollouts(arm.name, config, run.seed, keys["references"], folder)


def read_config(arm: str, data: Any, command: str) -> RunConfig:
    """The config of an arm from plain data.

    Args:
        arm: Name of the arm or the trial.
        data: As it was written down.
        command: What makes it again.

    Raises:
        StoreError: Another version planned it.
    """
    try:
        return RunConfig.model_validate(data)
    except ValidationError as error:
        raise StoreError(
            f"the configuration of arm {arm!r} cannot be read: another version of diamond planned "
            f"it, its family is not here, or the report is damaged: {first_reason(error)}\n"
            f"  make it again: {command}"
        ) from error


def load_start(rollouts: Rollouts, start: int, store: Store) -> StartFrames | None:
    """Read what a run imagined from one start, beside the real frames.

    Args:
        rollouts: Of the run; they are finished.
        start: Number of the held-out start, one of the rollouts'.

    Returns:
        None where these frames were dropped, imagined or real ones.

    Raises:
        StoreError: The references of the rollouts are gone.
    """
    config = rollouts.config
    index = start - config.references.first_start
    references, space = _real(rollouts, store)
    if index not in references or index not in _shown_starts(rollouts.folder):
        return None
    horizon = config.rollouts.horizon_steps
    seen = view_references([references[index]], config.view, space, horizon)
    return StartFrames(
        arm=rollouts.name,
        game=config.game,
        seed=rollouts.seed,
        start=start,
        length=_lengths(references, horizon)[index],
        real=seen.targets[0],
        imagined=np.array(_frames_of(rollouts.folder, index)),
    )


def write_imagined_films(store: Store, rollouts: Mapping[str, Any], folder: Path) -> None:
    """Write the frames of rollouts that a report shows, where the others are to be dropped.

    Args:
        store: The home; nothing of the rollouts was dropped.
        rollouts: Their manifest.
        folder: Where they go, to `FILMS_FILE`.
    """
    whole = store.folder("rollouts", rollouts["key"]) / FRAMES_FILE
    with FrameWriter(folder / FILMS_FILE) as file:
        for start in film_starts(store, rollouts):
            file.write(start, StoredFrames(whole, start))


def write_real_films(source: Path, starts: Iterable[int], folder: Path) -> None:
    """Write the native frames of references that a report shows, where the others are left out.

    Args:
        source: The folder of the references; nothing of them was dropped.
        starts: The starts that are shown.
        folder: Where they go, to `FILMS_FILE`.
    """
    references = load_references(source)
    with FrameWriter(folder / FILMS_FILE) as file:
        for start in sorted(starts):
            file.write(start, references[start].native)


def film_starts(store: Store, rollouts: Mapping[str, Any]) -> list[int]:
    """The starts of rollouts that a report shows.

    Args:
        store: The home; it has the references, if not all of their frames.
        rollouts: The manifest of the rollouts.
    """
    references = load_references(store.folder("references", rollouts["upstream"]["references"]))
    said = rollouts["config"]["rollouts"]
    found = dict(enumerate(references[: said["num_starts"]]))
    return _longest(_lengths(found, said["horizon_steps"]))


def _lengths(references: Mapping[int, Reference], horizon: int) -> dict[int, int]:
    """Env steps that are real, of each start."""
    return {start: min(horizon, one.num_valid_steps) for start, one in references.items()}


def _longest(lengths: Mapping[int, int]) -> list[int]:
    """The first starts whose real episode lasts longest."""
    return sorted(sorted(lengths, key=lambda start: -lengths[start])[:MAX_FILMS])


def _shown_starts(folder: Path) -> Collection[int]:
    """The starts of rollouts whose frames are there."""
    if (folder / FRAMES_FILE).is_file():
        return stored_episodes(folder / FRAMES_FILE)
    return stored_episodes(folder / FILMS_FILE) if (folder / FILMS_FILE).is_file() else ()


def _frames_of(folder: Path, start: int) -> NDArray[np.uint8]:
    """The frames (horizon, h, w, 3) of a start that is among `_shown_starts`."""
    whole = folder / FRAMES_FILE
    return np.asarray(StoredFrames(whole if whole.is_file() else folder / FILMS_FILE, start))


def _game_films(game: str, arms: Sequence[Rollouts], store: Store) -> list[Film]:
    finest = max(arms, key=lambda arm: arm.config.view.height * arm.config.view.width)
    references, space = _real(finest, store)
    view, horizon = finest.config.view, finest.config.rollouts.horizon_steps
    lengths = _lengths(references, horizon)
    copy_last = next((arm.name for arm in arms if arm.config.world.family == "copy_last"), None)
    trained = next((arm for arm in arms if family_of(arm.config).is_trained), arms[0])
    said = _action_words(finest.config, space, store)
    films = []
    for start in _longest(lengths):
        # The real row goes black where the episode has ended: nothing is scored there.
        seen = view_references([references[start]], view, space, horizon)
        rows = [(REAL, seen.targets[0])]
        rows += [
            (arm.name, _enlarged(_frames_of(arm.folder, start), (view.height, view.width)))
            for arm in arms
            if start in _shown_starts(arm.folder)
        ]
        number = finest.config.references.first_start + start
        length = lengths[start]
        taken = future_codes(references[start])[:length]
        earned = seen.rewards[0, :length].tolist()
        films.append(
            Film(
                game,
                number,
                trained.seed,
                length,
                tuple(rows),
                copy_last,
                tuple(map(said, taken)),
                () if np.isnan(earned).any() else tuple(earned),
            )
        )
    return films


def _action_words(config: RunConfig, space: ActionSpace, store: Store) -> Callable[[Any], str]:
    """Says an action in words: its number where neither game nor recording here does."""
    names = _recorded_names(config, store)
    if not space.is_continuous:
        words = _action_names(config, space)
        if names:
            words = dict(zip(space.codes, names, strict=True))
        return words.__getitem__
    named = names or tuple(f"number {place}" for place in range(len(space.low)))

    def said(numbers: Sequence[float]) -> str:
        told = (f"{name} {one:g}" for name, one in zip(named, numbers, strict=True) if one)
        return ", ".join(told) or "all 0"

    return said


def _recorded_names(config: RunConfig, store: Store) -> tuple[str, ...]:
    """What the home calls the actions of the recording that a run learned; else nothing."""
    if not isinstance(config.environment, RecordingConfig):
        return ()
    known = {one.digest: one.actions.names for one in list_recordings(store.home)}
    return known.get(str(config.environment.digest), ())


def _action_names(config: RunConfig, space: ActionSpace) -> Mapping[int, str]:
    """A word for each discrete action: its number where the game here does not say."""
    # Emulators, which a study without frames does without.
    from diamond.envs.open_game import open_game  # noqa: PLC0415

    numbered = {code: f"action {code}" for code in space.codes}
    try:
        env = open_game(config.game, config.environment)
    except RequestError:
        return numbered
    env.close()
    if env.action_codes != space.codes:
        return numbered
    return dict(zip(space.codes, env.action_names, strict=True))


def _enlarged(frames: NDArray[np.uint8], size: tuple[int, ...]) -> NDArray[np.uint8]:
    """Frames (t, h, w, 3) at a size, by repetition: a pixel keeps its value."""
    if frames.shape[1:3] == size:
        return frames
    rows, columns = (
        np.arange(side) * own // side for side, own in zip(size, frames.shape[1:3], strict=True)
    )
    enlarged: NDArray[np.uint8] = frames[:, rows][:, :, columns]
    return enlarged


def _real(arm: Rollouts, store: Store) -> tuple[dict[int, Reference], ActionSpace]:
    """The references of an arm by start, those whose frames are there, and what may be done."""
    folder = store.folder("references", arm.references)
    try:
        space = ActionSpace.load(folder)
    except (OSError, ValueError) as error:
        raise StoreError(
            f"the references of arm {arm.name!r} are not in the store: {str(folder)!r}\n"
            "  the command of the study makes them again; `diamond show STUDY` prints it"
        ) from error
    found = dict(enumerate(load_references(folder)[: arm.config.rollouts.num_starts]))
    if (folder / NATIVE_FILE).is_file():
        return found, space
    films = folder / FILMS_FILE
    return {
        start: replace(found[start], native=StoredFrames(films, start))
        for start in (stored_episodes(films) if films.is_file() else ())
        if start in found
    }, space
