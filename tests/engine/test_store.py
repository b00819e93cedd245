"""The stage store: manifests, status, damage, attempts, claims; files that are whole or absent."""

import json
import shutil
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch

from diamond.config.presets import make_preset, smoke
from diamond.engine import stage_context
from diamond.engine.files import read_json, write_json
from diamond.engine.output_names import CHECKPOINT_FILE, EVENTS_FILE, committed_events, share_done
from diamond.engine.provenance import made_on
from diamond.engine.sealed_json import DIGEST, sealed, unsealed
from diamond.engine.stage_attempt import Attempt
from diamond.engine.stage_claim import Claim, Held
from diamond.engine.stage_context import StageContext
from diamond.engine.stage_manifest import (
    damage_of,
    read_manifest,
    stage_manifest,
    write_kept,
    write_manifest,
)
from diamond.engine.stopping import Stopping
from diamond.engine.store import TRASH, StageResult, Store
from diamond.engine.training_checkpoint import load_checkpoint, save_checkpoint
from diamond.errors import OvertakenError, StageReleasedError, StoreError
from diamond.findings.store_view import SeenStore
from diamond.plan.stage_keys import StageSpec, key_of, stages_of
from diamond.results.arm_model import Machine
from diamond.tracking.owner import current_owner
from diamond.workers import worker as worker_module
from diamond.workers.child_processes import Message
from diamond.workers.worker import run_stage
from tests.commands import MAKER, attempt_in, dead_owner, finish

SPEC = StageSpec("frames", {"game": "Boxing", "frames": {"num_frames": 64}}, {}, 7)


