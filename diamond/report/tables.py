"""The tables of the report as rows of text, the same for HTML and for Markdown."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from diamond.report.document import (
    ABSENT,
    Arm,
    Document,
    Estimate,
    MetricInfo,
    arms_of,
    better,
    decimals,
    estimate,
    metric_info,
    metric_infos,
    number,
    real_estimate,
    run_mean,
    shown_decimals,
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


def metric_groups(doc: Document, game: str) -> list[dict[str, Any]]:
    """Return the tables of the measured metrics by what they are about.

    Args:
        doc: The result document.
        game: One of its games.

    Returns:
        Per group ``name`` (empty where the document names none), and ``tables`` by metric. The
        first group is the primary metric alone.
    """
    primary = doc["primary_metric"]
    found: dict[str, dict[str, Table]] = {}
    for info in sorted(metric_infos(doc), key=lambda info: info.name != primary):
        table = _metric_table(doc, game, info)
        if table is not None:
            name = "primary metric" if info.name == primary else info.group
            found.setdefault(name, {})[info.name] = table
    return [{"name": name, "tables": members} for name, members in found.items()]


def metric_tables(doc: Document, game: str) -> list[Table]:
    """Return a table for each measured metric, the primary one first: arms x (time steps, mean)."""
    return [table for group in metric_groups(doc, game) for table in group["tables"].values()]


def _metric_table(doc: Document, game: str, info: MetricInfo) -> Table | None:
    """Return the table of a metric, None where no arm has a value.

    A metric of a set has one value a run, and its table no time steps.
    """
    is_set = info.kind == "set"
    steps = [] if is_set else [str(step) for step in doc["report_steps"] if step <= doc["horizon"]]
    found = [
        [estimate(arm, info.name, at) for at in (*steps, "mean")] for arm in arms_of(doc, game)
    ]
    places = shown_decimals(info, [each.mean for row in found for each in row if each])
    rows = [
        Row(arm["name"], arm["kind"], tuple(_estimate_cell(each, places) for each in row))
        for arm, row in zip(arms_of(doc, game), found, strict=True)
    ]
    rows = [row for row in rows if any(cell.text != ABSENT for cell in row.cells)]
    if not rows:
        return None
    real = [real_estimate(doc, game, info.name, at) for at in (*steps, "mean")]
    if any(real):
        cells = (Cell(number(each.mean if each else None, places)) for each in real)
        rows.insert(0, Row("real frames", "real", tuple(cells)))
    unit = f" [{info.unit}]" if info.unit else ""
    mark = ", primary metric" if info.name == doc["primary_metric"] else ""
    over = "all frames" if is_set else f"mean of t=1..{doc['horizon']}"
    columns = ("arm", *(f"t={step}" for step in steps), over)
    return Table(f"{info.label}{unit}: {better(info)}{mark}", columns, tuple(rows))


def _estimate_cell(found: Estimate | None, places: int) -> Cell:
    if found is None:
        return Cell(ABSENT)
    return Cell(number(found.mean, places), span(found.lo, found.hi, places))


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
    """Return the differences to the baseline arm on the other metrics: metrics x arms.

    A star marks a difference of an arm that is shown across all of them.
    """
    primary = doc["primary_metric"]
    pairs = [row for row in doc["comparisons"] if row["metric"] != primary]
    found = {(row["game"], row["metric"], row["a"]): row for row in pairs}
    arms = dict.fromkeys(_named(row)[0] for row in pairs)
    names = dict.fromkeys(row["a"] for row in pairs)
    several = len(doc["games"]) > 1
    rows = []
    for info in metric_infos(doc):
        for game in dict.fromkeys(r["game"] for r in pairs if r["metric"] == info.name):
            line = [found.get((game, info.name, name)) for name in names]
            cells = [
                _difference_cell(pair, decimals(info.name), _star(pair)) if pair else Cell(ABSENT)
                for pair in line
            ]
            label = f"{info.label}{f' [{info.unit}]' if info.unit else ''}"
            rows.append(Row(label, "arm", (*([Cell(game)] if several else []), *cells)))
    columns = ("metric", *(["game"] if several else []), *arms)
    return Table("Other metrics: differences, exploratory", columns, tuple(rows))


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
        values = [row["at"].get(at) for at in (*steps, "mean")]
        places = shown_decimals(metric_info(doc, row["metric"]), values)
        texts = (number(value, places) for value in values)
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
