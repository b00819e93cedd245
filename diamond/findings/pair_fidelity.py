"""Fidelity of imagined frames of any project: pairs of trajectories from files, no world model."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from diamond.arrays import ByteArray, FloatArray
from diamond.config.base import canonical
from diamond.config.defaults import DEFAULT_ATARI_GAME, DEFAULT_PRESET
from diamond.config.metric_table import METRIC_OF, MetricSpec
from diamond.config.own_metrics import own_metrics
from diamond.config.presets import make_preset
from diamond.config.primary import PRIMARY_METRIC
from diamond.config.scoring import LPIPS_MIN_PIXELS
from diamond.data.reference_files import median_background
from diamond.data.trajectories import (
    Read,
    Trajectory,
    check_one_size,
    list_trajectories,
    read_frame,
    read_trajectory,
)
from diamond.engine.provenance import provenance
from diamond.errors import RequestError
from diamond.families.baselines import COPY_LAST, MEDIAN_BACKGROUND
from diamond.fidelity.extras import NO_EXTRAS, Extras, load_extras
from diamond.fidelity.nearest import make_bank
from diamond.fidelity.pixel_oracle import WINDOW
from diamond.fidelity.trajectory_metrics import RealTrajectory, score_trajectories
from diamond.plan.designs import read_setting
from diamond.plan.variants import apply_axes
from diamond.results.arm_model import Arm, Run
from diamond.results.comparisons import Scored, comparison_rows, corrected, noise_rows
from diamond.results.model import Places, Result
from diamond.results.rollout_estimates import (
    Scores,
    arm_estimates,
    arm_interval,
    described,
    report_steps,
    run_means,
)
from diamond.stages.fidelity import FIDELITY

REAL_FLAG, IMAGINED_FLAG, BACKGROUND_FLAG = "--real", "--imagined", "--background"
IMAGINED = "imagined"
"""Name of the arm that is scored."""
SUBJECT = "frames"
"""What stands in a document where a game does."""
NEEDS_LAST = frozenset({"skill_copy_l1", "skill_copy_mse", "beats_copy"})
"""Scores against the last real frame before the first scored one."""
NAMED = 5
"""Names that an error lists."""


@dataclass(frozen=True)
class Pair:
    """A real trajectory and the imagined one that is scored against it."""

    real: Trajectory
    imagined: Trajectory


@dataclass(frozen=True)
class Pairs:
    """Pairs that were read once and found fit to be scored.

    Attributes:
        paths: Where the real and the imagined ones were found.
        pairs: In natural order of their names.
        context: Frames at the beginning that both share and that are not scored.
        horizon: Scored frames of the longest pair.
        lengths: Scored frames of each pair.
        size: Height and width of all frames, pixels.
        background: (h, w, 3) uint8 of all pairs, None for the median of each real trajectory.
        remarks: What the reader of the scores must know of the files.
    """

    paths: tuple[Path, Path]
    pairs: tuple[Pair, ...]
    context: int
    horizon: int
    lengths: tuple[int, ...]
    size: tuple[int, int]
    background: ByteArray | None
    remarks: tuple[str, ...]


def find_pairs(
    real: Path, imagined: Path, background: Path | None, context: int, horizon: int | None
) -> Pairs:
    """Match trajectories by name, read all of them once, and check them.

    Args:
        real: File or folder of the real frames.
        imagined: File or folder of the imagined ones, with the same names; the names of two single
            trajectories may differ.
        background: One frame for all pairs, None for the median of each real trajectory.
        context: Frames at the beginning of both that are given, not imagined; at least 0.
        horizon: Frames scored after the context at most; None scores all.

    Raises:
        RequestError: Names, lengths, sizes, types or numbers do not fit; nothing is scored.
    """
    if context < 0:
        raise RequestError(f"--context {context}: 0 or more frames")
    if horizon is not None and horizon < 1:
        raise RequestError(f"--horizon {horizon}: at least 1 time step is needed")
    pairs = _match(list_trajectories(real, REAL_FLAG), list_trajectories(imagined, IMAGINED_FLAG))
    shapes: list[tuple[str, tuple[int, ...]]] = []
    remarks: dict[str, None] = {}
    unequal: list[tuple[str, int]] = []
    for pair in pairs:
        x, y = read_trajectory(pair.real, REAL_FLAG), read_trajectory(pair.imagined, IMAGINED_FLAG)
        _check_pair(pair, x, y, context)
        shapes.append((pair.real.name, x.frames.shape))
        remarks |= dict.fromkeys((*x.remarks, *y.remarks))
        levels = x.frames[:context].astype(np.int16) - y.frames[:context]
        if levels.any():
            unequal.append((pair.real.name, int(np.abs(levels).max())))
    check_one_size(shapes)
    size = shapes[0][1][1], shapes[0][1][2]
    if min(size) < WINDOW:
        raise RequestError(
            f"frames of {size[0]} x {size[1]} pixels\n  allowed: {WINDOW} x {WINDOW} "
            "or more, the window of SSIM"
        )
    if unequal:
        name, most = max(unequal, key=lambda item: item[1])
        told = f"{len(unequal)} of {len(pairs)} pairs: the {context} context frames"
        remarks[f"{told} are not the same in both, by up to {most} levels in {name!r}"] = None
    lengths = tuple(shape[0] - context for _, shape in shapes)
    longest = max(lengths)
    if horizon is not None and horizon > longest:
        remarks[f"no pair has {horizon} frames after the context: the longest has {longest}"] = None
    taken = longest if horizon is None else min(horizon, longest)
    return Pairs(
        (real, imagined),
        pairs,
        context,
        taken,
        tuple(min(length, taken) for length in lengths),
        size,
        None if background is None else _background(background, size),
        tuple(remarks),
    )


def pairs_extras(settings: Sequence[str]) -> tuple[tuple[MetricSpec, ...], Extras]:
    """Metrics of the user's own, and all that settings ask for, such as ``lpips=alex``.

    Raises:
        RequestError: A setting is about something else, or what it asks for is not there.
        WeightsError: The weights of LPIPS are damaged.
    """
    chosen = read_setting(settings, "settings").chosen
    for axis, _ in chosen:
        if any(field.partition(".")[0] != "fidelity" for field in axis.fields):
            raise RequestError(
                f"{axis.name} is part of a world model, and --real and --imagined need none\n"
                "  allowed: lpips, fidelity.metrics"
            )
    config = apply_axes(make_preset(DEFAULT_PRESET, DEFAULT_ATARI_GAME), chosen)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    section = FIDELITY.section_of(config, canonical(config)).get("fidelity", {})
    own = tuple(metric.spec for metric in own_metrics(config.fidelity.metrics).values())
    return own, load_extras(section, device)


def score_pairs(pairs: Pairs, extras: Extras = NO_EXTRAS) -> dict[str, Scores]:
    """Score the imagined frames, and the two baselines that need none.

    Args:
        pairs: What `find_pairs` found.

    Returns:
        By arm, by metric: (pairs, horizon), NaN after the end of a pair and where undefined.
        Without context there is no last frame to copy, so no such baseline.

    Raises:
        RequestError: Frames are too small for LPIPS.
        StageFailedError: A metric of the user's own returns something else than its values.
    """
    if extras.lpips is not None and min(pairs.size) < LPIPS_MIN_PIXELS:
        raise RequestError(
            f"frames of {pairs.size[0]} x {pairs.size[1]} pixels\n  LPIPS needs "
            f"{LPIPS_MIN_PIXELS} x {LPIPS_MIN_PIXELS} or more; leave lpips=alex out"
        )
    total = sum(pairs.lengths) + pairs.context * len(pairs.pairs)
    bank = make_bank(_real_parts(pairs), total)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    copied = (COPY_LAST.title,) if pairs.context else ()
    scores: dict[str, dict[str, FloatArray]] = {
        arm: score_trajectories(_trajectories(pairs, arm), bank, device, extras)
        for arm in (IMAGINED, *copied, MEDIAN_BACKGROUND.title)
    }
    if not pairs.context:
        for found in scores.values():
            _undefine(found)
    return dict(scores)


def pairs_result(
    pairs: Pairs, scores: Mapping[str, Scores], command: str, own: Sequence[MetricSpec] = ()
) -> Result:
    """The result of scored pairs.

    Args:
        scores: What `score_pairs` returned.
        command: The command as the user can repeat it.
        own: Metrics of the user's own.
    """
    scored = {
        name: Scored(name, "arm" if name == IMAGINED else "reference", {0: found}, 1, name)
        for name, found in scores.items()
    }
    imagined = scored[IMAGINED]
    references = [one for one in scored.values() if one.role == "reference"]
    compared = [comparison_rows(one, imagined, SUBJECT, PRIMARY_METRIC) for one in references]
    return Result(
        study="pairs of frames",
        question="How faithful are these imagined frames to the real ones?",
        command=command,
        preset="none: frames from files",
        games=(SUBJECT,),
        seeds=(0,),
        protocol="none: frames from files",
        until="fidelity",
        horizon=pairs.horizon,
        report_steps=report_steps(pairs.horizon),
        primary_metric=PRIMARY_METRIC,
        baseline_arm=IMAGINED,
        metrics=described(scores[IMAGINED], own),
        arms=tuple(_arm(name, found, pairs.horizon) for name, found in scores.items()),
        comparisons=corrected([row for rows in compared for row in rows]),
        noise_floor=noise_rows(imagined, SUBJECT, pairs.horizon),
        notes=_notes(pairs),
        provenance=provenance(None, {}),
        paths=Places(real=str(pairs.paths[0]), imagined=str(pairs.paths[1])),
    )


def _match(real: Sequence[Trajectory], imagined: Sequence[Trajectory]) -> tuple[Pair, ...]:
    if len(real) == len(imagined) == 1:
        return (Pair(real[0], imagined[0]),)
    files = [{one.path for one in side} for side in (real, imagined)]
    if len(real) == len(imagined) and all(len(paths) == 1 for paths in files):
        return tuple(Pair(*rows) for rows in zip(real, imagined, strict=True))
    by_name = {one.name: one for one in imagined}
    alone = _alone([one.name for one in real], list(by_name))
    if alone:
        raise RequestError(
            "real and imagined trajectories are matched by name, and not all have a partner\n  "
            + "\n  ".join(alone)
            + "\n  give the same names under both, without regard to the suffix"
        )
    return tuple(Pair(one, by_name[one.name]) for one in real)


def _alone(real: Sequence[str], imagined: Sequence[str]) -> list[str]:
    """What stands under one option alone, a line for each that has such."""
    sides = (REAL_FLAG, real, set(imagined)), (IMAGINED_FLAG, imagined, set(real))
    missing = [
        (flag, [name for name in names if name not in others]) for flag, names, others in sides
    ]
    return [f"only under {flag}: {_named(names)}" for flag, names in missing if names]


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _check_pair(pair: Pair, x: Read, y: Read, context: int) -> None:
    alone = _alone([str(n) for n in x.numbers], [str(n) for n in y.numbers])
    if x.numbers and y.numbers and alone:
        raise RequestError(
            f"the frames of {pair.real.name!r} do not have the same numbers under both\n  "
            + "\n  ".join(alone)
            + "\n  a frame is scored against the one of its number: number both alike"
        )
    real, imagined = x.frames, y.frames
    if real.shape != imagined.shape:
        raise RequestError(
            f"the trajectories {pair.real.name!r} have different shapes: real {real.shape} in "
            f"{str(pair.real.path)!r}, imagined {imagined.shape} in {str(pair.imagined.path)!r}\n"
            "  frame t of one is scored against frame t of the other: both need one length and "
            "size; nothing is cut or resized"
        )
    if len(real) <= context:
        raise RequestError(
            f"the trajectory {pair.real.name!r} has {len(real)} frames, of which {context} are "
            f"context\n  nothing is left to score: give fewer with --context"
        )


def _background(path: Path, size: tuple[int, int]) -> ByteArray:
    frame = read_frame(path, BACKGROUND_FLAG)
    if frame.shape[:2] != size:
        raise RequestError(
            f"{BACKGROUND_FLAG} {str(path)!r} has {frame.shape[0]} x {frame.shape[1]} pixels, the "
            f"frames have {size[0]} x {size[1]}\n  nothing is resized"
        )
    return frame


def _real_parts(pairs: Pairs) -> Iterator[tuple[int, ByteArray]]:
    for number, (pair, length) in enumerate(zip(pairs.pairs, pairs.lengths, strict=True)):
        yield number, read_trajectory(pair.real, REAL_FLAG).frames[: pairs.context + length]


def _trajectories(pairs: Pairs, arm: str) -> Iterator[tuple[RealTrajectory, ByteArray]]:
    """Each real trajectory with the frames of an arm, both (horizon, h, w, 3)."""
    first = pairs.context
    for number, (pair, length) in enumerate(zip(pairs.pairs, pairs.lengths, strict=True)):
        real = read_trajectory(pair.real, REAL_FLAG).frames
        background = median_background(real) if pairs.background is None else pairs.background
        last = real[max(0, first - 1)]
        if arm == IMAGINED:
            frames = read_trajectory(pair.imagined, IMAGINED_FLAG).frames[first : first + length]
        else:
            still = last if arm == COPY_LAST.title else background
            frames = np.repeat(still[None], length, axis=0)
        valid = np.arange(pairs.horizon) < length
        targets = _lengthened(real[first : first + length], pairs.horizon)
        yield (
            RealTrajectory(targets, valid, last, background, number),
            _lengthened(frames, pairs.horizon),
        )


def _lengthened(frames: ByteArray, num_frames: int) -> ByteArray:
    """Frames with black ones after the end, where nothing is scored."""
    added = num_frames - len(frames)
    return np.pad(frames, ((0, added), (0, 0), (0, 0), (0, 0)))


def _undefine(scores: dict[str, FloatArray]) -> None:
    """Take back what needs the real frame before the first scored one, where there is none."""
    for name, values in scores.items():
        if name in NEEDS_LAST:
            values[:] = np.nan
        elif name in METRIC_OF and METRIC_OF[name].group == "frozen":
            values[:, 0] = np.nan


def _arm(name: str, scores: Scores, horizon: int) -> Arm:
    estimates, means = arm_estimates([scores], horizon), run_means(scores, horizon)
    return Arm(
        name=name,
        kind="arm" if name == IMAGINED else "baseline",
        game=SUBJECT,
        is_baseline=name == IMAGINED,
        runs=(Run(seed=0, metrics=means.metrics, curves=means.curves),),
        metrics=estimates.metrics,
        curves=estimates.curves,
        interval=arm_interval(1, estimates.num_starts),
    )


def _notes(pairs: Pairs) -> tuple[str, ...]:
    context = (
        f"the first {pairs.context} frames of each are context and not scored"
        if pairs.context
        else "all frames are scored; without --context there is no last real frame: no baseline "
        "that copies it, and no score that needs it"
    )
    background = (
        "the median over time of each real trajectory, its future included"
        if pairs.background is None
        else "the given frame"
    )
    height, width = pairs.size
    return (
        f"{len(pairs.pairs)} pairs of {height} x {width} pixels; {context}.",
        f"The background is {background}.",
        *(f"{remark}." for remark in pairs.remarks),
    )
