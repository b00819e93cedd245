"""Running `diamond` as a user does, and reading what it left in a home."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

from mlflow import MlflowClient
from mlflow.entities import Run

import diamond as package
from diamond.engine.files import digest, read_json
from diamond.engine.home import open_home
from diamond.engine.output_names import EVENTS_FILE
from diamond.engine.provenance import code_version
from diamond.engine.sealed_json import unsealed
from diamond.engine.stage_attempt import Attempt
from diamond.engine.stage_claim import Claim
from diamond.engine.stage_folders import KEPT, STAGES_FOLDER
from diamond.engine.stage_manifest import (
    OWN_FILES,
    Maker,
    Manifest,
    read_manifest,
    write_manifest,
)
from diamond.engine.store import StageResult, Store
from diamond.makers.sample_scores import CONTROL_COLUMNS
from diamond.plan.make_plan import make_plan
from diamond.plan.plan import Plan
from diamond.plan.request import Request
from diamond.plan.stage_keys import StageSpec
from diamond.results.document import from_document
from diamond.tracking.mlflow_records import Home
from diamond.tracking.mlflow_store import MlflowStore, open_store
from diamond.tracking.uris import default_uri

ROOT = Path(package.__file__).parents[1]
TOY_FAMILY = ROOT / "tests" / "toy_family"
SMOKE = ("steps=1,3", "--preset", "smoke")
STUDY = "steps-boxing-smoke-static"
MAKER: Maker = {
    "device": "cpu",
    "machine": {"name": "a processor", "instructions": "AVX2", "host": "n1"},
    "code": code_version(),
}
"""What makes the stages of tests that make them in no time."""
TIMEOUT_SECONDS = 240.0
"""A run takes 20 s on two idle cores; the rest is for machines that are shared."""

PAGELESS = """
from diamond.cli import study_command
from diamond.engine.files import digest
def write_page(result, store, folder):
    names = ("report.html", "report.md")
    for name in names:
        (folder / name).write_text("")
    files = {name: digest(folder / name) for name in names}
    return result.model_copy(update={"files": files})
study_command.write_page = write_page
from diamond.cli.app import main
main()
"""
"""`diamond` without the page of an ablation, which is a third of the time of a smoke study."""

CHECKPOINTING = f"""
import functools, sys
from diamond.workers import executor
executor.Executor = functools.partial(executor.Executor, checkpoint_seconds=0.0)
{PAGELESS}"""
"""The same with a checkpoint at every opportunity, so that there is one to interrupt after."""


def install(python: Path | str, *options: str, source: Path) -> None:
    """Install a package into an environment, without a network."""
    pip = [sys.executable, "-m", "pip", f"--python={python}", "install", "-q", "--no-index"]
    subprocess.run(
        [*pip, "--no-deps", "--no-build-isolation", *options, str(source)],
        check=True,
        capture_output=True,
    )


def environment() -> dict[str, str]:
    """Plain text of 100 columns, one thread, this very checkout."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    plain = {"COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb", "PYTHONPATH": path}
    return {**os.environ, **plain, "OMP_NUM_THREADS": "1"}


