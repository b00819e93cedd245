"""Stages by name: what of a config each one depends on, and the key that follows from it.

Nothing runs here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from hashlib import sha256
from typing import Any, Literal, get_args

from diamond.config.base import (
    Same,
    canonical,
    canonical_members,
    content_hash,
    shared_canonical,
)
from diamond.config.metrics import METRICS
from diamond.config.run import ImportedConfig, Protocol, RunConfig

StageName = Literal[
    "references",
    "frames",
    "denoiser",
    "reward_end",
    "agent",
    "inverse_dynamics",
    "rollouts",
    "fidelity",
    "policy",
    "policy_fidelity",
    "returns",
]
STAGES: tuple[StageName, ...] = get_args(StageName)
"""The stages of both protocols, each after those that it reads."""

PROTOCOL_STAGES: Mapping[Protocol, tuple[StageName, ...]] = {
    "static": tuple(stage for stage in STAGES if stage != "agent"),
    "online": (
        "references",
        "agent",
        "inverse_dynamics",
        "rollouts",
        "fidelity",
        "policy_fidelity",
        "returns",
    ),
}
"""Online, one agent takes the place of frames, denoiser, reward_end and policy."""

KEY_DIGITS = 20

NUMERICS: Mapping[StageName, int] = {
    "references": 3,
    "inverse_dynamics": 1,
    "frames": 2,
    "denoiser": 3,
    "reward_end": 4,
    "agent": 4,
    "rollouts": 2,
    "fidelity": 2,
    "policy": 3,
    "policy_fidelity": 1,
    "returns": 1,
}
"""Raised by one when a change of code alters a stage's outputs at equal config and seed."""

SECTIONS: Mapping[StageName, tuple[str, ...]] = {
    "references": ("game", "emulator", "references"),
    "inverse_dynamics": ("game", "emulator", "view", "inverse_dynamics"),
    "frames": ("game", "emulator", "view", "frames"),
    "denoiser": ("denoiser",),
    "reward_end": ("reward_end",),
    "agent": ("game", "emulator", "view", "online", "denoiser", "reward_end", "sampler", "policy"),
    "rollouts": ("family", "view", "sampler", "rollouts"),
    "fidelity": ("view", "fidelity"),
    "policy": ("sampler", "policy"),
    "policy_fidelity": ("view",),
    "returns": ("game", "emulator", "view", "evaluation"),
}
"""The fields of `RunConfig` that a stage reads itself; the rest reaches it through other stages."""

UPSTREAM: Mapping[StageName, tuple[StageName, ...]] = {
    "references": (),
    "inverse_dynamics": (),
    "frames": (),
    "denoiser": ("frames",),
    "reward_end": ("frames",),
    "agent": (),
    "rollouts": ("references", "denoiser", "reward_end"),
    "fidelity": ("references", "rollouts", "inverse_dynamics", "reward_end"),
    "policy": ("frames", "denoiser", "reward_end"),
    "policy_fidelity": ("references", "rollouts", "policy"),
    "returns": ("policy",),
}
"""The stages whose outputs a stage reads in the static protocol, for the diamond family."""

WORLD_SECTIONS: frozenset[str] = frozenset({"denoiser", "reward_end", "sampler"})
"""Sections that an agent trained in the real game does not read."""

REAL_STAGES: tuple[StageName, ...] = ("agent", "returns")
"""All stages of an agent trained in the real game: it imagines nothing."""

DATA_SEEDED: frozenset[StageName] = frozenset(
    {
        "references",
        "inverse_dynamics",
        "frames",
        "rollouts",
        "fidelity",
        "policy_fidelity",
        "returns",
    }
)
"""Stages that draw from the data seed: arms and seeds share their games and noise."""

IMPORTED: tuple[Literal["denoiser", "reward_end", "policy"], ...] = (
    "denoiser",
    "reward_end",
    "policy",
)
"""Stages whose outputs a checkpoint can bring."""

