"""Figures inside the page: small SVG whose colours follow the light or dark scheme."""

import re
from collections import Counter
from itertools import pairwise
from urllib.parse import quote

from diamond.report.figures.arm_colours import GREYS, PALETTE
from diamond.report.figures.figure_style import GRID, INK, NOISE

PAGE_DARK = "#16181b"
"""Ground of the page in the dark scheme."""
_DARK = {
    "#ffffff": PAGE_DARK,
    "#000000": "#e6e6e6",
    INK: "#e6e6e6",
    GRID: "#33393f",
    NOISE: "#3d444b",
    **{colour.light: colour.dark for colour in (*PALETTE, *GREYS)},
}
_COORDINATES = re.compile(r"[ML] (-?[\d.]+) (-?[\d.]+)")
_POLYLINE = re.compile(r'd="((?:[ML] -?[\d.]+ -?[\d.]+\s*)+)(z?)\s*"')
_PLACES = re.compile(r'\b(?:d|x|y)="[^"]*"|translate\([^)]*\)')
_LONG_NUMBER = re.compile(r"(\d\.\d)\d+")
_STYLE = re.compile(r'\bstyle="([^"]*)"')
_MOVED = re.compile(r'(<use [^>]*)transform="translate\((-?[\d.]+) (-?[\d.]+)\)"')
_TENTHS = 10


def page_svg(svg: bytes) -> str:
    """Make a figure small and let its colours follow the scheme of the reader.

    Coordinates keep a tenth of a point; what is drawn does not change otherwise.

    Args:
        svg: A figure as matplotlib writes it, with text as outlines.

    Returns:
        The SVG document, without quotation marks.
    """
    text = svg.decode()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", text, flags=re.DOTALL)
    text = _POLYLINE.sub(_relative, text)
    text = _PLACES.sub(lambda found: _LONG_NUMBER.sub(r"\1", found[0]), text)
    text = _MOVED.sub(_placed, text)
    text = re.sub(r"\s*\n\s*", " ", text).replace("> <", "><")
    text = _without_idle_names(text)
    used = [colour for colour in _DARK if colour in text]
    for colour in used:
        text = text.replace(f": {colour}", f": var(--c{colour[1:]})")
    light = "".join(f"--c{colour[1:]}:{colour};" for colour in used)
    dark = "".join(f"--c{colour[1:]}:{_DARK[colour]};" for colour in used)
    text, classes = _with_classes(text)
    style = f":root{{{light}}}@media (prefers-color-scheme: dark){{:root{{{dark}}}}}{classes}"
    return text.replace("</style>", f"{style}</style>", 1).replace('"', "'")


def svg_uri(svg: str) -> str:
    """Return an SVG document without quotation marks as a link that carries its own data.

    It is for an attribute in quotation marks and needs no further escapes there.
    """
    return "data:image/svg+xml," + quote(svg, safe=" !$'()*+,-./:;<=>?@[]^_`{|}~")


def _without_idle_names(text: str) -> str:
    """Drop the names that nothing refers to and shorten the others."""
    names = list(dict.fromkeys(re.findall(r'[("]#([^")]+)[")]', text)))
    short = {name: f"n{index}" for index, name in enumerate(names)}
    text = re.sub(r' id="([^"]+)"', lambda m: f' id="{short[m[1]]}"' if m[1] in short else "", text)
    text = re.sub(r"#([^\s;\")]+)(?=[\")])", lambda m: f"#{short.get(m[1], m[1])}", text)
    return text.replace("xlink:href=", "href=")


def _placed(found: re.Match[str]) -> str:
    """Write where a letter stands as its place, which is shorter than as a transform."""
    up = f' y="{found[3]}"' if float(found[3]) else ""
    return f'{found[1]}x="{found[2]}"{up}'


def _with_classes(text: str) -> tuple[str, str]:
    """Give each style that is written more than once a class; return the text and the rules."""
    counts = Counter(_STYLE.findall(text))
    classes = {
        style: f"s{index}" for index, style in enumerate(s for s, n in counts.items() if n > 1)
    }
    rules = "".join(f".{name}{{{style}}}" for style, name in classes.items())
    return (
        _STYLE.sub(lambda m: f'class="{classes[m[1]]}"' if m[1] in classes else m[0], text),
        rules,
    )


def _relative(found: re.Match[str]) -> str:
    """Write the points of a line as steps from one to the next, in tenths of a point."""
    points = [
        (round(float(x) * _TENTHS), round(float(y) * _TENTHS))
        for x, y in _COORDINATES.findall(found[1])
    ]
    if found[1].count("M") != 1:
        return found[0]
    first = f"M{_tenths(points[0][0])} {_tenths(points[0][1])}"
    steps = "".join(
        f"{_tenths(x - px, sign=' ')}{_tenths(y - py, sign=' ')}"
        for (px, py), (x, y) in pairwise(points)
    )
    return f'd="{first}{"l" + steps.strip() if steps else ""}{found[2]}"'


def _tenths(value: int, sign: str = "") -> str:
    """Write tenths as a number in as few letters as can be, after `sign` where it has no minus."""
    whole = f"{value / _TENTHS:g}".replace("0.", ".", 1) if abs(value) < _TENTHS else None
    text = whole if whole is not None else f"{value / _TENTHS:g}"
    return text if text.startswith("-") else f"{sign}{text}"
