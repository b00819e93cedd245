"""`diamond studies` and `diamond show`: what a home holds, and one study of it once more."""

import re
import shlex
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from diamond.cli.documents import report_places
from diamond.cli.widths import console
from diamond.engine.needed_stages import REPORT_FILE
from diamond.engine.store import Store
from diamond.engine.study_history import is_sweep
from diamond.errors import StoreError
from diamond.report.answer.answers import answered
from diamond.report.table import Cell, Row, Table, Tone
from diamond.report.terminal import terminal
from diamond.results.model import Result
from diamond.studies.study_list import (
    DiskSize,
    RunState,
    StageStates,
    Study,
    all_studies,
    damaged_studies,
    disk_sizes,
    named_study,
    report_of,
)

STATES: tuple[RunState, ...] = ("done", "failed", "begun", "pending")
TONES: Mapping[RunState, Tone] = {"done": "", "failed": "bad", "begun": "soft", "pending": "soft"}
COLUMNS = {
    "varies": 6,
    "preset": 1,
    "games": 3,
    "arms": 2,
    "seeds": 1,
    "runs": 5,
    "last": 4,
    "own size": 2,
    "shared": 0,
}
"""Columns of the table of studies and their ranks: the lowest goes first where there is no room."""
WORDS = frozenset({"varies", "preset", "games", "runs", "last"})


def show_studies(home: Path) -> None:
    """List the studies of a home, the newest first."""
    store, out = Store(home), console()
    studies = all_studies(store)
    for study in damaged_studies(store):
        out.print(
            f"study {study.name!r} cannot be listed: what it was asked is lost, {study.folder}",
            soft_wrap=True,
        )
    if not studies:
        out.print(
            f"no studies in {str(home)!r} yet; make one, for instance: diamond ablate steps=1,3,10",
        )
        return
    states, (sizes, shared) = StageStates(store), disk_sizes(store, studies)
    rows = (_study_row(study, states, sizes[study.name]) for study in studies)
    heads, ranks = zip(*COLUMNS.items(), strict=True)
    table = Table(f"Studies in {home}", ("study", *heads), tuple(rows), "", WORDS, ranks=ranks)
    out.print(terminal(table, out.width))
    out.print()
    out.print(sizes_text(sizes, shared))
    out.print("`diamond show STUDY` prints a result, `diamond gc` frees what no study needs.")


def _study_row(study: Study, states: StageStates, size: DiskSize) -> Row:
    texts = (
        _varied(study),
        ", ".join(study.presets),
        ", ".join(study.games),
        str(len(study.arms)),
        str(study.num_seeds),
        counts_text(states.runs(study)),
        time.strftime("%Y-%m-%d %H:%M", time.localtime(study.last_time)),
        size_text(size.own),
        size_text(size.shared),
    )
    return Row(study.name, "arm", tuple(map(Cell, texts)))


def show_study(home: Path, name: str) -> None:
    """Print the result of a study from its report; without one, how far its runs are."""
    store, out = Store(home), console()
    study = named_study(store, name)
    states, result = StageStates(store), report_of(study)
    counts = states.runs(study)
    if result is not None:
        from diamond.cli.result_view import show_result

        show_result(placed(result, study))
    if result is None and counts["done"] == counts.total():
        lost = f"its result {study.folder / REPORT_FILE} is missing; its command writes it again"
        out.print(lost, soft_wrap=True)
    if result is None or counts["done"] < counts.total():
        _show_progress(study, states, counts)
    command = study.entries[-1]["command"]
    if result is not None:
        command = _moved(command, result.paths.home, str(home))
    out.print(f"command: {command}", soft_wrap=True)


def placed(result: Result, study: Study) -> Result:
    """The result of a study with the places where it is now: the home may have been moved.

    The answer names them, so it is made again.
    """
    home = str(study.folder.parent.parent)

    def moved(command: str | None) -> str | None:
        return None if command is None else _moved(command, result.paths.home, home)

    places = report_places(result.paths, study.folder, moved(result.paths.mlflow_command))
    changes = {"home": home, "dashboard_command": moved(places.dashboard_command)}
    update = {"paths": places.model_copy(update=changes), "command": moved(result.command)}
    return answered(result.model_copy(update=update))


def _moved(command: str, old: str | None, home: str) -> str:
    """A command with the folder of its home as it is now."""
    if old is None or old == home:
        return command
    before, after = re.escape(shlex.quote(old)), shlex.quote(home)
    return re.sub(rf"(?<![\w.-]){before}(?=[/\s]|$)", lambda _: after, command)


def _varied(study: Study) -> str:
    """What the arms of a study vary; of a sweep, what it searches."""
    if not is_sweep(study.folder):
        return ", ".join(study.axes) or "nothing"
    try:
        result = report_of(study)
    except StoreError:
        return f"sweep, its {REPORT_FILE} is damaged"
    space = () if result is None or result.search is None else result.search.space
    return f"sweep: {', '.join(one.name for one in space)}".rstrip(": ")


def counts_text(counts: "Counter[RunState]") -> str:
    """Say how many runs are in each state, leaving out those without any."""
    return ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state])


def size_text(num_bytes: float) -> str:
    """Write a size in the unit that leaves at most three digits before the point."""
    for unit in ("B", "kB", "MB", "GB"):
        if num_bytes < 1000:
            return f"{num_bytes:.0f} {unit}" if unit in ("B", "kB") else f"{num_bytes:.1f} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:.1f} TB"


def sizes_text(sizes: Mapping[str, DiskSize], shared: int) -> str:
    """Say what the sizes of studies mean, and what all of them take together.

    Args:
        sizes: Of each study.
        shared: Bytes of what several of them need, counted once.
    """
    total = sum(size.own for size in sizes.values()) + shared
    return (
        "Own size: what only this study needs. Shared: what others need as well, so it is in the "
        f"line of each of them. Together {size_text(total)}: the shared {size_text(shared)} count "
        "once."
    )


def _show_progress(study: Study, states: StageStates, counts: "Counter[RunState]") -> None:
    rows = []
    arms = set(study.arms)
    for name, stages in study.needs.items():
        arm, game, seed = (*name.rsplit(" | ", 2), "", "")[:3]
        if arm not in arms:
            continue
        state, text = states.run(stages)
        cells = (Cell(game), Cell(seed), Cell(state, tone=TONES[state]), Cell(text))
        rows.append(Row(arm, "arm", cells))
    columns = ("arm", "game", "seed", "state", "how far")
    words = frozenset({"game", "how far"})
    title = f"{study.name}: {counts_text(counts)}"
    out = console()
    out.print(terminal(Table(title, columns, tuple(rows), words=words), out.width))
    out.print()
