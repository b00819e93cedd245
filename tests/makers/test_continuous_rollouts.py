"""Stages on recorded actions of several numbers, without a reward/end part of the world model."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from diamond.config.overrides import override
from diamond.config.presets import make_preset
from diamond.config.run import CONTEXT_FRAMES
from diamond.data.frame_files import read_stack
from diamond.data.reference_files import Reference, save_references
from diamond.engine.output_names import FRAMES_FILE, SAMPLES_FILE, SCORES_FILE
from diamond.engine.stage_context import StageContext
from diamond.engine.store import Store
from diamond.envs.real_game import EpisodeKey
from diamond.makers.trained_parts import _judged
from diamond.nets.inverse_dynamics_net import INVERSE_DYNAMICS
from diamond.plan.stage_keys import StageSpec, stages_of
from diamond.weights.trained_networks import load_world, save_network, saved_shape
from diamond.workers.worker import run_stage
from tests.commands import attempt_in, finish
from tests.families.test_continuous_actions import MOVES, SHAPE, SIDE, recorded_squares, squares

CONFIG = override(
    make_preset("smoke", "Boxing"), {"view.height": str(SIDE), "view.width": str(SIDE)}
)
Home = tuple[Store, dict[str, StageSpec]]
HORIZON = CONFIG.rollouts.horizon_steps


def held_out(seed: int) -> Reference:
    """An episode that says its rewards, and no ends."""
    frames, actions = recorded_squares(CONTEXT_FRAMES + HORIZON, seed)
    return Reference(
        EpisodeKey(-1 - seed, 0), tuple(actions), 0, HORIZON, frames, frames,
        (0.0,) * len(actions), frames[:0],
    )  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """All stages of a run but those that train and read rewards and ends, and policies."""
    store = Store(tmp_path_factory.mktemp("home"))
    made: dict[str, StageSpec] = {}
    for spec in stages_of(CONFIG, until="fidelity"):
        if spec.stage != "reward_end":
            read = {name: made[name].key for name in spec.upstream if name in made}
            made[spec.stage] = StageSpec(spec.stage, spec.config, read, spec.seed)
    judge = INVERSE_DYNAMICS.fresh(CONFIG.inverse_dynamics, SHAPE, 0)

    def record(folder: Path) -> None:
        MOVES.save(folder)
        squares(5, seed=1).save(folder)

    def hold_out(folder: Path) -> None:
        MOVES.save(folder)
        save_references([held_out(1), held_out(2)], folder)

    finish(store, made["frames"], record)
    finish(store, made["references"], hold_out)
    finish(store, made["inverse_dynamics"], lambda folder: save_network(judge, SHAPE, folder))
    for stage in ("denoiser", "rollouts", "fidelity"):
        store.prepare(made[stage])
        run_stage(store, stage, made[stage].key, lambda _: None, checkpoint_seconds=1e9)
        assert store.status(made[stage]) == "done", store.manifest(stage, made[stage].key)
    return store, made


def folder_of(home: Home, stage: str) -> Path:
    store, made = home
    return store.folder(stage, made[stage].key)


def test_a_denoiser_is_trained_on_recorded_numbers(home: Home) -> None:
    assert saved_shape(folder_of(home, "denoiser")) == SHAPE


def test_a_world_is_loaded_without_what_was_not_trained(home: Home, tmp_path: Path) -> None:
    spec = home[1]["rollouts"]
    upstream = {name: folder_of(home, name) for name in spec.upstream}
    context = StageContext(
        attempt_in(tmp_path), spec.config, upstream, 0, torch.device("cpu"), lambda *_: None
    )
    world = load_world(context)
    assert set(world.networks) == {"denoiser"}
    assert not hasattr(world.config, "reward_end")


def test_rollouts_have_frames_and_draw_no_events(home: Home) -> None:
    folder = folder_of(home, "rollouts")
    assert read_stack(folder / FRAMES_FILE).shape == (2, HORIZON, SIDE, SIDE, 3)
    assert read_stack(folder / SAMPLES_FILE).shape == (2, 2, 4, SIDE, SIDE, 3)
    assert {path.name for path in folder.glob("*[!l]")} == {
        "manifest.json",
        FRAMES_FILE,
        SAMPLES_FILE,
    }


def test_the_judge_scores_by_r2_and_nothing_is_said_of_rewards(
    home: Home,
) -> None:
    scores = load_file(folder_of(home, "fidelity") / SCORES_FILE)
    assert scores["action_r2"].shape == (2, HORIZON)
    assert np.isfinite(scores["action_r2"]).all() and np.isfinite(scores["action_r2_real"]).all()
    assert {"fd_inverse_dynamics", "psnr", "energy_score"} <= scores.keys()
    others = ("action_acc", "action_bal", "reward", "end_", "event", "return", "delta")
    assert [name for name in scores if name.startswith(others)] == []


def test_what_the_judge_is_worth_is_kept() -> None:
    judge = INVERSE_DYNAMICS.fresh(CONFIG.inverse_dynamics, SHAPE, 0)
    rows, timings = _judged(judge, squares(3, seed=2), ())
    assert rows["num_steps"] == 57 and len(rows["numbers"]) == 2  # type: ignore[arg-type]
    assert timings == {"held_out_r2": rows["r2"]}
    still = squares(3, seed=2)
    still.actions[:] = 0
    rows, timings = _judged(judge, still, ())
    assert (rows["r2"], rows["numbers"], timings) == (None, [None, None], {})
