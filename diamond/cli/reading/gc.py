"""`diamond gc`: what no study needs, listed first, removed when told to."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from diamond.cli.reading.studies import size_text, sizes_text
from diamond.cli.widths import console
from diamond.engine.store import Store
from diamond.engine.study_history import is_sweep
from diamond.findings.estimate_files import ESTIMATES
from diamond.report.table import Cell, Row, Table
from diamond.report.terminal import terminal
from diamond.studies.garbage import WEIGHTS, Item, find_garbage, remove_garbage
from diamond.studies.study_list import all_studies, check_home, disk_sizes


def collect(home: Path, forget: Sequence[str], yes: bool, command: Sequence[str]) -> None:
    """List what can go; with `yes` remove it.

    Args:
        home: The home.
        forget: Names of studies to remove with what only they need.
        yes: Whether to remove.
        command: The words of the command, to be repeated with --yes.
    """
    store, out = Store(home), console()
    if yes:
        check_home(store)
        store.check_writable()
        sweeps = [name for name in forget if is_sweep(home / "studies" / name)]
        removed = remove_garbage(store, forget)
        _forget_trials(home, sweeps)
        out.print(f"freed {_sum_text(removed)}")
        return
    garbage = find_garbage(store, forget)
    _show_sizes(store)
    for line in garbage.kept:
        out.print(f"kept: {line}")
    if not garbage.items:
        out.print(
            "nothing to free: every stage and all imported weights belong to a study",
        )
        return
    rows = []
    for what in dict.fromkeys(("study", *(item.what for item in garbage.items))):
        found = [item for item in garbage.items if item.what == what]
        if found:
            size = size_text(sum(item.num_bytes for item in found))
            names = ", ".join(item.path.name for item in found)
            labels = {"study": f"study {names}", WEIGHTS: "imported weights"}
            label = labels.get(what, what)
            rows.append(Row(label, "arm", (Cell(str(len(found))), Cell(size))))
    table = Table(f"Needed by no study in {home}", ("what", "number", "size"), tuple(rows))
    out.print(terminal(table, out.width))
    out.print()
    out.print(
        f"nothing was removed. To free {_sum_text(garbage.items)}:\n"
        f"  {shlex.join(['diamond', *command, '--yes'])}",
        soft_wrap=True,
    )
    if forget:
        out.print(
            "Runs of the study stay in the tracking store; remove them in `diamond ui`.",
        )


def _show_sizes(store: Store) -> None:
    """Say what each study of a home takes; nothing where it has none."""
    out, studies = console(), all_studies(store)
    if not studies:
        return
    sizes, shared = disk_sizes(store, studies)
    rows = (
        Row(name, "arm", (Cell(size_text(size.own)), Cell(size_text(size.shared))))
        for name, size in sizes.items()
    )
    table = Table(f"Studies in {store.home}", ("study", "own size", "shared"), tuple(rows))
    out.print(terminal(table, out.width))
    out.print()
    out.print(sizes_text(sizes, shared))


def _forget_trials(home: Path, sweeps: Sequence[str]) -> None:
    """Delete the trials of sweeps from the journal of a home; other storages keep theirs."""
    if not sweeps:
        return
    from diamond.sweep.addresses import default_storage
    from diamond.sweep.storage import forget_study

    for name in sweeps:
        forget_study(default_storage(home), name)


def _sum_text(items: Sequence[Item]) -> str:
    files = sum(item.what in (ESTIMATES, WEIGHTS) for item in items)
    counts = {"folder": len(items) - files, "file": files}
    parts = [f"{num} {name}{'' if num == 1 else 's'}" for name, num in counts.items() if num]
    size = size_text(sum(item.num_bytes for item in items))
    return f"{size} in {' and '.join(parts) or '0 folders'}"
