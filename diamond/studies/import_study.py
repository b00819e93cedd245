"""A study that arrives in a file: checked as a whole, joined with what the home has, published.

Everything is unpacked and compared out of the home's sight. Then stages are renamed into place, and
last of all the study is told of them: what is cut short in between is seen by no study.
"""

import shlex
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from diamond.engine.files import is_in_use, locked, read_json, write_json
from diamond.engine.needed_stages import FILE_NAME as NEEDS_FILE
from diamond.engine.needed_stages import (
    REPORT_FILE,
    Needs,
    join_needs,
    needed_stages,
    plan_needs,
    read_needs,
    written_needs,
)
from diamond.engine.output_names import MANIFEST_FILE
from diamond.engine.provenance import made_on
from diamond.engine.sealed_json import is_whole, sealed
from diamond.engine.stage_folders import STAGES_FOLDER
from diamond.engine.stage_manifest import (
    Manifest,
    damage_of,
    kept_digests,
    read_manifest,
    stage_manifest,
)
from diamond.engine.store import Store
from diamond.engine.study_history import (
    FILE_NAME,
    LOCK_NAME,
    RUNNING_NAME,
    SWEEP_NAME,
    PlanEntry,
    entry_request,
    find_contradiction,
    is_sweep,
    read_entries,
    with_plan,
)
from diamond.errors import RequestError
from diamond.findings.estimate_files import ESTIMATES, estimate_files
from diamond.plan.joined_requests import command_words, join_requests
from diamond.plan.make_plan import make_plan
from diamond.plan.plan import Plan
from diamond.studies.export_study import JOURNAL_FILE, planned
from diamond.studies.study_archive import damaged, open_parcel

ARRIVING = ".arriving"
"""In a home: what an import unpacked."""
BringTrials = Callable[[Path, str, Path], None]
"""Brings the trials of a sweep: told the home, the name of the study, the journal in the file."""


@dataclass(frozen=True)
class Received:
    """What became of a file.

    Attributes:
        plan: All that is known of an ablation now; None for a sweep.
        command: What goes on with it in this home.
        num_new: Stages that the home did not have.
        num_known: Stages that it had, with equal outputs.
    """

    study: str
    plan: Plan | None
    command: str
    num_new: int
    num_known: int


@dataclass(frozen=True)
class _Arrived:
    """What was in a file, unpacked and whole.

    Attributes:
        folder: Where it was unpacked.
        entries: The plans of the study.
        needs: The stages of its runs.
        stages: Stage and key of what was finished.
    """

    path: Path
    study: str
    folder: Path
    entries: list[PlanEntry]
    needs: Needs
    stages: tuple[tuple[str, str], ...]

    @property
    def is_sweep(self) -> bool:
        """Whether its arms are the trials of a sweep."""
        return is_sweep(self.folder)

    def stage(self, stage: str, key: str) -> Path:
        """The folder of a stage."""
        return self.folder / STAGES_FOLDER / stage / key


def import_study(store: Store, path: Path, bring_trials: BringTrials) -> Received:
    """Join the study in a file with what a home has of it.

    Args:
        store: The home, made where it is missing.
        path: What `diamond.studies.export_study.export_study` wrote.
        bring_trials: Called for a sweep that the home does not have.

    Raises:
        RequestError: There is no such file, or it and the home disagree; nothing was imported.
        StoreError: The file is damaged or of another version, or the home is.
    """
    with open_parcel(path) as parcel:
        store.check_writable()
        studies = store.home / "studies"
        studies.mkdir(exist_ok=True)
        # Nobody plans, and `diamond gc` removes nothing, until the study needs what it brings.
        with locked(studies / LOCK_NAME), _out_of_sight(store.home) as folder:
            parcel.unpack(folder)
            arrived = _read(path, parcel.study, folder)
            _check_idle(studies / arrived.study)
            if arrived.is_sweep:
                return _take_sweep(arrived, store, bring_trials)
            return _take_ablation(arrived, store)


@contextmanager
def _out_of_sight(home: Path) -> Iterator[Path]:
    """An empty folder for one import at a time; what a killed one left goes."""
    folder = home / ARRIVING
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _read(path: Path, study: str, folder: Path) -> _Arrived:
    if Path(study).name != study or study.startswith("."):
        raise damaged(path, f"{study!r} cannot be the name of a study")
    entries, needs = read_json(folder / FILE_NAME), written_needs(folder)
    if not isinstance(entries, list) or not entries or not all(map(is_whole, entries)):
        raise damaged(path, f"its {FILE_NAME} is not as it was written")
    if needs is None:
        raise damaged(path, f"its {NEEDS_FILE} is not as it was written")
    stages = sorted((one.parent.name, one.name) for one in folder.glob(f"{STAGES_FOLDER}/*/*"))
    needed = needed_stages(needs)
    for stage, key in stages:
        if (stage, key) not in needed:
            raise damaged(path, f"no run of it needs its stage {stage} {key}")
        wrong = _wrong(folder / STAGES_FOLDER / stage / key)
        if wrong is not None:
            raise damaged(path, f"its stage {stage} {key}: {wrong}")
    return _Arrived(path, study, folder, read_entries(folder), needs, tuple(stages))


def _wrong(place: Path) -> str | None:
    """What is wrong with the folder of a stage from a file, None where nothing is."""
    damage, manifest = damage_of(place), read_manifest(place)
    if damage is not None or manifest is None:
        return damage
    if (manifest["stage"], manifest["state"]) != (place.parent.name, "done"):
        return f"it is {manifest['state']}, of {manifest['stage']}"
    names = {one.relative_to(place).as_posix() for one in place.rglob("*") if one.is_file()}
    more = sorted(names - {MANIFEST_FILE, *kept_digests(manifest)})
    return f"{more[0]} is none of its outputs" if more else None


