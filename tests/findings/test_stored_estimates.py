"""Estimates beside the stages that they are of: made once, remade where lost, gone with them."""

import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from diamond.engine.store import Store
from diamond.engine.study_history import record_plan
from diamond.findings import stored_estimates as kept
from diamond.findings.arm_inputs import find_stage
from diamond.findings.estimate_files import ESTIMATES, estimate_files
from diamond.plan.plan import Arm
from diamond.results.rollout_estimates import Scores, arm_estimates, load_scores, run_means
from diamond.studies.garbage import find_garbage
from tests.commands import finish, smoke_plan

HORIZON = 10


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """Each look is that of a new process."""
    forget()
    yield
    forget()


def forget() -> None:
    kept._arm_estimates.cache_clear()
    kept._run_means.cache_clear()
    load_scores.cache_clear()


def save(scores: Scores, folder: Path) -> None:
    save_file(dict(scores), folder / "scores.safetensors")


def scored(store: Store, seed: int = 0) -> tuple[Arm, Scores]:
    """The first arm of a plan, with scores in the home."""
    rows = np.random.default_rng(seed).normal(size=(12, HORIZON))
    rows[3, 7:] = np.nan
    scores = {"psnr": rows, "l1": rows**2}
    arm = smoke_plan().arms[0]
    spec = find_stage(arm.runs[0], "fidelity")
    assert spec is not None
    finish(store, spec, partial(save, scores))
    return arm, scores


def refuse(*_: Any) -> Any:
    raise AssertionError("estimated once more")


def test_they_are_those_of_the_scores(tmp_path: Path) -> None:
    store = Store(tmp_path)
    arm, scores = scored(store)
    for _ in range(2):
        assert kept.kept_estimates(arm, store, HORIZON) == (1, arm_estimates([scores], HORIZON))
        assert kept.kept_means(arm.runs[0], store, HORIZON) == run_means(scores, HORIZON)
        forget()


def test_another_process_finds_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    arm, _ = scored(store)
    first = kept.kept_estimates(arm, store, HORIZON), kept.kept_means(arm.runs[0], store, HORIZON)
    forget()
    monkeypatch.setattr(kept, "load_scores", refuse)
    again = kept.kept_estimates(arm, store, HORIZON), kept.kept_means(arm.runs[0], store, HORIZON)
    assert again == first
    with pytest.raises(AssertionError, match="once more"):
        kept.kept_estimates(arm, store, HORIZON - 1)


@pytest.mark.parametrize("damage", ["gone", "cut", "changed"])
def test_lost_ones_are_made_again(tmp_path: Path, damage: str) -> None:
    store = Store(tmp_path)
    arm, _ = scored(store)
    first = kept.kept_estimates(arm, store, HORIZON)
    (file,) = (path for _, path in estimate_files(tmp_path))
    text = file.read_text()
    match damage:
        case "gone":
            file.unlink()
        case "cut":
            file.write_text(text[:-20])
        case _:
            file.write_text(text.replace('"num_starts": 12', '"num_starts": 13'))
    forget()
    assert kept.kept_estimates(arm, store, HORIZON) == first
    assert file.read_text() == text


def test_scores_that_were_made_again_with_other_bits_are_estimated_anew(tmp_path: Path) -> None:
    store = Store(tmp_path)
    arm, _ = scored(store)
    first = kept.kept_estimates(arm, store, HORIZON)
    shutil.rmtree(tmp_path / "stages")
    forget()
    _, others = scored(store, seed=1)
    assert kept.kept_estimates(arm, store, HORIZON) == (1, arm_estimates([others], HORIZON))
    assert kept.kept_means(arm.runs[0], store, HORIZON) == run_means(others, HORIZON)
    assert first != kept.kept_estimates(arm, store, HORIZON)


def test_an_arm_without_scores_has_none(tmp_path: Path) -> None:
    arm, store = smoke_plan().arms[0], Store(tmp_path)
    assert kept.kept_estimates(arm, store, HORIZON) is None
    assert kept.kept_means(arm.runs[0], store, HORIZON).metrics == {}
    assert not (tmp_path / ESTIMATES).exists()


def test_they_go_with_their_stage(tmp_path: Path) -> None:
    store, plan = Store(tmp_path), smoke_plan()
    store.check_writable()
    arm, _ = scored(store)
    record_plan(plan, tmp_path / "studies" / plan.study, "diamond ablate")
    kept.kept_estimates(arm, store, HORIZON)
    found = {item.what for item in find_garbage(store, ()).items}
    assert ESTIMATES not in found
    found = {item.what for item in find_garbage(store, (plan.study,)).items}
    assert {ESTIMATES, "fidelity"} <= found
