"""What a kind of world model is to the rest of the program; loads no torch.

A family is one `Family`, which plans read, and one `Implementation`, which only a worker loads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar, get_args

from diamond.config.plugins import load_named
from diamond.config.run import RunConfig
from diamond.config.worlds import INTERFACE, OWN, WorldConfig, find_family
from diamond.errors import RequestError
from diamond.plan.axis import Axis
from diamond.plan.axis_table import AFTER, BEFORE
from diamond.stages.record import Section, Stage, Updates, as_read, no_calls

if TYPE_CHECKING:
    from torch import Tensor, nn

    from diamond.part import AnyPart
    from diamond.rng import Noise

__all__ = [
    "INTERFACE",
    "Family",
    "Implementation",
    "Material",
    "Step",
    "Updates",
    "WorldConfig",
    "WorldModel",
    "implementation_of",
    "part_stage",
]

S = TypeVar("S")
"""A state: a tree of tensors whose first axis is the batch; see `diamond.families.trees`."""


class Step(NamedTuple):
    """What follows one action in every trajectory.

    Attributes:
        frame: (b, c, h, w) float32 in [-1, 1].
        reward: (b,) float32 in {-1, 0, 1}.
        end: (b,) bool.
    """

    frame: Tensor
    reward: Tensor
    end: Tensor


class WorldModel(Protocol[S]):
    """A generative model of a game; families differ in their state only."""

    @property
    def history(self) -> int:
        """Real frames that `start` needs at least."""
        ...

    def start(self, frames: Tensor, actions: Tensor, padded: Tensor) -> S:
        """Begin trajectories after real frames.

        Args:
            frames: (b, t, c, h, w) in [-1, 1], oldest first; t is at least the history.
            actions: (b, t - 1) int64, or (b, t - 1, k) float32 where an action is k numbers in
                [-1, 1]; action i leads from frame i to frame i + 1.
            padded: (b,) int64, below t: frames at the front that are copies of the first real one,
                with action 0 after each. A recurrent state is zero where the real ones begin.
        """
        ...

    def step(self, state: S, action: Tensor, noise: Noise) -> tuple[S, Step]:
        """Advance every trajectory by one action, (b,) int64 or (b, k) float32."""
        ...

    def frame(self, state: S) -> Tensor:
        """The current frame of every trajectory (b, c, h, w)."""
        ...


class Material(NamedTuple):
    """What a world model is built from.

    Attributes:
        networks: Trained, by the names of their parts. That of `Family.rewards_by` is missing where
            the real frames say no rewards or no ends: the world model then gives reward 0, no end.
        config: Its section of the run, without the section of a missing part.
        backgrounds: Gives the median background (b, c, h, w) in [-1, 1] of the real episode of
            every start; None where it is built for other than held-out starts.
    """

    networks: Mapping[str, nn.Module]
    config: Any
    backgrounds: Callable[[], Tensor] | None = None


@dataclass(frozen=True)
class Implementation:
    """The networks of a family and what is made of them; loads torch.

    Attributes:
        parts: What is trained, in this order: one for each stage of the family.
        build: The world model of trained parts.
    """

    parts: tuple[AnyPart, ...]
    build: Callable[[Material], WorldModel[Any]]

    def part(self, name: str) -> AnyPart:
        """The part of a name, which must be one of them."""
        return next(part for part in self.parts if part.name == name)


def _anything(_: RunConfig) -> None:
    return None


def _no_doubt(_: Any) -> str | None:
    return None


def _one(_: Any) -> int:
    return 1


def _never_online(_: str) -> Mapping[str, tuple[int, int]]:
    return {}


@dataclass(frozen=True, kw_only=True)
class Family:
    """A kind of world model, as plans, costs and stages read it.

    Attributes:
        name: As users write it.
        interface: `INTERFACE` of the version that it was written for.
        config: Its section of a run; its parts are fields of the same names.
        preset: The section in a preset (``smoke``, ``tiny``, ``small``, ``paper``) for a game.
            Raises `RequestError` for a preset that it has no recipe for.
        made_by: ``module:NAME`` of its `Implementation`; a worker loads it, a plan does not.
        stages: One for each part, in the order of training, as `part_stage` makes them; none for a
            baseline without training.
        sampling: Sections that say how trained parts draw frames; no training reads them.
        rewards_by: The part whose network tells rewards and ends of frames that it is shown, as
            `RewardEndNet` does: scores of rewards and ends are those of its word on real and on
            imagined frames. Empty: there are no such scores.
        rewards_seconds: Expected time of its word on one frame.
        history: Real frames that the world model needs before it imagines.
        segment_steps: Env steps of the longest segment of whole episodes that it is trained on.
        side_unit: What the sides of a frame are multiples of, pixels.
        frame_multiplications: Of one imagined frame.
        calls_per_frame: Of the network that draws a frame, for one frame, by its section.
        online_updates: Updates of each part in the first epoch and in each later one, in the online
            protocol of a preset; empty where the family has none.
        axes: Named axes of its fields, in the order of the stages that they touch.
        check: Raises `ValueError` for a run that its config alone does not show to be wrong.
        doubt: What is strange about a section, in words: frames are drawn in a way that training
            never showed.
        controls: Families whose arms stand beside it: what it must beat.
        title: Name of its arm where it is a control.
    """

    name: str
    interface: int
    config: type[WorldConfig]
    preset: Callable[[str, str], WorldConfig]
    made_by: str
    stages: tuple[Stage, ...] = ()
    sampling: tuple[str, ...] = ()
    rewards_by: str = ""
    rewards_seconds: Callable[[RunConfig], float] = no_calls
    history: Callable[[Any], int] = _one
    segment_steps: Callable[[Any], int] = _one
    side_unit: Callable[[Any], int] = _one
    frame_multiplications: Callable[[RunConfig], float] = no_calls
    calls_per_frame: Callable[[Any], int] = _one
    online_updates: Callable[[str], Mapping[str, tuple[int, int]]] = _never_online
    axes: tuple[Axis, ...] = ()
    check: Callable[[RunConfig], None] = _anything
    doubt: Callable[[Any], str | None] = _no_doubt
    controls: tuple[str, ...] = ("copy_last", "median_background")
    title: str = ""

    @property
    def is_trained(self) -> bool:
        """Whether anything in it is trained."""
        return bool(self.stages)

    @property
    def drawing(self) -> tuple[Stage, ...]:
        """The stages of the parts that draw a frame.

        Runs that share them share a world model; theirs are the parameters and the updates that
        arms are compared by.
        """
        return tuple(stage for stage in self.stages if stage.is_scored)

    def stage(self, part: str) -> Stage:
        """The stage that trains a part, which must be one of its own."""
        return next(stage for stage in self.stages if stage.part == part)


def part_stage(  # noqa: PLR0913
    part: str,
    update: Updates,
    *,
    family: str,
    name: str = "",
    numerics: int = 1,
    draws: bool = True,
    section: Callable[[RunConfig, Section], Section] = as_read,
    arms: str = "arms share the real frames",
) -> Stage:
    """The stage that trains a part of a family on real frames.

    Args:
        part: Of the family's section and its `Implementation`.
        update: What an update costs.
        name: Of the stage; empty: that of the family and the part, so that no other family has it.
        numerics: Raised by one when a change of code alters its weights at equal config and seed.
        draws: Whether frames are drawn from it: whether `diamond fidelity` can be given it.
        section: What it reads of a run, given its own section.
        arms: What arms share where the first stage that an axis touches is this one.
    """
    return Stage(
        name=name or f"{family}_{part}",
        part=part,
        numerics=numerics,
        sections=("family", part),
        reads=("frames",),
        runs=frozenset({"static"}),
        shares_data_seed=False,
        made_by="diamond.makers.trained_parts:train_part",
        seconds=lambda config: update.num(config) * update.seconds(config),
        section=section,
        calls=lambda config: update.num(config) * update.calls(config),
        update=update,
        is_trained=True,
        is_imported=True,
        is_scored=draws,
        arms=arms,
    )


def implementation_of(family: str) -> Implementation:
    """Load the networks of a family.

    Raises:
        RequestError: They do not load, or are not the parts of its record.
    """
    record = find_family(family)
    found = load_named(record.made_by, f"implementation of the family {family}")
    wanted = [stage.part for stage in record.stages]
    if not isinstance(found, Implementation) or [part.name for part in found.parts] != wanted:
        raise RequestError(
            f"family {family!r}: {record.made_by} is not the Implementation of the parts {wanted}"
        )
    return found


def checked(found: Any, name: str) -> Family:
    """A family of another package, once it is known to fit.

    Raises:
        RequestError: It is none, was written for another interface, has the name of a stage or an
            axis that there is already, or a section that nothing would read.
    """
    where = f"family {name!r}"
    if not isinstance(found, Family):
        raise RequestError(
            f"{where} is a {type(found).__name__}\n  expected: a diamond.families.interface.Family"
        )
    if found.interface != INTERFACE:
        known = isinstance(found.interface, int)
        older = "diamond" if known and found.interface > INTERFACE else "package of the family"
        raise RequestError(
            f"{where} was written for interface {found.interface!r}, this is {INTERFACE}\n"
            f"  install a newer {older}"
        )
    for wrong in (*_wrong_names(found, name), *_wrong_sections(found, name)):
        raise RequestError(f"{where}: {wrong}")
    return found


def _wrong_names(found: Family, name: str) -> Iterator[str]:
    if found.name in OWN:
        yield f"it is called {found.name!r}, as one of ours; rename it"
    if ":" not in name and found.name != name:
        yield f"its record calls it {found.name!r}; give its entry point that name"
    for stage in found.stages:
        if not stage.name.startswith(f"{found.name}_"):
            yield f"the stage {stage.name!r} must begin with {found.name}_, see part_stage"
    own = (axis for family in OWN for axis in find_family(family).axes)
    taken = {axis.name for axis in (*BEFORE, *own, *AFTER)}
    for axis in found.axes:
        if axis.name in taken:
            yield f"there is an axis {axis.name!r} already; rename it"


def _wrong_sections(found: Family, name: str) -> Iterator[str]:
    fields = found.config.model_fields
    parts = [stage.part for stage in found.stages]
    for part in (*parts, *found.sampling):
        if part not in fields:
            yield f"its section has no {part!r}"
    for field in fields:
        if field not in ("family", *parts, *found.sampling):
            yield (
                f"its section has a field {field!r} that no stage reads; put it into the section "
                "of a part, or into one of `sampling`"
            )
        if field in RunConfig.model_fields:
            yield f"its section {field!r} is called as one of every run; rename it"
    if fields["family"].annotation is not str and get_args(fields["family"].annotation) != (name,):
        yield f"the field family of its section must be able to hold {name!r}: make it a str"
