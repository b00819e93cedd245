"""Held-out starts that training frames have too: which they are, where it is kept, what is told."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save_file

from diamond.config.run import CONTEXT_FRAMES
from diamond.data import seen_starts as looking
from diamond.data.action_space import ActionSpace
from diamond.data.dataset import FrameSet
from diamond.data.reference_files import Reference, save_references
from diamond.data.seen_starts import Stretch, seen_starts
from diamond.engine.output_names import FRAMES_FILE
from diamond.engine.store import Store
from diamond.envs.real_game import EpisodeKey
from diamond.errors import StoreError
from diamond.findings import starts_in_training as kept_starts
from diamond.findings.ablation_result import build_result
from diamond.findings.arm_inputs import find_stage
from diamond.findings.estimate_files import estimate_files
from diamond.findings.starts_in_training import kept_seen_starts
from diamond.plan.plan import Arm
from diamond.report import page
from diamond.report.console import result_table
from diamond.report.prose import seen_sentences
from diamond.results.rollout_estimates import load_scores
from tests.commands import finish, smoke_plan
from tests.result_documents import result, three_arms

CODES = (0, 1, 5)
HORIZON = 10
NUM_STARTS = 2
TIMINGS = {
    "seconds": 1.0,
    "denoiser_calls_per_frame": 1.0,
    "ms_per_frame": 1.0,
    "num_parameters": 1.0,
}


def stretch(levels: list[int], codes: list[int]) -> Stretch:
    """Frames of one pixel with these levels."""
    frames = np.repeat(np.array(levels, dtype=np.uint8), 3).reshape(-1, 1, 1, 3)
    return Stretch(frames, np.array(codes, dtype=np.int64))


def test_frames_and_the_actions_between_them_must_follow_one_another_in_one_episode() -> None:
    episodes = [stretch([1, 2, 3, 4], [0, 1, 5, 0]), stretch([5, 6, 5, 6, 7], [0, 0, 1, 1, 0])]
    contexts = [
        stretch([2, 3, 4], [1, 5]),
        stretch([2, 3, 4], [1, 1]),
        stretch([3, 4, 5], [5, 0]),
        stretch([5, 6, 7], [1, 1]),
        stretch([5, 6, 7], [0, 1]),
        stretch([9, 1, 2], [0, 0]),
        stretch([7], []),
        stretch([8], []),
    ]
    assert seen_starts(contexts, iter(episodes)) == (0, 3, 6)
    assert seen_starts([], iter(episodes)) == seen_starts(contexts, iter([])) == ()


# --- in a home --------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """Each look is that of a new process."""
    forget()
    yield
    forget()


def forget() -> None:
    kept_starts._seen_starts.cache_clear()
    load_scores.cache_clear()


def noise(seed: int, num: int, size: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (num, size, size, 3), dtype=np.uint8)


def reference(frames: NDArray[np.uint8], codes: tuple[int, ...], offset: int) -> Reference:
    """An episode of the size that the arm sees, whose frames from the context on are given."""
    return Reference(
        EpisodeKey(-1, 0), codes, offset, len(frames) - CONTEXT_FRAMES, frames, frames, None,
        frames[:0],
    )  # fmt: skip


def filled(store: Store, arm: Arm) -> None:
    """Two starts: the first is no training frame, the second one's padded context is there."""
    size = arm.runs[0].config.view.height
    recorded = noise(1, 30, size)
    actions = np.arange(30) % 3
    padded = np.concatenate([recorded[20:21].repeat(11, axis=0), recorded[20:26]])
    codes = tuple(CODES[action] for action in actions[20:25])
    held_out = [
        reference(noise(2, CONTEXT_FRAMES + 1, size), (0,) * 20, 3),
        reference(padded, codes, -11),
    ]
    rewards, ends = np.zeros(30, dtype=np.float32), np.zeros(30, dtype=np.uint8)
    frames = FrameSet(recorded, actions, rewards, ends, np.array([0, 20, 30]))
    scores = {"core_ratio": np.stack([np.full(HORIZON, 0.25), np.full(HORIZON, 0.75)])}

    def write(stage: str, folder: Path) -> None:
        match stage:
            case "frames":
                frames.save(folder)
                ActionSpace(CODES).save(folder)
            case "references":
                save_references(held_out, folder)
            case "fidelity":
                save_file(scores, folder / "scores.safetensors")

    for stage in ("frames", "references", "rollouts", "fidelity"):
        spec = find_stage(arm.runs[0], stage)
        assert spec is not None
        finish(store, spec, partial(write, stage), TIMINGS)


