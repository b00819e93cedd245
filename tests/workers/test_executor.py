"""The contract of executors: order, isolation of failures, killed workers, no stage made twice."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from diamond.config.processes import python_command
from diamond.engine.devices import Workers
from diamond.engine.files import read_json
from diamond.plan.stage_keys import StageSpec
from diamond.workers.child_processes import ASKED_TO_END, own_code
from diamond.workers.executor import Executor, StageEvent
from tests.commands import (
    SMOKE,
    begin,
    check_tracked,
    copy_home,
    digests,
    live_workers,
    stages_made,
    wait_until,
)
from tests.workers.test_frontier import spec

CHEAP_WORKER = '''#!{python}
"""A worker that speaks the protocol and makes stages by waiting, or fails as it is told."""
import json, os, signal, sys, time
from pathlib import Path

home = Path(sys.argv[sys.argv.index("--home") + 1])

def note(what, key):
    with (home / "log.jsonl").open("a") as log:
        log.write(json.dumps([what, key, os.getpid()]) + "\\n")

def emit(**message):
    print(json.dumps(message), flush=True)

emit(type="ready")
for line in sys.stdin:
    key = json.loads(line)["key"]
    told = json.loads((home / "told.json").read_text())
    if told.get(key) == "asked":
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    note("begin", key)
    emit(type="progress", done=1, total=2, note="half")
    time.sleep(0.05)
    match told.get(key):
        case "fail":
            note("end", key)
            emit(type="failed", error="StageFailedError: loss is nan", trace=None)
        case "bytes":
            # More than a pipe holds: nobody who writes waits for a reader that is gone.
            sys.stderr.buffer.write(b"caf\\xe9\\n" * 40000 + b"last words\\n")
            sys.stderr.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        case "kill":
            print("last words", file=sys.stderr, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        case "exit":
            sys.exit(3)
        case "asked":
            signal.sigwait({signal.SIGTERM})
            sys.exit({asked_to_end})
        case _:
            note("end", key)
            emit(type="finished", made=told.get(key) != "reuse")
'''


class Bench:
    """An executor whose workers are cheap, and what happened."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.events: list[StageEvent] = []

    def run(
        self, specs: list[StageSpec], jobs: int = 2, told: dict[str, str] | None = None
    ) -> None:
        (self.home / "told.json").write_text(json.dumps(told or {}))
        priority = {s.key: float(-number) for number, s in enumerate(specs)}
        Executor(self.home, Workers(jobs)).run(specs, frozenset(), priority, self.events.append)

    def begin(self, one: StageSpec, told: str) -> Executor:
        """One stage, once its process works on it."""
        (self.home / "told.json").write_text(json.dumps({one.key: told}))
        executor = Executor(self.home, Workers(1))
        executor.add([one], frozenset(), {})
        while not self.kinds(one):
            executor.step(self.events.append)
        wait_until(lambda: bool(self.log()), "its beginning")
        return executor

    def end(self, executor: Executor) -> None:
        """Whatever is left to make."""

        def ended() -> bool:
            executor.step(self.events.append)
            return not executor.is_busy

        try:
            wait_until(ended, "the end of all stages", 30)
        finally:
            executor.stop()

    def kinds(self, one: StageSpec) -> list[str]:
        return [e.kind for e in self.events if e.spec == one and e.kind != "progress"]

    def log(self) -> list[tuple[str, str, int]]:
        log = self.home / "log.jsonl"
        lines = log.read_text().splitlines() if log.exists() else []
        return [tuple(json.loads(line)) for line in lines]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    script = tmp_path / "worker"
    code = CHEAP_WORKER.replace("{python}", sys.executable)
    script.write_text(code.replace("{asked_to_end}", str(ASKED_TO_END)))
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    bench = Bench(tmp_path)
    yield bench
    pids = {pid for _, _, pid in bench.log()}
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()], "a worker outlived its run"


def test_bytes_that_are_no_text_hide_no_cause(bench: Bench) -> None:
    one = spec(1)
    bench.run([one], 1, {one.key: "bytes"})
    failed = bench.events[-1]
    assert failed.kind == "failed"
    assert "SIGKILL" in failed.note
    assert failed.trace is not None
    assert failed.trace.endswith("caf\\xe9\nlast words")


@pytest.mark.parametrize("jobs", [1, 2, 4])
def test_every_stage_is_made_once_and_after_what_it_reads(bench: Bench, jobs: int) -> None:
    a, b = spec(1), spec(2)
    c, d = spec(3, a), spec(4, a, b)
    e = spec(5, c, d)
    bench.run([e, d, c, b, a], jobs)
    log = [(what, key) for what, key, _ in bench.log()]
    for one, upstream in ((c, [a]), (d, [a, b]), (e, [c, d])):
        for other in upstream:
            assert log.index(("end", other.key)) < log.index(("begin", one.key))
    assert sorted(log) == sorted((w, s.key) for s in (a, b, c, d, e) for w in ("begin", "end"))
    assert all(bench.kinds(one) == ["started", "made"] for one in (a, b, c, d, e))


