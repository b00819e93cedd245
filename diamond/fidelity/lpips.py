"""LPIPS, the learned perceptual distance, as an extra: its weights are not part of this project.

Zhang et al., The Unreasonable Effectiveness of Deep Features as a Perceptual Metric, CVPR 2018,
equation 1, version 0.1 on AlexNet. Features of five layers are brought to unit length per place,
squared differences are weighted per channel, averaged over places and added up.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import file_digest
from importlib.util import find_spec
from pathlib import Path
from pickle import UnpicklingError

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from diamond.config.scoring import LPIPS_MIN_PIXELS
from diamond.errors import RequestError, WeightsError
from diamond.tensor_files import filled

INSTALL = "pip install 'diamond-ablations[lpips]'"
PACKAGE = "lpips"
"""Brings the weights of the channels."""
TRUNK_FILE = "alexnet-owt-7be5be79.pth"
TRUNK_DIGEST = "7be5be79"
"""Beginning of the SHA-256 digest of the AlexNet of torchvision, trained on ImageNet."""
_HEADS_FILE = "weights/v0.1/alex.pth"
_CHANNELS = (64, 192, 384, 256, 256)
_MEAN = (-0.030, -0.088, -0.188)
_STD = (0.458, 0.448, 0.450)
"""Mean and standard deviation of ImageNet for frames in [-1, 1], as LPIPS has them."""
_FRAMES_AT_ONCE = 64
_EPS = 1e-10


@dataclass(frozen=True)
class LpipsFiles:
    """Where the weights are: AlexNet, and the weights of its channels."""

    trunk: Path
    heads: Path


class Lpips(nn.Module):
    """The distance network: the convolutions of AlexNet and a weight for each of their channels.

    Weights are random until `load_lpips` fills them.
    """

    def __init__(self) -> None:
        super().__init__()
        widths = _CHANNELS
        self.features = nn.ModuleList(
            [
                nn.Conv2d(3, widths[0], 11, stride=4, padding=2),
                nn.Conv2d(widths[0], widths[1], 5, padding=2),
                nn.Conv2d(widths[1], widths[2], 3, padding=1),
                nn.Conv2d(widths[2], widths[3], 3, padding=1),
                nn.Conv2d(widths[3], widths[4], 3, padding=1),
            ]
        )
        self.heads = nn.ModuleList([nn.Conv2d(width, 1, 1, bias=False) for width in widths])
        self.register_buffer("mean", torch.tensor(_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(_STD).view(1, 3, 1, 1), persistent=False)

    def forward(self, real: Tensor, imagined: Tensor) -> Tensor:
        """Return the distance of frames float32 (n, 3, h, w) in [-1, 1], (n,)."""
        x, y = (
            (frames - self.get_buffer("mean")) / self.get_buffer("std")
            for frames in (real, imagined)
        )
        distance = torch.zeros(len(x), device=x.device)
        for index, (convolution, head) in enumerate(zip(self.features, self.heads, strict=True)):
            if index in {1, 2}:
                x, y = (nn.functional.max_pool2d(each, 3, stride=2) for each in (x, y))
            x, y = torch.relu(convolution(x)), torch.relu(convolution(y))
            distance = distance + head((_unit(x) - _unit(y)).square()).mean(dim=(1, 2, 3))
        return distance


def find_lpips() -> LpipsFiles:
    """Find the weights of LPIPS on this machine; nothing is downloaded.

    Raises:
        RequestError: The extra is not installed or the weights of AlexNet are not there; it says
            what to do.
    """
    spec = find_spec(PACKAGE)
    folders = [] if spec is None else list(spec.submodule_search_locations or ())
    if not folders or not (Path(folders[0]) / _HEADS_FILE).is_file():
        raise RequestError(f"LPIPS is an extra that is not installed\n  {INSTALL}")
    trunk = Path(torch.hub.get_dir()) / "checkpoints" / TRUNK_FILE
    if not trunk.is_file():
        raise RequestError(
            f"LPIPS needs the weights of AlexNet, and {str(trunk)!r} is not there\n  with a "
            'network, torchvision downloads them: python -c "import torchvision; '
            "torchvision.models.alexnet(weights='IMAGENET1K_V1')\"\n"
            f"  without, put the file {TRUNK_FILE} there, or leave lpips=alex out"
        )
    return LpipsFiles(trunk, Path(folders[0]) / _HEADS_FILE)


def load_lpips(files: LpipsFiles, device: torch.device) -> Lpips:
    """Read the weights of LPIPS; no code in the files is executed.

    Raises:
        WeightsError: The file of AlexNet is damaged, or a file is not what it should be.
    """
    with files.trunk.open("rb") as stream:
        found = file_digest(stream, "sha256").hexdigest()
    if not found.startswith(TRUNK_DIGEST):
        raise WeightsError(
            f"{str(files.trunk)!r} is damaged: its digest is {found[:8]}..., that of AlexNet is "
            f"{TRUNK_DIGEST}...\n  remove it and get it again"
        )
    trunk, heads = _read(files.trunk), _read(files.heads)
    weights: dict[str, Tensor] = {}
    try:
        for index, place in enumerate((0, 3, 6, 8, 10)):
            for part in ("weight", "bias"):
                weights[f"features.{index}.{part}"] = trunk[f"features.{place}.{part}"]
            weights[f"heads.{index}.weight"] = heads[f"lin{index}.model.1.weight"]
    except KeyError as error:
        raise WeightsError(f"the weights of LPIPS lack {error}\n  {INSTALL}") from error
    return filled(Lpips, weights, device)


def lpips_distance(
    real: NDArray[np.uint8], imagined: NDArray[np.uint8], network: Lpips
) -> NDArray[np.float64]:
    """Return the LPIPS of each pair of frames; 0 for equal frames, lower is better.

    Args:
        real: uint8 (n, h, w, 3), h and w at least 31 pixels.
        imagined: The same shape.
        network: From `load_lpips`.

    Returns:
        float64 (n,), computed in float32.

    Raises:
        ValueError: Shapes or types do not agree, or frames are too small for AlexNet.
    """
    if real.dtype != np.uint8 or imagined.dtype != np.uint8 or real.shape != imagined.shape:
        raise ValueError(
            f"real and imagined must be uint8 of one shape, got {real.dtype} {real.shape} and "
            f"{imagined.dtype} {imagined.shape}"
        )
    if real.ndim != 4 or real.shape[3] != 3 or min(real.shape[1:3]) < LPIPS_MIN_PIXELS:
        raise ValueError(
            f"LPIPS takes frames (n, h, w, 3) of at least {LPIPS_MIN_PIXELS} pixels a side, got "
            f"{real.shape}"
        )
    device = next(network.parameters()).device
    found = [np.empty(0)]
    # On a GPU convolutions would round to ten bits otherwise.
    with torch.inference_mode(), torch.backends.cudnn.flags(allow_tf32=False):
        for first in range(0, len(real), _FRAMES_AT_ONCE):
            x, y = (
                torch.from_numpy(frames[first : first + _FRAMES_AT_ONCE].copy())
                .to(device)
                .permute(0, 3, 1, 2)
                .to(torch.float32)
                / 127.5
                - 1
                for frames in (real, imagined)
            )
            found.append(network(x, y).double().cpu().numpy())
    return np.concatenate(found)


def _unit(features: Tensor) -> Tensor:
    """Bring the features of each place to unit length."""
    return features / (features.square().sum(dim=1, keepdim=True).sqrt() + _EPS)


def _read(path: Path) -> Mapping[str, Tensor]:
    try:
        # Only tensors and plain containers are built: whatever else the pickle names is an error.
        state = torch.load(path, map_location="cpu", weights_only=True)  # noqa: TID251
    except (OSError, UnpicklingError, RuntimeError, EOFError) as error:
        raise WeightsError(f"{str(path)!r} cannot be read: {error}\n  {INSTALL}") from error
    if not isinstance(state, Mapping):
        raise WeightsError(f"{str(path)!r} holds no weights\n  {INSTALL}")
    return state
