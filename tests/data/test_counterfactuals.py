"""Counterfactual references: other actions from the very same state of the emulator."""

import json
from collections.abc import Sequence
from pathlib import Path

import ale_py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError

from diamond.config.presets import PRESETS, make_preset
from diamond.config.recording import CounterfactualsConfig, PlayConfig, ViewConfig
from diamond.config.run import CONTEXT_FRAMES, RunConfig
from diamond.config.scoring import SamplesConfig
from diamond.data.action_space import ActionSpace
from diamond.data.collect import collect_references
from diamond.data.counterfactuals import (
    other_actions,
    play_branch,
    view_branches,
)
from diamond.data.reference_files import (
    BRANCH_FILE,
    Branch,
    Reference,
    future_codes,
    load_references,
    save_references,
)
from diamond.envs.atari import rom_name
from diamond.envs.open_game import open_game
from diamond.envs.view import apply_view

PLAY = PlayConfig(collector="random_held", max_hold_steps=8, random_fraction=1.0)
HORIZON = 40
GAMES = ("Breakout", "Boxing")
ALL_CODES = ActionSpace(tuple(range(18)))


def references_of(game: str, seed: int = 0, **changes: object) -> list[Reference]:
    config = make_preset("smoke", game)
    wanted = config.references.model_copy(update={"play": PLAY, **changes})
    return list(
        collect_references(game, config.environment, wanted, seed, lambda done, total: None)
    )


@pytest.fixture(scope="module")
def recorded() -> dict[str, list[Reference]]:
    """Breakout under random play loses lives inside the horizon, in both branches."""
    others = CounterfactualsConfig(horizon_steps=HORIZON)
    return {
        game: references_of(
            game, num_starts=4, horizon_steps=HORIZON, max_offset_steps=60, counterfactuals=others
        )
        for game in GAMES
    }


def branch_of(reference: Reference) -> Branch:
    assert reference.branch is not None
    return reference.branch


@pytest.mark.parametrize("game", GAMES)
def test_the_recorded_actions_by_the_same_route_give_the_recorded_frames(
    recorded: dict[str, list[Reference]], game: str
) -> None:
    env = open_game(game, make_preset("smoke", game).environment)
    for reference in recorded[game]:
        again = play_branch(env, reference, future_codes(reference)[:HORIZON])
        assert np.array_equal(again, reference.native[CONTEXT_FRAMES:])


def by_the_bare_emulator(
    game: str, reference: Reference, codes: Sequence[int]
) -> list[NDArray[np.uint8]]:
    """Frames after the context up to the end or a lost life, by ale_py alone, frame skip 4."""
    ale = ale_py.ALEInterface()
    ale.setFloat("repeat_action_probability", 0.0)
    ale.setInt("random_seed", reference.key.emulator_seed)
    rom = ale_py.roms.get_rom_path(rom_name(game))
    assert rom is not None
    ale.loadROM(rom)
    ale.reset_game()
    for _ in range(reference.key.num_noops):
        ale.act(0)
    past = reference.action_codes[: reference.offset + CONTEXT_FRAMES - 1]
    frames = []
    for number, code in enumerate((*past, *codes)):
        lives = ale.lives()
        screens = []
        for _ in range(4):
            ale.act(code)
            screens.append(ale.getScreenRGB())
        if number >= len(past):
            if ale.game_over() or ale.lives() < lives:
                break
            frames.append(np.maximum(screens[2], screens[3]))
    return frames


@pytest.mark.parametrize("game", GAMES)
def test_a_counterfactual_is_what_a_fresh_emulator_shows(
    recorded: dict[str, list[Reference]], game: str
) -> None:
    lengths = []
    for reference in recorded[game]:
        branch = branch_of(reference)
        frames = by_the_bare_emulator(game, reference, branch.action_codes)
        assert len(frames) == len(branch.native)
        assert all(np.array_equal(*pair) for pair in zip(frames, branch.native[:], strict=True))
        lengths.append(len(frames))
    assert max(lengths) > 0
    assert (min(lengths) < HORIZON) == (game == "Breakout")


