"""What no finding can be made from: presets that learn nothing, and dead parts of agents."""

from collections.abc import Iterable, Sequence

from diamond.config.metric_table import METRIC_OF, RETURN
from diamond.results.arm_model import Arm
from diamond.results.comparison_model import Comparison
from diamond.results.values import MEAN

UNTRAINED_PRESET = "smoke"
UNTRAINED = "the preset smoke is for tests and learns nothing"
UNIFORM = "a policy is nearly uniform"
BLIND_TO_REWARDS = "the reward model sees no reward on real frames"
UNIFORM_ENTROPY = 0.98
"""Entropy of a policy over that of chance, from which on it has hardly learnt to choose."""
_RECALLS = ("reward_recall_negative_real", "reward_recall_positive_real")


def is_uniform(entropy: float) -> bool:
    """Whether a policy has hardly learnt to choose."""
    return entropy > UNIFORM_ENTROPY


def sees_no_reward(arm: Arm) -> bool:
    """Whether the reward model of an arm misses every reward of the real frames."""
    found = [one.mean for name in _RECALLS if (one := arm.estimate(name, MEAN))]
    return bool(found) and not any(found)


def founded(rows: Iterable[Comparison], arms: Sequence[Arm], preset: str) -> tuple[Comparison, ...]:
    """Give a reason to the comparisons that nothing follows from.

    Args:
        rows: Comparisons before their correction.
        arms: Of all games.
        preset: Where the configuration begins.

    Returns:
        The rows in their order; one with a reason of its own keeps it.
    """
    named = {(arm.game, arm.name): arm for arm in arms}
    return tuple(
        row
        if row.reason is not None
        else row.model_copy(update={"reason": _reason(row, named, preset)})
        for row in rows
    )


def _reason(row: Comparison, arms: dict[tuple[str, str], Arm], preset: str) -> str | None:
    if preset == UNTRAINED_PRESET:
        return UNTRAINED
    both = [arm for name in (row.a, row.b) if (arm := arms.get((row.game, name)))]
    if row.metric == RETURN.name:
        entropies = [arm.estimate("policy_entropy", MEAN) for arm in both]
        return UNIFORM if any(one and is_uniform(one.mean) for one in entropies) else None
    spec = METRIC_OF.get(row.metric)
    if spec is not None and spec.group == "reward and end" and any(map(sees_no_reward, both)):
        return BLIND_TO_REWARDS
    return None
