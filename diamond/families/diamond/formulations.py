"""Diffusion formulations as the config fields that tell them apart from the presets, which are EDM.

No mathematics here: `precondition`, `noise_law`, `sampler`.
"""

from collections.abc import Mapping
from typing import Any, Literal, get_args

from diamond.families.diamond.config import DenoiserConfig

Formulation = Literal["edm", "ddpm", "flow"]
FORMULATIONS: tuple[Formulation, ...] = get_args(Formulation)

DDPM_MAX_SIGMA = 157.5
"""Above the noise level of the last timestep, 157.4: clipping changes nothing."""
FLOW_MAX_SIGMA = 999.0
"""The noise level of time .999, where sampling with rectified flow begins."""

FORMULATION_FIELDS: Mapping[Formulation, Mapping[str, Any]] = {
    "edm": {},
    "ddpm": {
        "denoiser.target": "eps",
        "denoiser.input_scale": "vp",
        "denoiser.noise_embedding": "timestep",
        "denoiser.past_scale": "none",
        "denoiser.noise_law": "timesteps",
        "denoiser.noise_max": DDPM_MAX_SIGMA,
        "denoiser.offset_law": "sigma",
        "denoiser.autoregressive_passes": 1,
        "denoiser.change": 0.0,
        "sampler.solver": "ancestral",
        "sampler.grid": "timesteps",
        "sampler.init_noise": "marginal",
        "sampler.quantize_at": "end",
    },
    "flow": {
        "denoiser.target": "velocity",
        "denoiser.input_scale": "flow",
        "denoiser.noise_embedding": "time",
        "denoiser.noise_law": "time",
        "denoiser.noise_max": FLOW_MAX_SIGMA,
        "denoiser.offset_law": "sigma",
        "denoiser.change": 0.0,
        "sampler.grid": "flow",
        "sampler.init_noise": "sigma_max",
    },
}
"""What each formulation sets; everything else stays as the preset has it.

Source: ddpm, the released code's branch of that name (arXiv:2405.12399, section 5.1); flow,
    Liu et al. 2022 (arXiv:2209.03003).
"""

FORMULATION_UNION: tuple[str, ...] = tuple(
    dict.fromkeys(field for fields in FORMULATION_FIELDS.values() for field in fields)
)
"""Every field that some formulation sets."""

RELEASED_FIELDS: Mapping[str, Any] = {
    "target": "edm",
    "input_scale": "edm",
    "noise_embedding": "log_sigma",
    "past_scale": "sigma_data",
    "offset_law": "constant",
    "cond_noise": 0.0,
    "change": 0.0,
}
"""Fields of a denoiser that say what its weights mean, with the values of the released code."""


def is_released_formulation(denoiser: DenoiserConfig) -> bool:
    """Whether the released code (main) of arXiv:2405.12399 reads the weights as they are meant.

    How noise was drawn in training and how frames are sampled changes no meaning of a weight.
    """
    return all(getattr(denoiser, name) == value for name, value in RELEASED_FIELDS.items())
