"""A study on its way out: what of its stages travels, and the file that it is written into."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from diamond.data.reference_files import FINALS_FILE, NATIVE_FILE
from diamond.engine.files import write_json
from diamond.engine.home import check_format
from diamond.engine.needed_stages import FILE_NAME as NEEDS_FILE
from diamond.engine.needed_stages import REPORT_FILE, Needs, needed_stages, plan_needs
from diamond.engine.output_names import FRAMES_FILE, OFF_DATA_SCORES_FILE, SCORES_FILE
from diamond.engine.sealed_json import sealed
from diamond.engine.stage_folders import STAGES_FOLDER
from diamond.engine.stage_manifest import stage_manifest, write_kept
from diamond.engine.store import Store
from diamond.engine.study_history import FILE_NAME, SWEEP_NAME, PlanEntry, entry_request
from diamond.errors import RequestError
from diamond.findings.estimate_files import ESTIMATES, estimate_files
from diamond.findings.starts_in_training import kept_known_frames, kept_seen_starts
from diamond.plan.make_plan import make_plan
from diamond.plan.plan import Plan
from diamond.stages.frames import FRAMES
from diamond.studies.compared_frames import film_starts, write_imagined_films, write_real_films
from diamond.studies.study_archive import exists, write_parcel
from diamond.studies.study_list import Study, report_of

JOURNAL_FILE = "trials.journal"
"""In the file of a sweep: its trials, as Optuna keeps them."""
Films = Mapping[str, Collection[int]]
"""The starts whose frames travel, by key of their references."""


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


def export_study(store: Store, study: Study, target: Path, journal: Path | None) -> Sent:
    """Write a study into a file: there whole, or not at all.

    Args:
        study: Of that home.
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
        plan = planned(study.name, study.entries[-1], study.needs)
        for run in (run for arm in plan.arms for run in arm.runs):
            kept_seen_starts(run, store)  # Where it arrives, there are no frames to look in.
            kept_known_frames(run, store)
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
        films = _films(store, done) if journal is None else {}
        for stage, key in done:
            place = f"{STAGES_FOLDER}/{stage}/{key}"
            part = Path(made) / place
            _write_stage(store, stage, key, films, part)
            for path in part.rglob("*"):
                if path.is_file():
                    files[f"{place}/{path.relative_to(part).as_posix()}"] = path
        files |= _seen_starts(store, done)
        write_parcel(target, study.name, files)
    return Sent(len(done), len(needed) - len(done), target.stat().st_size)


def planned(study: str, entry: PlanEntry, needs: Needs) -> Plan:
    """The plan of an entry of a history, whose stages are those that were written down.

    Args:
        needs: The stages that the study needs.

    Raises:
        RequestError: It cannot be planned, or has other stages.
    """
    try:
        plan = make_plan(entry_request(entry))
    except RequestError as error:
        raise RequestError(
            f"study {study!r} cannot be planned from what it recorded: {error}"
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


def _write_stage(store: Store, stage: str, key: str, films: Films, part: Path) -> None:
    """Write what travels of a finished stage into a folder.

    Raises:
        StoreError: It is damaged.
    """
    source = store.whole_folder(stage, key)
    manifest = stage_manifest(source)
    there = manifest["outputs"].keys() - manifest["dropped"]

    def fill(folder: Path) -> None:
        if NATIVE_FILE in there and key in films:
            write_real_films(source, films[key], folder)
        elif FRAMES_FILE in there and manifest["upstream"].get("references") in films:
            write_imagined_films(store, manifest, folder)

    write_kept(source, part, [name for name in there if not _travels(name)], fill)


def _seen_starts(store: Store, done: Iterable[tuple[str, str]]) -> dict[str, Path]:
    """Which starts training frames have too, as it is kept beside them: they do not travel."""
    frames = {key for stage, key in done if stage == FRAMES.name}
    return {
        f"{ESTIMATES}/{path.name}": path
        for key, path in estimate_files(store.home)
        if key in frames
    }


def _travels(name: str) -> bool:
    """Whether an output travels: scores, returns, what is small and plain, last real frames."""
    return name in (SCORES_FILE, OFF_DATA_SCORES_FILE, FINALS_FILE) or name.endswith(".json")


def _films(store: Store, done: Iterable[tuple[str, str]]) -> Films:
    """The films of all rollouts, of every seed: any one may come first where it arrives.

    Raises:
        StoreError: References are damaged.
    """
    found: dict[str, set[int]] = {}
    for stage, key in done:
        if stage == "rollouts":
            manifest = stage_manifest(store.folder(stage, key))
            real = manifest["upstream"]["references"]
            if real not in found and store.is_published("references", real):
                store.whole_folder("references", real)
                found[real] = set()
            if real in found:
                found[real].update(film_starts(store, manifest))
    return found
