"""The space of a sweep: its values, their texts, conditions, the grid."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diamond.sweep.objectives import QUANTITIES
from diamond.sweep.space import (
    Condition,
    DeclaredParameter,
    Parameter,
    Space,
    Value,
    check_conditions,
    condition_text,
    grid_of,
    is_asked,
    range_text,
    rounded,
    texts_of,
    values_of,
)
from tests.sweeps import WHOLE, read


def parameter(name: str, **declared: Any) -> Parameter:
    return Parameter.of(name, DeclaredParameter.model_validate(declared))


def test_a_file_becomes_the_space_and_the_aims_that_it_says() -> None:
    said = read()
    assert said.parameters == (
        Parameter("steps", "int", 1, 10, 1),
        Parameter("churn", "float", 0, 12),
        Parameter("sigma_max", "float", 1, 40, log=True),
        Parameter("sampler.quantizer", "categorical", choices=("floor", "round", "none")),
        Parameter(
            "quantize_at",
            "categorical",
            choices=("call", "end"),
            when=Condition("sampler.quantizer", ("floor", "round")),
        ),
    )
    assert said.settings == {"denoiser.updates": "50"}
    assert [measure.name for measure in said.measures] == ["l1"]
    assert said.directions == ("minimize",)
    assert said.budget.trials == 60
    assert said.pruner is None and said.baseline


def test_the_direction_of_an_objective_is_that_of_its_metric_unless_it_is_given() -> None:
    more = '[[objectives]]\nmetric = "psnr"\nat = 2\n\n[[objectives]]\nmetric = "l1"\n'
    said = read(WHOLE.replace('[[objectives]]\nmetric = "l1"\n', more))
    assert [measure.name for measure in said.measures] == ["psnr@2", "l1"]
    assert said.directions == ("maximize", "minimize")
    turned = WHOLE.replace('metric = "l1"', 'metric = "l1"\ndirection = "maximize"')
    assert read(turned).directions == ("maximize",)


def test_costs_and_errors_are_made_small_and_skills_and_returns_great() -> None:
    aims = {quantity.name: quantity.aim for quantity in QUANTITIES}
    assert {aims[name] for name in ("l1", "ms_per_frame", "num_parameters")} == {"minimize"}
    assert {aims[name] for name in ("psnr", "skill_copy_l1_fg", "return", "hns")} == {"maximize"}
    assert len(aims) == len(QUANTITIES)


@pytest.mark.parametrize(
    ("declared", "value", "text"),
    [
        ({"int": [1, 10]}, 3, "3"),
        ({"float": [0, 12]}, 3.14159265, "3.142"),
        ({"float": [0, 12]}, 3.0, "3"),
        ({"float": [0.0001, 0.1], "log": True}, 0.000123456, "0.0001235"),
        ({"float": [1000, 90000]}, 12345.678, "12350"),
        ({"choices": [1, 2]}, "2", "2"),
        ({"choices": ["floor", "none"]}, "none", "none"),
        ({"choices": [[16, 16], [32, 32]]}, "[32,32]", "[32,32]"),
    ],
)
def test_the_text_of_a_value(declared: Mapping[str, Any], value: Value, text: str) -> None:
    assert parameter("p", **declared).text(value) == text


@pytest.mark.parametrize(
    ("declared", "text", "value"),
    [
        ({"int": [1, 10]}, "3", 3),
        ({"int": [1, 10]}, "11", None),
        ({"int": [1, 10]}, "0", None),
        ({"int": [1, 10]}, "3.5", None),
        ({"int": [1, 10], "step": 3}, "7", 7),
        ({"int": [1, 10], "step": 3}, "8", None),
        ({"float": [0, 1]}, "0.25", 0.25),
        ({"float": [0, 1]}, "1.25", None),
        ({"float": [0, 1]}, "much", None),
        ({"float": [0.1, 0.7], "step": 0.2}, "0.3", 0.3),
        ({"float": [0.1, 0.7], "step": 0.2}, "0.4", None),
        ({"choices": ["a", "b"]}, "b", "b"),
        ({"choices": ["a", "b"]}, "c", None),
    ],
)
def test_a_text_is_read_as_a_value_that_the_parameter_may_have(
    declared: Mapping[str, Any], text: str, value: Value | None
) -> None:
    assert parameter("p", **declared).read(text) == value


@pytest.mark.parametrize(
    ("declared", "values"),
    [
        ({"int": [1, 4]}, (1, 2, 3, 4)),
        ({"int": [1, 10], "step": 4}, (1, 5, 9)),
        ({"float": [0, 0.3], "step": 0.1}, (0.0, 0.1, 0.2, 0.3)),
        ({"float": [0, 10], "step": 2.5}, (0.0, 2.5, 5.0, 7.5, 10.0)),
        ({"float": [0, 1], "step": 0.4}, (0.0, 0.4, 0.8)),
        ({"choices": [4, 2, 1]}, ("4", "2", "1")),
    ],
)
def test_the_values_of_a_finite_parameter(
    declared: Mapping[str, Any], values: tuple[Value, ...]
) -> None:
    found = parameter("p", **declared)
    assert found.is_finite
    assert found.values() == values
    assert found.ends() == (values if found.kind == "categorical" else (values[0], values[-1]))
    assert not parameter("p", float=[0, 1]).is_finite


def test_a_range_in_words() -> None:
    assert range_text(parameter("p", int=[1, 10])) == "1 to 10"
    assert range_text(parameter("p", int=[1, 10], step=3)) == "1 to 10, in steps of 3"
    assert range_text(parameter("p", float=[0.001, 0.1], log=True)) == "0.001 to 0.1, logarithmic"
    assert range_text(parameter("p", float=[0, 1], step=0.25)) == "0 to 1, in steps of 0.25"
    hanging = parameter("p", choices=[1, 2], when={"q": ["a", "b"]})
    assert range_text(hanging) == "1, 2"
    assert condition_text(hanging) == "where q is a or b"
    assert condition_text(parameter("p", int=[1, 2])) == ""


def test_a_grid_has_every_combination_once_and_asks_only_where_a_condition_holds() -> None:
    space = (
        parameter("a", int=[1, 2]),
        parameter("q", choices=["x", "y", "z"]),
        parameter("r", choices=["u", "v"], when={"q": ["x", "y"]}),
        parameter("s", int=[5, 7], when={"r": ["u"]}),
    )
    points = list(grid_of(space))
    below_r = 3 + 1  # r = u with three values of s, r = v without
    assert len(points) == 2 * (2 * below_r + 1)
    assert len({tuple(point.items()) for point in points}) == len(points)
    assert {"a": 1, "q": "z"} in points
    assert {"a": 2, "q": "y", "r": "u", "s": 6} in points
    assert not any("s" in point for point in points if point.get("r") != "u")


NUMBERS = st.integers(-9999, 9999).map(lambda n: rounded(n / 100))


@st.composite
def spaces(draw: st.DrawFn) -> Space:
    found: list[Parameter] = []
    for number in range(draw(st.integers(1, 5))):
        when = None
        closed = [p for p in found if p.kind == "categorical"]
        hangs: bool = draw(st.booleans())
        if closed and hangs:
            other = draw(st.sampled_from(closed))
            values = draw(st.lists(st.sampled_from(other.choices), min_size=1, unique=True))
            when = {other.name: values}
        declared: dict[str, Any] = {"when": when}
        match draw(st.sampled_from(["int", "float", "log", "choices"])):
            case "int":
                low = draw(st.integers(-50, 50))
                declared["int"] = [low, low + draw(st.integers(1, 60))]
            case "float":
                declared["float"] = sorted(draw(st.lists(NUMBERS, min_size=2, max_size=2)))
                declared["float"][1] += declared["float"][0] == declared["float"][1]
            case "log":
                declared["float"] = [0.0001 * draw(st.integers(1, 99)), draw(st.integers(1, 50))]
                declared["float"][0] = rounded(declared["float"][0])
                declared["log"] = True
            case _:
                texts = st.lists(st.text("abc12", min_size=1), min_size=2, max_size=4, unique=True)
                declared["choices"] = draw(texts)
        found.append(parameter(f"p{number}", **declared))
    assert check_conditions(found) is None
    return tuple(found)


def point_of(space: Space, draw: Callable[[st.SearchStrategy[Any]], Any]) -> dict[str, Value]:
    """A point as a sampler proposes it, with all digits of its floats."""
    chosen: dict[str, Value] = {}
    for one in space:
        if is_asked(one, chosen):
            match one.kind:
                case "categorical":
                    chosen[one.name] = draw(st.sampled_from(one.choices))
                case "int":
                    chosen[one.name] = draw(st.integers(int(one.low), int(one.high)))
                case _:
                    chosen[one.name] = draw(st.floats(one.low, one.high))
    return chosen


@given(st.data())
def test_texts_of_a_point_are_read_as_that_point(data: st.DataObject) -> None:
    space = data.draw(spaces())
    point = point_of(space, data.draw)
    texts = texts_of(space, point)
    assert list(texts) == list(point)
    found = values_of(space, texts)
    assert found == {n: rounded(v) if isinstance(v, float) else v for n, v in point.items()}
    assert texts_of(space, found or {}) == texts


def test_texts_outside_a_space_are_no_point_of_it() -> None:
    space = read().parameters
    texts = {"steps": "3", "churn": "0.0", "sigma_max": "5.0", "sampler.quantizer": "none"}
    assert values_of(space, texts) == {
        "steps": 3,
        "churn": 0.0,
        "sigma_max": 5.0,
        "sampler.quantizer": "none",
    }
    assert values_of(space, texts | {"sigma_max": "0.5"}) is None
    assert values_of(space, texts | {"sampler.quantizer": "ceil"}) is None
