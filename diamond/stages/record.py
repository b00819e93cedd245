"""What is said of a stage, in one record."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from diamond.config.run import RunConfig

Kind = Literal["static", "online", "real", "baseline"]
"""Runs by what they have: a world model trained on real frames that all arms share, an agent that
collects its own, an agent trained in the real game, a world model without training."""
Section = dict[str, Any]


def as_read(config: RunConfig, section: Section) -> Section:
    """Change nothing of what a stage reads."""
    return section


def no_calls(config: RunConfig) -> float:
    """Count no call of the denoiser."""
    return 0.0


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One kind of stage.

    Attributes:
        name: Of its folder, too.
        numerics: Raised by one when a change of code alters its outputs at equal config and seed.
        sections: The fields of `RunConfig` that it reads itself; the rest reaches it through other
            stages.
        reads: The stages whose outputs it reads in the static protocol.
        runs: The runs that have it.
        shares_data_seed: Whether it draws from the data seed: arms and seeds share games and noise.
        made_by: ``module:function``; a worker loads it, a plan does not.
        seconds: Expected time on one core of a server processor (AVX2), where no stage like it was
            measured in the home.
        section: What it reads of a run, given those of its sections that the run's config has.
        calls: Calls of the denoiser for one frame.
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
    shares_data_seed: bool
    made_by: str
    seconds: Callable[[RunConfig], float]
    section: Callable[[RunConfig, Section], Section] = as_read
    calls: Callable[[RunConfig], float] = no_calls
    is_trained: bool = False
    is_imported: bool = False
    is_scored: bool = False
    scores_runs: bool = False
    is_result: bool = False
    arms: str = ""

    def section_of(self, config: RunConfig, everything: Mapping[str, Any]) -> Section:
        """What it reads of a config, whose canonical form is `everything`."""
        found = {name: everything[name] for name in self.sections if name in everything}
        return self.section(config, found)
