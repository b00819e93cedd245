"""From values of a difference to a verdict: statistics of one claim, nothing of files or arms."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from diamond.arrays import FloatArray
from diamond.plan.claims.claim_grammar import Relation
from diamond.results.claims import Verdict
from diamond.seeds import Purpose, derive
from diamond.stats.intervals import bootstrap_interval
from diamond.stats.least_units import MIN_BOOTSTRAP_UNITS
from diamond.stats.paired import paired_seeds
from diamond.stats.power import MAX_SEEDS, seeds_needed

METHOD_WITHIN = "bootstrap over starts within one trained model"
ASSUMPTION = "to decide 4 times in 5 if mean and standard deviation stay as they are"


@dataclass(frozen=True)
class Judgement:
    """A verdict on one difference with what it rests on.

    Attributes:
        verdict: PASS where the interval lies on the claimed side of 0, FAIL on the other.
        reason: Why it is undecided; None otherwise.
        mean: Mean difference, NaN without values.
        lo: Lower bound of the interval, NaN where there is none.
        hi: Upper bound.
        n: Number of units.
        unit: What is replicated.
        p: Exact two-sided sign-flip p value, None where there is none.
        p_min: The smallest that so many seeds can give.
        missing: Seeds that are missing for a decision with probability .8, at most `MAX_SEEDS` + 1,
            which stands for more; None where it cannot be told or nothing is missing.
    """

    verdict: Verdict
    reason: str | None
    mean: float
    lo: float
    hi: float
    n: int
    unit: Literal["seed", "start"]
    method: str
    p: float | None = None
    p_min: float | None = None
    missing: int | None = None


def judge_seeds(differences: FloatArray, relation: Relation) -> Judgement:
    """Judge by training seeds: a 95% t interval decides, a sign-flip p stands beside it.

    Args:
        differences: Left side minus right side of each seed, shape (n,).
        relation: Whether the claim says that the difference is below or above 0.
    """
    paired = paired_seeds(differences, np.zeros_like(differences))
    verdict = _side(paired.lo, paired.hi, relation)
    missing = reason = None
    if paired.n == 1:
        reason = "one seed: at least 2 are needed"
    elif paired.n > 1 and verdict == "UNDECIDED":
        missing = seeds_needed(differences)
        assert missing is not None, "two seeds or more have a spread"
        reason = f"the interval holds 0; {_seeds(missing)} missing, {ASSUMPTION}"
    return Judgement(
        verdict,
        reason,
        paired.difference,
        paired.lo,
        paired.hi,
        paired.n,
        "seed",
        paired.method,
        paired.p,
        paired.p_min,
        missing,
    )


def judge_starts(differences: FloatArray, relation: Relation) -> Judgement:
    """Judge one trained model by its starts; it says nothing of training again.

    Args:
        differences: Left side minus right side of each start, shape (n,).
        relation: Whether the claim says that the difference is below or above 0.
    """
    interval = bootstrap_interval(differences, derive(0, Purpose.BOOTSTRAP, "claims"))
    verdict = _side(interval.lo, interval.hi, relation)
    reason = "the interval holds 0" if verdict == "UNDECIDED" else None
    if interval.n < MIN_BOOTSTRAP_UNITS:
        reason = f"{interval.n} starts: an interval needs {MIN_BOOTSTRAP_UNITS}"
    return Judgement(
        verdict,
        reason,
        interval.mean,
        interval.lo,
        interval.hi,
        interval.n,
        "start",
        METHOD_WITHIN,
    )


def combine(verdicts: Sequence[Verdict], holds: Literal["all", "any"]) -> Verdict:
    """The verdict on several claims of which all, or any, must hold."""
    decisive, other = ("FAIL", "PASS") if holds == "all" else ("PASS", "FAIL")
    if decisive in verdicts:
        return "FAIL" if holds == "all" else "PASS"
    if verdicts and all(verdict == other for verdict in verdicts):
        return "PASS" if holds == "all" else "FAIL"
    return "UNDECIDED"


def _seeds(missing: int) -> str:
    if missing > MAX_SEEDS:
        return f"more than {MAX_SEEDS} seeds are"
    return "about 1 seed is" if missing == 1 else f"about {missing} seeds are"


def _side(lo: float, hi: float, relation: Relation) -> Verdict:
    """On which side of 0 an interval lies; NaN bounds lie on none."""
    if hi < 0:
        return "PASS" if relation == "<" else "FAIL"
    if lo > 0:
        return "PASS" if relation == ">" else "FAIL"
    return "UNDECIDED"
