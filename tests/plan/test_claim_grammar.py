"""The grammar of claims: what is written is what is read, and its linear form says the same."""

import operator
from collections.abc import Callable, Mapping

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from diamond.config.metric_table import METRIC_OF, METRICS
from diamond.errors import RequestError
from diamond.families.diamond.config import diamond_of
from diamond.plan.claims.claim_arms import NamedArm, arms_of_plan, find_arm, find_arms
from diamond.plan.claims.claim_grammar import (
    CLAIM_METRICS,
    FIDELITY_METRICS,
    RETURN_METRICS,
    Absolute,
    Binary,
    Comparison,
    Expression,
    Negation,
    Number,
    Quantity,
    claim_quantities,
    render,
    render_claim,
)
from diamond.plan.claims.claim_parser import parse_claim
from diamond.plan.claims.linear_claim import Linear, read_claim
from diamond.plan.make_plan import make_plan
from diamond.plan.plan_arms import AA_NAME
from diamond.plan.request import Request

QUANTITIES = (
    Quantity("l1", "steps=1"),
    Quantity("l1", "steps=3", 100),
    Quantity("psnr", "copy last frame", 5),
    Quantity("core_ratio", "denoiser.channels=[32,32] noise=lognormal(-0.4,1.2)"),
    Quantity("return", "one step"),
)
OPERATORS: Mapping[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}

numbers = st.floats(0, 1e6, allow_subnormal=False).map(Number)
leaves: st.SearchStrategy[Expression] = numbers | st.sampled_from(QUANTITIES)
expressions: st.SearchStrategy[Expression] = st.recursive(
    leaves,
    lambda inner: (
        inner.map(Negation)
        | inner.map(Absolute)
        | st.builds(Binary, st.sampled_from("+-*/"), inner, inner)
    ),
    max_leaves=12,
)
comparisons = st.builds(Comparison, expressions, st.sampled_from("<>"), expressions)


def _evaluated(expression: Expression, values: Mapping[Quantity, float]) -> float:
    match expression:
        case Number(value):
            return value
        case Quantity():
            return values[expression]
        case Negation(of):
            return -_evaluated(of, values)
        case Absolute(of):
            return abs(_evaluated(of, values))
        case Binary(sign, left, right):
            return OPERATORS[sign](_evaluated(left, values), _evaluated(right, values))


def _sum(part: Linear, values: Mapping[Quantity, float]) -> float:
    return part.constant + sum(factor * values[q] for q, factor in part.terms.items())


def test_claims_know_every_metric_of_the_scores() -> None:
    assert tuple(metric.name for metric in METRICS) == FIDELITY_METRICS
    assert set(CLAIM_METRICS) == {*METRIC_OF, *RETURN_METRICS}
    assert len(set(CLAIM_METRICS)) == len(CLAIM_METRICS)


@given(comparisons)
def test_a_rendered_claim_is_parsed_to_the_same(comparison: Comparison) -> None:
    try:
        read_claim(comparison)
    except RequestError:
        assume(False)
    assert parse_claim(render_claim(comparison)) == comparison


@given(comparisons, st.lists(st.floats(-100, 100), min_size=5, max_size=5))
def test_the_linear_form_holds_where_the_claim_does(
    comparison: Comparison, drawn: list[float]
) -> None:
    try:
        reading = read_claim(comparison)
    except RequestError:
        assume(False)
    values = dict(zip(QUANTITIES, drawn, strict=True))
    left, right = _evaluated(comparison.left, values), _evaluated(comparison.right, values)
    # Sums in another order differ by rounding: a claim that near to equal is left out.
    scale = max(
        [abs(part.constant) for part in reading.parts]
        + [abs(f * values[q]) for part in reading.parts for q, f in part.terms.items()]
        + [abs(left), abs(right)]
    )
    assume(abs(left - right) > 1e-6 * scale)
    held = [_sum(part, values) < 0 for part in reading.parts]
    if reading.relation == ">":
        held = [not below for below in held]
    claimed = left < right if comparison.relation == "<" else left > right
    assert (all(held) if reading.holds == "all" else any(held)) == claimed


