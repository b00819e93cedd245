"""Real and imagined frames of a few starts, read from the store for strips and the player."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from diamond.config.run import CONTEXT_FRAMES, RunConfig
from diamond.data.references import (
    Reference,
    load_references,
    save_references,
    view_references,
)
from diamond.errors import StoreError
from diamond.pipeline.files import read_json
from diamond.pipeline.outputs import ACTIONS_FILE, FRAMES_FILE
from diamond.pipeline.store import Store

MAX_FILMS = 2
REAL = "real"
FILMS = "films"
"""Folder in a stage that dropped its frames: those of its films, and `STARTS_FILE`."""
STARTS_FILE = "starts.json"
"""The starts whose frames are beside it, in their order."""


@dataclass(frozen=True)
class Film:
    """All frames of one start, those of every arm at the size of the finest one.

    Attributes:
        game: The game.
        start: Number of the held-out start, which is also its episode's.
        seed: Training seed of the arms that are shown; the first one of the study.
        length: Time steps until the real episode ends, at most the horizon; later ones are not
            scored and their real frames are black.
        rows: (name, frames (horizon, h, w, 3) uint8), the real ones first.
        copy_last: Name of the row that repeats the last real frame, None without one.
    """

    game: str
    start: int
    seed: int
    length: int
    rows: tuple[tuple[str, NDArray[np.uint8]], ...]
    copy_last: str | None


@dataclass(frozen=True)
class _Imagined:
    """The rollouts of the first run of an arm."""

    name: str
    config: RunConfig
    seed: int
    references: str
    frames: Mapping[int, NDArray[np.uint8]]


def load_films(document: Mapping[str, Any], store: Store) -> list[Film]:
    """Read the films of every game: the first starts whose real episode lasts longest.

    Args:
        document: The result document of a study; arms without rollouts in the store have no row.
        store: Where its rollouts and references are.

    Returns:
        Up to `MAX_FILMS` for each game; none where the store has no rollouts of it.

    Raises:
        StoreError: The references of its rollouts are gone, or another version planned it.
    """
    films: list[Film] = []
    for game in document["games"]:
        rows = [arm for arm in document["arms"] if arm["game"] == game]
        found = [_imagined(document, arm, store) for arm in rows]
        arms = [one for one in found if one is not None]
        if arms:
            films += _game_films(game, arms, store)
    return films


def _imagined(
    document: Mapping[str, Any], arm: Mapping[str, Any], store: Store
) -> _Imagined | None:
    run = arm["runs"][0]
    keys = {stage: info["key"] for stage, info in run["stages"].items()}
    if "rollouts" not in keys:
        return None
    manifest = store.manifest("rollouts", keys["rollouts"])
    if manifest is None or manifest["state"] != "done":
        return None
    frames = _imagined_frames(store.folder("rollouts", keys["rollouts"]))
    if frames is None:
        return None
    try:
        config = RunConfig.model_validate(
            document["provenance"]["config"][f"{arm['name']} | {arm['game']}"]
        )
    except (KeyError, ValidationError) as error:
        raise StoreError(
            f"the configuration of arm {arm['name']!r} cannot be read: another version of diamond "
            f"planned it, or the report is damaged\n  make it again: {document['command']}"
        ) from error
    return _Imagined(arm["name"], config, run["seed"], keys["references"], frames)


def _imagined_frames(folder: Path) -> dict[int, NDArray[np.uint8]] | None:
    """Frames (horizon, h, w, 3) by start, of films alone where the others were dropped."""
    films = folder / FILMS
    starts = read_json(films / STARTS_FILE)
    path = (folder if starts is None else films) / FRAMES_FILE
    if not path.is_file():
        return None
    frames: NDArray[np.uint8] = np.load(path, mmap_mode="r", allow_pickle=False)
    return dict(zip(range(len(frames)) if starts is None else starts, frames, strict=True))


def _game_films(game: str, arms: Sequence[_Imagined], store: Store) -> list[Film]:
    finest = max(arms, key=lambda arm: arm.config.view.height * arm.config.view.width)
    rollouts, view = finest.config.rollouts, finest.config.view
    folder = store.folder("references", finest.references)
    codes = read_json(folder / ACTIONS_FILE)
    if codes is None:
        raise StoreError(
            f"the references of arm {finest.name!r} are not in the store: {str(folder)!r}\n"
            "  the command of the study makes them again; `diamond show STUDY` prints it"
        )
    references = stored_references(folder)
    lengths = film_lengths(references, rollouts.num_starts, rollouts.horizon_steps)
    real = view_references(
        [references[start] for start in lengths], view, codes, rollouts.horizon_steps
    ).targets
    size = real.shape[2:4]
    copy_last = next((arm.name for arm in arms if arm.config.family == "copy_last"), None)
    trained = next((arm for arm in arms if arm.config.family == "diamond"), arms[0])
    films = []
    for (start, length), targets in zip(lengths.items(), real, strict=True):
        # The real row goes black where the episode has ended: nothing is scored there.
        rows = [(REAL, targets)]
        rows += [
            (arm.name, _enlarged(arm.frames[start], size)) for arm in arms if start in arm.frames
        ]
        number = finest.config.references.first_start + start
        films.append(Film(game, number, trained.seed, length, tuple(rows), copy_last))
    return films


def stored_references(folder: Path) -> dict[int, Reference]:
    """References by start, of films alone where the others were dropped."""
    starts = read_json(folder / FILMS / STARTS_FILE)
    if starts is None:
        return dict(enumerate(load_references(folder)))
    return dict(zip(starts, load_references(folder / FILMS), strict=True))


def film_lengths(
    references: Mapping[int, Reference], num_starts: int, horizon: int
) -> dict[int, int]:
    """The starts of films, and their time steps until the real episode ends or the horizon.

    Args:
        references: By start.
        num_starts: The first ones count.
        horizon: Time steps that are imagined.
    """
    lengths = {
        start: min(horizon, reference.num_valid_steps)
        for start, reference in references.items()
        if start < num_starts
    }
    longest = sorted(lengths, key=lambda start: -lengths[start])[:MAX_FILMS]
    return {start: lengths[start] for start in sorted(longest)}


def save_real_films(
    references: Mapping[int, Reference], starts: Sequence[int], horizon: int, folder: Path
) -> None:
    """Write what films read of references: no background, no other actions.

    Args:
        references: By start.
        starts: Those to write.
        horizon: Time steps to keep.
        folder: Is made.
    """
    folder.mkdir()
    save_references((_cut(references[start], horizon) for start in starts), folder)
    (folder / STARTS_FILE).write_text(json.dumps(list(starts)) + "\n")


def save_imagined_films(frames: NDArray[np.uint8], starts: Sequence[int], folder: Path) -> None:
    """Write what films read of rollouts.

    Args:
        frames: (starts, horizon, h, w, 3).
        starts: Those to write.
        folder: Is made.
    """
    folder.mkdir()
    np.save(folder / FRAMES_FILE, frames[list(starts)], allow_pickle=False)
    (folder / STARTS_FILE).write_text(json.dumps(list(starts)) + "\n")


def _cut(reference: Reference, horizon: int) -> Reference:
    steps = min(horizon, reference.num_valid_steps)
    native = reference.native[: CONTEXT_FRAMES + steps]
    return replace(
        reference, num_valid_steps=steps, native=native, stills=reference.stills[:1], branch=None
    )


def _enlarged(frames: NDArray[np.uint8], size: tuple[int, ...]) -> NDArray[np.uint8]:
    """Frames (t, h, w, 3) at a size, by repetition: a pixel keeps its value."""
    if frames.shape[1:3] == size:
        return frames
    rows, columns = (
        np.arange(side) * own // side for side, own in zip(size, frames.shape[1:3], strict=True)
    )
    enlarged: NDArray[np.uint8] = frames[:, rows][:, :, columns]
    return enlarged
