"""The studies of a home: what each one asked, how far it is, what it takes on disk."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from diamond.engine.needed_stages import FILE_NAME as NEEDS_FILE
from diamond.engine.needed_stages import (
    REPORT_FILE,
    Needs,
    needed_stages,
    read_needs,
    written_needs,
)
from diamond.engine.report_file import read_result
from diamond.engine.store import Store
from diamond.engine.study_history import FILE_NAME, PlanEntry, read_entries
from diamond.errors import RequestError, StoreError, unknown
from diamond.findings.estimate_files import estimate_files
from diamond.plan.plan_arms import AA_NAME
from diamond.results.model import Result
from diamond.weights.imported_weights import named_weights, stored_weights

PAGE_FILE = "report.md"
RunState = Literal["done", "failed", "begun", "pending"]


@dataclass(frozen=True)
class Study:
    """One study of a home.

    Attributes:
        entries: Its plans, the oldest first; none where they are lost.
        needs: The stages of its runs.
    """

    name: str
    folder: Path
    entries: list[PlanEntry]
    needs: Needs

    @property
    def arms(self) -> list[str]:
        """Names of the arms that it ever had, each once."""
        names = (name.rpartition(" | ")[0] for entry in self.entries for name in entry["arms"])
        return list(dict.fromkeys(names))

    @property
    def axes(self) -> list[str]:
        """Names of what its arms vary."""
        names = (name for arm in self.arms for name in re.findall(r"(?:^| )([\w.]+)=", arm))
        return list(dict.fromkeys(names))

    @property
    def games(self) -> list[str]:
        """Games that it ever had."""
        configs = (config for entry in self.entries for config in entry["arms"].values())
        return list(dict.fromkeys(config["game"] for config in configs))

    @property
    def presets(self) -> list[str]:
        """The preset that it was made from; of a file, its name."""
        found = (entry["request"]["preset"] for entry in self.entries)
        return list(dict.fromkeys(one if isinstance(one, str) else one["name"] for one in found))

    @property
    def unknown_runs(self) -> list[str]:
        """Arms, with their game, of which no stage is known: another version planned them."""
        known = {name.rpartition(" | ")[0] for name in self.needs}
        names = dict.fromkeys(name for entry in self.entries for name in entry["arms"])
        return [name for name in names if name not in known]

    @property
    def num_seeds(self) -> int:
        """Training seeds that it ever had, those of an A/A arm left out."""
        return len(
            {
                config["seed"] + later
                for entry in self.entries
                for name, config in entry["arms"].items()
                if name.rpartition(" | ")[0] != AA_NAME
                for later in range(entry["num_seeds"])
            }
        )

    @property
    def last_time(self) -> float:
        """When a command planned or reported it last, in seconds since the epoch."""
        paths = (self.folder / FILE_NAME, self.folder / REPORT_FILE)
        return max(path.stat().st_mtime for path in paths if path.exists())


def all_studies(store: Store) -> list[Study]:
    """The studies of a home whose plans are known, the newest first.

    Raises:
        StoreError: There is no such home.
    """
    check_home(store)
    found = []
    for folder in _study_folders(store):
        entries = _known_entries(folder)
        if entries:
            found.append(Study(folder.name, folder, entries, read_needs(folder, entries)))
    return sorted(found, key=lambda study: (-study.last_time, study.name))


def damaged_studies(store: Store) -> list[Study]:
    """The studies of a home whose plans are lost, by name: their needs are what is written down."""
    return [
        Study(folder.name, folder, [], written_needs(folder) or {})
        for folder in _study_folders(store)
        if not _known_entries(folder)
    ]


def _study_folders(store: Store) -> list[Path]:
    """The folders in which a study left anything of what it needs."""
    files = (FILE_NAME, NEEDS_FILE, REPORT_FILE)
    return sorted({path.parent for name in files for path in store.home.glob(f"studies/*/{name}")})


def _known_entries(folder: Path) -> list[PlanEntry]:
    """The plans of a study, none where they are lost."""
    try:
        return read_entries(folder)
    except StoreError:
        return []


def find_study(studies: Iterable[Study], name: str) -> Study:
    """A study by its name.

    Raises:
        RequestError: There is no such study.
    """
    by_name = {study.name: study for study in studies}
    if name not in by_name:
        if not by_name:
            raise RequestError(
                f"unknown study {name!r}: the home has none\n"
                "  make one, for instance: diamond ablate steps=1,3,10; another home: --home"
            )
        raise unknown("study", name, by_name, "`diamond studies` lists them with what they are")
    return by_name[name]


def named_study(store: Store, name: str) -> Study:
    """A study of a home by its name, once its plans can be read.

    Raises:
        StoreError: There is no such home, or the plans of the study are lost.
        RequestError: There is no such study.
    """
    studies = all_studies(store)
    for study in damaged_studies(store):
        if study.name == name:
            raise _lost(study)
    return find_study(studies, name)


def _lost(study: Study) -> StoreError:
    """What is wrong with a study that is there without its plans, and what is left to do."""
    path = study.folder / FILE_NAME
    lines = [
        f"study {study.name!r} is there, but what it was asked cannot be read: {path} is "
        f"{'damaged' if path.exists() else 'missing'}",
        "  put a copy of the file back",
    ]
    page = study.folder / PAGE_FILE
    if page.exists():
        lines.append(f"  its last report is still there: {page}")
    lines.append(f"  to remove what is left of it: diamond gc --forget {study.name}")
    return StoreError("\n".join(lines))


def check_home(store: Store) -> None:
    """Refuse a home that does not exist, which is most likely a slip of the pen.

    Raises:
        StoreError: There is no such folder.
    """
    if not (store.home / "studies").is_dir() and not (store.home / "stages").is_dir():
        raise StoreError(
            f"there is no home {str(store.home)!r}: no command has made anything there\n"
            "  give the folder of your runs with --home, or make some: diamond ablate steps=1,3,10"
        )


class StageStates:
    """States of stages, each manifest read once."""

    def __init__(self, store: Store) -> None:
        """Name the store; nothing is read."""
        self._store = store
        self._known: dict[tuple[str, str], tuple[RunState, str | None]] = {}

    def of(self, stage: str, key: str) -> tuple[RunState, str | None]:
        """State of a stage, and the cause where it failed."""
        if (stage, key) not in self._known:
            self._known[stage, key] = self._read(stage, key)
        return self._known[stage, key]

    def run(self, stages: Mapping[str, str]) -> tuple[RunState, str]:
        """State of a run, and how far it is in words."""
        states = {stage: self.of(stage, key) for stage, key in stages.items()}
        for stage, (state, cause) in states.items():
            if state == "failed":
                return "failed", f"{stage}: {cause}"
        done = [stage for stage, (state, _) in states.items() if state == "done"]
        if len(done) == len(states):
            return "done", ""
        text = f"{len(done)} of {len(states)} stages done"
        begun = done or any(state == "begun" for state, _ in states.values())
        return "begun" if begun else "pending", text

    def runs(self, study: Study) -> "Counter[RunState]":
        """How many runs of the arms of a study are in each state."""
        arms = set(study.arms)
        return Counter(
            self.run(stages)[0]
            for name, stages in study.needs.items()
            if name.rsplit(" | ", 2)[0] in arms
        )

    def _read(self, stage: str, key: str) -> tuple[RunState, str | None]:
        manifest = self._store.manifest(stage, key)
        if manifest is None:
            damaged = f"{key} is damaged; the study's command makes it again"
            return (
                ("failed", damaged) if self._store.is_published(stage, key) else ("pending", None)
            )
        match manifest["state"]:
            case "done":
                return "done", None
            case "failed":
                return "failed", str(manifest["error"])
            case "running":
                return "begun", None
            case _:
                return "pending", None


@dataclass(frozen=True)
class DiskSize:
    """What a study takes on disk, in bytes.

    Attributes:
        own: What would be free without it: its folder, and the stages, their estimates and imported
            weights that no other study needs.
        shared: Stages and weights that another study needs as well.
    """

    own: int
    shared: int


def disk_sizes(store: Store, studies: Iterable[Study]) -> tuple[dict[str, DiskSize], int]:
    """What each study takes, and the bytes of all that several of them share, counted once."""
    studies, stored = list(studies), stored_weights(store.home)
    sizes: dict[str | tuple[str, str], int] = {}
    needed: dict[str, set[str | tuple[str, str]]] = {}
    for study in studies:
        needed[study.name] = {*needed_stages(study.needs)}
        needed[study.name].update(named_weights(store.home, study.entries))
    users = Counter(one for found in needed.values() for one in found)
    estimates = Counter[str]()
    for key, path in estimate_files(store.home):
        estimates[key] += file_bytes(path)
    for one in users:
        places = [stored[one]] if isinstance(one, str) else store.folders(*one)
        sizes[one] = sum(file_bytes(place) + folder_bytes(place) for place in places)
        sizes[one] += 0 if isinstance(one, str) else estimates[one[1]]
    found = {}
    for study in studies:
        own = sum(sizes[one] for one in needed[study.name] if users[one] == 1)
        shared = sum(sizes[one] for one in needed[study.name]) - own
        found[study.name] = DiskSize(folder_bytes(study.folder) + own, shared)
    return found, sum(sizes[one] for one, count in users.items() if count > 1)


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below a folder; 0 where there is none."""
    return sum(file_bytes(path) for path in folder.rglob("*"))


