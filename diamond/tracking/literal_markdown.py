"""Text as Markdown that shows it as it is, for MLflow and for pages; tables are elsewhere."""

import re

_MARKUP = re.compile(r"([\\`*_\[\]|#~!])")
_LIST = re.compile(r"\A(\d*)([-+.)])(?=\s)")


def escape(text: str) -> str:
    """Escape what Markdown or the HTML inside it would read as markup, line breaks included."""
    text = re.sub(r"\s*\n\s*", " ", text)
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _LIST.sub(r"\1\\\2", _MARKUP.sub(r"\\\1", text))


def code(text: str) -> str:
    """Write text as code in a line, whatever back quotes it holds."""
    text = re.sub(r"\s*\n\s*", " ", text)
    fence = "`" * (longest_fence(text) + 1)
    room = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{room}{text}{room}{fence}"


def longest_fence(text: str) -> int:
    """Length of the longest run of back quotes in a text."""
    return max((len(run) for run in re.findall(r"`+", text)), default=0)
