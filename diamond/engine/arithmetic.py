"""How a process that makes stages calculates: threads, kernels, and memory that it keeps.

None of this is part of a stage's key: results stay the same but for the order of additions that
the number of threads brings.
"""

import ctypes
import gc
import platform
import sys
from functools import cache

import torch
from torch import nn

from diamond.engine.devices import processor_name
from diamond.engine.stage_manifest import Machine

_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4
_NEVER = -1
"""Free memory at the end of the heap is kept, however much: mallopt(3)."""


def prepare_process(threads: int, gpu_share: int = 1) -> None:
    """Set this process up for the arithmetic of stages.

    Activations of more than 32 MiB would be mapped and unmapped at every call, which costs about as
    much as the convolutions do; the process keeps them instead (`release_memory` gives them back),
    and holds up to half as much memory again as it uses.

    Args:
        threads: Threads of one operation, at least 1.
        gpu_share: Processes that share the GPU: each takes at most its part of the memory.
    """
    if gpu_share > 1:
        torch.cuda.set_per_process_memory_fraction(1 / gpu_share)
    torch.set_num_threads(threads)
    # Without these two the order of additions may differ from run to run on a GPU.
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    if (glibc := _glibc()) is not None:
        glibc.mallopt(_M_MMAP_MAX, 0)
        glibc.mallopt(_M_TRIM_THRESHOLD, _NEVER)


@cache
def machine_of(device: torch.device) -> Machine:
    """What this process makes stages on: torch rounds in another way on another kind of machine."""
    host = platform.node()
    if device.type == "cuda":
        return {"name": torch.cuda.get_device_name(device), "instructions": None, "host": host}
    instructions = torch.backends.cpu.get_cpu_capability()
    return {"name": processor_name(), "instructions": instructions, "host": host}


def compile_network(network: nn.Module, trains: bool) -> None:
    """Let torch compile a network in its place, at its first call for each size of its input.

    Torch leaves out an LSTM. On a GPU the rest runs as CUDA graphs from then on, and what they
    return is overwritten by their next call. `network.forward` is the network as it was.

    Args:
        network: A network of the world model, on its device.
        trains: Whether it is trained. One that only imagines is left as it is on a processor,
            where that gains nothing (docs/performance.md).
    """
    if not trains and next(network.parameters()).device.type == "cpu":
        return
    import torch._dynamo.config as dynamo  # noqa: PLC0415
    import torch._inductor.config as inductor  # noqa: PLC0415

    # Torch would go on without compiling once it has compiled eight variants of one function.
    dynamo.fail_on_recompile_limit_hit = True
    # Whether an interrupted training goes on with the same bits must not rest on a race of kernels.
    inductor.deterministic = True
    network.compile(mode="reduce-overhead", dynamic=False)


def release_memory() -> None:
    """Forget what was compiled and give back the memory that nothing uses, between two stages.

    Torch keeps what it compiled by function, for all networks together: what a stage compiles, and
    its bits, would depend on the stages before it.
    """
    if "torch._dynamo" in sys.modules:
        torch.compiler.reset()
    # A compiled network and what was compiled of it hold each other.
    gc.collect()
    if (glibc := _glibc()) is not None:
        glibc.malloc_trim(0)


@cache
def _glibc() -> ctypes.CDLL | None:
    """The allocator of this process where it is glibc's; others keep large blocks in their way."""
    return ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None
