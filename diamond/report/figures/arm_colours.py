"""One colour for each arm, the same in plots, player and tables, whatever else a study holds."""

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Colour:
    """A colour on a light ground, and the one that stands for it on a dark ground."""

    light: str
    dark: str


PALETTE = (
    Colour("#0072b2", "#4ba6e8"),
    Colour("#e69f00", "#f9d24a"),
    Colour("#882255", "#d1568f"),
    Colour("#d55e00", "#ff8a3d"),
    Colour("#009e73", "#2fc79b"),
    Colour("#56b4e9", "#a5d8f7"),
    Colour("#332288", "#b0a2ff"),
    Colour("#cc79a7", "#e79ac4"),
)
"""Okabe and Ito's colours without black and yellow, and indigo and wine of Paul Tol's."""
GREYS = (Colour("#6b6b6b", "#a8adb3"), Colour("#a0a0a0", "#767c83"))
"""Of the baselines."""
_STEPS_AN_OCTAVE = 2


def places(names: Sequence[str]) -> dict[str, int]:
    """Give each arm of a study its place in `PALETTE`, beyond its end where there are more arms.

    The place comes from the name alone: a number has that of its size, two places an octave, so
    that 1, 2, 3, 5, 10 and 20 differ; a word has that of its checksum. Where two names of a study
    want one place, the shorter one has it, or the first by the alphabet, and the other goes to the
    next free one: an arm without a rival keeps its colour in every study.

    Args:
        names: Of arms, in any order.
    """
    found: dict[str, int] = {}
    late = []
    for name in sorted(dict.fromkeys(names), key=lambda name: (len(name), name)):
        place = _wanted(name)
        if place in found.values():
            late.append(name)
        else:
            found[name] = place
    for name in late:
        taken = set(found.values())
        size = len(PALETTE)
        turns = [(_wanted(name) + by) % size + size * turn for turn in range(len(names))
                 for by in range(size)]  # fmt: skip
        found[name] = next(place for place in turns if place not in taken)
    return found


def palette_css() -> str:
    """Return the colours as rules: `.arm-0` and so on, `.grey-0` and so on, set `--arm`."""
    named = [(f".arm-{i}", one) for i, one in enumerate(PALETTE)]
    named += [(f".grey-{i}", one) for i, one in enumerate(GREYS)]
    light = "".join(f"{name}{{--arm:{one.light}}}" for name, one in named)
    dark = "".join(f"{name}{{--arm:{one.dark}}}" for name, one in named)
    return f"{light}\n@media screen and (prefers-color-scheme: dark){{{dark}}}\n"


def _wanted(name: str) -> int:
    """The place that a name has where no other name wants it."""
    try:
        value = abs(float(name.rpartition("=")[2]))
    except ValueError:
        value = math.nan
    if 0 < value < math.inf:
        return round(_STEPS_AN_OCTAVE * math.log2(value)) % len(PALETTE)
    return zlib.crc32(name.encode()) % len(PALETTE)
