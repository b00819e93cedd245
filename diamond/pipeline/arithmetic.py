"""How a process that makes stages calculates: threads, kernels, and what it does with memory.

None of this is part of a stage's key: results stay the same but for the order of additions that
the number of threads brings.
"""

import ctypes
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch

from diamond.ablation.stages import StageName

IMAGINING: frozenset[StageName] = frozenset({"rollouts", "policy", "policy_fidelity"})
"""Stages whose large activations are those of networks without gradients, the same at each step."""

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_MMAP_MAX = -4
_LARGEST_THRESHOLD = 32 * 2**20
"""The greatest size that glibc can be told to take from its heap."""
_NEVER = 2**31 - 1
"""The greatest number that mallopt takes."""
_MMAP_MAX = 65536
"""Blocks that glibc maps at most; its default."""


def prepare_process(threads: int) -> None:
    """Set this process up for the arithmetic of stages, before it makes its first tensor.

    Activations are mapped and unmapped at every call, page by page, which costs about as much as
    the convolutions do. In large pages they cost a few faults instead of some ten thousand.

    Args:
        threads: Threads of one operation, at least 1.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    torch.set_num_threads(threads)
    # Without these two the order of additions may differ from run to run on a GPU.
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False


@contextmanager
def memory_of(stage: StageName) -> Iterator[None]:
    """Keep large blocks in the process while it makes a stage that imagines; then give them back.

    Kept blocks are not mapped again. Training does not keep them: those of a backward pass come and
    go in another order, and up to twice as much memory would be held as is used.

    Args:
        stage: What is made.
    """
    glibc = _glibc()
    if glibc is None or stage not in IMAGINING:
        yield
        return
    glibc.mallopt(_M_MMAP_MAX, 0)
    glibc.mallopt(_M_TRIM_THRESHOLD, _NEVER)
    try:
        yield
    finally:
        # Once told anything, glibc no longer raises these two by itself.
        glibc.mallopt(_M_MMAP_MAX, _MMAP_MAX)
        glibc.mallopt(_M_MMAP_THRESHOLD, _LARGEST_THRESHOLD)
        glibc.mallopt(_M_TRIM_THRESHOLD, 2 * _LARGEST_THRESHOLD)
        glibc.malloc_trim(0)


@cache
def _glibc() -> ctypes.CDLL | None:
    """The allocator of this process where it is glibc's; others keep large blocks in their way."""
    return ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None
