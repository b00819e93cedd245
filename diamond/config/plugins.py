"""What other packages bring: objects found by an entry point or by ``module:NAME``."""

import ast
from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from diamond.config.base import first_reason
from diamond.errors import RequestError, did_you_mean


@cache
def entry_points_of(group: str) -> Mapping[str, tuple[EntryPoint, ...]]:
    """The entry points of a group that installed packages declare, by name."""
    found: dict[str, list[EntryPoint]] = {}
    for point in entry_points(group=group):
        found.setdefault(point.name, []).append(point)
    return {name: tuple(points) for name, points in found.items()}


def load_entry_point(group: str, name: str, what: str) -> Any:
    """Load the object of an entry point, whose name is one of `entry_points_of`.

    Args:
        group: Such as ``diamond.families``.
        name: Of the entry point.
        what: What it is, for the error.

    Raises:
        RequestError: It does not load; the text has its own error. Or several packages have one of
            that name.
    """
    points = entry_points_of(group)[name]
    packages = sorted(
        "unknown" if point.dist is None else f"{point.dist.name} {point.dist.version}"
        for point in points
    )
    places = sorted({point.value for point in points})
    if len(places) > 1:
        raise RequestError(
            f"the packages {' and '.join(packages)} bring a {what} {name!r} each\n"
            f"  say which one by its place: {' or '.join(places)}"
        )
    return load_object(places[0], f"{what} {name!r} of the package {packages[0]}")


def load_object(where: str, called: str) -> Any:
    """Load the object at ``module:NAME``, whose form was checked before.

    Args:
        called: What it is and where it comes from, for the error.

    Raises:
        RequestError: It does not load; the text has its own error.
    """
    module, _, name = where.partition(":")
    try:
        return EntryPoint(name, where, "").load()
    except Exception as error:
        told = (
            first_reason(error)
            if isinstance(error, ValidationError)
            else f"{type(error).__name__}: {error}"
        )
        raise RequestError(f"{called} does not load: {told}\n  {_how(module)}") from error


def load_named(where: str, what: str) -> Any:
    """Load the object that ``module:NAME`` names.

    Raises:
        RequestError: It is not written so, or does not load; the text has its own error.
    """
    _split(where, what)
    return load_object(where, f"{what} {where!r}")


def source_of(where: str, what: str) -> Path:
    """The file of the module of ``module:NAME``, which is not loaded.

    Raises:
        RequestError: It is not written so, there is no such module of Python source, or the module
            defines no such name.
    """
    module, name = _split(where, what)
    try:
        spec = find_spec(module)
    except Exception as error:
        raise RequestError(
            f"{what} {where!r}: {type(error).__name__}: {error}\n  {_how(module)}"
        ) from error
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        raise RequestError(f"{what} {where!r}: there is no module {module!r}\n  {_how(module)}")
    path = Path(spec.origin)
    try:
        names = _names(ast.parse(path.read_bytes()))
    except SyntaxError as error:
        raise RequestError(
            f"{what} {where!r}: {path.name} is no Python: {error}\n  mend line {error.lineno}"
        ) from error
    if name not in names:
        guess = did_you_mean(name, names)
        raise RequestError(f"{what} {where!r}: {path.name} defines no {name!r}.{guess}")
    return path


def _split(where: str, what: str) -> tuple[str, str]:
    module, colon, name = where.partition(":")
    if not (module and colon and name.isidentifier()):
        raise RequestError(f"{what} {where!r}: expected module:NAME, for instance my_package:NAME")
    return module, name


def _how(module: str) -> str:
    return (
        f"`python -c 'import {module}'` shows more; a module is found when its package is installed"
    )


def _names(tree: ast.Module) -> set[str]:
    """What a module defines or imports at its top level."""
    names: set[str] = set()
    for node in tree.body:
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
                names.add(name)
            case ast.ImportFrom(names=found) | ast.Import(names=found):
                names |= {alias.asname or alias.name for alias in found}
            case ast.Assign(targets=targets):
                names |= {target.id for target in targets if isinstance(target, ast.Name)}
            case ast.AnnAssign(target=ast.Name(id=name)):
                names.add(name)
            case _:
                pass
    return names
