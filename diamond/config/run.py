"""`RunConfig`: everything that a run is, by value.

Where and how it executes (device, jobs, paths) is not here.
"""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from diamond.config.base import Record
from diamond.config.games import GAMES_WITH_EXPERT, check_game
from diamond.config.online import OnlineConfig

CONTEXT_FRAMES = 16
"""Real frames before every rollout.

A constant, so that all arms of all studies start at the same frame.
"""

Quantizer = Literal["floor", "round", "none"]
Target = Literal["edm", "x0", "eps", "v", "velocity"]
InputScale = Literal["edm", "vp", "flow"]
NoiseEmbedding = Literal["log_sigma", "timestep", "time"]
NoiseLaw = Literal["lognormal", "loguniform", "timesteps", "time"]
OffsetLaw = Literal["constant", "sigma"]
Precision = Literal["float32", "bfloat16"]
Collector = Literal["random_held", "expert", "policy"]
Family = Literal["diamond", "copy_last", "median_background"]
Protocol = Literal["static", "online"]
Game = Annotated[str, AfterValidator(check_game)]
PositiveInt = Annotated[int, Field(ge=1)]
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class EmulatorConfig(Record):
    """The game as it is played: shared by references, frames and returns."""

    frame_skip: int = Field(ge=1, le=16, description="emulator frames per env step")
    max_noops: int = Field(
        ge=0, le=30, description="most no-op frames after a reset, drawn per episode"
    )
    actions: tuple[int, ...] | None = Field(
        description="emulator action codes that the agent may take; null is the game's minimal set"
    )

    @model_validator(mode="after")
    def _check_actions(self) -> Self:
        if self.actions is not None:
            if len(set(self.actions)) != len(self.actions) or not self.actions:
                raise ValueError(f"actions {self.actions} must be distinct and at least one")
            if not all(0 <= code < 18 for code in self.actions):
                raise ValueError(f"actions {self.actions} must be emulator codes from 0 to 17")
        return self


class ViewConfig(Record):
    """What the agent sees of the screen of 210 x 160 pixels."""

    height: int = Field(ge=16, le=210, description="rows of a frame, pixels")
    width: int = Field(ge=16, le=160, description="columns of a frame, pixels")
    crop: tuple[int, int, int, int] | None = Field(
        description="rows from, to and columns from, to of the screen that are kept; null keeps all"
    )

    @model_validator(mode="after")
    def _check_crop(self) -> Self:
        if self.crop is not None:
            top, bottom, left, right = self.crop
            if not (0 <= top < bottom <= 210 and 0 <= left < right <= 160):
                raise ValueError(
                    f"crop {self.crop} must be top < bottom <= 210, left < right <= 160"
                )
        return self


class PlayConfig(Record):
    """Who plays when real frames are recorded."""

    collector: Collector = Field(
        description="who plays: random held actions, the game's scripted expert, or, for frames "
        "alone, a trained policy"
    )
    max_hold_steps: int = Field(
        ge=1, description="a random action is held 1 to this many env steps"
    )
    random_fraction: float = Field(
        ge=0, le=1, description="chance that the expert begins a held random action at an env step"
    )


class ReferencesConfig(Record):
    """Held-out real trajectories against which every arm is scored."""

    play: PlayConfig
    num_starts: int = Field(ge=1, description="held-out episodes, one start in each")
    horizon_steps: int = Field(ge=1, description="env steps recorded after a start")
    max_offset_steps: int = Field(
        ge=0, description="a start's context begins 0 to this many env steps in"
    )


class RecordingPolicy(Record):
    """A trained policy that plays with sampled actions: its weights and what they need to act."""

    weights: Digest
    num_actions: int = Field(ge=1, le=18, description="actions that it was trained on")
    channels: tuple[PositiveInt, ...] = Field(
        min_length=1, description="width of each encoder block"
    )
    lstm_size: int = Field(ge=1, description="units of the LSTM cell")
    view: ViewConfig


class FramesConfig(Record):
    """The static training set of real frames."""

    play: PlayConfig
    num_frames: int = Field(ge=64, description="recorded frames, final frames of episodes included")
    policy: RecordingPolicy | None = Field(
        default=None,
        description="the trained policy of collector policy",
        json_schema_extra={"neutral": None},
    )


