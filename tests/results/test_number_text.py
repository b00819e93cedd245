"""Numbers as text."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diamond.results.number_text import p_text, signed, with_bounds, written

VALUES = st.floats(-1e6, 1e6, allow_nan=False)
WIDTHS = st.floats(1e-8, 1e6)


@given(VALUES, WIDTHS, st.floats(0, 1))
def test_the_width_of_an_interval_is_never_hidden_by_rounding(
    lo: float, width: float, share: float
) -> None:
    hi = lo + width
    width = hi - lo  # What is left of it beside a large value.
    text, bounds = written(lo + share * width, lo, hi)
    lo_text, hi_text = bounds.split(" to ")
    shown = float(hi_text) - float(lo_text)
    if width < 1e-8:
        return
    # Each bound is off by half a unit of the second digit at most: by a tenth of the width.
    assert abs(shown - width) <= 0.1 * width * (1 + 1e-6) + 1e-9
    assert _decimals(text) == _decimals(lo_text) == _decimals(hi_text)


@given(VALUES, WIDTHS)
def test_a_wide_interval_has_no_more_than_two_digits_of_its_width(lo: float, width: float) -> None:
    _, bounds = written(lo, lo, lo + width)
    text = bounds.split(" to ")[0]
    if "e" not in text and "." in text:
        assert (lo + width - lo) * 10 ** _decimals(text) < 100 * (1 + 1e-6)


@given(st.floats(-1e-11, 1e-11))
def test_what_rounding_leaves_of_zero_is_zero(dust: float) -> None:
    assert written(dust) == ("0", "")
    assert signed(dust, -abs(dust), abs(dust)) == ("0", "0 to 0")


@given(VALUES)
def test_a_value_without_interval_has_three_digits(value: float) -> None:
    text = written(value).text
    if abs(value) >= 1e-10:
        assert math.isclose(float(text), value, rel_tol=0.0051)


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ((0.5534, 0.5412, 0.5661), "0.553 (0.541 to 0.566)"),
        ((3.0, 3.0, 3.0), "3.00 (3.00 to 3.00)"),
        ((6490, 5790, 7120), "6490 (5790 to 7120)"),
        ((1.5e-7, 1.4e-7, 1.6e-7), "1.50e-7 (1.40e-7 to 1.60e-7)"),
        ((-0.0001, -0.02, 0.019), "0.000 (-0.020 to 0.019)"),
        ((None, None, None), "–"),
    ],
)
def test_examples(numbers: tuple[float, float, float], text: str) -> None:
    assert with_bounds(written(*numbers)) == text


def test_differences_have_a_sign_and_small_p_values_a_bound() -> None:
    assert with_bounds(signed(0.0721, 0.0671, 0.0769)) == "+0.0721 (0.0671 to 0.0769)"
    assert p_text(2e-17) == "< 0.0001"
    assert p_text(0.0312) == "0.0312"


def _decimals(text: str) -> int:
    number, _, exponent = text.partition("e")
    return len(number.partition(".")[2]) - int(exponent or 0)
