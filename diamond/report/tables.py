"""The tables of the report as rows of text, the same for HTML and for Markdown."""

from typing import Any

from diamond.config.metric_definitions import DEFINITIONS
from diamond.report.numbers import counted
from diamond.report.table import Cell, Row, Table
from diamond.results.arm_model import Stage
from diamond.results.comparison_model import Comparison
from diamond.results.metric_model import Estimate, Metric
from diamond.results.model import Result
from diamond.results.number_text import ABSENT, number, p_text, signed, written
from diamond.results.returns_model import Points

QUESTIONS = {
    "objects": "Does it move when the game moves?",
    "frozen": "Does it move when the game moves?",
    "control": "Does it obey the actions?",
    "baselines": "Is it better than standing still?",
    "pixels": "Are the pixels right?",
    "cells": "Are the cells right?",
    "modes": "Is it sharp, and does it know every future?",
    "reward and end": "Does it see rewards and ends?",
    "policy": "Is it good enough for the policy?",
    "distribution": "Does it look like the game?",
    "packages": "What do metrics of other packages say?",
    "returns": "What does the policy earn?",
}
"""What the metrics of a group answer, in the order of the page."""
HNS_LABELS = {"mean": "mean", "median": "median", "iqm": "IQM", "optimality_gap": "optimality gap"}


def question(info: Metric) -> str:
    """Return the question that a metric answers."""
    return QUESTIONS.get(info.group, "Further metrics")


def metric_groups(doc: Result, game: str) -> list[dict[str, Any]]:
    """Return the tables of the measured metrics by the question that they answer.

    Returns:
        Per question ``name``, and ``tables`` by metric. The first group is the primary metric
        alone.
    """
    primary = doc.primary_metric
    order = list(dict.fromkeys(QUESTIONS.values()))
    found: dict[str, dict[str, Table]] = {}
    for info in sorted(doc.scored, key=lambda info: info.name != primary):
        table = _metric_table(doc, game, info)
        if table is not None:
            name = "primary metric" if info.name == primary else question(info)
            found.setdefault(name, {})[info.name] = table
    names = sorted(found, key=lambda name: order.index(name) if name in order else len(order))
    names.sort(key=lambda name: name != "primary metric")
    return [{"name": name, "tables": found[name]} for name in names]


def definition(info: Metric) -> str:
    """Say in a sentence what a metric is and where all of it stands; empty for a user's own."""
    found = DEFINITIONS.get(info.name)
    return f"{found.text} More: docs/metrics.md, {found.heading}." if found else ""


def _metric_table(doc: Result, game: str, info: Metric) -> Table | None:
    """Return the table of a metric, None where no arm has a value.

    A metric of a set has one value a run, and its table no time steps.
    """
    is_set = info.kind == "set"
    last = 0 if is_set else last_step(doc, game, info.name)
    steps = [] if is_set else [str(step) for step in doc.report_steps if step <= last]
    found = [[arm.estimate(info.name, at) for at in (*steps, "mean")] for arm in doc.arms_of(game)]
    rows = [
        Row(arm.name, arm.kind, tuple(estimate_cell(each) for each in row))
        for arm, row in zip(doc.arms_of(game), found, strict=True)
    ]
    rows = [row for row in rows if any(cell.text != ABSENT for cell in row.cells)]
    if not rows:
        return None
    real = [doc.real(game, info.name, at) for at in (*steps, "mean")]
    if any(real):
        cells = (estimate_cell(each) for each in real)
        rows.insert(0, Row("real frames", "real", tuple(cells)))
    mark = ", primary metric" if info.name == doc.primary_metric else ""
    over = "all frames" if is_set else f"mean of t=1..{last}"
    columns = ("arm", *(f"t={step}" for step in steps), over)
    title = f"{info.title}: {info.better}{mark}"
    return Table(title, columns, tuple(rows), caption=definition(info))


