"""What every page is made with: templates, their scripts and style, and whole files.

The content of a page is not here.
"""

import base64
import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import jinja2

from diamond.report import markdown
from diamond.report.figures.pictures import Picture
from diamond.report.table import Table

STYLE = "page.css"
"""The style of every page, for `asset`."""
TABLES, PLAYER = "tables.js", "player.js"
_TEMPLATES = jinja2.PackageLoader("diamond.report", "templates")


def asset(name: str) -> str:
    """Return the text of a file beside the templates."""
    return (resources.files("diamond.report") / "templates" / name).read_text(encoding="utf-8")


def policy(scripts: Sequence[str], style: str) -> str:
    """Return the content security policy: these very scripts and this style, and nothing else."""

    def source(text: str) -> str:
        digest = hashlib.sha256(text.encode()).digest()
        return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"

    allowed = " ".join(source(text) for text in scripts)
    return f"default-src 'none'; img-src data:; style-src {source(style)}; script-src {allowed}"


def html_templates() -> jinja2.Environment:
    """Return the templates of pages, which escape every value."""
    return jinja2.Environment(
        loader=_TEMPLATES,
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def markdown_templates() -> jinja2.Environment:
    """Return the templates of Markdown, which escape every value in the manner of Markdown."""
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


@dataclass(frozen=True)
class Section:
    """What a page shows of its own between its head and its provenance.

    Attributes:
        name: Of its templates.
        context: What these show; they choose only the order and the markup.
        pictures: Drawn already.
        latex: Tables that are written as LaTeX, by the name of the file.
        csv: Tables as CSV, by the path of the file.
        scripts: That the page needs.
    """

    name: Literal["ablation", "search"]
    context: Mapping[str, Any]
    pictures: Sequence[Picture]
    latex: Mapping[str, Table]
    csv: Mapping[str, str] = field(default_factory=dict)
    scripts: tuple[str, ...] = (TABLES,)


@dataclass(frozen=True)
class ReportPaths:
    """A report as written: the page, its Markdown, pictures, tables, and SHA-256 by file name."""

    html: Path
    markdown: Path
    figures: tuple[Path, ...]
    tables: tuple[Path, ...]
    digests: Mapping[str, str]


def write_files(folder: Path, page: str, text: str, others: Mapping[str, bytes]) -> ReportPaths:
    """Write a report; each file appears whole or not at all.

    Args:
        folder: Its folder, made if absent.
        page: The page, in HTML.
        text: The page, in Markdown.
        others: Files in the folders ``figures`` and ``tables``, by name.
    """
    files = {**others, "report.html": page.encode(), "report.md": text.encode()}
    paths = {name: _write_whole(folder / name, data) for name, data in files.items()}
    return ReportPaths(
        html=paths["report.html"],
        markdown=paths["report.md"],
        figures=tuple(path for name, path in paths.items() if name.startswith("figures/")),
        tables=tuple(path for name, path in paths.items() if name.startswith("tables/")),
        digests={name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
    )


def _write_whole(path: Path, data: bytes) -> Path:
    """Write a file under a temporary name beside its place, then rename it; return the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path
