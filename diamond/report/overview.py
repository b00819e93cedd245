"""The table at the head of a page: what every arm and baseline is worth, a line each."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from diamond.config.player_names import PLAYERS, UnseeingPlayer
from diamond.findings.foundations import UNTRAINED_PRESET
from diamond.report.figures.survival_figure import survival_rows
from diamond.report.table import Cell, Row, Table, Tone
from diamond.results.arm_model import Arm, CostName
from diamond.results.best_arm import distance
from diamond.results.metric_model import Direction
from diamond.results.model import Result
from diamond.results.number_text import ABSENT, number, written
from diamond.results.values import MEAN

_METRICS = ("psnr", "foreground_iou", "cell_accuracy_changed", "ssim", "l1", "frozen")
"""Those beside the primary one; cells only where frames have them."""
_WORDS = {"foreground_iou": "IoU", "l1": "drift (L1)", "frozen": "motion (frozen frames)"}
_ARROWS: Mapping[Direction, str] = {
    "higher": " \N{UPWARDS ARROW}",
    "lower": " \N{DOWNWARDS ARROW}",
    "real": " (as real)",
    "none": "",
}
_COSTS: tuple[tuple[CostName, str, int], ...] = (
    ("ms_per_frame", "ms per frame", 1),
    ("denoiser_calls_per_frame", "NFE", 0),
)
_ALIKE: tuple[UnseeingPlayer, ...] = ("random", "random_held", "constant")
"""Players that know no policy and so play alike beside all arms."""


@dataclass(frozen=True)
class _Column:
    """A column: what it says of each row by name, and which values are good.

    Attributes:
        values: By name of the row; a row without one has a dash.
        cells: The same as text.
        real: The value of the real frames, for those that are to be near it.
        untrained: Values of what was not trained; an arm that is worse than one of them is grey.
    """

    title: str
    direction: Direction
    values: Mapping[str, float]
    cells: Mapping[str, Cell]
    real: float | None = None
    untrained: tuple[float, ...] = ()

    def loss(self, value: float) -> float:
        """How bad a value is; less is better, and all are alike where none is better."""
        return distance(value, self.direction, self.real) or 0.0


def overview_table(doc: Result, game: str) -> Table:
    """Return arms, untrained baselines and real frames against what decides between them.

    A column without a value is left out. The best arm of a column is strong, an arm that is worse
    there than something untrained is soft. A preset that learns nothing has no best arm.
    """
    arms = [arm for arm in doc.arms_of(game) if arm.kind == "arm"]
    others = [arm for arm in doc.arms_of(game) if arm.kind == "baseline"]
    columns = [column for column in _columns(doc, game, arms, others) if column.values]
    if not columns:
        return Table(_title(game), ("arm",), ())
    names = [arm.name for arm in arms if not arm.aa]
    best = [_best(column, names) if doc.preset != UNTRAINED_PRESET else set() for column in columns]
    rows = []
    if any(column.real is not None for column in columns):
        cells = tuple(column.cells.get(_REAL, Cell(ABSENT)) for column in columns)
        rows.append(Row(_REAL, "real", cells))
    for arm in arms:
        cells = tuple(
            _toned(column, arm.name, arm.name in winners)
            for column, winners in zip(columns, best, strict=True)
        )
        rows.append(Row(arm.name, "control" if arm.aa else "arm", cells))
    shown = {name for column in columns for name in column.values}
    for name in (*(arm.name for arm in others), *(PLAYERS[one] for one in _ALIKE)):
        if name in shown:
            cells = tuple(column.cells.get(name, Cell(ABSENT)) for column in columns)
            rows.append(Row(name, "baseline", cells))
    caption = _caption(columns, any(best))
    return Table(_title(game), ("arm", *(c.title for c in columns)), tuple(rows), caption)


_REAL = "real frames"


def _title(game: str) -> str:
    return f"Overview: {game}"


def _columns(doc: Result, game: str, arms: Sequence[Arm], others: Sequence[Arm]) -> list[_Column]:
    found = [
        _metric(doc, game, name, [*arms, *others])
        for name in dict.fromkeys((doc.primary_metric, *_METRICS))
        if any(info.name == name for info in doc.scored)
    ]
    return [*found, _lasts(doc, game), _return(arms), *(_cost(arms, *cost) for cost in _COSTS)]


def _metric(doc: Result, game: str, name: str, arms: Sequence[Arm]) -> _Column:
    """The mean over the horizon; of the primary metric with its interval."""
    info, real = doc.metric(name), doc.real(game, name, MEAN)
    known = {arm.name: found for arm in arms if (found := arm.estimate(name, MEAN))}
    is_primary = name == doc.primary_metric
    cells = {}
    for arm, one in known.items():
        text, bounds = written(one.mean, one.lo, one.hi)
        cells[arm] = Cell(text, bounds if is_primary else "")
    if real is not None:
        cells[_REAL] = Cell(written(real.mean, real.lo, real.hi).text)
    unit = f" [{info.unit}]" if info.unit else ""
    return _Column(
        _WORDS.get(name, info.label) + unit + _ARROWS[info.direction],
        info.direction,
        {arm: one.mean for arm, one in known.items()},
        cells,
        real.mean if real else None,
        tuple(known[arm.name].mean for arm in arms if arm.kind == "baseline" and arm.name in known),
    )


def _lasts(doc: Result, game: str) -> _Column:
    """The time step at which half of the starts have diverged."""
    rows = survival_rows(doc, game)
    medians = {name: math.inf if r.median is None else r.median for name, r in rows.items()}
    followed = {
        name: max(t for t, s in zip(r.steps, r.survival, strict=True) if s is not None)
        for name, r in rows.items()
    }
    cells = {
        name: Cell(f">{followed[name]}" if median == math.inf else f"{median:g}")
        for name, median in medians.items()
    }
    baselines = {arm.name for arm in doc.arms_of(game, "baseline")}
    untrained = tuple(median for name, median in medians.items() if name in baselines)
    return _Column("lasts until t \N{UPWARDS ARROW}", "higher", medians, cells, None, untrained)


def _return(arms: Sequence[Arm]) -> _Column:
    """The real return of each policy, and of players that look at no frame."""
    values: dict[str, float] = {}
    cells: dict[str, Cell] = {}
    for arm in arms:
        mean = arm.mean_return("mean")
        if mean is None:
            continue
        values[arm.name], cells[arm.name] = mean, Cell(*arm.written_return())
    players: dict[str, set[float]] = {}
    for player in _ALIKE:
        found = [one for arm in arms for one in arm.player_points(player)]
        players[PLAYERS[player]] = {one.mean for one in found}
        if len({one.mean for one in found}) == 1:  # where arms play alike
            name = PLAYERS[player]
            values[name] = found[0].mean
            cells[name] = Cell(written(found[0].mean, found[0].lo, found[0].hi).text)
    untrained = tuple(mean for means in players.values() for mean in means)
    return _Column("return \N{UPWARDS ARROW}", "higher", values, cells, None, untrained)


def _cost(arms: Sequence[Arm], name: CostName, title: str, places: int) -> _Column:
    values = {arm.name: cost for arm in arms if (cost := arm.mean_cost(name)) is not None}
    cells = {arm: Cell(number(cost, places)) for arm, cost in values.items()}
    return _Column(f"{title} \N{DOWNWARDS ARROW}", "lower", values, cells)


def _best(column: _Column, names: Sequence[str]) -> set[str]:
    """The arms of the best value as it is shown; none where all are alike or it is one arm."""
    losses = {name: column.loss(column.values[name]) for name in names if name in column.values}
    if not losses or column.direction == "none":
        return set()
    texts = {column.cells[name].text for name in losses}
    least = column.cells[min(losses, key=lambda name: losses[name])].text
    return (
        {name for name in losses if column.cells[name].text == least} if len(texts) > 1 else set()
    )


def _toned(column: _Column, name: str, is_best: bool) -> Cell:
    cell = column.cells.get(name)
    if cell is None:
        return Cell(ABSENT)
    loss = column.loss(column.values[name])
    is_worse = any(loss > column.loss(value) for value in column.untrained)
    tone: Tone = "strong" if is_best and not is_worse else "soft" if is_worse else ""
    mark = " \N{BLACK DIAMOND}" if is_best else ""
    return Cell(cell.text + mark, cell.detail, tone)


def _caption(columns: Sequence[_Column], any_best: bool) -> str:
    told = ["Means over the horizon; below a value its interval."]
    if any_best:
        told.append("\N{BLACK DIAMOND} the best arm.")
    if any(column.untrained for column in columns):
        told.append("Grey: something untrained is better there.")
    titles = " ".join(column.title for column in columns)
    if "as real" in titles:
        told.append("As real: the nearer to the real frames, the better.")
    if "lasts" in titles:
        told.append("Lasts until: half of the starts have drifted off by this time step.")
    if "NFE" in titles:
        told.append("NFE: calls of the network for a frame.")
    return " ".join(told)
