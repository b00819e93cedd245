"""Scores of what was imagined beside the rollout: further samples of it, and other actions."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from diamond.arrays import ByteArray
from diamond.data.counterfactuals import BranchView
from diamond.data.frame_files import StoredFrames
from diamond.data.reference_files import View
from diamond.engine.output_names import COUNTERFACTUAL_FILE, FRAMES_FILE, SAMPLES_FILE
from diamond.fidelity.counterfactual import (
    changed_pixels,
    delta_psnr,
    delta_psnr_true,
    delta_psnr_true_real,
)
from diamond.fidelity.energy_score import energy_score

Columns = dict[str, NDArray[np.float64]]

CONTROL_COLUMNS = (
    "delta_psnr",
    "delta_psnr_true",
    "delta_psnr_true_real",
    "delta_psnr_changed",
    "delta_psnr_changed_real",
)


def score_samples(rollouts: Path, view: View) -> Columns:
    """The energy score of the samples of a rollouts stage; nothing where it has none.

    Args:
        rollouts: Folder of the stage.
        view: The references over the horizon of the rollout.

    Returns:
        (starts, horizon) per column, NaN after the horizon of the samples and where nothing is
        real.
    """
    if not (rollouts / SAMPLES_FILE).exists():
        return {}
    columns = _undefined(view, "energy_score")
    for start, scores in enumerate(columns["energy_score"]):
        samples = np.asarray(StoredFrames(rollouts / SAMPLES_FILE, start))
        num_steps = samples.shape[1]
        valid = view.valid[start, :num_steps]
        real, drawn = view.targets[start, :num_steps][valid], samples[:, valid]
        scores[:num_steps][valid] = energy_score(real, drawn)
    return columns


def score_counterfactuals(rollouts: Path, view: View, others: BranchView | None) -> Columns:
    """How a rollouts stage follows the actions; nothing where there are no counterfactuals.

    Args:
        rollouts: Folder of the stage.
        view: The references over the horizon of the rollout.
        others: Their counterfactuals.

    Returns:
        (starts, horizon) per column, NaN after the horizon of the counterfactuals, where the
        recorded branch is over, and, of what compares both branches, where the other one is.
    """
    if others is None:
        return {}
    num_steps = others.valid.shape[1]
    columns = _undefined(view, *CONTROL_COLUMNS)
    for start, valid in enumerate(view.valid[:, :num_steps]):
        x, x_other = view.targets[start, :num_steps], others.targets[start]
        y = StoredFrames(rollouts / FRAMES_FILE, start)[:num_steps]
        y_other = np.asarray(StoredFrames(rollouts / COUNTERFACTUAL_FILE, start))
        columns["delta_psnr"][start, :num_steps][valid] = delta_psnr(
            x[valid], y[valid], y_other[valid]
        )
        both = valid & others.valid[start]
        found = _of_both(x[both], x_other[both], y[both], y_other[both])
        for name, values in found.items():
            columns[name][start, :num_steps][both] = values
    return columns


def _of_both(
    x: ByteArray, x_other: ByteArray, y: ByteArray, y_other: ByteArray
) -> Mapping[str, NDArray[np.float64]]:
    """What compares both branches, where both are real."""
    changed = changed_pixels(x, x_other)
    return {
        "delta_psnr_true": delta_psnr_true(x, x_other, y, y_other),
        "delta_psnr_true_real": delta_psnr_true_real(x, x_other),
        "delta_psnr_changed": delta_psnr_true(x, x_other, y, y_other, changed),
        "delta_psnr_changed_real": delta_psnr_true_real(x, x_other, changed),
    }


def _undefined(view: View, *names: str) -> Columns:
    return {name: np.full(view.valid.shape, np.nan) for name in names}
