"""The report of a study as files: a self-contained HTML page, Markdown and pictures."""

import base64
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from matplotlib.figure import Figure

from diamond.report import markdown, prose, tables
from diamond.report.claims import claims_sentences, claims_table
from diamond.report.document import (
    Document,
    MetricInfo,
    better,
    failures,
    has_curve,
    metric_infos,
    return_labels,
)
from diamond.report.figures import (
    figure_bytes,
    horizon_figure,
    horizon_overview,
    overview_metrics,
)
from diamond.report.path_tables import path_of, path_sentences, path_table
from diamond.report.strips import Strips, film_strip, png_bytes
from diamond.report.summary import summarise
from diamond.report.waterfall import waterfall_figure

_SHOWN_FRAME_PIXELS = 160
_TEMPLATES = jinja2.PackageLoader("diamond.report", "templates")


@dataclass(frozen=True)
class ReportPaths:
    """Where the report is; `figures` holds the pictures in the order in which they were written."""

    html: Path
    markdown: Path
    figures: tuple[Path, ...]


@dataclass(frozen=True)
class Picture:
    """A picture: its files by relative path, the one to show, and what it is of.

    `role` is path (the walks of a path), primary (the primary metric), overview, metric (any other
    metric) or strip.
    """

    game: str
    role: str
    title: str
    shown: str
    files: Mapping[str, bytes]

    @property
    def data_uri(self) -> str:
        """The shown file as a link that carries its own data."""
        kind = "svg+xml" if self.shown.endswith(".svg") else "png"
        data = base64.b64encode(self.files[self.shown]).decode("ascii")
        return f"data:image/{kind};base64,{data}"


def write_report(doc: Document, strips: Sequence[Strips], folder: Path) -> ReportPaths:
    """Write the report of a study; each file appears whole or not at all.

    Sections without data are left out, and the page says why.

    Args:
        doc: The result document; where its ``summary`` is empty, the sentence is made here.
        strips: Film strips to show, in this order.
        folder: Folder of the report, made if absent; the pictures go to ``figures`` inside it.

    Returns:
        The paths of what was written.
    """
    pictures = [*_paths(doc), *_curves(doc), *(_strip(item) for item in strips)]
    context = _context(doc, pictures)
    page = _html_templates().get_template("report.html.j2").render(context)
    text = _markdown_templates().get_template("report.md.j2").render(context)
    written = [_write(folder / name, data) for p in pictures for name, data in p.files.items()]
    return ReportPaths(
        html=_write(folder / "report.html", page.encode()),
        markdown=_write(folder / "report.md", text.encode()),
        figures=tuple(written),
    )


def _context(doc: Document, pictures: Sequence[Picture]) -> dict[str, Any]:
    """Return everything that the templates show; they choose only the order and the markup."""
    games = [
        {
            "name": game,
            "path": _path_section(doc, game),
            "metrics": tables.metric_tables(doc, game),
            "returns": tables.returns_table(doc, game),
            "costs": tables.costs_table(doc, game),
            "pictures": {
                role: [p for p in pictures if p.game == game and p.role == role]
                for role in ("path", "primary", "overview", "metric", "strip")
            },
        }
        for game in doc["games"]
    ]
    return {
        "doc": doc,
        "games": games,
        "answer": doc.get("summary") or summarise(doc),
        "intervals": prose.interval_sentences(doc),
        "claims": claims_table(doc),
        "claims_sentences": claims_sentences(doc),
        "comparison_sentences": prose.comparison_sentences(doc),
        "comparisons": tables.comparison_table(doc),
        "exploratory_sentence": prose.exploratory_sentence(doc),
        "exploratory": tables.exploratory_table(doc),
        "noise_sentences": prose.noise_sentences(doc),
        "noise": tables.noise_table(doc),
        "failures": failures(doc),
        "return_labels": return_labels(doc),
        "hns": tables.hns_table(doc),
        "cost_note": prose.COST_NOTE,
        "costs_sentence": prose.costs_sentence(doc),
        "stages": tables.stages_table(doc),
        "provenance": prose.provenance_rows(doc),
        "config": prose.config_text(doc),
        "why_absent": prose.why_absent(doc),
        "why_not_compared": prose.why_not_compared(doc),
    }


def _path_section(doc: Document, game: str) -> dict[str, Any] | None:
    if path_of(doc, game) is None:
        return None
    table = path_table(doc, game, doc["primary_metric"])
    return {"table": table, "sentences": path_sentences(doc, game)}


def _paths(doc: Document) -> list[Picture]:
    """Draw the walks of each game in the primary metric, where any arm of the path has a value."""
    pictures = []
    for game in doc["games"]:
        path = path_of(doc, game)
        if path is None or not path["metrics"][doc["primary_metric"]]["values"]:
            continue
        figure = waterfall_figure(doc, game, doc["primary_metric"])
        title = f"{game}: what each flip changes from {path['from']} to {path['to']}"
        pictures.append(_figure_picture(game, "path", title, "path", figure))
    return pictures


def _curves(doc: Document) -> list[Picture]:
    """Draw every metric that has values, and the overview of the main ones, for each game."""
    pictures = []
    for game in doc["games"]:
        infos = [info for info in metric_infos(doc) if has_curve(doc, game, info.name)]
        pictures += [_metric_picture(doc, game, info) for info in infos]
        if overview_metrics(doc, game):
            figure = horizon_overview(doc, game)
            pictures.append(_curve_picture(game, "overview", "main metrics", "overview", figure))
    return pictures


def _metric_picture(doc: Document, game: str, info: MetricInfo) -> Picture:
    role = "primary" if info.name == doc["primary_metric"] else "metric"
    title = f"{info.label} ({better(info)})"
    figure = horizon_figure(doc, game, info.name)
    return _curve_picture(game, role, title, info.name, figure)


def _curve_picture(game: str, role: str, title: str, name: str, figure: Figure) -> Picture:
    full = f"{game}: {title} against the time step"
    return _figure_picture(game, role, full, name, figure)


def _figure_picture(game: str, role: str, title: str, name: str, figure: Figure) -> Picture:
    stem = f"figures/{_file_part(game)}-{_file_part(name)}"
    files = {f"{stem}.svg": figure_bytes(figure, "svg"), f"{stem}.png": figure_bytes(figure, "png")}
    return Picture(game, role, title, f"{stem}.svg", files)


def _strip(strips: Strips) -> Picture:
    scale = max(1, round(_SHOWN_FRAME_PIXELS / strips.rows[0][1].shape[2]))
    data = png_bytes(film_strip(strips.rows, strips.steps, scale))
    path = f"figures/{_file_part(strips.game)}-strip-{strips.start}.png"
    title = f"{strips.game}: start {strips.start}, held-out episode {strips.episode}"
    return Picture(strips.game, "strip", title, path, {path: data})


def _file_part(name: str) -> str:
    """Return a name with only letters, digits, `_` and `-`, fit for a file name."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name).lower()


def _html_templates() -> jinja2.Environment:
    return jinja2.Environment(
        loader=_TEMPLATES,
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _markdown_templates() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=_TEMPLATES,
        autoescape=False,  # noqa: S701 - Markdown has its own escape, below
        finalize=markdown.escape,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "table": markdown.table,
        "fenced": markdown.fenced,
        "path": markdown.Verbatim,
    }
    return environment


def _write(path: Path, data: bytes) -> Path:
    """Write a file under a temporary name beside its place, then rename it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path
