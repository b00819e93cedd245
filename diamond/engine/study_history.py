"""What a study was asked before.

An arm keeps its meaning for as long as the study keeps its name.
"""

import json
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NotRequired, cast

from typing_extensions import TypedDict

from diamond.config.base import canonical
from diamond.config.worlds import WORLD
from diamond.engine.files import create_json, locked, read_json, write_json
from diamond.engine.needed_stages import REPORT_FILE, record_needs
from diamond.engine.run_identity import aggregate_key, run_key_of
from diamond.engine.sealed_json import is_whole, sealed, unsealed
from diamond.errors import RequestError, StoreError
from diamond.plan.joined_requests import read_request, request_data
from diamond.plan.plan import Arm, Plan
from diamond.plan.request import Request
from diamond.plan.stage_keys import StageName

FILE_NAME = "plans.json"
LOCK_NAME = ".plans.lock"
"""Beside the studies: whoever removes stages holds it, so that no plan counts on them meanwhile."""
RUNNING_NAME = ".running.lock"
"""In a study's folder: commands that run the study hold it together, so that it is not removed."""
SWEEP_NAME = "sweep.json"
"""In the folder of a study whose arms are the trials of a sweep."""
WORK_NAME = "work"
"""In the folder of a sweep: when its commands were at work."""
MAX_SHOWN = 8
"""Differing fields that are shown with their values; more are named."""


class DeclaredEntry(TypedDict):
    """What the history of a study keeps of a declaration."""

    file: str
    hash: str
    declaration: Mapping[str, Any]
    overrides: list[Mapping[str, Any]]


class PlanEntry(TypedDict):
    """What the history of a study keeps of a plan.

    `arms` is the canonical config of the first run of each, by ``arm | game``, and `baselines` the
    name of the baseline arm by game.
    """

    command: str
    request: Mapping[str, Any]
    num_seeds: int
    until: StageName | None
    arms: dict[str, Mapping[str, Any]]
    baselines: dict[str, str]
    declared: NotRequired[DeclaredEntry]
    time: NotRequired[int]


def check_history(plan: Plan, folder: Path) -> None:
    """Compare a plan with those that its study had before; the folder may be absent.

    Raises:
        RequestError: As `check_plan`.
        StoreError: The study has a history that cannot be read.
    """
    check_plan(plan, read_entries(folder))


def check_plan(plan: Plan, entries: Iterable[PlanEntry]) -> None:
    """Compare a plan with earlier ones of its study, as `read_entries` gives them.

    Raises:
        RequestError: An arm of the same name was something else; the text says which fields differ.
            Or the arms of a game were compared with another baseline.
    """
    contradiction = find_contradiction(plan, entries)
    if contradiction is not None:
        raise RequestError(
            f"{contradiction}\n"
            "  results must not be mixed, and differences must not change their meaning: give this "
            f"study another name with --name, for instance --name {plan.study}-2"
        )


def find_contradiction(plan: Plan, entries: Iterable[PlanEntry]) -> str | None:
    """What of a plan was something else in those before it, in words; None where nothing was."""
    before: dict[str, object] = {}
    baselines: dict[str, str] = {}
    for entry in entries:
        before |= entry["arms"]
        baselines |= entry["baselines"]
    for arm in _varied(plan):
        old = before.get(_arm_name(arm))
        if old is not None and (differing := _changed(old, arm)):
            return f"arm {arm.name!r} of study {plan.study!r} is not what it was\n" + _shown(
                differing
            )
    for game, new in _baselines(plan).items():
        old = baselines.get(game, new)
        if old != new:
            return (
                f"the baseline arm of study {plan.study!r} on {game} was {old!r}, now it is "
                f"{new!r}: the one that was first must stay first"
            )
    return None


def is_sweep(folder: Path) -> bool:
    """Whether a study's arms are the trials of a sweep."""
    return (folder / SWEEP_NAME).exists() or (folder / WORK_NAME).is_dir()


def check_ablation(folder: Path) -> None:
    """Refuse the name of a sweep for an ablation.

    Raises:
        RequestError: The study is a sweep.
    """
    if is_sweep(folder):
        raise RequestError(
            f"the study {folder.name!r} of this home is a sweep\n"
            f"  give the ablation another name, for instance --name {folder.name}-2"
        )


def check_sweep_folder(folder: Path) -> str:
    """The mark of a sweep's folder, a new one where it has none; nothing is written.

    Raises:
        RequestError: The study is an ablation.
        StoreError: The mark is damaged.
    """
    if is_sweep(folder):
        found = read_json(folder / SWEEP_NAME)
        if not is_whole(found):
            raise StoreError(
                f"what sweep {folder.name!r} is cannot be read: {folder / SWEEP_NAME} is "
                f"{'damaged' if (folder / SWEEP_NAME).exists() else 'missing'}\n"
                "  put a copy of the file back, or give the sweep another name with --name"
            )
        return str(found["mark"])
    if (folder / FILE_NAME).exists():
        raise RequestError(
            f"the study {folder.name!r} of this home is an ablation\n"
            f"  give the sweep another name, for instance --name {folder.name}-sweep"
        )
    return uuid.uuid4().hex


def begin_sweep(folder: Path, declaration: Path, mark: str) -> None:
    """Write down that a study is a sweep, and its mark, which its trials carry too."""
    folder.mkdir(parents=True, exist_ok=True)
    create_json(folder / SWEEP_NAME, sealed({"file": str(declaration), "mark": mark}))


