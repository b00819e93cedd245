"""Which GPUs there are, without torch, and how workers share them."""

import json
import sys
from pathlib import Path

import pytest

from diamond.engine import devices
from diamond.engine.devices import (
    VISIBLE,
    Workers,
    default_jobs,
    device_kind,
    emulates_bfloat16,
    least_used,
    listed_gpus,
    visible_gpus,
)
from diamond.workers.executor import Executor
from tests.workers.test_frontier import spec

LISTED = """\
GPU 0: NVIDIA H100 (UUID: GPU-11)
GPU 1: NVIDIA H100 (UUID: GPU-22)
  MIG 1g.10gb     Device  0: (UUID: MIG-aa)
  MIG 1g.10gb     Device  1: (UUID: MIG-bb)
"""
WORKER = """#!{python}
import json, os, sys, time
from pathlib import Path
home = Path(sys.argv[sys.argv.index("--home") + 1])
print(json.dumps({{"type": "ready"}}), flush=True)
for line in sys.stdin:
    names = ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS")
    told = {{name: os.environ.get(name) for name in names}}
    (home / f"{{os.getpid()}}.json").write_text(json.dumps(told))
    time.sleep(0.5)
    print(json.dumps({{"type": "finished", "made": True}}), flush=True)
"""


@pytest.mark.parametrize(
    ("text", "gpus"),
    [
        ("", ()),
        ("-1", ()),
        ("0", ("0",)),
        ("3, 1", ("3", "1")),
        ("2,-1,3", ("2",)),
        ("GPU-11,MIG-aa", ("GPU-11", "MIG-aa")),
    ],
)
def test_the_variable_counts(text: str, gpus: tuple[str, ...]) -> None:
    """As CUDA reads it: what follows an entry that names nothing does not count."""
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": text}) == gpus


def test_the_driver_is_asked_where_the_variable_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_driver_gpus", lambda: ("GPU-11",))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert visible_gpus() == ("GPU-11",)
    assert device_kind() == "cuda"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert device_kind() == "cpu"


@pytest.mark.parametrize(("visible", "jobs"), [("3", 1), ("3,1", 2), ("", 5)])
def test_by_default_there_is_a_worker_per_gpu_and_without_one_as_many_as_cores(
    visible: str, jobs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _pid: set(range(5)))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert default_jobs() == jobs


def test_the_parts_of_a_split_gpu_stand_for_it() -> None:
    assert listed_gpus(LISTED) == ("GPU-11", "MIG-aa", "MIG-bb")
    assert listed_gpus("No devices found.\n") == ()


def test_the_least_used_gpu_is_next() -> None:
    assert least_used(("a", "b"), ()) == "a"
    assert least_used(("a", "b"), ("a",)) == "b"
    assert least_used(("a", "b"), ("a", "b", "a")) == "b"


@pytest.mark.parametrize(
    ("visible", "seen"),
    [
        ("4,6", ["4", "4", "6"]),
        ("4", ["4", "4", "4"]),
        (None, [None, None, None]),
    ],
)
def test_workers_get_their_gpu_and_one_thread_before_they_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, visible: str | None, seen: list[str | None]
) -> None:
    script = tmp_path / "worker"
    script.write_text(WORKER.format(python=sys.executable))
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    monkeypatch.setattr(devices, "_driver_gpus", tuple)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    specs = [spec(number) for number in range(3)]
    Executor(tmp_path, Workers(3)).run(
        specs, frozenset(), {s.key: 0.0 for s in specs}, lambda _event: None
    )
    told = [json.loads(path.read_text()) for path in tmp_path.glob("*.json")]
    assert sorted((t["CUDA_VISIBLE_DEVICES"] for t in told), key=str) == seen
    assert {t["OMP_NUM_THREADS"] for t in told} == {"1"}


@pytest.mark.parametrize(
    ("flags", "emulated"),
    [
        ("flags\t\t: fpu avx2 fma", True),
        ("flags\t\t: fpu avx512_bf16 amx_bf16", False),
        ("Features\t: fp asimd", False),
    ],
)
def test_whether_bfloat16_is_emulated_is_read_off_the_processor(
    flags: str, emulated: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text(f"processor\t: 0\n{flags}\npower management:\n")
    monkeypatch.setenv(VISIBLE, "")
    assert emulates_bfloat16(file) == emulated
    assert not emulates_bfloat16(tmp_path / "missing")
    monkeypatch.setenv(VISIBLE, "0")
    assert not emulates_bfloat16(file)
