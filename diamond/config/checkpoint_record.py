"""Checkpoints: folders with the weights of a trained agent and what they are, without the weights.

A checkpoint takes the place of training: its networks are finished stages of any run.
"""

import json
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from diamond.config.base import Record, first_reason
from diamond.config.environments import Environment
from diamond.config.networks import PartConfig, PolicyConfig
from diamond.config.recording import Digest, ViewConfig
from diamond.config.run import Game, ImportedConfig, RunConfig
from diamond.config.worlds import World, family_of
from diamond.errors import RequestError

CHECKPOINT_FILE = "checkpoint.json"
AGENT_FIELDS = ("game", "environment", "view", "world", "policy")
"""Fields of a `RunConfig` that say what an agent is; a checkpoint holds all of them."""

CHECKPOINT_SECTIONS: frozenset[str] = frozenset({"environment", "view", "frames", "policy"})
"""Sections of a `RunConfig` that a checkpoint fixes: what was seen, and what was trained on it.

So do those of the parts of its world model.
"""


class Checkpoint(Record):
    """What a checkpoint folder says of itself; its weights are `<part>.safetensors` beside it."""

    format: Literal[3]
    source: str = Field(description="where the weights came from")
    source_sha256: Digest = Field(
        description="of the released agent's file; of an agent of a study, of what is said below"
    )
    game: Game
    environment: Environment
    view: ViewConfig
    world: World
    policy: PolicyConfig
    weights: ImportedConfig

    def parts(self) -> tuple[str, ...]:
        """What is trained: the parts of the world model, and the policy."""
        return (*(stage.part for stage in family_of(self).stages), "policy")

    def section(self, part: str) -> PartConfig:
        """The section of a part."""
        owner = self if part == "policy" else self.world
        section: PartConfig = getattr(owner, part)
        return section

    def fixed(self) -> frozenset[str]:
        """The sections of a run that it leaves no choice in: what was seen and trained."""
        return CHECKPOINT_SECTIONS | {"world", *self.parts()}

    def shape(self) -> dict[str, int]:
        """What the networks need to know of their data: number of actions, height, width."""
        return {
            "num_actions": self.weights.num_actions,
            "height": self.view.height,
            "width": self.view.width,
        }

    def apply(self, config: RunConfig) -> RunConfig:
        """The run that uses these networks instead of training: its game and sampler are theirs."""
        update = {name: getattr(self, name) for name in AGENT_FIELDS}
        return config.model_copy(update=update | {"imported": self.weights, "seed": 0})


def read_checkpoint(folder: Path) -> Checkpoint:
    """Read what a checkpoint folder says of itself.

    Raises:
        RequestError: The folder is not a checkpoint of this version.
    """
    path = folder / CHECKPOINT_FILE
    how = (
        "make one with `diamond export-checkpoint STUDY DIR`, of a released agent with "
        "`diamond import-checkpoint FILE.pt`"
    )
    try:
        data = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise RequestError(
            f"{str(folder)!r} is not a checkpoint: {CHECKPOINT_FILE}: "
            f"{error.strerror or error}\n  {how}"
        ) from error
    except (ValueError, RecursionError) as error:
        raise RequestError(
            f"{str(path)!r} cannot be read as JSON: {error}\n  make it again: {how}"
        ) from error
    try:
        return Checkpoint.model_validate(data)
    except ValidationError as error:
        raise RequestError(
            f"{str(path)!r} is not a checkpoint of this version: {first_reason(error)}\n  {how}"
        ) from error