def last_step(doc: Result, game: str, metric: str) -> int:
    """Return the last time step at which any arm of a game has a value; the horizon without one.

    A metric of samples or of counterfactuals ends before the rollouts do.
    """
    curves = (arm.curve(metric, "mean") for arm in doc.arms_of(game))
    ends = (
        max((step for step, value in enumerate(curve, start=1) if value is not None), default=0)
        for curve in curves
    )
    return max(ends, default=0) or doc.horizon


def estimate_cell(found: Estimate | Points | None) -> Cell:
    """Return a mean with its interval below it; an absent one is a dash."""
    if found is None:
        return Cell(ABSENT)
    return Cell(*written(found.mean, found.lo, found.hi))


def primary_pairs(doc: Result) -> list[Comparison]:
    """Return the comparisons on the primary metric, in the order of their table.

    Controls and world models without training come last.
    """
    return [
        row
        for row in doc.comparisons
        if row.metric == doc.primary_metric
        and (row.difference is not None or row.family == "primary")
    ]


def comparison_table(doc: Result) -> Table:
    """Return every arm against the baseline arm on the primary metric, all games.

    What the document has nowhere (p values with one seed, more than one game) gets no column.
    Controls and world models without training have their own kind of row.
    """
    metric, pairs = doc.primary, primary_pairs(doc)
    has_t, has_p = (
        any(row.p_t is not None for row in pairs),
        any(row.p is not None for row in pairs),
    )
    columns = ["arm", *(["game"] if len(doc.games) > 1 else [])]
    columns += ["difference", "shows", "replicates"]
    columns += [*(["p (Holm)"] if has_t else []), *(["sign-flip p"] if has_p else [])]
    columns += ["within noise floor", "could show"] if has_t else []
    rows = tuple(_comparison_row(doc, pair, has_t, has_p) for pair in pairs)
    names = ", ".join(dict.fromkeys(pair.b for pair in pairs))
    return Table(f"{metric.label}: difference to {names}", tuple(columns), rows)


def _comparison_row(doc: Result, pair: Comparison, has_t: bool, has_p: bool) -> Row:
    cells = [Cell(pair.game)] if len(doc.games) > 1 else []
    cells += [
        difference_cell(pair),
        Cell(_shows(pair)),
        Cell(counted(pair.n, pair.unit)),
    ]
    if has_t:
        cells.append(Cell(p_text(pair.p_t_corrected)))
    if has_p:
        smallest = pair.p_min
        detail = "" if smallest is None else f"at least {p_text(smallest)}"
        cells.append(Cell(p_text(pair.p), detail))
    if has_t:
        within = {True: "yes", False: "no", None: ABSENT}[pair.within_noise]
        cells += [Cell(within), Cell(written(pair.detectable).text)]
    return Row(*_named(pair), tuple(cells))


def _shows(pair: Comparison) -> str:
    match pair.decision:
        case "shown":
            return "a difference"
        case "shown alone":
            return f"a difference alone, not across {pair.family_size}"
        case "not shown":
            return "no difference"
        case "undefined":
            return f"nothing ({pair.reason})"


def exploratory_table(doc: Result) -> Table:
    """Return the differences to the baseline arm on the other metrics: metrics x arms.

    A star marks a difference of an arm that is shown across all of them.
    """
    primary = doc.primary_metric
    pairs = [row for row in doc.comparisons if row.metric != primary]
    found = {(row.game, row.metric, row.a): row for row in pairs}
    arms = dict.fromkeys(_named(row)[0] for row in pairs)
    names = dict.fromkeys(row.a for row in pairs)
    several = len(doc.games) > 1
    rows = []
    for info in doc.scored:
        for game in dict.fromkeys(r.game for r in pairs if r.metric == info.name):
            line = [found.get((game, info.name, name)) for name in names]
            cells = [difference_cell(pair, _star(pair)) for pair in line]
            rows.append(Row(info.title, "arm", (*([Cell(game)] if several else []), *cells)))
    columns = ("metric", *(["game"] if several else []), *arms)
    return Table("Other metrics: differences, exploratory", columns, tuple(rows))