BASELINE_STAGES: tuple[StageName, ...] = (
    "references",
    "inverse_dynamics",
    "rollouts",
    "fidelity",
)
SCORING_STAGES: tuple[StageName, ...] = tuple(dict.fromkeys(spec.stage for spec in METRICS))
"""Stages whose outputs are scores of a run."""
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
        key: Content hash of everything that determines the outputs, 20 hexadecimal digits.
    """

    stage: StageName
    config: Mapping[str, Any]
    upstream: Mapping[StageName, str]
    seed: int
    key: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Canonical JSON, written out: names of stages and keys have nothing to escape.
        upstream = ",".join([f'"{name}":"{key}"' for name, key in sorted(self.upstream.items())])
        text = (
            f'{{"config":{{{_config_text(Same(self.config))}}},"numerics":{NUMERICS[self.stage]},'
            f'"seed":{self.seed},"stage":"{self.stage}","upstream":{{{upstream}}}}}'
        )
        object.__setattr__(self, "key", sha256(text.encode()).hexdigest()[:KEY_DIGITS])

    @property
    def numerics(self) -> int:
        """Number of the code that makes its outputs."""
        return NUMERICS[self.stage]


def key_of(
    stage: str, config: Mapping[str, Any], upstream: Mapping[Any, str], seed: int, numerics: int
) -> str:
    """The key of a stage from what it is, as a manifest holds it; see `StageSpec`."""
    whole = {"stage": stage, "config": config, "upstream": upstream}
    return content_hash(whole | {"seed": seed, "numerics": numerics})[:KEY_DIGITS]


def stages_of(config: RunConfig, until: StageName | None = None) -> tuple[StageSpec, ...]:
    """The stages of a run in an order in which they can be made.

    Args:
        config: The run.
        until: Keep this stage and what it needs; None keeps all.
    """
    (specs,) = stages_by_seed(config, (config.seed,), until)
    return specs


def stages_by_seed(
    config: RunConfig, seeds: Sequence[int], until: StageName | None = None
) -> list[tuple[StageSpec, ...]]:
    """The stages of runs that differ in their seeds alone, as `stages_of` gives them for each.

    What seeds share is one object.

    Args:
        config: Any of the runs.
        seeds: The seed of each.
        until: Keep this stage and what it needs; None keeps all.
    """
    names = _stage_names(config)
    if until is not None:
        needed = needed_for(until, config.protocol)
        names = tuple(name for name in names if name in needed)
    everything = canonical(config)
    sections: dict[StageName, dict[str, Any]] = {}
    shared: dict[StageName, StageSpec] = {}
    for name in names:
        if name in IMPORTED and config.family == "diamond" and config.imported is not None:
            shared[name] = _imported(config, config.imported, name)
        else:
            sections[name] = _section(config, name, everything)
    reads = {
        name: [other for other in upstream_of(name, config.protocol) if other in names[:place]]
        for place, name in enumerate(names)
    }
    made = []
    for seed in seeds:
        specs: dict[StageName, StageSpec] = {}
        for name in names:
            if name in shared:
                specs[name] = shared[name]
                continue
            upstream = {other: specs[other].key for other in reads[name]}
            of_data = name in DATA_SEEDED
            specs[name] = StageSpec(
                name, sections[name], upstream, config.data_seed if of_data else seed
            )
            if of_data and all(other in shared for other in upstream):
                shared[name] = specs[name]
        made.append(tuple(specs.values()))
    return made


@cache
def upstream_of(stage: StageName, protocol: Protocol) -> tuple[StageName, ...]:
    """The stages that a stage reads; online, an agent holds everything that is trained."""
    if protocol == "static":
        return UPSTREAM[stage]
    kept = PROTOCOL_STAGES["online"]
    return tuple(dict.fromkeys(name if name in kept else "agent" for name in UPSTREAM[stage]))


def random_returns(config: RunConfig) -> StageSpec:
    """The stage that plays the real game at random, shared by all arms of a game."""
    section = _section(config, "returns", canonical(config)) | {"player": RANDOM_PLAYER}
    return StageSpec("returns", section, {}, config.data_seed)


def needed_for(stage: StageName, protocol: Protocol) -> set[StageName]:
    """A stage and everything that it reads, directly or not."""
    needed = {stage}
    for other in upstream_of(stage, protocol):
        needed |= needed_for(other, protocol)
    return needed


def scores_until(
    until: StageName | None, protocol: Protocol, stage: StageName = "fidelity"
) -> bool:
    """Whether a study that stops after a stage has the scores of a scoring stage."""
    return until is None or stage in needed_for(until, protocol)


def scores_lpips(spec: StageSpec) -> bool:
    """Whether a stage scores LPIPS, which needs weights that are not ours."""
    return bool(spec.config.get("fidelity", {}).get("lpips", "none") != "none")


def first_stage_of_field(dotted: str) -> StageName:
    """The first stage whose own config holds a field: of the static protocol where it has one."""
    section = dotted.split(".", maxsplit=1)[0]
    order = (*PROTOCOL_STAGES["static"], *PROTOCOL_STAGES["online"])
    return next(stage for stage in order if section in SECTIONS[stage])


def _stage_names(config: RunConfig) -> tuple[StageName, ...]:
    if config.family != "diamond":
        return BASELINE_STAGES
    if not config.imagines:
        return REAL_STAGES
    names = PROTOCOL_STAGES[config.protocol]
    return names if config.imported is None else tuple(n for n in names if n != "frames")


def _imported(
    config: RunConfig, imported: ImportedConfig, stage: Literal["denoiser", "reward_end", "policy"]
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


@lru_cache(maxsize=1024)
def _config_text(config: Same) -> str:
    """The inside of the canonical JSON of a config, which the seeds of a run share."""
    return canonical_members(config.value)


def _section(config: RunConfig, stage: StageName, everything: Mapping[str, Any]) -> dict[str, Any]:
    """What a stage reads of a config, whose canonical form is `everything`."""
    section = {name: everything[name] for name in SECTIONS[stage] if name in everything}
    if stage == "agent" and not config.imagines:
        section = {name: value for name, value in section.items() if name not in WORLD_SECTIONS}
    if stage == "rollouts" and config.family != "diamond":
        del section["sampler"]
    if stage == "inverse_dynamics":
        # Whole, though a run leaves out the judge of the presets: no run is another for its judge.
        section["inverse_dynamics"] = shared_canonical(config.inverse_dynamics)
    if stage == "returns":
        section["player"] = TRAINED_PLAYER
    return section
