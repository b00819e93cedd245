"""Derived seeds and generators: distinct, stable, and independent of batches and order."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from diamond.rng import (
    KeyedNoise,
    StreamNoise,
    categorical,
    numpy_generator,
    seeded_init,
    torch_generator,
)
from diamond.seeds import Purpose, derive

COUNTERS = st.lists(st.integers(-5, 10**6) | st.text("ab1:", max_size=3), max_size=3).map(tuple)
PLACES = st.tuples(st.integers(-3, 10**6), st.sampled_from(Purpose), COUNTERS)


@given(PLACES)
def test_seeds_are_in_range_and_stable(place: tuple[int, Purpose, tuple[int | str, ...]]) -> None:
    run_seed, purpose, counters = place
    seed = derive(run_seed, purpose, *counters)
    assert 0 <= seed < 2**63
    assert seed == derive(run_seed, purpose, *counters)


@given(st.lists(PLACES, min_size=2, max_size=8, unique=True))
def test_different_places_have_different_seeds(
    places: list[tuple[int, Purpose, tuple[int | str, ...]]],
) -> None:
    """63 bits: the chance that any of these collide by accident is below 1e-13."""
    assert len({derive(run_seed, purpose, *rest) for run_seed, purpose, rest in places}) == len(
        places
    )


def test_every_purpose_has_a_stream_of_its_own() -> None:
    assert len({derive(0, purpose, counter) for purpose in Purpose for counter in range(100)}) == (
        100 * len(Purpose)
    )


@pytest.mark.parametrize(
    ("first", "second"),
    [((1,), ("1",)), ((1, 2), (12,)), ((1, 2), (2, 1)), ((), (0,)), ((), ("",)), ((0,), (0, 0))],
)
def test_counters_are_not_mixed_up(
    first: tuple[int | str, ...], second: tuple[int | str, ...]
) -> None:
    assert derive(0, Purpose.BOOTSTRAP, *first) != derive(0, Purpose.BOOTSTRAP, *second)


def test_golden_seeds() -> None:
    """Every result depends on these; if the change is meant, raise the numerics of every stage."""
    assert derive(0, Purpose.DENOISER_NOISE, 0) == 328_851_920_553_228_036
    assert (
        derive(7, Purpose.FIDELITY_NOISE, 3, 99, "denoiser/initial", 0) == 3_109_520_155_166_631_041
    )
    assert [purpose.value for purpose in Purpose][:2] == ["frames/emulator", "frames/actions"]


def test_generators_follow_the_derived_seed() -> None:
    def torch_numbers(seed: int, counter: int) -> list[float]:
        generator = torch_generator(seed, Purpose.POLICY_NOISE, counter)
        numbers: list[float] = torch.rand(4, generator=generator).tolist()
        return numbers

    def numpy_numbers(seed: int, counter: int) -> list[float]:
        numbers: list[float] = (
            numpy_generator(seed, Purpose.POLICY_NOISE, counter).random(4).tolist()
        )
        return numbers

    for numbers in (torch_numbers, numpy_numbers):
        assert numbers(0, 1) == numbers(0, 1)
        assert len({tuple(numbers(seed, counter)) for seed in (0, 1) for counter in (0, 1)}) == 4


@given(st.lists(st.integers(0, 50), min_size=1, max_size=5, unique=True))
def test_a_keyed_row_does_not_depend_on_its_batch(starts: list[int]) -> None:
    shape = (3, 4, 4)
    alone = {
        start: KeyedNoise(5, [start], time_step=2).normal("site", (1, *shape))[0]
        for start in starts
    }
    for order in (starts, starts[::-1], [*starts, 99]):
        noise = KeyedNoise(5, order, time_step=2)
        # Asking for other numbers first, or twice, changes nothing.
        noise.uniform("another", len(order))
        rows = noise.normal("site", (len(order), *shape))
        again = noise.normal("site", (len(order), *shape))
        assert torch.equal(rows, again)
        for start, row in zip(order, rows, strict=True):
            assert start == 99 or torch.equal(row, alone[start])


def test_keyed_numbers_belong_to_seed_start_step_site_and_sample() -> None:
    def first(seed: int, start: int, time_step: int, sample: int, site: str) -> float:
        return float(KeyedNoise(seed, [start], time_step, sample).normal(site, (1, 1)))

    base = first(0, 0, 0, 0, "a")
    others = [
        first(1, 0, 0, 0, "a"),
        first(0, 1, 0, 0, "a"),
        first(0, 0, 1, 0, "a"),
        first(0, 0, 0, 1, "a"),
        first(0, 0, 0, 0, "b"),
    ]
    assert len({base, *others}) == 6


def test_keyed_numbers_are_standard() -> None:
    starts = range(4000)
    noise = KeyedNoise(0, starts, 0)
    normal = noise.normal("n", (4000, 1)).double()
    uniform = noise.uniform("u", 4000).double()
    # Four standard errors: 1/sqrt(n), sqrt(2/n) and sqrt(1/12n).
    assert abs(float(normal.mean())) < 4 / math.sqrt(4000)
    assert abs(float(normal.var()) - 1) < 4 * math.sqrt(2 / 4000)
    assert abs(float(uniform.mean()) - 0.5) < 4 / math.sqrt(12 * 4000)
    assert bool(((uniform >= 0) & (uniform < 1)).all())


def test_stream_noise_is_the_generator_in_order() -> None:
    noise = StreamNoise(torch_generator(0, Purpose.POLICY_NOISE, 3))
    drawn = (noise.normal("a", (2, 3)), noise.uniform("b", 4), noise.normal("a", (2, 3)))
    generator = torch_generator(0, Purpose.POLICY_NOISE, 3)
    assert torch.equal(drawn[0], torch.randn(2, 3, generator=generator))
    assert torch.equal(drawn[1], torch.rand(4, generator=generator))
    assert not torch.equal(drawn[0], drawn[2])


def test_categorical_matches_the_probabilities() -> None:
    num = 200_000
    probabilities = torch.tensor([0.1, 0.0, 0.55, 0.35])
    uniforms = torch.rand(num, generator=torch_generator(0, Purpose.POLICY_ACTIONS))
    drawn = categorical(probabilities.log().expand(num, 4) + 3.0, uniforms)
    shares = drawn.bincount(minlength=4).double() / num
    for share, p in zip(shares.tolist(), probabilities.tolist(), strict=True):
        # Four standard deviations of a binomial share; exact where p is 0.
        assert abs(share - p) <= 4 * math.sqrt(p * (1 - p) / num)


@pytest.mark.parametrize(
    ("uniform", "expected"),
    [(0.0, 1), (0.2499, 1), (0.25, 2), (0.4999, 2), (0.5, 3), (0.75, 4), (1 - 2**-24, 4)],
)
def test_categorical_at_the_edges(uniform: float, expected: int) -> None:
    """Classes have probability 0, 1/4 four times, 0: an impossible class is never drawn.

    Equal logits, since only of them the softmax is exact on every processor.
    """
    logits = torch.tensor([[0.0, 1.0, 1.0, 1.0, 1.0, 0.0]]).log()
    assert categorical(logits, torch.tensor([uniform])).tolist() == [expected]


@given(st.lists(st.floats(-30, 30), min_size=1, max_size=8), st.floats(0, 1, exclude_max=True))
def test_categorical_is_always_a_class(logits: list[float], uniform: float) -> None:
    drawn = categorical(torch.tensor([logits]), torch.tensor([uniform], dtype=torch.float64))
    assert 0 <= int(drawn) < len(logits)


def test_categorical_agrees_with_numpy_searchsorted() -> None:
    rng = np.random.default_rng(0)
    logits, uniforms = rng.normal(size=(500, 6)), rng.random(500)
    drawn = categorical(torch.from_numpy(logits), torch.from_numpy(uniforms)).numpy()
    weights = np.exp(logits)
    edges = np.cumsum(weights / weights.sum(axis=1, keepdims=True), axis=1)
    expected = [
        np.searchsorted(row, u, side="right") for row, u in zip(edges, uniforms, strict=True)
    ]
    assert drawn.tolist() == expected


def test_seeded_init_is_a_function_of_the_seed_and_restores_the_global_state() -> None:
    def weights(seed: int, purpose: Purpose = Purpose.DENOISER_INIT) -> list[float]:
        with seeded_init(seed, purpose):
            numbers: list[float] = nn.Linear(3, 3).weight.flatten().tolist()
        return numbers

    before = torch.get_rng_state()
    first = weights(0)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(5)
    assert weights(0) == first
    assert weights(1) != first
    assert weights(0, Purpose.POLICY_INIT) != first


def test_seeded_init_restores_the_global_state_after_an_error() -> None:
    before = torch.get_rng_state()
    with pytest.raises(RuntimeError), seeded_init(0, Purpose.POLICY_INIT):
        torch.rand(2, 3) @ torch.rand(2, 3)
    assert torch.equal(torch.get_rng_state(), before)
