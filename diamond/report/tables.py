"""The tables of the report as rows of text, the same for HTML and for Markdown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from diamond.report.document import (
    ABSENT,
    Arm,
    Document,
    arms_of,
    better,
    decimals,
    estimate,
    metric_info,
    metric_infos,
    number,
    real_estimate,
    run_mean,
    span,
    visible_decimals,
)

HNS_LABELS = {"mean": "mean", "median": "median", "iqm": "IQM", "optimality_gap": "optimality gap"}


@dataclass(frozen=True)
class Cell:
    """A value as text, with its interval or another detail below it."""

    text: str
    detail: str = ""


@dataclass(frozen=True)
class Row:
    """A line of a table; `kind` is arm, baseline or real and decides how strongly it is shown."""

    name: str
    kind: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Table:
    """A table with a title; the first column holds the names of the rows."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


def metric_tables(doc: Document, game: str) -> list[Table]:
    """Return a table for each measured metric, the primary one first: arms x (time steps, mean)."""
    primary = doc["primary_metric"]
    infos = sorted(metric_infos(doc), key=lambda info: info.name != primary)
    steps = [str(step) for step in doc["report_steps"] if step <= doc["horizon"]]
    tables = []
    for info in infos:
        rows = [_metric_row(arm, info.name, [*steps, "mean"]) for arm in arms_of(doc, game)]
        rows = [row for row in rows if any(cell.text != ABSENT for cell in row.cells)]
        if not rows:
            continue
        real = [real_estimate(doc, game, info.name, at) for at in (*steps, "mean")]
        if any(real):
            cells = (Cell(number(e.mean if e else None, decimals(info.name))) for e in real)
            rows.insert(0, Row("real frames", "real", tuple(cells)))
        unit = f" [{info.unit}]" if info.unit else ""
        mark = ", primary metric" if info.name == primary else ""
        columns = ("arm", *(f"t={step}" for step in steps), f"mean of t=1..{doc['horizon']}")
        tables.append(Table(f"{info.label}{unit}: {better(info)}{mark}", columns, tuple(rows)))
    return tables


def _metric_row(arm: Arm, metric: str, columns: Sequence[str]) -> Row:
    places = decimals(metric)
    cells = []
    for at in columns:
        found = estimate(arm, metric, at)
        cells.append(
            Cell(number(found.mean, places), span(found.lo, found.hi, places))
            if found
            else Cell(ABSENT)
        )
    return Row(arm["name"], arm["kind"], tuple(cells))


def comparison_table(doc: Document) -> Table:
    """Return the paired comparisons of all games; p values only where the document has any."""
    pairs = doc["comparisons"]
    columns = ["arms", "game", "metric", "difference", "shows", "replicates"]
    has_p = any(pair["p"] is not None for pair in pairs)
    columns += ["p", "p corrected"] if has_p else []
    rows = tuple(_comparison_row(doc, pair, has_p) for pair in pairs)
    return Table("Paired comparisons", tuple(columns), rows)


def _comparison_row(doc: Document, pair: Mapping[str, Any], has_p: bool) -> Row:
    info = metric_info(doc, pair["metric"])
    lo, hi = pair["lo"], pair["hi"]
    places = visible_decimals((pair["difference"], lo, hi), decimals(info.name))
    at = "mean" if str(pair["at"]) == "mean" else f"t={pair['at']}"
    cells = [
        Cell(pair["game"]),
        Cell(f"{info.label}, {at}"),
        Cell(number(pair["difference"], places), span(lo, hi, places)),
        Cell(_shown(lo, hi)),
        Cell(f"{pair['n']} {pair['unit']}{'s' if pair['n'] != 1 else ''}"),
    ]
    if has_p:
        smallest = pair["p_min"]
        detail = "" if smallest is None else f"at least {_p_text(smallest)}"
        cells += [Cell(_p_text(pair["p"]), detail), Cell(_p_text(pair["p_corrected"]))]
    return Row(f"{pair['a']} minus {pair['b']}", "arm", tuple(cells))


def _shown(lo: float | None, hi: float | None) -> str:
    if lo is None or hi is None:
        return "no interval, so nothing"
    return "a difference" if lo > 0 or hi < 0 else "no difference"


def _p_text(p: float | None) -> str:
    return ABSENT if p is None else f"{p:.3g}"


def returns_table(doc: Document, game: str) -> Table:
    """Return what each policy earned in the real game, one line a run, beside random play."""
    rows = []
    for arm in arms_of(doc, game, "arm"):
        for run in arm["runs"]:
            found = run.get("returns")
            if found:
                cells = (
                    Cell(str(run["seed"])),
                    Cell(number(found["mean"], 2), span(found.get("lo"), found.get("hi"), 2)),
                    Cell(number(found.get("random_mean"), 2)),
                    Cell(number(found.get("hns"), 3)),
                    Cell(str(found["n"])),
                )
                rows.append(Row(arm["name"], "arm", cells))
    columns = ("arm", "seed", "mean return", "random policy", "HNS", "episodes")
    return Table(game, columns, tuple(rows))


def hns_table(doc: Document) -> Table:
    """Return human-normalised scores over games, one line an arm; empty where no arm has any."""
    rows = []
    for found in doc.get("hns") or ():
        values = [found["aggregates"][name] for name in HNS_LABELS]
        cells = [Cell(number(v["value"], 3), span(v["lo"], v["hi"], 3)) for v in values]
        games = ", ".join(f"{game} {hns:.3f}" for game, hns in found["per_game"].items())
        rows.append(Row(found["arm"], "arm", (Cell(str(found["num_runs"])), *cells, Cell(games))))
    columns = ("arm", "runs of each game", *HNS_LABELS.values(), "games")
    return Table("Human-normalised scores over games", columns, tuple(rows))


def costs_table(doc: Document, game: str) -> Table:
    """Return what an imagined frame costs in each arm, as means over its runs."""
    rows = []
    for arm in arms_of(doc, game):
        calls = run_mean(arm, "costs", "denoiser_calls_per_frame")
        if calls is None:
            continue
        size = run_mean(arm, "costs", "num_parameters")
        cells = (
            Cell(f"{calls:g}"),
            Cell(number(run_mean(arm, "costs", "ms_per_frame"), 1)),
            Cell(number(run_mean(arm, "costs", "rollout_seconds"), 1)),
            Cell(ABSENT if size is None else f"{size:,.0f}"),
        )
        rows.append(Row(arm["name"], arm["kind"], cells))
    columns = ("arm", "denoiser calls per frame", "ms per imagined frame", "rollouts [s]",
               "parameters")  # fmt: skip
    return Table(game, columns, tuple(rows))


def stages_table(doc: Document) -> Table:
    """Return every stage of every run: its key, and whether it was made or found done."""
    rows = []
    for arm in doc["arms"]:
        for run in arm["runs"]:
            for stage, entry in run["stages"].items():
                seconds = entry.get("seconds")
                cells = (
                    Cell(arm["game"]),
                    Cell(str(run["seed"])),
                    Cell(stage),
                    Cell(str(entry["key"])[:12]),
                    Cell(_origin(entry)),
                    Cell(number(seconds, 1)),
                )
                rows.append(Row(arm["name"], arm["kind"], cells))
    columns = ("arm", "game", "seed", "stage", "key", "state", "seconds")
    return Table("Stages", columns, tuple(rows))


def _origin(entry: Arm) -> str:
    if entry["state"] != "done":
        return str(entry["state"])
    return "made" if entry["made"] else "found done"
