"""Processes that the package starts: which there are, and whose code they run."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import diamond as package
from diamond.engine.devices import Workers
from diamond.engine.provenance import code_version
from diamond.engine.store import Store
from diamond.errors import RequestError
from diamond.workers import pool as pool_module
from diamond.workers.child_processes import check_code, own_code
from diamond.workers.executor import Executor, StageEvent
from tests.commands import ROOT, SMOKE, environment, manifests, smoke_plan

PACKAGE = Path(package.__file__).parent
STARTING = {"subprocess", "multiprocessing", "pty", "runpy", "ProcessPoolExecutor"}
STARTERS = {"system", "popen", "fork", "forkpty"}


def _module(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _imported(tree: ast.Module) -> set[str]:
    nodes = list(ast.walk(tree))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    for node in nodes:
        if isinstance(node, ast.ImportFrom):
            names |= {node.module or "", *(alias.name for alias in node.names)}
    return {name.partition(".")[0] for name in names}


def _attributes(tree: ast.Module, owner: str) -> set[str]:
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == owner
    }


def test_python_is_started_in_one_way() -> None:
    """Whatever else starts a process starts git, nvidia-smi, Slurm, or a command of `processes`."""
    trees = {path.relative_to(PACKAGE).as_posix(): _module(path) for path in PACKAGE.rglob("*.py")}
    starting = {name for name, tree in trees.items() if STARTING & _imported(tree)}
    # The driver of Ray starts on a node what `ray_cluster` made of `processes`.
    others = {
        "engine/devices.py",
        "engine/provenance.py",
        "workers/slurm.py",
        "workers/ray_driver.py",
    }
    python = {"plan/game_probe.py", "workers/pool.py", "workers/ray_cluster.py"}
    assert starting == others | python
    called = {name: _attributes(tree, "os") for name, tree in trees.items()}
    assert not [
        name
        for name, words in called.items()
        if words & STARTERS
        or any(word.startswith(("exec", "spawn", "posix_spawn")) for word in words)
    ]
    named = {name for name, tree in trees.items() if "executable" in _attributes(tree, "sys")}
    assert named == {"config/processes.py"}
    for name in python:
        words = {node.id for node in ast.walk(trees[name]) if isinstance(node, ast.Name)}
        assert {"python_command", "python_environment"} <= words


def test_modules_of_the_working_directory_are_not_run(tmp_path: Path) -> None:
    """A second checkout there, or a file with the name of a library."""
    folder = tmp_path / "folder"
    (folder / "diamond" / "workers").mkdir(parents=True)
    trap = f"open({str(tmp_path / 'executed')!r}, 'a').write(__name__); raise SystemExit(7)\n"
    for name in ("random", "mlflow", "torch", "diamond/__init__", "diamond/workers/worker"):
        (folder / f"{name}.py").write_text(trap)
    program = "from diamond.cli.app import main; main()"
    done = subprocess.run(
        # As the installed command does: its own folder comes first, not the working directory.
        [sys.executable, "-P", "-c", program, "ablate", *SMOKE, "--until", "frames"],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "executed").exists()
    made = manifests(folder / "mlruns").values()
    assert {manifest["code"]["sources"] for manifest in made} == {code_version()["sources"]}


def test_a_worker_with_other_code_makes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = {**own_code(), "folder": "/elsewhere/diamond", "sources": "0" * 64}
    monkeypatch.setattr(pool_module, "own_code", lambda: other)
    store = Store(tmp_path)
    specs = [spec for spec in smoke_plan().stages() if spec.stage == "frames"]
    for spec in specs:
        store.prepare(spec)
    events: list[StageEvent] = []
    executor = Executor(tmp_path, Workers(1))
    with pytest.raises(RequestError) as raised:
        executor.run(specs, frozenset(), dict.fromkeys([s.key for s in specs], 0.0), events.append)
    assert "a worker process runs other code than this command" in str(raised.value)
    assert f"folder is {PACKAGE} in the worker, /elsewhere/diamond in the command" in str(
        raised.value
    )
    assert f"sources is {own_code()['sources']} in the worker, {'0' * 64} in the command" in str(
        raised.value
    )
    assert [event.kind for event in events] == ["started"]
    assert {manifest["state"] for manifest in manifests(tmp_path).values()} == {"pending"}


def test_equal_code_passes_and_every_difference_is_named() -> None:
    own = own_code()
    check_code(json.loads(json.dumps(own)))
    for name in own:
        with pytest.raises(RequestError, match=f"{name} is .* in the worker, other in the command"):
            check_code({**own, name: "other"})


def test_variables_of_git_do_not_change_where_results_come_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Git sets them for its hooks; then they name the repository that is committed to."""
    expected = code_version.__wrapped__()
    if expected["git_commit"] is None:
        pytest.skip(f"{ROOT} is no git checkout")
    for words in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "another"]):
        who = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(["git", *who, *words], cwd=tmp_path, check=True)
    monkeypatch.setenv("GIT_DIR", str(tmp_path / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(tmp_path))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "index"))
    assert code_version.__wrapped__() == expected
