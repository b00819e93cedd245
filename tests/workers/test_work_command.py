"""`diamond work`: real workers on a home that they share with a command that makes nothing."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from diamond.engine.files import read_json, write_json
from diamond.engine.sealed_json import sealed, unsealed
from diamond.engine.store import Store
from diamond.engine.study_history import record_plan
from diamond.workers.work_order import OrderWriter, order_files
from tests.commands import (
    ROOT,
    SMOKE,
    STUDY,
    begin,
    copy_home,
    diamond,
    digests,
    environment,
    report,
    smoke_plan,
    wait_until,
)

TRAINED = ("denoiser", "reward_end")
SHORT = (*SMOKE, "--until", "rollouts")


def begin_worker(home: Path, *options: str) -> "subprocess.Popen[str]":
    """A worker that saves at every opportunity."""
    program = (
        "from diamond.workers import pool, worker; from diamond.cli.app import main\n"
        "spawn = pool.Pool.__init__\n"
        "pool.Pool.__init__ = lambda self, home, allowed, _: spawn(self, home, allowed, 0.0)\n"
        "main()"
    )
    command = [sys.executable, "-c", program, "work", "--home", str(home), *options]
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ordered(home: Path, *assignments: str, stages: tuple[str, ...] = TRAINED) -> Store:
    """A home in which a command asked for stages of a study and left."""
    plan, store = smoke_plan(*assignments), Store(home)
    folder = home / "studies" / plan.study
    record_plan(plan, folder, "diamond ablate")
    missing = [spec for spec in plan.stages() if spec.stage in stages]
    for spec in missing:
        store.prepare(spec)
    OrderWriter(folder, {}).ask_for(missing, {spec.key: 1.0 for spec in missing})
    return store


def refused(home: Path, *options: str) -> str:
    done = diamond("work", "--home", str(home), *options)
    assert done.returncode == 2, done.stderr
    return done.stderr


def test_a_command_that_makes_nothing_shows_what_workers_make(
    smoke_home: Path, tmp_path: Path
) -> None:
    home = copy_home(smoke_home, tmp_path / "home", "references", "frames")
    command = begin(home, *SHORT, "--jobs", "0")
    wait_until(lambda: bool(order_files(home)), "the order")
    told = diamond("work", "--home", str(home), "--status").stdout
    assert told == f"{STUDY}: 0 of 6 stages done, 0 at work, 4 ready, 0 failed, 2 wait for others\n"
    workers = [begin_worker(home, "--jobs", "1", "--idle", "30s") for _ in "ab"]
    ends = [worker.communicate(timeout=240) for worker in workers]
    _, shown = command.communicate(timeout=240)
    assert [one.returncode for one in (*workers, command)] == [0, 0, 0], (ends, shown)
    assert all("nothing is left to make" in errors for _, errors in ends)
    made = [set(re.findall(r"\d (.*): done", errors)) for _, errors in ends]
    assert made[0].isdisjoint(made[1])
    assert "denoiser" in made[0] | made[1]
    assert "denoiser: done" in shown
    assert {name: digests(smoke_home)[name] for name in digests(home)} == digests(home)
    assert report(home)["costs"]["stages_made"] == len(digests(home)) - 2
    assert order_files(home) == []
    told = diamond("work", "--home", str(home), "--status").stdout
    assert told == "no command asks for anything: nothing is left to make\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_saves_the_stage_and_another_worker_ends_it(
    smoke_home: Path, tmp_path: Path, number: signal.Signals
) -> None:
    home = copy_home(smoke_home, tmp_path / "home", "references", "frames")
    store = ordered(home)
    worker = begin_worker(home, "--jobs", "1")

    def saved() -> bool:
        return bool(list(home.glob("work/*/*/attempts/*/checkpoint/state.safetensors")))

    wait_until(saved, "a checkpoint")
    worker.send_signal(number)
    _, errors = worker.communicate(timeout=120)
    assert worker.returncode == 0, errors
    assert "asked to end: saves what is being made" in errors
    # On a slow machine the stage may have ended before the signal came.
    claims = [read_json(path) for path in home.glob("work/*/*/claim-*.json")]
    assert all(claim["owner"] is None for claim in claims)
    assert claims or home.joinpath("stages", "denoiser").exists()
    second = diamond("work", "--home", str(home), "--jobs", "1", "--study", STUDY)
    assert "nothing is left to make" in second.stderr
    for spec in smoke_plan().stages():
        if spec.stage in TRAINED:
            name = f"{spec.stage}/{spec.key}"
            assert digests(store.home)[name] == digests(smoke_home)[name]


def test_what_is_not_asked_for_any_more_is_let_go(smoke_home: Path, tmp_path: Path) -> None:
    home = copy_home(smoke_home, tmp_path / "home", "references", "frames")
    ordered(home, "denoiser.updates=20000", stages=("denoiser",))
    worker = begin_worker(home, "--jobs", "1")
    wait_until(lambda: bool(list(home.glob("work/*/*/claim-1.json"))), "a claim")
    order_files(home)[0].unlink()
    _, errors = worker.communicate(timeout=120)
    assert worker.returncode == 0, errors
    assert "nothing is left to make" in errors
    assert ": done" not in errors
    (path,) = home.glob("work/denoiser/*/claim-*.json")
    assert read_json(path)["owner"] is None
    assert errors.count(": starts") == 1


def test_a_worker_of_other_code_is_refused_and_both_are_shown(
    smoke_home: Path, tmp_path: Path
) -> None:
    home = copy_home(smoke_home, tmp_path / "home", "references", "frames")
    ordered(home)
    (path,) = order_files(home)
    order = unsealed(read_json(path))
    write_json(path, sealed({**order, "code": {**order["code"], "torch": "1.2.3"}}))
    errors = refused(home)
    assert f"this worker runs other code than the command of study {STUDY!r}" in errors
    assert re.search(r"torch is 2\.\S+ in the worker, 1\.2\.3 in the command", errors)
    assert not list(home.glob("work/*/*/claim-*.json"))


def test_an_order_that_is_damaged_is_refused(smoke_home: Path, tmp_path: Path) -> None:
    home = copy_home(smoke_home, tmp_path / "home", "references", "frames")
    ordered(home)
    (path,) = order_files(home)
    path.write_text(json.dumps({"stages": []}))
    assert f"{str(path)!r} is damaged" in refused(home)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--jobs", "0"), ("--jobs 0", "at least 1")),
        (("--gpu-share", "0"), ("--gpu-share 0", "at least 1")),
        (("--gpu-share", "2"), ("shows no GPU to share", "--jobs")),
        (("--idle", "soon"), ("--idle 'soon' is no time", "90s, 5m or 1h")),
        (("--max-hours", "0"), ("--max-hours 0", "above 0")),
        (("--study", "mine"), ("has no study 'mine'", "diamond studies")),
        (("--cancel",), ("--cancel ends the workers of one study", "--study")),
    ],
)
def test_what_cannot_be_is_refused(
    smoke_home: Path, options: tuple[str, ...], told: tuple[str, ...]
) -> None:
    errors = refused(smoke_home, *options)
    for part in told:
        assert part in errors


def test_a_home_that_this_machine_does_not_see_is_refused(tmp_path: Path) -> None:
    home = tmp_path / "shared"
    errors = refused(home)
    assert f"there is no home at {str(home)!r} for process" in errors
    assert os.uname().nodename in errors
    assert not home.exists()


def test_a_study_that_no_cluster_works_for_has_nobody_to_cancel(smoke_home: Path) -> None:
    done = diamond("work", "--home", str(smoke_home), "--study", STUDY, "--cancel")
    assert done.stdout == f"no cluster runs workers for {STUDY}\n"


@pytest.mark.gpu
def test_workers_that_share_a_gpu_make_what_one_makes(smoke_home: Path, tmp_path: Path) -> None:
    """Each of the two has half of the memory."""
    made = []
    for share in ("1", "2"):
        home = copy_home(smoke_home, tmp_path / share, "references", "frames")
        ordered(home)
        done = diamond("work", "--home", str(home), "--gpu-share", share)
        assert "nothing is left to make" in done.stderr, done.stderr
        made.append(digests(home))
    assert made[0] == made[1]
