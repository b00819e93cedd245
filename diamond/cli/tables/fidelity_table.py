"""The scores of one world model, or of pairs of frames, as a person reads them."""

from collections.abc import Iterator

from diamond.report.prose import seen_sentences
from diamond.report.table import Cell, Row, Table
from diamond.results.arm_model import level_text
from diamond.results.metric_model import Estimate
from diamond.results.model import Result
from diamond.results.number_text import ABSENT, written
from diamond.results.values import MEAN

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
    rows = []
    for info in doc.scored:
        found = [[arm.estimate(info.name, at) for at in (*steps, MEAN)] for arm in arms]
        rows.append(Row(f"{info.title}: {info.better}", "head", ()))
        for arm, row in zip(arms, found, strict=True):
            cells = (_cell(one, arm.kind == "arm") for one in row)
            rows.append(Row(f"  {arm.name}", arm.kind, tuple(cells)))
        real = [doc.real(game, info.name, at) for at in (*steps, MEAN)]
        if any(real):
            cells = (_cell(one, has_bounds=False) for one in real)
            rows.append(Row(f"  {REAL}", "real", tuple(cells)))
    title = f"{game}: imagined frames against the real ones, {doc.horizon} time steps"
    return Table(title, ("", *(f"t={step}" for step in steps), MEAN), tuple(rows))


def _cell(found: Estimate | None, has_bounds: bool) -> Cell:
    """A value, and below it one bound of its interval in a line."""
    if found is None:
        return Cell(ABSENT)
    text, bounds = written(found.mean, found.lo, found.hi)
    return Cell(text, bounds.replace(" to ", "\n") if has_bounds else "")


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
    yield from seen_sentences(doc, game)
    if never:
        yield (
            f"not defined at any time step: {', '.join(never)}; docs/metrics.md says when a metric "
            "is, for instance where no pixel differs from the background"
        )