@pytest.mark.parametrize("game", GAMES)
def test_the_other_actions_differ_at_every_env_step_and_show(
    recorded: dict[str, list[Reference]], game: str
) -> None:
    for reference in recorded[game]:
        branch, taken = branch_of(reference), future_codes(reference)
        assert len(branch.action_codes) == HORIZON
        assert all(a != b for a, b in zip(branch.action_codes, taken, strict=False))
        both = min(len(branch.native), reference.num_valid_steps)
        real = reference.native[CONTEXT_FRAMES : CONTEXT_FRAMES + both]
        assert not np.array_equal(real, branch.native[:both])


CODES = tuple(range(4))


@given(
    taken=st.lists(st.sampled_from(CODES), min_size=1, max_size=30),
    hold=st.integers(1, 8),
    seed=st.integers(0, 999),
)
def test_other_actions_are_others_in_the_set_and_a_prefix_of_more(
    taken: list[int], hold: int, seed: int
) -> None:
    def drawn(num_steps: int) -> tuple[int, ...]:
        return other_actions(taken, CODES, hold, num_steps, np.random.default_rng(seed))

    actions = drawn(30)
    assert len(actions) == 30
    assert set(actions) <= set(CODES)
    assert all(a != b for a, b in zip(actions, taken, strict=False))
    assert drawn(10) == actions[:10]


def test_other_actions_are_uniform_and_held_as_the_recorder_holds() -> None:
    """Beside a recording that always takes 0, with no action held twice in a row by chance of 1/5.

    A hold is 4.5 env steps on average; 4,000 env steps have 900 holds, whose mean has a standard
    error of 2.3 / 30 = .08, and shares of six actions one of .013.
    """
    codes = tuple(range(7))
    rng = np.random.default_rng(0)
    actions = np.array(other_actions([0] * 4000, codes, 8, 4000, rng))
    changes = np.flatnonzero(np.diff(actions)) + 1
    runs = np.diff(np.concatenate(([0], changes, [4000])))
    # Two draws in a row are the same with chance 1/6: a run has 6/5 holds on average.
    assert runs.mean() / (6 / 5) == pytest.approx(4.5, abs=0.32)
    shares = np.bincount(actions, minlength=7) / 4000
    assert shares[0] == 0
    # Actions come in holds, so that the spread is that of 900 draws and unequal lengths.
    assert shares[1:] == pytest.approx(1 / 6, abs=5 * 0.015)


def test_after_the_end_of_the_recording_any_action_may_follow() -> None:
    rng = np.random.default_rng(0)
    actions = other_actions([0], CODES, 1, 400, rng)
    assert actions[0] != 0
    assert set(actions[1:]) == set(CODES)


def test_a_held_action_is_given_up_where_the_recording_takes_the_same() -> None:
    """With two actions there is one other, whatever was held."""
    taken = [0, 1, 1, 0, 1, 0, 0, 1]
    actions = other_actions(taken, (0, 1), 8, 8, np.random.default_rng(3))
    assert list(actions) == [1 - code for code in taken]


def test_counterfactuals_are_a_function_of_the_data_seed_and_the_start() -> None:
    others = CounterfactualsConfig(horizon_steps=3)
    few = references_of("Boxing", num_starts=1, counterfactuals=others)
    many = references_of("Boxing", num_starts=2, counterfactuals=others)
    longer = references_of(
        "Boxing", num_starts=1, counterfactuals=CounterfactualsConfig(horizon_steps=6)
    )
    assert np.array_equal(branch_of(few[0]).native, branch_of(many[0]).native)
    assert branch_of(longer[0]).action_codes[:3] == branch_of(few[0]).action_codes
    assert branch_of(many[1]).action_codes != branch_of(many[0]).action_codes


def test_the_recording_does_not_depend_on_counterfactuals(
    recorded: dict[str, list[Reference]],
) -> None:
    plain = references_of(
        "Boxing",
        num_starts=2,
        horizon_steps=HORIZON,
        max_offset_steps=60,
        counterfactuals=None,
    )
    for mine, theirs in zip(plain, recorded["Boxing"], strict=False):
        assert mine.branch is None
        assert mine.action_codes == theirs.action_codes
        assert np.array_equal(mine.native, theirs.native)
        assert np.array_equal(mine.stills, theirs.stills)


