"""What the tracking store shows of a study as text: where to look, the answer, the tables.

MLflow shows the first five lines of it or so, and fades what follows until it is asked for more.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from diamond.engine.declaration_timing import verdict_text
from diamond.results.arm_model import Arm
from diamond.results.comparison_model import Decision
from diamond.results.metric_model import Estimate
from diamond.results.model import Result
from diamond.results.number_text import ABSENT, Written, signed, written
from diamond.results.search import Search
from diamond.results.values import MEAN
from diamond.tracking.literal_markdown import code, escape
from diamond.tracking.mlflow_links import artifact_link, charts_link, curves_link, run_link

REPORT = "report.html"
_NEW_LINE = "  \n"
_DECISIONS: Mapping[Decision, str] = {
    "shown": "a difference is shown",
    "shown alone": "a difference, but not once corrected for all arms",
    "not shown": "none is shown",
    "undefined": "nothing can be told",
}


@dataclass(frozen=True)
class Shown:
    """What of a study is in the tracking store.

    Attributes:
        study_id: Its parent run.
        compared: Ids of the runs that stand for arms, baselines and real frames, by game.
        files: Names of the files that are uploaded, folders included.
    """

    experiment_id: str
    study_id: str
    compared: Mapping[str, Sequence[str]]
    files: frozenset[str]

    @property
    def study(self) -> tuple[str, str]:
        """The experiment and the run of the study."""
        return self.experiment_id, self.study_id


def study_links(result: Result, shown: Shown) -> dict[str, str]:
    """Where the answer, the curves of the primary metric and the report are, in MLflow's pages."""
    links = {"answer": run_link(*shown.study)}
    if REPORT in shown.files:
        links["report"] = artifact_link(*shown.study, REPORT)
    compared = next((ids for ids in shown.compared.values() if ids), None)
    if compared and result.primary.kind == "frame":
        links["curves"] = curves_link(shown.experiment_id, compared, result.primary_metric)
    return links


def study_description(result: Result, shown: Shown) -> str:
    """The text of a study as Markdown: what matters most first, the longest table last.

    Args:
        result: What is known so far; its summary is empty until the study has come to its end.
    """
    if result.search is not None:
        return _search_description(result, result.search, shown)
    parts = [
        _NEW_LINE.join(filter(None, [_where(result, shown), *map(_bold, best_lines(result))])),
        *answer_paragraphs(result),
        escape(result.warning),
        f"**Question:** {escape(result.question)}",
        *(_primary(result, game) for game in result.games),
        *_claims(result),
        _again(result),
        *(_all_metrics(result, game) for game in result.games),
    ]
    return "\n\n".join(part for part in parts if part)


def _search_description(result: Result, search: Search, shown: Shown) -> str:
    """The text of a search: where to look, its answer, how it is confirmed."""
    dashboard = code(result.paths.dashboard_command or "")
    links = " · ".join([*_report("the report", shown), f"the trials: {dashboard}"])
    parts = [
        f"**Look at:** {links}",
        *answer_paragraphs(result),
        f"**Question:** {escape(result.question)}",
    ]
    if search.confirm is not None and search.confirm.result is None:
        parts.append(f"**Confirm it:** {code(search.confirm.command)}")
    return "\n\n".join(parts)


def _where(result: Result, shown: Shown) -> str:
    """Links to the report, the curves of the primary metric and all charts."""
    primary = result.primary
    several = len(result.games) > 1
    compared = {game: ids for game, ids in shown.compared.items() if ids}
    links = _report("the answer with films", shown) + [
        _link(
            f"curves of {primary.label}{f', {game}' if several else ''}",
            curves_link(shown.experiment_id, ids, primary.name),
        )
        for game, ids in compared.items()
        if primary.kind == "frame"
    ]
    if compared:
        links.append(_link("all metrics", charts_link(shown.experiment_id, shown.study_id)))
    return f"**Look at:** {' · '.join(links)}" if links else ""


def _report(text: str, shown: Shown) -> list[str]:
    return [_link(text, artifact_link(*shown.study, REPORT))] if REPORT in shown.files else []


def best_lines(result: Result) -> list[str]:
    """Per game the best arm with its primary metric, in a line; none where none is told."""
    several = len(result.games) > 1
    return [
        f"best{f', {answer.game}' if several else ''}: {arm.name}, {text}"
        for answer in result.answers
        for arm in result.arms_of(answer.game)
        if arm.name == answer.best and (text := primary_text(result, arm))
    ]


