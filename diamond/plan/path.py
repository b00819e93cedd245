"""A path from one config to another, one factor flipped at a time, in both orders.

What a flip changes depends on what was flipped before: the order of the table and its reverse give
each factor two changes, and their range. Both walks have the same ends, so both sum to the total.
A factor that leads to no valid model is put off until it does, and the others go on without it;
factors are flipped jointly only where none leads on alone.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal, TypeVar, get_args

from diamond.config.base import Record, canonical, canonical_json
from diamond.config.overrides import place_of, validated
from diamond.config.recording import RecordingPolicy
from diamond.config.run import RunConfig
from diamond.config.worlds import WORLD, family_of
from diamond.errors import RequestError
from diamond.plan.find_axis import axes_of
from diamond.plan.variants import Setting, Variant, make_variant, view_text

_R = TypeVar("_R", bound=Record)
Direction = Literal["forward", "backward"]
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)
"""The factors in the order of the table of axes, or in its reverse; both begin at the start."""


@dataclass(frozen=True)
class Factor:
    """What is flipped at once: a named axis whose fields differ, or a field that no axis names.

    Attributes:
        name: Of the axis, or the field's dotted name.
        old: Value per field at the start of the path.
        new: Value per field at its end.
    """

    name: str
    old: Mapping[str, Any]
    new: Mapping[str, Any]

    def text(self, values: Mapping[str, Any]) -> str:
        """The values of its fields in short: ``eps``, or ``grid=karras init_noise=unit``."""
        shown = {field: _text(value) for field, value in values.items()}
        if len(shown) == 1:
            return next(iter(shown.values()))
        return " ".join(f"{field.split('.')[-1]}={text}" for field, text in shown.items())


@dataclass(frozen=True)
class Flip:
    """One step of a walk: the factors that change in it, and the arm that it reaches."""

    factors: tuple[str, ...]
    arm: str


@dataclass(frozen=True)
class LeftOut:
    """A combination that is no valid model: the factors at their new values, and why.

    The direction is that of the walk which met it first.
    """

    direction: Direction
    factors: tuple[str, ...]
    reason: str


@dataclass(frozen=True, eq=False)
class Path:
    """The walks of a path on one game, by names of arms; compared and cached by identity.

    Attributes:
        start: Arm at the start, the baseline.
        end: Arm at the end.
        factors: In the order of the forward walk.
        walks: Steps of each direction; a step flips several factors where none led on alone.
        left_out: Combinations that are no valid models, each once.
    """

    start: str
    end: str
    factors: tuple[Factor, ...]
    walks: Mapping[Direction, tuple[Flip, ...]]
    left_out: tuple[LeftOut, ...]

    def arms(self) -> tuple[str, ...]:
        """The names of its arms, each once."""
        reached = [flip.arm for direction in DIRECTIONS for flip in self.walks[direction]]
        return tuple(dict.fromkeys([self.start, *reached]))


def make_path(base: RunConfig, start: Setting, end: Setting) -> tuple[Path, list[Variant]]:
    """Lay out both walks between two settings on the config of a game.

    Returns:
        The path and its arms, each once: the start, the forward walk to the end, the backward
            walk.

    Raises:
        RequestError: An end is not allowed or samples at noise levels that its training never
            shows, both are the same run, or they see different frames.
    """
    first, last = make_variant(base, start), make_variant(base, end)
    families = first.config.world.family, last.config.world.family
    if families[0] != families[1]:
        raise RequestError(
            f"--from {start.name!r} is of the family {families[0]}, --to {end.name!r} of "
            f"{families[1]}: no single field leads from one to the other\n"
            f"  compare them: diamond ablate family={','.join(families)}"
        )
    factors = find_factors(first.config, last.config)
    if not factors:
        raise RequestError(
            f"--from {start.name!r} and --to {end.name!r} are the same run on {base.game}\n"
            "  give two that differ, for instance --from formulation=ddpm --to formulation=edm"
        )
    if first.config.view != last.config.view:
        raise RequestError(
            f"--from {start.name!r} sees {view_text(first.config.view)}, --to {end.name!r} sees "
            f"{view_text(last.config.view)}: metrics of their frames cannot be compared\n"
            "  give both ends the same resolution and crop, "
            "or compare returns: diamond ablate resolution=32,64 --until returns"
        )
    for option, variant in (("--from", first), ("--to", last)):
        reason = family_of(variant.config).doubt(variant.config.world)
        if reason is not None:
            raise RequestError(
                f"{option} {variant.name!r}: {reason}\n"
                "  give an end whose sampler stays within the noise levels of its training"
            )
    walker = _Walker(first, last, factors)
    walks = {direction: walker.walk(direction) for direction in DIRECTIONS}
    path = Path(start.name, end.name, factors, walks, tuple(walker.left_out))
    return path, list(walker.made.values())


def find_factors(start: RunConfig, end: RunConfig) -> tuple[Factor, ...]:
    """Group the fields that differ: by the single axes of the table, the rest by their names."""
    differing = {
        name.removeprefix(f"{WORLD}."): values for name, values in _differences(start, end)
    }
    left = list(differing)
    groups: dict[str, list[str]] = {}
    for axis in axes_of(start.world.family):
        if axis.kind == "single":
            groups[axis.name] = [field for field in left if field in axis.fields]
            left = [field for field in left if field not in axis.fields]
    groups |= {field: [field] for field in left}
    return tuple(
        Factor(
            name,
            {field: differing[field][0] for field in fields},
            {field: differing[field][1] for field in fields},
        )
        for name, fields in groups.items()
        if fields
    )


class _Walker:
    """Makes the arms of both walks. Mutable: it gathers them and what is left out."""

    def __init__(self, first: Variant, last: Variant, factors: Sequence[Factor]) -> None:
        self.left_out: list[LeftOut] = []
        self._factors = {factor.name: factor for factor in factors}
        self.made = {frozenset[str](): self._variant(first.name, first.config, frozenset())}
        self._reasons: dict[frozenset[str], str | None] = {}
        self._start = first.config
        self._end = self._variant(last.name, last.config, frozenset(self._factors))

    def walk(self, direction: Direction) -> tuple[Flip, ...]:
        """Flip the factors in an order, putting off those that lead to no valid model.

        After every flip, those that were put off come first again, each alone. Where no factor
        leads on alone, the first pair that does is flipped jointly, else the shortest beginning of
        the order that does: at the latest all that is left, which is the end of the path.
        """
        names = list(self._factors)
        left = tuple(names if direction == "forward" else reversed(names))
        flips: list[Flip] = []
        flipped: frozenset[str] = frozenset()
        while left:
            joint = next(one for one in _tries(left) if self._leads_on(flipped, one, direction))
            flipped |= set(joint)
            left = tuple(name for name in left if name not in joint)
            if flipped not in self.made:
                label = f"{direction} {len(flips) + 1}: {' + '.join(joint)}"
                self.made[flipped] = self._variant(label, self._mixed(flipped), flipped)
            flips.append(Flip(joint, self.made[flipped].name))
        return tuple(flips)

    def _leads_on(
        self, flipped: frozenset[str], joint: tuple[str, ...], direction: Direction
    ) -> bool:
        """Whether flipping some more gives a valid model; tells once of each that is none."""
        reached = flipped | set(joint)
        if len(reached) == len(self._factors):
            self.made[reached] = self._end
        if reached in self.made:
            return True
        if reached not in self._reasons:
            self._reasons[reached] = reason = invalid_reason(self._mixed(reached))
            if reason is not None:
                ordered = tuple(name for name in self._factors if name in reached)
                self.left_out.append(LeftOut(direction, ordered, reason))
        return self._reasons[reached] is None

    def _mixed(self, flipped: frozenset[str]) -> RunConfig:
        config = self._start
        for name in flipped:
            for field, value in self._factors[name].new.items():
                config = _with_field(config, place_of(config, field), value)
        return config

    def _variant(self, name: str, config: RunConfig, flipped: frozenset[str]) -> Variant:
        texts = {
            factor.name: factor.text(factor.new if factor.name in flipped else factor.old)
            for factor in self._factors.values()
        }
        return Variant(name, config, texts)


def _tries(left: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """What may be flipped next: each factor, then each pair, then ever longer beginnings."""
    yield from ((name,) for name in left)
    yield from combinations(left, 2)
    yield from (tuple(left[:length]) for length in range(3, len(left) + 1))


def _differences(old: Record, new: Record, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Both values of every field that differs; a section that only one of them has is a field."""
    for name in (*type(old).model_fields, *(old.model_extra or {})):
        first, second = getattr(old, name), getattr(new, name)
        if isinstance(first, Record) and isinstance(second, Record):
            yield from _differences(first, second, f"{prefix}{name}.")
        elif first != second:
            yield prefix + name, (first, second)


def _with_field(record: _R, parts: Sequence[str], value: Any) -> _R:
    """A copy with one field set, not validated."""
    name, *inner = parts
    if inner:
        value = _with_field(getattr(record, name), inner, value)
    return record.model_copy(update={name: value})


def _text(value: Any) -> str:
    if isinstance(value, RecordingPolicy):
        return value.weights[:8]
    if isinstance(value, Record):
        value = canonical(value)
    return value if isinstance(value, str) else canonical_json(value)


def invalid_reason(config: RunConfig) -> str | None:
    """Say in one line why a config is no model, or None where it is one.

    Args:
        config: It may have been put together without validation.
    """
    try:
        validated(config.model_dump(), {})
    except RequestError as error:
        _, *lines, _ = str(error).splitlines()
        return "; ".join(line.strip() for line in lines)
    return family_of(config).doubt(config.world)