@pytest.mark.parametrize(
    ("text", "terms", "constant"),
    [
        ("l1[steps=1] > l1[steps=3]", {"steps=1": 1, "steps=3": -1}, 0),
        ("l1[steps=1] < 0.5 * l1[steps=3]", {"steps=1": 1, "steps=3": -0.5}, 0),
        ("2 * (l1[steps=1] - 3) / 4 > -l1[steps=3]", {"steps=1": 0.5, "steps=3": 1}, -1.5),
        ("l1[ steps=1  ] > 1e-2", {"steps=1": 1}, -0.01),
        ("l1[steps=1] - l1[steps=3] > l1[steps=1] + .5", {"steps=3": -1}, -0.5),
    ],
)
def test_the_linear_form_in_closed_cases(
    text: str, terms: dict[str, float], constant: float
) -> None:
    (part,) = read_claim(parse_claim(text)).parts
    assert {quantity.arm: factor for quantity, factor in part.terms.items()} == terms
    assert part.constant == pytest.approx(constant, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("abs(l1[a] - l1[b]) < 1", "all"),
        ("abs(l1[a] - l1[b]) > 1", "any"),
        ("1 > abs(l1[a] - l1[b])", "all"),
        ("-abs(l1[a] - l1[b]) < 1", "any"),
    ],
)
def test_a_magnitude_is_two_differences(text: str, holds: str) -> None:
    reading = read_claim(parse_claim(text))
    assert (len(reading.parts), reading.holds) == (2, holds)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("l1[steps=1]", ("column 12", "compares two sides")),
        ("l1[steps=1] <= l1[steps=3]", ("'<='", "abs(a - b) < margin")),
        ("l2[steps=1] < 1", ("column 1", "'l2'", "Did you mean 'l1'?", "core_ratio")),
        ("l1 < 1", ("after l1 the arm", "l1[steps=1]")),
        ("l1[] < 1", ("names no arm",)),
        ("l1[@5] < 1", ("names no arm",)),
        ("l1[steps=1 @0] < 1", ("'0'", "time step")),
        ("l1[steps=1 @x] < 1", ("'x'", "time step")),
        ("return[steps=1 @5] > 1", ("return has no time steps",)),
        ("l1[steps=1 < 1", ("never closed",)),
        ("l1[a] * l1[b] < 1", ("multiplies two quantities",)),
        ("1 / l1[a] < 1", ("divides by a quantity",)),
        ("l1[a] / (1 - 1) < 1", ("divides by 0",)),
        ("abs(l1[a]) + abs(l1[b]) < 1", ("more than one abs",)),
        ("abs(abs(l1[a]) - 1) < 1", ("inside another",)),
        ("l1[a] < l1[a] + 1", ("no quantity is left",)),
        ("1 < 2", ("no quantity is left",)),
        ("l1[a] < 1 2", ("column 11", "should end")),
        ("l1[a] < __import__('os')", ("unknown metric '__import__'",)),
        ("l1[a] < 1e999", ("too large",)),
        ("(" * 100 + "l1[a]" + ")" * 100 + " < 1", ("inside each other",)),
        ("", ("column 1", "here a number")),
    ],
)
def test_what_is_no_claim_is_refused_with_the_reason(text: str, words: tuple[str, ...]) -> None:
    with pytest.raises(RequestError) as caught:
        parse_claim(text)
    for word in (*words, "for instance"):
        assert word in str(caught.value)


def _arms(*assignments: str, aa: bool = False) -> list[NamedArm]:
    plan = make_plan(
        Request(
            assignments, "smoke", ("Boxing",), 2, "fidelity", None, aa=aa, arms=("own: steps=7",)
        )
    )
    return arms_of_plan(plan, "Boxing")


@pytest.mark.parametrize(
    ("selector", "name"),
    [
        ("steps=1 denoiser.history=2", "steps=1 denoiser.history=2"),
        ("denoiser.history=4   steps=3", "steps=3 denoiser.history=4"),
        ("steps=3.0 denoiser.history=2", "steps=3 denoiser.history=2"),
        ("steps=1 denoiser.history=2 sampler.order=1", "steps=1 denoiser.history=2"),
        ("steps=7", "own"),
        ("own", "own"),
        ("copy last frame", "copy last frame"),
    ],
)
def test_an_arm_is_found_by_name_or_by_values(selector: str, name: str) -> None:
    assert find_arm(selector, _arms("steps=1,3", "denoiser.history=2,4")).name == name


