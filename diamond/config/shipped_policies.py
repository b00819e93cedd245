"""Trained policies that come with the package: better players than those of the training frames."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from diamond.config.recording import RecordingPolicy, ViewConfig

FOLDER = Path(__file__).parents[1] / "envs" / "policies"


@dataclass(frozen=True)
class Shipped:
    """A policy and its file.

    Attributes:
        file: Name in the folder of policies.
        policy: What it needs to act.
    """

    file: str
    policy: RecordingPolicy


SHIPPED: Mapping[str, Shipped] = {
    "MinAtar/Breakout-v1": Shipped(
        "minatar_breakout.safetensors",
        RecordingPolicy(
            weights="ba3165e135b78e7d4458bd57871b39f1819e56c978b9b7eeecd8e8e74e40915d",
            num_actions=3,
            channels=(16,),
            lstm_size=64,
            view=ViewConfig(height=10, width=10, crop=None, resize="nearest"),
        ),
    )
}
"""By game; docs/evaluation.md says how each was made and what it scores."""


def shipped_file(weights: str) -> Path | None:
    """The file of shipped weights by their digest; None of others."""
    names = [one.file for one in SHIPPED.values() if one.policy.weights == weights]
    return FOLDER / names[0] if names else None
