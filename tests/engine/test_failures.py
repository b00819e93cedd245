"""What failed before, what is tried again, and arms made alone."""

import importlib
import json
import re
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from diamond.cli.ablate import run_study
from diamond.cli.study_command import Options
from diamond.engine.devices import Workers
from diamond.engine.failure import cause_of, is_lasting
from diamond.engine.store import Store
from diamond.errors import (
    ExitCode,
    InterruptedRunError,
    RequestError,
    StageFailedError,
    StoreError,
)
from diamond.plan.request import Request
from diamond.studies.arm_selection import check_arms, selected_stages
from diamond.studies.run_study import StudyRun, Tracking
from diamond.workers.executor import StageEvent
from tests.commands import (
    SMOKE,
    STUDY,
    copy_home,
    diamond,
    digests,
    manifests,
    smoke_plan,
    tracked,
    wait_until,
)

CAUSE = "loss is nan at update 3"


@pytest.mark.parametrize(
    ("error", "lasting"),
    [
        (StageFailedError(CAUSE), True),
        (ValueError("shapes differ"), True),
        (OSError(28, "No space left on device"), False),
        (MemoryError(), False),
        (StoreError("the imported weights are missing"), False),
        (torch.OutOfMemoryError("CUDA out of memory"), False),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), False),
        (RuntimeError("I/O error: No space left on device (os error 28)"), False),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), True),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_the_machine_did_may_be_mended(error: Exception, lasting: bool) -> None:
    assert is_lasting(error) == lasting


def test_a_cause_names_the_kind_of_a_fault_of_the_program() -> None:
    assert cause_of(StageFailedError(CAUSE)) == CAUSE
    assert cause_of(ValueError("x")) == "ValueError: x"


# --- studies whose executor only notes what it is asked ---------------------------------------


class Notes:
    """Stands for an executor: makes nothing."""

    device, jobs = "cpu", 1

    def __init__(self) -> None:
        self.asked: set[str] = set()

    def run(self, specs: Any, done: Any, *rest: Any) -> None:
        failed = rest[-1] if rest and isinstance(rest[-1], frozenset) else frozenset()
        self.asked = {spec.key for spec in specs} - done - failed


def executed(study: StudyRun) -> tuple[set[str], list[StageEvent]]:
    notes, events = Notes(), list[StageEvent]()
    study.execute(notes, events.append, lambda: None)  # type: ignore[arg-type]
    return notes.asked, events


@pytest.mark.parametrize("lasting", [True, False])
@pytest.mark.parametrize("retry", [True, False])
def test_a_failed_stage_is_tried_again_when_asked_or_when_the_machine_did_it(
    tmp_path: Path, lasting: bool, retry: bool
) -> None:
    plan, store = smoke_plan(), Store(tmp_path)
    (denoiser,) = (spec for spec in plan.stages() if spec.stage == "denoiser")
    store.prepare(denoiser)
    store.mark_failed(denoiser.stage, denoiser.key, CAUSE, lasting)
    study = StudyRun(plan, store, "diamond ablate ...", retry_failed=retry)
    asked, events = executed(study)
    tried = retry or not lasting
    assert (denoiser.key in asked) == tried
    assert asked | {denoiser.key} == {spec.key for spec in plan.stages()}
    assert [(e.kind, e.spec, e.note) for e in events] == (
        [] if tried else [("still_failed", denoiser, CAUSE)]
    )
    assert study.failed() == ([] if tried else [(denoiser, CAUSE)])


def test_an_arm_alone_needs_its_own_stages_and_what_it_is_compared_with() -> None:
    plan = smoke_plan("steps=1,3,5", num_seeds=2)
    needed = selected_stages(plan, ("steps=3",))
    arm = next(arm for arm in plan.arms if arm.name == "steps=3")
    own = {spec.key for run in arm.runs for spec in run.all_stages}
    baselines = {s.key for a in plan.arms if a.kind == "baseline" for r in a.runs for s in r.stages}
    assert {s.key for s in needed} == own | baselines
    assert [s for s in plan.stages() if s in needed] == list(needed)
    assert selected_stages(plan, ()) == plan.stages()
    assert {s.key for s in selected_stages(plan, ("steps=1", "steps=3"))} > {s.key for s in needed}


def test_an_arm_that_is_not_there_is_refused() -> None:
    with pytest.raises(RequestError, match=r"unknown arm 'steps=33'\. Did you mean 'steps=3'\?"):
        check_arms(smoke_plan(), ("steps=1", "steps=33"))


# --- commands ---------------------------------------------------------------------------------


