"""What is imagined and played to be scored, and by which judge."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from diamond.config.base import NEUTRAL_DEFAULT, Record
from diamond.config.networks import OptimizerConfig, PartConfig, PositiveInt
from diamond.config.recording import PlayConfig

Defect = Literal["none", "actions_shuffled", "lagged", "blurred"]
DEFECTS: tuple[Defect, ...] = ("actions_shuffled", "lagged", "blurred")
"""Those that there are: controls are made with each."""


class InverseDynamicsConfig(PartConfig):
    """The judge that tells the action from two successive real frames, and its real frames."""

    play: PlayConfig
    num_frames: int = Field(ge=64, description="recorded frames that it is trained on")
    num_held_out_frames: int = Field(
        ge=64, description="frames of other recorded episodes, on which its accuracy is measured"
    )
    channels: tuple[PositiveInt, ...] = Field(
        min_length=1, description="width of each convolution; each halves the frame"
    )
    num_features: int = Field(
        ge=1, description="units of its last hidden layer, the features of the Frechet distance"
    )
    batch_size: int = Field(ge=1, description="pairs of frames per update")


INVERSE_DYNAMICS = InverseDynamicsConfig(
    # Random actions depend on nothing that is seen: the judge has to see what an action does, and
    # cannot guess it from what a good player would do.
    play=PlayConfig(collector="random_held", max_hold_steps=8, random_fraction=1.0),
    num_frames=10_000,
    num_held_out_frames=2_000,
    channels=(16, 32, 64),
    num_features=64,
    optimizer=OptimizerConfig(
        lr=1e-3,
        weight_decay=1e-2,
        eps=1e-8,
        warmup_updates=50,
        schedule="cosine",
        max_grad_norm=1.0,
    ),
    updates=600,
    batch_size=64,
)
"""The judge of all presets but `smoke`: one yardstick, whatever the size of what it judges."""


class EvaluationConfig(Record):
    """Play in the real game: sampled actions, no ends on a lost life."""

    num_episodes: int = Field(ge=1, description="real episodes per policy")
    max_episode_steps: int = Field(ge=1, description="env steps after which an episode is cut")
    sticky_too: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="play as many episodes again with this chance that the game repeats the last "
        "action; null: do not",
        json_schema_extra={"neutral": None},
    )
    curve_points: int = Field(
        default=0,
        ge=0,
        description="evenly spaced updates of a policy in training, from the first on, at which "
        "its real return is measured too; online it is measured by online.test",
        json_schema_extra={"neutral": 0},
    )
    curve_episodes: int = Field(
        default=10,
        ge=1,
        description="real episodes at each of these updates",
        json_schema_extra={"neutral": 10},
    )


class SamplesConfig(Record):
    """Several imagined futures of each start, for scores of a distribution."""

    num_samples: int = Field(
        ge=2, description="imagined futures of each start, the rollout itself included"
    )
    horizon_steps: int = Field(
        ge=1, description="imagined env steps of each, at most those of the rollout"
    )


class RolloutsConfig(Record):
    """Imagined trajectories that are compared with the references."""

    horizon_steps: int = Field(ge=1, description="imagined env steps per start")
    num_starts: int = Field(
        ge=1, description="held-out starts used, at most those of the references"
    )
    samples: SamplesConfig | None = Field(
        default=None,
        description="further futures of each start, by other noise",
        json_schema_extra={"neutral": None},
    )
    defect: Defect = Field(
        default="none",
        description="a known defect of what is stored, for controls: imagined under the actions "
        "of another start, every frame an env step late, or frames under a Gaussian blur",
        json_schema_extra={"neutral": "none"},
    )

    @model_validator(mode="after")
    def _check_others(self) -> Self:
        if self.defect == "actions_shuffled" and self.num_starts < 2:
            raise ValueError(
                f"rollouts.defect=actions_shuffled with rollouts.num_starts={self.num_starts}: "
                "with one start there are no actions of another"
            )
        return self


LPIPS_MIN_PIXELS = 31
"""Side of the smallest frames of which AlexNet has features."""


METRIC_WORD = r"^([a-z][a-z0-9_]*|[A-Za-z_][\w.]*:[A-Za-z_][\w.]*)$"
"""A name, or ``module:NAME``."""


class FidelityConfig(Record):
    """What is scored only where it is asked for."""

    lpips: Literal["none", "alex"] = Field(
        default="none", description="network of LPIPS; an extra with weights of its own"
    )
    metrics: tuple[Annotated[str, Field(pattern=METRIC_WORD)], ...] = Field(
        default=(),
        description="metrics of your own: names of installed ones, or module:NAME of a record",
        json_schema_extra=NEUTRAL_DEFAULT,
    )
