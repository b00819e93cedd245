"""Rollouts, samples and counterfactuals of a world made of noise and actions, and their masks."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from diamond.config.presets import PRESETS, make_preset
from diamond.config.recording import CounterfactualsConfig
from diamond.config.run import CONTEXT_FRAMES, RunConfig
from diamond.config.scoring import Defect, RolloutsConfig, SamplesConfig
from diamond.data.action_space import ActionArray
from diamond.data.counterfactuals import BranchView
from diamond.data.frame_files import read_stack, write_stack
from diamond.data.reference_files import View
from diamond.engine.output_names import (
    COUNTERFACTUAL_FILE,
    FRAMES_FILE,
    OFF_DATA_FRAMES_FILE,
    SAMPLES_FILE,
)
from diamond.engine.stage_attempt import RESULT
from diamond.engine.stage_context import StageContext
from diamond.engine.store import Store
from diamond.envs.open_game import open_game
from diamond.families.baselines import StillWorld
from diamond.families.diamond.config import diamond_of
from diamond.families.diamond.denoiser import DENOISER
from diamond.families.diamond.reward_end_net import REWARD_END
from diamond.families.interface import Step
from diamond.fidelity.counterfactual import delta_psnr, delta_psnr_true
from diamond.fidelity.energy_score import energy_score
from diamond.makers import rollout_passes as rolling
from diamond.makers.rollout_passes import MAP_SUFFIX, Starts, passes_of, roll
from diamond.makers.sample_scores import CONTROL_COLUMNS, score_counterfactuals, score_samples
from diamond.plan.stage_keys import StageName, StageSpec, stages_of
from diamond.records import to_bytes, to_unit
from diamond.rng import KeyedNoise, Noise, seeded_init
from diamond.seeds import Purpose
from diamond.stages.rollouts import imagined_steps
from diamond.weights.trained_networks import save_network
from diamond.workers.worker import run_stage
from tests.commands import attempt_in, finish

NUM_STARTS, HORIZON, SIZE = 3, 5, (8, 7, 3)
SAMPLES = SamplesConfig(num_samples=3, horizon_steps=4)
NUM_OTHERS = 2
SEED = 11
NUM_FURTHER = 3
TOTAL = HORIZON + 2 * 4 + NUM_OTHERS + NUM_FURTHER


class Walk(NamedTuple):
    """A frame per trajectory."""

    now: Tensor


class NoiseWorld:
    """The next frame is the last one, moved by the action and by noise."""

    history = 1

    def start(self, frames: Tensor, actions: Tensor, padded: Tensor) -> Walk:
        assert actions.shape[1] == frames.shape[1] - 1
        return Walk(frames[:, -1])

    def step(self, state: Walk, action: Tensor, noise: Noise) -> tuple[Walk, Step]:
        moved = state.now + 0.1 * noise.normal("walk", state.now.shape)
        after = Walk((moved + 0.05 * action[:, None, None, None]).clamp(-1, 1))
        zeros = torch.zeros(len(action))
        return after, Step(after.now, zeros, zeros.bool())

    def frame(self, state: Walk) -> Tensor:
        return state.now


def bytes_of(seed: int, *leading: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (*leading, *SIZE), dtype=np.uint8)


def make_view(horizon: int = HORIZON, lengths: tuple[int, ...] = (5, 2, 4)) -> View:
    valid = np.arange(horizon)[None] < np.array(lengths)[:, None]
    targets = bytes_of(1, len(lengths), horizon)
    targets[~valid] = 0
    rng = np.random.default_rng(2)
    actions = rng.integers(0, 3, (len(lengths), CONTEXT_FRAMES + horizon - 1))
    context = bytes_of(3, len(lengths), CONTEXT_FRAMES)
    rewards, ends = np.zeros(valid.shape), np.zeros(valid.shape, np.bool_)
    return View(context, actions, targets, valid, rewards, ends, np.zeros(len(lengths), np.int64))


def recorded_near() -> NDArray[np.int64]:
    """The recorded actions over the horizon of the counterfactuals."""
    return make_view().actions[:, CONTEXT_FRAMES - 1 :][:, :NUM_OTHERS].astype(np.int64)


def make_others(lengths: tuple[int, ...] = (2, 2, 1)) -> BranchView:
    valid = np.arange(NUM_OTHERS)[None] < np.array(lengths)[:, None]
    targets = bytes_of(5, NUM_STARTS, NUM_OTHERS)
    targets[~valid] = 0
    return BranchView(2 - recorded_near(), targets, valid)


def context_of(folder: Path, checkpoint_seconds: float = 1e9) -> StageContext:
    return StageContext(
        attempt_in(folder), {}, {}, SEED, torch.device("cpu"), lambda *_: None, checkpoint_seconds
    )


def imagine(folder: Path, checkpoint_seconds: float = 1e9, defect: Defect = "none") -> Path:
    """All passes of three starts, then one of two others."""
    view, further = make_view(), make_view(NUM_FURTHER, (3, 1))
    passes = passes_of(view, SAMPLES, make_others(), defect)
    (rollout,) = passes_of(further, None, None, defect)
    off_data = replace(rollout, file=OFF_DATA_FRAMES_FILE)
    context = context_of(folder, checkpoint_seconds)
    world = NoiseWorld()
    roll(context, [Starts(world, view, passes), Starts(world, further, [off_data])], defect)
    return context.folder


def test_the_world_is_told_what_of_a_context_is_padded(tmp_path: Path) -> None:
    told = []

    class Told(NoiseWorld):
        def start(self, frames: Tensor, actions: Tensor, padded: Tensor) -> Walk:
            told.append(padded.tolist())
            return super().start(frames, actions, padded)

    view = replace(make_view(), padded=np.array([0, 15, 3]))
    roll(context_of(tmp_path), [Starts(Told(), view, passes_of(view, None, None))])
    assert told == [[0, 15, 3]]


def files_of(folder: Path) -> dict[str, bytes]:
    """All files of frames."""
    return {path.name: path.read_bytes() for path in folder.glob("*.npz")}


def read(folder: Path) -> dict[str, NDArray[np.uint8]]:
    names = (FRAMES_FILE, SAMPLES_FILE, COUNTERFACTUAL_FILE)
    return {name: read_stack(folder / name) for name in names}


def walk(sample: int, actions: ActionArray) -> NDArray[np.uint8]:
    """One pass by hand, one start at a time: its noise depends on no other start."""
    rows = []
    for start in range(NUM_STARTS):
        now = to_unit(torch.from_numpy(make_view().context[start : start + 1, -1]))
        frames = []
        for t, action in enumerate(actions[start]):
            noise = KeyedNoise(SEED, [start], t, sample).normal("walk", now.shape)
            now = (now + 0.1 * noise + 0.05 * torch.tensor([[[[action]]]])).clamp(-1, 1)
            frames.append(to_bytes(now).numpy()[0])
        rows.append(np.stack(frames))
    return np.stack(rows)


def test_every_pass_has_its_own_noise_or_its_own_actions(tmp_path: Path) -> None:
    found = read(imagine(tmp_path))
    recorded = make_view().actions[:, CONTEXT_FRAMES - 1 :]
    assert np.array_equal(found[FRAMES_FILE], walk(0, recorded))
    assert found[SAMPLES_FILE].shape == (NUM_STARTS, 3, 4, *SIZE)
    for sample in range(3):
        expected = walk(sample, recorded[:, :4])
        assert np.array_equal(found[SAMPLES_FILE][:, sample], expected)
    assert np.array_equal(found[COUNTERFACTUAL_FILE], walk(0, make_others().actions))
    # Sample 0 is the rollout; no two samples are one.
    assert np.array_equal(found[SAMPLES_FILE][:, 0], found[FRAMES_FILE][:, :4])
    assert not np.array_equal(found[SAMPLES_FILE][:, 1], found[SAMPLES_FILE][:, 2])


def test_under_the_recorded_actions_a_counterfactual_is_the_rollout(tmp_path: Path) -> None:
    view = make_view()
    others = BranchView(recorded_near(), make_others().targets, make_others().valid)
    context = context_of(tmp_path)
    roll(context, [Starts(NoiseWorld(), view, passes_of(view, None, others))])
    rollout = read_stack(context.folder / FRAMES_FILE)
    others_seen = read_stack(context.folder / COUNTERFACTUAL_FILE)
    assert np.array_equal(others_seen, rollout[:, :NUM_OTHERS])
    assert not (context.folder / SAMPLES_FILE).exists()


def test_the_noise_of_a_start_is_that_of_its_number(tmp_path: Path) -> None:
    """The same contexts and actions, two numbers further: start 2 alone has its noise again."""
    view = make_view(lengths=(5,) * 5)
    later = View(**{name: values[2:] for name, values in vars(view).items()})
    for name, seen, first in (("whole", view, 0), ("later", later, 2), ("wrong", later, 0)):
        context = context_of(tmp_path / name)
        roll(context, [Starts(NoiseWorld(), seen, passes_of(seen, SAMPLES, None), first)])
    for name in (FRAMES_FILE, SAMPLES_FILE):
        whole, found, wrong = (
            read_stack(tmp_path / n / RESULT / name)[-3:] for n in ("whole", "later", "wrong")
        )
        assert np.array_equal(found, whole)
        assert not np.array_equal(wrong, whole)


def test_a_smoke_world_imagines_the_same_from_later_starts(tmp_path: Path) -> None:
    """Through the stages: references, rollouts, samples, other actions; networks are fresh."""
    smoke = make_preset("smoke", "Boxing")
    store = Store(tmp_path)
    folders = {}
    for first, num_starts in ((0, 2), (1, 1)):
        values = {
            "num_starts": num_starts,
            "horizon_steps": 2,
            "max_offset_steps": 3,
            "counterfactuals": CounterfactualsConfig(horizon_steps=2),
        }
        samples = SamplesConfig(num_samples=2, horizon_steps=2)
        drawn = RolloutsConfig(horizon_steps=2, num_starts=num_starts, samples=samples)
        played = smoke.references.model_copy(update=values | {"first_start": first})
        config = smoke.model_copy(update={"references": played, "rollouts": drawn})
        specs = {spec.stage: spec for spec in stages_of(config)}
        fill_networks(store, config, specs)
        for stage in ("references", "rollouts"):
            store.prepare(specs[stage])
            run_stage(store, stage, specs[stage].key, lambda _: None, 1e9)
        folders[first] = store.folder("rollouts", specs["rollouts"].key)
    whole, later = read(folders[0]), read(folders[1])
    for name, frames in whole.items():
        assert np.array_equal(later[name], frames[1:])
        assert not np.array_equal(later[name], frames[:1])


def fill_networks(store: Store, config: RunConfig, specs: Mapping[StageName, StageSpec]) -> None:
    """Finished stages of networks that were never trained."""
    size = {"height": config.view.height, "width": config.view.width}
    shape = {"num_actions": len(open_game(config.game, config.environment).action_codes)} | size
    with seeded_init(0, Purpose.DENOISER_INIT):
        networks: dict[StageName, nn.Module] = {
            "denoiser": DENOISER.build(diamond_of(config).denoiser, shape),
            "reward_end": REWARD_END.build(diamond_of(config).reward_end, shape),
        }
    for stage, net in networks.items():
        finish(store, specs[stage], partial(save_network, net, shape))


class PowerCutError(OSError):
    """The end of a process, in a test that wants to go on."""


def cut(folder: Path, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """Imagine with a checkpoint at every time step until the power fails after one."""
    whole = StageContext.checkpoint

    def last(self: StageContext, tensors: Mapping[str, Tensor], done: int, total: int) -> None:
        whole(self, tensors, done, total)
        if done == at:
            raise PowerCutError

    with monkeypatch.context() as patched:
        patched.setattr(StageContext, "checkpoint", last)
        with pytest.raises(PowerCutError):
            imagine(folder, 0.0)


@pytest.mark.parametrize("at", range(1, TOTAL + 1))
def test_cut_anywhere_it_goes_on_from_there_and_ends_with_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    expected = files_of(imagine(tmp_path / "whole"))
    cut(tmp_path / "cut", monkeypatch, at)
    steps: list[int] = []
    whole = NoiseWorld.step

    def counted(self: NoiseWorld, *arguments: object) -> tuple[Walk, Step]:
        steps.append(1)
        return whole(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(NoiseWorld, "step", counted)
    assert files_of(imagine(tmp_path / "cut")) == expected
    assert len(steps) == TOTAL - at


@pytest.mark.parametrize("damage", ["cut", "flipped", "gone"])
@pytest.mark.parametrize("name", [FRAMES_FILE, SAMPLES_FILE, COUNTERFACTUAL_FILE])
def test_damaged_frames_are_imagined_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, damage: str
) -> None:
    expected = read(imagine(tmp_path / "whole"))
    cut(tmp_path / "cut", monkeypatch, TOTAL - 1)
    path = (tmp_path / "cut" / RESULT / name).with_suffix(MAP_SUFFIX)
    if damage == "flipped":
        frames = np.load(path)
        frames[0, 1 if name == SAMPLES_FILE else 0] ^= 1
        np.save(path, frames)
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:300])
    else:
        path.unlink()
    found = read(imagine(tmp_path / "cut"))
    assert all(np.array_equal(found[key], expected[key]) for key in expected)


@pytest.mark.parametrize("defect", ["none", "lagged"])
@pytest.mark.parametrize("name", [FRAMES_FILE, SAMPLES_FILE, OFF_DATA_FRAMES_FILE])
def test_cut_while_frames_are_deflated_it_ends_with_the_same_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, defect: Defect
) -> None:
    whole = imagine(tmp_path / "whole", defect=defect)

    def half_written(path: Path, frames: Iterable[NDArray[np.uint8]]) -> None:
        write_stack(path, islice(frames, 1))
        if path.name == name:
            raise PowerCutError

    with monkeypatch.context() as patched:
        patched.setattr(rolling, "write_stack", half_written)
        with pytest.raises(PowerCutError):
            imagine(tmp_path / "cut", 0.0, defect)
    monkeypatch.delattr(NoiseWorld, "step")  # nothing is imagined again
    found = imagine(tmp_path / "cut", defect=defect)
    for path in whole.glob("*.npz"):
        assert (found / path.name).read_bytes() == path.read_bytes()
    assert not list(found.rglob(f"*{MAP_SUFFIX}"))


def test_a_thousand_steps_of_a_baseline(tmp_path: Path) -> None:
    view = make_view(1000, (1000, 1000, 700))
    context = context_of(tmp_path)
    timings = roll(context, [Starts(StillWorld(None), view, passes_of(view, SAMPLES, None))])
    frames = read_stack(context.folder / FRAMES_FILE)
    assert frames.shape == (NUM_STARTS, 1000, *SIZE)
    assert np.array_equal(frames, np.broadcast_to(view.context[:, -1:], frames.shape))
    samples = read_stack(context.folder / SAMPLES_FILE)
    assert np.array_equal(samples, np.broadcast_to(view.context[:, None, -1:], samples.shape))
    assert timings["ms_per_frame"] > 0


# --- scores and their masks -------------------------------------------------------------------


def test_nothing_is_scored_after_an_end_or_a_horizon(tmp_path: Path) -> None:
    """Recorded branches last 5, 2 and 4 env steps, the others 2, 2 and 1 of 2."""
    folder, view, others = imagine(tmp_path), make_view(), make_others()
    found = read(folder)
    scores = score_samples(folder, view) | score_counterfactuals(folder, view, others)
    assert {name: values.shape for name, values in scores.items()} == dict.fromkeys(
        ("energy_score", *CONTROL_COLUMNS),
        (NUM_STARTS, HORIZON),
    )
    defined = {name: (~np.isnan(v)).sum(axis=1).tolist() for name, v in scores.items()}
    assert defined == {
        "energy_score": [4, 2, 4],
        "delta_psnr": [2, 2, 2],
        "delta_psnr_true": [2, 2, 1],
        "delta_psnr_true_real": [2, 2, 1],
        "delta_psnr_changed": [2, 2, 1],
        "delta_psnr_changed_real": [2, 2, 1],
    }
    for values in scores.values():  # defined time steps come first, without a gap
        assert (np.diff(np.isnan(values).astype(int), axis=1) >= 0).all()
    y, y_other = found[FRAMES_FILE][1, :2], found[COUNTERFACTUAL_FILE][1]
    x, x_other = view.targets[1, :2], others.targets[1]
    drawn = found[SAMPLES_FILE][1, :, :2]
    assert scores["energy_score"][1, :2].tolist() == energy_score(x, drawn).tolist()
    assert scores["delta_psnr"][1, :2].tolist() == delta_psnr(x, y, y_other).tolist()
    expected = delta_psnr_true(x, x_other, y, y_other)
    assert scores["delta_psnr_true"][1, :2].tolist() == expected.tolist()


def test_what_lies_behind_an_end_changes_no_score(tmp_path: Path) -> None:
    folder, view, others = imagine(tmp_path), make_view(), make_others()
    before = score_samples(folder, view) | score_counterfactuals(folder, view, others)
    view.targets[~view.valid] = 77
    others.targets[~others.valid] = 78
    for name in (FRAMES_FILE, SAMPLES_FILE, COUNTERFACTUAL_FILE):
        frames = read_stack(folder / name)
        frames[1, ..., 2:, :, :, :] = 79  # the second recorded branch lasts two env steps
        write_stack(folder / name, frames)
    after = score_samples(folder, view) | score_counterfactuals(folder, view, others)
    for name, values in before.items():
        np.testing.assert_array_equal(values, after[name])


def test_a_branch_that_ends_at_once_has_no_score_but_that_of_the_recorded_one(
    tmp_path: Path,
) -> None:
    view, others = make_view(), make_others((0, 0, 0))
    scores = score_counterfactuals(imagine(tmp_path), view, others)
    assert np.isnan(scores["delta_psnr_true"]).all()
    assert (~np.isnan(scores["delta_psnr"])).sum() == NUM_STARTS * NUM_OTHERS


def test_without_samples_and_counterfactuals_there_are_no_such_columns(tmp_path: Path) -> None:
    view = make_view()
    roll(context_of(tmp_path), [Starts(NoiseWorld(), view, passes_of(view, None, None))])
    assert score_samples(tmp_path, view) == {}
    assert score_counterfactuals(tmp_path, view, None) == {}


# --- cost -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PRESETS)
def test_samples_and_counterfactuals_cost_less_than_the_rollout(name: str) -> None:
    """In env steps, each of which has the same number of denoiser calls."""
    config = make_preset(name, "Boxing")
    rollouts, others = config.rollouts, config.references.counterfactuals
    assert rollouts.samples is not None and others is not None
    view = make_view(rollouts.horizon_steps, (1,))
    branch = BranchView(*(np.zeros((1, others.horizon_steps), np.int64),) * 3)  # type: ignore[arg-type]
    passes = passes_of(view, rollouts.samples, branch)
    assert imagined_steps(config) == sum(one.num_steps for one in passes)
    assert rollouts.horizon_steps < imagined_steps(config) < 2 * rollouts.horizon_steps
    neutral = config.model_copy(
        update={
            "references": config.references.model_copy(update={"counterfactuals": None}),
            "rollouts": rollouts.model_copy(update={"samples": None}),
        }
    )
    assert imagined_steps(neutral) == rollouts.horizon_steps
