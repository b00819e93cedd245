"""All frame metrics of imagined trajectories, one start at a time."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from diamond.arrays import BoolArray, ByteArray, FloatArray
from diamond.config.metric_table import METRIC_OF
from diamond.fidelity.baseline_errors import beats, skill
from diamond.fidelity.extras import NO_EXTRAS, Extras, extra_scores
from diamond.fidelity.nearest import FrameBank, nearest_l1
from diamond.fidelity.objects import score_objects
from diamond.fidelity.pixel_metrics import PIXEL_COLUMNS, foreground_masks, score_frames

_ERRORS = ("l1", "mse")
_BASELINES = ("copy", "background")


@dataclass(frozen=True)
class RealTrajectory:
    """What really happened after a start.

    Attributes:
        frames: uint8 (t, h, w, 3) from time step 1 on.
        valid: bool (t,), False where there is no real frame to compare with, such as after the end
            of the real episode.
        last: The last real frame before time step 1, uint8 (h, w, 3).
        background: Median background of the real episode, uint8 (h, w, 3).
        episode: Number of the real episode in the bank.
    """

    frames: ByteArray
    valid: BoolArray
    last: ByteArray
    background: ByteArray
    episode: int


def score_trajectories(
    pairs: Iterable[tuple[RealTrajectory, ByteArray]],
    bank: FrameBank,
    device: torch.device,
    extras: Extras = NO_EXTRAS,
) -> dict[str, FloatArray]:
    """Score imagined trajectories against the real ones by every frame metric.

    One trajectory at a time is in memory, and the bank.

    Args:
        pairs: Each real trajectory with the imagined one, uint8 (t, h, w, 3); t is the same in all.
        bank: Real frames for the distance to the nearest one.

    Returns:
        For every column that frames alone decide an array (n, t), NaN where not valid or undefined.

    Raises:
        StageFailedError: A metric of the user's own returns something else than its values.
        ValueError: When lengths, shapes or types do not agree, or there is no trajectory.
    """
    rows = [_score_one(real, imagined, bank, device, extras) for real, imagined in pairs]
    if not rows:
        raise ValueError("there is no trajectory to score")
    found = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    for baseline in _BASELINES:
        for error in _ERRORS:
            found[f"skill_{baseline}_{error}"] = skill(found[error], found[_of(error, baseline)])
        found[f"beats_{baseline}"] = beats(found["l1"], found[_of("l1", baseline)])
    return {name: found[name] for name in (*METRIC_OF, *extras.own) if name in found}


def is_frozen(frames: ByteArray, last: ByteArray) -> BoolArray:
    """Whether each frame equals the one before it, at this crop and resolution.

    Args:
        frames: uint8 (t, h, w, 3).
        last: The frame before the first, uint8 (h, w, 3).

    Returns:
        bool (t,).
    """
    frozen = np.empty(len(frames), dtype=np.bool_)
    before = last
    for index, frame in enumerate(frames):
        frozen[index] = np.array_equal(frame, before)
        before = frame
    return frozen


def _score_one(
    real: RealTrajectory,
    imagined: ByteArray,
    bank: FrameBank,
    device: torch.device,
    extras: Extras,
) -> dict[str, FloatArray]:
    """The metrics (t,) that need no other trajectory, and the errors of the baselines."""
    valid = real.valid
    if (
        valid.dtype != np.bool_
        or valid.ndim != 1
        or not len(real.frames) == len(imagined) == len(valid)
    ):
        raise ValueError(
            f"real, imagined and valid must have one length and valid be bool (t,), got "
            f"{len(real.frames)}, {len(imagined)} and {valid.dtype} {valid.shape}"
        )
    x, y = real.frames[valid], imagined[valid]
    scores = score_frames(x, y, real.background, device, frozenset(PIXEL_COLUMNS))
    scores |= extra_scores(x, y, extras)
    scores |= _object_scores(x, y, real.background, device)
    frozen = is_frozen(real.frames, real.last)[valid]
    scores["frozen"] = is_frozen(imagined, real.last)[valid].astype(np.float64)
    scores["frozen_real"] = frozen.astype(np.float64)
    for name in ("psnr", "l1"):
        scores[f"{name}_frozen"] = np.where(frozen, scores[name], np.nan)
        scores[f"{name}_moving"] = np.where(frozen, np.nan, scores[name])
    scores["nearest_l1"] = nearest_l1(y, bank)
    scores["nearest_l1_real"] = nearest_l1(x, bank.without(real.episode))
    shown = {"copy": real.last, "background": real.background}
    for baseline, frame in shown.items():
        errors = score_frames(
            x, np.broadcast_to(frame, x.shape), real.background, device, frozenset(_ERRORS)
        )
        scores |= {_of(error, baseline): errors[error] for error in _ERRORS}
    return {name: _spread(values, valid) for name, values in scores.items()}


def _object_scores(
    real: ByteArray, imagined: ByteArray, background: ByteArray, device: torch.device
) -> Mapping[str, FloatArray]:
    masks = (foreground_masks(frames, background, device) for frames in (real, imagined))
    scores = score_objects(*masks)
    return {
        f"object_{name}": np.array([getattr(score, name) for score in scores], dtype=np.float64)
        for name in ("precision", "recall", "count_error", "centroid_error")
    }


def _of(error: str, baseline: str) -> str:
    return f"{error}_of_{baseline}"


def _spread(values: FloatArray, valid: BoolArray) -> FloatArray:
    """Put the values of valid time steps at their places, NaN elsewhere."""
    spread = np.full(len(valid), np.nan)
    spread[valid] = values
    return spread
