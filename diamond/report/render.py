"""What every page is made with: templates, their scripts and style, and whole files.

The content of a page is not here.
"""

import base64
import hashlib
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import jinja2
from markupsafe import Markup

from diamond.report import markdown
from diamond.report.figures.arm_colours import palette_css
from diamond.report.figures.pictures import Picture
from diamond.report.table import Table
from diamond.tracking.literal_markdown import code

STYLE = "page.css"
TABLES, PLAYER, CURVE = "tables.js", "player.js", "curve.js"
_TEMPLATES = jinja2.PackageLoader("diamond.report", "templates")


def asset(name: str) -> str:
    """Return the text of a file beside the templates."""
    return (resources.files("diamond.report") / "templates" / name).read_text(encoding="utf-8")


def style() -> str:
    """Return the style of every page, the colours of arms included."""
    return asset(STYLE) + palette_css()


class Headings:
    """The headings of a page in their order, each with an anchor of its own."""

    def __init__(self) -> None:
        self.shown: list[tuple[str, str]] = []
        self._names: set[str] = set()

    def heading(self, title: str, level: int = 2) -> Markup:
        """Return a heading as markup; those of level 2 are remembered for the contents."""
        base = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") or "part"
        names = (base, *(f"{base}-{number}" for number in range(2, len(self._names) + 3)))
        name = next(name for name in names if name not in self._names)
        self._names.add(name)
        if level == 2:
            self.shown.append((name, title))
        link = Markup('<a class="anchor" href="#{0}" aria-label="link to this part">#</a>')
        return Markup('<h{0} id="{1}">{2} {3}</h{0}>').format(level, name, title, link.format(name))


def without_homes(home: str | None) -> Callable[[object], object]:
    """Return what takes the folders of whoever made a page out of a text.

    The home of runs is named as from the folder that it is in, the folder of the user is `~`.

    Args:
        home: The home of runs; None and a relative one stay as they are.
    """
    folders = [(path, name) for path, name in ((Path(home or "."), ""), (Path.home(), "~"))
               if path.is_absolute() and path.name]  # fmt: skip
    # Not inside of base64, where a slash is a digit like any other.
    said = [
        (re.compile(rf"(?:(?<![\w+/=.])|(?<=///)){re.escape(str(path))}(?![\w+=.-])"),
         name or path.name)
        for path, name in folders
    ]  # fmt: skip

    def hidden(value: object) -> object:
        if isinstance(value, str):
            for path, name in said:
                value = type(value)(name.join(path.split(value)))
        return value

    return hidden


def policy(scripts: Sequence[str], style: str) -> str:
    """Return the content security policy: these very scripts and this style, and nothing else."""

    def source(text: str) -> str:
        digest = hashlib.sha256(text.encode()).digest()
        return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"

    allowed = " ".join(source(text) for text in scripts)
    return f"default-src 'none'; img-src data:; style-src {source(style)}; script-src {allowed}"


def html_templates(shown: Callable[[object], object]) -> jinja2.Environment:
    """Return the templates of pages, which escape every value.

    Args:
        shown: What is shown of a value, as `without_homes` returns it.
    """
    return jinja2.Environment(
        loader=_TEMPLATES,
        autoescape=True,
        finalize=shown,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def markdown_templates(shown: Callable[[object], object]) -> jinja2.Environment:
    """Return the templates of Markdown, which escape every value in the manner of Markdown.

    Args:
        shown: As that of `html_templates`.
    """
    environment = jinja2.Environment(
        loader=_TEMPLATES,
        autoescape=False,  # noqa: S701 - Markdown has its own escape, below
        finalize=lambda value: markdown.escape(shown(value)),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "table": markdown.table,
        "fenced": markdown.fenced,
        "path": markdown.Verbatim,
        "code": lambda text: markdown.Verbatim(code(text)),
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
