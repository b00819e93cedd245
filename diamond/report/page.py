"""The report of a study as files: a self-contained HTML page, Markdown and pictures."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from diamond.report import prose, tables
from diamond.report.claims import claims_sentences, claims_table
from diamond.report.controls import control_sentences, control_table
from diamond.report.latex import table_latex
from diamond.report.off_data import off_data_differences, off_data_sentences, off_data_table
from diamond.report.path_tables import path_sentences, path_table
from diamond.report.pictures import ROLES, Picture, file_part, pictures_of
from diamond.report.player import players
from diamond.report.render import (
    STYLE,
    ReportPaths,
    asset,
    html_templates,
    markdown_templates,
    policy,
    write_files,
)
from diamond.report.return_tables import players_table, returns_sentences, returns_table
from diamond.report.sharing import sharing_sentence, sharing_table
from diamond.report.strips import Strips
from diamond.report.summary import summarise
from diamond.report.survival import survival_rows, survival_sentence, survival_table
from diamond.report.table import Table
from diamond.results.model import Result
from diamond.studies.compared_frames import Film

_SCRIPTS = ("tables.js", "player.js")


def write_report(
    doc: Result, strips: Sequence[Strips], folder: Path, films: Sequence[Film] = ()
) -> ReportPaths:
    """Write the report of a study; each file appears whole or not at all.

    Sections without data are left out, and the page says why.

    Args:
        doc: The result document; where its ``summary`` is empty, the sentence is made here.
        strips: Film strips to show, in this order.
        folder: Folder of the report, made if absent; the pictures go to ``figures`` inside it, the
            LaTeX tables to ``tables``.
        films: Frames for the player; without any there is none.

    Returns:
        The paths of what was written.
    """
    pictures = pictures_of(doc, strips)
    context = _context(doc, pictures, films)
    page = html_templates().get_template("report.html.j2").render(context)
    text = markdown_templates().get_template("report.md.j2").render(context)
    latex = {name: data.encode() for name, data in _latex(doc, context).items()}
    figures = {name: data for picture in pictures for name, data in picture.files.items()}
    return write_files(folder, page, text, {**figures, **latex})


def _latex(doc: Result, context: Mapping[str, Any]) -> dict[str, str]:
    """Return the LaTeX tables of the report by their file names; empty ones are left out."""
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
    notes = {"study": doc.study, "command": doc.command}
    return {
        f"tables/{name}.tex": table_latex(table, f"{file_part(doc.study)}-{name}", notes)
        for name, table in found.items()
        if table.rows
    }


def _context(doc: Result, pictures: Sequence[Picture], films: Sequence[Film]) -> dict[str, Any]:
    """Return everything that the templates show; they choose only the order and the markup."""
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
    scripts = [asset(name) for name in _SCRIPTS]
    style = asset(STYLE)
    return {
        "doc": doc,
        "games": games,
        "scripts": scripts,
        "style": style,
        "policy": policy(scripts, style),
        "answer": doc.summary or summarise(doc),
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
        "stages": tables.stages_table(doc),
        "provenance": prose.provenance_rows(doc),
        "config": prose.config_text(doc),
        "why_absent": prose.why_absent(doc),
        "why_no_films": prose.why_no_films(doc),
        "report_command": shlex.join(["diamond", "report", doc.study, *prose.home_flag(doc)]),
        "why_not_compared": prose.why_not_compared(doc),
    }


def _path_section(doc: Result, game: str) -> dict[str, Any] | None:
    if game not in doc.path:
        return None
    table = path_table(doc, game, doc.primary_metric)
    return {"table": table, "sentences": path_sentences(doc, game)}