def fill(folder: Path) -> None:
    (folder / "a.bin").write_bytes(b"frames")
    (folder / "b.json").write_text("[1]")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store with one finished stage of two outputs."""
    store = Store(tmp_path)
    finish(store, SPEC, fill, {"seconds": 1.5})
    return store


def begun(store: Store) -> Attempt:
    """An attempt at the stage; whoever was at it is taken for gone."""
    store.prepare(SPEC)
    claim = Claim(store.work(SPEC.stage, SPEC.key))
    assert claim.try_acquire()
    attempt = store.begin(SPEC.stage, SPEC.key, claim, MAKER)
    (attempt.result / EVENTS_FILE).touch()
    return attempt


def publish(store: Store, attempt: Attempt) -> bool:
    return store.publish(SPEC.stage, SPEC.key, attempt, StageResult({"seconds": 1.5}))


def checkpoint(attempt: Attempt, done: int = 1) -> None:
    counters = {"done": done, "event_bytes": 0, "event_digest": sha256().hexdigest()}
    save_checkpoint(attempt.folder, {"w": torch.ones(2)}, {**counters, "seconds": 0.1})


# --- manifests and status ---------------------------------------------------------------------


def test_a_manifest_says_what_a_stage_is_and_who_made_it(store: Store) -> None:
    manifest = store.manifest(SPEC.stage, SPEC.key)
    assert manifest is not None
    assert (manifest["stage"], manifest["key"], manifest["seed"]) == ("frames", SPEC.key, 7)
    assert manifest["config"] == SPEC.config
    assert manifest["device"] == "cpu"
    assert set(manifest["outputs"]) == {"a.bin", "b.json"}
    assert manifest["timings"]["seconds"] == 1.5
    assert manifest["timings"]["finished_ms"] == pytest.approx(1000 * time.time(), abs=60_000)


def test_the_status_follows_the_life_of_a_stage(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.status(SPEC) == "todo"
    store.prepare(SPEC)
    assert store.status(SPEC) == "todo"
    attempt = begun(store)
    manifest = store.manifest(SPEC.stage, SPEC.key)
    assert manifest is not None
    told = {name: manifest[name] for name in ("device", "machine", "code")}
    assert (manifest["state"], told) == ("running", MAKER)
    assert store.status(SPEC) == "todo"
    checkpoint(attempt)
    assert store.status(SPEC) == "partial"
    store.mark_failed(SPEC.stage, SPEC.key, "no space left", lasting=False)
    assert store.status(SPEC) == "partial"
    assert store.failure(SPEC) is None
    store.mark_failed(SPEC.stage, SPEC.key, "loss is nan", lasting=True)
    assert store.status(SPEC) == "failed"
    assert store.failure(SPEC) == "loss is nan"
    with attempt.claim.kept_alive():
        pass
    attempt = begun(store)
    assert store.status(SPEC) == "partial"
    (attempt.result / "out.bin").write_bytes(b"x")
    assert publish(store, attempt)
    assert store.status(SPEC) == "done"
    store.clear_work(SPEC.stage, SPEC.key)
    manifest = store.manifest(SPEC.stage, SPEC.key)
    assert manifest is not None
    assert (manifest["state"], manifest["error"]) == ("done", None)


def test_a_finished_stage_has_no_checkpoint_and_no_temporary_file(tmp_path: Path) -> None:
    store = Store(tmp_path)
    attempt = begun(store)
    checkpoint(attempt)
    (attempt.result / ".left.123.tmp").write_text("half")
    (attempt.result / "out.bin").write_bytes(b"x")
    assert publish(store, attempt)
    folder = store.folder(SPEC.stage, SPEC.key)
    assert {path.name for path in folder.iterdir()} == {"manifest.json", EVENTS_FILE, "out.bin"}
    manifest = store.manifest(SPEC.stage, SPEC.key)
    assert manifest is not None
    assert set(manifest["outputs"]) == {"out.bin"}


def test_preparing_leaves_alone_what_there_is(store: Store) -> None:
    before = store.manifest(SPEC.stage, SPEC.key)
    store.prepare(SPEC)
    assert store.manifest(SPEC.stage, SPEC.key) == before
    assert not store.work(SPEC.stage, SPEC.key).exists()
    other = StageSpec("frames", SPEC.config, {}, 8)
    store.prepare(other)
    store.mark_failed("frames", other.key, "loss is nan", lasting=True)
    store.prepare(other)
    assert store.failure(other) == "loss is nan"


def test_the_key_of_a_manifest_is_that_of_its_stage() -> None:
    specs = [*stages_of(smoke("Boxing")), *stages_of(make_preset("smoke", "Pong", "online"))]
    for spec in specs:
        config, upstream = json.loads(json.dumps([spec.config, spec.upstream]))
        assert key_of(spec.stage, config, upstream, spec.seed, spec.numerics) == spec.key


# --- attempts ---------------------------------------------------------------------------------


def overtaken(store: Store, attempt: Attempt) -> Attempt:
    """Another process takes the stage over, as it may once the owner's counter stood still."""
    folder = store.work(SPEC.stage, SPEC.key)
    write_json(folder / "claim-2.json", {"owner": "elsewhere:1:99", "token": "other"})
    claim = Claim(folder)
    claim.token = "other"
    claim.previous = Held(1, current_owner(), attempt.claim.token)
    return store.begin(SPEC.stage, SPEC.key, claim, MAKER)


def test_an_overtaken_attempt_is_copied_not_shared_and_can_publish_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = begun(store)
    checkpoint(first)
    (first.folder / "checkpoint" / "replay").mkdir()
    path = first.folder / "checkpoint" / "replay" / "frames.npy"
    path.write_bytes(b"a" * 10 + bytes(1 << 22) + b"z")
    with path.open("r+b") as held_open:
        second = overtaken(store, first)
        held_open.write(b"b" * 10)
        held_open.flush()
        copy = second.folder / "checkpoint" / "replay" / "frames.npy"
        assert copy.read_bytes() == b"a" * 10 + bytes(1 << 22) + b"z"
    assert load_checkpoint(second.folder) is not None
    assert not first.folder.exists()
    with pytest.raises(OvertakenError, match="process 1 on elsewhere took it over"):
        publish(store, first)
    (second.result / "out.bin").write_bytes(b"second")
    assert publish(store, second)
    with pytest.raises(OvertakenError):
        publish(store, first)
    assert store.damage(SPEC) is None
    assert (store.folder(SPEC.stage, SPEC.key) / "out.bin").read_bytes() == b"second"


