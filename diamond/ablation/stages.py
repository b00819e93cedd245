"""Stages by name: what of a config each one depends on, and the key that follows from it.

Nothing runs here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from diamond.config.base import canonical, content_hash
from diamond.config.run import ImportedConfig, RunConfig

StageName = Literal[
    "references", "frames", "denoiser", "outcome", "rollouts", "fidelity", "policy", "returns"
]
STAGES: tuple[StageName, ...] = get_args(StageName)
"""All stages, each after those that it reads."""

KEY_DIGITS = 20

NUMERICS: Mapping[StageName, int] = {
    "references": 1,
    "frames": 1,
    "denoiser": 2,
    "outcome": 2,
    "rollouts": 1,
    "fidelity": 1,
    "policy": 2,
    "returns": 1,
}
"""Raised by one when a change of code alters a stage's outputs at equal config and seed."""

SECTIONS: Mapping[StageName, tuple[str, ...]] = {
    "references": ("game", "emulator", "references"),
    "frames": ("game", "emulator", "view", "frames"),
    "denoiser": ("denoiser",),
    "outcome": ("outcome",),
    "rollouts": ("family", "view", "sampler", "rollouts"),
    "fidelity": ("view",),
    "policy": ("sampler", "policy"),
    "returns": ("game", "emulator", "view", "evaluation"),
}
"""The fields of `RunConfig` that a stage reads itself; the rest reaches it through other stages."""

UPSTREAM: Mapping[StageName, tuple[StageName, ...]] = {
    "references": (),
    "frames": (),
    "denoiser": ("frames",),
    "outcome": ("frames",),
    "rollouts": ("references", "denoiser", "outcome"),
    "fidelity": ("references", "rollouts"),
    "policy": ("frames", "denoiser", "outcome"),
    "returns": ("policy",),
}
"""The stages whose outputs a stage reads, for the diamond family."""

DATA_SEEDED: frozenset[StageName] = frozenset(
    {"references", "frames", "rollouts", "fidelity", "returns"}
)
"""Stages that draw from the data seed: arms and seeds share their games and noise."""

IMPORTED: tuple[Literal["denoiser", "outcome", "policy"], ...] = ("denoiser", "outcome", "policy")
"""Stages whose outputs a checkpoint can bring."""

BASELINE_STAGES: tuple[StageName, ...] = ("references", "rollouts", "fidelity")
RANDOM_PLAYER = "random"
TRAINED_PLAYER = "policy"


@dataclass(frozen=True)
class StageSpec:
    """One unit of work: what it is determines its key and its outputs.

    Attributes:
        stage: Name.
        config: Plain data that it reads.
        upstream: Key per stage that it reads.
        seed: Data seed or run seed.
    """

    stage: StageName
    config: Mapping[str, Any]
    upstream: Mapping[StageName, str]
    seed: int

    @property
    def key(self) -> str:
        """Content hash of everything that determines the outputs, 20 hexadecimal digits."""
        identity = {
            "stage": self.stage,
            "config": self.config,
            "upstream": self.upstream,
            "seed": self.seed,
            "numerics": NUMERICS[self.stage],
        }
        return content_hash(identity)[:KEY_DIGITS]


def stages_of(config: RunConfig, until: StageName | None = None) -> tuple[StageSpec, ...]:
    """The stages of a run in an order in which they can be made.

    Args:
        config: The run.
        until: Keep this stage and what it needs; None keeps all.
    """
    names: tuple[StageName, ...] = STAGES if config.family == "diamond" else BASELINE_STAGES
    specs: dict[StageName, StageSpec] = {}
    if config.family == "diamond" and config.imported is not None:
        names = tuple(name for name in names if name != "frames")
        specs = {name: _imported(config, config.imported, name) for name in IMPORTED}
    for name in names:
        if name in specs:
            continue
        upstream = {other: specs[other].key for other in UPSTREAM[name] if other in specs}
        seed = config.data_seed if name in DATA_SEEDED else config.seed
        specs[name] = StageSpec(name, _section(config, name), upstream, seed)
    wanted = set(names) if until is None else needed_for(until) & set(names)
    return tuple(specs[name] for name in names if name in wanted)


def random_returns(config: RunConfig) -> StageSpec:
    """The stage that plays the real game at random, shared by all arms of a game."""
    section = _section(config, "returns") | {"player": RANDOM_PLAYER}
    return StageSpec("returns", section, {}, config.data_seed)


def needed_for(stage: StageName) -> set[StageName]:
    """A stage and everything that it reads, directly or not."""
    needed = {stage}
    for other in UPSTREAM[stage]:
        needed |= needed_for(other)
    return needed


def first_stage_of_field(dotted: str) -> StageName:
    """The first stage whose own config holds a field."""
    section = dotted.split(".", maxsplit=1)[0]
    return next(stage for stage in STAGES if section in SECTIONS[stage])


def _imported(
    config: RunConfig, imported: ImportedConfig, stage: Literal["denoiser", "outcome", "policy"]
) -> StageSpec:
    """A trained stage that a checkpoint brings: its weights and architecture are what it is."""
    section = {
        stage: canonical(config)[stage],
        "imported": getattr(imported, stage),
        "shape": {
            "num_actions": imported.num_actions,
            "height": config.view.height,
            "width": config.view.width,
        },
    }
    return StageSpec(stage, section, {}, 0)


def _section(config: RunConfig, stage: StageName) -> dict[str, Any]:
    everything = canonical(config)
    section = {name: everything[name] for name in SECTIONS[stage] if name in everything}
    if stage == "rollouts" and config.family != "diamond":
        del section["sampler"]
    if stage == "returns":
        section["player"] = TRAINED_PLAYER
    return section
