"""`RunConfig`: everything that a run is, by value.

Where and how it executes (device, jobs, paths) is not here.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from diamond.config.base import NEUTRAL_DEFAULT, Record, shared_canonical
from diamond.config.environments import EnvironmentField
from diamond.config.game_names import GAMES, GAMES_SCREEN, GAMES_WITH_EXPERT, check_game, kind_of
from diamond.config.networks import OptimizerConfig, PartConfig, PolicyConfig, PositiveInt
from diamond.config.online import OnlineConfig
from diamond.config.worlds import World, family_of

CONTEXT_FRAMES = 16
"""Real frames before every rollout.

A constant, so that all arms of all studies start at the same frame.
"""

Collector = Literal["random_held", "expert", "policy"]
Protocol = Literal["static", "online"]
Defect = Literal["none", "actions_shuffled", "lagged", "blurred"]
DEFECTS: tuple[Defect, ...] = ("actions_shuffled", "lagged", "blurred")
"""Those that there are: controls are made with each."""
Game = Annotated[str, AfterValidator(check_game)]
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class ViewConfig(Record):
    """What the agent sees of the screen."""

    height: int = Field(ge=8, le=256, description="rows of a frame, pixels")
    width: int = Field(ge=8, le=256, description="columns of a frame, pixels")
    crop: tuple[int, int, int, int] | None = Field(
        description="rows from, to and columns from, to of the screen that are kept; null keeps all"
    )
    resize: Literal["area", "nearest"] = Field(
        default="area",
        description="how the screen becomes a frame; nearest keeps the colours of a palette",
        json_schema_extra={"neutral": "area"},
    )
    colour: Literal["rgb", "grey"] = Field(
        default="rgb",
        description="grey: luminance, in all three channels",
        json_schema_extra={"neutral": "rgb"},
    )

    @model_validator(mode="after")
    def _check_crop(self) -> Self:
        if self.crop is not None:
            top, bottom, left, right = self.crop
            if not (0 <= top < bottom and 0 <= left < right):
                raise ValueError(f"crop {self.crop} must be top < bottom, left < right")
        return self

    def check_native(self, size: tuple[int, int]) -> None:
        """Refuse a crop beyond the screen.

        Args:
            size: Height and width of the screen, pixels.

        Raises:
            ValueError: Some of it is outside.
        """
        if self.crop is not None and (self.crop[1] > size[0] or self.crop[3] > size[1]):
            raise ValueError(
                f"crop {self.crop} must be within the screen of {size[0]} x {size[1]} pixels"
            )

    def shows_cells(self, cells: tuple[int, int] | None) -> bool:
        """Whether every cell is equally many whole pixels, in its own colour.

        Args:
            cells: Rows and columns of the screen in cells; None of a game without.
        """
        if cells is None or self.colour != "rgb":
            return False
        top, bottom, left, right = self.crop or (0, cells[0], 0, cells[1])
        rows, columns = bottom - top, right - left
        if (self.height, self.width) == (rows, columns):
            return True
        return self.resize == "nearest" and not (self.height % rows or self.width % columns)


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


class CounterfactualsConfig(Record):
    """What the game shows from the same states under other actions."""

    horizon_steps: int = Field(
        ge=1, description="env steps under other actions after a start, at most those recorded"
    )


class RecordingPolicy(Record):
    """A trained policy that plays with sampled actions: its weights and what they need to act."""

    weights: Digest
    num_actions: int = Field(ge=1, description="actions that it was trained on")
    channels: tuple[PositiveInt, ...] = Field(
        min_length=1, description="width of each encoder block"
    )
    lstm_size: int = Field(ge=1, description="units of the LSTM cell")
    view: ViewConfig


class OffDataConfig(Record):
    """Further held-out episodes, of a better player than that of the training frames."""

    play: PlayConfig
    num_starts: int = Field(ge=1, description="held-out episodes, one start in each")
    policy: RecordingPolicy | None = Field(
        default=None,
        description="the trained policy of collector policy",
        json_schema_extra={"neutral": None},
    )


class ReferencesConfig(Record):
    """Held-out real trajectories against which every arm is scored."""

    play: PlayConfig
    num_starts: int = Field(ge=1, description="held-out episodes, one start in each")
    horizon_steps: int = Field(ge=1, description="env steps recorded after a start")
    max_offset_steps: int = Field(
        ge=0, description="a start's context begins 0 to this many env steps in"
    )
    counterfactuals: CounterfactualsConfig | None = Field(
        default=None,
        description="real frames under other actions from the same states",
        json_schema_extra={"neutral": None},
    )
    recorded: Digest | None = Field(
        default=None,
        description="recorded episodes that take the place of the emulator's, by their digest",
        json_schema_extra={"neutral": None},
    )
    first_start: int = Field(
        default=0,
        ge=0,
        description="number of the first held-out start; the others follow",
        json_schema_extra={"neutral": 0},
    )
    off_data: OffDataConfig | None = Field(
        default=None,
        description="starts of a better player, scored apart by the same metrics",
        json_schema_extra={"neutral": None},
    )

    @model_validator(mode="after")
    def _check_off_data(self) -> Self:
        if self.off_data is not None and self.recorded is not None:
            raise ValueError("references.off_data: recorded episodes have no other player")
        return self


class FramesConfig(Record):
    """The static training set of real frames."""

    play: PlayConfig
    num_frames: int = Field(ge=64, description="recorded frames, final frames of episodes included")
    policy: RecordingPolicy | None = Field(
        default=None,
        description="the trained policy of collector policy",
        json_schema_extra={"neutral": None},
    )


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
