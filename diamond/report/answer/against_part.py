"""What speaks against the finding: the other metrics, still pictures, returns, cost."""

from collections.abc import Iterator

from diamond.config.metric_table import METRIC_OF
from diamond.report.answer.arm_words import (
    capital,
    label_in_sentence,
    listed,
    phrase,
    phrases,
    short,
)
from diamond.report.answer.compared import MOTION, Compared, Main
from diamond.report.answer.earned import beside_players, players
from diamond.report.numbers import counted
from diamond.results.answer_model import Part
from diamond.results.arm_model import Arm, CostName
from diamond.results.best_arm import distance, is_better
from diamond.results.comparison_model import ONE_SEED, Comparison
from diamond.results.number_text import number, signed, with_bounds, written
from diamond.results.values import MEAN
from diamond.stages.rollouts import ROLLOUTS

_TOLD = (
    "psnr",
    "foreground_iou",
    "cell_accuracy_changed",
    "action_accuracy",
    "action_r2",
    "event_recall",
    "imagination_gap",
)
"""The metric of each group that is told by name."""
_CHANCE = 0.05
"""Share of the metrics whose interval leaves out 0 though nothing differs."""
_LEAST_COST = 1.1
"""Ratio of times below which a cost is not told."""


def against_part(about: Compared) -> Part:
    """Say what of the other metrics agrees and disagrees, and what the agents earn and cost."""
    told = [
        *_still_pictures(about),
        *_named(about),
        *beside_players(about),
        *_reading(about),
        *_cost(about),
    ]
    head = _head(about)
    if not head and told:
        head, *told = told
    return Part(head=head or "No other metric was measured.", text=" ".join(told))


def _head(about: Compared) -> str:
    """Count the other metrics that differ, by the arm that they favour."""
    pair = about.main()
    if pair is None or about.unfounded:
        return ""
    if _share_frames(about):
        return "The frames of all arms are the same: they share one world model and its sampler."
    rows = _others(about, pair)
    if not rows:
        return ""
    best, other = pair.better, pair.other
    known = [row for row in rows if row.decision != "undefined"]
    if not known:
        reason = rows[0].reason
        why = "each was trained once" if reason == ONE_SEED else reason
        return f"Of the {len(rows)} other metrics nothing can be told: {why}."
    favours = [_favours(about, row, best, other) for row in known if _differs(row)]
    own, against = favours.count(best.name), favours.count(other.name)
    chance = f"(exploratory; about {_CHANCE * len(known):.0f} of {len(known)} differ by chance)"
    if not own + against:
        both = phrases([arm for arm in about.arms if arm in (best, other)])
        return f"None of {len(known)} other metrics differs between {both} (exploratory)."
    if pair.is_shown:
        if not against:
            return (
                f"No other metric speaks against it: all {own} that differ favour {phrase(best)} "
                f"{chance}."
            )
        return (
            f"But {against} of the {own + against} other metrics that differ favour "
            f"{phrase(other)} {chance}."
        )
    return (
        f"Of {len(known)} other metrics {own + against} differ: {own} favour {phrase(best)}, "
        f"{against} favour {phrase(other)} {chance}."
    )


def _differs(row: Comparison) -> bool:
    """Whether a metric differs by its own interval: what speaks against a finding is not hidden."""
    return row.decision in ("shown", "shown alone")


def _share_frames(about: Compared) -> bool:
    """Whether the arms imagine the same frames, because they differ in their policies alone."""
    keys = {
        tuple(found.key for run in arm.runs if (found := run.stages.get(ROLLOUTS.name)))
        for arm in about.arms
    }
    return len(about.arms) > 1 and len(keys) == 1 and keys != {()}


def _others(about: Compared, pair: Main) -> list[Comparison]:
    """The comparisons of the two arms of a pair on other metrics, those with a better side."""
    both, doc = {pair.row.a, pair.row.b}, about.doc
    directed = {metric.name for metric in doc.scored if metric.direction != "none"}
    return [
        row
        for row in doc.comparisons
        if row.game == about.game
        and row.metric != about.metric.name
        and row.metric in directed
        and {row.a, row.b} == both
        and row.difference is not None
    ]


