"""Make lpips.json: what the authors' package gives for seeded weights and frames.

Run with the package lpips 0.1.4 importable: python -m tests.golden.make_lpips. Its import of
torchvision is answered by a bare AlexNet of the same layers, so that no build of it is needed.
"""

import json
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace

import torch
from torch import nn

from tests.golden.lpips_weights import seeded_frames, seeded_weights

SIDES = (31, 32, 64)


def _alexnet(**_: object) -> SimpleNamespace:
    layers = (
        nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(),
        nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(),
        nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2),
    )  # fmt: skip
    return SimpleNamespace(features=nn.Sequential(*layers))


def main() -> None:
    """Write the values of three pairs of frames at each side."""
    models = ModuleType("torchvision.models")
    models.alexnet = _alexnet  # type: ignore[attr-defined]
    vision = ModuleType("torchvision")
    vision.models = models  # type: ignore[attr-defined]
    sys.modules |= {"torchvision": vision, "torchvision.models": models}
    network = import_module("lpips").LPIPS(pretrained=False, pnet_rand=True, verbose=False).eval()
    trunk, heads = seeded_weights()
    for name, parameter in network.net.named_parameters():
        _, place, part = name.split(".")
        parameter.data.copy_(trunk[f"features.{place}.{part}"])
    unknown = network.load_state_dict(heads, strict=False).unexpected_keys
    if unknown:
        raise SystemExit(f"the package does not know {unknown}")
    values = {}
    with torch.no_grad():
        for side in SIDES:
            x, y = (
                torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 127.5 - 1
                for frames in seeded_frames(side)
            )
            values[str(side)] = network(x, y).flatten().tolist()
    text = json.dumps(values, indent=1)
    (Path(__file__).parent / "lpips.json").write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
