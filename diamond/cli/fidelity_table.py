"""The scores of one world model, or of pairs of frames, as a person reads them."""

from collections.abc import Iterator

from rich.table import Table
from rich.text import Text

from diamond.report.numbers import ABSENT, number, shown_decimals, span
from diamond.results.model import MEAN, Arm, Result, level_text

REAL = "real frames"
ALWAYS_DEFINED = "l1"
"""A metric that is defined wherever there is a real frame."""


def fidelity_table(doc: Result) -> Table:
    """Lay out metrics x time steps: under each metric the arm with its intervals, then baselines.

    Args:
        doc: A result of one arm, its baselines, and one game.
    """
    game = doc.games[0]
    steps = [str(step) for step in doc.report_steps]
    arms = doc.arms_of(game)
    table = Table(
        title=f"{game}: imagined frames against the real ones, {doc.horizon} time steps",
        box=None,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        title_justify="left",
    )
    table.add_column("")
    for step in (*steps, MEAN):
        table.add_column(step if step == MEAN else f"t={step}", justify="right", no_wrap=True)
    for info in doc.scored:
        rows = [[arm.estimate(info.name, at) for at in (*steps, MEAN)] for arm in arms]
        places = shown_decimals(info, [one.mean for row in rows for one in row if one])
        table.add_row(Text(f"{info.title}: {info.better}", style="bold"))
        for arm, found in zip(arms, rows, strict=True):
            values = [Text(number(one.mean if one else None, places)) for one in found]
            if arm.kind == "arm":
                for text, one in zip(values, found, strict=True):
                    if one and one.lo is not None and one.hi is not None:
                        bounds = span(one.lo, one.hi, places).replace(" to ", "\n")
                        text.append(f"\n{bounds}", style="dim")
            table.add_row(f"  {arm.name}", *values, style=_style(arm))
        real = [doc.real(game, info.name, at) for at in (*steps, MEAN)]
        if any(real):
            values = [Text(number(one.mean if one else None, places)) for one in real]
            table.add_row(f"  {REAL}", *values, style="dim")
    return table


def fidelity_notes(doc: Result) -> Iterator[str]:
    """Say what the intervals are, how many starts each number rests on, what is not defined."""
    game = doc.games[0]
    arm = doc.arms_of(game, "arm")[0]
    interval = arm.interval
    if interval is None:
        return
    if interval.n < 2:
        yield "one start: an interval is not defined"
    else:
        yield (
            f"below a value: the bounds of its {level_text([arm])} interval, {interval.method}"
            "; it says nothing of training again"
        )
    steps = [str(step) for step in doc.report_steps]
    drift = {step: arm.estimate(ALWAYS_DEFINED, step) for step in steps}
    counts = {step: 0 if found is None else found.n for step, found in drift.items()}
    yield f"starts with a real frame to compare with, of {interval.n}: " + ", ".join(
        f"t={step}: {count}" for step, count in counts.items()
    )
    if counts[steps[-1]] == 0:
        yield f"no real episode lasts to t={steps[-1]}: what is {ABSENT} there is not defined"
    never = [
        info.name
        for info in doc.scored
        if info.name in arm.metrics and arm.estimate(info.name, MEAN) is None
    ]
    if never:
        yield (
            f"not defined at any time step: {', '.join(never)}; docs/metrics.md says when a metric "
            "is, for instance where no pixel differs from the background"
        )


def _style(arm: Arm) -> str:
    return "dim" if arm.kind == "baseline" else ""