def _favours(about: Compared, row: Comparison, best: Arm, other: Arm) -> str:
    """The name of the arm that a metric favours; empty where it does not tell."""
    metric, game = about.doc.metric(row.metric), about.game
    real = about.doc.real(game, row.metric, MEAN)
    value = real.mean if real else None
    for one, against in ((best, other), (other, best)):
        if is_better(one, against, metric.name, metric.direction, value):
            return one.name
    return ""


def _named(about: Compared) -> Iterator[str]:
    """Give the differences in the metrics that stand for their groups."""
    pair = about.main()
    if pair is None or about.unfounded:
        return
    rows = {row.metric: row for row in _others(about, pair) if _differs(row)}
    told, arms = [], about.by_name
    for name in _TOLD:
        if (row := rows.get(name)) is not None:
            metric = about.doc.metric(name)
            found = signed(row.difference, row.lo, row.hi)
            unit = f" {metric.unit}" if metric.unit else ""
            value = with_bounds(found._replace(text=found.text + unit))
            told.append(f"{label_in_sentence(metric)} {value}")
    if told:
        a, b = arms[pair.row.a], arms[pair.row.b]
        yield f"{capital(short(a))} minus {short(b)}: {', '.join(told)}."


def _still_pictures(about: Compared) -> Iterator[str]:
    """Say of world models without training that win on the primary metric why that may be."""
    metric = about.metric
    best = about.best
    own = best.estimate(metric.name, MEAN) if best else None
    if best is None or own is None or about.unfounded:
        return
    far = distance(own.mean, metric.direction, about.real)
    winners = [
        (arm, one)
        for arm in about.doc.arms_of(about.game, "baseline")
        if (one := arm.estimate(metric.name, MEAN))
        and far is not None
        and (other := distance(one.mean, metric.direction, about.real)) is not None
        and other < far
    ]
    if not winners:
        return
    values = listed(
        [f"{arm.name} ({written(one.mean, one.lo, one.hi).text})" for arm, one in winners]
    )
    values = f"{capital(values)} score{'s' if len(winners) == 1 else ''} better without training"
    spec = METRIC_OF.get(metric.name)
    if spec is None or spec.group != "modes":
        yield f"{values}: on this metric no arm is better than a still picture."
        return
    still = winners[0][0].estimate(MOTION, MEAN)
    share = f" ({written(still.mean, still.lo, still.hi).text} of the frames)" if still else ""
    yield (
        f"{values}, which is no contradiction: a real frame that is repeated is sharp, and it "
        f"stands still{share}."
    )


def _reading(about: Compared) -> Iterator[str]:
    """Give event recall and imagination gap where there are policies, as ranges over the arms."""
    if about.unfounded or not players(about):
        return
    told = []
    for name, text in (("event_recall", "event recall"), ("imagination_gap", "imagination gap")):
        if name == about.metric.name:
            continue
        found = [one for arm in about.arms if (one := arm.estimate(name, MEAN))]
        values = sorted((one.mean, one.lo, one.hi) for one in found)
        if values:
            ends = dict.fromkeys(written(*end).text for end in (values[0], values[-1]))
            told.append(f"{text} {' to '.join(ends)}")
    if told:
        yield f"{capital(', '.join(told))}."


def _cost(about: Compared) -> Iterator[str]:
    """Say what a frame of the best arm costs beside the arm that it is compared with."""
    pair = about.main()
    if pair is None:
        return
    both = [arm for arm in about.arms if arm in (pair.better, pair.other)]
    name: CostName = "ms_per_frame"
    times = [arm.mean_cost(name) for arm in both]
    calls = [arm.mean_cost("denoiser_calls_per_frame") for arm in both]
    if None in times or len(both) < 2:
        return
    known = [time for time in times if time]
    if len(known) < 2 or max(known) / min(known) < _LEAST_COST or calls[0] == calls[1]:
        return
    told = [
        f"{number(time, 1)} ms and {counted(int(call), 'network call')} with {short(arm)}"
        for arm, time, call in zip(both, times, calls, strict=True)
        if call is not None
    ]
    yield f"A frame costs {listed(told)}."
