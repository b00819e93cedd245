"""What is said of a stage, in one record."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from diamond.config.run import Need, RunConfig
from diamond.config.worlds import family_of

Kind = Literal["static", "online", "real", "baseline"]
"""Runs by what they have: a world model trained on real frames that all arms share, an agent that
collects its own, an agent trained in the real game, a world model without training."""
Section = dict[str, Any]
PARTS = "parts"
"""In what a stage reads: all stages that train a part of the run's world model."""
REWARDS = "rewards"
"""In what a stage reads: the stage of the part that judges rewards and ends, where there is one."""


def as_read(config: RunConfig, section: Section) -> Section:
    """Change nothing of what a stage reads."""
    return section


def no_calls(config: RunConfig) -> float:
    """Count no call of a network."""
    return 0.0


@dataclass(frozen=True)
class Updates:
    """What it takes to train a part of a world model.

    Attributes:
        num: Updates of a run in the static protocol.
        seconds: Expected time of one on one core.
        calls: Calls of the network for one frame in one: what arms are matched by with
            ``--match updates``.
    """

    num: Callable[[RunConfig], int]
    seconds: Callable[[RunConfig], float]
    calls: Callable[[RunConfig], float] = no_calls


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One kind of stage.

    Attributes:
        name: Of its folder, too.
        numerics: Raised by one when a change of code alters its outputs at equal config and seed.
        sections: The fields of `RunConfig` that it reads itself; the rest reaches it through other
            stages. A dotted one is put in by `section`.
        reads: The stages whose outputs it reads in the static protocol; `PARTS` and `REWARDS`
            stand for those of the run's family. A run from a checkpoint has no `frames`: a stage
            that reads them is left out there.
        runs: The runs that have it.
        needs: What a recording may lack: a run that does has no such stage.
        shares_data_seed: Whether it draws from the data seed: arms and seeds share games and noise.
        unit: What its progress counts.
        made_by: ``module:function``; a worker loads it, a plan does not.
        seconds: Expected time on one core of a server processor (AVX2), where no stage like it was
            measured in the home.
        section: What it reads of a run, given those of its sections that the run's config has.
        calls: Calls of the network that draws frames, for one frame.
        part: The part of a world model that it trains.
        update: What an update of the part costs.
        world: Which sections of the world model it reads itself: none, those that say how frames
            are drawn, or all.
        is_trained: Whether its curves are shown with a run.
        is_imported: Whether a checkpoint can bring its outputs.
        is_scored: Whether `diamond fidelity` can be given one.
        scores_runs: Whether its outputs are scores of a run.
        is_result: Whether a run that has it has been judged: claims declared later are post hoc.
        arms: What arms share where the first stage that an axis touches is this one.
    """

    name: str
    numerics: int
    sections: tuple[str, ...]
    reads: tuple[str, ...] = ()
    runs: frozenset[Kind]
    needs: frozenset[Need] = frozenset()
    shares_data_seed: bool
    made_by: str
    seconds: Callable[[RunConfig], float]
    unit: str = "updates"
    section: Callable[[RunConfig, Section], Section] = as_read
    calls: Callable[[RunConfig], float] = no_calls
    part: str = ""
    update: Updates | None = None
    world: Literal["none", "sampling", "all"] = "none"
    is_trained: bool = False
    is_imported: bool = False
    is_scored: bool = False
    scores_runs: bool = False
    is_result: bool = False
    arms: str = ""

    def section_of(self, config: RunConfig, everything: Mapping[str, Any]) -> Section:
        """What it reads of a config, whose sections are `everything`: `RunConfig.sections`."""
        names = (*self.sections, *self._of_world(config))
        found = {name: everything[name] for name in names if name in everything}
        return self.section(config, found)

    def _of_world(self, config: RunConfig) -> tuple[str, ...]:
        match self.world:
            case "none":
                return ()
            case "sampling":
                return family_of(config).sampling
            case "all":
                return tuple(type(config.world).model_fields)
