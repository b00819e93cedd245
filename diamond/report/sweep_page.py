"""The report of a sweep as files: a self-contained HTML page, Markdown, pictures and tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from matplotlib.figure import Figure

from diamond.report import sweep_prose as prose
from diamond.report import sweep_tables as tables
from diamond.report.latex import table_latex
from diamond.report.pictures import Picture, figure_files, file_part
from diamond.report.render import (
    STYLE,
    ReportPaths,
    asset,
    html_templates,
    markdown_templates,
    policy,
    write_files,
)
from diamond.report.sweep_figures import Drawn, front_figure
from diamond.report.sweep_history import history_figure
from diamond.report.sweep_panels import (
    has_reports,
    importance_figure,
    reports_figure,
    slice_rows,
    slices_figure,
)
from diamond.results.arm_model import first_cause
from diamond.results.model import Result
from diamond.results.search import Search

ROLES = ("search", "importance", "slices", "reports")
"""The history or the front, shares of the parameters, slices, reports to the pruner."""
_SCRIPTS = ("tables.js",)
_WIDE_INCHES = 9.0


@dataclass(frozen=True)
class Shown:
    """A picture and how wide the page shows it, by the class of its image."""

    picture: Picture
    kind: Literal["curve", "wide"]


def write_sweep_report(result: Result, folder: Path) -> ReportPaths:
    """Write the report of a sweep; each file appears whole or not at all.

    Sections without data are left out or say why they are empty.

    Args:
        result: Of a sweep; where its ``summary`` is empty, the answer is made here.
        folder: Folder of the report, made if absent; the pictures go to ``figures`` inside it, the
            table of all trials to ``tables``, as LaTeX and with all digits as CSV.

    Returns:
        The paths of what was written.
    """
    search = result.search
    assert search is not None, "a sweep has trials"
    pictures = sweep_pictures(search)
    context = _context(result, search, pictures)
    page = html_templates().get_template("sweep.html.j2").render(context)
    text = markdown_templates().get_template("sweep.md.j2").render(context)
    figures = {name: data for shown in pictures for name, data in shown.picture.files.items()}
    trials = {name: data.encode() for name, data in _trials(result, search).items()}
    return write_files(folder, page, text, {**figures, **trials})


def sweep_pictures(search: Search) -> list[Shown]:
    """Draw everything that the document has values for, in the order of `ROLES`."""
    pictures = []
    drawn = search_figure(search)
    if drawn is not None:
        if search.is_single:
            title, name = "Value of each trial, and the best so far", "history"
        else:
            title, name = "Every trial by its objectives, and the front", "front"
        pictures.append(_picture("search", title, name, drawn.figure, drawn.note))
    if any(entry.rows for entry in search.importance):
        title = "How much each parameter matters, with intervals"
        pictures.append(_picture("importance", title, "importance", importance_figure(search)))
    rows = slice_rows(search)
    for index, parameters in enumerate(rows):
        names = ", ".join(each.name for each in parameters)
        title = f"The objectives against {names}" if not search.is_single else f"Against {names}"
        name = "slices" if len(rows) == 1 else f"slices-{index + 1}"
        pictures.append(_picture("slices", title, name, slices_figure(search, parameters)))
    if has_reports(search):
        title = "What trials reported to the pruner"
        pictures.append(_picture("reports", title, "reports", reports_figure(search)))
    return pictures


def search_figure(search: Search) -> Drawn | None:
    """Draw the history of one objective or the front of several; None without any value."""
    if not search.is_single:
        return front_figure(search) if search.valued() else None
    has_value = search.valued() or has_reports(search)
    return history_figure(search) if has_value else None


def _picture(role: str, title: str, name: str, figure: Figure, note: str = "") -> Shown:
    """Return a figure as a picture; the page shows its vectors."""
    stem = f"figures/{file_part(name)}"
    picture = Picture("", role, title, f"{stem}.svg", figure_files(figure, stem), note)
    return Shown(picture, "wide" if figure.get_figwidth() > _WIDE_INCHES else "curve")


def _trials(result: Result, search: Search) -> dict[str, str]:
    """Return the files of the table of all trials; none without trials."""
    table = tables.trials_table(search)
    if not table.rows:
        return {}
    notes = {"study": result.study, "command": result.command}
    return {
        "tables/trials.tex": table_latex(table, f"{file_part(result.study)}-trials", notes),
        "tables/trials.csv": tables.trials_csv(search),
    }


def _context(result: Result, search: Search, pictures: Sequence[Shown]) -> Mapping[str, Any]:
    """Return everything that the templates show; they choose only the order and the markup."""
    scripts = [asset(name) for name in _SCRIPTS]
    style = asset(STYLE)
    return {
        "doc": result,
        "scripts": scripts,
        "style": style,
        "policy": policy(scripts, style),
        "answer": result.summary or prose.sweep_summary(result),
        "pictures": {role: [s for s in pictures if s.picture.role == role] for role in ROLES},
        "single": search.is_single,
        "leading": tables.leading_table(search),
        "objectives_sentence": prose.objectives_sentence(search),
        "front_sentence": prose.front_sentence(search),
        "confirm_command": prose.confirm_command(search),
        "confirmation": tables.confirmation_table(search),
        "confirmation_sentence": prose.confirmation_sentence(search),
        "why_no_figure": prose.why_no_figure(search),
        "importance": tables.importance_table(search),
        "importance_reasons": prose.importance_reasons(search),
        "constraints": tables.constraints_table(search),
        "failed": [
            {"name": trial.name, "cause": first_cause(trial.error),
             "attempts": trial.attempts, "error": (trial.error or "").strip()}
            for trial in tables.failed_trials(search)
        ],
        "trials": tables.trials_table(search),
        "space": tables.space_table(search),
        "budget": tables.budget_table(search),
        "search": prose.search_sentence(search),
        "provenance": prose.sweep_provenance(result),
        "config": prose.sweep_config_text(result),
    }  # fmt: skip
