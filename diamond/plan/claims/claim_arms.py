"""Which arm of a study a claim means, by its name or by values of axes; no numbers here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from diamond.config.metric_table import NO_CELLS, RETURN, needs_cells, stage_of
from diamond.config.overrides import get_field
from diamond.config.run import RunConfig
from diamond.errors import RequestError, did_you_mean
from diamond.plan.claims.claim_grammar import RETURN_METRICS, Comparison, Quantity, claim_quantities
from diamond.plan.find_axis import Axis, find_axis
from diamond.plan.grammar import split_outside
from diamond.plan.plan import Plan
from diamond.plan.plan_arms import AA_NAME
from diamond.plan.stage_keys import scores_until
from diamond.plan.variants import apply_axes, fits_family, view_text


@dataclass(frozen=True)
class NamedArm:
    """What tells the arms of one game apart.

    Attributes:
        name: Name in plan and report.
        is_trained: False for a baseline without training.
        axis_values: Text of the value per axis.
    """

    name: str
    is_trained: bool
    axis_values: Mapping[str, str]
    config: RunConfig


def arms_of_plan(plan: Plan, game: str) -> list[NamedArm]:
    """The arms of a game as claims name them."""
    return [
        NamedArm(arm.name, arm.kind == "arm", arm.axis_values, arm.runs[0].config)
        for arm in plan.arms
        if arm.game == game
    ]


def check_claims(plan: Plan) -> list[str]:
    """Find the arms of every declared claim on every game before anything runs.

    Returns:
        What will keep a claim undecided, in words.

    Raises:
        RequestError: A claim means no arm, or more than one.
    """
    if plan.request.declared is None:
        return []
    _check_primary(plan)
    horizon = plan.arms[0].runs[0].config.rollouts.horizon_steps
    remarks: list[str] = []
    for claim in plan.request.declared.declaration.claims:
        asked = claim_quantities(claim.comparison)
        reasons = {_unscored(quantity, horizon, plan) for quantity in asked} - {None}
        remarks += [f"claim {claim.name!r}: {reason}" for reason in sorted(map(str, reasons))]
        if reasons and not scores_until(plan.until, plan.request.protocol):
            continue  # A study that scores no frames has no baselines to name.
        for game in plan.request.games:
            try:
                find_arms(claim.comparison, arms_of_plan(plan, game))
            except RequestError as error:
                raise RequestError(f"claim {claim.name!r}, {game}: {error}") from error
    return remarks


def _check_primary(plan: Plan) -> None:
    """Refuse a primary metric of cells where no arm has any, and returns where none plays."""
    metric = plan.primary_metric
    if metric == RETURN.name and plan.until not in (None, RETURN.stage):
        raise RequestError(
            f"primary metric {metric!r}: the study stops after {plan.until} and plays nothing\n"
            f"  --until {RETURN.stage}, or all"
        )
    if needs_cells(metric) and not any(arm.runs[0].config.shows_cells for arm in plan.arms):
        raise RequestError(f"primary metric {metric!r}: {NO_CELLS}")


def _unscored(quantity: Quantity, horizon: int, plan: Plan) -> str | None:
    until, is_return = plan.until, quantity.metric in RETURN_METRICS
    if is_return and until not in (None, "returns"):
        return f"it will be UNDECIDED, the study stops after {until} and plays nothing"
    stage = stage_of(quantity.metric)
    if not is_return and not scores_until(until, plan.request.protocol, stage):
        return f"it will be UNDECIDED, the study stops after {until} and makes no {stage}"
    blind = [arm.game for arm in plan.arms if not arm.runs[0].config.shows_cells]
    if needs_cells(quantity.metric) and blind:
        return f"it will be UNDECIDED in {', '.join(dict.fromkeys(blind))}, where no cell is scored"
    if quantity.time_step is not None and quantity.time_step > horizon:
        step = quantity.time_step
        return f"it will be UNDECIDED, time step {step} is beyond the horizon of {horizon}"
    return None


def find_arms(comparison: Comparison, arms: Sequence[NamedArm]) -> dict[Quantity, NamedArm]:
    """The arm of every quantity of a claim.

    Args:
        comparison: The claim.
        arms: The arms of one game.

    Raises:
        RequestError: A quantity fits none or several, a baseline is asked for returns, no arm of
            the claim is trained, or frames of different views would be compared.
    """
    found = {quantity: find_arm(quantity.arm, arms) for quantity in claim_quantities(comparison)}
    for quantity, arm in found.items():
        if quantity.metric in RETURN_METRICS and not arm.is_trained:
            raise RequestError(
                f"{quantity.metric}[{quantity.arm}]: a baseline without training plays nothing\n"
                "  name a trained arm"
            )
    if not any(arm.is_trained for arm in found.values()):
        raise RequestError(
            "the claim compares only baselines without training\n  name a trained arm in it"
        )
    _check_views(found)
    return found


def _check_views(found: Mapping[Quantity, NamedArm]) -> None:
    """Refuse scores of frames at different resolutions or crops; returns do not depend on them."""
    arms = [arm for quantity, arm in found.items() if quantity.metric not in RETURN_METRICS]
    for arm in arms[1:]:
        if arm.config.view != arms[0].config.view:
            raise RequestError(
                f"{arms[0].name!r} is scored at {view_text(arms[0].config.view)}, {arm.name!r} at "
                f"{view_text(arm.config.view)}: metrics of their frames cannot be compared\n"
                "  compare arms of one resolution and crop, or their returns "
                "(baselines without training see what the first arm of the study sees)"
            )
        if arm.config.environment != arms[0].config.environment:
            raise RequestError(
                f"{arms[0].name!r} and {arm.name!r} play the game in different ways, each is "
                "scored against real frames of its own: their metrics cannot be compared\n"
                "  compare arms with one environment, or their returns"
            )


def find_arm(selector: str, arms: Sequence[NamedArm]) -> NamedArm:
    """The arm that is called so, or the only one with these values of axes.

    An axis that the study does not vary, or not in this arm, has the value of the arm's config.

    Raises:
        RequestError: There is none, or more than one; the text names the arms.
    """
    for arm in arms:
        if arm.name == selector:
            return arm
    words = [word for word in split_outside(selector, " ") if word]
    names = [arm.name for arm in arms]
    if not all("=" in word for word in words):
        guess = did_you_mean(selector, names)
        raise RequestError(f"no arm is called {selector!r}.{guess}\n  {_listed('arms', names)}")
    values = dict(word.split("=", maxsplit=1) for word in words)
    for axis in values:
        find_axis(axis)
    varied = [arm for arm in arms if arm.is_trained and arm.name != AA_NAME]
    fitting = [arm for arm in varied if all(_has(arm, *pair) for pair in values.items())]
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        raise RequestError(f"no arm has {selector!r}\n  {_listed('arms', names)}")
    raise RequestError(
        f"{selector!r} fits {len(fitting)} arms; name one of them with more of its values\n"
        f"  {_listed('they are', [arm.name for arm in fitting])}"
    )


def _has(arm: NamedArm, axis: str, text: str) -> bool:
    if not fits_family(find_axis(axis), arm.config):
        return False
    if find_axis(axis).kind == "bundle":
        return _has_bundle(arm, find_axis(axis), text)
    if axis in arm.axis_values:
        return _same(arm.axis_values[axis], text)
    try:
        return apply_axes(arm.config, ((find_axis(axis), text),)) == arm.config
    except RequestError:
        return False


def _has_bundle(arm: NamedArm, bundle: Axis, text: str) -> bool:
    """Whether an arm was given a bundle and has it, or has the whole of it without being told.

    What an arm changes of its bundle by other axes does not take the bundle away.
    """
    if bundle.name not in arm.axis_values:
        return bundle.current(arm.config) == text
    if arm.axis_values[bundle.name] != text:
        return False
    chosen = [(find_axis(name), value) for name, value in arm.axis_values.items()]
    setting = [pair for pair in chosen if set(pair[0].fields) & set(bundle.fields)]
    again = apply_axes(arm.config, setting)
    return all(get_field(again, one) == get_field(arm.config, one) for one in bundle.fields)


def _same(one: str, other: str) -> bool:
    """Whether two texts are one value: ``1e-3`` and ``0.001`` are."""
    try:
        return one == other or float(one) == float(other)
    except ValueError:
        return False


def _listed(what: str, names: Sequence[str]) -> str:
    return f"{what}: " + "; ".join(names)
