"""Arms at equal cost: one count of every arm is scaled so that its cost is the baseline's."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, assert_never

from diamond.config.overrides import get_field, override
from diamond.config.run import Protocol, RunConfig
from diamond.config.worlds import family_of
from diamond.errors import RequestError
from diamond.plan.request import Match
from diamond.plan.variants import Matched, Variant, baseline_of
from diamond.stages.record import Stage

UPDATE_FIELDS: dict[Protocol, tuple[str, ...]] = {
    "static": ("{part}.updates",),
    "online": ("online.first_updates.{part}", "online.updates.{part}"),
}
"""The counts of updates of a part in a protocol."""
STEPS = "sampler.steps"
TOLERANCE = 0.05
"""How far a whole number of updates may be from what makes the costs equal."""


def match_meaning(match: Match) -> str:
    """What exactly is equal in all arms, in words."""
    match match:
        case "updates":
            return (
                "samples that the network which draws frames is trained on (of DIAMOND: updates x "
                "batch x autoregressive passes)"
            )
        case "nfe":
            return "denoiser calls per imagined frame"
        case "seconds":
            return (
                "expected time of training the network which draws frames (updates x "
                "multiplications of an update; precision not counted)"
            )
        case _:
            assert_never(match)


def match_costs(match: Match, variants: Sequence[Variant]) -> list[Variant]:
    """Scale every variant so that it costs what the baseline costs.

    Raises:
        RequestError: A variant sets the count itself or stops before it, or no whole number makes
            the costs equal.
    """
    baseline = variants[baseline_of(variants)]
    for variant in variants:
        config = variant.config
        part = getattr(config.world, _stage(config).part)
        if match != "nfe" and part.num_trained_updates != part.updates:
            raise RequestError(
                f"--match {match}: {variant.name!r} stops after "
                f"{_stage(config).part}.stop_after={part.num_trained_updates} updates, whatever "
                "their number is scaled to\n"
                f"  leave --match out, or {_stage(config).part}.stop_after"
            )
        if config.world.family != baseline.config.world.family:
            continue
        for field in _fields(match, variant):
            own, other = get_field(config, field), get_field(baseline.config, field)
            if own != other:
                raise RequestError(
                    f"--match {match}: {variant.name!r} sets {field}={own}, the count that is to "
                    f"be scaled; the baseline has {other}\n"
                    f"  leave --match out, or do not vary {field}"
                )
    return [_matched(match, variant, baseline) for variant in variants]


def _stage(config: RunConfig) -> Stage:
    """The stage of the part that draws frames."""
    drawing = family_of(config).drawing
    if len(drawing) != 1:
        raise RequestError(
            f"--match scales the updates of the one part that draws frames; the family "
            f"{config.world.family} has {len(drawing)} such parts\n  leave --match out"
        )
    return drawing[0]


def _fields(match: Match, variant: Variant) -> tuple[str, ...]:
    config = variant.config
    if match != "nfe":
        return tuple(
            name.format(part=_stage(config).part) for name in UPDATE_FIELDS[config.protocol]
        )
    if "sampler" not in family_of(config).sampling:
        raise RequestError(
            f"--match nfe: {variant.name!r} is of the family {config.world.family}, which has no "
            "denoising steps\n  allowed with it: --match updates, --match seconds"
        )
    return (STEPS,)


def _matched(match: Match, variant: Variant, baseline: Variant) -> Variant:
    config, other = variant.config, baseline.config
    if not config.imagines:
        return variant
    found: list[Matched] = []
    for field, base_field in zip(_fields(match, variant), _fields(match, baseline), strict=True):
        old = get_field(config, field)
        base = get_field(other, base_field)
        match match:
            case "nfe":
                new = _steps(variant, baseline)
            case "updates":
                new = _scaled(base, _samples(other), _samples(config), variant, field)
            case "seconds":
                new = _scaled(base, _update_cost(other), _update_cost(config), variant, field)
            case _:
                assert_never(match)
        if new != old:
            found.append(Matched(field, old, new))
    if not found:
        return variant
    values: dict[str, Any] = {one.field: one.new for one in found}
    return replace(variant, config=override(config, values), matched=tuple(found))


def _steps(variant: Variant, baseline: Variant) -> int:
    """The denoising steps that need as many calls as the baseline has."""
    order = get_field(variant.config, "sampler.order")
    wanted = family_of(baseline.config).calls_per_frame(baseline.config.world)
    if order == 1:
        return wanted
    if wanted % 2 == 0:
        raise RequestError(
            f"--match nfe: {baseline.name!r} calls the denoiser {wanted} times per frame, and "
            f"{variant.name!r} (order 2) calls it 2 x steps - 1 times, an odd number\n"
            f"  give the baseline an odd number of calls, for instance sampler.steps={wanted + 1}"
        )
    return (wanted + 1) // 2


def _samples(config: RunConfig) -> float:
    update = _stage(config).update
    assert update is not None
    return _positive(update.calls(config), config, "updates")


def _update_cost(config: RunConfig) -> float:
    update = _stage(config).update
    assert update is not None
    return _positive(update.seconds(config), config, "seconds")


def _positive(cost: float, config: RunConfig, match: Match) -> float:
    if cost <= 0:
        raise RequestError(
            f"--match {match}: the family {config.world.family} does not say what an update costs\n"
            "  leave --match out"
        )
    return cost


def _scaled(old: int, base_cost: float, cost: float, variant: Variant, field: str) -> int:
    """A count of updates times the ratio of what one update costs, to the nearest whole one."""
    new = round(old * base_cost / cost)
    if new < 1:
        raise RequestError(
            f"{variant.name!r} would have no update left: {field}={old} of the baseline, and one "
            f"update costs {cost / base_cost:.3g} times as much\n"
            f"  raise {field} for all arms, or leave --match out"
        )
    exact = old * base_cost / cost
    if abs(new - exact) > TOLERANCE * exact:
        raise RequestError(
            f"{variant.name!r} would need {field}={exact:.2f} to cost what the baseline costs; "
            f"{new} is not within {TOLERANCE:.0%} of that\n"
            f"  raise {field} for all arms, or leave --match out"
        )
    return new
