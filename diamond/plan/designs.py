"""Designs: which values of which axes stand together in an arm; no config is made here.

The first setting of a design is its baseline. A path between two configs: `diamond.plan.path`.
"""

from collections.abc import Callable, Sequence
from itertools import product
from typing import assert_never

from diamond.errors import RequestError
from diamond.plan.find_axis import Axis, find_axis, load_families
from diamond.plan.grammar import Assignment, parse_assignment, split_outside
from diamond.plan.request import Design
from diamond.plan.variants import Setting, check_axes, name_of

Factor = tuple[Axis, tuple[str, ...]]
"""An axis and the texts of its values."""


def lay_out(design: Design, assignments: Sequence[Assignment]) -> tuple[Setting, ...]:
    """The settings of a design over axes, its baseline first.

    Raises:
        RequestError: An axis does not exist, two set the same field, or they do not fit the design.
    """
    load_families({given.name: given.values for given in assignments})
    factors = [(find_axis(given.name), given.values) for given in assignments]
    check_axes([axis for axis, _ in factors])
    match design:
        case "grid":
            return _grid(factors)
        case "ofat":
            return _one_at_a_time(factors)
        case "zip":
            return _side_by_side(factors)
        case "path":
            raise ValueError("a path is between two configs, not over axes")
        case _:
            assert_never(design)


def read_arms(texts: Sequence[str]) -> tuple[Setting, ...]:
    """Read arms that are written out: ``name: steps=3 denoiser.history=2``.

    Raises:
        RequestError: A name is absent or cannot be shown, or a setting is malformed.
    """
    return tuple(_read_arm(text) for text in texts)


def read_setting(
    texts: Sequence[str], option: str, find: Callable[[str], Axis] = find_axis
) -> Setting:
    """Read ``steps=3 denoiser.history=2``, one value per axis, perhaps over several options.

    Args:
        texts: One text per time that the option was given.
        option: What to call it in an error: ``--from``.
        find: Finds an axis by its name.

    Raises:
        RequestError: A setting is malformed, has several values, or stands there twice.
    """
    words = [word for text in texts for word in split_outside(text, " ") if word]
    assignments = [(word, parse_assignment(word)) for word in words]
    load_families({given.name: given.values for _, given in assignments})
    chosen = []
    for word, given in assignments:
        if len(given.values) > 1:
            raise RequestError(
                f"{option}: {word!r} has {len(given.values)} values; an arm has one value per axis"
                f"\n  for instance {given.name}={given.values[0]}"
            )
        chosen.append((find(given.name), given.values[0]))
    names = [axis.name for axis, _ in chosen]
    for name in names:
        if names.count(name) > 1:
            raise RequestError(f"{option} sets {name} twice; an arm has one value per axis")
    check_axes([axis for axis, _ in chosen])
    return Setting(name_of(tuple(chosen)), tuple(chosen))


def _grid(factors: Sequence[Factor]) -> tuple[Setting, ...]:
    axes = [axis for axis, _ in factors]
    chosen = [
        tuple(zip(axes, texts, strict=True)) for texts in product(*(texts for _, texts in factors))
    ]
    return tuple(Setting(name_of(one), one) for one in chosen)


def _one_at_a_time(factors: Sequence[Factor]) -> tuple[Setting, ...]:
    """The first values together, then each further value alone, named by what differs."""
    _check_bundles([axis for axis, _ in factors])
    first = tuple((axis, texts[0]) for axis, texts in factors)
    settings = [Setting(name_of(first), first)]
    for place, (axis, texts) in enumerate(factors):
        for text in texts[1:]:
            chosen = (*first[:place], (axis, text), *first[place + 1 :])
            settings.append(Setting(f"{axis.name}={text}", chosen))
    return tuple(settings)


def _check_bundles(axes: Sequence[Axis]) -> None:
    """One factor at a time, an axis that changes a field of a bundle would undo a part of it."""
    for bundle in axes:
        for axis in axes:
            shared = set(bundle.fields) & set(axis.fields)
            if axis is not bundle and bundle.kind == "bundle" and shared:
                raise RequestError(
                    f"--design ofat: {bundle.name} sets {', '.join(sorted(shared))} too, which "
                    f"{axis.name} would hold at its first value\n"
                    "  vary them in two studies, or write the arms out: "
                    f"--arm 'name: {bundle.name}=... {axis.name}=...'"
                )


def _side_by_side(factors: Sequence[Factor]) -> tuple[Setting, ...]:
    lengths = {axis.name: len(texts) for axis, texts in factors}
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        raise RequestError(
            f"--design zip takes lists of equal length: {shown} values\n"
            "  give each axis as many values, or use --design grid for all combinations"
        )
    axes = [axis for axis, _ in factors]
    chosen = [
        tuple(zip(axes, texts, strict=True))
        for texts in zip(*(texts for _, texts in factors), strict=True)
    ]
    return tuple(Setting(name_of(one), one) for one in chosen)


def _read_arm(text: str) -> Setting:
    name, colon, rest = text.partition(":")
    name = " ".join(name.split())
    if not colon or not name:
        raise RequestError(
            f"--arm {text!r}: an arm is written 'name: axis=value axis=value'\n"
            "  for instance --arm 'two steps: steps=2 denoiser.history=2'"
        )
    if not name.isprintable():
        raise RequestError(
            f"--arm {text!r}: the name {name!r} has a letter that cannot be shown\n"
            "  for instance --arm 'two steps: steps=2 denoiser.history=2'"
        )
    if "|" in name or "=" in name:
        raise RequestError(
            f"--arm {text!r}: the name {name!r} has a '|' or an '=', which other names are made of"
            "\n  for instance --arm 'two steps: steps=2 denoiser.history=2'"
        )
    return Setting(name, read_setting((rest,), f"--arm {name!r}").chosen)
