"""The stages of a run: what of its config each one depends on, and the key that follows from it.

Nothing runs here.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from hashlib import sha256
from typing import Any

from diamond.config.base import Same, canonical_members, content_hash
from diamond.config.run import ImportedConfig, Protocol, RunConfig
from diamond.config.worlds import DIAMOND, WORLD, known_families
from diamond.stages.frames import FRAMES
from diamond.stages.record import Section, Stage
from diamond.stages.registry import AFTER, BEFORE, find_stage_record, reads_of, stages_of_run
from diamond.stages.rollouts import ROLLOUTS

StageName = str
KEY_DIGITS = 20


@dataclass(frozen=True)
class StageSpec:
    """One unit of work: what it is determines its key and its outputs.

    Attributes:
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
        return find_stage_record(self.stage, self.config.get("family", "")).numerics


def key_of(
    stage: str, config: Mapping[str, Any], upstream: Mapping[Any, str], seed: int, numerics: int
) -> str:
    """The key of a stage from what it is, as a manifest holds it; see `StageSpec`."""
    whole = {"stage": stage, "config": config, "upstream": upstream}
    return content_hash(whole | {"seed": seed, "numerics": numerics})[:KEY_DIGITS]


def stages_of(config: RunConfig, until: StageName | None = None) -> tuple[StageSpec, ...]:
    """The stages of a run in an order in which they can be made.

    Args:
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
        until: Keep this stage and what it needs; None keeps all.
    """
    family = config.world.family
    stages = _stages_of(config)
    if until is not None:
        needed = needed_for(until, config.protocol, family)
        stages = tuple(one for one in stages if one.name in needed)
    everything = config.sections()
    sections: dict[StageName, Section] = {}
    shared: dict[StageName, StageSpec] = {}
    for stage in stages:
        if stage.is_imported and config.imported is not None:
            shared[stage.name] = _imported(config, config.imported, stage)
        else:
            sections[stage.name] = stage.section_of(config, everything)
    names = [one.name for one in stages]
    reads = {
        name: [o for o in reads_of(name, config.protocol, family) if o in names[:place]]
        for place, name in enumerate(names)
    }
    made = []
    for seed in seeds:
        specs: dict[StageName, StageSpec] = {}
        for stage in stages:
            name = stage.name
            if name in shared:
                specs[name] = shared[name]
                continue
            upstream = {other: specs[other].key for other in reads[name]}
            of_data = stage.shares_data_seed
            specs[name] = StageSpec(
                name, sections[name], upstream, config.data_seed if of_data else seed
            )
            if of_data and all(other in shared for other in upstream):
                shared[name] = specs[name]
        made.append(tuple(specs.values()))
    return made


@cache
def needed_for(stage: StageName, protocol: Protocol, family: str = DIAMOND) -> frozenset[StageName]:
    """A stage and everything that it reads, directly or not."""
    needed = {stage}
    for other in reads_of(stage, protocol, family):
        needed |= needed_for(other, protocol, family)
    return frozenset(needed)


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
    for stage in (*BEFORE, *(one for one in AFTER if "static" in one.runs), *AFTER):
        if section in stage.sections or dotted in stage.sections:
            return stage.name
    for family in known_families().values():
        if section in (WORLD, *family.config.model_fields):
            own = (stage.name for stage in family.stages if section in (WORLD, stage.part))
            return next(own, ROLLOUTS.name)
    raise AssertionError(dotted)


def _stages_of(config: RunConfig) -> tuple[Stage, ...]:
    """The stages of a run; one from a checkpoint has no training frames, and nothing reads them."""
    stages = stages_of_run(config)
    if config.imported is None:
        return stages
    return tuple(
        stage
        for stage in stages
        if stage.is_imported or FRAMES.name not in (stage.name, *stage.reads)
    )


def _imported(config: RunConfig, imported: ImportedConfig, stage: Stage) -> StageSpec:
    """A trained stage that a checkpoint brings: its weights and architecture are what it is."""
    everything, part = config.sections(), stage.part or stage.name
    own = {name: everything[name] for name in ("family", part)}
    section = stage.section(config, own) | {
        "imported": imported.weights[part],
        "shape": {
            "num_actions": imported.num_actions,
            "height": config.view.height,
            "width": config.view.width,
        },
    }
    return StageSpec(stage.name, section, {}, 0)


@lru_cache(maxsize=1024)
def _config_text(config: Same) -> str:
    """The inside of the canonical JSON of a config, which the seeds of a run share."""
    return canonical_members(config.value)
