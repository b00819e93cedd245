"""Frames and divergence markers of the synchronised player, chosen so that the page stays small."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diamond.report.figures.strips import image_uri
from diamond.results.model import Result
from diamond.studies.compared_frames import REAL, Film

MAX_ROWS = 10
"""Arms and baselines in the player; the baselines and the first arms."""
MAX_STARTS = 2
MAX_STEPS = 200
BUDGET_BYTES = 1_500_000
"""Room for the frames of all games, as text in the page."""
DIVERGED_L1 = 0.05
"""Drift that counts as diverged where the document names no threshold."""
ERROR_FACTOR = 4
"""How much the player amplifies |real - imagined|."""


def players(doc: Result, films: Sequence[Film]) -> list[dict[str, Any]]:
    """Return what the player shows, one entry a game that has films, as plain data.

    Frames are whole and exact; a sheet is an image with one time step a row, all pixels of the
    frame in the row: equal pixels then stand below each other, which compresses best. Where they
    take more than the budget, the second start is left out first, then every other time step.

    Args:
        films: Films of its games.

    Returns:
        Per game ``height``, ``width``, ``seed``, ``steps`` (time steps shown), ``horizon``,
        ``threshold``, ``factor``, ``shown`` (the two arms to begin with), ``chosen`` (what is
        shown, in words) and ``starts``, each with ``start``, ``length``, ``actions`` and
        ``rewards`` (as `Film`, per shown time step) and ``tracks``: ``name``, ``sheet`` (data URI),
        ``l1`` per shown time step and ``marks``, the divergence markers.
    """
    games = [game for game in doc.games if any(film.game == game for film in films)]
    return [
        _player(
            doc, game, [film for film in films if film.game == game], BUDGET_BYTES // len(games)
        )
        for game in games
    ]


def divergence(
    drift: NDArray[np.float64], reference: NDArray[np.float64] | None, threshold: float
) -> list[dict[str, Any]]:
    """Return the first time steps at which an imagined trajectory counts as diverged.

    Args:
        drift: L1 to the real frames, (t,) in [0, 1].
        reference: The same of the last frame repeated; None where it was not measured.
        threshold: Drift above it counts as diverged.

    Returns:
        At most two entries ``step``, ``why``: skill 1 - drift / reference below 0, where the
        reference is above 0; drift above the threshold.
    """
    found = []
    if reference is not None:
        beaten = np.flatnonzero((reference > 0) & (drift > reference))
        if len(beaten):
            why = "skill against copy-last below 0"
            found.append({"step": int(beaten[0]) + 1, "why": why})
    above = np.flatnonzero(drift > threshold)
    if len(above):
        found.append({"step": int(above[0]) + 1, "why": f"L1 above {threshold:.2g}"})
    return found


def drift(real: NDArray[np.uint8], imagined: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the mean absolute difference of frames uint8 (t, h, w, 3), (t,) in [0, 1]."""
    apart: NDArray[np.float64] = np.array(
        [
            np.abs(a.astype(np.int16) - b.astype(np.int16)).mean() / 255
            for a, b in zip(real, imagined, strict=True)
        ]
    )
    return apart


