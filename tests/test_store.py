"""The stage store: manifests, status, damage, claims and files that are whole or absent."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from diamond.ablation.stages import StageSpec
from diamond.errors import StoreError
from diamond.pipeline import claim as claim_module
from diamond.pipeline.checkpoint import load_checkpoint, save_checkpoint
from diamond.pipeline.claim import STALE_SECONDS, Claim
from diamond.pipeline.files import create_json, locked, read_json, write_json, write_text
from diamond.pipeline.outputs import CHECKPOINT_FILE, committed_bytes
from diamond.pipeline.store import StageResult, Store
from diamond.tracking.owner import current_owner, start_time
from tests.commands import ROOT

SPEC = StageSpec("frames", {"game": "Boxing", "frames": {"num_frames": 64}}, {}, 7)
CODE = {"git_commit": "abc", "dirty": False, "versions": {}}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store with one finished stage of two outputs."""
    store = Store(tmp_path)
    folder = begun(store)
    (folder / "a.bin").write_bytes(b"frames")
    (folder / "b.json").write_text("[1]")
    store.mark_done(SPEC.stage, SPEC.key, StageResult({"seconds": 1.5}))
    return store


def begun(store: Store) -> Path:
    store.prepare(SPEC)
    store.mark_running(SPEC.stage, SPEC.key, "cpu", CODE)
    return store.folder(SPEC.stage, SPEC.key)


# --- manifests and status ---------------------------------------------------------------------


def test_a_manifest_says_what_a_stage_is_and_who_made_it(store: Store) -> None:
    manifest = store.manifest(SPEC.stage, SPEC.key)
    assert manifest is not None
    assert (manifest["stage"], manifest["key"], manifest["seed"]) == ("frames", SPEC.key, 7)
    assert manifest["config"] == SPEC.config
    assert manifest["code"] == CODE
    assert manifest["device"] == "cpu"
    assert set(manifest["outputs"]) == {"a.bin", "b.json"}
    assert manifest["timings"]["seconds"] == 1.5
    assert manifest["timings"]["finished_ms"] == pytest.approx(1000 * time.time(), abs=60_000)


