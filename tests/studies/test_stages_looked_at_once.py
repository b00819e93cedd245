"""The store as a document sees it: each stage looked at once, what is new found when asked."""

from pathlib import Path

import pytest

from diamond.engine import stage_manifest as manifest_module
from diamond.engine.output_names import CHECKPOINT_FILE, EVENTS_FILE
from diamond.engine.stage_claim import Claim
from diamond.engine.store import StageResult, Store
from diamond.findings.store_view import SeenStore
from diamond.plan.stage_keys import StageSpec
from diamond.studies.study_tracking import TRACKING_SECONDS, TRACKING_SHARE, pause_seconds
from tests.commands import MAKER

SPEC = StageSpec("frames", {"game": "Boxing"}, {}, 7)


def test_it_says_what_the_store_says_and_reads_each_manifest_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, seen = Store(tmp_path), SeenStore(tmp_path)
    assert seen.status(SPEC) == store.status(SPEC) == "todo"
    store.prepare(SPEC)
    seen.look_again()
    assert seen.status(SPEC) == store.status(SPEC) == "todo"
    claim = Claim(store.work(SPEC.stage, SPEC.key))
    assert claim.try_acquire()
    attempt = store.begin(SPEC.stage, SPEC.key, claim, MAKER)
    (attempt.folder / "checkpoint").mkdir()
    (attempt.folder / CHECKPOINT_FILE).touch()
    assert seen.status(SPEC) == "todo"
    seen.look_again()
    assert seen.status(SPEC) == store.status(SPEC) == "partial"
    (attempt.result / EVENTS_FILE).touch()
    seen.look_again()
    assert seen.manifest(SPEC.stage, SPEC.key) is not None
    assert store.publish(SPEC.stage, SPEC.key, attempt, StageResult({"seconds": 2.0}))
    # What was seen of it while it was made is no manifest of a finished stage.
    assert seen.status(SPEC) != "done"
    seen.look_again()
    assert seen.status(SPEC) == store.status(SPEC) == "done"
    assert seen.manifest(SPEC.stage, SPEC.key) == store.manifest(SPEC.stage, SPEC.key)
    monkeypatch.setattr(manifest_module, "read_json", lambda path: pytest.fail(f"read {path}"))
    seen.look_again()
    assert seen.status(SPEC) == "done"
    assert seen.manifest(SPEC.stage, SPEC.key) is not None


def test_a_long_import_is_followed_by_a_long_pause() -> None:
    assert pause_seconds(0.0) == TRACKING_SECONDS
    for spent in (1.0, 60.0):
        assert spent / (pause_seconds(spent) + spent) <= TRACKING_SHARE
