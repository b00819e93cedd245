"""Real and imagined frames of a few starts, read from the store for strips and the player."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from diamond.config.run import RunConfig
from diamond.data.references import View, load_references, view_references
from diamond.errors import StoreError
from diamond.pipeline.files import read_json
from diamond.pipeline.outputs import ACTIONS_FILE, FRAMES_FILE
from diamond.pipeline.store import Store
from diamond.results.model import Arm, Result

MAX_FILMS = 2
REAL = "real"


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
    frames: NDArray[np.uint8]


def load_films(result: Result, store: Store) -> list[Film]:
    """Read the films of every game: the first starts whose real episode lasts longest.

    Args:
        result: Of a study; arms without rollouts in the store have no row.
        store: Where its rollouts and references are.

    Returns:
        Up to `MAX_FILMS` for each game; none where the store has no rollouts of it.

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


def _imagined(result: Result, arm: Arm, store: Store) -> _Imagined | None:
    run = arm.runs[0]
    keys = {name: stage.key for name, stage in run.stages.items()}
    if "rollouts" not in keys:
        return None
    manifest = store.manifest("rollouts", keys["rollouts"])
    path = store.folder("rollouts", keys["rollouts"]) / FRAMES_FILE
    if manifest is None or manifest["state"] != "done" or not path.is_file():
        return None
    try:
        config = RunConfig.model_validate(result.provenance.config[f"{arm.name} | {arm.game}"])
    except (KeyError, ValidationError) as error:
        raise StoreError(
            f"the configuration of arm {arm.name!r} cannot be read: another version of diamond "
            f"planned it, or the report is damaged\n  make it again: {result.command}"
        ) from error
    frames: NDArray[np.uint8] = np.load(path, mmap_mode="r", allow_pickle=False)
    return _Imagined(arm.name, config, run.seed, keys["references"], frames)


def _game_films(game: str, arms: Sequence[_Imagined], store: Store) -> list[Film]:
    finest = max(arms, key=lambda arm: arm.config.view.height * arm.config.view.width)
    view = _view(finest, store)
    size = view.targets.shape[2:4]
    lengths = view.valid.sum(axis=1)
    chosen = sorted(np.argsort(-lengths, kind="stable")[:MAX_FILMS].tolist())
    copy_last = next((arm.name for arm in arms if arm.config.family == "copy_last"), None)
    trained = next((arm for arm in arms if arm.config.family == "diamond"), arms[0])
    films = []
    for start in chosen:
        # The real row goes black where the episode has ended: nothing is scored there.
        rows = [(REAL, view.targets[start])]
        rows += [(arm.name, _enlarged(arm.frames[start], size)) for arm in arms]
        number = finest.config.references.first_start + start
        films.append(Film(game, number, trained.seed, int(lengths[start]), tuple(rows), copy_last))
    return films


def _enlarged(frames: NDArray[np.uint8], size: tuple[int, ...]) -> NDArray[np.uint8]:
    """Frames (t, h, w, 3) at a size, by repetition: a pixel keeps its value."""
    if frames.shape[1:3] == size:
        return frames
    rows, columns = (
        np.arange(side) * own // side for side, own in zip(size, frames.shape[1:3], strict=True)
    )
    enlarged: NDArray[np.uint8] = frames[:, rows][:, :, columns]
    return enlarged


def _view(arm: _Imagined, store: Store) -> View:
    folder = store.folder("references", arm.references)
    codes = read_json(folder / ACTIONS_FILE)
    if codes is None:
        raise StoreError(
            f"the references of arm {arm.name!r} are not in the store: {str(folder)!r}\n"
            "  the command of the study makes them again; `diamond show STUDY` prints it"
        )
    rollouts = arm.config.rollouts
    references = load_references(folder)[: rollouts.num_starts]
    return view_references(references, arm.config.view, codes, rollouts.horizon_steps)
