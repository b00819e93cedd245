"""All stages, each after those that it reads: those of every run, and those of the families."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from diamond.config.run import Need, Protocol, RunConfig
from diamond.config.worlds import DIAMOND, family_of, find_family, known_families
from diamond.errors import StoreError, nearest
from diamond.stages.agent import AGENT
from diamond.stages.fidelity import FIDELITY
from diamond.stages.frames import FRAMES
from diamond.stages.inverse_dynamics import INVERSE_DYNAMICS
from diamond.stages.policy import POLICY
from diamond.stages.policy_fidelity import POLICY_FIDELITY
from diamond.stages.record import PARTS, REWARDS, Kind, Stage
from diamond.stages.references import REFERENCES
from diamond.stages.returns import RETURNS
from diamond.stages.rollouts import ROLLOUTS

if TYPE_CHECKING:
    from diamond.families.interface import Family

BEFORE: tuple[Stage, ...] = (REFERENCES, FRAMES)
"""What comes before the parts of a world model."""
AFTER: tuple[Stage, ...] = (
    AGENT,
    INVERSE_DYNAMICS,
    ROLLOUTS,
    FIDELITY,
    POLICY,
    POLICY_FIDELITY,
    RETURNS,
)
OWN: Mapping[str, Stage] = {one.name: one for one in (*BEFORE, *AFTER)}
"""The stages that are no family's."""
PROTOCOLS: tuple[Protocol, ...] = ("static", "online")
RESULT_STAGES = tuple(one.name for one in AFTER if one.is_result)
SCORING_STAGES = tuple(one.name for one in AFTER if one.scores_runs)


def records(*families: str) -> tuple[Stage, ...]:
    """All stages, with those of the given families, or of all that are here."""
    found = map(find_family, families) if families else known_families().values()
    return (*BEFORE, *(stage for family in found for stage in family.stages), *AFTER)


def stage_names() -> tuple[str, ...]:
    """The names of all stages, those of all families that are here included."""
    return tuple(one.name for one in records())


def find_stage_record(name: str, family: str = "") -> Stage:
    """The record of a stage.

    Args:
        name: Of the stage.
        family: Of the run; its own stages come first, then those of ours and of all others.

    Raises:
        StoreError: No family that is here has it.
    """
    if name in OWN:
        return OWN[name]
    for found in _families(family):
        for stage in found.stages:
            if stage.name == name:
                return stage
    match = nearest(name, stage_names())
    raise StoreError(
        f"no family that is here has a stage {name!r}; the nearest is {match!r}\n"
        "  install the package of the family that made it"
    )


def _families(name: str) -> "Iterator[Family]":
    yield find_family(name or DIAMOND)
    yield find_family(DIAMOND)
    yield from known_families().values()


def kind_of(config: RunConfig) -> Kind:
    """What a run has."""
    if not family_of(config).is_trained:
        return "baseline"
    return config.protocol if config.imagines else "real"


def stages_of_run(config: RunConfig) -> tuple[Stage, ...]:
    """The stages of a run."""
    kind, lacks = kind_of(config), config.lacks
    return tuple(
        one
        for one in records(config.world.family)
        if kind in one.runs and not _needs(one, config) & lacks.keys()
    )


def left_out(config: RunConfig) -> dict[str, str]:
    """The stages that a run has not because of what its frames lack, each with the reason."""
    kind, lacks = kind_of(config), config.lacks
    found = {}
    for one in records(config.world.family):
        reasons = [lacks[need] for need in lacks if need in _needs(one, config)]
        if kind in one.runs and reasons:
            found[one.name] = reasons[0]
    return found


def _needs(stage: Stage, config: RunConfig) -> frozenset[Need]:
    """What a stage needs; the part that judges rewards is trained on them."""
    of_rewards = stage.part and stage.part == family_of(config).rewards_by
    return stage.needs | {"rewards"} if of_rewards else stage.needs


def stages_of_protocol(protocol: Protocol, family: str = DIAMOND) -> tuple[str, ...]:
    """The stages of a run with a world model. Online, one agent takes the place of all training."""
    return tuple(one.name for one in records(family) if protocol in one.runs)


def reads_of(stage: str, protocol: Protocol, family: str = DIAMOND) -> tuple[str, ...]:
    """The stages that a stage reads; online, an agent holds everything that is trained."""
    found = find_family(family)
    meant = {
        PARTS: [one.name for one in found.stages],
        REWARDS: [found.stage(found.rewards_by).name] if found.rewards_by else [],
    }
    reads = [
        name for said in find_stage_record(stage, family).reads for name in meant.get(said, [said])
    ]
    if protocol == "static":
        return tuple(reads)
    kept = stages_of_protocol(protocol, family)
    return tuple(dict.fromkeys(name if name in kept else AGENT.name for name in reads))