def _check_idle(folder: Path) -> None:
    if is_in_use(folder / RUNNING_NAME):
        raise RequestError(
            f"a command is running the study {folder.name!r} of this home\n"
            "  wait for it, or stop it with Ctrl-C, then import again"
        )


def _take_ablation(arrived: _Arrived, store: Store) -> Received:
    folder = store.home / "studies" / arrived.study
    if is_sweep(folder):
        raise _refused(arrived, f"study {arrived.study!r} is a sweep in this home")
    own = read_entries(folder)
    there = planned(arrived.study, arrived.entries[-1], arrived.needs).request
    request = replace(there, name=arrived.study)
    new = [entry for entry in arrived.entries if entry not in own]
    known = sorted([*own, *new], key=lambda entry: int(entry["time"])) if new else own
    try:
        if own:
            before = replace(entry_request(own[-1]), name=arrived.study)
            request = join_requests(before, request)
        plan = make_plan(request)
    except RequestError as error:
        raise _refused(arrived, f"study {arrived.study!r}: {error}") from None
    for entries in (own, arrived.entries):
        contradiction = find_contradiction(plan, entries)
        if contradiction is not None:
            raise _refused(arrived, contradiction)
    needs = read_needs(folder, own) if own else {}
    for others in (arrived.needs, plan_needs(plan)):
        _check_agree(arrived, needs, others)
        join_needs(needs, others)
    fresh = _fresh_stages(arrived, store)
    command = shlex.join([*command_words(request), "--home", str(store.home)])
    history = with_plan(known, plan, command)
    _take_stages(arrived, store, fresh)
    if history != own:
        _tell_study(arrived, folder, needs, history)
    return Received(arrived.study, plan, command, len(fresh), len(arrived.stages) - len(fresh))


def _take_sweep(arrived: _Arrived, store: Store, bring_trials: BringTrials) -> Received:
    folder = store.home / "studies" / arrived.study
    command = str(arrived.entries[-1]["command"])
    fresh = _fresh_stages(arrived, store)
    if read_entries(folder):
        own = read_entries(folder)
        same = is_sweep(folder) and read_json(folder / SWEEP_NAME) == read_json(
            arrived.folder / SWEEP_NAME
        )
        if not same or any(entry not in own for entry in arrived.entries):
            raise _refused(
                arrived,
                f"study {arrived.study!r} is there already, and trials of two searches are not "
                "joined",
            )
        return Received(arrived.study, None, command, 0, len(arrived.stages))
    bring_trials(store.home, arrived.study, arrived.folder / JOURNAL_FILE)
    _take_stages(arrived, store, fresh)
    _tell_study(arrived, folder, arrived.needs, arrived.entries)
    return Received(arrived.study, None, command, len(fresh), len(arrived.stages) - len(fresh))


def _check_agree(arrived: _Arrived, needs: Needs, others: Needs) -> None:
    """Refuse a run that is made of other stages."""
    for run, stages in others.items():
        for stage, key in stages.items():
            known = needs.get(run, {}).get(stage, key)
            if known != key:
                raise _refused(arrived, f"the {stage} of the run {run!r} is {known} and {key}")


def _fresh_stages(arrived: _Arrived, store: Store) -> list[tuple[str, str]]:
    """The stages that a home does not have; those that it has must have equal outputs.

    Raises:
        RequestError: One has others.
        StoreError: One is damaged.
    """
    fresh = []
    for stage, key in arrived.stages:
        if not store.is_published(stage, key):
            fresh.append((stage, key))
            continue
        here = stage_manifest(store.whole_folder(stage, key))
        there = stage_manifest(arrived.stage(stage, key))
        mine, others = here["outputs"], there["outputs"]
        differing = [n for n in sorted({*mine, *others}) if mine.get(n) != others.get(n)]
        if differing:
            run = next(n for n, stages in arrived.needs.items() if stages.get(stage) == key)
            raise _refused(
                arrived,
                f"{differing[0]} of the stage {stage} {key}, of the run {run!r}, is not the same: "
                f"it was made on {_kind(there)} there and on {_kind(here)} here",
            )
    return fresh


def _kind(manifest: Manifest) -> str:
    found = made_on(manifest)
    return "an unknown machine" if found is None else found.kind


def _take_stages(arrived: _Arrived, store: Store, stages: Iterable[tuple[str, str]]) -> None:
    for stage, key in stages:
        store.take_in(stage, key, arrived.stage(stage, key))
    keys = {key for _, key in arrived.stages}
    for key, path in estimate_files(arrived.folder):
        target = store.home / ESTIMATES / path.name
        if key in keys and is_whole(read_json(path)) and not target.exists():
            target.parent.mkdir(exist_ok=True)
            path.rename(target)


def _tell_study(arrived: _Arrived, folder: Path, needs: Needs, entries: list[PlanEntry]) -> None:
    """Write down what a study needs and was asked; a new one is there at once."""
    made = folder if folder.exists() else arrived.folder / "study"
    made.mkdir(exist_ok=True)
    for name in (SWEEP_NAME, REPORT_FILE):
        if (arrived.folder / name).exists():
            shutil.copyfile(arrived.folder / name, made / name)
    write_json(made / NEEDS_FILE, sealed(needs))
    write_json(made / FILE_NAME, [sealed(entry) for entry in entries])
    if made != folder:
        made.rename(folder)


def _refused(arrived: _Arrived, why: str) -> RequestError:
    return RequestError(
        f"{str(arrived.path)!r} and this home disagree: {why}\n"
        "  nothing was imported; results must not be mixed: give the file a home of its own with "
        "--home"
    )
