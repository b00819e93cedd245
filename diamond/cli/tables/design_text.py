"""The design of a plan in words: arms, baseline, what was matched, the walks of a path."""

from collections.abc import Iterator
from typing import Literal

from diamond.plan.match import match_meaning
from diamond.plan.path import DIRECTIONS, Path
from diamond.plan.plan import Plan
from diamond.plan.request import Design

MEANINGS: dict[Design | Literal["arms"], str] = {
    "grid": "all combinations",
    "ofat": "one factor at a time",
    "zip": "values side by side",
    "path": "from one config to another, one flip at a time",
    "arms": "arms written out",
}


def design_lines(plan: Plan) -> Iterator[str]:
    """Say what the arms are; an agent alone has no design."""
    if plan.request.goal == "agent":
        return
    game = plan.request.games[0]
    own = [arm for arm in plan.arms if arm.kind == "arm" and arm.game == game]
    yield (
        f"design {plan.design} ({MEANINGS[plan.design]}): {len(own)} arm{'s' * (len(own) > 1)}, "
        f"baseline arm {plan.baseline(game).name!r}"
    )
    for arm in own:
        if arm.aa:
            seeds = [run.config.seed for run in arm.runs]
            yield (
                f"{arm.name}: seeds {seeds[0]} to {seeds[-1]}; it differs from the baseline in "
                "nothing else, and its runs pair with none"
            )
    if plan.controls:
        yield (
            f"{', '.join(dict.fromkeys(arm.name for arm in plan.controls))}: the baseline "
            "arm with a known defect, to see which metrics tell it"
        )
    for one, path in plan.paths.items():
        yield from _path_lines(one, path)
    if plan.request.match is not None:
        yield from _match_lines(plan)


def _path_lines(game: str, path: Path) -> Iterator[str]:
    yield f"{game}: path from {path.start!r} to {path.end!r}, {len(path.factors)} factors"
    factors = {factor.name: factor for factor in path.factors}
    width = max(len(name) for name in factors)
    for factor in path.factors:
        yield f"  {factor.name:{width}}  {factor.text(factor.old)} -> {factor.text(factor.new)}"
    for direction in DIRECTIONS:
        order = "in the order above" if direction == "forward" else "in the reverse order"
        order += ", as far as the combinations are models" if path.left_out else ""
        yield f"  {direction}, {order}:"
        for flip in path.walks[direction]:
            yield f"    flip {' + '.join(flip.factors)} -> {flip.arm!r}"
    for left in path.left_out:
        yield (
            f"  left out ({left.direction}): {' + '.join(left.factors)} flipped: {left.reason}; "
            "the walks go around it"
        )


def _match_lines(plan: Plan) -> Iterator[str]:
    assert plan.request.match is not None
    yield (
        f"matched by {plan.request.match}: equal {match_meaning(plan.request.match)}, "
        "as near as whole numbers allow"
    )
    for arm in plan.arms:
        for one in arm.matched:
            yield f"  {arm.game}, {arm.name}: {one.field} {one.old} -> {one.new}"
    if not any(arm.matched for arm in plan.arms):
        yield "  nothing had to change"
