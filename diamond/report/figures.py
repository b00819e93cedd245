"""Fidelity against horizon as figures, from the result document; the only home of matplotlib."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Literal

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import NullFormatter, NullLocator
from numpy.typing import NDArray

from diamond.report.document import (
    Arm,
    Document,
    arms_of,
    better,
    curve,
    has_curve,
    level_text,
    metric_info,
    metric_infos,
)

_OVERVIEW_METRICS = ("core_ratio", "foreground_iou", "psnr", "ssim", "l1", "psnr_fg")

OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
FigureKind = Literal["svg", "png", "pdf"]
_DATED_METADATA: dict[FigureKind, tuple[str, ...]] = {
    "svg": ("Date", "Creator"),
    "png": ("Software",),
    "pdf": ("CreationDate", "Creator", "Producer"),
}
_Dash = Literal["-", "-."] | tuple[float, Sequence[float]]
_ARM_DASHES: tuple[_Dash, ...] = ("-", "-.")
_BASELINE_GREYS = ("#6b6b6b", "#a0a0a0")
_BASELINE_DASHES: tuple[_Dash, ...] = (
    (0, (5.0, 2.0)),
    (0, (2.0, 1.5)),
    (0, (8.0, 2.0, 2.0, 2.0)),
)
_NOISE: dict[str, Any] = {
    "facecolor": "none",
    "edgecolor": "#9a9a9a",
    "hatch": "....",
    "linewidth": 0.0,
}
_LONG_HORIZON = 20
_SETTINGS = {
    "font.family": "DejaVu Sans",
    "font.size": 10.0,
    "axes.titlesize": 11.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.fonttype": "path",
    "svg.hashsalt": "diamond",
}


@dataclass(frozen=True)
class _Look:
    """How the line of an arm is drawn."""

    colour: str
    dash: _Dash
    width: float


def horizon_figure(doc: Document, game: str, metric: str) -> Figure:
    """Draw one metric against the time step: a line and an interval band for each arm.

    Args:
        doc: The result document.
        game: One of its games.
        metric: Name of one of its metrics.

    Returns:
        A figure of 7.5 x 4.2 inches, not bound to any window.
    """
    with matplotlib.rc_context(settings()):
        figure = Figure(figsize=(7.5, 4.2), layout="constrained")
        axes = figure.subplots()
        info = metric_info(doc, metric)
        _draw(axes, doc, game, metric)
        axes.set_title(f"{game}: {info.label} ({better(info)})")
        axes.set_xlabel("time step t after the start (env steps)")
        figure.legend(
            handles=_legend(doc, game, [metric]), loc="outside right upper", frameon=False
        )
        return figure


def overview_metrics(doc: Document, game: str) -> list[str]:
    """Return the main metrics that the document describes and has values of, in drawing order."""
    described = {info.name for info in metric_infos(doc)}
    return [name for name in _OVERVIEW_METRICS if name in described and has_curve(doc, game, name)]


def horizon_overview(doc: Document, game: str) -> Figure:
    """Draw the main metrics that the document has as small multiples with one legend.

    Args:
        doc: The result document.
        game: One of its games; one that `overview_metrics` finds values for.

    Returns:
        A figure with up to three panels a row.

    Raises:
        ValueError: None of the main metrics has values.
    """
    metrics = overview_metrics(doc, game)
    if not metrics:
        raise ValueError(f"no main metric has values in {game!r}")
    num_columns = min(3, len(metrics))
    num_rows = -(-len(metrics) // num_columns)
    with matplotlib.rc_context(settings()):
        size = (4.0 * num_columns, 2.9 * num_rows + 0.6)
        figure = Figure(figsize=size, layout="constrained")
        panels = np.ravel(figure.subplots(num_rows, num_columns, squeeze=False))
        for axes, metric in zip(panels, metrics, strict=False):
            info = metric_info(doc, metric)
            _draw(axes, doc, game, metric)
            axes.set_title(f"{info.label}\n({better(info)})", fontsize=10)
            axes.set_xlabel("time step t (env steps)")
        for axes in panels[len(metrics) :]:
            axes.set_axis_off()
        handles = _legend(doc, game, metrics)
        figure.legend(
            handles=handles, loc="outside lower center", ncols=min(4, len(handles)), frameon=False
        )
        return figure


def figure_bytes(figure: Figure, kind: FigureKind) -> bytes:
    """Encode a figure; equal figures give equal bytes, because no date and no version is written.

    Args:
        figure: The figure.
        kind: ``"svg"`` with text as outlines, ``"png"`` at 150 dots per inch, or ``"pdf"``.
    """
    buffer = BytesIO()
    unnamed = dict.fromkeys(_DATED_METADATA[kind])
    with matplotlib.rc_context(settings()):
        figure.savefig(buffer, format=kind, dpi=150, metadata=unnamed)
    return buffer.getvalue()


def settings() -> dict[Any, Any]:
    """Return the whole style, so that the settings of the user change nothing.

    Without the backend: naming it would load pyplot.
    """
    default = matplotlib.rcParamsDefault
    return {name: default[name] for name in default if name != "backend"} | _SETTINGS


def _draw(axes: Axes, doc: Document, game: str, metric: str) -> None:
    info = metric_info(doc, metric)
    _draw_noise(axes, doc, game, metric)
    for arm, look in _looks(doc, game):
        mean = _values(curve(arm, metric, "mean"))
        steps = np.arange(1, len(mean) + 1)
        lo, hi = _values(curve(arm, metric, "lo")), _values(curve(arm, metric, "hi"))
        if arm["kind"] == "arm" and len(lo) == len(hi) == len(mean):
            axes.fill_between(steps, lo, hi, color=look.colour, alpha=0.16, linewidth=0)
        axes.plot(steps, mean, color=look.colour, linestyle=look.dash, linewidth=look.width)
    real = _real_curve(doc, game, metric)
    axes.plot(np.arange(1, len(real) + 1), real, color="black", linestyle=":", linewidth=1.6)
    axes.set_ylabel(f"{info.label} [{info.unit}]" if info.unit else info.label)
    axes.grid(visible=True, color="#e6e6e6", linewidth=0.6)
    axes.set_axisbelow(True)
    _set_steps(axes, doc)


def _draw_noise(axes: Axes, doc: Document, game: str, metric: str) -> None:
    """Outline the noise floor: the mean of the baseline arm, give or take the floor."""
    row = _noise_row(doc, game, metric)
    if row is None:
        return
    arm = next(arm for arm in arms_of(doc, game, "arm") if arm["name"] == row["arm"])
    mean, floor = _values(curve(arm, metric, "mean")), _values(row["curve"])
    steps = np.arange(1, len(mean) + 1)
    axes.fill_between(steps, mean - floor, mean + floor, **_NOISE)


def _noise_row(doc: Document, game: str, metric: str) -> Mapping[str, Any] | None:
    """Return the noise floor of a metric, None where it is not defined."""
    rows = doc.get("noise_floor") or ()
    found = (row for row in rows if row["game"] == game and row["metric"] == metric)
    return next((row for row in found if row["reason"] is None), None)


def _set_steps(axes: Axes, doc: Document) -> None:
    """Scale the horizontal axis: logarithmic over long horizons, where most changes come first."""
    horizon = doc["horizon"]
    if horizon > _LONG_HORIZON:
        axes.set_xscale("log")
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_minor_formatter(NullFormatter())
    ticks = [step for step in doc["report_steps"] if step <= horizon]
    axes.set_xticks(ticks, [str(step) for step in ticks])
    axes.set_xlim(1, max(horizon, 2))


def _looks(doc: Document, game: str) -> list[tuple[Arm, _Look]]:
    """Return the arms with their looks, the baselines first, so that arms are drawn over them."""
    num_colours = len(OKABE_ITO)
    baselines = [
        (
            arm,
            _Look(
                _BASELINE_GREYS[index % len(_BASELINE_GREYS)],
                _BASELINE_DASHES[index % len(_BASELINE_DASHES)],
                1.4,
            ),
        )
        for index, arm in enumerate(arms_of(doc, game, "baseline"))
    ]
    arms = [
        (
            arm,
            _Look(
                OKABE_ITO[index % num_colours],
                _ARM_DASHES[index // num_colours % len(_ARM_DASHES)],
                1.9,
            ),
        )
        for index, arm in enumerate(arms_of(doc, game, "arm"))
    ]
    return baselines + arms


def _legend(doc: Document, game: str, metrics: Sequence[str]) -> list[Line2D | Patch]:
    """Return the legend: arms, the real frames where drawn, baselines, and what the band is."""
    looks = _looks(doc, game)
    shown = [
        (arm, look)
        for arm, look in looks
        if any(np.isfinite(_values(curve(arm, metric, "mean"))).any() for metric in metrics)
    ]
    lines = {
        kind: [
            Line2D(
                [],
                [],
                color=look.colour,
                linestyle=look.dash,
                linewidth=look.width,
                label=_text(arm["name"]),
            )
            for arm, look in shown
            if arm["kind"] == kind
        ]
        for kind in ("arm", "baseline")
    }
    real = [Line2D([], [], color="black", linestyle=":", linewidth=1.6, label="real frames")]
    has_real = any(len(_real_curve(doc, game, metric)) for metric in metrics)
    arms = [arm for arm, _ in shown if arm["kind"] == "arm"]
    has_band = any(
        value is not None
        for arm in arms
        for metric in metrics
        for value in curve(arm, metric, "lo")
    )
    band = [
        Line2D(
            [], [], color="#bbbbbb", linewidth=7, alpha=0.6, label=f"{level_text(arms)} interval"
        )
    ]
    noise = (row for metric in metrics if (row := _noise_row(doc, game, metric)))
    floors = [Patch(label=f"noise floor of {_text(row['arm'])}", **_NOISE) for row in noise]
    return [
        *lines["arm"],
        *(real if has_real else []),
        *lines["baseline"],
        *(band if has_band else []),
        *floors[:1],
    ]


def _text(name: str) -> str:
    """Return a name as it stands, not as mathematics."""
    return name.replace("$", r"\$")


def _real_curve(doc: Document, game: str, metric: str) -> NDArray[np.float64]:
    curves = (_values(curve(arm, f"{metric}_real", "mean")) for arm in arms_of(doc, game))
    return next((found for found in curves if np.isfinite(found).any()), np.empty(0))


def _values(points: Sequence[float | None]) -> NDArray[np.float64]:
    return np.array([np.nan if point is None else point for point in points], dtype=np.float64)