def record_plan(plan: Plan, folder: Path, command: str) -> None:
    """Add a plan to the history of its study, unless the last entry says the same.

    Raises:
        StoreError: The study has a history that cannot be read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder.parent / LOCK_NAME):
        entries = read_entries(folder)
        record_needs(plan, folder, entries)
        known = with_plan(entries, plan, command)
        if known != entries:
            write_json(folder / FILE_NAME, [sealed(one) for one in known])


def with_plan(entries: Sequence[PlanEntry], plan: Plan, command: str) -> list[PlanEntry]:
    """The history of a study with a plan at its end, unless the last entry says the same."""
    entry: PlanEntry = {
        "command": command,
        "request": request_data(plan.request),
        "num_seeds": plan.request.num_seeds,
        "until": plan.until,
        "arms": {
            _arm_name(arm): json.loads(json.dumps(canonical(arm.runs[0].config)))
            for arm in _varied(plan)
        },
        "baselines": _baselines(plan),
    }
    if plan.request.declared is not None:
        # Reading declarations is not loaded for a study without one.
        from diamond.engine.declaration_timing import history_entry  # noqa: PLC0415

        entry["declared"] = history_entry(plan.request.declared)
    if entries and {**entries[-1], "time": None} == {**entry, "time": None}:
        return list(entries)
    return [*entries, {**entry, "time": int(time.time())}]


def entry_request(entry: PlanEntry) -> Request:
    """What a command asked for that a history has an entry of."""
    declared = None
    if "declared" in entry:
        from diamond.engine.declaration_timing import recorded_declaration  # noqa: PLC0415

        declared = recorded_declaration(entry["declared"])
    return read_request(entry["request"], declared)


def read_entries(folder: Path) -> list[PlanEntry]:
    """The plans that a study had, the oldest first; none where the folder is no study.

    Raises:
        StoreError: The file of the plans cannot be read, or a study with a report has none.
    """
    path = folder / FILE_NAME
    entries = read_json(path)
    if isinstance(entries, list) and entries and all(map(is_whole, entries)):
        return [cast("PlanEntry", unsealed(entry)) for entry in entries]
    if not path.exists() and not (folder / REPORT_FILE).exists():
        return []
    raise StoreError(
        f"what study {folder.name!r} was asked before cannot be read: {path} is "
        f"{'damaged' if path.exists() else 'missing'}\n"
        "  put a copy of the file back, or give the study another name with --name;\n"
        f"  to remove what is left of it: diamond gc --forget {folder.name}"
    )


def known_aggregates(plan: Plan, folder: Path) -> set[str]:
    """Run keys of the means over seeds that hold: of each arm that the study ever had, the last."""
    found: dict[str, str] = {}
    for entry in read_entries(folder):
        for name, config in entry["arms"].items():
            seeded = _seeded(config, entry["num_seeds"])
            found[name] = aggregate_key([run_key_of(plan.study, one) for one in seeded])
        found |= _over_games(plan.study, entry)
    return set(found.values())


def _over_games(study: str, entry: PlanEntry) -> dict[str, str]:
    """Run keys of the aggregates over the games of a plan, by arm."""
    keys: dict[str, list[str]] = {}
    for name, config in entry["arms"].items():
        seeded = _seeded(config, entry["num_seeds"])
        own = keys.setdefault(name.partition(" | ")[0], [])
        own += [run_key_of(study, one) for one in seeded]
    return {f"{name} | games": aggregate_key(own) for name, own in keys.items()}


def _seeded(config: Mapping[str, Any], num_seeds: int) -> list[Mapping[str, Any]]:
    """The configs of the runs of an arm, from that of its first one."""
    return [{**config, "seed": config["seed"] + offset} for offset in range(num_seeds)]


def _varied(plan: Plan) -> list[Arm]:
    """The arms without the baselines, which read nothing that an axis sets."""
    return [arm for arm in plan.arms if arm.kind == "arm"]


def _baselines(plan: Plan) -> dict[str, str]:
    """The name of the baseline arm of each game; one arm alone is compared with nothing."""
    return {
        game: plan.baseline(game).name
        for game in plan.request.games
        if sum(arm.game == game for arm in _varied(plan)) > 1
    }


def _arm_name(arm: Arm) -> str:
    return f"{arm.name} | {arm.game}"


def _changed(old: Any, arm: Arm) -> dict[str, tuple[Any, Any]]:
    """The fields in which an arm differs from the config of one in the history."""
    differing = _differences(old, json.loads(json.dumps(canonical(arm.runs[0].config))), "")
    # Seeds are no part of what an arm is: those of an A/A arm follow the others' number.
    differing.pop("seed", None)
    return {name.removeprefix(f"{WORLD}."): values for name, values in differing.items()}


def _differences(old: Any, new: Any, prefix: str) -> dict[str, tuple[Any, Any]]:
    """Old and new value of every field that differs, by its dotted name."""
    if isinstance(old, dict) and isinstance(new, dict):
        found: dict[str, tuple[Any, Any]] = {}
        for name in old.keys() | new.keys():
            found |= _differences(old.get(name), new.get(name), f"{prefix}{name}.")
        return found
    return {} if old == new else {prefix.rstrip("."): (old, new)}


def _shown(differences: dict[str, tuple[Any, Any]]) -> str:
    names = sorted(differences)
    lines = [
        f"  {name}: was {json.dumps(differences[name][0])}, now {json.dumps(differences[name][1])}"
        for name in names[:MAX_SHOWN]
    ]
    if len(names) > MAX_SHOWN:
        lines.append(f"  and {', '.join(names[MAX_SHOWN:])}")
    return "\n".join(lines)
