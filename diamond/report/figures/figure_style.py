"""How figures look: colours, dashes, markers, the style of every figure and its encoding."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Literal

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from diamond.report.figures.arm_colours import GREYS, PALETTE, places
from diamond.results.arm_model import Arm
from diamond.results.model import Result

LINE_COLOURS = tuple(colour.light for colour in PALETTE)
"""Of lines that are no arms, and of arms by their places."""
INK = "#1b1b1b"
GRID = "#e6e6e6"
NOISE = "#dcdcdc"
"""Colour of the noise floor, the same in every figure."""
LONG_HORIZON = 20
"""Over more time steps than these the horizontal axis is logarithmic."""
FigureKind = Literal["svg", "png", "pdf"]
_DATED_METADATA: dict[FigureKind, tuple[str, ...]] = {
    "svg": ("Date", "Creator"),
    "png": ("Software",),
    "pdf": ("CreationDate", "Creator", "Producer"),
}
Dash = Literal["-", "-."] | tuple[float, Sequence[float]]
_ARM_DASHES: tuple[Dash, ...] = ("-", "-.")
_ARM_MARKERS = ("o", "s", "^", "D", "v", "X", "P", "h")
_BASELINE_DASHES: tuple[Dash, ...] = (
    (0, (5.0, 2.0)),
    (0, (2.0, 1.5)),
    (0, (8.0, 2.0, 2.0, 2.0)),
)
_WIDEST, _THINNEST, _NARROWING = 3.4, 1.5, 0.4
_MARKERS_PER_LINE = 6
_SETTINGS = {
    "font.family": "DejaVu Sans",
    "font.size": 10.0,
    "axes.titlesize": 11.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "savefig.facecolor": "white",
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "svg.fonttype": "path",
    "svg.hashsalt": "diamond",
}


@dataclass(frozen=True)
class Look:
    """How the line of an arm is drawn.

    Attributes:
        colour: Of line, marker and band.
        dash: Of the line.
        width: In points; of two arms that coincide the later one is the thinner one.
        marker: Shape of the marks on the line; empty for none.
        css: Class of the page that has the colour.
        phase: Where the first mark is, as a share of the distance of two marks.
    """

    colour: str
    dash: Dash
    width: float
    css: str
    marker: str = ""
    phase: float = 0.0


def looks(doc: Result, game: str) -> list[tuple[Arm, Look]]:
    """Return the arms with their looks, the baselines first, so that arms are drawn over them.

    Colour, dash and mark come from the name of an arm and are the same in all games. Arms with
    equal curves stay visible: later ones are thinner, and marks are set at other places.
    """
    baselines = [
        (
            arm,
            Look(
                GREYS[index % len(GREYS)].light,
                _BASELINE_DASHES[index % len(_BASELINE_DASHES)],
                1.4,
                f"grey-{index % len(GREYS)}",
            ),
        )
        for index, arm in enumerate(doc.arms_of(game, "baseline"))
    ]
    found = doc.arms_of(game, "arm")
    place_of = places([arm.name for arm in doc.arms if arm.kind == "arm"])
    size = len(LINE_COLOURS)
    arms = [
        (
            arm,
            Look(
                LINE_COLOURS[place % size],
                _ARM_DASHES[place // size % len(_ARM_DASHES)],
                max(_THINNEST, _WIDEST - _NARROWING * index),
                f"arm-{place % size}",
                _ARM_MARKERS[place % len(_ARM_MARKERS)],
                index / len(found),
            ),
        )
        for index, arm in enumerate(found)
        for place in (place_of[arm.name],)
    ]
    return baselines + arms


def marked_steps(look: Look, num_steps: int, logarithmic: bool) -> list[int]:
    """Return the indices of a line of `num_steps` points that carry its mark, none without one."""
    if not look.marker or num_steps == 0:
        return []
    shares = (np.arange(_MARKERS_PER_LINE) + look.phase) / _MARKERS_PER_LINE
    places = num_steps**shares - 1 if logarithmic else shares * (num_steps - 1)
    return sorted({round(place) for place in places.tolist()})


def figure_bytes(figure: Figure, kind: FigureKind) -> bytes:
    """Encode a figure; equal figures give equal bytes, because no date and no version is written.

    Args:
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


def draw_grid(axes: Axes, axis: Literal["both", "x", "y"] = "both") -> None:
    """Draw a light grid behind the data."""
    axes.grid(visible=True, axis=axis, color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)


def plain(name: str) -> str:
    """Return a name as it stands, not as mathematics."""
    return name.replace("$", r"\$")


def floats(points: Sequence[float | None]) -> NDArray[np.float64]:
    """Return numbers to draw, NaN where one is absent."""
    return np.array([np.nan if point is None else point for point in points], dtype=np.float64)
