"""All that the campaign knows of a home: where things lie, and what must be equal at the end."""

import hashlib
import json
import re
import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diamond.engine.home import open_home
from diamond.engine.stage_claim import STALE_SECONDS

WORKER = "diamond.workers.worker"
LIMIT_SECONDS = STALE_SECONDS
WAITS = "waits for process"
"""What a command prints of a stage that another one makes."""
CHEAP = ("references", "frames", "inverse_dynamics")
"""Stages that a case may find made, so that most kills hit those that train."""
EFFORT = {
    *("attempts", "code", "command", "costs", "declared_at", "finished_ms", "hours", "made"),
    *(
        "files",
        "machine",
        "mlflow_run",
        "ms_per_frame",
        "next",
        "notes",
        "paths",
        "provenance",
        "rollout_seconds",
    ),
    *("seconds", "sha256", "time", "times", "timings", "wall_seconds"),
}
"""Fields of documents that say how a result was made, and when; they differ from run to run."""
SPEED = "_per_second"
"""End of the names of metrics that are measured times."""
CHECKPOINT = "checkpoint/state.safetensors"
_LEFT = re.compile(r"\.probe.*|.*\.tmp|claim.*\.json")


@dataclass(frozen=True)
class Work:
    """A stage that a process is making.

    Attributes:
        name: ``stage/key``.
        pid: The process that holds its claim.
        checkpoint: Whether it has one.
        writes: Whether a file is half written.
    """

    name: str
    pid: int
    checkpoint: bool
    writes: bool

    @property
    def stage(self) -> str:
        return self.name.partition("/")[0]


def finished(home: Path) -> dict[str, Path]:
    """Folders of finished stages by ``stage/key``."""
    return {
        f"{folder.parent.name}/{folder.name}": folder
        for folder in sorted(home.glob("stages/*/*"))
        if _json(folder / "manifest.json").get("state") == "done"
    }


def unfinished(home: Path) -> dict[str, Path]:
    """Folders of stages that were begun, by ``stage/key``."""
    found = {f"{path.parent.name}/{path.name}": path for path in home.glob("work/*/*")}
    for path in home.glob("stages/*/*"):
        if _json(path / "manifest.json").get("state") in ("running", "pending", "failed"):
            found.setdefault(f"{path.parent.name}/{path.name}", path)
    return found


def owners(home: Path) -> dict[str, int]:
    """Process that holds the claim of each stage that is being made."""
    claims = [*home.glob("work/*/*/claim*.json"), *home.glob("stages/*/*/claim*.json")]
    found = {}
    for claim in sorted(claims, key=_number):
        owner, manifest = str(_json(claim).get("owner")), _json(claim.parent / "manifest.json")
        if owner.count(":") >= 2 and manifest.get("state") == "running":
            found[f"{manifest['stage']}/{manifest['key']}"] = int(owner.rsplit(":", 2)[1])
    return found


def works(home: Path) -> list[Work]:
    """The stages that are being made, whoever makes them."""
    found = []
    for name, pid in owners(home).items():
        folders = [folder for part in ("work", "stages") if (folder := home / part / name).is_dir()]
        # What is renamed or removed meanwhile is not there.
        with suppress(FileNotFoundError):
            files = [path for folder in folders[:1] for path in folder.rglob("*")]
            checkpoint = any(map(has_checkpoint, folders[:1]))
            writes = any(path.suffix == ".tmp" for path in files)
            found.append(Work(name, pid, checkpoint, writes))
    return found


def has_checkpoint(folder: Path) -> bool:
    """Whether the work on a stage was saved."""
    return any(path.as_posix().endswith(CHECKPOINT) for path in folder.rglob("*"))


def published(home: Path) -> dict[str, tuple[int, int]]:
    """File number and time of the manifest of each finished stage: they never change."""
    found = {}
    for name, folder in finished(home).items():
        with suppress(FileNotFoundError):
            status = (folder / "manifest.json").stat()
            found[name] = status.st_ino, status.st_mtime_ns
    return found


