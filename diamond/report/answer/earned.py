"""What the policies of a game earned, in the sentences of an answer."""

from collections.abc import Iterator, Sequence

from diamond.config.metric_table import RETURN
from diamond.config.player_names import PLAYERS
from diamond.report.answer.arm_words import listed, phrases, short
from diamond.report.answer.compared import Compared
from diamond.results.arm_model import Arm
from diamond.results.comparison_model import NO_INTERVAL, ONE_SEED

_MOST_NAMED = 6


def players(about: Compared) -> list[Arm]:
    """The arms whose policies have played, without controls."""
    arms = about.doc.arms_of(about.game, "arm")
    return [arm for arm in arms if not arm.aa and arm.mean_return("mean") is not None]


def returns_sentence(about: Compared) -> list[str]:
    """Say what each policy earned and which return is the highest, or that this is not told.

    Nothing where the answer is about returns anyway, or no policy played.
    """
    arms = players(about)
    if not arms or about.metric.name == RETURN.name:
        return []
    values = [f"{arm.written_return().text} with {short(arm)}" for arm in arms]
    if len(arms) > _MOST_NAMED:
        lowest, highest = min(arms, key=_mean), max(arms, key=_mean)
        values = [f"{one.written_return().text} with {short(one)}" for one in (lowest, highest)]
        return [f"Returns: {' to '.join(values)}{_highest(about, arms)}."]
    return [f"Returns: {', '.join(values)}{_highest(about, arms)}."]


def beside_players(about: Compared) -> Iterator[str]:
    """Say than which players, who look at no frame, the policies earn more."""
    arms = players(about)
    if about.unfounded or not arms:
        return
    beaten: list[str] = []
    not_beaten: dict[str, list[str]] = {}
    for player, name in PLAYERS.items():
        measured = [arm for arm in arms if player in arm.beside]
        below = [arm for arm in measured if (arm.beside[player].lo or 0.0) <= 0]
        if below:
            not_beaten.setdefault(phrases(below), []).append(name)
        elif measured:
            beaten.append(name)
    if beaten:
        who = "Each policy" if len(arms) > 1 else "The policy"
        yield f"{who} earns more than {listed(beaten)}."
    for names, better in not_beaten.items():
        yield f"With {names} the policy is not shown to earn more than {listed(better)}."


def _mean(arm: Arm) -> float:
    return arm.mean_return("mean") or 0.0


def _highest(about: Compared, arms: Sequence[Arm]) -> str:
    """Say which return is the highest, or why that is not told."""
    named = {arm.name: arm for arm in arms}
    rows = [
        row for row in about.doc.compared(about.game, RETURN.name) if {row.a, row.b} <= named.keys()
    ]
    if not rows or about.unfounded:
        return ""
    if all(row.decision == "undefined" for row in rows):
        once = len(about.doc.seeds) == 1 and rows[0].reason in (ONE_SEED, NO_INTERVAL)
        why = "each policy was trained once" if once else rows[0].reason
        return f"; which is the highest cannot be told: {why}"
    shown = [row for row in rows if row.is_shown]
    if not shown:
        return "; no difference between them was shown"
    pairs = [
        f"{short(named[row.a])} earns {'more' if (row.difference or 0) > 0 else 'less'} than "
        f"{short(named[row.b])}"
        for row in shown
    ]
    return f"; {listed(pairs)}"