def file_bytes(path: Path) -> int:
    """Bytes of a file; 0 for anything else, and where there is none."""
    # What is being made may be renamed or removed at any moment.
    try:
        return path.stat().st_size if path.is_file() else 0
    except FileNotFoundError:
        return 0


def check_whole(result: Result, store: Store, stages: Collection[str] | None = None) -> None:
    """Read in full what a result says that its runs made, as far as the home still has it.

    Args:
        result: Of a study.
        stages: Names of the stages to read; None reads all.

    Raises:
        StoreError: A stage is not as it was written.
    """
    runs = [run for arm in result.arms for run in arm.runs]
    found = {(name, stage.key) for run in runs for name, stage in run.stages.items()}
    for stage, key in sorted(found):
        if (stages is None or stage in stages) and store.is_published(stage, key):
            store.whole_folder(stage, key)


def report_of(study: Study) -> Result | None:
    """The result of a study, None before its first command came to an end.

    Raises:
        StoreError: It is damaged, or another version wrote it.
    """
    path = study.folder / REPORT_FILE
    result = read_result(path)
    if result is not None:
        return result
    if not path.exists():
        return None
    command = study.entries[-1]["command"] if study.entries else None
    raise StoreError(
        f"the result of study {study.name!r} cannot be read: {path} is damaged\n  "
        + (f"make it again from what is stored: {command}" if command else "put a copy back")
    )


def finished_report(study: Study) -> Result:
    """The result of a study that must have one.

    Raises:
        RequestError: No command on it came to an end.
        StoreError: It is damaged, or another version wrote it.
    """
    result = report_of(study)
    if result is None:
        raise RequestError(
            f"study {study.name!r} has no result, {study.folder / REPORT_FILE} is missing\n"
            f"  {how_to_go_on(study)}"
        )
    return result


def how_to_go_on(study: Study) -> str:
    """What says how far a study is, and the command that goes on with it."""
    goes_on = f"; this goes on: {study.entries[-1]['command']}" if study.entries else ""
    return f"`diamond show {study.name}` says how far it is{goes_on}"