class OptimizerConfig(Record):
    """AdamW with linear warm-up and an optional cosine decay to zero."""

    lr: float = Field(gt=0, le=1, description="learning rate after the warm-up")
    weight_decay: float = Field(
        ge=0, description="decoupled decay; not on biases, norms, embeddings"
    )
    eps: float = Field(gt=0, description="Adam's epsilon")
    warmup_updates: int = Field(ge=0, description="updates of linear warm-up")
    schedule: Literal["constant", "cosine"] = Field(description="learning rate after the warm-up")
    max_grad_norm: float = Field(gt=0, description="gradients are clipped to this norm")


class DenoiserConfig(Record):
    """The denoiser D(x; sigma): network, parameterisation, noise law and training."""

    history: int = Field(
        ge=1, le=16, description="past frames and actions that condition the next frame"
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
    optimizer: OptimizerConfig
    updates: int = Field(ge=1, description="optimiser steps")
    batch_size: int = Field(ge=1, description="segments per update")
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

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(self.channels) != len(self.depths):
            raise ValueError(f"channels {self.channels} and depths {self.depths} differ in length")
        if self.cond_channels % self.history:
            allowed = [n for n in range(1, CONTEXT_FRAMES + 1) if self.cond_channels % n == 0]
            raise ValueError(
                f"cond_channels {self.cond_channels} is not a multiple of history {self.history}; "
                f"allowed with it: history {', '.join(map(str, allowed))}"
            )
        if self.cond_channels % 2:
            raise ValueError(f"cond_channels {self.cond_channels} must be even")
        if not self.noise_min < self.noise_max:
            raise ValueError(f"noise_min {self.noise_min} must be below noise_max {self.noise_max}")
        return self


class OutcomeConfig(Record):
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
    optimizer: OptimizerConfig
    updates: int = Field(ge=1, description="optimiser steps")
    batch_size: int = Field(ge=1, description="segments per update")
    precision: Precision = Field(description="precision of the network's arithmetic")

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
    outcome_sampling: Literal["sample", "argmax"] = Field(
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


class PolicyConfig(Record):
    """The actor-critic and its training in imagination."""

    channels: tuple[PositiveInt, ...] = Field(
        min_length=1, description="width of each encoder block"
    )
    lstm_size: int = Field(ge=1, description="units of the LSTM cell")
    horizon_steps: int = Field(ge=1, description="imagined env steps per update")
    burn_in_frames: int = Field(ge=1, description="real frames that warm up the recurrent states")
    gamma: float = Field(gt=0, le=1, description="discount per env step")
    lambda_: float = Field(ge=0, le=1, description="weight of longer returns")
    entropy_weight: float = Field(ge=0, description="weight of the entropy bonus")
    value_weight: float = Field(ge=0, description="weight of the value loss")
    optimizer: OptimizerConfig
    updates: int = Field(ge=1, description="optimiser steps")
    batch_size: int = Field(ge=1, description="imagined trajectories per update")


class EvaluationConfig(Record):
    """Play in the real game: sampled actions, no ends on a lost life."""

    num_episodes: int = Field(ge=1, description="real episodes per policy")
    max_episode_steps: int = Field(ge=1, description="env steps after which an episode is cut")


class RolloutsConfig(Record):
    """Imagined trajectories that are compared with the references."""

    horizon_steps: int = Field(ge=1, description="imagined env steps per start")
    num_starts: int = Field(
        ge=1, description="held-out starts used, at most those of the references"
    )


class ImportedConfig(Record):
    """Networks that were trained elsewhere, by the SHA-256 of the file of their weights."""

    num_actions: int = Field(ge=1, le=18, description="actions that the networks were trained on")
    denoiser: Digest
    outcome: Digest
    policy: Digest


class RunConfig(Record):
    """One run of the agent, by value: equal configs and seeds give equal results."""

    preset: str = Field(description="the preset that the values came from; part of no stage key")
    game: Game = Field(description="one of the 26 games of Atari 100k")
    family: Family = Field(
        description="world model family; the last two are baselines without training"
    )
    seed: int = Field(ge=0, description="run seed of everything that is trained")
    data_seed: int = Field(ge=0, description="seed of frames, references and fidelity noise")
    emulator: EmulatorConfig
    view: ViewConfig
    references: ReferencesConfig
    frames: FramesConfig
    denoiser: DenoiserConfig
    outcome: OutcomeConfig
    sampler: SamplerConfig
    policy: PolicyConfig
    evaluation: EvaluationConfig
    rollouts: RolloutsConfig
    imported: ImportedConfig | None = Field(
        default=None,
        description="networks of a checkpoint that take the place of training",
        json_schema_extra={"neutral": None},
    )
    protocol: Protocol = Field(
        default="static",
        description="one set of real frames for all arms, or each agent collects its own",
        json_schema_extra={"neutral": "static"},
    )
    online: OnlineConfig | None = Field(
        default=None,
        description="collection and updates of the online protocol",
        json_schema_extra={"neutral": None},
    )

    @property
    def imagines(self) -> bool:
        """Whether the run has a world model; an agent trained in the real game has none."""
        return self.online is None or self.online.environment == "imagination"

    @model_validator(mode="after")
    def _check_protocol(self) -> Self:
        if (self.protocol == "online") != (self.online is not None):
            raise ValueError("protocol online and the section online belong together")
        if self.online is not None and self.imported is not None:
            raise ValueError("imported networks are not trained: protocol online has no place")
        if self.online is not None and self.online.environment == "imagination":
            needed = max(
                self.denoiser.history + self.denoiser.autoregressive_passes - 1,
                self.policy.burn_in_frames,
            )
            for name, env_steps in (
                ("max_episode_steps", self.online.max_episode_steps),
                ("initial.min_env_steps", self.online.initial.min_env_steps),
            ):
                if env_steps < needed:
                    raise ValueError(
                        f"online.{name}={env_steps}: the segments of the denoiser and the starts "
                        f"of imagination have up to {needed} env steps"
                    )
        return self

    @model_validator(mode="after")
    def _check_past_noise(self) -> Self:
        if self.sampler.cond_noise > self.denoiser.cond_noise:
            raise ValueError(
                f"sampler.cond_noise={self.sampler.cond_noise:g} is above "
                f"denoiser.cond_noise={self.denoiser.cond_noise:g}: training never showed it"
            )
        return self

    @model_validator(mode="after")
    def _check_players(self) -> Self:
        if (self.frames.play.collector == "policy") != (self.frames.policy is not None):
            raise ValueError(
                f"frames.play.collector={self.frames.play.collector}: a trained policy plays with "
                "the axis collector=CHECKPOINT, the folder of an agent"
            )
        if self.references.play.collector == "policy":
            raise ValueError("references.play.collector=policy: all arms share their references")
        for section, play in (("frames", self.frames.play), ("references", self.references.play)):
            if play.collector == "expert" and self.game not in GAMES_WITH_EXPERT:
                raise ValueError(
                    f"{section}.play.collector=expert: {self.game} has no scripted expert, "
                    f"only {', '.join(GAMES_WITH_EXPERT)}"
                )
        return self

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.rollouts.horizon_steps > self.references.horizon_steps:
            raise ValueError("rollouts.horizon_steps is above references.horizon_steps")
        if self.rollouts.num_starts > self.references.num_starts:
            raise ValueError("rollouts.num_starts is above references.num_starts")
        for name, frames in (
            ("denoiser.history", self.denoiser.history),
            ("policy.burn_in_frames", self.policy.burn_in_frames),
        ):
            if frames > CONTEXT_FRAMES:
                raise ValueError(f"{name}={frames} is above the {CONTEXT_FRAMES} context frames")
        for name, side in (("view.height", self.view.height), ("view.width", self.view.width)):
            if side % self.denoiser.patch:
                raise ValueError(
                    f"{name}={side} is not a multiple of denoiser.patch={self.denoiser.patch}"
                )
            if side >> len(self.policy.channels) < 1:
                raise ValueError(
                    f"{name}={side} is too small for {len(self.policy.channels)} policy blocks"
                )
        return self
