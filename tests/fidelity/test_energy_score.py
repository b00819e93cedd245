"""The energy score against its definition, and what makes it proper."""

from itertools import permutations
from math import dist, sqrt
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp

from diamond.arrays import ByteArray
from diamond.fidelity.energy_score import energy_score

# Square roots of exact sums, added up in another order.
ROUNDING = 1e-12


def frames_of(seed: int, *leading: int) -> ByteArray:
    return np.random.default_rng(seed).integers(0, 256, (*leading, 5, 6, 3), dtype=np.uint8)


def by_definition(real: ByteArray, samples: ByteArray) -> list[float]:
    """The formula with Python's Euclidean distance of flat lists, over the root of their length."""
    k, num_steps = samples.shape[:2]

    def d(one: ByteArray, other: ByteArray) -> float:
        x, y = (one.ravel() / 255).tolist(), (other.ravel() / 255).tolist()
        return dist(x, y) / sqrt(len(x))

    scores = []
    for t in range(num_steps):
        drawn = [samples[i, t] for i in range(k)]
        to_real = sum(d(x, real[t]) for x in drawn) / k
        among = sum(d(x, y) for x, y in permutations(drawn, 2))
        scores.append(to_real - among / (2 * k * (k - 1)))
    return scores


@pytest.mark.parametrize("num_samples", [2, 3, 8])
def test_against_the_definition(num_samples: int) -> None:
    real, samples = frames_of(0, 4), frames_of(1, num_samples, 4)
    expected = by_definition(real, samples)
    assert energy_score(real, samples) == pytest.approx(expected, rel=ROUNDING)


def test_equal_samples_score_their_distance() -> None:
    """What knows no chance gets its error: a deterministic model pays for being certain."""
    real, one = frames_of(0, 3), frames_of(1, 3)
    score = energy_score(real, np.stack([one] * 4))
    expected = np.sqrt(np.mean((real / 255 - one / 255) ** 2, axis=(1, 2, 3)))
    assert score == pytest.approx(expected, rel=ROUNDING)
    assert energy_score(real, np.stack([real] * 4)).tolist() == [0, 0, 0]


@given(hnp.arrays(np.uint8, (4, 1, 2, 2, 3)), hnp.arrays(np.uint8, (1, 2, 2, 3)))
def test_range(samples: ByteArray, real: ByteArray) -> None:
    (score,) = energy_score(real, samples)
    assert -ROUNDING <= score <= 1 + ROUNDING


def test_it_prefers_the_sampler_to_the_blur() -> None:
    """An object is at one of two places with equal odds, and PSNR prefers their mean.

    Let D be the distance of the two frames. The blur is D/2 from either. A sampler is at distance
    0 or D from the real frame and from another sample of it: D/2 - D/4. Half as much is better.
    Over 4,000 draws of 4 samples the mean has a standard error of below D * .35 / sqrt(4000).
    """
    left, right = np.zeros((2, 16, 20, 3), dtype=np.uint8)
    left[6:10, 2:6] = right[6:10, 12:16] = 200
    blur = ((left.astype(int) + right) // 2).astype(np.uint8)
    distance = sqrt(np.mean((left / 255 - right / 255) ** 2))
    rng = np.random.default_rng(0)
    places = np.stack((left, right))
    real = places[rng.integers(2, size=4000)]
    sampled = places[rng.integers(2, size=(4, 4000))]
    of_sampler = energy_score(real, sampled).mean()
    of_blur = energy_score(real, np.broadcast_to(blur, sampled.shape)).mean()
    assert of_blur == pytest.approx(distance / 2, rel=ROUNDING)
    assert of_sampler == pytest.approx(distance / 4, abs=4 * distance * 0.35 / sqrt(4000))


@pytest.mark.parametrize("num_samples", [2, 3, 6])
def test_it_is_fair_and_proper(num_samples: int) -> None:
    """One pixel, levels N(128, 40): the expectation does not depend on the number of samples.

    It is sigma / sqrt(pi) (the continuous ranked probability score of the true forecast), and a
    forecast that is too wide or too narrow by a factor of two expects more. Over 20,000 draws the
    standard error is below .2 levels, rounding to levels changes less than that.
    """
    rng = np.random.default_rng(num_samples)
    scale, num_draws = 40.0, 20_000

    def levels(scale: float, *size: int) -> ByteArray:
        drawn = rng.normal(128, scale, (*size, num_draws, 1, 1, 1))
        return np.repeat(np.clip(np.rint(drawn), 0, 255), 3, axis=-1).astype(np.uint8)

    real = levels(scale)
    of = {
        factor: 255 * energy_score(real, levels(scale * factor, num_samples)).mean()
        for factor in (0.5, 1.0, 1.5)
    }
    assert of[1.0] == pytest.approx(scale / sqrt(np.pi), abs=0.8)
    assert min(of[0.5], of[1.5]) > of[1.0] + 1


def test_wrong_input_is_refused() -> None:
    real, samples = frames_of(0, 4), frames_of(1, 3, 4)
    with pytest.raises(ValueError, match="needs 2 samples at least, got 1"):
        energy_score(real, samples[:1])
    wrong: list[Any] = [samples[:, :3], samples.astype(np.int16)]
    for bad in wrong:
        with pytest.raises(ValueError, match="samples uint8"):
            energy_score(real, bad)
    assert energy_score(real[:0], samples[:, :0]).shape == (0,)
