"""The memory of processes that make stages: large activations stay mapped."""

import platform
import subprocess
import sys

import pytest

PAGES = 32 * 2**20 // 4096
"""Pages of the tensor below: 32 MiB, the size from which glibc maps a block of its own."""

PROGRAM = """
import resource, sys, torch
from diamond.engine.arithmetic import prepare_process, release_memory

def resident() -> int:
    return int(open("/proc/self/statm").read().split()[1])

if sys.argv[1] == "prepared":
    prepare_process(threads=1)
for _ in range(10):
    torch.ones(2**23)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    torch.ones(2**23)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
held = resident()
release_memory()
print(held - resident())
"""


def faults_and_released(how: str) -> tuple[int, int]:
    """Page faults of ten large tensors made in turn, and pages given back after them."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True
    )
    faults, released = map(int, done.stdout.split())
    return faults, released


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told what to keep")
def test_large_activations_are_mapped_once_and_given_back_between_stages() -> None:
    plain, _ = faults_and_released("plain")
    prepared, released = faults_and_released("prepared")
    # A system with huge pages maps 512 small ones at once.
    assert plain >= 10 * PAGES / 512
    assert prepared < plain / 10
    assert released > 0.9 * PAGES


UNTOUCHED = """
import ctypes
from diamond.engine.arithmetic import prepare_process

prepare_process(threads=1)
libc = ctypes.CDLL(None)
libc.malloc.restype = libc.sbrk.restype = ctypes.c_void_p
libc.malloc.argtypes, libc.free.argtypes = [ctypes.c_size_t], [ctypes.c_void_p]
before = libc.sbrk(0)
libc.free(libc.malloc(3 * 2**30))
print(libc.sbrk(0) - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told what to keep")
def test_freed_memory_is_kept_however_much_it_is() -> None:
    """Three GiB, of which no page is touched; an update at `paper` frees more.

    The heap had a little room before; given back, it would have grown by nothing.
    """
    done = subprocess.run(
        [sys.executable, "-c", UNTOUCHED], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) > 2.9 * 2**30
