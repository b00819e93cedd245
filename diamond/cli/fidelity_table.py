"""The scores of one world model, or of pairs of frames, as a person reads them."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from diamond.report.document import (
    ABSENT,
    arms_of,
    better,
    estimate,
    level_text,
    metric_infos,
    number,
    real_estimate,
    shown_decimals,
    span,
)

MEAN = "mean"
REAL = "real frames"
ALWAYS_DEFINED = "l1"
"""A metric that is defined wherever there is a real frame."""


def fidelity_table(document: Mapping[str, Any]) -> Table:
    """Lay out metrics x time steps: under each metric the arm with its intervals, then baselines.

    Args:
        document: A result document of one arm, its baselines, and one game.
    """
    game = document["games"][0]
    steps = [str(step) for step in document["report_steps"]]
    arms = arms_of(document, game)
    table = Table(
        title=f"{game}: imagined frames against the real ones, {document['horizon']} time steps",
        box=None,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        title_justify="left",
    )
    table.add_column("")
    for step in (*steps, MEAN):
        table.add_column(step if step == MEAN else f"t={step}", justify="right", no_wrap=True)
    for info in metric_infos(document):
        rows = [[estimate(arm, info.name, at) for at in (*steps, MEAN)] for arm in arms]
        places = shown_decimals(info, [one.mean for row in rows for one in row if one])
        unit = f" [{info.unit}]" if info.unit else ""
        table.add_row(Text(f"{info.label}{unit}: {better(info)}", style="bold"))
        for arm, found in zip(arms, rows, strict=True):
            values = [Text(number(one.mean if one else None, places)) for one in found]
            if arm["kind"] == "arm":
                for text, one in zip(values, found, strict=True):
                    if one and one.lo is not None and one.hi is not None:
                        bounds = span(one.lo, one.hi, places).replace(" to ", "\n")
                        text.append(f"\n{bounds}", style="dim")
            table.add_row(f"  {arm['name']}", *values, style=_style(arm))
        real = [real_estimate(document, game, info.name, at) for at in (*steps, MEAN)]
        if any(real):
            values = [Text(number(one.mean if one else None, places)) for one in real]
            table.add_row(f"  {REAL}", *values, style="dim")
    return table


def fidelity_notes(document: Mapping[str, Any]) -> Iterator[str]:
    """Say what the intervals are, how many starts each number rests on, what is not defined."""
    game = document["games"][0]
    arm = arms_of(document, game, "arm")[0]
    if not arm["metrics"]:
        return
    interval = arm["interval"]
    if interval["n"] < 2:
        yield "one start: an interval is not defined"
    else:
        yield (
            f"below a value: the bounds of its {level_text([arm])} interval, {interval['method']}"
            "; it says nothing of training again"
        )
    steps = [str(step) for step in document["report_steps"]]
    counts = arm["metrics"][ALWAYS_DEFINED]
    yield f"starts with a real frame to compare with, of {interval['n']}: " + ", ".join(
        f"t={step}: {counts[step]['n']}" for step in steps
    )
    if counts[steps[-1]]["n"] == 0:
        yield f"no real episode lasts to t={steps[-1]}: what is {ABSENT} there is not defined"
    never = [
        info.name
        for info in metric_infos(document)
        if info.name in arm["metrics"] and estimate(arm, info.name, MEAN) is None
    ]
    if never:
        yield (
            f"not defined at any time step: {', '.join(never)}; docs/metrics.md says when a metric "
            "is, for instance where no pixel differs from the background"
        )


def _style(arm: Mapping[str, Any]) -> str:
    return "dim" if arm["kind"] == "baseline" else ""
