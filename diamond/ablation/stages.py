"""The stages of a run: what of its config each one depends on, and the key that follows from it.

Nothing runs here.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from hashlib import sha256
from typing import Any

from diamond.config.base import (
    Same,
    canonical,
    canonical_members,
    content_hash,
)
from diamond.config.run import ImportedConfig, Protocol, RunConfig
from diamond.stages.registry import BY_NAME, PROTOCOL_STAGES, kind_of, stages_of_kind
from diamond.stages.returns import RETURNS

StageName = str
KEY_DIGITS = 20
RANDOM_PLAYER = "random"


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
            f'{{"config":{{{_config_text(Same(self.config))}}},"numerics":{self.numerics},'
            f'"seed":{self.seed},"stage":"{self.stage}","upstream":{{{upstream}}}}}'
        )
        object.__setattr__(self, "key", sha256(text.encode()).hexdigest()[:KEY_DIGITS])

    @property
    def numerics(self) -> int:
        """Number of the code that makes its outputs."""
        return BY_NAME[self.stage].numerics


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
        stage = BY_NAME[name]
        if stage.is_imported and config.family == "diamond" and config.imported is not None:
            shared[name] = _imported(config, config.imported, name)
        else:
            sections[name] = stage.section_of(config, everything)
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
            of_data = BY_NAME[name].shares_data_seed
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
        return BY_NAME[stage].reads
    kept = PROTOCOL_STAGES["online"]
    return tuple(dict.fromkeys(name if name in kept else "agent" for name in BY_NAME[stage].reads))


def random_returns(config: RunConfig) -> StageSpec:
    """The stage that plays the real game at random, shared by all arms of a game."""
    section = RETURNS.section_of(config, canonical(config)) | {"player": RANDOM_PLAYER}
    return StageSpec(RETURNS.name, section, {}, config.data_seed)


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


def extras_of(specs: Iterable[StageSpec]) -> list[Mapping[str, Any]]:
    """What stages score besides: LPIPS, which needs weights that are not ours, users' metrics."""
    return [spec.config["fidelity"] for spec in specs if "fidelity" in spec.config]


def first_stage_of_field(dotted: str) -> StageName:
    """The first stage whose own config holds a field: of the static protocol where it has one."""
    section = dotted.split(".", maxsplit=1)[0]
    order = (*PROTOCOL_STAGES["static"], *PROTOCOL_STAGES["online"])
    return next(stage for stage in order if section in BY_NAME[stage].sections)


def _stage_names(config: RunConfig) -> tuple[StageName, ...]:
    names = stages_of_kind(kind_of(config))
    if config.imported is None or config.family != "diamond":
        return names
    return tuple(name for name in names if name != "frames")


def _imported(config: RunConfig, imported: ImportedConfig, stage: StageName) -> StageSpec:
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
