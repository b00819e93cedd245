"""One damaged file in a home, finished or killed at work: noticed or made again, never used."""

import hashlib
import json
import re
import shutil
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.campaign import layout
from tests.campaign.processes import Command, kill
from tests.campaign.state import Case, Reference, State

BYTES = ("flip", "cut", "empty", "remove")
CELLS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("finished", "output", (*BYTES, "swap")),
    ("finished", "shape", ("number",)),
    ("finished", "manifest", (*BYTES, "swap", "config", "outputs", "timings", "state", "key")),
    ("finished", "events", ("flip", "digit", "cut", "remove", "swap")),
    ("finished", "report", BYTES),
    ("finished", "document", ("number", *BYTES)),
    ("finished", "figure", ("flip", "cut", "remove")),
    ("finished", "table", ("flip", "remove")),
    ("finished", "plans", ("number", *BYTES)),
    ("finished", "config", ("number", "cut", "remove")),
    ("finished", "home", ("number", *BYTES)),
    ("finished", "MLflow", ("cut", "empty", "remove", "metric", "status")),
    ("finished", "artifact", ("flip", "remove")),
    ("begun", "checkpoint", (*BYTES, "swap", "done", "event_bytes", "seconds", "other")),
    ("begun", "work manifest", ("config", "state", "seed", "key", *BYTES)),
    ("begun", "work events", ("digit", "cut", "remove")),
    ("begun", "work output", ("flip", "cut", "remove")),
    ("begun", "claim", ("owner", "cut", "remove")),
    ("sweep", "journal", ("digit", *BYTES)),
    ("sweep", "sweep", ("flip", "cut", "remove")),
    ("sweep", "document", ("number", "cut")),
)
"""What is damaged in which home, and how."""
KINDS = [(home, what, how) for home, what, hows in CELLS for how in hows]
WORDS = re.compile(
    r"damaged|cannot|missing|differs|not as it was|made again|lost|half|is not|removed|no longer"
    r"|was changed"
)
LOST = "are lost: "
"""What a sweep says whose trials the storage has no longer."""
STATEMENTS = {
    "metric": "update metrics set value = value + 1 where rowid = (select max(rowid) from metrics)",
    "status": "update runs set status = 'RUNNING' where name like '%seed%'",
}
READERS = {
    "finished": ("show", "verify", "export", "report"),
    "begun": ("show",),
    "sweep": ("show", "report"),
    "short": ("show",),
}
"""Commands that read a home; `report` writes in it too, so half of the cases do without."""
TOO_LONG_SECONDS = 900.0
NUM_BEGUN = 3
"""Homes that were killed at work, each in another stage."""
_bases = threading.Lock()


@dataclass(frozen=True)
class Base:
    """A home to damage copies of.

    Attributes:
        home: It.
        study: Its study.
        reference: What its command makes.
        said: What each reader says of it undamaged.
    """

    home: Path
    study: str
    reference: Reference
    said: dict[str, str]


def damage_case(state: State, case: Case, rng: np.random.Generator, short: bool) -> None:
    """One file damaged, the readers asked, and the command run again."""
    order = np.random.default_rng(state.seed).permutation(len(KINDS))
    where, what, how = KINDS[order[case.number % len(KINDS)]]
    if short:
        where, what, how = "short", "output", "flip"
    base = _base(state, where, case.number)
    layout.copy_home(base.home, case.home)
    paths = layout.damage_targets(case.home, base.study)[what]
    case.what.append(f"{where} {what} {how}")
    if not paths:
        case.missed += 1
        case.what.append("there is no such file")
        return
    path = paths[rng.integers(len(paths))]
    before = path.read_bytes()
    _damage(case.home, path, how, rng)
    if _bytes(path) == before:
        case.missed += 1
        case.what.append("could not be damaged so")
        return
    case.counted += 1
    case.what.append(path.relative_to(case.home).as_posix())
    damaged = _bytes(path)
    told = [
        _read(case, base, reader, path)
        for reader in READERS[where]
        if reader != "report" or rng.random() < 0.5
    ]
    verdict = _again(case, base, path, damaged)
    case.what.append(verdict)
    case.what += sorted({one for one in told if one})
    case.equal = not case.faults


# --- homes ------------------------------------------------------------------------------------


def _base(state: State, where: str, number: int) -> Base:
    reference = state.reference({"short": "owned", "sweep": "sweep"}.get(where, "declared"))
    (study,) = (path.parent.name for path in reference.home.glob("studies/*/report.json"))
    with _bases:
        if where == "begun":
            return Base(_begun(state, reference, number % NUM_BEGUN), study, reference, {})
        note = reference.home.parent / f"said-{where}.json"
        if not note.exists():
            folder = reference.home.parent / "read"
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            layout.copy_home(reference.home, folder / "home")
            said = {
                reader: _said(_run(folder, study, reader), folder, reader)
                for reader in READERS[where]
            }
            note.write_text(json.dumps(said))
        return Base(reference.home, study, reference, json.loads(note.read_text()))


