"""Why a stage failed, in words, and whether it would fail again.

A stage is a function of its config and seed: what it did wrong itself it will do wrong again. What
the machine did to it, a full disk or a lack of memory, may be mended.
"""

import re
import traceback

import torch

from diamond.errors import DiamondError, StoreError, refusal

OF_THE_MACHINE = (OSError, MemoryError, StoreError, torch.OutOfMemoryError, torch.AcceleratorError)
_MACHINE_WORDS = re.compile(
    # The allocator of torch on a CPU, cuDNN and safetensors raise errors of no kind of their own.
    r"can't allocate memory|not enough memory|out of memory|CUDA error|cuDNN error"
    r"|No space left|I/O error|os error",
    re.IGNORECASE,
)


def cause_of(error: Exception) -> str:
    """An error in one line: errors of the user speak for themselves."""
    return str(error) if isinstance(error, DiamondError) else f"{type(error).__name__}: {error}"


def trace_of(error: Exception) -> str | None:
    """The traceback of a fault of the program; None for what the user can mend."""
    if isinstance(error, OSError):
        told = refusal(error) is not None
    else:
        told = isinstance(error, DiamondError) or not is_lasting(error)
    return None if told else "".join(traceback.format_exception(error))


def is_lasting(error: Exception) -> bool:
    """Whether the same stage would fail again on a machine in good order."""
    return not isinstance(error, OF_THE_MACHINE) and _MACHINE_WORDS.search(str(error)) is None
