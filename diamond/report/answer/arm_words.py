"""How sentences call arms, metrics, units and what a higher or a lower value means."""

import re
from collections.abc import Sequence

from diamond.config.metric_table import RETURN
from diamond.report.tables import last_step
from diamond.results.arm_model import Arm
from diamond.results.comparison_model import Comparison
from diamond.results.metric_model import Metric
from diamond.results.model import Result
from diamond.results.number_text import signed, with_bounds

_LONGEST_NAME = 40
_UNLIKE = "the frames are less like the real ones"
_LIKE = "the frames are more like the real ones"
_WORDS = {  # metric: what a lower and what a higher value mean
    "core_ratio": ("the moving objects are less sharp", "the moving objects are sharper"),
    "foreground_iou": (
        "the moving objects are further from their real places",
        "the moving objects are closer to their real places",
    ),
    "cell_accuracy": ("fewer cells are right", "more cells are right"),
    "cell_accuracy_changed": (
        "fewer of the cells that change are right",
        "more of the cells that change are right",
    ),
    "event_recall": ("fewer real events are drawn", "more real events are drawn"),
    "psnr": (_UNLIKE, _LIKE),
    "ssim": (_UNLIKE, _LIKE),
    "l1": (_LIKE, _UNLIKE),
    "mse": (_LIKE, _UNLIKE),
    RETURN.name: ("the policy earns less", "the policy earns more"),
}


def meaning(metric: Metric, difference: float) -> str:
    """Say what a difference in a metric means, such as ``the moving objects are sharper``."""
    label = label_in_sentence(metric)
    lower, higher = _WORDS.get(metric.name, (f"the {label} is lower", f"the {label} is higher"))
    return lower if difference < 0 else higher


def label_in_sentence(metric: Metric) -> str:
    """Return the label as it stands inside a sentence.

    `Core ratio` is small, `PSNR` as it is; what follows a comma stands in parentheses.
    """
    name, comma, of = metric.label.partition(", ")
    label = f"{name} ({of})" if comma else name
    return label[0].lower() + label[1:] if label[1:2].islower() else label


def when(doc: Result, game: str, metric: Metric) -> str:
    """Say what the values of a metric in a game are means of."""
    if metric.name == RETURN.name:
        return "mean of the episodes"
    if metric.kind == "set":
        return f"all frames of {doc.horizon} time steps"
    return f"mean of {last_step(doc, game, metric.name)} time steps"


def phrase(arm: Arm) -> str:
    """Return how a sentence calls an arm."""
    steps = _steps(arm)
    if steps is not None:
        return f"{steps} denoising step{'s' if steps != '1' else ''}"
    if arm.is_baseline and len(arm.name) > _LONGEST_NAME:
        return "the baseline arm"
    return arm.name


def phrases(arms: Sequence[Arm]) -> str:
    """List arms; the noun of denoising steps stands once, behind the last."""
    steps = [_steps(arm) for arm in arms]
    if len(arms) > 1 and all(found is not None for found in steps):
        return f"{listed([str(found) for found in steps])} denoising steps"
    return listed([phrase(arm) for arm in arms])


def short(arm: Arm) -> str:
    """Return how a list of numbers calls an arm: the number of steps alone."""
    return _steps(arm) or phrase(arm)


def listed(texts: Sequence[str]) -> str:
    """List texts: ``a, b and c``."""
    return " and ".join(texts) if len(texts) < 3 else f"{', '.join(texts[:-1])} and {texts[-1]}"


def capital(text: str) -> str:
    """Return a sentence with a capital letter, unless it begins with the name of an arm."""
    return text if re.match(r"\S*=", text) else text[:1].upper() + text[1:]


def difference_text(row: Comparison, arms: dict[str, Arm], unit: str = "") -> str:
    """Write a comparison: ``10 minus 1: +0.072 (0.067 to 0.077)``."""
    found = signed(row.difference, row.lo, row.hi)
    unit = f" {unit}" if unit else ""
    spaced = found._replace(text=found.text + unit)
    return f"{short(arms[row.a])} minus {short(arms[row.b])}: {with_bounds(spaced)}"


def _steps(arm: Arm) -> str | None:
    found = re.fullmatch(r"steps=(\d+)", arm.name)
    return found[1] if found else None
