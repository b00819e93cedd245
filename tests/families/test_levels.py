"""Grids of noise levels, the levels that training shows, and combinations that are refused."""

import math
import re
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diamond.config.defaults import DEFAULT_GAME
from diamond.config.overrides import override
from diamond.config.presets import PRESETS, make_preset
from diamond.config.run import RunConfig
from diamond.errors import RequestError
from diamond.families.diamond.config import diamond_of
from diamond.families.diamond.formulations import (
    FORMULATION_FIELDS,
    FORMULATIONS,
    RELEASED_FIELDS,
    Formulation,
    is_released_formulation,
)
from diamond.families.diamond.levels import (
    churn_gamma,
    ddpm_sigmas,
    ddpm_timesteps,
    flow_levels,
    initial_scale,
    levels_of,
    out_of_training,
    timestep_levels,
    training_range,
)

PAPER = make_preset("paper", DEFAULT_GAME)
SMOKE = make_preset("smoke", DEFAULT_GAME)


def with_fields(base: RunConfig, **fields: Any) -> RunConfig:
    """Fields as section__name=value."""
    return override(base, {name.replace("__", "."): value for name, value in fields.items()})


def test_timesteps_of_the_released_ddpm() -> None:
    """The released branch: n=3 is at 666, 333, 0; n=10 begins at 900; n=1 is special."""
    assert ddpm_timesteps(1) == (500,)
    assert ddpm_timesteps(3) == (666, 333, 0)
    assert ddpm_timesteps(10)[0] == 900
    assert ddpm_timesteps(1000) == tuple(range(999, -1, -1))
    assert timestep_levels(3) == pytest.approx((9.49, 1.46, 0.01, 0), abs=5e-3)
    assert timestep_levels(10)[0] == pytest.approx(60.8, abs=0.05)
    assert ddpm_sigmas()[-1] == pytest.approx(157.4, abs=0.05)


@pytest.mark.parametrize("grid", ["karras", "timesteps", "flow"])
@given(st.integers(1, 1000))
def test_levels_are_floats_that_decrease_to_zero(grid: str, num_steps: int) -> None:
    sampler = diamond_of(PAPER).sampler.model_copy(update={"grid": grid, "steps": num_steps})
    levels = levels_of(sampler)
    assert len(levels) == num_steps + 1
    assert all(isinstance(level, float) for level in levels)
    assert all(a > b for a, b in pairwise(levels))
    assert levels[-1] == 0


@given(st.integers(1, 1000))
def test_flow_levels_are_evenly_spaced_times(num_steps: int) -> None:
    times = [level / (1 + level) for level in flow_levels(num_steps)]
    # Float64, through 1 - t = .001.
    assert times[0] == pytest.approx(0.999, rel=1e-12)
    gaps = [a - b for a, b in pairwise(times)]
    assert gaps == pytest.approx([0.999 / num_steps] * num_steps, rel=1e-9)


@pytest.mark.parametrize("grid", ["karras", "timesteps", "flow"])
def test_scale_of_the_initial_sample(grid: str) -> None:
    sampler = diamond_of(PAPER).sampler.model_copy(update={"grid": grid})
    first = {"karras": 5.0, "timesteps": ddpm_sigmas()[666], "flow": 999.0}[grid]
    expected = {"unit": 1.0, "sigma_max": first, "marginal": math.sqrt(1 + first**2)}
    for init, scale in expected.items():
        found = initial_scale(sampler.model_copy(update={"init_noise": init}))
        assert found == pytest.approx(scale, rel=1e-12)


def test_churn_raises_at_most_by_the_square_root_of_two() -> None:
    assert churn_gamma(0.3, 3) == pytest.approx(0.1)
    assert churn_gamma(80.0, 3) == pytest.approx(math.sqrt(2) - 1)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("formulation", FORMULATIONS)
@pytest.mark.parametrize("steps", [1, 2, 3, 10, 50])
def test_formulations_sample_where_they_were_trained(
    preset: str, formulation: Formulation, steps: int
) -> None:
    for game in ("Boxing", "Breakout"):
        base = make_preset(preset, game)
        config = override(base, {**FORMULATION_FIELDS[formulation], "sampler.steps": steps})
        assert out_of_training(diamond_of(config).denoiser, diamond_of(config).sampler) is None