def _player(doc: Result, game: str, films: Sequence[Film], budget: int) -> dict[str, Any]:
    names = _names(doc, game, films[0])
    horizon = len(films[0].rows[0][1])
    stride = -(-horizon // MAX_STEPS)
    num_starts = min(MAX_STARTS, len(films))
    threshold = _threshold(doc, game)
    while True:
        steps = list(range(1, horizon + 1, stride))
        starts = [_start(film, names, steps, threshold) for film in films[:num_starts]]
        size = sum(len(track["sheet"]) for start in starts for track in start["tracks"])
        if size <= budget or len(steps) == 1:
            break
        if num_starts > 1:
            num_starts = 1
        else:
            stride *= 2
    height, width = films[0].rows[0][1].shape[1:3]
    return {
        "game": game,
        "height": height,
        "width": width,
        "seed": films[0].seed,
        "steps": steps,
        "horizon": horizon,
        "threshold": threshold,
        "factor": ERROR_FACTOR,
        "shown": _first_shown(doc, game, names),
        "chosen": _chosen(films, starts, names, stride),
        "starts": starts,
    }


def _names(doc: Result, game: str, film: Film) -> list[str]:
    """Return the rows to show: the first arms, then the baselines."""
    there = {name for name, _ in film.rows}
    arms = [arm.name for arm in doc.arms_of(game, "arm") if arm.name in there]
    baselines = [arm.name for arm in doc.arms_of(game, "baseline") if arm.name in there]
    return arms[: MAX_ROWS - len(baselines)] + baselines


def _first_shown(doc: Result, game: str, names: Sequence[str]) -> list[str]:
    """Return two arms to begin with: the baseline arm, and the one that differs most clearly."""
    a = doc.baseline_arm if doc.baseline_arm in names else names[0]
    rows = [
        row
        for row in doc.compared(game, doc.primary_metric)
        if row.family == "primary" and row.a in names
    ]
    if rows:
        main = max(rows, key=lambda row: (row.is_shown, abs(row.difference or 0.0)))
        return [a, main.a]
    return [a, next((name for name in names if name != a), a)]


def _threshold(doc: Result, game: str) -> float:
    """Return the drift that counts as diverged: that of the survival curves where there are any."""
    found = (row.curve.threshold for row in doc.survival if row.game == game)
    return next((threshold for threshold in found if threshold is not None), DIVERGED_L1)


def _start(
    film: Film, names: Sequence[str], steps: Sequence[int], threshold: float
) -> dict[str, Any]:
    rows: Mapping[str, NDArray[np.uint8]] = dict(film.rows)
    scored = film.length
    real = rows[REAL][:scored]
    shown = np.array([step - 1 for step in steps])
    drifts = {name: drift(real, rows[name][:scored]) for name in names}
    if film.copy_last is not None and film.copy_last not in drifts:
        drifts[film.copy_last] = drift(real, rows[film.copy_last][:scored])
    reference = None if film.copy_last is None else drifts[film.copy_last]
    tracks: list[dict[str, Any]] = [
        {"name": REAL, "sheet": _sheet(rows[REAL][shown]), "l1": [], "marks": []}
    ]
    for name in names:
        own_reference = None if name == film.copy_last else reference
        tracks.append(
            {
                "name": name,
                "sheet": _sheet(rows[name][shown]),
                "l1": [round(float(drifts[name][i]), 4) for i in shown if i < scored],
                "marks": divergence(drifts[name], own_reference, threshold),
            }
        )
    return {
        "start": film.start,
        "length": film.length,
        "actions": [film.actions[i] for i in shown if i < len(film.actions)],
        "rewards": [film.rewards[i] for i in shown if i < len(film.rewards)],
        "tracks": tracks,
    }


def _sheet(frames: NDArray[np.uint8]) -> str:
    """Return frames (t, h, w, 3) as the data URI of an image of t rows with h w pixels each."""
    return image_uri(np.ascontiguousarray(frames).reshape(len(frames), -1, 3))


def _chosen(
    films: Sequence[Film], starts: Sequence[Mapping[str, Any]], names: Sequence[str], stride: int
) -> str:
    """Say what of the study the player shows, and by which rule."""
    which = ", ".join(str(start["start"]) for start in starts)
    text = (
        f"Start{'s' if len(starts) > 1 else ''} {which}: those whose real episodes last longest, "
        f"the first ones where they tie; training seed {films[0].seed}."
    )
    if len(starts) < min(MAX_STARTS, len(films)):
        text += f" Only {len(starts)} start, to keep the file small."
    if stride > 1:
        text += f" One time step in {stride}, from t=1, to keep the file small."
    num_arms = len(films[0].rows) - 1
    if len(names) < num_arms:
        text += f" The first {len(names)} of {num_arms} arms and baselines."
    return text
