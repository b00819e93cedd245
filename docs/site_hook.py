"""Pages of the repository outside docs/ that the docs link to, as pages of the site.

A linked page, report or picture is taken into the site at its place in the repository. There is no
public address for other files (code, declarations): on the site such a link is the file's path.
A link that leads nowhere stays as it is, and `mkdocs build --strict` refuses it.
"""

import os
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
FIRST = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")
SHOWN = {".md", ".html", ".png", ".gif", ".webp", ".svg"}
LINK = re.compile(
    r"(?P<head>!?\[(?P<text>[^]]*)\])\((?P<path>(?!\w+:|#)[^)#\s]+)(?P<anchor>#[^)]*)?\)"
)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that stand outside docs/, and what they link to."""
    waiting = [ROOT / name for name in FIRST]
    waiting += [DOCS / file.src_uri for file in files.documentation_pages()]
    seen = set(waiting)
    for path in waiting:
        if not path.is_relative_to(DOCS):
            files.append(File.generated(config, _place(path), abs_src_path=str(path)))
        if path.suffix == ".md":
            text = path.read_text(encoding="utf-8")
            found = [_target(path, match["path"]) for match in LINK.finditer(text)]
            for one in found:
                if one not in seen and one.suffix in SHOWN and one.is_file():
                    seen.add(one)
                    waiting.append(one)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links as the site has them."""
    source = Path(page.file.abs_src_path or "")
    here = Path(page.file.src_uri).parent

    def rewritten(match: re.Match[str]) -> str:
        target = _target(source, match["path"])
        if not target.exists():
            return match[0]
        place = _place(target)
        if files.get_file_from_path(place) is None:
            return f"{match['text']} (`{place}`)"
        return f"{match['head']}({os.path.relpath(place, here)}{match['anchor'] or ''})"

    return LINK.sub(rewritten, markdown)


def _target(source: Path, path: str) -> Path:
    return Path(os.path.normpath(source.parent / path))


def _place(path: Path) -> str:
    """Where a file stands in the site."""
    return path.relative_to(DOCS if path.is_relative_to(DOCS) else ROOT).as_posix()