def content(home: Path) -> dict[str, str]:
    """A short digest of everything that must be as in an uninterrupted run, by what it is."""
    found: dict[str, Any] = {}
    for name, folder in finished(home).items():
        manifest = _json(folder / "manifest.json")
        for output, told in manifest["outputs"].items():
            path = folder / output
            real = digest(path) if path.is_file() else "missing"
            found[f"{name} {output}"] = real if real == told else f"{real} is not {told}"
        found[f"{name} manifest.json"] = {
            field: manifest.get(field) for field in ("config", "upstream", "seed", "state", "key")
        }
        found[f"{name} events.jsonl"] = curves(folder / "events.jsonl")
    for path in sorted(home.glob("studies/*/report.json")):
        for part, value in _json(path).items():
            if part not in EFFORT:
                found[f"{path.parent.name} report.json {part}"] = value
    for (run, metric), values in points(home).items():
        found[f"MLflow {run} {metric}"] = values
    return {name: _short(_without_effort(value)) for name, value in found.items()}


def curves(path: Path) -> list[Any]:
    """Steps and values of an event log, in the order written."""
    lines = path.read_bytes().splitlines() if path.is_file() else []
    try:
        events = [json.loads(line) for line in lines]
    except ValueError:
        return ["not readable"]
    return [
        [event["step"], {k: v for k, v in event["values"].items() if not k.endswith(SPEED)}]
        for event in events
        if "values" in event
    ]


def times(home: Path) -> dict[str, str]:
    """What finished stages say that they took: nothing changes it once it is measured."""
    return {
        f"{name} timings": _short(list(_json(folder / "manifest.json")["timings"].items()))
        for name, folder in finished(home).items()
    }


def stages_made(home: Path) -> int:
    """How many stages the last command of the home made, by its reports."""
    documents = [_json(path) for path in home.glob("studies/*/report.json")]
    return sum(int(document.get("costs", {}).get("stages_made", 0)) for document in documents)


def longest_seconds(home: Path) -> float:
    """The longest time that a stage of the home is said to have taken."""
    manifests = [_json(folder / "manifest.json") for folder in finished(home).values()]
    return max((float(one["timings"].get("seconds", 0)) for one in manifests), default=0.0)


def leftovers(home: Path) -> list[str]:
    """Files that no finished command leaves: claims, checkpoints, halves, work."""
    files = [path.relative_to(home) for path in home.rglob("*") if path.is_file()]
    return [
        path.as_posix()
        for path in sorted(files)
        if path.parts[0] == "work" or "checkpoint" in path.parts or _LEFT.fullmatch(path.name)
    ]


# --- MLflow -----------------------------------------------------------------------------------


def points(home: Path) -> dict[tuple[str, str], list[Any]]:
    """Points of every metric of every run, by run key and metric, in order of steps."""
    query = (
        "select tags.value, metrics.key, step, metrics.value, is_nan from metrics "
        "join tags on tags.run_uuid = metrics.run_uuid and tags.key = 'diamond.run_key' "
        "join runs on runs.run_uuid = metrics.run_uuid and lifecycle_stage = 'active' "
        "order by 1, 2, 3, timestamp"
    )
    found: dict[tuple[str, str], list[Any]] = {}
    for run, metric, *point in _rows(home, query):
        if metric.endswith(SPEED):
            continue
        found.setdefault((run, metric), []).append(point)
    return found


def running(home: Path) -> int:
    """Runs that MLflow shows as under way."""
    query = "select count(*) from runs where lifecycle_stage = 'active' and status = 'RUNNING'"
    return next((int(row[0]) for row in _rows(home, query)), 0)


def shown_twice(home: Path) -> list[str]:
    """Runs and points that MLflow holds more than once."""
    query = (
        "select tags.value from tags join runs on runs.run_uuid = tags.run_uuid "
        "where tags.key = 'diamond.run_key' and lifecycle_stage = 'active'"
    )
    runs = Counter(row[0] for row in _rows(home, query))
    found = [f"MLflow has run {name} {count} times" for name, count in runs.items() if count > 1]
    for (run, metric), values in points(home).items():
        if len({value[0] for value in values}) < len(values):
            found.append(f"MLflow has points of {metric} of run {run} twice")
    return found


