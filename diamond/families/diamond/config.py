"""The world model of DIAMOND by value: its networks, and how frames are drawn from the denoiser."""

from hashlib import sha256
from typing import Literal, Self

from pydantic import Field, model_validator

from diamond.config.base import Record
from diamond.config.networks import MAX_HISTORY, PartConfig, PositiveInt, Precision
from diamond.config.plugins import source_of
from diamond.config.worlds import HasWorld, WorldConfig

Quantizer = Literal["floor", "round", "none"]
Target = Literal["edm", "x0", "eps", "v", "velocity"]
InputScale = Literal["edm", "vp", "flow"]
NoiseEmbedding = Literal["log_sigma", "timestep", "time"]
NoiseLaw = Literal["lognormal", "loguniform", "timesteps", "time"]
OffsetLaw = Literal["constant", "sigma"]


class DenoiserConfig(PartConfig):
    """The denoiser D(x; sigma): network, parameterisation, noise law and training."""

    history: int = Field(
        ge=1, le=MAX_HISTORY, description="past frames and actions that condition the next frame"
    )
    channels: tuple[PositiveInt, ...] = Field(min_length=1, description="width of each U-Net level")
    depths: tuple[PositiveInt, ...] = Field(
        min_length=1, description="residual blocks of each level"
    )
    cond_channels: int = Field(
        ge=2, description="width of the conditioning vector; divisible by history"
    )
    patch: Literal[1, 2, 4] = Field(description="side of the pixel block folded into channels")
    middle_attention: bool = Field(description="self-attention in the middle block")
    sigma_data: float = Field(gt=0, description="standard deviation of the data in [-1, 1]")
    offset_noise: float = Field(ge=0, description="per-channel constant noise added in training")
    noise_loc: float = Field(description="mean of log sigma in training")
    noise_scale: float = Field(gt=0, description="standard deviation of log sigma in training")
    noise_min: float = Field(gt=0, description="training sigma is clipped from below")
    noise_max: float = Field(gt=0, description="training sigma is clipped from above")
    autoregressive_passes: int = Field(
        ge=1,
        le=8,
        description="losses per item; each later one is conditioned on the model's own output",
    )
    quantizer: Quantizer = Field(description="quantiser of the frames fed back between the passes")
    ema: float = Field(
        ge=0, lt=1, description="decay of the averaged weights used for sampling; 0 is off"
    )
    precision: Precision = Field(description="precision of the network's arithmetic")
    target: Target = Field(
        default="edm",
        description="what the network predicts: EDM's F, the frame, the noise, v, or the velocity "
        "of rectified flow",
        json_schema_extra={"neutral": "edm"},
    )
    input_scale: InputScale = Field(
        default="edm",
        description="how the network sees a noisy frame: at unit variance (EDM's c_in), as the "
        "variance-preserving process has it, or as rectified flow has it",
        json_schema_extra={"neutral": "edm"},
    )
    noise_embedding: NoiseEmbedding = Field(
        default="log_sigma",
        description="how the network is told the noise level: its logarithm, the DDPM timestep, or "
        "the time of rectified flow",
        json_schema_extra={"neutral": "log_sigma"},
    )
    past_scale: Literal["sigma_data", "none"] = Field(
        default="sigma_data",
        description="what past frames are divided by before the network sees them",
        json_schema_extra={"neutral": "sigma_data"},
    )
    noise_law: NoiseLaw = Field(
        default="lognormal",
        description="law of the training noise: log-normal (noise_loc, noise_scale), log-uniform "
        "from noise_min to noise_max, uniform over DDPM timesteps, or uniform time of rectified "
        "flow; all are clipped to noise_min and noise_max",
        json_schema_extra={"neutral": "lognormal"},
    )
    offset_law: OffsetLaw = Field(
        default="constant",
        description="whether the offset noise has one size, or grows with the noise level as a "
        "part of the noise",
        json_schema_extra={"neutral": "constant"},
    )
    cond_noise: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="largest noise added to past frames in training, drawn uniformly per item",
        json_schema_extra={"neutral": 0.0},
    )
    final_frames: Literal["targets", "left_out"] = Field(
        default="targets",
        description="whether the final frame of an episode, on which nothing is done, is a frame "
        "to denoise in training, or left out, as DIAMOND does",
        json_schema_extra={"neutral": "targets"},
    )
    balance: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="share of the segments that are drawn around rewards and ends",
        json_schema_extra={"neutral": 0.0},
    )
    change: float = Field(
        default=0.0,
        ge=0,
        le=100,
        description="gain: the change from the last frame, times this, is diffused; 0 diffuses the "
        "frame itself, as DIAMOND does",
        json_schema_extra={"neutral": 0.0},
    )
    network: str | None = Field(
        default=None,
        pattern=r"^[\w.]+:\w+$",
        description="a network of one's own in place of the U-Net, as module:NAME; its "
        "source is part of the key; docs/families.md",
        json_schema_extra={"neutral": None},
    )
    stop_after: int | None = Field(
        default=None,
        ge=1,
        description="optimiser steps after which training stops, on the schedule of all updates; "
        "null trains to the end",
        json_schema_extra={"neutral": None},
    )

    @property
    def segment_steps(self) -> int:
        """Env steps of a training segment, all inside one episode.

        Where final frames are left out it has one more than the loss reads: only its last frame
        can be a final one.
        """
        read = self.history + self.autoregressive_passes - 1
        return read + (self.final_frames == "left_out")

    @property
    def num_trained_updates(self) -> int:
        """Optimiser steps that are taken: all of them, or those before training stops."""
        return self.updates if self.stop_after is None else self.stop_after

    @model_validator(mode="after")
    def _check_stop(self) -> Self:
        if self.stop_after is not None and self.stop_after >= self.updates:
            raise ValueError(
                f"denoiser.stop_after={self.stop_after} is not below denoiser.updates="
                f"{self.updates}: allowed is 1 to {self.updates - 1}, or null to train to the end"
            )
        return self

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(self.channels) != len(self.depths):
            raise ValueError(f"channels {self.channels} and depths {self.depths} differ in length")
        if self.cond_channels % self.history:
            allowed = [n for n in range(1, MAX_HISTORY + 1) if self.cond_channels % n == 0]
            raise ValueError(
                f"cond_channels {self.cond_channels} is not a multiple of history {self.history}; "
                f"allowed with it: history {', '.join(map(str, allowed))}"
            )
        if self.cond_channels % 2:
            raise ValueError(f"cond_channels {self.cond_channels} must be even")
        if not self.noise_min < self.noise_max:
            raise ValueError(f"noise_min {self.noise_min} must be below noise_max {self.noise_max}")
        if self.change > 0 and (self.target, self.input_scale) != ("edm", "edm"):
            raise ValueError(
                f"denoiser.change={self.change:g} with denoiser.target={self.target}, "
                f"denoiser.input_scale={self.input_scale}: only edm scales what is no frame; "
                "allowed with others: denoiser.change=0"
            )
        return self


