"""The report of a study as files: a self-contained HTML page, Markdown and pictures."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from diamond.report import prose, tables
from diamond.report.claim_tables import claims_sentences, claims_table
from diamond.report.controls import control_sentences, control_table
from diamond.report.figures.curve_svg import PageCurve, page_curve
from diamond.report.figures.figure_style import looks
from diamond.report.figures.forest_rows import forest_rows
from diamond.report.figures.pictures import ROLES, file_part, pictures_of
from diamond.report.figures.strips import Strips, film_grid
from diamond.report.figures.survival_figure import survival_rows, survival_sentence, survival_table
from diamond.report.latex import table_latex
from diamond.report.machines import machines_table
from diamond.report.off_data import off_data_differences, off_data_sentences, off_data_table
from diamond.report.overview import overview_table
from diamond.report.path_tables import path_sentences, path_table
from diamond.report.player import players
from diamond.report.render import (
    CURVE,
    PLAYER,
    TABLES,
    Headings,
    ReportPaths,
    Section,
    asset,
    html_templates,
    markdown_templates,
    policy,
    style,
    without_homes,
    write_files,
)
from diamond.report.return_tables import players_table, returns_sentences, returns_table
from diamond.report.search.search_section import search_section
from diamond.report.sharing import sharing_sentence, sharing_table
from diamond.report.table import Table
from diamond.results.model import Result
from diamond.studies.compared_frames import Film


def write_report(
    doc: Result, strips: Sequence[Strips], folder: Path, films: Sequence[Film] = ()
) -> ReportPaths:
    """Write the report of a study or of a search; each file appears whole or not at all.

    Sections without data are left out, and the page says why.

    Args:
        doc: The result document, with its answer.
        strips: Film strips to show, in this order.
        folder: Folder of the report, made if absent; the pictures go to ``figures`` inside it, the
            LaTeX tables to ``tables``; of a search the trials also with all digits as CSV.
        films: Frames for the player; without any there is none.

    Returns:
        The paths of what was written.
    """
    section = _ablation_section(doc, strips, films) if doc.search is None else search_section(doc)
    context = _context(doc, section)
    shown = without_homes(doc.paths.home)
    page = (
        html_templates(shown)
        .get_template("report.html.j2")
        .render(context, section=f"{section.name}.html.j2")
    )
    text = (
        markdown_templates(shown)
        .get_template("report.md.j2")
        .render(context, section=f"{section.name}.md.j2")
    )
    figures = {name: data for picture in section.pictures for name, data in picture.files.items()}
    return write_files(folder, page, text, {**figures, **_tables(doc, section)})


def _tables(doc: Result, section: Section) -> dict[str, bytes]:
    """Return the tables of a section as files; empty ones are left out."""
    notes = {"study": doc.study, "command": doc.command}
    latex = {
        f"tables/{name}.tex": table_latex(table, f"{file_part(doc.study)}-{name}", notes)
        for name, table in section.latex.items()
        if table.rows
    }
    return {name: text.encode() for name, text in {**latex, **section.csv}.items()}


def _context(doc: Result, section: Section) -> dict[str, Any]:
    """Return what every page shows beside its section: head, provenance, how to make it again."""
    scripts, rules, headings = [asset(name) for name in section.scripts], style(), Headings()
    looked = [entry for game in doc.games for entry in looks(doc, game)]
    return {
        "doc": doc,
        "headings": headings,
        "heading": headings.heading,
        "swatches": {arm.name: look.css for arm, look in looked},
        "scripts": scripts,
        "style": rules,
        "policy": policy(scripts, rules),
        "answer": doc.summary,
        "intervals": [],
        "machines": machines_table(doc),
        "stages": tables.stages_table(doc),
        "provenance": prose.provenance_rows(doc),
        "config": prose.config_text(doc),
        "config_title": prose.config_title(doc),
        "config_differences": prose.config_differences(doc),
        "report_command": shlex.join(["diamond", "report", doc.study, *prose.home_flag(doc)]),
        **section.context,
    }


def _latex(context: Mapping[str, Any]) -> dict[str, Table]:
    """Return the tables of an ablation that are written as LaTeX, by their file names."""
    found: dict[str, Table] = {
        name: context[name] for name in ("claims", "comparisons", "exploratory", "noise", "hns")
    }
    for game in context["games"]:
        part = file_part(game["name"])
        for group in game["groups"]:
            found |= {f"{part}-{file_part(name)}": one for name, one in group["tables"].items()}
        if game["path"] is not None:
            found[f"{part}-path"] = game["path"]["table"]
        found |= {
            f"{part}-{name}": game[name]
            for name in (
                "overview",
                "returns",
                "players",
                "costs",
                "sharing",
                "controls",
                "survival",
                "off_data",
            )
        }
    return found


def _ablation_section(doc: Result, strips: Sequence[Strips], films: Sequence[Film]) -> Section:
    """Return what the page of an ablation shows of its own."""
    pictures, grids = pictures_of(doc, strips), [film_grid(one) for one in strips]
    shown = {player["game"]: player for player in players(doc, films)}
    games = [
        {
            "name": game,
            "overview": overview_table(doc, game),
            "curve": _curve(doc, game),
            "films": [grid for grid in grids if grid.game == game],
            "path": _path_section(doc, game),
            "groups": tables.metric_groups(doc, game),
            "returns": returns_table(doc, game),
            "players": players_table(doc, game),
            "costs": tables.costs_table(doc, game),
            "sharing": sharing_table(doc, game),
            "off_data": off_data_table(doc, game),
            "off_data_differences": off_data_differences(doc, game),
            "off_data_sentences": off_data_sentences(doc, game),
            "controls": control_table(doc, game),
            "control_sentences": control_sentences(doc, game),
            "survival": survival_table(doc, game),
            "survival_sentence": survival_sentence(doc, game) if survival_rows(doc, game) else "",
            "player": shown.get(game),
            "pictures": {
                role: [p for p in pictures if p.game == game and p.role == role] for role in ROLES
            },
        }
        for game in doc.games
    ]
    primary = next((one for one in doc.scored if one.name == doc.primary_metric), None)
    context = {
        "games": games,
        "of": lambda title, game: title if len(doc.games) == 1 else f"{title}: {game}",
        "primary": primary.label if primary else "",
        "intervals": [
            *prose.interval_sentences(doc),
            *(text for game in doc.games for text in prose.seen_sentences(doc, game)),
        ],
        "claims": claims_table(doc),
        "claims_sentences": claims_sentences(doc),
        "comparison_sentences": prose.comparison_sentences(doc),
        "comparisons": tables.comparison_table(doc),
        "forest": forest_rows(doc, tables.primary_pairs(doc)),
        "exploratory_sentence": prose.exploratory_sentence(doc),
        "exploratory": tables.exploratory_table(doc),
        "noise_sentences": prose.noise_sentences(doc),
        "noise": tables.noise_table(doc),
        "failures": doc.failures(),
        "return_labels": doc.return_labels(),
        "returns_sentences": returns_sentences(doc),
        "hns": tables.hns_table(doc),
        "cost_note": prose.COST_NOTE,
        "costs_sentence": prose.costs_sentence(doc),
        "sharing_sentence": sharing_sentence(doc),
        "why_absent": prose.why_absent(doc),
        "why_no_films": prose.why_no_films(doc),
        "why_not_compared": prose.why_not_compared(doc),
    }
    return Section("ablation", context, pictures, _latex(context), scripts=(TABLES, CURVE, PLAYER))


def _curve(doc: Result, game: str) -> PageCurve | None:
    """The curve of the primary metric, None where it has none."""
    if not any(info.name == doc.primary_metric for info in doc.scored):
        return None
    name = f"curve-{doc.games.index(game) + 1}"
    drawn = doc.has_curve(game, doc.primary_metric)
    return page_curve(doc, game, doc.primary_metric, name) if drawn else None


def _path_section(doc: Result, game: str) -> dict[str, Any] | None:
    if game not in doc.path:
        return None
    table = path_table(doc, game, doc.primary_metric)
    return {"table": table, "sentences": path_sentences(doc, game)}
