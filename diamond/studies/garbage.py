"""Stages and imported weights that no study needs, and their removal."""

import shutil
from collections.abc import Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from diamond.engine.files import is_in_use, locked
from diamond.engine.needed_stages import FILE_NAME as NEEDS_FILE
from diamond.engine.needed_stages import needed_stages
from diamond.engine.stage_claim import Claim, living_holders
from diamond.engine.stage_folders import WORK
from diamond.engine.store import TRASH, Store
from diamond.engine.study_history import FILE_NAME, LOCK_NAME, RUNNING_NAME
from diamond.errors import RequestError
from diamond.findings.estimate_files import ESTIMATES, estimate_files
from diamond.studies.study_list import (
    Study,
    all_studies,
    damaged_studies,
    file_bytes,
    find_study,
    folder_bytes,
)
from diamond.weights.imported_weights import (
    named_weights,
    removing_weights,
    stored_weights,
    unfinished_weights,
)

WEIGHTS = "weights"
"""What an item is that is a file of imported weights."""


@dataclass(frozen=True)
class Item:
    """A folder, or file of weights or estimates, that nobody needs.

    Attributes:
        what: Name of its stage, or study, weights, estimates, trash.
    """

    path: Path
    what: str
    num_bytes: int


@dataclass(frozen=True)
class Garbage:
    """What can go.

    Attributes:
        items: Stages, weights, and the folders of studies that are to be forgotten.
        kept: Stages that no study needs and that a process is making, with who that is; weights,
            where it is not known whether a study needs them.
    """

    items: tuple[Item, ...]
    kept: tuple[str, ...]


def find_garbage(store: Store, forget: Sequence[str]) -> Garbage:
    """List what no study of a home needs.

    Args:
        forget: Names of studies that count as not there.

    Raises:
        StoreError: There is no such home.
        RequestError: There is no such study, a study to forget is being worked on, or it is not
            known what another one needs.
    """
    studies = [*all_studies(store), *damaged_studies(store)]
    gone = [find_study(studies, name) for name in dict.fromkeys(forget)]
    for study in gone:
        _check_idle(store, study)
    kept = [study for study in studies if study not in gone]
    _check_known(kept)
    needed = {stage for study in kept for stage in needed_stages(study.needs)}
    items = [Item(study.folder, "study", folder_bytes(study.folder)) for study in gone]
    busy = []
    documents: list[Any] = [study.entries for study in kept]
    for stage in store.stage_names():
        unneeded = [key for key in sorted(store.keys(stage)) if (stage, key) not in needed]
        holders = living_holders([Claim(store.work(stage, key)) for key in unneeded])
        for key, holder in zip(unneeded, holders, strict=True):
            if holder is None:
                folders = store.folders(stage, key)
                items += [Item(folder, stage, folder_bytes(folder)) for folder in folders]
            else:
                busy.append(f"{stage} {key}: {holder} is making it")
                documents.append(store.manifest(stage, key))
    lost = [study.name for study in kept if not study.entries]
    if lost and stored_weights(store.home):
        busy.append(f"all weights: the plans of study {lost[0]!r} are lost, it may need them")
    else:
        items += _weights(store.home, named_weights(store.home, documents))
    keys = {key for _, key in needed}
    items += [
        Item(path, ESTIMATES, file_bytes(path))
        for key, path in estimate_files(store.home)
        if key not in keys
    ]
    left = store.home / TRASH
    if left.is_dir() and any(left.iterdir()):
        items.append(Item(left, "trash", folder_bytes(left)))
    return Garbage(tuple(items), tuple(busy))


def remove_garbage(store: Store, forget: Sequence[str]) -> tuple[Item, ...]:
    """Remove what no study needs, and the studies to forget; returns what went.

    A folder is renamed out of the home's sight before it is deleted, so that no half of it is ever
    taken for a stage. No plan can be made meanwhile.
    """
    trash = store.home / TRASH
    (store.home / "studies").mkdir(exist_ok=True)
    # Whoever brings weights holds their lock while it waits for that of the plans.
    with removing_weights(store.home), locked(store.home / "studies" / LOCK_NAME):
        garbage = find_garbage(store, forget)
        trash.mkdir(exist_ok=True)
        removed = [item for item in garbage.items if _move_away(item, trash)]
    shutil.rmtree(trash)
    return tuple(removed)


def _check_known(kept: Sequence[Study]) -> None:
    """Refuse to go on while it is not known which stages a study needs."""
    for study in kept:
        if not study.entries and not study.needs:
            raise RequestError(
                f"it is not known which stages study {study.name!r} needs: {study.folder} has no "
                f"{FILE_NAME} that can be read, and no {NEEDS_FILE}\n"
                f"  put a copy of {FILE_NAME} back, or run the study's command again if the file "
                "is gone,\n"
                f"  or let the study go with --forget {study.name}"
            )
        if study.unknown_runs:
            raise RequestError(
                f"it is not known which stages study {study.name!r} needs: another version planned "
                f"{study.unknown_runs[0]!r}\n"
                f"  run its command again ({study.entries[-1]['command']}),\n"
                f"  or let it go with --forget {study.name}"
            )


def _move_away(item: Item, trash: Path) -> bool:
    """Rename a folder into the trash unless a process has begun to make it since."""
    if item.what == "trash":
        return True
    is_work = item.path.parent.parent.name == WORK
    if is_work and not _taken(item.path):
        return False
    target = trash / uuid4().hex
    item.path.rename(target)
    return True


def _weights(home: Path, needed: Set[str]) -> list[Item]:
    """Files of weights that are not needed, and what is left of copies that were cut short."""
    whole = [path for digest, path in stored_weights(home).items() if digest not in needed]
    paths = [*whole, *unfinished_weights(home)]
    return [Item(path, WEIGHTS, file_bytes(path)) for path in paths]


def _taken(folder: Path) -> bool:
    """Take the claim on the work on a stage, unless a process is at it."""
    claim = Claim(folder)
    return living_holders([claim]) == [None] and claim.try_acquire()


def _check_idle(store: Store, study: Study) -> None:
    if is_in_use(study.folder / RUNNING_NAME):
        raise RequestError(
            f"--forget {study.name}: a command is running this study\n"
            "  wait for it, or stop it with Ctrl-C, then try again"
        )
    for stage, key in sorted(needed_stages(study.needs)):
        holder = living_holders([Claim(store.work(stage, key))])[0]
        if holder is not None:
            raise RequestError(
                f"--forget {study.name}: {holder} is making its stage {stage}\n"
                "  wait for the command that runs it, or stop it with Ctrl-C, then try again"
            )
