"""What was found on the primary metric: the first part of an answer."""

from collections import Counter

from diamond.config.metric_table import METRIC_OF, RETURN
from diamond.report.answer.arm_words import (
    capital,
    difference_text,
    label_in_sentence,
    listed,
    meaning,
    phrase,
    phrases,
    short,
    when,
)
from diamond.report.answer.compared import MOTION, Compared, Pair
from diamond.report.answer.earned import returns_sentence
from diamond.results.answer_model import Part
from diamond.results.arm_model import Arm
from diamond.results.claims import Verdict
from diamond.results.comparison_model import ONE_SEED
from diamond.results.metric_model import Estimate
from diamond.results.number_text import with_bounds, written
from diamond.results.values import MEAN

_MOST_NAMED = 4
_VERDICTS: tuple[Verdict, ...] = ("PASS", "FAIL", "UNDECIDED")


def found_part(about: Compared) -> Part:
    """Say which arm is best and what it is better than, with the numbers."""
    if not about.arms:
        return Part(head=f"{capital(_nothing_measured(about))}.")
    claims = _claims(about)
    return Part(head=f"{claims}{_head(about)}", text=_numbers(about))


def _claims(about: Compared) -> str:
    """Count the verdicts of the claims of a declaration; empty without any."""
    counts = Counter(claim.verdict for claim in about.doc.claims)
    told = [f"{counts[verdict]} {verdict}" for verdict in _VERDICTS if counts[verdict]]
    if not told:
        return ""
    total = sum(counts.values())
    return f"Of {total} claim{'s' if total > 1 else ''} {listed(told)}. "


def _head(about: Compared) -> str:
    if about.unfounded:
        return f"Nothing can be concluded: {about.unfounded}."
    if about.best is None or not about.pairs:
        return f"{capital(_not_compared(about))}."
    beaten, rest = about.beaten(), about.open()
    if not beaten:
        return _none_shown(about, rest)
    best, row = about.best, beaten[0].row
    assert row.difference is not None, "a shown difference is a number"
    difference = row.difference if row.a == best.name else -row.difference
    told = f"With {phrase(best)} {meaning(about.metric, difference)} than with {_others(beaten)}"
    return f"{'; '.join([told, *_left(rest), *_beside_baseline(about)])}."


def _others(pairs: list[Pair]) -> str:
    if len(pairs) > _MOST_NAMED:
        return f"{len(pairs)} other arms"
    return phrases([pair.other for pair in pairs])


def _beside_baseline(about: Compared) -> list[str]:
    """Say which other arms differ from the baseline arm, while these are few."""
    base = about.baseline
    rows = [row for row in about.further if row.is_shown and row.difference is not None]
    if base is None or len(about.arms) > _MOST_NAMED:
        return []
    arms = about.by_name
    return [
        f"with {short(arms[row.a])} {meaning(about.metric, row.difference or 0.0)} than with "
        f"{short(base)}"
        for row in rows
    ]


def _left(pairs: list[Pair]) -> list[str]:
    """Say of arms that the best one is not shown to be better."""
    unclear = [pair for pair in pairs if pair.row.decision == "undefined"]
    alone = [pair for pair in pairs if pair.row.decision == "shown alone"]
    told = []
    if clear := [pair for pair in pairs if pair not in unclear and pair not in alone]:
        told.append(f"no difference to {_others(clear)} was shown")
    if alone:
        told.append(f"the difference to {_others(alone)} does not outlast the correction")
    if unclear:
        told.append(f"nothing can be told of {_others(unclear)} ({unclear[0].row.reason})")
    return told


def _none_shown(about: Compared, pairs: list[Pair]) -> str:
    """Say that no arm is shown to be better, and which has the best mean."""
    reasons = Counter(pair.row.reason for pair in pairs if pair.row.decision == "undefined")
    label, best = label_in_sentence(about.metric), about.best
    assert best is not None, "pairs have a best arm"
    if sum(reasons.values()) < len(pairs):
        beside = _beside_baseline(about)
        told = f"No difference in {label} was shown between {_all(about)}."
        if beside:
            clear = _others(pairs)
            told = f"No difference in {label} between {phrase(best)} and {clear} was shown"
            told = f"{'; '.join([told, *beside])}."
        alone = [pair for pair in pairs if pair.row.decision == "shown alone"]
        if alone and not beside:
            told = (
                f"No difference in {label} outlasts the correction; compared alone, "
                f"{phrase(best)} and {_others(alone)} differ."
            )
        return told
    reason = next(iter(reasons))
    if reason == ONE_SEED:
        return f"Which of {_all(about)} is best cannot be told: each was trained once."
    return f"Which of {_all(about)} is best cannot be told: {reason}."


def _all(about: Compared) -> str:
    if len(about.arms) > _MOST_NAMED:
        return f"the {len(about.arms)} arms"
    return phrases(about.arms)


