"""Run the branch ddpm of the released code on the formula's weights and inputs, keep its outputs.

    git clone --branch ddpm https://github.com/eloialonso/diamond /tmp/released-ddpm
    python tests/golden/make_ddpm.py /tmp/released-ddpm

Writes ddpm.safetensors beside this file. Nothing of the checkout is copied; its modules are
imported as they are, with Diffusers, and noise is given.
"""

import argparse
import importlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock, patch

import torch
from safetensors.torch import save_file
from torch import Tensor

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.golden import ddpm_formula, formula  # noqa: E402
from tests.golden.make_released import HERE, LEVEL_MARGIN, STUBS, gradients, shapes_of  # noqa: E402

MAIN_NAMES = ("noise_model.", "inner_model.")
"""The network of the branch, and the name of the same network on main, by which weights go."""


def build_denoiser() -> Any:
    """The released DDPM denoiser of the published sizes with the formula's weights."""
    diffusion = importlib.import_module("models.diffusion")
    config = diffusion.DDPMDenoiserConfig(
        diffusion.InnerModelConfig(
            3, formula.BASE.history, 256, [2] * 4, [64] * 4, [0] * 4, formula.BASE.num_actions
        ),
        ddpm_formula.OFFSET_NOISE,
        ddpm_formula.NUM_TIMESTEPS,
    )
    made = diffusion.DDPMDenoiser(config)
    weights = {
        name: formula.weight(f"denoiser.{name.replace(*MAIN_NAMES)}", shape)
        for name, shape in shapes_of(made).items()
    }
    made.load_state_dict(weights, strict=True)
    return made


@torch.no_grad()
def predictions(denoiser: Any) -> dict[str, Tensor]:
    """The predicted noise at some timesteps."""
    past, actions = formula.BASE.past().flatten(1, 2), formula.BASE.actions()
    values = {}
    for t in ddpm_formula.TIMESTEPS:
        timesteps = torch.full((formula.BASE.batch,), t)
        values[f"eps/{t}"] = denoiser(ddpm_formula.noisy(t), timesteps, past, actions)
    return values


def loss(denoiser: Any) -> dict[str, Tensor]:
    """The loss at given timesteps, and its gradients."""
    data = importlib.import_module("data")
    obs = ddpm_formula.loss_frames()
    mask = torch.ones(obs.shape[:2], dtype=torch.bool)
    empty = torch.zeros(obs.shape[:2])
    batch = data.Batch(obs, ddpm_formula.loss_actions(), empty, empty, empty, mask, [], [])
    noise = formula.GivenNoise("ddpm/loss")
    with (
        patch("torch.randn", noise.randn),
        patch("torch.randn_like", lambda x: noise.randn(*x.shape)),
        patch("torch.randint", lambda *_, **__: ddpm_formula.loss_timesteps()),
    ):
        value, _ = denoiser.compute_loss(batch)
    renamed = MagicMock()
    renamed.zero_grad = denoiser.zero_grad
    renamed.named_parameters = lambda: (
        (name.replace(*MAIN_NAMES), parameter) for name, parameter in denoiser.named_parameters()
    )
    return {"loss": value.detach(), "gradient": gradients(renamed, "denoiser", value)}


@torch.no_grad()
def frames(denoiser: Any) -> dict[str, Tensor]:
    """Sampled frames, and with several steps the sample after each; away from any tie."""
    values: dict[str, Tensor] = {}
    for steps in ddpm_formula.STEPS:
        for attempt in range(1000):
            margin, drawn, trajectory = _sample(denoiser, steps, attempt)
            if margin >= LEVEL_MARGIN:
                break
        else:
            raise SystemExit(f"{steps} steps: every start is near a tie")
        values |= {f"frames/{steps}": drawn, f"frames/{steps}/attempt": torch.tensor(attempt)}
        if steps > 1:
            values |= {f"frames/{steps}/{i}": x for i, x in enumerate(trajectory[1:])}
    return values


def _sample(denoiser: Any, steps: int, attempt: int) -> tuple[float, Tensor, list[Tensor]]:
    diffusion = importlib.import_module("models.diffusion")
    sampler = diffusion.DDPMSampler(denoiser, diffusion.DDPMSamplerConfig(steps))
    draws = iter(
        [
            ddpm_formula.start(steps, attempt),
            *(ddpm_formula.step_noise(steps, index) for index in range(steps - 1)),
        ]
    )
    margins = [1.0]
    clamp: Callable[..., Tensor] = Tensor.clamp

    def watch(x: Tensor, *limits: Any, **named: Any) -> Tensor:
        clamped = clamp(x, *limits, **named)
        scaled = (x.double() + 1) * 127.5
        # What was clipped already lies on the outer levels in both programs.
        free = (scaled > -0.5) & (scaled < 255.5) & (x.abs() != 1)
        margins.append(float((scaled - scaled.round()).abs()[free].min()))
        return clamped

    with (
        patch("torch.randn", lambda *_, **__: next(draws)),
        patch.object(Tensor, "clamp", watch),
    ):
        drawn, trajectory = sampler.sample_next_obs(formula.BASE.past(), formula.BASE.actions())
    # The last clamps are that of the last prediction and that before the truncation.
    return min(margins[-2:]), drawn, trajectory


def main() -> None:
    """Make the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkout", type=Path, help="a clone of the branch ddpm")
    checkout = parser.parse_args().checkout.resolve()
    git = ["git", "-C", str(checkout)]
    commit = subprocess.check_output([*git, "rev-parse", "HEAD"], text=True).strip()
    if subprocess.check_output([*git, "status", "--porcelain", "--", "src"], text=True):
        raise SystemExit(f"{checkout} has changes in src; give a clean clone")
    diffusers = importlib.import_module("diffusers")
    importlib.import_module("diffusers.schedulers.scheduling_ddpm")
    sys.modules.update({name: MagicMock() for name in STUBS})
    sys.path.insert(0, str(checkout / "src"))
    torch.set_num_threads(1)

    denoiser = build_denoiser()
    values = predictions(denoiser) | loss(denoiser) | frames(denoiser)
    save_file(
        {name: tensor.contiguous() for name, tensor in sorted(values.items())},
        HERE / "ddpm.safetensors",
        metadata={
            "source": "github.com/eloialonso/diamond, branch ddpm",
            "commit": commit,
            "diffusers": diffusers.__version__,
        },
    )
    for name, tensor in sorted(values.items()):
        print(f"{name:32} {tuple(tensor.shape)!s:20} {float(tensor.double().abs().max()):.4g}")


if __name__ == "__main__":
    main()
