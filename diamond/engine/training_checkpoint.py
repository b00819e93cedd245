"""The state of a training, tensors and counters in one file, whole or absent.

That of an unfinished stage is its checkpoint; one that was stopped on purpose keeps its own.
"""

import json
import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from diamond.engine.output_names import CHECKPOINT_FILE, STATE_ENTRY


@dataclass(frozen=True)
class Saved:
    """What a checkpoint holds.

    Attributes:
        tensors: By name.
        counters: Plain data: updates done, bytes of the event log, seconds so far.
    """

    tensors: Mapping[str, Tensor]
    counters: Mapping[str, Any]


def save_checkpoint(
    folder: Path, tensors: Mapping[str, Tensor], counters: Mapping[str, Any]
) -> None:
    """Write ``checkpoint/state.safetensors`` beside the old one, then put it in its place."""
    target = folder / CHECKPOINT_FILE
    target.parent.mkdir(exist_ok=True)
    save_state(target, tensors, counters)


def save_state(target: Path, tensors: Mapping[str, Tensor], counters: Mapping[str, Any]) -> None:
    """Write tensors and counters to a file: it is there whole, or as it was."""
    # An attempt is one process' own: what a killed one left half written is written over.
    temporary = target.with_name(f".{target.name}.tmp")
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    # One entry: the order of several is drawn anew for every file, and a state is an output.
    text = json.dumps(dict(counters))
    checked = json.dumps([_checksum(contiguous, text), text])
    save_file(contiguous, temporary, metadata={STATE_ENTRY: checked})
    with temporary.open("rb") as stream:
        os.fsync(stream.fileno())
    temporary.replace(target)


def load_checkpoint(folder: Path) -> Saved | None:
    """Read the checkpoint of a stage; None when there is none or it is not as it was written."""
    return load_state(folder / CHECKPOINT_FILE)


def load_state(target: Path) -> Saved | None:
    """Read what `save_state` wrote; None when there is none or it is not as it was written."""
    if not target.exists():
        return None
    try:
        with safe_open(target, framework="pt") as file:
            # Copies: in the file tensors lie at any address, and kernels may add up in another
            # order where memory is not aligned as torch does.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
            metadata = file.metadata()
        checksum, text = json.loads(metadata[STATE_ENTRY])
    # What is damaged may be anything.
    except (SafetensorError, OSError, TypeError, ValueError, KeyError):
        return None
    return Saved(tensors, json.loads(text)) if checksum == _checksum(tensors, text) else None


def _checksum(tensors: Mapping[str, Tensor], counters: str) -> str:
    checksum = zlib.crc32(counters.encode())
    for name in sorted(tensors):
        data = tensors[name].reshape(-1).view(torch.uint8).numpy().data
        checksum = zlib.crc32(data, zlib.crc32(name.encode(), checksum))
    return f"{checksum:08x}"
