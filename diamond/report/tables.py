"""The tables of the report as rows of text, the same for HTML and for Markdown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from diamond.config.metrics import is_set
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
    """A line of a table; `kind` (arm, control, baseline, real) decides how strongly it is shown."""

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
        whole = is_set(info.name)
        at_steps = [] if whole else steps
        rows = [_metric_row(arm, info.name, [*at_steps, "mean"]) for arm in arms_of(doc, game)]
        rows = [row for row in rows if any(cell.text != ABSENT for cell in row.cells)]
        if not rows:
            continue
        real = [real_estimate(doc, game, info.name, at) for at in (*at_steps, "mean")]
        if any(real):
            cells = (Cell(number(e.mean if e else None, decimals(info.name))) for e in real)
            rows.insert(0, Row("real frames", "real", tuple(cells)))
        unit = f" [{info.unit}]" if info.unit else ""
        mark = ", primary metric" if info.name == primary else ""
        over = "all frames" if whole else f"mean of t=1..{doc['horizon']}"
        columns = ("arm", *(f"t={step}" for step in at_steps), over)
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


SHOWS = {
    "shown": "a difference",
    "shown alone": "a difference alone, not across {family_size}",
    "not shown": "no difference",
    "undefined": "nothing ({reason})",
}


def comparison_table(doc: Document) -> Table:
    """Return every arm against the baseline arm on the primary metric, all games.

    What the document has nowhere (p values with one seed, more than one game) gets no column.
    Controls and world models without training come last, with their own kind of row.
    """
    metric = metric_info(doc, doc["primary_metric"])
    pairs = [
        row
        for row in doc["comparisons"]
        if row["metric"] == metric.name
        and (row["difference"] is not None or row["family"] == "primary")
    ]
    has = {name: any(row[name] is not None for row in pairs) for name in ("p_t", "p")}
    columns = ["arm", *(["game"] if len(doc["games"]) > 1 else [])]
    columns += ["difference", "shows", "replicates"]
    columns += [*(["p (Holm)"] if has["p_t"] else []), *(["sign-flip p"] if has["p"] else [])]
    columns += ["within noise floor", "could show"] if has["p_t"] else []
    rows = tuple(_comparison_row(doc, pair, has) for pair in pairs)
    names = ", ".join(dict.fromkeys(f"{pair['b']}" for pair in pairs))
    return Table(f"{metric.label}: difference to {names}", tuple(columns), rows)


def _comparison_row(doc: Document, pair: Mapping[str, Any], has: Mapping[str, bool]) -> Row:
    places = decimals(pair["metric"])
    cells = [Cell(pair["game"])] if len(doc["games"]) > 1 else []
    cells += [
        _difference_cell(pair, places),
        Cell(SHOWS[pair["decision"]].format_map(pair)),
        Cell(f"{pair['n']} {pair['unit']}{'s' if pair['n'] != 1 else ''}"),
    ]
    if has["p_t"]:
        cells.append(Cell(_p_text(pair["p_t_corrected"])))
    if has["p"]:
        smallest = pair["p_min"]
        detail = "" if smallest is None else f"at least {_p_text(smallest)}"
        cells.append(Cell(_p_text(pair["p"]), detail))
    if has["p_t"]:
        within = {True: "yes", False: "no", None: ABSENT}[pair["within_noise"]]
        places = visible_decimals((pair["detectable"],), places)
        cells += [Cell(within), Cell(number(pair["detectable"], places))]
    return Row(*_named(pair), tuple(cells))


def exploratory_table(doc: Document) -> Table:
    """Return the differences to the baseline arm on the other metrics: arms x metrics.

    A star marks a difference of an arm that is shown across all of them.
    """
    primary = doc["primary_metric"]
    rows = [row for row in doc["comparisons"] if row["metric"] != primary]
    infos = [i for i in metric_infos(doc) if any(row["metric"] == i.name for row in rows)]
    found = {(row["game"], row["a"], row["metric"]): row for row in rows}
    several = len(doc["games"]) > 1
    lines = []
    for game, name in dict.fromkeys((row["game"], row["a"]) for row in rows):
        pairs = [found.get((game, name, info.name)) for info in infos]
        cells = [
            _difference_cell(pair, decimals(info.name), _star(pair)) if pair else Cell(ABSENT)
            for pair, info in zip(pairs, infos, strict=True)
        ]
        shown = next(pair for pair in pairs if pair)
        lines.append(Row(*_named(shown), (*([Cell(game)] if several else []), *cells)))
    labels = [f"{info.label}{f' [{info.unit}]' if info.unit else ''}" for info in infos]
    columns = ("arm", *(["game"] if several else []), *labels)
    return Table("Other metrics: differences, exploratory", columns, tuple(lines))


def _star(pair: Mapping[str, Any]) -> str:
    return "*" if pair["family"] == "secondary" and pair["decision"] == "shown" else ""


def _difference_cell(pair: Mapping[str, Any], places: int, star: str = "") -> Cell:
    places = visible_decimals((pair["difference"], pair["lo"], pair["hi"]), places)
    return Cell(number(pair["difference"], places) + star, span(pair["lo"], pair["hi"], places))


def _named(pair: Mapping[str, Any]) -> tuple[str, str]:
    """Return the name of the row of a comparison and its kind."""
    match pair["family"]:
        case "control":
            return f"{pair['a']} (A/A)", "control"
        case "reference":
            return str(pair["a"]), "baseline"
        case _:
            return str(pair["a"]), "arm"


def noise_table(doc: Document) -> Table:
    """Return the noise floor of each metric, the primary one first; empty where it is undefined."""
    found = [row for row in doc.get("noise_floor") or () if row["reason"] is None]
    found.sort(key=lambda row: row["metric"] != doc["primary_metric"])
    steps = [str(step) for step in doc["report_steps"] if step <= doc["horizon"]]
    several = len(doc["games"]) > 1
    rows = []
    for row in found:
        places = decimals(row["metric"])
        texts = (number(row["at"].get(at), places) for at in (*steps, "mean"))
        cells = (*([Cell(row["game"])] if several else []), *(Cell(text) for text in texts))
        rows.append(Row(metric_info(doc, row["metric"]).label, "arm", cells))
    over = f"mean of t=1..{doc['horizon']}"
    columns = ("metric", *(["game"] if several else []), *(f"t={step}" for step in steps), over)
    return Table("Noise floor", columns, tuple(rows))


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