class RewardEndConfig(PartConfig):
    """The reward/end model: encoder, LSTM and heads."""

    channels: tuple[PositiveInt, ...] = Field(
        min_length=1, description="width of each encoder level"
    )
    depths: tuple[PositiveInt, ...] = Field(
        min_length=1, description="residual blocks of each level"
    )
    cond_channels: int = Field(ge=1, description="width of the action embedding")
    lstm_size: int = Field(ge=1, description="units of the LSTM")
    sequence_steps: int = Field(
        ge=1, description="env steps of a training segment; what lies beyond an episode is padding"
    )
    precision: Precision = Field(description="precision of the network's arithmetic")
    balance: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="share of the segments that are drawn around rewards and ends; what the model "
        "says is corrected to how often they are",
        json_schema_extra={"neutral": 0.0},
    )
    memory: Literal["lstm", "none"] = Field(
        default="lstm",
        description="none: a reward and an end are told from two frames and an action alone",
        json_schema_extra={"neutral": "lstm"},
    )
    encoder: Literal["residual", "strided"] = Field(
        default="residual",
        description="residual: DIAMOND's, of both frames; strided: a convolution a level, each of "
        "stride 2, of the frame and its change",
        json_schema_extra={"neutral": "residual"},
    )
    shift_pixels: int = Field(
        default=0,
        ge=0,
        le=8,
        description="largest random shift of the frames of a segment in training, pixels",
        json_schema_extra={"neutral": 0},
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(self.channels) != len(self.depths):
            raise ValueError(f"channels {self.channels} and depths {self.depths} differ in length")
        return self


class SamplerConfig(Record):
    """How a frame is drawn from the denoiser: the grid of noise levels and the solver."""

    steps: int = Field(ge=1, le=1000, description="denoising steps per imagined frame")
    sigma_min: float = Field(gt=0, description="last noise level above zero, grid karras")
    sigma_max: float = Field(gt=0, description="first noise level, grid karras")
    rho: float = Field(gt=0, description="curvature of the noise levels, grid karras")
    order: Literal[1, 2] = Field(description="solver: 1 Euler, 2 Heun")
    churn: float = Field(ge=0, description="stochasticity added at each step (S_churn)")
    init_noise: Literal["unit", "sigma_max", "marginal"] = Field(
        description="standard deviation of the initial sample: 1, as DIAMOND does; the first noise "
        "level; or sqrt(1 + level^2), as the variance-preserving process has it"
    )
    quantizer: Quantizer = Field(description="how denoised frames are brought to 256 levels")
    solver: Literal["ode", "ancestral"] = Field(
        default="ode",
        description="integrate the probability-flow ODE, or draw from the posterior of each step",
        json_schema_extra={"neutral": "ode"},
    )
    grid: Literal["karras", "timesteps", "flow"] = Field(
        default="karras",
        description="noise levels: Karras et al. (sigma_max, sigma_min, rho), evenly spaced DDPM "
        "timesteps, or evenly spaced times of rectified flow",
        json_schema_extra={"neutral": "karras"},
    )
    quantize_at: Literal["call", "end"] = Field(
        default="call",
        description="quantise the output of every denoiser call, or only clamp it and quantise "
        "the drawn frame",
        json_schema_extra={"neutral": "call"},
    )
    cond_noise: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="noise added to past frames when a frame is drawn, at most denoiser.cond_noise",
        json_schema_extra={"neutral": 0.0},
    )
    reward_end_sampling: Literal["sample", "argmax"] = Field(
        default="sample",
        description="whether rewards and ends are drawn, or the most likely ones are taken",
        json_schema_extra={"neutral": "sample"},
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.sigma_min < self.sigma_max:
            raise ValueError(f"sigma_min {self.sigma_min} must be below sigma_max {self.sigma_max}")
        if self.solver == "ancestral":
            if self.order != 1:
                raise ValueError(
                    f"sampler.solver=ancestral takes one denoiser call a step: sampler.order must "
                    f"be 1, not {self.order}"
                )
            if self.churn:
                raise ValueError(
                    f"sampler.solver=ancestral draws its own noise: sampler.churn must be 0, "
                    f"not {self.churn:g}"
                )
        return self


class DiamondConfig(WorldConfig):
    """The diffusion world model of arXiv:2405.12399 (section 3)."""

    family: Literal["diamond"] = "diamond"
    denoiser: DenoiserConfig
    reward_end: RewardEndConfig
    sampler: SamplerConfig

    @model_validator(mode="after")
    def _check_past_noise(self) -> Self:
        if self.sampler.cond_noise > self.denoiser.cond_noise:
            raise ValueError(
                f"sampler.cond_noise={self.sampler.cond_noise:g} is above "
                f"denoiser.cond_noise={self.denoiser.cond_noise:g}: training never showed it"
            )
        return self


def diamond_of(run: HasWorld) -> DiamondConfig:
    """The world model of a run or a checkpoint of this family; of another one it is a mistake."""
    assert isinstance(run.world, DiamondConfig), run.world
    return run.world


def network_digest(denoiser: DenoiserConfig) -> str | None:
    """SHA-256 of the source of a network of one's own; None where it is the U-Net.

    Raises:
        RequestError: There is no such source.
    """
    if denoiser.network is None:
        return None
    return sha256(source_of(denoiser.network, "denoiser.network").read_bytes()).hexdigest()
