"""`RunConfig`: everything that a run is, by value.

Where and how it executes (device, jobs, paths) is not here.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from diamond.config.base import NEUTRAL_DEFAULT, Record, shared_canonical
from diamond.config.environments import EnvironmentField, RecordingConfig
from diamond.config.game_names import GAMES, GAMES_SCREEN, GAMES_WITH_EXPERT, check_game, kind_of
from diamond.config.networks import PolicyConfig
from diamond.config.online import OnlineConfig
from diamond.config.recording import Digest, FramesConfig, ReferencesConfig, ViewConfig
from diamond.config.scoring import (
    INVERSE_DYNAMICS,
    LPIPS_MIN_PIXELS,
    EvaluationConfig,
    FidelityConfig,
    InverseDynamicsConfig,
    RolloutsConfig,
)
from diamond.config.worlds import World, family_of

CONTEXT_FRAMES = 16
"""Real frames before every rollout.

A constant, so that all arms of all studies start at the same frame.
"""
Protocol = Literal["static", "online"]
Game = Annotated[str, AfterValidator(check_game)]
Need = Literal["game", "rewards", "discrete actions"]
"""What a stage may need and a recording may lack."""


class ImportedConfig(Record):
    """Networks that were trained elsewhere, by the SHA-256 of the file of their weights."""

    num_actions: int = Field(ge=1, description="actions that the networks were trained on")
    weights: dict[str, Digest] = Field(description="of each part of the world model and `policy`")


class RunConfig(Record):
    """One run of the agent, by value: equal configs and seeds give equal results."""

    preset: str = Field(description="the preset that the values came from; part of no stage key")
    game: Game = Field(description="an Atari game, or an id of Gymnasium")
    seed: int = Field(ge=0, description="run seed of everything that is trained")
    data_seed: int = Field(ge=0, description="seed of frames, references and fidelity noise")
    environment: EnvironmentField
    view: ViewConfig
    references: ReferencesConfig
    frames: FramesConfig
    world: World
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

    inverse_dynamics: InverseDynamicsConfig = Field(
        default=INVERSE_DYNAMICS, json_schema_extra=NEUTRAL_DEFAULT
    )

    fidelity: FidelityConfig = Field(default=FidelityConfig(), json_schema_extra=NEUTRAL_DEFAULT)

    recipe: tuple[str, ...] = Field(
        default=(),
        description="what a preset file changed of the preset; part of no stage key",
        json_schema_extra=NEUTRAL_DEFAULT,
    )

    def sections(self) -> dict[str, Any]:
        """Its sections in canonical form, those of the world model beside the others."""
        whole = shared_canonical(self)
        world: dict[str, Any] = whole["world"]
        return {name: whole[name] for name in whole if name != "world"} | world

    @property
    def shows_cells(self) -> bool:
        """Whether its frames are cells of a palette, so that cells can be scored."""
        return self.view.shows_cells(self.environment.cells)

    @property
    def lacks(self) -> Mapping[Need, str]:
        """What stages may need and the run does not have, each with the reason."""
        found: dict[Need, str] = {}
        environment, recorded = self.environment, self.frames.recorded
        if isinstance(environment, RecordingConfig):
            found["game"] = "a recording has no game to play"
            if environment.continuous:
                found["discrete actions"] = "a policy chooses among actions, these are numbers"
        if recorded is not None and not recorded.rewards:
            found["rewards"] = "the recording does not say both rewards and ends"
        return found

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
            segments = family_of(self).segment_steps(self.world)
            needed = max(segments, self.policy.burn_in_frames)
            if self.environment.padding == "start":
                needed = 1
            parts = {"policy", *(stage.part for stage in family_of(self).stages)}
            for name in ("first_updates", "updates"):
                found = getattr(self.online, name).parts()
                if set(found) != parts:
                    raise ValueError(
                        f"online.{name} is of {', '.join(found)}; the family {self.world.family} "
                        f"has {', '.join(sorted(parts))}"
                    )
            for name, env_steps in (
                ("max_episode_steps", self.online.max_episode_steps),
                ("initial.min_env_steps", self.online.initial.min_env_steps),
            ):
                if env_steps < needed:
                    raise ValueError(
                        f"online.{name}={env_steps}: training segments and the starts "
                        f"of imagination have up to {needed} env steps"
                    )
        return self

    @model_validator(mode="after")
    def _check_kind(self) -> Self:
        if self.environment.kind != kind_of(self.game):
            raise ValueError(
                f"environment.kind={self.environment.kind}: {self.game} is {kind_of(self.game)}"
            )
        is_recorded = isinstance(self.environment, RecordingConfig) or self.frames.recorded
        if is_recorded and self.protocol != "static":
            raise ValueError(
                "protocol online: an agent collects its frames in a game, a recording has them "
                "already; allowed: static"
            )
        if self.game in GAMES:
            self.view.check_native(GAMES_SCREEN)  # of others it is known once they are opened
        return self

    @model_validator(mode="after")
    def _check_evaluation(self) -> Self:
        sticky = self.evaluation.sticky_too
        if sticky is not None and self.environment.stickiness is None:
            raise ValueError(
                f"evaluation.sticky_too={sticky}: {self.game} is of {self.environment.kind}, whose "
                "games have no sticky actions; allowed: null"
            )
        return self

    @model_validator(mode="after")
    def _check_players(self) -> Self:
        off_data = self.references.off_data
        for name, axis, played in (
            ("frames", "collector", self.frames),
            ("references.off_data", "off_data", off_data),
        ):
            if played and (played.play.collector == "policy") != (played.policy is not None):
                raise ValueError(
                    f"{name}.play.collector={played.play.collector}: a trained policy plays with "
                    f"the axis {axis}=CHECKPOINT, the folder of an agent"
                )
        if self.references.play.collector == "policy":
            raise ValueError("references.play.collector=policy: all arms share their references")
        if self.inverse_dynamics.play.collector == "policy":
            raise ValueError("inverse_dynamics.play.collector=policy: all arms share their judge")
        for section, play in (
            ("frames", self.frames.play),
            ("references", self.references.play),
            ("inverse_dynamics", self.inverse_dynamics.play),
            *([] if off_data is None else [("references.off_data", off_data.play)]),
        ):
            if play.collector == "expert" and self.game not in GAMES_WITH_EXPERT:
                raise ValueError(
                    f"{section}.play.collector=expert: {self.game} has no scripted expert, "
                    f"only {', '.join(GAMES_WITH_EXPERT)}"
                )
        return self

    @model_validator(mode="after")
    def _check_branches(self) -> Self:
        """Lengths of samples and counterfactuals, and that there are other actions."""
        samples, others = self.rollouts.samples, self.references.counterfactuals
        if samples is not None and samples.horizon_steps > self.rollouts.horizon_steps:
            raise ValueError(
                f"rollouts.samples.horizon_steps={samples.horizon_steps} is above "
                f"rollouts.horizon_steps={self.rollouts.horizon_steps}"
            )
        if others is None:
            return self
        if others.horizon_steps > self.references.horizon_steps:
            raise ValueError(
                f"references.counterfactuals.horizon_steps={others.horizon_steps} is above "
                f"references.horizon_steps={self.references.horizon_steps}"
            )
        actions = self.environment.chosen_actions
        if actions is not None and len(actions) < 2:
            raise ValueError(
                f"references.counterfactuals with environment.actions={actions}: "
                "with one action there are no others"
            )
        return self

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.rollouts.horizon_steps > self.references.horizon_steps:
            raise ValueError("rollouts.horizon_steps is above references.horizon_steps")
        if self.rollouts.num_starts > self.references.num_starts:
            raise ValueError("rollouts.num_starts is above references.num_starts")
        family = family_of(self)
        family.check(self)
        for name, frames in (
            (f"the history of {self.world.family}", family.history(self.world)),
            ("policy.burn_in_frames", self.policy.burn_in_frames),
        ):
            if frames > CONTEXT_FRAMES:
                raise ValueError(f"{name}={frames} is above the {CONTEXT_FRAMES} context frames")
        for name, side in (("view.height", self.view.height), ("view.width", self.view.width)):
            if self.fidelity.lpips != "none" and side < LPIPS_MIN_PIXELS:
                raise ValueError(
                    f"fidelity.lpips={self.fidelity.lpips} needs frames of {LPIPS_MIN_PIXELS} "
                    f"pixels a side or more, {name}={side}"
                )
            if side >> len(self.policy.channels) < 1:
                raise ValueError(
                    f"{name}={side} is too small for {len(self.policy.channels)} policy blocks"
                )
        return self