OUTSIDE = {
    # What was trained as DIAMOND sees no level above 20, its grid of ten timesteps begins at 60.8.
    "begins at noise level 60.82, .*above 20": {
        "sampler__grid": "timesteps",
        "sampler__steps": 10,
    },
    # One in ten thousand draws of the log-normal law is above exp(-.4 + 1.2 * 3.719) = 58.1.
    "begins at noise level 60.82, .*above 58.1": {
        "sampler__grid": "timesteps",
        "sampler__steps": 10,
        "denoiser__noise_max": 157.5,
    },
    "begins at noise level 999, .*above 157": {
        "sampler__grid": "flow",
        "denoiser__noise_law": "timesteps",
        "denoiser__noise_max": 999.0,
    },
    "begins at noise level 20.1, .*above 20": {"sampler__sigma_max": 20.1},
    # Raised by sqrt(2).
    "begins at noise level 21.21, .*above 20": {"sampler__sigma_max": 15.0, "sampler__churn": 9.0},
    "ends at noise level 0.0005, .*below 0.01": {
        "sampler__sigma_min": 0.0005,
        "denoiser__noise_law": "timesteps",
    },
    "ends at noise level 0.002, .*below 0.05": {"denoiser__noise_min": 0.05},
    "ends at noise level 0.002, .*below 3.4": {
        "denoiser__noise_loc": math.log(5),
        "denoiser__noise_scale": 0.1,
    },
}


@pytest.mark.parametrize(("reason", "fields"), OUTSIDE.items())
def test_a_sampler_outside_of_training_is_told_why(reason: str, fields: dict[str, Any]) -> None:
    config = with_fields(PAPER, **fields)
    assert (
        text := out_of_training(diamond_of(config).denoiser, diamond_of(config).sampler)
    ) is not None
    assert re.search(reason, text), text


INSIDE: list[dict[str, Any]] = [
    {},
    {"denoiser__noise_law": "timesteps"},
    {"denoiser__noise_law": "time"},
    {"denoiser__noise_law": "loguniform"},
    {"sampler__grid": "timesteps"},
    {"sampler__sigma_max": 20.0},
    # A tenth of exp(-.4 - 1.2 * 3.719) = .0077.
    {"sampler__sigma_min": 0.0008},
]


@pytest.mark.parametrize("fields", INSIDE)
def test_a_sampler_inside_of_training_is_not(fields: dict[str, Any]) -> None:
    config = with_fields(PAPER, **fields)
    assert out_of_training(diamond_of(config).denoiser, diamond_of(config).sampler) is None


def test_the_range_of_training_is_clipped() -> None:
    narrow = {"noise_min": 0.1, "noise_max": 2.0}
    for law in ("lognormal", "loguniform", "timesteps", "time"):
        config = diamond_of(PAPER).denoiser.model_copy(update={**narrow, "noise_law": law})
        assert training_range(config) == (0.1, 2.0)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"sampler__solver": "ancestral", "sampler__order": 2},
            "sampler.solver=ancestral takes one denoiser call a step: sampler.order must be 1",
        ),
        (
            {"sampler__solver": "ancestral", "sampler__churn": 1.5},
            "sampler.solver=ancestral draws its own noise: sampler.churn must be 0, not 1.5",
        ),
        (
            {"sampler__cond_noise": 0.3, "denoiser__cond_noise": 0.2},
            "sampler.cond_noise=0.3 is above denoiser.cond_noise=0.2: training never showed it",
        ),
    ],
)
def test_combinations_without_a_meaning_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError) as caught:
        with_fields(SMOKE, **fields)
    assert message in str(caught.value)


def test_noise_of_past_frames_may_be_as_large_as_in_training() -> None:
    config = with_fields(SMOKE, sampler__cond_noise=0.2, denoiser__cond_noise=0.2)
    assert diamond_of(config).sampler.cond_noise == 0.2


def test_only_edm_weights_mean_the_same_in_the_released_code() -> None:
    denoiser = diamond_of(PAPER).denoiser
    assert is_released_formulation(denoiser)
    # How the noise was drawn changes no meaning.
    assert is_released_formulation(
        diamond_of(PAPER).denoiser.model_copy(update={"noise_law": "time"})
    )
    others = {
        "target": "v",
        "input_scale": "vp",
        "noise_embedding": "time",
        "past_scale": "none",
        "offset_law": "sigma",
        "cond_noise": 0.1,
        "change": 5.0,
    }
    assert others.keys() == RELEASED_FIELDS.keys()
    for name, value in others.items():
        assert not is_released_formulation(
            diamond_of(PAPER).denoiser.model_copy(update={name: value})
        )
