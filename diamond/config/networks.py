"""What every network has in its config, and the policy, which all families share."""

from typing import Annotated, Literal

from pydantic import Field

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