def test_who_was_overtaken_before_it_began_leaves_the_others_attempt_alone(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.prepare(SPEC)
    late = Claim(store.work(SPEC.stage, SPEC.key))
    assert late.try_acquire()
    at_work = overtaken(
        store, Attempt(tmp_path, late, stage_manifest(store.work("frames", SPEC.key)))
    )
    with pytest.raises(OvertakenError):
        store.begin(SPEC.stage, SPEC.key, late, MAKER)
    assert at_work.result.is_dir()


def test_of_two_whole_attempts_the_first_is_published_and_the_second_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    first = begun(store)
    second = overtaken(store, first)
    for attempt, content in ((first, b"first"), (second, b"second")):
        attempt.result.mkdir(parents=True, exist_ok=True)
        (attempt.result / EVENTS_FILE).touch()
        (attempt.result / "out.bin").write_bytes(content)
    # The first was stopped between its last look at the claim and the rename.
    monkeypatch.setattr(first.claim, "is_own", lambda: True)
    assert publish(store, first)
    assert not publish(store, second)
    assert store.damage(SPEC) is None
    assert (store.folder(SPEC.stage, SPEC.key) / "out.bin").read_bytes() == b"first"


def test_a_stage_that_is_in_its_place_is_published_though_the_answer_of_the_server_was_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    attempt = begun(store)
    (attempt.result / "out.bin").write_bytes(b"x")
    rename = Path.rename

    def rename_twice(self: Path, target: Path) -> None:
        rename(self, target)
        rename(self, target)

    monkeypatch.setattr(Path, "rename", rename_twice)
    assert publish(store, attempt)
    assert store.status(SPEC) == "done"


def test_what_a_dead_process_left_is_moved_not_copied(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first = begun(store)
    checkpoint(first)
    (first.folder / "owner").write_text(dead_owner())
    inode = (first.folder / CHECKPOINT_FILE).stat().st_ino
    second = overtaken(store, first)
    assert (second.folder / CHECKPOINT_FILE).stat().st_ino == inode


@pytest.mark.parametrize("ends", ["made", "failed"])
def test_a_process_that_was_overtaken_stops_with_a_sentence_and_uses_what_the_other_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ends: str
) -> None:
    """The stage is at work when another process takes over, finishes and goes."""
    store = Store(tmp_path)
    store.prepare(SPEC)
    messages: list[Message] = []

    def slow(context: StageContext) -> StageResult:
        other = overtaken(store, context.attempt)
        (other.result / EVENTS_FILE).touch()
        (other.result / "out.bin").write_bytes(b"other")
        assert publish(store, other)
        store.clear_work(SPEC.stage, SPEC.key)
        if ends == "made":
            context.folder.mkdir(parents=True)
            return context.result()
        raise FileNotFoundError(context.folder)

    monkeypatch.setattr(worker_module, "function_of", lambda *_: slow)
    run_stage(store, "frames", SPEC.key, messages.append, 1e9)
    assert [message["type"] for message in messages] == ["overtaken", "finished"]
    assert (
        "took it over, because this process showed no sign of life for 60 s" in messages[0]["note"]
    )
    assert messages[1]["made"] is False
    assert store.status(SPEC) == "done"
    assert not store.work(SPEC.stage, SPEC.key).exists()


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
    assert store.damage(SPEC) == "b.json is missing"


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
    assert not any((store.home / TRASH).iterdir())


def part_of(store: Store, target: Path, *dropped: str) -> Path:
    """What is kept of the finished stage, in a folder of its own."""
    part = target / SPEC.key

    def fill(folder: Path) -> None:
        (folder / "film").write_text("x")

    write_kept(store.folder(SPEC.stage, SPEC.key), part, dropped, fill)
    return part


def test_what_is_kept_of_what_was_kept_names_all_that_went(store: Store, tmp_path: Path) -> None:
    before = stage_manifest(store.folder(SPEC.stage, SPEC.key))
    store.keep_only(SPEC.stage, SPEC.key, ["a.bin"], lambda folder: None)
    part = part_of(store, tmp_path / "part", "b.json")
    manifest = stage_manifest(part)
    assert damage_of(part) is None
    assert manifest["dropped"] == ["a.bin", "b.json"] and list(manifest["kept"]) == ["film"]
    assert manifest["outputs"] == before["outputs"]


def test_a_part_that_comes_in_does_not_replace_the_whole(store: Store) -> None:
    source = store.home / "part"
    store.take_in(SPEC.stage, SPEC.key, part_of(store, source, "a.bin"))
    assert store.has_all_files(SPEC.stage, SPEC.key)
    shutil.rmtree(store.folder(SPEC.stage, SPEC.key))
    assert (store.status(SPEC), store.damage(SPEC)) == ("done", None)
    assert not store.has_all_files(SPEC.stage, SPEC.key)


def test_what_another_command_made_again_meanwhile_is_not_removed(store: Store) -> None:
    """Two commands find the same damage; one has mended it when the other comes to it."""
    store.reset(SPEC)
    assert store.status(SPEC) == "done" and store.damage(SPEC) is None


CHANGED: dict[str, Callable[[dict[str, Any]], object]] = {
    "config": lambda m: m["config"]["frames"].update(num_frames=65),
    "seed": lambda m: m.update(seed=8),
    "numerics": lambda m: m.update(numerics=99),
    "key": lambda m: m.update(key="0" * 20),
    "digest": lambda m: m["outputs"].update({"a.bin": "0" * 64}),
    "no output": lambda m: m["outputs"].clear(),
    "timings": lambda m: m["timings"].update(seconds=2.5),
    "device": lambda m: m.update(device="cuda"),
    "state": lambda m: m.pop("state"),
    "own digest": lambda m: m.pop(DIGEST),
    "own digest of others": lambda m: m.update({DIGEST: 7}),
}


@pytest.mark.parametrize("change", CHANGED.values(), ids=CHANGED)
def test_a_manifest_that_was_changed_is_damage_wherever_it_is_read(
    store: Store, change: Callable[[dict[str, Any]], object]
) -> None:
    folder = store.folder(SPEC.stage, SPEC.key)
    manifest = read_json(folder / "manifest.json")
    change(manifest)
    write_json(folder / "manifest.json", manifest)
    assert store.status(SPEC) == "damaged"
    assert store.damage(SPEC) == "manifest.json is missing or not as it was written"
    assert store.manifest(SPEC.stage, SPEC.key) is None
    assert SeenStore(store.home).status(SPEC) == "damaged"
    with pytest.raises(StoreError, match="not as it was written"):
        stage_manifest(folder)
    store.reset(SPEC)
    assert store.status(SPEC) == "todo"


def test_a_manifest_sealed_again_is_found_by_its_key(store: Store) -> None:
    folder = store.folder(SPEC.stage, SPEC.key)
    manifest = read_manifest(folder)
    assert manifest is not None
    write_manifest(folder, manifest | {"seed": 8})
    assert store.status(SPEC) == "damaged"


def test_a_manifest_that_names_no_machine_is_whole_and_its_machine_unknown(store: Store) -> None:
    folder = store.folder(SPEC.stage, SPEC.key)
    assert made_on(stage_manifest(folder)) == Machine(device="cpu", **MAKER["machine"])
    former = unsealed(read_json(folder / "manifest.json"))
    del former["machine"]
    write_json(folder / "manifest.json", sealed(former))
    assert store.damage(SPEC) is None
    assert made_on(stage_manifest(folder)) == Machine(device="cpu")
    part = store.home / "part" / SPEC.key
    write_kept(folder, part, ["a.bin"], lambda folder: None)
    assert made_on(stage_manifest(part)) == Machine(device="cpu")


def test_a_stage_that_nobody_has_begun_has_no_machine(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.prepare(SPEC)
    assert made_on(store.manifest(SPEC.stage, SPEC.key)) is None


def test_a_manifest_of_work_that_was_changed_is_written_anew(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.prepare(SPEC)
    path = store.work(SPEC.stage, SPEC.key) / "manifest.json"
    path.write_text(path.read_text().replace("Boxing", "Pong"))
    assert store.status(SPEC) == "todo"
    store.prepare(SPEC)
    manifest = store.manifest(SPEC.stage, SPEC.key)
    assert manifest is not None and manifest["config"] == SPEC.config


def test_a_changed_event_log_is_damage(store: Store) -> None:
    (store.folder(SPEC.stage, SPEC.key) / EVENTS_FILE).write_text("{}")
    assert store.damage(SPEC) == "events.jsonl differs from its digest"


def test_a_flipped_byte_in_a_checkpoint_is_not_continued_from(tmp_path: Path) -> None:
    counters = {"done": 3, "total": 12, "event_bytes": 12, "event_digest": "ab", "seconds": 0.5}
    save_checkpoint(tmp_path, {"w": torch.arange(100.0), "n": torch.tensor(3)}, counters)
    saved = load_checkpoint(tmp_path)
    assert saved is not None
    assert saved.counters == counters
    assert torch.equal(saved.tensors["w"], torch.arange(100.0))
    assert committed_events(tmp_path) == (12, "ab")
    assert share_done(tmp_path) == 0.25

    path = tmp_path / CHECKPOINT_FILE
    content = path.read_bytes()
    flipped = bytearray(content)
    flipped[-3] ^= 1
    path.write_bytes(flipped)
    assert load_checkpoint(tmp_path) is None
    path.write_bytes(content[:20])
    assert load_checkpoint(tmp_path) is None
    assert committed_events(tmp_path)[0] == 0
    path.unlink()
    assert load_checkpoint(tmp_path) is None
    assert committed_events(tmp_path)[0] == 0
    assert share_done(tmp_path) == 0


def test_any_changed_digit_of_the_counters_is_noticed(tmp_path: Path) -> None:
    counters = {"done": 25, "event_bytes": 12, "event_digest": "ab", "seconds": 0.5}
    save_checkpoint(tmp_path, {"w": torch.ones(4)}, counters)
    path = tmp_path / CHECKPOINT_FILE
    content = path.read_bytes()
    place = content.index(b"25", content.index(b"done"))
    path.write_bytes(content[:place] + b"15" + content[place + 2 :])
    assert load_checkpoint(tmp_path) is None


@pytest.mark.parametrize("damage", ["flipped", "cut", "gone"])
def test_a_checkpoint_whose_events_were_changed_is_not_continued_from(
    tmp_path: Path, damage: str
) -> None:
    def context() -> StageContext:
        attempt = attempt_in(tmp_path)
        return StageContext(attempt, {}, {}, 0, torch.device("cpu"), lambda *_: None)

    first = context()
    first.events.metric(1, {"loss": 0.25})
    first.checkpoint({"w": torch.ones(2)}, 1, 4)
    saved = context().resume()
    assert saved is not None and saved.counters["done"] == 1
    path = first.folder / EVENTS_FILE
    if damage == "gone":
        path.unlink()
    else:
        text = path.read_text()
        path.write_text(text[:-4] if damage == "cut" else text.replace("0.25", "0.35"))
    anew = context()
    assert anew.resume() is None
    assert anew.events.commit() == 0


def stopped_by(folder: Path, stopping: Stopping) -> StageContext:
    """A stage whose last checkpoint is never old enough for another."""
    attempt, device = attempt_in(folder), torch.device("cpu")
    return StageContext(attempt, {}, {}, 0, device, lambda *_: None, 1e9, stopping=stopping)


def test_a_stage_that_saves_itself_ends_at_its_next_checkpoint_when_asked(tmp_path: Path) -> None:
    stopping = Stopping()
    context = stopped_by(tmp_path, stopping)
    assert not context.checkpoint_due()
    context.checkpoint({"w": torch.zeros(2)}, 1, 4)
    stopping.ask()
    context.progress(2, 4, "")
    assert context.checkpoint_due()
    with pytest.raises(StageReleasedError, match="asked to end"):
        context.checkpoint({"w": torch.ones(2)}, 2, 4)
    saved = load_checkpoint(tmp_path)
    assert saved is not None and saved.counters["done"] == 2
    assert torch.equal(saved.tensors["w"], torch.ones(2))


def test_a_stage_that_comes_to_no_checkpoint_ends_where_it_is_when_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopping = Stopping()
    never_saves, saves_late = (stopped_by(tmp_path / name, stopping) for name in ("one", "other"))
    saves_late.checkpoint_due()
    never_saves.progress(1, 4, "")
    stopping.ask()
    with pytest.raises(StageReleasedError):
        never_saves.progress(2, 4, "")
    saves_late.progress(2, 4, "")
    monkeypatch.setattr(stage_context, "SAVE_SECONDS", -1.0)
    with pytest.raises(StageReleasedError):
        saves_late.progress(3, 4, "")
