"""The pictures of a report: every figure and film strip as files, and as it stands in the page."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import matplotlib
from matplotlib.figure import Figure

from diamond.report.figures.figure_style import figure_bytes, settings
from diamond.report.figures.forest import (
    forest_figure,
    forest_panels,
    is_symmetric_logarithmic,
)
from diamond.report.figures.horizon_figures import (
    MOST_POINTS,
    PANEL_POINTS,
    drawn_steps,
    horizon_figure,
    horizon_panels,
    is_cut,
    is_logarithmic,
)
from diamond.report.figures.learning_curve import learning_figure, learning_runs
from diamond.report.figures.page_svg import page_svg, svg_uri
from diamond.report.figures.strips import Strips, film_strip, png_bytes
from diamond.report.figures.survival_figure import survival_figure, survival_rows
from diamond.report.figures.tradeoff import COSTS, points, tradeoff_figure
from diamond.report.figures.waterfall import waterfall_figure
from diamond.report.tables import question
from diamond.results.metric_model import Metric
from diamond.results.model import Result

MAIN_METRICS = ("core_ratio", "foreground_iou", "psnr", "ssim", "l1", "psnr_fg")
ROLES = ("path", "primary", "overview", "group", "metric", "forest", "forests", "cost", "survival",
         "learning", "strip")  # fmt: skip
_SHOWN_FRAME_PIXELS = 160
_WIDTH_OF_SVG = re.compile(rb'<svg [^>]*?width="([\d.]+)pt"')
_PIXELS_A_POINT = 96 / 72


@dataclass(frozen=True)
class Picture:
    """A picture: its files by relative path, the one to show, and what it is of.

    `role` is one of `ROLES`: path (the walks of a path), primary (the primary metric), overview
    (the main metrics), group (other metrics of one group), metric (any other metric; a file that
    the page does not hold), forest (differences in the primary metric), forests (in the others),
    cost, survival, learning (real return against updates) or strip. Of a search
    `game` is empty and `role` is that of `search_section`. `note` is what a reader must know to
    read it, `question` what the metrics of a group answer.
    """

    game: str
    role: str
    title: str
    shown: str
    files: Mapping[str, bytes]
    note: str = ""
    question: str = ""

    @property
    def width(self) -> int:
        """Width of the shown figure in pixels of the page, so that letters have one size."""
        found = _WIDTH_OF_SVG.search(self.files[self.shown])
        assert found, "matplotlib says how wide a figure is"
        return round(float(found[1]) * _PIXELS_A_POINT)

    @property
    def data_uri(self) -> str:
        """The shown figure as a link that carries its own data and follows the scheme."""
        return svg_uri(page_svg(self.files[self.shown]))


def pictures_of(doc: Result, strips: Sequence[Strips]) -> list[Picture]:
    """Draw everything that the document has values for."""
    pictures = []
    for game in doc.games:
        pictures += [
            *_path(doc, game),
            *_curves(doc, game),
            *_forests(doc, game),
            *_cost(doc, game),
            *_survival(doc, game),
            *_learning(doc, game),
        ]
    return [*pictures, *(_strip(item) for item in strips)]


def _path(doc: Result, game: str) -> list[Picture]:
    """Draw the walks of a path in the primary metric, where any arm of the path has a value."""
    path = doc.path.get(game)
    if path is None or not path.metrics[doc.primary_metric].values:
        return []
    title = f"{game}: what each flip changes from {path.start} to {path.end}"
    figure = waterfall_figure(doc, game, doc.primary_metric)
    return [_picture(game, "path", title, "path", figure)]


def _curves(doc: Result, game: str) -> list[Picture]:
    """Draw the primary and the main metrics, each alone and together, and the rest by group."""
    infos = [info for info in doc.scored if doc.has_curve(game, info.name)]
    others = [info for info in infos if info.name != doc.primary_metric]
    main = [info for name in MAIN_METRICS for info in others if info.name == name]
    alone = [info for info in infos if info.name == doc.primary_metric or info in main]
    pictures = [_metric(doc, game, info) for info in alone]
    if main:
        title = f"{game}: the main other metrics against the time step"
        pictures.append(_panels(doc, game, title, main))
    rest = [info for info in others if info not in main]
    for asked in dict.fromkeys(question(info) for info in rest):
        members = [info for info in rest if question(info) == asked]
        pictures.append(_panels(doc, game, f"{game}: {asked} Against the time step", members))
    return pictures


def _panels(doc: Result, game: str, title: str, members: Sequence[Metric]) -> Picture:
    """Draw metrics side by side: the main ones, or those of one question."""
    names = [info.name for info in members]
    is_main = names[0] in MAIN_METRICS
    name = "overview" if is_main else f"group-{members[0].group or 'further'}"
    note = _note(doc, game, names, PANEL_POINTS)
    role, asked = ("overview", "") if is_main else ("group", question(members[0]))
    drawn = _picture(game, role, title, name, horizon_panels(doc, game, names), note)
    return replace(drawn, question=asked)


def _metric(doc: Result, game: str, info: Metric) -> Picture:
    role = "primary" if info.name == doc.primary_metric else "metric"
    title = f"{game}: {info.label} ({info.better}) against the time step"
    figure = horizon_figure(doc, game, info.name)
    return _picture(
        game, role, title, info.name, figure, _note(doc, game, [info.name], MOST_POINTS)
    )


def _note(doc: Result, game: str, metrics: Sequence[str], most: int) -> str:
    """Say what is not drawn as it is: time steps left out, scales not linear, intervals cut."""
    told = []
    if doc.horizon > most:
        shown = len(drawn_steps(doc.horizon, most))
        told.append(f"{shown} of the {doc.horizon} time steps are drawn, evenly spaced.")
    if any(is_logarithmic(doc, game, metric) for metric in metrics):
        told.append("Errors that differ by far have a logarithmic scale.")
    if any(is_cut(doc, game, metric) for metric in metrics):
        told.append(
            "Intervals are drawn only as far as values can be (no error is below 0); the tables "
            "have them whole."
        )
    return " ".join(told)


def _forests(doc: Result, game: str) -> list[Picture]:
    primary = doc.primary_metric
    pictures = []
    if doc.compared(game, primary):
        title = f"{game}: differences to the baseline arm in the primary metric"
        figure = forest_figure(doc, game, primary)
        note = (
            "The scale is linear within the noise floor and logarithmic beyond it."
            if is_symmetric_logarithmic(doc.compared(game, primary))
            else ""
        )
        pictures.append(_picture(game, "forest", title, "forest", figure, note))
    others = [
        info.name
        for info in doc.scored
        if info.name in MAIN_METRICS and info.name != primary and doc.compared(game, info.name)
    ]
    if others:
        title = f"{game}: differences to the baseline arm in the main other metrics, exploratory"
        figure = forest_panels(doc, game, others)
        pictures.append(_picture(game, "forests", title, "forest-others", figure))
    return pictures


def _cost(doc: Result, game: str) -> list[Picture]:
    if not all(points(doc, game, cost) for cost in COSTS):
        return []
    title = f"{game}: the primary metric against the cost of a frame"
    note = "Ringed: no other arm is both as cheap and as good (Pareto front)."
    if is_logarithmic(doc, game, doc.primary_metric):
        note += " Both scales are logarithmic; intervals end at the lower edge."
    return [_picture(game, "cost", title, "cost", tradeoff_figure(doc, game), note)]


def _survival(doc: Result, game: str) -> list[Picture]:
    if not survival_rows(doc, game):
        return []
    title = f"{game}: share of starts that have not diverged, against the time step"
    return [_picture(game, "survival", title, "survival", survival_figure(doc, game))]


def _learning(doc: Result, game: str) -> list[Picture]:
    if not learning_runs(doc, game):
        return []
    title = f"{game}: return in the real game against the updates of the policy"
    return [_picture(game, "learning", title, "learning", learning_figure(doc, game))]


def _picture(
    game: str, role: str, title: str, name: str, figure: Figure, note: str = ""
) -> Picture:
    stem = f"figures/{file_part(game)}-{file_part(name)}"
    return Picture(game, role, title, f"{stem}.svg", figure_files(figure, stem), note)


def figure_files(figure: Figure, stem: str) -> dict[str, bytes]:
    """Return a figure as the files `stem`.svg and `stem`.png."""
    vectors = figure_bytes(figure, "svg")
    # It is laid out now: with an engine, one that does nothing included, it would be drawn twice.
    with matplotlib.rc_context(settings()):
        figure.set_layout_engine(None)
    return {f"{stem}.svg": vectors, f"{stem}.png": figure_bytes(figure, "png")}


def _strip(strips: Strips) -> Picture:
    scale = max(1, round(_SHOWN_FRAME_PIXELS / strips.rows[0][1].shape[2]))
    data = png_bytes(film_strip(strips.rows, strips.steps, scale))
    path = f"figures/{file_part(strips.game)}-strip-{strips.start}.png"
    title = f"{strips.game}: start {strips.start}, held-out episode {strips.episode}"
    return Picture(strips.game, "strip", title, path, {path: data})


def file_part(name: str) -> str:
    """Return a name with only letters, digits, `_` and `-`, fit for a file name."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name).lower()
