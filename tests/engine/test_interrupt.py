"""Interrupted at any moment, the same command goes on and ends as if nothing had happened."""

import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from diamond.engine.files import read_json
from diamond.engine.output_names import CHECKPOINT_FILE, FRAMES_FILE
from diamond.engine.stage_context import StageContext
from diamond.engine.store import Store
from diamond.makers.rollout_passes import MAP_SUFFIX
from diamond.plan.stage_keys import StageName
from diamond.tracking.event_log import read_events
from diamond.workers.worker import run_stage
from tests.commands import (
    SMOKE,
    STUDY,
    ablate,
    begin,
    check_tracked,
    copy_home,
    digests,
    live_workers,
    manifests,
    prepare_anew,
    smoke_plan,
    tracked,
    wait_until,
)

INTERRUPTED = 130


# --- a stage ----------------------------------------------------------------------------------


class PowerCutError(OSError):
    """The end of a process, in a test that wants to go on."""


@pytest.fixture
def one_thread() -> Any:
    """As in a worker: the order of additions depends on the number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("cut_after", [1, 2])
@pytest.mark.parametrize("stage", ["denoiser", "reward_end", "policy", "rollouts"])
def test_a_stage_cut_after_a_checkpoint_ends_with_the_same_bits(
    smoke_home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stage: StageName,
    cut_after: int,
) -> None:
    upstream = {
        "denoiser": ("frames",),
        "reward_end": ("frames",),
        "policy": ("frames", "denoiser", "reward_end"),
        "rollouts": ("references", "denoiser", "reward_end"),
    }[stage]
    store = Store(copy_home(smoke_home, tmp_path, *upstream))
    spec = next(spec for spec in smoke_plan().stages() if spec.stage == stage)
    store.prepare(spec)
    whole = StageContext.checkpoint
    count = 0

    def cut(self: StageContext, tensors: Mapping[str, Tensor], done: int, total: int) -> None:
        nonlocal count
        whole(self, tensors, done, total)
        count += 1
        if count == cut_after:
            self.events.metric(done + 1, {"loss": 1e9})  # what a resume has to forget
            self.events.commit()
            raise PowerCutError

    monkeypatch.setattr(StageContext, "checkpoint", cut)
    with pytest.raises(PowerCutError):
        run_stage(store, stage, spec.key, lambda _: None, 0.0)
    assert store.status(spec) == "partial"
    monkeypatch.setattr(StageContext, "checkpoint", whole)

    resumed: list[Any] = []
    monkeypatch.setattr(
        StageContext, "resume", lambda self, old=StageContext.resume: _kept(resumed, old(self))
    )
    prepare_anew(store, spec)
    run_stage(store, stage, spec.key, lambda _: None, 0.0)
    assert resumed[0].counters["done"] == cut_after
    assert store.status(spec) == "done"
    name = f"{stage}/{spec.key}"
    assert digests(tmp_path)[name] == digests(smoke_home)[name]
    logs = [home / "stages" / name / "events.jsonl" for home in (tmp_path, smoke_home)]
    ours, theirs = ([(e.step, e.values) for e in read_events(log, None)] for log in logs)
    assert ours == theirs


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("damage", ["cut", "flipped", "gone"])
def test_rollouts_whose_frames_were_damaged_begin_anew(
    smoke_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    store = Store(copy_home(smoke_home, tmp_path, "references", "denoiser", "reward_end"))
    spec = next(spec for spec in smoke_plan().stages() if spec.stage == "rollouts")
    store.prepare(spec)
    whole = StageContext.checkpoint

    def cut(self: StageContext, tensors: Mapping[str, Tensor], done: int, total: int) -> None:
        whole(self, tensors, done, total)
        if done == 4:
            raise PowerCutError

    monkeypatch.setattr(StageContext, "checkpoint", cut)
    with pytest.raises(PowerCutError):
        run_stage(store, "rollouts", spec.key, lambda _: None, 0.0)
    monkeypatch.setattr(StageContext, "checkpoint", whole)
    frames = Path(FRAMES_FILE).with_suffix(MAP_SUFFIX)
    (path,) = store.work("rollouts", spec.key).glob(f"attempts/*/result/{frames}")
    content = bytearray(path.read_bytes())
    if damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "flipped":
        content[200] ^= 1  # in the first frame of the first start, behind the header
        path.write_bytes(content)
    else:
        path.unlink()

    prepare_anew(store, spec)
    run_stage(store, "rollouts", spec.key, lambda _: None, 0.0)
    name = f"rollouts/{spec.key}"
    assert digests(tmp_path)[name] == digests(smoke_home)[name]


def _kept(found: list[Any], value: Any) -> Any:
    found.append(value)
    return value


# --- a command --------------------------------------------------------------------------------


@pytest.mark.slow  # each stage below, and the campaign kills whole studies
def test_a_study_interrupted_again_and_again_ends_as_an_uninterrupted_one(
    smoke_home: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"

    # kill -9 while the denoiser trains: nobody is left to clean up.
    process = begin(home, *SMOKE, checkpointing=True)
    wait_for(process, home, f"denoiser/*/attempts/*/{CHECKPOINT_FILE}")
    wait_until(lambda: len(live_workers(home)) > 0, "workers")
    process.kill()
    process.communicate()
    wait_until(lambda: not live_workers(home), "the end of the workers", 30)
    assert any(manifest["state"] != "done" for manifest in manifests(home).values())

    # SIGTERM while a policy trains.
    process = begin(home, *SMOKE, checkpointing=True)
    wait_for(process, home, f"policy/*/attempts/*/{CHECKPOINT_FILE}")
    check_polite(process, signal.SIGTERM, home)
    assert {run.info.status for run in tracked(home)} <= {"KILLED", "FINISHED"}

    # Ctrl-C while frames are imagined, or as soon as the stage is claimed.
    process = begin(home, *SMOKE, checkpointing=True)
    wait_for(process, home, "rollouts/*/claim-*.json")
    check_polite(process, signal.SIGINT, home)

    document = ablate(home, *SMOKE)
    assert digests(home) == digests(smoke_home)
    assert document["costs"]["stages_made"] < len(digests(home))
    check_tracked(home)
    assert len(tracked(home)) == len(tracked(smoke_home))
    assert not list(home.glob("work/*/*"))


@pytest.mark.slow
def test_a_command_stopped_at_its_first_claim_goes_on(smoke_home: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    arguments = (*SMOKE, "--until", "frames")
    process = begin(home, *arguments)
    wait_for(process, home, "frames/*/claim-*.json")
    check_polite(process, signal.SIGINT, home)

    # Frames that were half written before a kill -9 are made again.
    for folder in home.glob("work/frames/*/attempts/*/result"):
        (folder / "frames.npz").write_bytes(b"half")
    process = begin(home, *arguments)
    wait_for(process, home, "frames/*/claim-2.json")
    process.kill()
    process.communicate()
    wait_until(lambda: not live_workers(home), "the end of the workers", 30)

    assert ablate(home, *arguments)["costs"]["stages_made"] == 1
    assert digests(home).items() <= digests(smoke_home).items()
    check_tracked(home)


def wait_for(process: "subprocess.Popen[str]", home: Path, pattern: str) -> None:
    """Wait until a file of an unfinished stage appears while the command runs."""

    def appeared() -> bool:
        if process.poll() is not None:
            pytest.fail(f"the command ended before {pattern} appeared: {process.communicate()}")
        return any(home.glob(f"work/{pattern}"))

    wait_until(appeared, pattern)


def check_polite(process: "subprocess.Popen[str]", number: signal.Signals, home: Path) -> None:
    """Send a signal: the command ends with 130, says how to go on, and leaves nothing running."""
    os.kill(process.pid, number)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == INTERRUPTED, errors
    assert output == ""
    assert "interrupted; what was done is kept. Go on with the same command:" in errors
    assert "ablate steps=1,3 --preset smoke" in errors.splitlines()[-1]
    assert str(home) in errors.splitlines()[-1]
    assert "Traceback" not in errors
    assert live_workers(home) == []
    assert read_json(home / "studies" / STUDY / "plans.json") is not None
