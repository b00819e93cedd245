"""What every network has in its config, and the policy, which all families share."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from diamond.config.base import Record

Precision = Literal["float32", "bfloat16"]
MAX_HISTORY = 16
"""Most past frames that a world model may see."""

PositiveInt = Annotated[int, Field(ge=1)]


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


class PartConfig(Record):
    """How a network is trained; its other fields say what it is."""

    optimizer: OptimizerConfig
    updates: int = Field(ge=1, description="optimiser steps")
    batch_size: int = Field(ge=1, description="segments per update")

    @property
    def num_trained_updates(self) -> int:
        """Optimiser steps that are taken."""
        return self.updates


class PolicyConfig(PartConfig):
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
    batch_size: int = Field(ge=1, description="imagined trajectories per update")
    precision: Precision = Field(
        default="float32",
        description="precision of the encoder's arithmetic",
        json_schema_extra={"neutral": "float32"},
    )
    algorithm: Literal["reinforce", "ppo"] = Field(
        default="reinforce",
        description="reinforce: one optimiser step on imagined trajectories, as DIAMOND has it; "
        "ppo: several on the same ones, with a clipped ratio of probabilities",
        json_schema_extra={"neutral": "reinforce"},
    )
    epochs: int = Field(
        default=1,
        ge=1,
        description="times that ppo goes through the imagined trajectories of an update",
        json_schema_extra={"neutral": 1},
    )
    minibatches: int = Field(
        default=1,
        ge=1,
        description="parts of the trajectories, each with an optimiser step of ppo",
        json_schema_extra={"neutral": 1},
    )
    clip: float = Field(
        default=0.2,
        gt=0,
        description="largest change of a probability that ppo rewards, as a share",
        json_schema_extra={"neutral": 0.2},
    )
    normalise_advantages: bool = Field(
        default=False,
        description="bring the advantages of a batch to mean 0 and deviation 1",
        json_schema_extra={"neutral": False},
    )
    event_starts: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="share of the imagined trajectories that begin shortly before real rewards "
        "and ends",
        json_schema_extra={"neutral": 0.0},
    )
    event_lead_steps: int = Field(
        default=8,
        ge=1,
        description="such a trajectory begins 1 to this many env steps before the event is over",
        json_schema_extra={"neutral": 8},
    )

    @model_validator(mode="after")
    def _check_minibatches(self) -> Self:
        if self.minibatches > self.batch_size:
            raise ValueError(
                f"policy.minibatches={self.minibatches} is above policy.batch_size="
                f"{self.batch_size}"
            )
        return self
