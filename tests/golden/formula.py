"""Weights and inputs as a formula of name and shape, and the cases that are compared.

The script that runs the released code and the test that runs this project read the same numbers
here, so that no weights are stored. Only integer draws of PCG64 are used, whose stream NumPy
keeps, and exact arithmetic on them: the numbers are the same bits on every machine.
"""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

# What begins at zero in both programs takes part here: no weight of the formula is zero.
_RESIDUAL_GAIN = 0.5


def _raw(name: str, num: int) -> NDArray[np.uint64]:
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    return np.asarray(np.random.PCG64(seed).random_raw(num), dtype=np.uint64)


def numbers(name: str, *shape: int) -> Tensor:
    """Uniform numbers of mean 0 and variance 1, float32."""
    raw = _raw(name, math.prod(shape)) >> np.uint64(40)
    unit = (raw.astype(np.float64) + 0.5) / 2.0**24
    scaled = ((2 * unit - 1) * math.sqrt(3)).astype(np.float32)
    return torch.from_numpy(scaled.reshape(shape))


def levels(name: str, *shape: int) -> Tensor:
    """Numbers 0 to 255, int64."""
    raw = _raw(name, math.prod(shape)) >> np.uint64(56)
    return torch.from_numpy(raw.astype(np.int64).reshape(shape))


def frames(name: str, *shape: int) -> Tensor:
    """Frames in [-1, 1] that lie on the 256 levels, float32."""
    return levels(name, *shape).float().div(255).mul(2).sub(1)


def actions(name: str, num_actions: int, *shape: int) -> Tensor:
    """Action indices, int64."""
    return levels(name, *shape) % num_actions


def weight(name: str, shape: tuple[int, ...]) -> Tensor:
    """A weight by its released name: outputs of order one, norms near one, nothing zero."""
    draw = numbers(f"weight/{name}", *shape)
    if name.endswith(("noise_emb.weight", "act_emb.weight", "act_emb.0.weight")):
        return draw
    if len(shape) == 1:
        return 1 + draw / 8 if name.endswith("norm.weight") else draw / 8
    gain = _RESIDUAL_GAIN if name.endswith(("conv2.weight", "out_proj.weight")) else 1.0
    return draw * (gain / math.sqrt(math.prod(shape[1:])))


