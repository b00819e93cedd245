"""The named axes of DIAMOND.

The order is that of the stages that they touch; a path from one formulation to another flips its
factors in this order and in its reverse.
"""

from diamond.families.diamond.axis_values import (
    COND_NOISE_FIELDS,
    NOISE_FIELDS,
    NOISE_FORMS,
    cond_noise_settings,
    current_cond_noise,
    current_depth,
    current_formulation,
    current_noise,
    current_width,
    depth_settings,
    formulation_settings,
    noise_settings,
    width_settings,
)
from diamond.families.diamond.formulations import FORMULATION_UNION, FORMULATIONS
from diamond.plan.axis import Axis, field_axis, same_words, word_axis
from diamond.plan.axis_table import PAPER, RELEASED

EDM = "arXiv 2206.00364"

AXES: tuple[Axis, ...] = (
    # --- denoiser: what is trained ---
    Axis(
        name="formulation",
        meaning="diffusion formulation: training target, noise, conditioning and sampler "
        "together; the axes below change single parts of it again",
        values=", ".join(FORMULATIONS),
        source=f"{PAPER}, section 5.1; arXiv 2209.03003",
        fields=FORMULATION_UNION,
        settings=formulation_settings,
        current=current_formulation,
        kind="bundle",
    ),
    word_axis(
        "target",
        same_words("edm", "x0", "eps", "v", "velocity"),
        ("denoiser.target",),
        "what the network predicts: EDM's mixture of frame and noise, the frame, the noise, v, or "
        "the velocity of rectified flow",
        f"{EDM}, table 1; arXiv 2006.11239; 2202.00512; 2209.03003",
    ),
    word_axis(
        "precondition",
        {"on": "edm", "off": "vp"},
        ("denoiser.input_scale",),
        "whether the network sees noisy frames at unit variance (EDM's c_in), or as DDPM does",
        f"{EDM}, table 1",
    ),
    word_axis(
        "noise_embedding",
        same_words("log_sigma", "timestep", "time"),
        ("denoiser.noise_embedding",),
        "how the network is told the noise level: its logarithm, the DDPM timestep, the time of "
        "rectified flow",
        f"{EDM}, table 1 (c_noise)",
    ),
    word_axis(
        "past_scale",
        same_words("sigma_data", "none"),
        ("denoiser.past_scale",),
        "what past frames are divided by before the network sees them",
        f"{RELEASED}, branch ddpm (none)",
    ),
    Axis(
        name="noise",
        meaning="law of the noise level in training, clipped to MIN and MAX; without numbers, "
        "lognormal is the preset's whatever formulation all arms share, timesteps and time reach "
        "over the whole of their range",
        values=NOISE_FORMS,
        source=f"{EDM}, table 1; {PAPER}, section 3.1",
        fields=NOISE_FIELDS,
        settings=noise_settings,
        current=current_noise,
    ),
    field_axis(
        "offset_noise",
        "denoiser.offset_noise",
        "per-channel constant noise added in training",
        "numbers from 0",
        f"{RELEASED} (0.3)",
    ),
    word_axis(
        "offset_law",
        same_words("constant", "sigma"),
        ("denoiser.offset_law",),
        "whether the offset noise has one size, or grows with the noise level",
        f"{RELEASED}, branch ddpm (sigma)",
    ),
    field_axis(
        "sigma_data",
        "denoiser.sigma_data",
        "standard deviation that EDM takes the data to have, in [-1, 1]",
        "numbers above 0",
        f"{EDM}, table 1",
    ),
    field_axis(
        "autoregressive",
        "denoiser.autoregressive_passes",
        "losses per training item; each later one is conditioned on the model's own output",
        "whole numbers from 1 to 8",
        f"{RELEASED} (2)",
    ),
    word_axis(
        "quantizer",
        same_words("floor", "round", "none"),
        ("denoiser.quantizer", "sampler.quantizer"),
        "how frames are brought to 256 levels, those fed back in training and those drawn",
        f"{RELEASED} (floor); docs/deviations.md",
    ),
    Axis(
        name="cond_noise",
        meaning="noise on past frames: the largest in training, drawn uniformly per item, and "
        "that when a frame is drawn; one number is TRAIN, with none when a frame is drawn",
        values="TRAIN or TRAIN:INFER, each from 0 to 1",
        source="arXiv 2106.15282; 2408.14837",
        fields=COND_NOISE_FIELDS,
        settings=cond_noise_settings,
        current=current_cond_noise,
    ),
    field_axis(
        "change",
        "denoiser.change",
        "gain: the change from the last frame, times this, is diffused; 0 diffuses the frame",
        "numbers from 0 to 100",
        f"{PAPER} (0); docs/deviations.md",
    ),
    # --- denoiser: the network and its training ---
    field_axis(
        "history",
        "denoiser.history",
        "past frames and actions that condition the next frame",
        "1 to 16, divisors of denoiser.cond_channels",
        f"{PAPER}, appendix D (4)",
    ),
    Axis(
        name="width",
        meaning="channels of the widest level of the U-Net; the others keep their ratio to it",
        values="whole numbers that leave every level whole",
        source=f"{PAPER}, appendix D (64)",
        fields=("denoiser.channels",),
        settings=width_settings,
        current=current_width,
    ),
    Axis(
        name="depth",
        meaning="residual blocks at every level of the U-Net",
        values="whole numbers from 1",
        source=f"{PAPER}, appendix D (2)",
        fields=("denoiser.depths",),
        settings=depth_settings,
        current=current_depth,
    ),
    word_axis(
        "attention",
        {"on": True, "off": False},
        ("denoiser.middle_attention",),
        "self-attention in the middle of the U-Net",
        f"{RELEASED} (on)",
    ),
    field_axis(
        "ema",
        "denoiser.ema",
        "decay of the averaged weights that frames are drawn with; 0 is off",
        "numbers from 0 to below 1",
        "arXiv 2312.02696",
    ),
    field_axis(
        "lr",
        "denoiser.optimizer.lr",
        "learning rate of the denoiser after its warm-up",
        "numbers above 0, to 1",
        f"{PAPER}, appendix E (1e-4)",
    ),
    field_axis(
        "balance",
        "denoiser.balance",
        "share of the denoiser's training segments that are drawn around rewards and ends",
        "numbers from 0 to 1",
        f"{PAPER} (0); docs/learning.md",
    ),
    field_axis(
        "updates",
        "denoiser.updates",
        "optimiser steps of the denoiser (static protocol)",
        "whole numbers from 1",
        f"{PAPER}, appendix E",
    ),
    # --- the reward/end model ---
    field_axis(
        "reward_balance",
        "reward_end.balance",
        "the same of the reward/end model, whose word is corrected to how often they are",
        "numbers from 0 to 1",
        f"{PAPER} (0); arXiv 2007.07314",
    ),
    word_axis(
        "memory",
        same_words("lstm", "none"),
        ("reward_end.memory",),
        "whether rewards and ends are told from the past too, or from two frames and an action",
        f"{PAPER}, appendix D (lstm)",
    ),
    # --- rollouts and policy: how frames are drawn ---
    field_axis(
        "steps",
        "sampler.steps",
        "denoising steps per imagined frame",
        "whole numbers from 1 to 1000",
        f"{PAPER}, sections 5.1 and 5.2",
    ),
    word_axis(
        "order",
        {"1": 1, "2": 2},
        ("sampler.order",),
        "order of the solver: 1 Euler, 2 Heun, which calls the denoiser twice a step but the last",
        f"{EDM}, algorithm 1",
    ),
    field_axis(
        "churn",
        "sampler.churn",
        "stochasticity added at each denoising step (S_churn)",
        "numbers from 0",
        f"{EDM}, algorithm 2",
    ),
    word_axis(
        "solver",
        same_words("ode", "ancestral"),
        ("sampler.solver",),
        "integrate the probability-flow ODE, or draw from the posterior of each step",
        f"{EDM}, algorithm 1; arXiv 2006.11239, algorithm 2",
    ),
    word_axis(
        "grid",
        same_words("karras", "timesteps", "flow"),
        ("sampler.grid",),
        "noise levels of the steps: Karras et al. (sigma_max, rho), DDPM timesteps, or times of "
        "rectified flow; where it begins decides what init_noise fits",
        f"{EDM}, equation 5",
    ),
    field_axis(
        "sigma_max",
        "sampler.sigma_max",
        "first noise level of the Karras grid",
        "numbers above sampler.sigma_min",
        f"{RELEASED} (5)",
    ),
    field_axis(
        "rho",
        "sampler.rho",
        "curvature of the Karras grid: higher has more of its levels near zero",
        "numbers above 0",
        f"{EDM}, equation 5 (7)",
    ),
    word_axis(
        "init_noise",
        same_words("unit", "sigma_max", "marginal"),
        ("sampler.init_noise",),
        "standard deviation of the initial sample: 1, the first level of the grid, or "
        "sqrt(1 + level^2), as DDPM has it",
        f"{RELEASED} (unit)",
    ),
    word_axis(
        "quantize_at",
        same_words("call", "end"),
        ("sampler.quantize_at",),
        "quantise the output of every denoiser call, or the drawn frame alone",
        f"{RELEASED} (call)",
    ),
    word_axis(
        "reward_end_sampling",
        same_words("sample", "argmax"),
        ("sampler.reward_end_sampling",),
        "whether imagined rewards and ends are drawn, or the most likely ones are taken",
        f"{RELEASED} (sample)",
    ),
)