def test_no_more_workers_than_jobs_and_the_largest_priority_first(bench: Bench) -> None:
    specs = [spec(number) for number in range(6)]
    bench.run(specs, 2)
    running, most = 0, 0
    for what, _, _ in bench.log():
        running += 1 if what == "begin" else -1
        most = max(most, running)
    assert most == 2
    assert len({pid for _, _, pid in bench.log()}) == 2
    started = [event.spec for event in bench.events if event.kind == "started"]
    assert started == specs


def test_what_is_done_is_not_made(bench: Bench) -> None:
    a = spec(1)
    b = spec(2, a)
    (bench.home / "told.json").write_text("{}")
    Executor(bench.home, Workers(1)).run(
        [a, b], frozenset({a.key}), {b.key: 0}, bench.events.append
    )
    assert bench.kinds(a) == []
    assert bench.kinds(b) == ["started", "made"]


def test_progress_and_reuse_are_told(bench: Bench) -> None:
    a = spec(1)
    bench.run([a], told={a.key: "reuse"})
    progress = [event for event in bench.events if event.kind == "progress"]
    assert [(p.done, p.total, p.note) for p in progress] == [(1, 2, "half")]
    assert bench.kinds(a) == ["started", "reused"]


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize(
    ("how", "cause"),
    [
        ("fail", "StageFailedError: loss is nan"),
        ("kill", "killed by SIGKILL"),
        ("exit", "ended with exit code 3"),
    ],
)
def test_a_stage_that_fails_stops_only_what_reads_it(
    bench: Bench, how: str, cause: str, jobs: int
) -> None:
    bad, good = spec(1), spec(2)
    reads_bad, reads_good = spec(3, bad, good), spec(4, good)
    reads_that = spec(5, reads_bad)
    bench.run([bad, good, reads_bad, reads_good, reads_that], jobs, {bad.key: how})
    assert bench.kinds(bad) == ["started", "failed"]
    assert bench.kinds(reads_bad) == bench.kinds(reads_that) == ["blocked"]
    assert bench.kinds(good) == bench.kinds(reads_good) == ["started", "made"]
    failed = next(event for event in bench.events if event.kind == "failed")
    assert cause in failed.note
    if how == "kill":
        assert failed.trace == "last words"


def test_a_stage_that_nobody_asks_for_any_more_is_not_begun_again(bench: Bench) -> None:
    one, other = spec(1), spec(2)
    executor = bench.begin(one, "asked")
    executor.release({one.key})
    executor.add([other], frozenset(), {})
    bench.end(executor)
    begun = [key for what, key, _ in bench.log() if what == "begin"]
    assert begun == [one.key, other.key]
    assert bench.kinds(other) == ["started", "made"]


def test_a_stage_whose_process_is_asked_to_end_by_others_is_begun_again(bench: Bench) -> None:
    one = spec(1)
    executor = bench.begin(one, "asked")
    (bench.home / "told.json").write_text("{}")
    os.kill(bench.log()[0][2], signal.SIGTERM)
    bench.end(executor)
    assert bench.kinds(one) == ["started", "started", "made"]
    assert [what for what, _, _ in bench.log()] == ["begin", "begin", "end"]


# --- with real workers ------------------------------------------------------------------------


def test_a_worker_killed_in_a_stage_is_reported_and_the_rest_goes_on(
    smoke_home: Path, tmp_path: Path
) -> None:
    home = copy_home(smoke_home, tmp_path / "home", "references", "frames")
    process = begin(home, *SMOKE, "--until", "fidelity")
    claims: list[Path] = []

    def claimed() -> bool:
        claims[:] = home.glob("work/denoiser/*/claim-1.json")
        return bool(claims)

    wait_until(claimed, "the denoiser's worker")
    owner = read_json(claims[0])["owner"]
    os.kill(int(owner.rsplit(":", 2)[1]), signal.SIGKILL)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "denoiser: FAILED: the worker process was killed by SIGKILL" in errors
    assert "failed: denoiser: the worker process was killed by SIGKILL" in errors
    assert "reward_end: done" in errors
    assert "fidelity (copy last frame): done" in errors
    assert "rollouts (steps=1): not made, denoiser failed" in errors
    assert live_workers(home) == []


def test_two_commands_at_once_make_every_stage_once(smoke_home: Path, tmp_path: Path) -> None:
    home = copy_home(smoke_home, tmp_path / "home", "references", "frames")
    processes = [begin(home, *SMOKE, "--until", "rollouts", "--json", "--jobs", "1") for _ in "ab"]
    outputs = [process.communicate(timeout=240) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    documents: list[dict[str, Any]] = [json.loads(out) for out, _ in outputs]
    first, second = (stages_made(document) for document in documents)
    assert first.isdisjoint(second)
    made = digests(home)
    there = 2  # references and frames
    assert sum(document["costs"]["stages_made"] for document in documents) == len(made) - there
    assert {name: digests(smoke_home)[name] for name in made} == made
    assert any("made by another process" in errors for _, errors in outputs)
    check_tracked(home)


def test_a_worker_ends_when_its_input_closes(tmp_path: Path) -> None:
    command = python_command("diamond.workers.worker", "--home", str(tmp_path))
    done = subprocess.run(
        [*command, "--threads", "1", "--code", json.dumps(own_code())],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
