"""The shape of the code: how large files, functions and folders are, and what is named how.

The order of imports is in pyproject.toml, for `lint-imports`.
"""

import ast
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import diamond

ROOT = Path(diamond.__file__).parents[1]
PACKAGE = ROOT / "diamond"
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
MAX_FOLDER_FILES = 25
"""Modules of a folder, its own ``__init__`` aside."""
MAX_PARAMETERS = 7
MAX_UNTYPED = 60
UNTYPED = "dict[str, Any]"

MANY_PARAMETERS = {
    # Other packages call them by these names.
    "diamond/families/interface.py: part_stage",
    "diamond/world/vec.py: make_vec",
}
SHARED_STEMS = {
    "axes": "those of every run, those of a family, and the command",
    "axis_values": "values of axes of every run, and of a family",
    "fidelity": "the command, and the stage",
    "presets": "of every run, and of a family",
}


Function = ast.FunctionDef | ast.AsyncFunctionDef


MENDS = {
    "files": f"a file has at most {MAX_FILE_LINES} lines: split it by subject",
    "functions": f"a function has at most {MAX_FUNCTION_LINES} lines",
    "parameters": f"a function takes at most {MAX_PARAMETERS} parameters: make a record of some",
    "folders": f"a folder has at most {MAX_FOLDER_FILES} modules: make a folder in it",
    "stems": "no two files of the package have one name: give the new one another",
}


@cache
def texts() -> dict[str, str]:
    """The text of every module of the package by its path."""
    paths = sorted(PACKAGE.rglob("*.py"))
    return {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in paths}


def functions_in(body: list[ast.stmt]) -> Iterator[Function]:
    """The functions among statements and inside them; those in branches and loops are left out."""
    for node in body:
        if isinstance(node, Function):
            yield node
        if isinstance(node, Function | ast.ClassDef):
            yield from functions_in(node.body)


def num_parameters(function: Function) -> int:
    """How many parameters a function has, the object of a method aside."""
    own = function.args
    names = [one.arg for one in (*own.posonlyargs, *own.args, *own.kwonlyargs)]
    return len(names) - (names[:1] in (["self"], ["cls"]))


@cache
def broken() -> dict[str, set[str]]:
    """What is too large, or named as something else is, by rule."""
    found: dict[str, set[str]] = defaultdict(set)
    for path, text in texts().items():
        if len(text.splitlines()) > MAX_FILE_LINES:
            found["files"].add(path)
        for one in functions_in(ast.parse(text).body):
            if (one.end_lineno or 0) - one.lineno >= MAX_FUNCTION_LINES:
                found["functions"].add(f"{path}: {one.name}")
            if num_parameters(one) > MAX_PARAMETERS:
                found["parameters"].add(f"{path}: {one.name}")
    named = [Path(path) for path in texts() if not path.endswith(("__init__.py", "__main__.py"))]
    folders = Counter(path.parent.as_posix() for path in named)
    found["folders"] = {folder for folder, num in folders.items() if num > MAX_FOLDER_FILES}
    found["stems"] = {s for s, num in Counter(path.stem for path in named).items() if num > 1}
    return found


@pytest.mark.parametrize(
    ("rule", "known"),
    [
        ("files", set()),
        ("functions", set()),
        ("parameters", MANY_PARAMETERS),
        ("folders", set()),
        ("stems", set(SHARED_STEMS)),
    ],
)
def test_nothing_is_too_large_or_named_twice(rule: str, known: set[str]) -> None:
    assert broken()[rule] == known, MENDS[rule]


def test_few_values_are_of_any_type() -> None:
    assert sum(text.count(UNTYPED) for text in texts().values()) < MAX_UNTYPED
