"""Which arm was made on what, where the stages of a study come from several kinds of machines."""

from collections.abc import Iterable, Sequence
from itertools import combinations

from diamond.report.table import Cell, Row, Table
from diamond.results.arm_model import Arm, Machine, are_several_kinds
from diamond.results.model import Result
from diamond.results.number_text import ABSENT


def machines_table(doc: Result) -> Table:
    """Return what each arm was made on; empty where all stages come from one kind of machine."""
    arms = [*doc.arms, *doc.controls]
    several = len(doc.games) > 1
    columns = ("arm", *(["game"] if several else []), "made on", "hosts", "stages")
    rows = [
        Row(
            arm.name,
            arm.kind,
            (
                *([Cell(arm.game)] if several else []),
                Cell(kind),
                Cell(", ".join(dict.fromkeys(one.host for one in made if one.host)) or ABSENT),
                Cell(_stages(arm, kind)),
            ),
        )
        for arm in arms
        for kind, made in _by_kind([arm]).items()
    ]
    return Table("Made on", columns, tuple(rows) if _are_several(arms) else (),
                 words=frozenset(columns[1:]))  # fmt: skip


def machines_sentence(doc: Result, game: str) -> str:
    """Say which arms of a game were made on what; empty where it is one kind of machine."""
    arms = doc.arms_of(game, "arm")
    if not _are_several(arms):
        return ""
    told = (
        f"{kind}: {', '.join(arm.name for arm in arms if kind in _by_kind([arm]))}"
        for kind in _by_kind(arms)
    )
    return f"Made on: {'; '.join(told)}."


def machines_clause(arms: Sequence[Arm]) -> str:
    """Warn of arms that are compared and whose own stages come from several kinds of machines.

    A stage that two arms share is the same for both, wherever it was made.
    """
    found: dict[str, dict[str, None]] = {}
    for pair in combinations(arms, 2):
        for runs in zip(*(arm.runs for arm in pair), strict=False):
            for name in (name for name in runs[0].stages if name in runs[1].stages):
                stages = [run.stages[name] for run in runs]
                made = [stage.machine for stage in stages if stage.machine is not None]
                if stages[0].key != stages[1].key and are_several_kinds(made):
                    for arm, one in zip(pair, made, strict=True):
                        found.setdefault(one.kind, {})[arm.name] = None
    if not found:
        return ""
    told = ", ".join(f"{kind} with {' and '.join(names)}" for kind, names in found.items())
    return (
        f"arms that are compared were made on several kinds of machines ({told}): single frames "
        "may differ by rounding alone, and times do not compare"
    )


def _are_several(arms: Iterable[Arm]) -> bool:
    return are_several_kinds(one for made in _by_kind(arms).values() for one in made)


def _by_kind(arms: Iterable[Arm]) -> dict[str, list[Machine]]:
    """The machines of all stages by their kind."""
    found: dict[str, list[Machine]] = {}
    for arm in arms:
        for run in arm.runs:
            for stage in run.stages.values():
                if stage.machine is not None:
                    found.setdefault(stage.machine.kind, []).append(stage.machine)
    return found


def _stages(arm: Arm, kind: str) -> str:
    """The stages of an arm that machines of a kind made, with their seeds where it is not all."""
    found: dict[str, list[str]] = {}
    needed: dict[str, list[str]] = {}
    for run in arm.runs:
        for name, stage in run.stages.items():
            needed.setdefault(name, []).append(str(run.seed))
            if stage.machine is not None and stage.machine.kind == kind:
                found.setdefault(name, []).append(str(run.seed))
    return ", ".join(
        name if seeds == needed[name] else f"{name} (seed {', '.join(seeds)})"
        for name, seeds in found.items()
    )
