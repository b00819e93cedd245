"""The finding of a study in one plain sentence, from its primary metric."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from diamond.config.metric_table import RETURN, is_set
from diamond.report.numbers import number, span, visible_decimals
from diamond.report.search.search_prose import summarise_search
from diamond.results.arm_model import Arm, level_text
from diamond.results.comparison_model import Comparison
from diamond.results.metric_model import Metric
from diamond.results.model import Result
from diamond.stages.agent import AGENT
from diamond.stages.registry import OWN

_PLACES = 2
_NAMED_FURTHER_PAIRS = 3

_UNLIKE = "less like the real ones"
_LIKE = "more like the real ones"
_WORDS = {  # metric: what a lower and what a higher value mean
    "core_ratio": ("the moving objects are less sharp", "the moving objects are sharper"),
    "foreground_iou": (
        "the moving objects are further from their real places",
        "the moving objects are closer to their real places",
    ),
    "psnr": (f"the frames are {_UNLIKE}", f"the frames are {_LIKE}"),
    "ssim": (f"the frames are {_UNLIKE}", f"the frames are {_LIKE}"),
    "l1": (f"the frames are {_LIKE}", f"the frames are {_UNLIKE}"),
    "psnr_fg": (f"the moving objects are {_UNLIKE}", f"the moving objects are {_LIKE}"),
    "ssim_fg": (f"the moving objects are {_UNLIKE}", f"the moving objects are {_LIKE}"),
    "l1_fg": (f"the moving objects are {_LIKE}", f"the moving objects are {_UNLIKE}"),
    RETURN.name: ("the policy earns less", "the policy earns more"),
}


@dataclass(frozen=True)
class _Pair:
    """A comparison as it is told: the value of `a`, the baseline arm, minus the value of `b`."""

    a: Arm
    b: Arm
    row: Comparison

    @property
    def difference(self) -> float:
        assert self.row.difference is not None, "only comparisons with a difference are told"
        return -self.row.difference

    @property
    def interval(self) -> tuple[float, float] | None:
        lo, hi = self.row.lo, self.row.hi
        return None if lo is None or hi is None else (-hi, -lo)


def summarise(doc: Result) -> str:
    """Say in one sentence what the study found about its primary metric, one clause a game.

    Of a search: how it ended, in two sentences.

    A difference is said to be there only when its interval leaves out 0; otherwise the sentence
    says that none was shown. Where nothing was compared it says what was measured, or why nothing
    was.

    Args:
        doc: The result document; its own ``summary`` is not read.

    Returns:
        One sentence, ending in a full stop.
    """
    if doc.search is not None:
        return summarise_search(doc.search)
    return "; ".join(f"{game}: {_clause(doc, game)}" for game in doc.games) + "."


def _clause(doc: Result, game: str) -> str:
    metric = doc.primary
    arms = doc.arms_of(game, "arm")
    measured = [arm for arm in arms if arm.estimate(metric.name, "mean")]
    if not measured:
        return _nothing_measured(doc, game)
    pairs = _pairs(doc, game, metric.name)
    told = _compared(doc, metric, pairs) if pairs else _described(doc, game, metric, measured)
    return told + _returns(doc, game) + _lost_runs(doc, game, measured)


def _returns(doc: Result, game: str) -> str:
    """Name the best return, where it is not what the sentence is about; or say undecided."""
    arms = doc.arms_of(game, "arm")
    found = {a.name: one.mean for a in arms if (one := a.estimate(RETURN.name, "mean"))}
    if doc.primary_metric == RETURN.name or len(found) < 2:
        return ""
    best = max(found, key=found.__getitem__)
    # All are compared with the baseline arm alone: of the others it is not known which is higher.
    rows = [row for row in doc.compared(game, RETURN.name) if {row.a, row.b} <= found.keys()]
    means = ", ".join(f"{number(mean, 1)} with {name}" for name, mean in found.items())
    told = "which is the highest is undecided"
    base = doc.baseline_arm
    if rows and all(row.is_shown for row in rows) and (best == base or len(found) == 2):
        told = f"that of {best} is the highest"
    if len(found) > _NAMED_FURTHER_PAIRS + 1:
        means = f"{number(min(found.values()), 1)} to {number(max(found.values()), 1)}"
    return f"; returns {means}: {told}"


def _pairs(doc: Result, game: str, metric: str) -> list[_Pair]:
    """Return the comparisons to tell: arms with the baseline arm, no controls or references."""
    arms = {arm.name: arm for arm in doc.arms_of(game)}
    rows = [row for row in doc.compared(game, metric) if row.family == "primary"]
    return [_Pair(arms[row.b], arms[row.a], row) for row in rows]


def _compared(doc: Result, metric: Metric, pairs: Sequence[_Pair]) -> str:
    told = {"shown": 2, "shown alone": 1}
    main = max(pairs, key=lambda pair: (told.get(pair.row.decision, 0), abs(pair.difference)))
    decision = main.row.decision
    a, b = _phrases(main.a, main.b)
    numbers = _numbers(doc, metric, main)
    if decision == "shown":
        lower, higher = _WORDS.get(
            metric.name, (f"the {_label(metric)} is lower", f"the {_label(metric)} is higher")
        )
        head = f"with {a} {lower if main.difference < 0 else higher} than with {b} ({numbers})"
    elif decision == "shown alone":
        head = (
            f"{a} and {b} differ when compared alone, but not once the comparison is corrected for "
            f"all {main.row.family_size} ({numbers})"
        )
    elif main.interval is None:
        head = f"a difference between {a} and {b} can be neither shown nor ruled out ({numbers})"
    elif decision == "undefined":
        head = (
            f"whether {a} and {b} differ cannot be told from one seed, because each was trained "
            f"once ({numbers})"
        )
    else:
        head = f"no difference between {a} and {b} was shown ({numbers})"
    return head + _further([pair for pair in pairs if pair is not main])


def _numbers(doc: Result, metric: Metric, pair: _Pair) -> str:
    """Return the two values, the real one, the difference, its interval and its replicates."""
    one, two = (arm.estimate(metric.name, pair.row.at) for arm in (pair.a, pair.b))
    real = doc.real(pair.a.game, metric.name, pair.row.at)
    unit = f" {metric.unit}" if metric.unit else ""
    values = _label(metric)
    if one and two:
        values += f" {number(one.mean, _PLACES)} against {number(two.mean, _PLACES)}{unit}"
    values += f" {_when(doc, metric, pair.row.at)}"
    if real:
        values += f", real {number(real.mean, _PLACES)}"
    return f"{values}; {_difference(pair)} {_replicates(doc, pair)}{_noise(doc, pair)}"


def _noise(doc: Result, pair: _Pair) -> str:
    """Tell the noise floor beside a difference, and whether it is within it."""
    if pair.row.within_noise is None:
        return ""
    row = doc.floor(pair.a.game, doc.primary_metric)
    floor = None if row is None else row.at[pair.row.at]
    where = "within the" if pair.row.within_noise else "above the"
    return f"; {where} noise floor of {number(floor, visible_decimals((floor,), _PLACES))}"


def _difference(pair: _Pair) -> str:
    places = visible_decimals((pair.difference, pair.row.lo, pair.row.hi), _PLACES)
    text = f"difference {number(pair.difference, places)}"
    if pair.interval is None:
        return f"{text}, no interval"
    return f"{text}, {level_text((pair.a, pair.b))} interval {span(*pair.interval, places)}"


def _further(pairs: Sequence[_Pair]) -> str:
    """Tell the comparisons beside the main one: by name while few, else how many are clear."""
    clear = [pair for pair in pairs if pair.row.decision == "shown"]
    if len(pairs) > _NAMED_FURTHER_PAIRS:
        return f", and {len(clear)} of the {len(pairs)} other comparisons show a difference"
    told = [f"{_versus(pair)} differ as well ({_difference(pair)})" for pair in clear]
    for decision, text in (
        ("shown alone", "{} differ only when compared alone"),
        ("undefined", "of {} nothing can be told"),
        ("not shown", "{} show no difference"),
    ):
        told += [text.format(_versus(pair)) for pair in pairs if pair.row.decision == decision]
    return "".join(f", {text}" for text in told[:-1]) + "".join(f", and {t}" for t in told[-1:])


def _versus(pair: _Pair) -> str:
    a, b = _phrases(pair.a, pair.b)
    return f"{a} and {b}"


def _described(doc: Result, game: str, metric: Metric, measured: Sequence[Arm]) -> str:
    """Tell the values without a comparison: one arm alone, or several that were not compared."""
    if len(doc.arms_of(game, "arm")) == 1:
        head = "there is one arm, so nothing was compared"
    else:
        head = "the arms were not compared"
    values = []
    for arm in measured:
        found = arm.estimate(metric.name, "mean")
        assert found is not None, "measured arms have a mean"
        text = f"{_phrase(arm)} {number(found.mean, _PLACES)}"
        interval = span(found.lo, found.hi, _PLACES)
        values.append(f"{text} ({level_text([arm])} interval {interval})" if interval else text)
    real = doc.real(game, metric.name, "mean")
    if real:
        values.append(f"real {number(real.mean, _PLACES)}")
    baselines = [(arm, arm.estimate(metric.name, "mean")) for arm in doc.arms_of(game, "baseline")]
    values += [f"{arm.name} {number(e.mean, _PLACES)}" for arm, e in baselines if e]
    if not baselines:
        values.append("no baseline was measured")
    unit = f" in {metric.unit}" if metric.unit else ""
    return f"{head}; {_label(metric)}{unit} {_when(doc, metric, 'mean')}: {', '.join(values)}"


def _nothing_measured(doc: Result, game: str) -> str:
    lost = doc.failures(game)
    if lost:
        causes = ", ".join(f"{run.arm} {run.state}: {_plain(run.cause)}" for run in lost)
        return f"nothing was measured, because no run came to an end ({causes})"
    if not any(arm.imagines for arm in doc.arms_of(game, "arm")):
        return "no fidelity was measured, because the agent has no world model"
    return f"no fidelity was measured, because the study was to stop after the stage {doc.until}"


def _lost_runs(doc: Result, game: str, measured: Sequence[Arm]) -> str:
    """Tell the arms and the seeds that are missing from the numbers."""
    names = {arm.name for arm in measured}
    lost = doc.failures(game)
    arms = [run for run in lost if run.arm not in names]
    seeds = [run for run in lost if run.arm in names]
    told = [f"{run.arm} has no result ({run.state}: {_plain(run.cause)})" for run in arms]
    told += [
        f"seed {run.seed} of {run.arm} is missing ({run.state}: {_plain(run.cause)})"
        for run in seeds
    ]
    return "".join(f", {text}" for text in dict.fromkeys(told))


def _replicates(doc: Result, pair: _Pair) -> str:
    if pair.row.unit == "seed":
        return f"over {pair.row.n} training seed{'s' if pair.row.n != 1 else ''}"
    starts = f"over {pair.row.n} start{'s' if pair.row.n != 1 else ''}"
    if len(doc.seeds) > 1:
        return f"{starts} within {len(doc.seeds)} training seeds"
    shared = _model_keys(pair.a) == _model_keys(pair.b)
    return f"{starts} of one trained model{'' if shared or not _trained(pair) else ' per arm'}"


def _trained(pair: _Pair) -> bool:
    return {pair.a.kind, pair.b.kind} == {"arm"}


def _model_keys(arm: Arm) -> set[str]:
    """Return the keys of the trained models of an arm: arms with equal ones share the model.

    Those are the parts of the world model, or online the whole agent.
    """
    return {
        stage.key
        for run in arm.runs
        for name, stage in run.stages.items()
        if name not in OWN or name == AGENT.name
    }


def _when(doc: Result, metric: Metric, at: str) -> str:
    if metric.name == RETURN.name:
        return "on average over episodes"
    if is_set(metric.name):
        return f"over all frames of {doc.horizon} time steps"
    return f"on average over {doc.horizon} time steps" if at == "mean" else f"at t={at}"


def _label(metric: Metric) -> str:
    """Return the label as it stands inside a sentence: `Core ratio` small, `PSNR` as it is."""
    label = metric.label
    return label[0].lower() + label[1:] if label[1:2].islower() else label


def _phrases(a: Arm, b: Arm) -> tuple[str, str]:
    """Return how to speak of two arms, the second one short where the first one says the noun."""
    second = _steps(b)
    return _phrase(a), _phrase(b) if second is None or _steps(a) is None else second


def _phrase(arm: Arm) -> str:
    steps = _steps(arm)
    if steps is None:
        return arm.name
    return f"{steps} denoising step{'s' if steps != '1' else ''}"


def _steps(arm: Arm) -> str | None:
    found = re.fullmatch(r"steps=(\d+)", arm.name)
    return found[1] if found else None


def _plain(cause: str) -> str:
    return cause.rstrip(". ")