def weights(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """All weights of an agent by released name."""
    return {name: weight(name, shape) for name, shape in shapes.items()}


class GivenNoise:
    """Stands in for `torch.randn`: the n-th draw of a rank is a formula, whatever the order.

    Two programs that draw level, offset and noise in another order get the same numbers.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._drawn: dict[str, int] = {}

    def randn(self, *size: Any, **_: Any) -> Tensor:
        """As `torch.randn` with a shape; generator and device are not read."""
        shape = tuple(size[0]) if len(size) == 1 and not isinstance(size[0], int) else size
        kind = "x".join("1" if n == 1 else "n" for n in shape)
        index = self._drawn.get(kind, 0)
        self._drawn[kind] = index + 1
        return numbers(f"{self._name}/{kind}/{index}", *shape)


@dataclass(frozen=True)
class DenoiseCase:
    """Inputs of the denoiser at some noise levels."""

    num_actions: int
    history: int
    batch: int
    height: int
    width: int
    sigmas: tuple[float, ...]

    @property
    def name(self) -> str:
        return f"denoise/{self.num_actions}/{self.history}/{self.height}x{self.width}"

    def past(self) -> Tensor:
        """(b, k, c, h, w)."""
        return frames(f"{self.name}/past", self.batch, self.history, 3, self.height, self.width)

    def actions(self) -> Tensor:
        """(b, k)."""
        return actions(f"{self.name}/actions", self.num_actions, self.batch, self.history)

    def noisy(self, sigma: float) -> Tensor:
        """(b, c, h, w)."""
        shape = (self.batch, 3, self.height, self.width)
        return frames(f"{self.name}/clean", *shape) + sigma * numbers(f"{self.name}/noise", *shape)


_SIGMAS = (2e-3, 0.5, 5.0)
DENOISE_CASES = (
    DenoiseCase(4, 4, 2, 16, 16, (2e-3, 0.05, 0.5, 5.0, 20.0)),
    DenoiseCase(4, 1, 1, 16, 16, _SIGMAS),
    DenoiseCase(4, 8, 1, 16, 16, _SIGMAS),
    DenoiseCase(18, 1, 1, 16, 16, _SIGMAS),
    DenoiseCase(18, 4, 1, 16, 16, _SIGMAS),
    DenoiseCase(18, 8, 1, 16, 16, _SIGMAS),
    DenoiseCase(4, 4, 1, 13, 18, _SIGMAS),
    DenoiseCase(4, 4, 1, 64, 64, (0.5,)),
)
BASE = DENOISE_CASES[0]


@dataclass(frozen=True)
class SampleCase:
    """One run of the sampler; its start noises are counted, for the search of one without ties.

    Heun divides by the level that a step leads to: on the published grid of three levels it
    multiplies the rounding of D by (sigma_1 - sigma_2) / (2 sigma_2) = 70, so that an unquantised
    D is compared on a grid that ends higher. It is rounding and nothing else: on the published grid
    the programs are 1e-13 apart in float64, and each is further from itself in float32 the fewer
    steps there are (`test_heun_multiplies_the_rounding_of_the_denoiser`).
    Quantised, D is the same on both sides, and the published grid is compared.
    """

    steps: int
    order: int
    quantizer: str
    sigma_min: float = 2e-3

    @property
    def name(self) -> str:
        return f"sample/{self.steps}/{self.order}/{self.quantizer}"

    def start(self, attempt: int) -> Tensor:
        """Start noise (b, c, h, w)."""
        return numbers(f"{self.name}/start/{attempt}", BASE.batch, 3, BASE.height, BASE.width)


SAMPLE_CASES = (
    SampleCase(1, 1, "none"),
    SampleCase(3, 1, "none"),
    SampleCase(10, 1, "none"),
    SampleCase(3, 2, "none", sigma_min=0.1),
    SampleCase(3, 1, "floor"),
    SampleCase(3, 2, "floor"),
)

LOSS_PASSES = 2
LOSS_BATCH = 3


def loss_frames() -> Tensor:
    """Frames of the denoising loss (b, k + passes, c, h, w)."""
    return frames("loss/frames", LOSS_BATCH, BASE.history + LOSS_PASSES, 3, 16, 16)


def loss_actions() -> Tensor:
    """Actions between them (b, k + passes)."""
    return actions("loss/actions", BASE.num_actions, LOSS_BATCH, BASE.history + LOSS_PASSES)


OUTCOME_STEPS = 4
OUTCOME_BATCH = 3
NUM_ACTIONS = (4, 18)


def outcome_frames() -> Tensor:
    """(b, t + 1, c, h, w), the last ones the true final frames of the segments that end."""
    return frames("outcome/frames", OUTCOME_BATCH, OUTCOME_STEPS + 1, 3, 64, 64)


def outcome_actions(num_actions: int) -> Tensor:
    """(b, t)."""
    return actions("outcome/actions", num_actions, OUTCOME_BATCH, OUTCOME_STEPS)


def outcome_rewards() -> Tensor:
    """(b, t), not clipped yet."""
    return torch.tensor([[0.0, 7.0, 0.0, -3.0], [1.0, 0.0, 0.0, 0.5], [0.0, -1.0, 30.0, 0.0]])


def outcome_ends() -> Tensor:
    """(b, t); two of three segments end with their last step."""
    return torch.tensor([[0, 0, 0, 1], [0, 0, 0, 0], [0, 0, 0, 1]])


def early_ends() -> Tensor:
    """(b, t); two of three segments end before their last step, what follows is padding."""
    return torch.tensor([[0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0]])


def before_padding(ends: Tensor) -> Tensor:
    """(b, t + 1) bool; True up to the last env step of each segment, by its ends (b, t)."""
    return F.pad(ends.cumsum(dim=1), (1, 0)) == 0


def recurrent(name: str, batch: int, units: int = 512) -> tuple[Tensor, Tensor]:
    """Hidden and cell state (b, units)."""
    return numbers(f"{name}/hidden", batch, units) / 2, numbers(f"{name}/cell", batch, units)


POLICY_STEPS = 5
POLICY_BATCH = 4


@dataclass(frozen=True)
class ReturnsCase:
    """Discount and mixing of the lambda-returns."""

    gamma: float
    lambda_: float

    @property
    def name(self) -> str:
        return f"returns/{self.gamma}/{self.lambda_}"


RETURNS_CASES = (
    ReturnsCase(0.985, 0.95),
    ReturnsCase(0.9, 0.0),
    ReturnsCase(1.0, 1.0),
    ReturnsCase(0.997, 0.5),
)
PAPER_RETURNS = RETURNS_CASES[0]
ENTROPY_WEIGHT = 0.001
VALUE_WEIGHT = 1.0


def policy_frames() -> Tensor:
    """(b, t, c, h, w)."""
    return frames("policy/frames", POLICY_BATCH, POLICY_STEPS, 3, 64, 64)


def policy_actions(num_actions: int) -> Tensor:
    """(b, t)."""
    return actions("policy/actions", num_actions, POLICY_BATCH, POLICY_STEPS)


def policy_rewards() -> Tensor:
    """(b, t), of both signs, some zero, not clipped."""
    return (levels("policy/rewards", POLICY_BATCH, POLICY_STEPS) % 7 - 3).float()


def policy_ends() -> Tensor:
    """(b, t) int64: never, at first, in the middle, twice with the last step among them."""
    return torch.tensor([[0, 0, 0, 0, 0], [1, 0, 0, 0, 0], [0, 0, 1, 0, 0], [0, 1, 0, 0, 1]])


def policy_truncations() -> Tensor:
    """(b, t) int64: at the last step of the imagined horizon, where nothing ended."""
    return torch.tensor([[0, 0, 0, 0, 1], [0, 0, 0, 0, 0], [0, 0, 0, 0, 1], [0, 0, 0, 0, 0]])


def policy_next_values() -> Tensor:
    """(b, t)."""
    return numbers("policy/next_values", POLICY_BATCH, POLICY_STEPS)


IMAGINE_BATCH = 3
IMAGINE_STEPS = 5
IMAGINE_HISTORY = 4
IMAGINE_ENDS = ((1, 0), (1, 2), (3, 0), (4, 2))
"""(Env step, row) of the ends that are drawn: two at once, one again, one in the last env step.

The row that never ends is cut at the last env step.
"""
NUM_STARTS = 2 * IMAGINE_BATCH + len(IMAGINE_ENDS) + 1
"""The first rows begin trajectories of the released loop that are thrown away: its first update
has no burn-in. The next rows begin the ones that are compared, the rest those after an end or a
cut; the last two follow the last env step."""


def imagine_frames() -> Tensor:
    """Real frames of the starts (n, k, c, h, w)."""
    return frames("imagine/frames", NUM_STARTS, IMAGINE_HISTORY, 3, 64, 64)


def imagine_actions() -> Tensor:
    """Their actions (n, k); the last ones are not used."""
    return actions("imagine/actions", 4, NUM_STARTS, IMAGINE_HISTORY)


def imagine_start_noise(step: int) -> Tensor:
    """Start noise of the sampler in an env step; -1 is the one that is thrown away."""
    return numbers(f"imagine/noise/{step}", IMAGINE_BATCH, 3, 64, 64)


def imagine_uniforms(kind: str, step: int) -> Tensor:
    """Numbers in (0, 1) behind the draws of an action, a reward or an end, (b,) float32."""
    if kind == "end":
        rows = [row for at, row in IMAGINE_ENDS if at == step]
        return torch.tensor([0.999999 if row in rows else 1e-6 for row in range(IMAGINE_BATCH)])
    return (levels(f"imagine/{kind}/{step}", IMAGINE_BATCH).float() + 0.5) / 256


def drawn(logits: Tensor, uniforms: Tensor) -> Tensor:
    """The class (b,) whose cumulative probability first exceeds the uniform number."""
    cumulative = logits.double().softmax(dim=-1).cumsum(dim=-1)
    return (cumulative <= uniforms.double()[:, None]).sum(dim=-1).clamp(max=logits.shape[-1] - 1)


NUM_GRADIENT_ENTRIES = 32


def gradient_summary(name: str, gradient: Tensor) -> Tensor:
    """A gradient in 35 numbers: largest size, norm, a projection, 32 of its entries.

    Args:
        name: Released name of the parameter; it chooses projection and entries.
        gradient: Any shape.

    Returns:
        (35,) float64 rounded to float32.
    """
    flat = gradient.detach().flatten().double()
    # Contiguous logical order, so that memory layouts do not matter.
    direction = numbers(f"direction/{name}", len(flat)).double()
    picks = torch.from_numpy(
        (_raw(f"entries/{name}", NUM_GRADIENT_ENTRIES) % np.uint64(len(flat))).astype(np.int64)
    )
    whole = torch.stack((flat.abs().max(), flat.norm(), flat @ direction))
    return torch.cat((whole, flat[picks])).float()
