"""A study on its way out: what of its stages travels, and the file that it is written into."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from diamond.ablation.plan import Plan, make_plan
from diamond.errors import RequestError
from diamond.pipeline.files import digest, write_json
from diamond.pipeline.films import (
    FILMS,
    film_lengths,
    save_imagined_films,
    save_real_films,
    stored_references,
)
from diamond.pipeline.history import FILE_NAME, SWEEP_NAME, entry_request
from diamond.pipeline.home import check_format
from diamond.pipeline.needs import FILE_NAME as NEEDS_FILE
from diamond.pipeline.needs import REPORT_FILE, Needs, needed_stages, plan_needs
from diamond.pipeline.outputs import EVENTS_FILE, FRAMES_FILE, MANIFEST_FILE, SCORES_FILE
from diamond.pipeline.parcel import exists, write_parcel
from diamond.pipeline.sealed import sealed
from diamond.pipeline.store import STAGES_FOLDER, Store, stage_manifest, write_manifest
from diamond.pipeline.studies import Study, report_of

JOURNAL_FILE = "trials.journal"
"""In the file of a sweep: its trials, as Optuna keeps them."""


@dataclass(frozen=True)
class Sent:
    """What was written.

    Attributes:
        num_stages: Finished stages.
        num_left: Stages that are not finished, of which nothing travels.
        num_bytes: Size of the file.
    """

    num_stages: int
    num_left: int
    num_bytes: int


@dataclass(frozen=True)
class _Films:
    """The starts whose frames travel, by key of the stage; of references also the time steps."""

    rollouts: Mapping[str, list[int]]
    references: Mapping[str, tuple[list[int], int]]


def export_study(store: Store, study: Study, target: Path, journal: Path | None) -> Sent:
    """Write a study into a file: there whole, or not at all.

    Args:
        store: The home.
        study: Of that home.
        target: The file to make.
        journal: Trials of a sweep, None for an ablation.

    Raises:
        RequestError: The file exists, or nothing of the study is finished, or its runs cannot be
            planned from what it recorded.
        StoreError: A stage, or what is known of the study, is damaged.
    """
    check_format(store.home)
    if target.exists() or target.is_symlink():
        raise exists(target)
    if journal is None:
        planned(study.name, study.entries[-1], study.needs)
    needed = sorted(needed_stages(study.needs))
    done = [one for one in needed if store.is_published(*one)]
    if not done:
        raise RequestError(
            f"nothing of study {study.name!r} is finished, so there is nothing to export\n"
            f"  this goes on with it: {study.entries[-1]['command']}"
        )
    with TemporaryDirectory() as made:
        files = _study_files(study, Path(made), journal)
        # The report of a sweep shows none.
        films = _films(store, study.needs) if journal is None else _Films({}, {})
        for stage, key in done:
            folder = Path(made) / STAGES_FOLDER / stage / key
            folder.mkdir(parents=True)
            for name, path in _stage_files(store.whole_folder(stage, key), films, folder).items():
                files[f"{STAGES_FOLDER}/{stage}/{key}/{name}"] = path
        write_parcel(target, study.name, files)
    return Sent(len(done), len(needed) - len(done), target.stat().st_size)


def planned(study: str, entry: Mapping[str, Any], needs: Needs) -> Plan:
    """The plan of an entry of a history, whose stages are those that were written down.

    Args:
        study: Its name.
        entry: The entry.
        needs: The stages that the study needs.

    Raises:
        RequestError: It cannot be planned, or has other stages.
    """
    try:
        plan = make_plan(entry_request(entry))
    except RequestError as error:
        raise RequestError(
            f"study {study!r} cannot be planned from what it recorded, so it cannot travel: {error}"
        ) from None
    for name, stages in plan_needs(plan).items():
        for stage, key in stages.items():
            if needs.get(name, {}).get(stage) != key:
                raise RequestError(
                    f"the {stage} of {name!r} in study {study!r} is not what this version of "
                    "diamond plans: another version made it, or `diamond fidelity`, whose "
                    f"scorings stay in their home\n  run its command again: {entry['command']}"
                )
    return plan


def _study_files(study: Study, made: Path, journal: Path | None) -> dict[str, Path]:
    write_json(made / NEEDS_FILE, sealed(study.needs))
    files = {FILE_NAME: study.folder / FILE_NAME, NEEDS_FILE: made / NEEDS_FILE}
    if journal is not None:
        files |= {SWEEP_NAME: study.folder / SWEEP_NAME, JOURNAL_FILE: journal}
        if report_of(study) is not None:
            files[REPORT_FILE] = study.folder / REPORT_FILE
    return files


def _stage_files(source: Path, films: _Films, made: Path) -> dict[str, Path]:
    """What travels of a finished stage, by its name in there; what is new is written."""
    manifest = stage_manifest(source)
    there = {name for name in manifest["outputs"] if name not in manifest["dropped"]}
    kept = {name: source / name for name in there if _travels(name)}
    if source.name in films.references:
        starts, horizon = films.references[source.name]
        save_real_films(stored_references(source), starts, horizon, made / FILMS)
    elif source.name in films.rollouts:
        frames = np.load(source / FRAMES_FILE, mmap_mode="r", allow_pickle=False)
        save_imagined_films(frames, films.rollouts[source.name], made / FILMS)
    new = {path.relative_to(made).as_posix(): path for path in made.glob(f"{FILMS}/*")}
    dropped = sorted(manifest["outputs"].keys() - kept.keys())
    outputs = manifest["outputs"] | {name: digest(path) for name, path in new.items()}
    write_manifest(made, manifest | {"outputs": outputs, "dropped": dropped})
    own = {MANIFEST_FILE: made / MANIFEST_FILE, EVENTS_FILE: source / EVENTS_FILE}
    return kept | new | own


def _travels(name: str) -> bool:
    """Whether an output travels: scores, returns, what is small and plain, and films."""
    return name == SCORES_FILE or name.endswith(".json") or name.startswith(f"{FILMS}/")


def _films(store: Store, needs: Needs) -> _Films:
    """The films of a report, of the first run of every arm, where the frames are still there."""
    rollouts: dict[str, list[int]] = {}
    references: dict[str, tuple[list[int], int]] = {}
    for key in _first_rollouts(store, needs):
        folder = store.folder("rollouts", key)
        manifest = stage_manifest(folder)
        real = manifest["upstream"]["references"]
        if FRAMES_FILE in manifest["dropped"] or not store.is_published("references", real):
            continue
        config = manifest["config"]["rollouts"]
        horizon, source = config["horizon_steps"], store.folder("references", real)
        rollouts[key] = list(film_lengths(stored_references(source), config["num_starts"], horizon))
        if not stage_manifest(source)["dropped"]:
            before = references.get(real, ([], 0))
            starts = sorted({*before[0], *rollouts[key]})
            references[real] = (starts, max(before[1], horizon))
    return _Films(rollouts, references)


def _first_rollouts(store: Store, needs: Needs) -> set[str]:
    """Of each arm and game the rollouts of the first seed that has some."""
    found: dict[str, tuple[int, str]] = {}
    for name, stages in needs.items():
        arm, _, seed = name.rpartition(" | ")
        arm, number = (arm, int(seed)) if seed.isdecimal() else (name, 0)
        key = stages.get("rollouts")
        if key is not None and store.is_published("rollouts", key):
            found[arm] = min(found.get(arm, (number, key)), (number, key))
    return {key for _, key in found.values()}