@pytest.mark.parametrize(
    ("selector", "words"),
    [
        ("steps=1", ("fits 2 arms", "steps=1 denoiser.history=2", "steps=1 denoiser.history=4")),
        ("steps=2", ("no arm has 'steps=2'", "steps=3 denoiser.history=4", "copy last frame")),
        ("copy last", ("no arm is called", "Did you mean 'copy last frame'?")),
        ("stpes=1", ("unknown axis 'stpes'", "Did you mean 'steps'?")),
        ("steps=1 denoiser.history=2 sampler.order=2", ("no arm has",)),
    ],
)
def test_an_arm_that_is_not_told_apart_is_refused(selector: str, words: tuple[str, ...]) -> None:
    with pytest.raises(RequestError) as caught:
        find_arm(selector, _arms("steps=1,3", "denoiser.history=2,4"))
    for word in words:
        assert word in str(caught.value)


def test_values_never_mean_the_baseline_with_other_seeds() -> None:
    arms = _arms("steps=1,3", aa=True)
    assert AA_NAME in {arm.name for arm in arms}
    assert find_arm("steps=1", arms).name == "steps=1"


def _formulation_arms(*texts: str, base: str) -> list[NamedArm]:
    request = Request((), "smoke", ("Boxing",), 1, "fidelity", None, arms=texts, settings=(base,))
    return arms_of_plan(make_plan(request), "Boxing")


def test_a_formulation_in_a_claim_is_what_the_arm_has() -> None:
    arms = _formulation_arms(
        "EDM: formulation=edm steps=1", "few: steps=1", "v: target=v", base="formulation=ddpm"
    )
    assert [diamond_of(arm.config).denoiser.target for arm in arms[:3]] == ["edm", "eps", "v"]
    assert find_arm("formulation=edm steps=1", arms).name == "EDM"
    assert find_arm("formulation=ddpm steps=1", arms).name == "few"
    assert find_arm("formulation=ddpm", arms).name == "few"
    with pytest.raises(RequestError, match="no arm has"):
        find_arm("formulation=edm target=v", arms)


def test_an_arm_that_changes_a_part_of_its_formulation_is_found_by_both() -> None:
    arms = _formulation_arms("one: formulation=ddpm target=v", "two: target=v", base="steps=2")
    assert find_arm("formulation=ddpm target=v", arms).name == "one"
    # What it was called is not enough: the config has to be it.
    mislabelled = NamedArm("EDM", True, {"formulation": "edm"}, arms[0].config)
    with pytest.raises(RequestError, match="no arm has"):
        find_arm("formulation=edm", [mislabelled])


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("return[copy last frame] < return[steps=1]", "plays nothing"),
        ("psnr[copy last frame] < psnr[median background]", "only baselines"),
    ],
)
def test_a_claim_is_about_trained_arms(text: str, word: str) -> None:
    with pytest.raises(RequestError, match=word):
        find_arms(parse_claim(text), _arms("steps=1,3"))


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("l1[resolution=32] < l1[resolution=48]", True),
        ("l1[copy last frame] > l1[resolution=48]", True),
        ("psnr[resolution=32] < core_ratio_real[resolution=48]", True),
        ("l1[copy last frame] > l1[resolution=32]", False),
        ("return[resolution=32] < return[resolution=48]", False),
        ("l1[resolution=32] < 0.1 * return[resolution=48]", False),
    ],
)
def test_frames_of_different_resolution_are_not_compared(text: str, refused: bool) -> None:
    plan = make_plan(Request(("resolution=32,48",), "smoke", ("Boxing",), 1, None, None))
    arms = arms_of_plan(plan, "Boxing")
    if not refused:
        assert find_arms(parse_claim(text), arms)
        return
    with pytest.raises(RequestError, match=r"at 32 x 32 pixels.*at 48 x 48 pixels"):
        find_arms(parse_claim(text), arms)


def test_quantities_of_a_claim_stand_once() -> None:
    claim = parse_claim("l1[a] - abs(l1[b]) < l1[a] + 1")
    assert [render(quantity) for quantity in claim_quantities(claim)] == ["l1[a]", "l1[b]"]
