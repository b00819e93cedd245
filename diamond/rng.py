"""Random generators from derived seeds.

The only place that touches torch's global random state, and restores it.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from diamond.seeds import Purpose, derive


def torch_generator(
    run_seed: int,
    purpose: StrEnum,
    *counters: int | str,
    device: torch.device | str = "cpu",
) -> torch.Generator:
    """A generator for (run seed, purpose, counters), whose numbers appear on its device.

    Equal seeds give other numbers on a GPU than on a CPU.
    """
    generator = torch.Generator(device=device)
    generator.manual_seed(derive(run_seed, purpose, *counters))
    return generator


def numpy_generator(run_seed: int, purpose: StrEnum, *counters: int | str) -> np.random.Generator:
    """A NumPy generator for (run seed, purpose, counters)."""
    return np.random.Generator(np.random.PCG64(derive(run_seed, purpose, *counters)))


@contextmanager
def seeded_init(run_seed: int, purpose: StrEnum) -> Iterator[None]:
    """Make the default initialisation of modules a function of a seed.

    The global state is put back.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(run_seed, purpose))  # noqa: TID251
        yield


@contextmanager
def discarded_init() -> Iterator[None]:
    """Let modules draw a default initialisation that saved weights will replace.

    The global state is put back, so that whoever builds networks of their own gets the same ones.
    """
    # A caller's default device would draw from a generator of its own.
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        yield


class Noise(Protocol):
    """Where a world model gets its random numbers from; a site is a name inside one env step."""

    def normal(self, site: str, shape: Sequence[int]) -> Tensor:
        """Standard normal numbers of `shape`, first dimension the batch."""
        ...

    def uniform(self, site: str, num_rows: int) -> Tensor:
        """Uniform numbers in [0, 1) of shape (num_rows,)."""
        ...


class StreamNoise:
    """One generator for a whole batch, in order of use; numbers are drawn where it is.

    For training, where a row needs no stream of its own.
    """

    def __init__(self, generator: torch.Generator) -> None:
        self._generator = generator

    def normal(self, site: str, shape: Sequence[int]) -> Tensor:
        """Standard normal numbers of `shape`; the site is not part of the stream."""
        return torch.randn(*shape, generator=self._generator, device=self._generator.device)

    def uniform(self, site: str, num_rows: int) -> Tensor:
        """Uniform numbers in [0, 1) of shape (num_rows,)."""
        return torch.rand(num_rows, generator=self._generator, device=self._generator.device)


class RowNoise:
    """A generator for each row: the numbers of a row do not depend on its batch.

    One row gets the numbers of `StreamNoise`.
    """

    def __init__(self, generators: Sequence[torch.Generator]) -> None:
        self._generators = tuple(generators)

    def normal(self, site: str, shape: Sequence[int]) -> Tensor:
        """Standard normal numbers of `shape`; row i is drawn from the i-th generator."""
        assert shape[0] == len(self._generators)
        rows = [torch.randn(1, *shape[1:], generator=g, device=g.device) for g in self._generators]
        return torch.cat(rows)

    def uniform(self, site: str, num_rows: int) -> Tensor:
        """Uniform numbers in [0, 1) of shape (num_rows,)."""
        assert num_rows == len(self._generators)
        return torch.cat([torch.rand(1, generator=g, device=g.device) for g in self._generators])


class KeyedNoise:
    """Numbers keyed by (evaluation seed, start, time step, site, sample).

    A row does not depend on its batch.
    """

    def __init__(
        self, evaluation_seed: int, starts: Sequence[int | str], time_step: int, sample: int = 0
    ) -> None:
        self._seed = evaluation_seed
        self._starts = tuple(starts)
        self._time_step = time_step
        self._sample = sample

    def normal(self, site: str, shape: Sequence[int]) -> Tensor:
        """Standard normal numbers of `shape`; row i belongs to the i-th start."""
        assert shape[0] == len(self._starts)
        return torch.stack([torch.randn(*shape[1:], generator=g) for g in self._generators(site)])

    def uniform(self, site: str, num_rows: int) -> Tensor:
        """Uniform numbers in [0, 1) of shape (num_rows,)."""
        assert num_rows == len(self._starts)
        return torch.cat([torch.rand(1, generator=g) for g in self._generators(site)])

    def _generators(self, site: str) -> Iterator[torch.Generator]:
        for start in self._starts:
            yield torch_generator(
                self._seed, Purpose.FIDELITY_NOISE, start, self._time_step, site, self._sample
            )


def categorical(logits: Tensor, uniforms: Tensor) -> Tensor:
    """Draw one class per row by inverting the cumulative distribution.

    Args:
        logits: Unnormalised log-probabilities (b, k).
        uniforms: Uniform numbers in [0, 1) (b,).

    Returns:
        Class indices (b,) int64.
    """
    cumulative = logits.double().softmax(dim=-1).cumsum(dim=-1)
    drawn = (cumulative <= uniforms[:, None].double()).sum(dim=-1)
    return drawn.clamp(max=logits.shape[-1] - 1)
