"""What the tracking store shows of a study as text: the answer, where to look, the tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from diamond.pipeline.declared import verdict_text
from diamond.tracking.links import artifact_link, charts_link, curves_link
from diamond.tracking.markdown import code, escape

REPORT = "report.html"
_ABSENT = "–"
_SIGNIFICANT = 3
_DECISIONS = {
    "shown": "a difference is shown",
    "shown alone": "a difference, but not once corrected for all arms",
    "not shown": "none is shown",
    "undefined": "nothing can be told",
}


@dataclass(frozen=True)
class Shown:
    """What of a study is in the tracking store.

    Attributes:
        experiment_id: Where its runs are.
        study_id: Its parent run.
        compared: Ids of the runs that stand for arms and baselines, by game.
        files: Names of the files that are uploaded, folders included.
    """

    experiment_id: str
    study_id: str
    compared: Mapping[str, Sequence[str]]
    files: frozenset[str]


def study_description(document: Mapping[str, Any], shown: Shown) -> str:
    """The text of a study as Markdown: what matters most first, the longest table last.

    Args:
        document: The result document so far; its summary is empty until the study has come to its
            end.
        shown: What the text links to.
    """
    parts = [
        escape(document["summary"]) or "No answer yet: the study has not come to its end.",
        _where(document, shown),
        f"**Question:** {escape(document['question'])}",
        *(_primary(document, game) for game in document["games"]),
        *_claims(document),
        _again(document),
        *(_all_metrics(document, game) for game in document["games"]),
    ]
    return "\n\n".join(part for part in parts if part)


def _where(document: Mapping[str, Any], shown: Shown) -> str:
    """Links to the curves of the primary metric, all charts and the report."""
    primary = _info(document, document["primary_metric"])
    several = len(document["games"]) > 1
    compared = {game: ids for game, ids in shown.compared.items() if ids}
    links = [
        _link(
            f"{primary['label']} with intervals{f', {game}' if several else ''}",
            curves_link(shown.experiment_id, ids, primary["name"]),
        )
        for game, ids in compared.items()
        if primary["kind"] == "frame"
    ]
    if compared:
        links.append(_link("all metrics", charts_link(shown.experiment_id, shown.study_id)))
    if REPORT in shown.files:
        report = artifact_link(shown.experiment_id, shown.study_id, REPORT)
        links.append(_link("the report, with film strips", report))
    return f"**Look at:** {' · '.join(links)}" if links else ""


def _primary(document: Mapping[str, Any], game: str) -> str:
    """The primary metric of each arm with its interval, and its difference to the baseline arm."""
    metric = document["primary_metric"]
    rows = [arm for arm in document["arms"] if arm["game"] == game]
    compared = {
        row["a"]: row
        for row in document["comparisons"]
        if (row["game"], row["metric"]) == (game, metric)
    }
    baseline = document["baseline_arm"]
    info = _info(document, metric)
    over = f", mean over {document['horizon']} time steps" if info["kind"] == "frame" else ""
    level = next((100 * arm["interval"]["level"] for arm in rows if arm["interval"]), 95)
    head = [
        f"arm, {game}",
        f"{info['label']}{over}",
        f"{level:g}% interval",
        f"minus {baseline}",
        f"{level:g}% interval",
        "",
    ]
    lines = [_row(head), "|---" * len(head) + "|"]
    for arm in rows:
        value = _overall(arm, metric)
        against = compared.get(arm["name"], {})
        difference = against.get("difference")
        decision = against.get("decision", "") if against.get("family") == "primary" else ""
        lines.append(
            _row(
                [
                    arm["name"],
                    _number(value.get("mean")),
                    _span(value),
                    _number(difference),
                    _span(against) if difference is not None else "",
                    _DECISIONS.get(decision, decision),
                ]
            )
        )
    return "\n".join(lines)


def _claims(document: Mapping[str, Any]) -> list[str]:
    declared = document["declaration"]
    if declared is None:
        return []
    rows = [
        f"- {escape(verdict_text(row, declared['post_hoc']))}: {escape(row['name'])}"
        for row in document["claims"]
    ]
    return ["\n".join(["**Claims:**", "", *rows])]


def _again(document: Mapping[str, Any]) -> str:
    lines = [f"**Make it again:** {code(document['command'])}"]
    if "report_html" in document["paths"]:
        lines.append(
            f"The report on disk: {code(document['paths']['report_html'])}; here it is under"
            " Artifacts, the figures in the folder `figures`."
        )
    return "\n\n".join(lines)


def _all_metrics(document: Mapping[str, Any], game: str) -> str:
    """Every metric that has a value, one line each: the table may grow and be cut at its end."""
    arms = [arm for arm in document["arms"] if arm["game"] == game and arm["metrics"]]
    if not arms:
        return ""
    lines = [
        f"**All metrics, {game}**: means over time steps and starts, or the one value of a metric "
        "of the whole set of frames.",
        "",
        _row(["metric", *(arm["name"] for arm in arms)]),
        "|---" * (len(arms) + 1) + "|",
    ]
    for metric in document["metrics"]:
        values = [_overall(arm, metric["name"]).get("mean") for arm in arms]
        if any(value is not None for value in values):
            unit = f" ({metric['unit']})" if metric["unit"] else ""
            lines.append(_row([metric["label"] + unit, *(_number(value) for value in values)]))
    return "\n".join(lines)


def _overall(arm: Mapping[str, Any], metric: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = arm["metrics"].get(metric, {}).get("mean", {})
    return found


def _info(document: Mapping[str, Any], metric: str) -> Mapping[str, Any]:
    return next(row for row in document["metrics"] if row["name"] == metric)


def _number(value: float | None) -> str:
    """Three significant digits: metrics of all sizes share a table."""
    return _ABSENT if value is None else f"{value:.{_SIGNIFICANT}g}"


def _span(bounds: Mapping[str, Any]) -> str:
    lo, hi = bounds.get("lo"), bounds.get("hi")
    return _ABSENT if lo is None or hi is None else f"{_number(lo)} to {_number(hi)}"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(escape(cell) for cell in cells) + " |"


def _link(text: str, target: str) -> str:
    return f"[{escape(text)}]({target})"