def edit_tracked(home: Path, statement: str) -> None:
    """Change the database of MLflow behind its back."""
    with closing(sqlite3.connect(home / "mlflow.db")) as database:
        database.execute(statement)
        database.commit()


def _rows(home: Path, query: str) -> Iterator[Any]:
    path = home / "mlflow.db"
    if path.exists():
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=60)) as database:
            yield from database.execute(query)


# --- homes ------------------------------------------------------------------------------------


def copy_stages(source: Path, target: Path, stages: tuple[str, ...]) -> None:
    """Give a new home some stages of another."""
    open_home(target)
    for stage in stages:
        if (source / "stages" / stage).is_dir():
            shutil.copytree(source / "stages" / stage, target / "stages" / stage)


def copy_home(source: Path, target: Path) -> None:
    """Copy a home whole: it is a new home."""
    shutil.copytree(source, target)


def damage_targets(home: Path, study: str) -> dict[str, list[Path]]:
    """Files to damage by what they are; what is absent in this home has no files."""
    done, begun = finished(home), unfinished(home)
    folder = home / "studies" / study
    found = {
        "output": [f / name for f in done.values() for name in _outputs(f)],
        "manifest": [f / "manifest.json" for f in done.values()],
        "events": [f / "events.jsonl" for f in done.values()],
        "shape": [path for f in done.values() for path in f.glob("shape.json")],
        "work manifest": [f / "manifest.json" for f in begun.values()],
        "work events": [path for f in begun.values() for path in f.rglob("events.jsonl")],
        "checkpoint": [path for f in begun.values() for path in f.rglob(CHECKPOINT)],
        "claim": [path for f in begun.values() for path in f.glob("claim*.json")],
        "report": [folder / f"report.{ending}" for ending in ("html", "md")],
        "document": [folder / "report.json"],
        "figure": list(folder.glob("figures/*.*")),
        "table": list(folder.glob("tables/*.tex")),
        "plans": [folder / "plans.json"],
        "config": list(folder.glob("configs/*.json")),
        "sweep": [folder / "sweep.json"],
        "journal": list(home.glob("studies/*.journal")),
        "home": [home / "home.json"],
        "MLflow": [home / "mlflow.db"],
        "artifact": [path for path in home.glob("artifacts/**/*") if path.is_file()],
    }
    half = ("frames", "samples", "counterfactual")
    found["work output"] = [p for f in begun.values() for p in f.rglob("*") if p.stem in half]
    return {name: sorted(filter(Path.is_file, paths)) for name, paths in found.items()}


def stage_of(home: Path, path: Path) -> str:
    """``stage/key`` that a file belongs to, empty for others."""
    parts = path.relative_to(home).parts
    return "/".join(parts[1:3]) if parts[0] in ("stages", "work") else ""


def edit_counters(path: Path, change: Mapping[str, Any]) -> None:
    """Edit the plain data of a checkpoint, as if it had been written so; tensors stay."""
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    checksum, state = json.loads(header["__metadata__"]["state"])
    edited = [checksum, json.dumps(json.loads(state) | change)]
    header["__metadata__"]["state"] = json.dumps(edited)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + size :])


def counters(path: Path) -> dict[str, Any]:
    """The plain data of a checkpoint."""
    data = path.read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    found: dict[str, Any] = json.loads(json.loads(header["__metadata__"]["state"])[1])
    return found


def digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _outputs(folder: Path) -> list[str]:
    return list(_json(folder / "manifest.json")["outputs"])


def _number(path: Path) -> int:
    return int(re.sub(r"\D", "", path.name) or 0)


def _json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def _without_effort(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_effort(v) for k, v in value.items() if k not in EFFORT}
    return [_without_effort(item) for item in value] if isinstance(value, list) else value


def _short(value: Any) -> str:
    text = json.dumps(value, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