def _begun(state: State, reference: Reference, number: int) -> Path:
    """A home that was killed while a stage with a checkpoint was made."""
    folder = state.folder / "references" / f"begun-{number}-{state.code}"
    if not (folder / "done").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        layout.copy_stages(reference.home, folder / "home", layout.CHEAP)
        stages = (("denoiser", "outcome"), ("policy", "rollouts"), ("rollouts",))[number]
        command = Command(folder, reference.arguments)

        def at_work() -> bool:
            return any(work.checkpoint and work.stage in stages for work in command.works())

        if not command.wait_for(at_work):
            raise RuntimeError(f"no stage of {stages} had a checkpoint: {command.last_words}")
        kill(command.freeze())
        command.wait()
        (folder / "done").touch()
    return folder / "home"


# --- damage -----------------------------------------------------------------------------------


def _damage(home: Path, path: Path, how: str, rng: np.random.Generator) -> None:
    """Damage a file; one that cannot be damaged so stays as it is."""
    data = path.read_bytes()
    match how:
        case "flip" | "cut" | "empty" | "digit":
            path.write_bytes(_damaged_bytes(data, how, rng))
        case "remove":
            path.unlink()
        case "swap":
            others = [p for p in home.rglob(path.name) if p.read_bytes() != data]
            if others:
                shutil.copyfile(others[rng.integers(len(others))], path)
        case "metric" | "status":
            layout.edit_tracked(home, STATEMENTS[how])
        case "done" | "event_bytes" | "seconds" | "other":
            _edit_counters(path, how)
        case _:
            _edit_json(path, how, rng)