def _star(pair: Comparison | None) -> str:
    return "*" if pair and pair.family == "secondary" and pair.decision == "shown" else ""


def difference_cell(pair: Comparison | None, star: str = "") -> Cell:
    """Return a difference with its interval below it; an absent one is a dash."""
    if pair is None:
        return Cell(ABSENT)
    text, bounds = signed(pair.difference, pair.lo, pair.hi)
    return Cell(text + star, bounds)


def _named(pair: Comparison) -> tuple[str, str]:
    """Return the name of the row of a comparison and its kind."""
    match pair.family:
        case "control":
            return f"{pair.a} (A/A)", "control"
        case "reference":
            return pair.a, "baseline"
        case _:
            return pair.a, "arm"


def noise_table(doc: Result) -> Table:
    """Return the noise floor of each metric, the primary one first; empty where it is undefined."""
    found = [row for row in doc.noise_floor if row.reason is None]
    found.sort(key=lambda row: row.metric != doc.primary_metric)
    steps = [str(step) for step in doc.report_steps if step <= doc.horizon]
    several = len(doc.games) > 1
    rows = []
    for row in found:
        values = [row.at.get(at) for at in (*steps, "mean")]
        texts = (written(value).text for value in values)
        cells = (*([Cell(row.game)] if several else []), *(Cell(text) for text in texts))
        rows.append(Row(doc.metric(row.metric).label, "arm", cells))
    columns = ("metric", *(["game"] if several else []), *(f"t={step}" for step in steps), "mean")
    return Table("Noise floor", columns, tuple(rows))


def hns_table(doc: Result) -> Table:
    """Return human-normalised scores over games, one line an arm; empty where no arm has any."""
    rows = []
    for found in doc.hns:
        values = [found.aggregates[name] for name in HNS_LABELS]
        cells = [estimate_cell(value) for value in values]
        games = ", ".join(f"{game} {hns:.3f}" for game, hns in found.per_game.items())
        rows.append(Row(found.arm, "arm", (Cell(str(found.num_runs)), *cells, Cell(games))))
    columns = ("arm", "runs of each game", *HNS_LABELS.values(), "games")
    title = "Human-normalised scores over games"
    return Table(title, columns, tuple(rows), words=frozenset({"games"}))


def costs_table(doc: Result, game: str) -> Table:
    """Return what an imagined frame costs in each arm, as means over its runs."""
    rows = []
    for arm in doc.arms_of(game):
        calls = arm.mean_cost("denoiser_calls_per_frame")
        if calls is None:
            continue
        size = arm.mean_cost("num_parameters")
        cells = (
            Cell(f"{calls:g}"),
            Cell(number(arm.mean_cost("ms_per_frame"), 1)),
            Cell(number(arm.mean_cost("rollout_seconds"), 1)),
            Cell(ABSENT if size is None else f"{size:,.0f}"),
        )
        rows.append(Row(arm.name, arm.kind, cells))
    columns = ("arm", "network calls per frame", "ms per imagined frame", "rollouts [s]",
               "parameters")  # fmt: skip
    return Table(game, columns, tuple(rows))


def stages_table(doc: Result) -> Table:
    """Return every stage of every run: its key, and whether it was made or found done."""
    rows = []
    for arm in (*doc.arms, *doc.controls):
        for run in arm.runs:
            for stage, entry in run.stages.items():
                cells = (
                    Cell(arm.game),
                    Cell(str(run.seed)),
                    Cell(stage),
                    Cell(entry.key[:12]),
                    Cell(_origin(entry)),
                    Cell(number(entry.seconds, 1)),
                )
                rows.append(Row(arm.name, arm.kind, cells))
    columns = ("arm", "game", "seed", "stage", "key", "state", "seconds")
    return Table("Stages", columns, tuple(rows))


def _origin(entry: Stage) -> str:
    if entry.state != "done":
        return entry.state
    return "made" if entry.made else "found done"
