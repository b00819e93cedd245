"""The report of a study as files: a self-contained HTML page, Markdown and pictures."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from diamond.report import prose, tables
from diamond.report.claim_tables import claims_sentences, claims_table
from diamond.report.controls import control_sentences, control_table
from diamond.report.figures.pictures import ROLES, file_part, pictures_of
from diamond.report.figures.strips import Strips
from diamond.report.figures.survival_figure import survival_rows, survival_sentence, survival_table
from diamond.report.latex import table_latex
from diamond.report.off_data import off_data_differences, off_data_sentences, off_data_table
from diamond.report.path_tables import path_sentences, path_table
from diamond.report.player import players
from diamond.report.render import (
    PLAYER,
    STYLE,
    TABLES,
    ReportPaths,
    Section,
    asset,
    html_templates,
    markdown_templates,
    policy,
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
    page = (
        html_templates()
        .get_template("report.html.j2")
        .render(context, section=f"{section.name}.html.j2")
    )
    text = (
        markdown_templates()
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
    scripts, style = [asset(name) for name in section.scripts], asset(STYLE)
    return {
        "doc": doc,
        "scripts": scripts,
        "style": style,
        "policy": policy(scripts, style),
        "answer": doc.summary,
        "intervals": [],
        "stages": tables.stages_table(doc),
        "provenance": prose.provenance_rows(doc),
        "config": prose.config_text(doc),
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
    pictures = pictures_of(doc, strips)
    shown = {player["game"]: player for player in players(doc, films)}
    games = [
        {
            "name": game,
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
    context = {
        "games": games,
        "intervals": [
            *prose.interval_sentences(doc),
            *(text for game in doc.games for text in prose.seen_sentences(doc, game)),
        ],
        "claims": claims_table(doc),
        "claims_sentences": claims_sentences(doc),
        "comparison_sentences": prose.comparison_sentences(doc),
        "comparisons": tables.comparison_table(doc),
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
        "config_title": "Resolved configuration",
        "why_absent": prose.why_absent(doc),
        "why_no_films": prose.why_no_films(doc),
        "why_not_compared": prose.why_not_compared(doc),
    }
    return Section("ablation", context, pictures, _latex(context), scripts=(TABLES, PLAYER))


def _path_section(doc: Result, game: str) -> dict[str, Any] | None:
    if game not in doc.path:
        return None
    table = path_table(doc, game, doc.primary_metric)
    return {"table": table, "sentences": path_sentences(doc, game)}