def test_counterfactuals_survive_the_disk(
    recorded: dict[str, list[Reference]], tmp_path: Path
) -> None:
    references = recorded["Breakout"]
    save_references(iter(references), tmp_path)
    for mine, theirs in zip(references, load_references(tmp_path), strict=True):
        assert branch_of(mine).action_codes == branch_of(theirs).action_codes
        assert np.array_equal(branch_of(mine).native, branch_of(theirs).native)
        assert np.array_equal(mine.native, theirs.native)
        assert np.array_equal(mine.stills, theirs.stills)


def test_references_without_counterfactuals_have_no_file_of_them(tmp_path: Path) -> None:
    references = references_of("Boxing", num_starts=2, counterfactuals=None)
    save_references(references, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        "episodes.json", "finals.npz", "native.npz", "stills.npz",
    }  # fmt: skip
    assert "counterfactual" not in json.loads((tmp_path / "episodes.json").read_text())[0]
    view = ViewConfig(height=32, width=32, crop=None)
    assert view_branches(load_references(tmp_path), view, ALL_CODES, 10) is None


def test_a_branch_that_ends_at_once_has_no_frames(tmp_path: Path) -> None:
    (reference,) = references_of(
        "Boxing", num_starts=1, counterfactuals=CounterfactualsConfig(horizon_steps=3)
    )
    branch = branch_of(reference)
    ended = Reference(
        **{**reference.__dict__, "branch": Branch(branch.action_codes, branch.native[:0])}
    )
    save_references([ended], tmp_path)
    assert (tmp_path / BRANCH_FILE).exists()
    view = ViewConfig(height=32, width=32, crop=None)
    seen = view_branches(load_references(tmp_path), view, ALL_CODES, 10)
    assert seen is not None
    assert not seen.valid.any()
    assert seen.actions[0].tolist() == list(branch.action_codes)


def test_a_view_of_branches_is_masked_where_a_branch_is_over(
    recorded: dict[str, list[Reference]],
) -> None:
    view = ViewConfig(height=32, width=28, crop=(30, 182, 26, 134))
    references = recorded["Breakout"]
    codes = open_game("Breakout", make_preset("smoke", "Breakout").environment).action_codes
    for horizon in (5, 1000):
        seen = view_branches(references, view, ActionSpace(codes), horizon)
        assert seen is not None
        num_steps = min(horizon, HORIZON)
        assert seen.targets.shape == (4, num_steps, 32, 28, 3)
        assert seen.actions.shape == seen.valid.shape == (4, num_steps)
        for row, reference in enumerate(references):
            branch = branch_of(reference)
            length = min(len(branch.native), num_steps)
            assert seen.valid[row].tolist() == [True] * length + [False] * (num_steps - length)
            assert not seen.targets[row, length:].any()
            assert [codes[a] for a in seen.actions[row]] == list(branch.action_codes[:num_steps])
            if length:
                last = apply_view(branch.native[:][length - 1], view)
                assert np.array_equal(seen.targets[row, length - 1], last)


# --- config -----------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("game", ["Boxing", "Breakout", "Pong"])
def test_presets_score_samples_and_counterfactuals(preset: str, game: str) -> None:
    config = make_preset(preset, game)
    assert config.rollouts.samples is not None
    assert config.references.counterfactuals is not None
    # Presets are copies with changes, which pydantic does not check again.
    RunConfig.model_validate(config.model_dump())


def refused(**sections: dict[str, object]) -> str:
    data = make_preset("smoke", "Boxing").model_dump()
    for name, changes in sections.items():
        data[name] |= changes
    with pytest.raises(ValidationError) as error:
        RunConfig.model_validate(data)
    return str(error.value)


def test_what_cannot_be_is_refused_by_name() -> None:
    text = refused(rollouts={"samples": {"num_samples": 2, "horizon_steps": 11}})
    assert "rollouts.samples.horizon_steps=11 is above rollouts.horizon_steps=10" in text
    text = refused(references={"counterfactuals": {"horizon_steps": 11}})
    assert "references.counterfactuals.horizon_steps=11 is above references.horizon_steps" in text
    text = refused(environment={"actions": (3,)})
    assert "environment.actions=(3,): with one action there are no others" in text
    with pytest.raises(ValidationError, match="greater than or equal to 2"):
        SamplesConfig(num_samples=1, horizon_steps=4)