def _not_compared(about: Compared) -> str:
    if len(about.doc.arms_of(about.game, "arm")) == 1:
        return "there is one arm, so nothing was compared"
    return "the arms were not compared"


def _numbers(about: Compared) -> str:
    """Give the values of the arms, of the real frames and the differences."""
    doc, metric = about.doc, about.metric
    unit = f" {metric.unit}" if metric.unit else ""
    real = doc.real(about.game, metric.name, MEAN)
    tail = [f"real {written(real.mean, real.lo, real.hi).text}"] if real else []
    if len(about.arms) < 2 or not about.pairs:
        tail += _baselines(about)
    text = f"{metric.label}{unit and f' [{metric.unit}]'}: {_values(about)}"
    text += f" ({'; '.join([*tail, when(doc, about.game, metric)])})."
    if about.unfounded is None and about.pairs:
        text += f" {capital(_differences(about))}."
    returns = "".join(f" {told}" for told in returns_sentence(about))
    return f"{text}{_motion(about)}{returns}{_lost(about)}"


def _values(about: Compared) -> str:
    """The value of each arm, equal ones once; of many arms the best, the baseline and the range."""
    metric = about.metric.name
    found = [(arm, one) for arm in about.arms if (one := arm.estimate(metric, MEAN))]
    with_interval = len(found) == 1 or not about.pairs
    by_text: dict[str, list[Arm]] = {}
    for arm, one in found:
        value = written(one.mean, one.lo, one.hi)
        text = with_bounds(value) if with_interval and not about.unfounded else value.text
        by_text.setdefault(text, []).append(arm)
    if len(by_text) == 1 < len(found):
        return f"{next(iter(by_text))} with {'both' if len(found) == 2 else f'all {len(found)}'}"
    if len(found) > _MOST_NAMED:
        return _range(about, found)
    told = [f"{text} with {listed([short(arm) for arm in arms])}" for text, arms in by_text.items()]
    return ", ".join(told)


def _range(about: Compared, found: list[tuple[Arm, Estimate]]) -> str:
    shown = {arm.name: (arm, one) for arm, one in found if arm in (about.best, about.baseline)}
    means = sorted((one.mean, one.lo, one.hi) for _, one in found)
    named = [f"{written(o.mean, o.lo, o.hi).text} with {short(arm)}" for arm, o in shown.values()]
    lowest, highest = written(*means[0]).text, written(*means[-1]).text
    return ", ".join([*named, f"{lowest} to {highest} over {len(found)} arms"])


def _differences(about: Compared) -> str:
    """The differences of the pairs, that with the baseline arm first; the first ones of many."""
    pairs = sorted(about.pairs, key=lambda pair: not pair.other.is_baseline)
    unit = "" if about.metric.name == RETURN.name else about.metric.unit
    rows = [*(pair.row for pair in pairs), *about.further]
    return "; ".join(difference_text(row, about.by_name, unit) for row in rows[:_MOST_NAMED])


def _baselines(about: Compared) -> list[str]:
    arms = about.doc.arms_of(about.game, "baseline")
    found = [(arm, arm.estimate(about.metric.name, MEAN)) for arm in arms]
    told = [f"{arm.name} {written(one.mean, one.lo, one.hi).text}" for arm, one in found if one]
    return told or ["no baseline was measured"]


def _motion(about: Compared) -> str:
    """Give the share of frames that stand still beside a metric that a still picture wins."""
    spec = METRIC_OF.get(about.metric.name)
    best = about.best or (about.arms[0] if about.arms else None)
    still = best.estimate(MOTION, MEAN) if best else None
    real = about.doc.real(about.game, MOTION, MEAN)
    if spec is None or spec.group != "modes" or still is None or real is None or best is None:
        return ""
    return (
        f" Share of frames that stand still: {written(still.mean, still.lo, still.hi).text} with "
        f"{short(best)}, {written(real.mean, real.lo, real.hi).text} in the game."
    )


def _nothing_measured(about: Compared) -> str:
    doc, game = about.doc, about.game
    if lost := doc.failures(game):
        causes = ", ".join(f"{run.arm} {run.state}: {_plain(run.cause)}" for run in lost)
        return f"nothing was measured, because no run came to an end ({causes})"
    if not any(arm.imagines for arm in doc.arms_of(game, "arm")):
        return "no fidelity was measured, because the agent has no world model"
    return f"no fidelity was measured, because the study was to stop after the stage {doc.until}"


def _lost(about: Compared) -> str:
    """Tell the arms and the seeds that are missing from the numbers."""
    names = {arm.name for arm in about.arms}
    told: dict[str, None] = {}
    for run in about.doc.failures(about.game):
        why = f"({run.state}: {_plain(run.cause)})"
        if run.arm in names:
            told[f" Seed {run.seed} of {run.arm} is missing {why}."] = None
        else:
            told[f" {capital(run.arm)} has no result {why}."] = None
    return "".join(told)


def _plain(cause: str) -> str:
    return cause.rstrip(". ")