def refuse(*_: Any) -> Any:
    raise AssertionError("looked for once more")


def test_they_are_found_once_and_known_after_the_frames_have_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, arm = Store(tmp_path), smoke_plan().arms[0]
    run = arm.runs[0]
    assert kept_seen_starts(run, store) is None
    filled(store, arm)
    frames = find_stage(run, "frames")
    assert frames is not None
    assert kept_seen_starts(run, store) == (1,)
    ((key, _),) = estimate_files(tmp_path)
    assert key == frames.key
    forget()
    monkeypatch.setattr(looking, "stored_seen_starts", refuse)
    assert kept_seen_starts(run, store) == (1,)
    forget()
    store.keep_only(frames.stage, frames.key, [FRAMES_FILE], lambda folder: None)
    assert kept_seen_starts(run, store) == (1,)


def test_it_is_not_known_of_frames_that_are_not_here_and_of_baselines(tmp_path: Path) -> None:
    store, plan = Store(tmp_path), smoke_plan()
    filled(store, plan.arms[0])
    run = plan.arms[0].runs[0]
    frames = find_stage(run, "frames")
    assert frames is not None
    store.keep_only(frames.stage, frames.key, [FRAMES_FILE], lambda folder: None)
    assert kept_seen_starts(run, store) is None
    assert kept_seen_starts(plan.arms[-1].runs[0], store) is None


def test_frames_that_are_damaged_are_told(tmp_path: Path) -> None:
    store, arm = Store(tmp_path), smoke_plan().arms[0]
    filled(store, arm)
    frames = find_stage(arm.runs[0], "frames")
    assert frames is not None
    path = store.folder("frames", frames.key) / FRAMES_FILE
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(StoreError, match=f"frames {frames.key} is damaged"):
        kept_seen_starts(arm.runs[0], store)


def test_the_result_names_the_starts_and_the_mean_over_the_others(tmp_path: Path) -> None:
    store, plan = Store(tmp_path), smoke_plan()
    filled(store, plan.arms[0])
    doc = build_result(plan, store, {}, frozenset(), 0.0, "diamond")
    run, other = doc.arms[0].runs[0], doc.arms[1].runs[0]
    assert (run.num_starts, run.seen_starts, run.seen_numbers) == (NUM_STARTS, 1, (1,))
    assert run.unseen_mean == 0.25
    assert (other.num_starts, other.seen_starts, other.unseen_mean) == (None, None, None)


def test_where_all_starts_are_seen_nothing_is_left_to_take_the_mean_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, plan = Store(tmp_path), smoke_plan()
    filled(store, plan.arms[0])
    monkeypatch.setattr(looking, "stored_seen_starts", lambda *_: (0, 1))
    doc = build_result(plan, store, {}, frozenset(), 0.0, "diamond")
    run = doc.arms[0].runs[0]
    assert (run.seen_starts, run.unseen_mean) == (2, None)
    (told,) = seen_sentences(doc, "Boxing")
    assert told == "2 of 2 held-out starts occur in the training frames of steps=1."


# --- what is told -----------------------------------------------------------------------------


def test_the_report_and_the_terminal_say_it() -> None:
    document = three_arms()
    seen = {"num_starts": 48, "seen_starts": 12, "seen_numbers": list(range(12))}
    for arm, mean in zip(document["arms"][:2], (0.61, 0.66), strict=True):
        arm["runs"][0] |= seen | {"unseen_mean": mean}
    document["arms"][2]["runs"][0] |= {"num_starts": 48, "seen_starts": 0}
    doc = result(document)
    sentence = (
        "12 of 48 held-out starts occur in the training frames of steps=1, steps=3. "
        "Core ratio over the others: 0.610 (steps=1), 0.660 (steps=3)."
    )
    assert seen_sentences(doc, "Boxing") == [sentence]
    assert sentence in result_table(doc, "Boxing").caption
    assert sentence in page._ablation_section(doc, (), ()).context["intervals"]
    two = doc.model_copy(update={"games": ("Boxing", "Pong")})
    assert seen_sentences(two, "Boxing") == [f"Boxing: {sentence}"]
    assert seen_sentences(result(three_arms()), "Boxing") == []