def diamond(
    *arguments: str, cwd: Path | None = None, page: bool = True, program: str | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end, without the page of an ablation where a test does not read it.

    Args:
        arguments: Of the command.
        cwd: Working directory.
        page: Whether the page of an ablation is written.
        program: Python that stands for `diamond`, None for the command itself.
    """
    how = ["-m", "diamond"] if page else ["-c", PAGELESS]
    return subprocess.run(
        [sys.executable, *(how if program is None else ["-c", program]), *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env=environment(),
        timeout=TIMEOUT_SECONDS,
    )


def run_script(code: str) -> None:
    """Run a script in a process of its own, in the checkout; its assertions must hold."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr


def plain(document: Mapping[str, Any]) -> dict[str, Any]:
    """A result as it was written, with the numbers of each arm and run in their place."""
    return from_document(unsealed(document)).model_dump(mode="json")


def report(home: Path, study: str = STUDY) -> dict[str, Any]:
    """The result of a study of a home, with the numbers of each arm and run in their place."""
    return plain(read_json(home / "studies" / study / "report.json"))


def ablate(home: Path, *arguments: str, page: bool = False) -> dict[str, Any]:
    """Run `diamond ablate ... --json`, which must succeed, and return the document."""
    done = diamond("ablate", *arguments, "--home", str(home), "--json", page=page)
    assert done.returncode == 0, done.stderr
    return plain(json.loads(done.stdout))


def begin(
    home: Path, *arguments: str, checkpointing: bool = False, command: str = "ablate"
) -> "subprocess.Popen[str]":
    """Start `diamond ablate`, or another command, and return at once."""
    program = ["-c", CHECKPOINTING if checkpointing else PAGELESS]
    return subprocess.Popen(
        [sys.executable, *program, command, *arguments, "--home", str(home)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )


def free_port() -> int:
    """A port of this machine that nobody listens at."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """Several of them, no two alike."""
    with ExitStack() as opened:
        sockets = [opened.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 120.0) -> None:
    """Poll a condition; fail when it does not come true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s for {what}"
        time.sleep(0.005)


def copy_home(home: Path, target: Path, *stages: str) -> Path:
    """Copy stages of a home, all of them if none is named, without reports and tracked runs."""
    open_home(target)
    for name in stages or (folder.name for folder in (home / "stages").iterdir()):
        shutil.copytree(home / "stages" / name, target / "stages" / name)
    return target


def finish(
    store: Store,
    spec: StageSpec,
    fill: Callable[[Path], object] = lambda folder: None,
    timings: Mapping[str, float] | None = None,
    device: str = "cpu",
) -> Path:
    """Make a stage in no time, as a worker does; again where files of it were dropped.

    Args:
        store: The home.
        spec: The stage.
        fill: Writes the outputs into a folder.
        timings: What the stage says of itself.
        device: What it says that it ran on.

    Returns:
        The folder of the finished stage.
    """
    store.prepare(spec, again=True)
    if store.has_all_files(spec.stage, spec.key):
        return store.folder(spec.stage, spec.key)
    claim = Claim(store.work(spec.stage, spec.key))
    assert claim.try_acquire()
    attempt = store.begin(spec.stage, spec.key, claim, {**MAKER, "device": device})
    (attempt.result / EVENTS_FILE).touch()
    fill(attempt.result)
    assert store.publish(spec.stage, spec.key, attempt, StageResult(dict(timings or {})))
    store.clear_work(spec.stage, spec.key)
    return store.folder(spec.stage, spec.key)


def prepare_anew(store: Store, spec: StageSpec) -> None:
    """Prepare a stage as a command does that asks for it anew: what it died of is forgotten."""
    store.prepare(spec)
    if store.gave_up(spec) is not None:
        store.forgive(spec)


def finished_at(folder: Path, seconds: float) -> None:
    """Let a finished stage be one that was finished at a Unix time."""
    manifest = read_manifest(folder)
    assert manifest is not None
    timings = manifest["timings"] | {"finished_ms": int(1000 * seconds)}
    write_manifest(folder, {**manifest, "timings": timings})


def attempt_in(folder: Path) -> Attempt:
    """An attempt in a folder, which is made where it is missing; whoever had it left it."""
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob("claim-*.json"):
        left.unlink()
    attempt = Attempt(folder, Claim(folder), cast("Manifest", {}))
    assert attempt.claim.try_acquire()
    attempt.result.mkdir(exist_ok=True)
    return attempt


def smoke_plan(*assignments: str, num_seeds: int = 1) -> Plan:
    """The plan of a smoke study on Boxing."""
    return make_plan(
        Request(assignments or ("steps=1,3",), "smoke", ("Boxing",), num_seeds, None, None)
    )


def manifests(home: Path) -> dict[str, dict[str, Any]]:
    """Manifest by ``stage/key``, of stages that are finished or begun."""
    return {
        f"{path.parent.parent.name}/{path.parent.name}": read_json(path)
        for part in ("work", "stages")
        for path in home.glob(f"{part}/*/*/manifest.json")
    }


def digests(home: Path) -> dict[str, dict[str, str]]:
    """SHA-256 of every output on disk, by ``stage/key``; the manifests are not believed."""
    return {
        f"{folder.parent.name}/{folder.name}": {
            path.relative_to(folder).as_posix(): digest(path)
            for path in sorted(folder.rglob("*"))
            if path.is_file() and is_output(path, folder)
        }
        for part in (STAGES_FOLDER, KEPT)
        for folder in home.glob(f"{part}/*/*")
    }


def is_output(path: Path, folder: Path) -> bool:
    """Whether a file below a stage folder is one that the stage made."""
    return path.relative_to(folder).parts[0] not in OWN_FILES and not path.name.startswith(".")


def client(home: Path) -> MlflowClient:
    """The tracking store of a home."""
    return MlflowClient(tracking_uri=f"sqlite:///{home / 'mlflow.db'}")


def opened(home: Path) -> MlflowStore:
    """The tracking store of a home, to be written."""
    return open_store(default_uri(home), Home(home, "f00"))


def tracked(home: Path) -> list[Run]:
    """All runs of a home that are not deleted."""
    store = client(home)
    experiment = store.get_experiment_by_name("diamond")
    assert experiment is not None
    return list(store.search_runs([experiment.experiment_id], max_results=1000))


def points(home: Path) -> dict[tuple[str, str], list[int]]:
    """Steps of every metric of every run, in the order stored, by run key and metric."""
    store = client(home)
    return {
        (run.data.tags["diamond.run_key"], name): [
            metric.step for metric in store.get_metric_history(run.info.run_id, name)
        ]
        for run in tracked(home)
        for name in run.data.metrics
    }


def check_tracked(home: Path) -> None:
    """No run that shows RUNNING, no run twice, no point twice."""
    found = tracked(home)
    assert {run.info.status for run in found} == {"FINISHED"}
    keys = [run.data.tags["diamond.run_key"] for run in found]
    assert len(keys) == len(set(keys))
    names = [run.info.run_name for run in found]
    assert len(names) == len(set(names))
    for (_, metric), steps in points(home).items():
        assert len(steps) == len(set(steps)), metric


def live_workers(home: Path) -> list[int]:
    """Processes that work on a home."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            arguments = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if b"diamond.workers.worker" in arguments and str(home).encode() in arguments:
            found.append(int(path.parent.name))
    return found


def check_futures(document: Mapping[str, Any]) -> None:
    """Every arm that imagines has scores of samples and of counterfactuals, over their horizon."""
    for arm in document["arms"]:
        if not arm["imagines"]:
            continue
        metrics, curves = arm["metrics"], arm["curves"]
        for name in ("energy_score", *CONTROL_COLUMNS):
            assert metrics[name]["mean"]["mean"] is not None, (arm["name"], name)
            assert metrics[name]["10"] is None  # `smoke` has 4 env steps of them
            assert curves[name]["mean"][4:] == [None] * 6
        if arm["kind"] == "baseline":
            assert metrics["delta_psnr"]["mean"]["mean"] == 0
            assert metrics["delta_psnr_true"]["mean"]["mean"] == 0
            assert metrics["delta_psnr_changed"]["mean"]["mean"] == 0
        else:
            assert metrics["energy_score"]["1"]["mean"] > 0


def stages_made(document: Mapping[str, Any]) -> set[str]:
    """Keys of the stages of runs that a command made itself."""
    return {
        stage["key"]
        for arm in document["arms"]
        for run in arm["runs"]
        for stage in run["stages"].values()
        if stage["made"]
    }


def dead_owner() -> str:
    """Return the owner text of a process that has ended."""
    code = "from diamond.tracking.owner import current_owner; print(current_owner())"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    return done.stdout.strip()
