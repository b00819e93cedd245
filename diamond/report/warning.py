"""What of a result is dead or weak, in one sentence, so that nobody reads on without knowing."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from diamond.findings.foundations import UNTRAINED, UNTRAINED_PRESET, is_uniform
from diamond.report.machines import machines_clause
from diamond.results.arm_model import Arm
from diamond.results.model import Result
from diamond.results.number_text import written
from diamond.results.values import MEAN
from diamond.stats.least_units import MIN_BOOTSTRAP_UNITS

LEAST_EVENT_RECALL = 0.2
MOST_RATE_FACTOR = 2.0


@dataclass(frozen=True)
class _Check:
    """A metric that tells whether a part of an agent is dead.

    Attributes:
        metric: Its name; the mean over horizon and starts is looked at.
        is_dead: Of that mean.
        told: What is said then.
        measure: What the values of the arms are called.
    """

    metric: str
    is_dead: Callable[[float], bool]
    told: str
    measure: str


def _is_rare(recall: float) -> bool:
    return recall < LEAST_EVENT_RECALL


def _is_none(recall: float) -> bool:
    return recall == 0


def _is_off(ratio: float) -> bool:
    return not 1 / MOST_RATE_FACTOR <= ratio <= MOST_RATE_FACTOR


_CHECKS = (
    _Check("event_recall_rewards", _is_rare, "imagination draws few of the real rewards", "recall"),
    _Check("event_recall_ends", _is_rare, "imagination draws few of the real ends", "recall"),
    _Check(
        "reward_recall_negative_real",
        _is_none,
        "the reward model sees no reward -1 on real frames",
        "recall",
    ),
    _Check(
        "reward_recall_positive_real",
        _is_none,
        "the reward model sees no reward +1 on real frames",
        "recall",
    ),
    _Check(
        "reward_rate_ratio",
        _is_off,
        "imagination and the game differ in how often there is a reward",
        "imagined over real rate",
    ),
    _Check("policy_entropy", is_uniform, "the policy is nearly uniform", "entropy over chance"),
)


def warn(doc: Result) -> str:
    """Say in one sentence what of the agents of a study is dead, weak or made in different ways.

    Args:
        doc: The result document; its own ``warning`` is not read.

    Returns:
        One sentence with the arms by name; empty where nothing is wrong.
    """
    told = [UNTRAINED] if doc.preset == UNTRAINED_PRESET else []
    for game in doc.games:
        arms = doc.arms_of(game, "arm")
        where = f"{game}: " if len(doc.games) > 1 else ""
        told += [f"{where}{clause}" for clause in _clauses(arms)]
    return f"Warning: {'; '.join(told)}." if told else ""


def _clauses(arms: Sequence[Arm]) -> Iterator[str]:
    yield from _dead(arms)
    yield from _few(arms)
    if clause := machines_clause(arms):
        yield clause


def _dead(arms: Sequence[Arm]) -> Iterator[str]:
    """Tell each check that arms fail, with their values."""
    for check in _CHECKS:
        found = [(arm.name, arm.estimate(check.metric, MEAN)) for arm in arms]
        dead = [(name, value.mean) for name, value in found if value and check.is_dead(value.mean)]
        if dead:
            values = ", ".join(f"{written(mean).text} with {name}" for name, mean in dead)
            yield f"{check.told} ({check.measure} {values})"


def _few(arms: Sequence[Arm]) -> Iterator[str]:
    """Tell means over few starts or episodes."""
    starts = {arm.name: n for arm in arms if (n := _num_starts(arm)) is not None}
    episodes = {
        arm.name: min(run.returns.n for run in arm.runs if run.returns)
        for arm in arms
        if any(run.returns for run in arm.runs)
    }
    for counts, unit in ((starts, "held-out starts"), (episodes, "episodes of returns")):
        few = {n for n in counts.values() if n < MIN_BOOTSTRAP_UNITS}
        if few:
            yield f"fewer than {MIN_BOOTSTRAP_UNITS} {unit} ({', '.join(map(str, sorted(few)))})"


def _num_starts(arm: Arm) -> int | None:
    """Held-out starts of an arm, None where the result does not tell."""
    if arm.interval is not None and arm.interval.unit == "start":
        return arm.interval.n
    known = [run.num_starts for run in arm.runs if run.num_starts is not None]
    return min(known, default=None)
