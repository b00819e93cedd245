"""The grammar of `axis=v1,v2` on the command line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diamond.errors import RequestError
from diamond.plan.grammar import Assignment, one_form, parse_assignment, parse_assignments

NAMES = st.from_regex(r"[a-z_]{1,8}(\.[a-z_]{1,8}){0,2}", fullmatch=True)
PLAIN = st.from_regex(r"[A-Za-z0-9_.+-]{1,8}", fullmatch=True)
CALLED = st.tuples(PLAIN, st.lists(PLAIN, max_size=4)).map(lambda c: f"{c[0]}({','.join(c[1])})")
BRACKETED = st.lists(
    st.integers(-99, 99) | st.lists(st.integers(0, 9), max_size=3), max_size=4
).map(lambda items: str(items).replace(" ", ""))
VALUES = st.lists((PLAIN | BRACKETED | CALLED).map(one_form), min_size=1, max_size=5, unique=True)
BLANKS = st.text(" \t", max_size=2)


@given(NAMES, VALUES)
def test_what_is_written_is_read(name: str, values: list[str]) -> None:
    assert parse_assignment(f"{name}={','.join(values)}") == Assignment(name, tuple(values))


@given(NAMES, VALUES, BLANKS)
def test_blanks_around_words_do_not_matter(name: str, values: list[str], blank: str) -> None:
    comma = f"{blank},{blank}"
    text = f"{blank}{name}{blank}={blank}{comma.join(values)}{blank}"
    assert parse_assignment(text) == Assignment(name, tuple(values))


@given(st.text(max_size=20))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        assignment = parse_assignment(text)
    except RequestError:
        return
    assert assignment.name
    assert all(assignment.values)
    assert len(set(assignment.values)) == len(assignment.values) >= 1


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("steps=1,3,10", ("1", "3", "10")),
        ("denoiser.channels=[32,32],[64,64]", ("[32,32]", "[64,64]")),
        ("a=[[1,2],[3]],[]", ("[[1,2],[3]]", "[]")),
        ('a={"x":[1,2]},3', ('{"x":[1,2]}', "3")),
        ("a=b=c", ("b=c",)),
        ("noise=timesteps,lognormal(-0.4,1.2)", ("timesteps", "lognormal(-0.4,1.2)")),
        ("a=f(1,[2,3]),g()", ("f(1,[2,3])", "g()")),
        ("a=1.0,+3,05,1e1", ("1", "3", "5", "10")),
        ("a=1e-3,.5,-0.0,2.50", ("0.001", "0.5", "0", "2.5")),
        ("a=[64, 64.0],f(-0.40, 1),0.10:1.0", ("[64,64]", "f(-0.4,1)", "0.1:1")),
        ("a=runs/1.0,1.0.0,nan,1e400,x1.0", ("runs/1.0", "1.0.0", "nan", "1e400", "x1.0")),
    ],
)
def test_examples(text: str, values: tuple[str, ...]) -> None:
    assert parse_assignment(text).values == values


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**20), 10**20))
def test_every_way_to_write_a_number_has_one_form(number: float) -> None:
    forms = {repr(number), f"{number:+}", f"{number:.17e}", f" {number!r} "}
    assert all(float(one_form(form)) == number for form in forms)
    if abs(number) < 2**53:
        assert len({one_form(form) for form in forms}) == 1


@pytest.mark.parametrize("text", ["steps", "", "=1,3", "  =1", "1,3"])
def test_no_equals_sign_or_no_name(text: str) -> None:
    with pytest.raises(RequestError, match=r"is written axis=value,value\n.*steps=1,3,10"):
        parse_assignment(text)


@pytest.mark.parametrize("text", ["steps=", "steps=1,,3", "steps=1,", "steps=,1", "steps= , "])
def test_an_empty_value(text: str) -> None:
    with pytest.raises(RequestError, match="has an empty value; write steps=1,3 without gaps"):
        parse_assignment(text)


@pytest.mark.parametrize("text", ["steps=1,3,1", "steps=[1], [1]"])
def test_a_repeated_value(text: str) -> None:
    with pytest.raises(RequestError, match="repeats the value"):
        parse_assignment(text)


@pytest.mark.parametrize(
    "text",
    ["a=[1,2", "a=1]", "a=]1[", "a=[[1]", "a={1,2", "a=1],[2", "a=f(1", "a=1)", "a=(1]", "a=([1)]"],
)
def test_brackets_that_do_not_match(text: str) -> None:
    with pytest.raises(RequestError, match="brackets do not match"):
        parse_assignment(text)


def test_assignments_keep_their_order() -> None:
    first, second = parse_assignments(("steps=1,3", "sampler.order=1,2"))
    assert (first.name, second.name) == ("steps", "sampler.order")


def test_nothing_to_vary() -> None:
    with pytest.raises(RequestError, match=r"nothing to vary.*\n.*steps=1,3,10\n.*diamond axes"):
        parse_assignments(())


def test_an_axis_given_twice() -> None:
    with pytest.raises(RequestError, match=r"axis 'steps' is given twice.*steps=a,b"):
        parse_assignments(("steps=1", "sampler.order=1", "steps=3"))


def test_one_bad_assignment_refuses_all() -> None:
    with pytest.raises(RequestError, match="cannot read 'order'"):
        parse_assignments(("steps=1", "order"))
