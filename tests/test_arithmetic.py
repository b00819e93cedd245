"""The memory of processes that make stages: large activations cost few page faults."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest

HUGE = Path("/sys/kernel/mm/transparent_hugepage/enabled")
MIB = 2**20
SMALL_PAGES = 10 * 64 * MIB // 4096
"""Page faults of ten tensors of 64 MiB where every small page is one."""

PROGRAM = """
import resource, sys, torch
from contextlib import nullcontext
from diamond.pipeline.arithmetic import memory_of, prepare_process

def resident() -> int:
    return 4096 * int(open("/proc/self/statm").read().split()[1])

if sys.argv[1] != "plain":
    prepare_process(threads=1)
with memory_of(sys.argv[1]) if sys.argv[1] != "plain" else nullcontext():
    for _ in range(10):
        torch.ones(2**24)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.ones(2**24)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    print(resident())
print(resident())
"""

pytestmark = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc" or not HUGE.exists() or "[never]" in HUGE.read_text(),
    reason="needs glibc and large pages",
)


def faults_and_memory(stage: str) -> tuple[int, int, int]:
    """Page faults of ten large tensors made in turn; bytes held after them, then at the end."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, stage], capture_output=True, text=True, check=True
    )
    faults, held, left = map(int, done.stdout.split())
    return faults, held, left


def test_large_activations_are_mapped_in_large_pages() -> None:
    plain, _, _ = faults_and_memory("plain")
    trained, _, _ = faults_and_memory("denoiser")
    # Where large pages are always on, the plain ones are large too.
    assert plain >= SMALL_PAGES or "[always]" in HUGE.read_text()
    assert trained < SMALL_PAGES / 10


def test_stages_that_imagine_keep_their_memory_and_give_it_back_at_the_end() -> None:
    faults, held, left = faults_and_memory("rollouts")
    _, trained, _ = faults_and_memory("denoiser")
    assert faults < 10
    assert held > trained + 60 * MIB
    assert left < held - 60 * MIB
