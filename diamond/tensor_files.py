"""Weights of checkpoint folders: read only when they are the ones that the checkpoint names."""

from collections.abc import Callable, Mapping
from hashlib import file_digest
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from diamond.errors import WeightsError
from diamond.rng import discarded_init

Network = TypeVar("Network", bound=nn.Module)

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
"""Types of numbers that weights may have."""


def check_tensor(where: str, name: str, tensor: Tensor) -> None:
    """Refuse a tensor that is no plain array of real numbers: reading it would change it.

    Args:
        where: What it comes from, for the error.

    Raises:
        WeightsError: What it is, and what is allowed.
    """
    dtype = str(tensor.dtype).removeprefix("torch.")
    if tensor.is_meta:
        kind, way = "has no numbers (it is on the meta device)", "save the agent with its weights"
    elif tensor.is_quantized:
        kind, way = f"is quantised ({dtype})", "save it after .dequantize()"
    elif tensor.is_nested or tensor.layout != torch.strided:
        layout = "nested" if tensor.is_nested else str(tensor.layout).removeprefix("torch.")
        kind, way = f"is not dense ({layout})", "save it after .to_dense()"
    elif tensor.dtype not in FLOATS:
        kind, way = f"holds {dtype}", "save the weights as they were trained"
    else:
        return
    allowed = ", ".join(str(one).removeprefix("torch.") for one in FLOATS)
    raise WeightsError(f"{where}: {name} {kind}\n  allowed: dense tensors of {allowed}\n  {way}")


def checked_file(folder: Path, part: str, sha256: str) -> Path:
    """The file of weights of a part, read in full and found to be the named one.

    Args:
        folder: A checkpoint folder.
        part: denoiser, reward_end or policy.
        sha256: Digest of the file that the checkpoint names.

    Raises:
        WeightsError: The file is missing, damaged or no file of weights.
    """
    path = folder / f"{part}.safetensors"
    if not path.is_file():
        raise WeightsError(f"the checkpoint {str(folder)!r} lacks {path.name}; make it again")
    with path.open("rb") as stream:
        found = file_digest(stream, "sha256").hexdigest()
    if found != sha256:
        raise WeightsError(
            f"{str(path)!r} is damaged: its digest is {found[:12]}..., "
            f"the checkpoint says {sha256[:12]}...\n  make it again"
        )
    try:
        load_file(path)
    except SafetensorError as error:
        raise WeightsError(f"{str(path)!r} cannot be read: {error}\n  make it again") from error
    return path


def read_weights(folder: Path, part: str, sha256: str) -> dict[str, Tensor]:
    """Read the weights of a part of a checkpoint folder.

    Raises:
        WeightsError: As in `checked_file`.
    """
    return load_file(checked_file(folder, part, sha256))


def filled(
    build: Callable[[], Network], weights: Mapping[str, Tensor], device: torch.device
) -> Network:
    """Build a network with saved weights; torch's global generator stays as it is.

    Args:
        build: Makes the network, with any weights.
        weights: Its state dict.

    Returns:
        The network without gradients, in evaluation mode.

    Raises:
        WeightsError: They are those of another network, or no real numbers.
    """
    for name, tensor in weights.items():
        check_tensor("the weights", name, tensor)
    with discarded_init():
        network = build()
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise WeightsError(
            f"the weights are not those of the network that the checkpoint describes: {error}\n"
            "  make it again"
        ) from error
    network.to(device)
    network.requires_grad_(False)
    network.eval()
    return network
