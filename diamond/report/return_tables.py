"""Returns in the real game: tables, and how to read them; it loads no matplotlib."""

from collections.abc import Iterator

from diamond.config.player_names import PLAYERS
from diamond.report.table import Cell, Row, Table
from diamond.report.tables import estimate_cell
from diamond.results.arm_model import Arm, Run
from diamond.results.model import Result
from diamond.results.number_text import ABSENT, signed, written
from diamond.results.returns_model import PlayerPoints, Points, PolicyPoints


def player_text(found: PlayerPoints) -> str:
    """Name a player, with the action that it always takes."""
    name = PLAYERS[found.player]
    return name if found.action is None else f"{name} ({found.action})"


def returns_table(doc: Result, game: str) -> Table:
    """Return what each policy earned in the real game, also with sticky actions: a line each."""
    rows = []
    for arm, run, sticky, found in _measured(doc, game):
        hns = run.returns.hns if run.returns and not sticky else None
        cells = (
            Cell(str(run.seed)),
            Cell(sticky),
            estimate_cell(found),
            Cell(written(hns).text),
            *_episodes(found),
        )
        rows.append(Row(arm.name, "arm", cells))
    columns = ("arm", "seed", "sticky actions", "mean return", "HNS", "episodes", "distinct")
    return Table(game, columns, tuple(rows))


def players_table(doc: Result, game: str) -> Table:
    """Return what players earned that look at no frame, and how much more each policy did."""
    rows = []
    for arm, run, sticky, found in _measured(doc, game):
        for other in found.players:
            cells = (
                Cell(str(run.seed)),
                Cell(sticky),
                Cell(player_text(other)),
                estimate_cell(other),
                Cell(*signed(other.difference, other.difference_lo, other.difference_hi)),
                *_episodes(other),
            )
            rows.append(Row(arm.name, "arm", cells))
    columns = ("arm", "seed", "sticky actions", "player", "its mean return", "policy minus player",
               "episodes", "distinct")  # fmt: skip
    title = f"{game}: players that look at no frame"
    return Table(title, columns, tuple(rows), words=frozenset({"player"}))


def returns_sentences(doc: Result) -> list[str]:
    """Say how the intervals of returns were made, and why some are not there."""
    measured = [row for game in doc.games for row in _measured(doc, game)]
    if not any(found.players for _, _, _, found in measured):
        return []
    reasons: dict[str, None] = {}
    for arm, _, _, found in measured:
        where = f"{arm.name}, {arm.game}" if len(doc.games) > 1 else arm.name
        for other in found.players:
            if other.difference_reason:
                about = f"{where}, difference to {PLAYERS[other.player]}"
                reasons[f"{about}: {other.difference_reason}."] = None
    return [
        "Intervals of returns are 95% bootstrap intervals over the episodes of one trained policy, "
        "those of differences Welch's t intervals over unpaired episodes. They hold for this "
        "policy, are not corrected for their number and say nothing of training again.",
        "Blind play draws actions as often as the policy took them and looks at no frame: what a "
        "policy earns more, it earns by reacting. The constant action is the best of three that "
        "were chosen by other episodes.",
        *reasons,
    ]


def _measured(doc: Result, game: str) -> Iterator[tuple[Arm, Run, str, PolicyPoints]]:
    """What the policy of each run earned: as the study plays, and with sticky actions."""
    for arm in doc.arms_of(game, "arm"):
        for run in arm.runs:
            if run.returns is None:
                continue
            yield arm, run, "", run.returns
            if run.returns.sticky is not None:
                yield arm, run, f"{run.returns.sticky.sticky_actions:g}", run.returns.sticky


def _episodes(found: Points) -> tuple[Cell, Cell]:
    distinct = ABSENT if found.distinct is None else str(found.distinct)
    return Cell(str(found.n)), Cell(distinct)