def test_an_arm_is_made_alone_and_the_rest_later(smoke_home: Path, tmp_path: Path) -> None:
    stages = ("references", "frames", "inverse_dynamics", "denoiser", "reward_end")
    home = copy_home(smoke_home, tmp_path / "home", *stages)
    arguments = (*SMOKE, "--until", "fidelity", "--home", str(home))
    done = diamond("ablate", *arguments, "--only", "steps=3", "--json", page=False)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    states = {arm["name"]: arm["runs"][0]["state"] for arm in document["arms"]}
    assert states == {
        "steps=1": "pending",
        "steps=3": "done",
        "copy last frame": "done",
        "median background": "done",
    }
    assert "only steps=3: 6 of the 8 stages to go" in done.stderr
    assert "no result" not in document["summary"]
    names = {run.info.run_name for run in tracked(home)}
    assert "steps=3 seed 0" in names
    assert "steps=1 seed 0" not in names
    made = digests(home)

    done = diamond("ablate", *arguments, page=False)
    assert done.returncode == 0, done.stderr
    assert made.items() < digests(home).items() <= digests(smoke_home).items()
    assert {run.info.status for run in tracked(home)} == {"FINISHED"}


def test_a_failed_arm_stays_failed_until_it_is_retried(smoke_home: Path, tmp_path: Path) -> None:
    home = copy_home(smoke_home, tmp_path / "home")
    (rollouts,) = (
        spec
        for arm in smoke_plan().arms
        if arm.name == "steps=3"
        for spec in arm.runs[0].stages
        if spec.stage == "rollouts"
    )
    name = f"rollouts/{rollouts.key}"
    store = Store(home)
    shutil.rmtree(home / "stages" / name)
    store.prepare(rollouts)
    store.mark_failed("rollouts", rollouts.key, CAUSE, lasting=True)
    for spec in smoke_plan().stages():
        if rollouts.key in spec.upstream.values():
            shutil.rmtree(store.folder(spec.stage, spec.key))

    dry = diamond("ablate", *SMOKE, "--home", str(home), "--dry-run")
    assert "(+1 failed)" in dry.stdout

    done = diamond("ablate", *SMOKE, "--home", str(home), page=False)
    assert done.returncode == ExitCode.RUN_FAILED
    text = re.sub(r"\s+", " ", done.stderr)
    assert f"rollouts (steps=3): failed before: {CAUSE}" in text
    assert f"failed: rollouts (steps=3): {CAUSE}" in text
    assert "2 stages that read what failed were not made" in text
    assert "--retry-failed" in text
    assert "the same command tries again" not in text
    assert store.failure(rollouts) == CAUSE
    shown = diamond("show", STUDY, "--home", str(home)).stdout
    assert f"rollouts: {CAUSE}" in shown
    assert "1 done, 1 failed" in shown

    done = diamond("ablate", *SMOKE, "--home", str(home), "--retry-failed", page=False)
    assert done.returncode == 0, done.stderr
    assert digests(home) == digests(smoke_home)
    assert {manifest["state"] for manifest in manifests(home).values()} == {"done"}


# --- what ends a command ------------------------------------------------------------------------


DOCUMENT, PAGE = "diamond.studies.run_study.build_result", "diamond.cli.study_command.write_page"


@pytest.mark.parametrize(
    ("where", "fault"),
    [
        (DOCUMENT, ValueError("a bug")),
        (DOCUMENT, KeyboardInterrupt()),
        (PAGE, StoreError("the disk is full")),
        (PAGE, SystemExit()),
    ],
)
def test_whatever_ends_a_command_every_run_gets_its_end(
    smoke_home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    where: str,
    fault: BaseException,
) -> None:
    home = copy_home(smoke_home, tmp_path / "home")
    begun: list[str] = []

    def executed(study: StudyRun, *_: Any, **__: Any) -> None:
        wait_until(lambda: bool(begun), "the first import")

    def fail(*arguments: Any) -> Any:
        if threading.current_thread() is threading.main_thread():
            raise fault
        return whole(*arguments)

    def imported(tracking: Tracking, *written: Any, finished: bool) -> None:
        write(tracking, *written, finished=finished)
        if not finished:
            begun.append("imported")
            monkeypatch.setattr(where, fail)

    write: Any = Tracking._write
    module, name = where.rsplit(".", 1)
    whole = getattr(importlib.import_module(module), name)
    monkeypatch.setattr(Tracking, "_write", imported)
    monkeypatch.setattr(StudyRun, "execute", executed)
    request = Request(("steps=1,3",), "smoke", ("Boxing",), 1, None, None)
    options = Options(home, Workers(1), False, False, None, "diamond ablate ...")
    expected = InterruptedRunError if isinstance(fault, KeyboardInterrupt) else type(fault)
    with pytest.raises(expected):
        run_study(request, options)
    statuses = {run.info.run_name: run.info.status for run in tracked(home)}
    assert statuses.pop(STUDY) == "KILLED"
    assert set(statuses.values()) == {"FINISHED"}