def primary_text(result: Result, arm: Arm) -> str:
    """The primary metric of an arm, its interval and of how many units it is; empty without."""
    found = arm.estimate(result.primary_metric, MEAN)
    if found is None:
        return ""
    value = written(found.mean, found.lo, found.hi)
    text = f"{result.primary.label} {value.text}"
    if not value.bounds or arm.interval is None:
        return text
    units = f"{found.n} {arm.interval.unit}{'' if found.n == 1 else 's'}"
    return f"{text} ({100 * arm.interval.level:g}% interval {value.bounds}, n = {units})"


def result_line(result: Result) -> str:
    """What a study found, in a line: the best arms, else what the answers begin with."""
    found = best_lines(result) or [
        f"{answer.found.head} {answer.found.text}".rstrip() for answer in result.answers
    ]
    return "; ".join(found) or result.summary


def answer_paragraphs(result: Result) -> Iterator[str]:
    """The answer, a paragraph a part; in their place a sentence where there is none yet."""
    for answer in result.answers:
        of = f"{answer.game}: " if len(result.games) > 1 else ""
        for part, before in ((answer.found, of), (answer.against, ""), (answer.sure, "")):
            more = f" {code(part.command)} tells more." if part.command else ""
            yield f"**{escape(before + part.head)}** {escape(part.text)}{more}".rstrip()
    if not result.answers:
        yield escape(result.summary) or "No answer yet: the study has not come to its end."


def _primary(result: Result, game: str) -> str:
    """The primary metric of each arm with its interval, and its difference to the baseline arm."""
    metric = result.primary_metric
    rows = result.arms_of(game)
    compared = {
        row.a: row for row in result.comparisons if (row.game, row.metric) == (game, metric)
    }
    baseline = result.baseline_arm
    info = result.metric(metric)
    over = f", mean over {result.horizon} time steps" if info.kind == "frame" else ""
    level = next((100 * arm.interval.level for arm in rows if arm.interval), 95)
    head = [
        f"arm, {game}",
        f"{info.label}{over}",
        f"{level:g}% interval",
        f"minus {baseline}",
        f"{level:g}% interval",
        "",
    ]
    lines = [_row(head), "|---" * len(head) + "|"]
    for arm in rows:
        value, against = arm.estimate(metric, MEAN), compared.get(arm.name)
        own = _written(value)
        difference = (
            signed(against.difference, against.lo, against.hi) if against else written(None)
        )
        decision = against.decision if against and against.family == "primary" else None
        lines.append(
            _row(
                [
                    arm.name,
                    own.text,
                    own.bounds or ABSENT,
                    difference.text,
                    difference.bounds,
                    _DECISIONS[decision] if decision else "",
                ]
            )
        )
    return "\n".join(lines)


def _claims(result: Result) -> list[str]:
    declared = result.declaration
    if declared is None:
        return []
    rows = [
        f"- {escape(verdict_text(row.verdict, row.within_model, declared.post_hoc))}: "
        f"{escape(row.name)}"
        for row in result.claims
    ]
    return ["\n".join(["**Claims:**", "", *rows])]


def _again(result: Result) -> str:
    lines = [f"**Make it again:** {code(result.command)}"]
    if result.paths.report_html is not None:
        lines.append(
            f"The report on disk: {code(result.paths.report_html)}; here it is under"
            " Artifacts, the figures in the folder `figures`."
        )
    return "\n\n".join(lines)


def _all_metrics(result: Result, game: str) -> str:
    """Every metric that has a value, one line each: the table may grow and be cut at its end."""
    arms = [arm for arm in result.arms_of(game) if arm.metrics]
    if not arms:
        return ""
    lines = [
        f"**All metrics, {game}**: means over time steps and starts, or the one value of a metric "
        "of the whole set of frames.",
        "",
        _row(["metric", *(arm.name for arm in arms)]),
        "|---" * (len(arms) + 1) + "|",
    ]
    for metric in result.metrics:
        found = [arm.estimate(metric.name, MEAN) for arm in arms]
        if any(found):
            unit = f" ({metric.unit})" if metric.unit else ""
            values = (_written(one).text for one in found)
            lines.append(_row([metric.label + unit, *values]))
    return "\n".join(lines)


def _written(found: Estimate | None) -> Written:
    return written(None) if found is None else written(found.mean, found.lo, found.hi)


def _bold(text: str) -> str:
    return f"**{escape(text[0].upper() + text[1:])}**"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(escape(cell) for cell in cells) + " |"


def _link(text: str, target: str) -> str:
    return f"[{escape(text)}]({target})"