def test_the_status_follows_the_life_of_a_stage(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.status(SPEC) == "todo"
    store.prepare(SPEC)
    assert store.status(SPEC) == "todo"
    folder = begun(store)
    assert store.status(SPEC) == "todo"
    (folder / "checkpoint").mkdir()
    assert store.status(SPEC) == "partial"
    store.mark_failed(SPEC.stage, SPEC.key, "no space left", lasting=False)
    assert store.status(SPEC) == "partial"
    assert store.failure(SPEC) is None
    store.mark_failed(SPEC.stage, SPEC.key, "loss is nan", lasting=True)
    assert store.status(SPEC) == "failed"
    assert store.failure(SPEC) == "loss is nan"
    store.mark_running(SPEC.stage, SPEC.key, "cpu", CODE)
    assert store.status(SPEC) == "partial"
    (folder / "checkpoint").rmdir()
    assert store.status(SPEC) == "todo"
    (folder / "out.bin").write_bytes(b"x")
    begun(store)
    store.mark_done(SPEC.stage, SPEC.key, StageResult({}))
    assert store.status(SPEC) == "done"
    manifest = store.manifest(SPEC.stage, SPEC.key)
    assert manifest is not None
    assert manifest["error"] is None


def test_a_finished_stage_has_no_checkpoint_and_no_temporary_file_among_its_outputs(
    tmp_path: Path,
) -> None:
    store = Store(tmp_path)
    folder = begun(store)
    save_checkpoint(folder, {"w": torch.ones(2)}, {"done": 1, "event_bytes": 0, "seconds": 0.1})
    (folder / ".left.123.tmp").write_text("half")
    (folder / "events.jsonl").write_text("")
    (folder / "out.bin").write_bytes(b"x")
    store.mark_done(SPEC.stage, SPEC.key, StageResult({}))
    manifest = store.manifest(SPEC.stage, SPEC.key)
    assert manifest is not None
    assert set(manifest["outputs"]) == {"out.bin"}
    assert not (folder / "checkpoint").exists()


def test_preparing_twice_keeps_what_a_worker_wrote_meanwhile(store: Store) -> None:
    before = store.manifest(SPEC.stage, SPEC.key)
    store.prepare(SPEC)
    assert store.manifest(SPEC.stage, SPEC.key) == before


# --- damage -----------------------------------------------------------------------------------


def test_a_whole_stage_is_not_damaged(store: Store) -> None:
    assert store.status(SPEC) == "done"
    assert store.damage(SPEC) is None


def test_a_flipped_byte_is_found_and_named(store: Store) -> None:
    path = store.folder(SPEC.stage, SPEC.key) / "a.bin"
    path.write_bytes(b"framet")
    assert store.status(SPEC) == "done"
    assert store.damage(SPEC) == "a.bin differs from its digest"


def test_a_missing_output_is_damage(store: Store) -> None:
    (store.folder(SPEC.stage, SPEC.key) / "b.json").unlink()
    assert store.status(SPEC) == "damaged"
    assert store.damage(SPEC) is not None


@pytest.mark.parametrize("text", ["", '{"stage": "fra', "[]", '{"key": "another"}', "\x00\xff"])
def test_a_manifest_that_cannot_be_read_is_damage(store: Store, text: str) -> None:
    (store.folder(SPEC.stage, SPEC.key) / "manifest.json").write_text(text)
    assert store.status(SPEC) == "damaged"
    assert store.damage(SPEC) is not None


def test_a_damaged_stage_is_removed_and_can_be_made_again(store: Store) -> None:
    (store.folder(SPEC.stage, SPEC.key) / "b.json").unlink()
    store.reset(SPEC)
    assert store.status(SPEC) == "todo"
    assert not store.folder(SPEC.stage, SPEC.key).exists()


def test_a_stage_that_someone_is_making_is_not_removed(store: Store) -> None:
    folder = store.folder(SPEC.stage, SPEC.key)
    (folder / "b.json").unlink()
    assert Claim(folder).try_acquire()
    store.reset(SPEC)
    assert (folder / "a.bin").exists()


def test_a_flipped_byte_in_a_checkpoint_is_not_continued_from(tmp_path: Path) -> None:
    counters = {"done": 3, "event_bytes": 12, "seconds": 0.5}
    save_checkpoint(tmp_path, {"w": torch.arange(100.0), "n": torch.tensor(3)}, counters)
    saved = load_checkpoint(tmp_path)
    assert saved is not None
    assert saved.counters == counters
    assert torch.equal(saved.tensors["w"], torch.arange(100.0))
    assert committed_bytes(tmp_path) == 12

    path = tmp_path / CHECKPOINT_FILE
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    assert load_checkpoint(tmp_path) is None
    path.write_bytes(content[:20])
    assert load_checkpoint(tmp_path) is None
    assert committed_bytes(tmp_path) == 0
    path.unlink()
    assert load_checkpoint(tmp_path) is None
    assert committed_bytes(tmp_path) == 0


# --- claims -----------------------------------------------------------------------------------


def test_a_claim_is_held_by_one_and_free_when_its_block_ends(tmp_path: Path) -> None:
    first, second = Claim(tmp_path), Claim(tmp_path)
    assert first.holder() is None
    assert first.try_acquire()
    assert not second.try_acquire()
    with first.kept_alive():
        assert second.holder() == f"process {os.getpid()} on {os.uname().nodename}"
    assert second.try_acquire()


def test_of_processes_that_want_a_claim_at_once_one_gets_it(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from diamond.pipeline.claim import Claim\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "print(Claim(Path(sys.argv[1])).try_acquire(), flush=True)\n"
        "sys.stdin.readline()"  # a process that is gone holds nothing: stay until all have tried
    )
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    assert [_line(racer) for racer in racers] == ["ready\n"] * 4
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    results = [_line(racer) for racer in racers]
    for racer in racers:
        racer.communicate("end\n")
    assert sorted(results) == ["False\n"] * 3 + ["True\n"]


def _line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def test_the_claim_of_a_dead_process_is_taken_over_at_once(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from diamond.pipeline.claim import Claim;"
        "assert Claim(Path(sys.argv[1])).try_acquire()"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True, cwd=ROOT)
    assert read_json(tmp_path / "claim.json") is not None
    assert Claim(tmp_path).holder() is None
    assert Claim(tmp_path).try_acquire()


def test_a_process_number_used_again_does_not_hold_an_old_claim(tmp_path: Path) -> None:
    host, pid, start = current_owner().rsplit(":", 2)
    assert start == start_time(int(pid))
    write_json(tmp_path / "claim.json", {"owner": f"{host}:{pid}:{int(start) - 1}"})
    assert Claim(tmp_path).try_acquire()


def test_another_host_holds_its_claim_for_as_long_as_it_shows_signs_of_life(
    tmp_path: Path,
) -> None:
    path = tmp_path / "claim.json"
    write_json(path, {"owner": "elsewhere:1:99"})
    assert Claim(tmp_path).holder() == "process 1 on elsewhere"
    assert not Claim(tmp_path).try_acquire()
    recent = time.time() - STALE_SECONDS + 20
    os.utime(path, (recent, recent))
    assert not Claim(tmp_path).try_acquire()
    old = time.time() - STALE_SECONDS - 1
    os.utime(path, (old, old))
    assert Claim(tmp_path).holder() is None
    assert Claim(tmp_path).try_acquire()


def test_a_claim_beats_while_it_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claim_module, "HEARTBEAT_SECONDS", 0.01)
    claim = Claim(tmp_path)
    assert claim.try_acquire()
    old = time.time() - 1000
    os.utime(tmp_path / "claim.json", (old, old))
    with claim.kept_alive():
        deadline = time.monotonic() + 10
        while (tmp_path / "claim.json").stat().st_mtime < old + 500:
            assert time.monotonic() < deadline
            time.sleep(0.005)


