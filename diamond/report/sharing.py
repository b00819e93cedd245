"""What arms cost together, because they share stages, against each of them run apart."""

from dataclasses import dataclass

from diamond.report.table import Cell, Row, Table
from diamond.results.arm_model import Arm
from diamond.results.model import Result
from diamond.results.number_text import number


@dataclass(frozen=True)
class SharedCost:
    """The cost of an arm, and of all arms up to it, in seconds of stages on one process.

    Attributes:
        arm: Its name.
        alone: All its stages, those of all seeds, each once.
        added: Those of them that no arm above it has.
        together: Stages of this arm and those above it, each once.
        apart: The same, each as often as there are arms that need it.
    """

    arm: str
    alone: float
    added: float
    together: float
    apart: float

    @property
    def ratio(self) -> float:
        """What the arms so far cost together, as a share of what they cost apart."""
        return self.together / self.apart


def shared_costs(doc: Result, game: str) -> list[SharedCost]:
    """Return what the arms of a game cost, in their order.

    Baselines without training and arms that have not come to their end are left out.
    """
    unfinished = {failure.arm for failure in doc.failures(game)}
    found: list[SharedCost] = []
    seen: set[tuple[str, str]] = set()
    together = apart = 0.0
    for arm in doc.arms_of(game):
        own = _seconds(arm)
        alone = sum(own.values())
        pending = any(run.state == "pending" for run in arm.runs)
        if arm.kind != "arm" or arm.name in unfinished or pending or not alone:
            continue
        added = sum(seconds for stage, seconds in own.items() if stage not in seen)
        seen |= own.keys()
        together, apart = together + added, apart + alone
        found.append(SharedCost(arm.name, alone, added, together, apart))
    return found


def sharing_table(doc: Result, game: str) -> Table:
    """Return the cost of the arms as they are added one by one; empty below two arms."""
    found = shared_costs(doc, game)
    rows = [
        Row(
            cost.arm,
            "arm",
            (
                Cell(number(cost.alone, 0)),
                Cell(number(cost.added, 0)),
                Cell(number(cost.ratio, 2)),
            ),
        )
        for cost in found
    ]
    columns = ("arm", "alone [s]", "beyond the arms above [s]", "together / apart so far")
    return Table(f"Stages shared: {game}", columns, tuple(rows) if len(rows) > 1 else ())


def sharing_sentence(doc: Result) -> str:
    """Say what sharing stages saved over all games; empty where nothing could be shared."""
    last = [costs[-1] for game in doc.games if len(costs := shared_costs(doc, game)) > 1]
    if not last:
        return ""
    together, apart = sum(cost.together for cost in last), sum(cost.apart for cost in last)
    return (
        f"The stages of the arms take {together:.0f} s on one process, each made once; run apart "
        f"the arms would take {apart:.0f} s: together they cost {together / apart:.2f} of that."
    )


def _seconds(arm: Arm) -> dict[tuple[str, str], float]:
    """Seconds per stage and key of all runs of an arm."""
    return {
        (stage, entry.key): entry.seconds for run in arm.runs for stage, entry in run.stages.items()
    }