def _damaged_bytes(data: bytes, how: str, rng: np.random.Generator) -> bytes:
    """Bytes with one bit or digit changed, or cut."""
    changed = bytearray(data)
    # Digits behind a decimal point: what is read stays well formed.
    digits = [match.end() - 1 for match in re.finditer(rb"\d\.\d", data)]
    if how == "flip" and data:
        changed[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
    elif how == "digit" and digits:
        place = digits[rng.integers(len(digits))]
        changed[place] = ord(str((int(chr(data[place])) + 3) % 10))
    elif how in ("cut", "empty"):
        del changed[0 if how == "empty" else int(rng.integers(max(1, len(data)))) :]
    return bytes(changed)


def _edit_counters(path: Path, how: str) -> None:
    counters = layout.counters(path)
    names = [
        name for name in counters if name not in ("done", "event_bytes", "seconds", "checksum")
    ]
    match how:
        case "done":
            layout.edit_counters(path, {"done": max(0, int(counters["done"]) - 1)})
        case "event_bytes":
            layout.edit_counters(path, {"event_bytes": int(counters["event_bytes"]) // 2 + 1})
        case "seconds":
            layout.edit_counters(path, {"seconds": TOO_LONG_SECONDS + 100})
        case _ if names:
            layout.edit_counters(path, {names[0]: _changed(counters[names[0]])})


def _edit_json(path: Path, how: str, rng: np.random.Generator) -> None:
    """Change a value of a JSON file that stays JSON."""
    data = json.loads(path.read_bytes())
    match how:
        case "config" | "timings" | "number":
            part = data if how == "number" else data[how]
            places = [one for one in _numbers(part) if one[1] != "finished_ms"]
            if not places:
                return
            known = [place for place in places if place[1] == "sigma_data"]
            holder, name = known[0] if known else places[rng.integers(len(places))]
            holder[name] = (
                holder[name] * 1.5 + 0.25 if isinstance(holder[name], float) else (holder[name] + 1)
            )
        case "outputs":
            if data["outputs"]:
                name = sorted(data["outputs"])[0]
                data["outputs"][name] = data["outputs"][name][::-1]
        case "state":
            data["state"] = "failed" if data["state"] == "done" else "done"
        case "seed":
            data["seed"] += 1
        case "key":
            data["key"] = data["key"][::-1]
        case "owner":
            data["owner"] = 7
    path.write_text(json.dumps(data, indent=1) + "\n")


def _numbers(value: Any) -> list[tuple[Any, Any]]:
    """Places of all numbers in plain data: what holds each, and where."""
    found: list[tuple[Any, Any]] = []
    items: Any = value.items() if isinstance(value, dict) else enumerate(value)
    for name, item in items:
        if isinstance(item, dict | list):
            found += _numbers(item)
        elif isinstance(item, int | float) and not isinstance(item, bool):
            found.append((value, name))
    return found


def _changed(value: Any) -> Any:
    """Plain data of the same form, with other numbers."""
    if isinstance(value, dict):
        return {name: _changed(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_changed(item) for item in value]
    return value + 1 if isinstance(value, int | float) and not isinstance(value, bool) else value


# --- what is said of it -----------------------------------------------------------------------


def _run(folder: Path, study: str, reader: str) -> Command:
    words = {
        "show": ("show", study),
        "verify": ("verify", study, "--json"),
        "export": ("export-checkpoint", study, str(folder / "exported"), "--arm", "steps=1"),
        "report": ("report", study),
    }[reader]
    command = Command(folder, words)
    command.wait()
    return command


def _said(command: Command, folder: Path, reader: str) -> str:
    """What a reader gave out: text, and files where it writes any."""
    written = {
        "export": ("exported/**/*",),
        "report": ("home/studies/*/report.md", "home/studies/*/tables/*.tex"),
    }.get(reader, ())
    paths = [path for pattern in written for path in folder.glob(pattern) if path.is_file()]
    texts = [command.output, *(path.read_text(errors="replace") for path in sorted(paths))]
    hashes = [hashlib.sha256(text.replace(str(folder), "").encode()) for text in texts]
    return " ".join(one.hexdigest() for one in hashes)


def _read(case: Case, base: Base, reader: str, path: Path) -> str:
    """Ask a reader: whether it noticed the damage, in words; empty where it did not."""
    command = _run(case.folder, base.study, reader)
    named = _names(command, case.home, path)
    if "Traceback" in command.errors:
        case.faults.append(f"crash: {reader} ends with a traceback: {command.last_words}")
    elif named or not base.said:
        pass
    elif command.code != 0:
        case.faults.append(f"unclear: {reader} fails and does not name it: {command.last_words}")
    elif _said(command, case.folder, reader) != base.said[reader]:
        case.faults.append(f"used: {reader} gives out something else without a word")
    return f"noticed by {reader}" if named else ""


def _again(case: Case, base: Base, path: Path, damaged: bytes | None) -> str:
    """Run the command again: what became of the damage, in a word."""
    command = Command(case.folder, base.reference.arguments)
    code = command.wait()
    named = _names(command, case.home, path)
    if "Traceback" in command.errors:
        case.faults.append(f"crash: the command ends with a traceback: {command.last_words}")
        return "crash"
    if code != 0:
        if not named:
            case.faults.append(f"unclear: it fails and does not name it: {command.last_words}")
        return "noticed" if named else "unclear"
    faults = _differences(case, base, bool(named), LOST in command.errors)
    if faults:
        case.faults += [f"used: {fault}" for fault in faults]
        return "used"
    if named:
        return "noticed"
    if layout.stages_made(case.home) or _bytes(path) != damaged or not base.said:
        return "remade"
    case.faults.append("used: it lies there as it was damaged, and nobody says a word")
    return "left"


def _differences(case: Case, base: Base, named: bool, lost: bool) -> list[str]:
    """What differs from the reference after the command came to a good end.

    Trials that were lost are made again from stages that are there: they spend nothing.
    """
    made = layout.stages_made(case.home) > 0
    found = layout.content(case.home)
    expected = base.reference.content
    if not named and not made and base.said:
        found, expected = found | layout.times(case.home), expected | layout.times(base.home)
    names = sorted(
        name
        for name in found.keys() | expected.keys()
        if found.get(name) != expected.get(name) and not (lost and name.endswith("json spent"))
    )
    faults = [f"{name} differs" for name in names[:3]]
    if len(names) > 3:
        faults.append(f"and {len(names) - 3} more differ")
    if layout.longest_seconds(case.home) > TOO_LONG_SECONDS:
        faults.append("a stage is said to have taken the time that was planted")
    case.running = layout.running(case.home)
    case.twice += layout.shown_twice(case.home)
    if case.running:
        faults.append(f"MLflow shows {case.running} runs RUNNING")
    return faults + case.twice


def _names(command: Command, home: Path, path: Path) -> bool:
    """Whether a command says of the damaged file, or of its stage, that something is wrong."""
    stage, _, key = layout.stage_of(home, path).partition("/")
    names = {path.name, str(path), *filter(None, (key, f"{stage} (" if stage else ""))}
    if path.name == "mlflow.db":
        names.add("tracking store")
    text = command.errors + command.output
    lines = [" ".join(block.split()) for block in re.split(r"\n(?=\S)", text)]
    return any(WORDS.search(line) and any(name in line for name in names) for line in lines)


def _bytes(path: Path) -> bytes | None:
    with suppress(OSError):
        return path.read_bytes()
    return None