def test_a_claim_that_was_taken_over_is_left_to_the_other(tmp_path: Path) -> None:
    claim = Claim(tmp_path)
    assert claim.try_acquire()
    with claim.kept_alive():
        write_json(tmp_path / "claim.json", {"owner": "elsewhere:1:99"})
    assert Claim(tmp_path).holder() == "process 1 on elsewhere"


# --- files ------------------------------------------------------------------------------------


def test_a_write_that_fails_leaves_the_old_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "text"
    write_text(path, "old")

    def crash(_: int) -> None:
        raise OSError("disk")

    monkeypatch.setattr(os, "fsync", crash)
    with pytest.raises(OSError, match="disk"):
        write_text(path, "new" * 1000)
    assert path.read_text() == "old"


def test_a_reader_never_sees_half_a_text(tmp_path: Path) -> None:
    path = tmp_path / "numbers.json"
    script = (
        "import sys; from pathlib import Path; from diamond.pipeline.files import write_json\n"
        "for i in range(100): write_json(Path(sys.argv[1]), [i] * 5000)"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(path)], cwd=ROOT) as writer:
        seen = set()
        while writer.poll() is None:
            if path.exists():
                numbers = json.loads(path.read_text())
                assert len(numbers) == 5000
                seen.add(numbers[0])
    assert writer.returncode == 0
    assert len(seen) > 1


def test_of_two_that_create_a_file_the_first_one_counts(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    assert create_json(path, 1)
    assert not create_json(path, 2)
    assert read_json(path) == 1
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_in_the_place_of_a_file_is_an_error_of_the_user(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot read"):
        read_json(tmp_path)
    assert read_json(tmp_path / "absent.json") is None


def test_a_lock_keeps_other_processes_out(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    script = (
        "import sys, time; from pathlib import Path; from diamond.pipeline.files import locked\n"
        "with locked(Path(sys.argv[1])): print('in', flush=True); time.sleep(0.5); print('out')"
    )
    command = [sys.executable, "-c", script, str(path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "in\n"
        began = time.monotonic()
        with locked(path):
            waited = time.monotonic() - began
        assert other.stdout.readline() == "out\n"
    assert waited > 0.2
