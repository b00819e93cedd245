"""Reading a TOML file into a record, with errors that name the line and what is allowed there."""

import os
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

from pydantic import BaseModel, BeforeValidator, StrictStr, ValidationError
from pydantic_core import ErrorDetails

from diamond.config.base import Record, canonical_json
from diamond.errors import RequestError, did_you_mean
from diamond.plan.grammar import one_form

Key = tuple[str | int, ...]
"""Where a value stands: keys and positions from the top of the file."""
R = TypeVar("R", bound=Record)
SUFFIX = ".toml"
PACKAGED = resources.files("diamond.plan") / "declared"
"""Declarations that come with the package, in folders by kind."""
_LONG_KEY = re.compile(r"(?:[\w-]+\s*\.\s*){100}")
"""More parts than a key of ours has; reading a key takes the square of their number in memory."""


def find_file(word: str, folder: str) -> Path | None:
    """The file that a word means, absolute; None where there is none.

    Args:
        word: The path of a .toml file, or the name of one in the folder.
        folder: Name of a folder here, and of the one that comes with the package.
    """
    if word.endswith(SUFFIX):
        path = Path(word).absolute()
        return path if path.is_file() else None
    paths = (place / f"{word}{SUFFIX}" for place in _places(folder))
    return next((path for path in paths if os.sep not in word and path.is_file()), None)


def find_named(word: str, folder: str, kind: str, refusal: Callable[[str, str], str]) -> Path:
    """The file that a word means.

    Args:
        word: The path of a .toml file, or the name of one in the folder.
        folder: As in `find_file`.
        kind: What it should be: ``"declaration"``.
        refusal: What is said of a name that is none, given a guess and the names that there are.

    Raises:
        RequestError: There is no such file.
    """
    path = find_file(word, folder)
    if path is not None:
        return path
    names = names_in(folder)
    if word.endswith(SUFFIX):
        raise no_such_file(word, kind, names)
    shown = ", ".join(names) or f"none in {folder}/ of this folder"
    raise RequestError(refusal(did_you_mean(word, names), shown))


def names_in(folder: str) -> list[str]:
    """Names of the files of a folder that can be given without a path; see `find_file`."""
    return sorted({path.stem for place in _places(folder) for path in place.glob(f"*{SUFFIX}")})


def no_such_file(word: str, kind: str, names: Sequence[str]) -> RequestError:
    """Build the error for the path of a file that does not exist.

    Args:
        kind: What it should be: ``"declaration"``.
        names: What can be given by name.
    """
    files = map(str, Path(word).parent.glob(f"*{SUFFIX}"))
    hint = did_you_mean(word, [*names, *files])
    return RequestError(
        f"there is no {kind} {word!r}.{hint}\n  give a file that exists, or one of: "
        f"{', '.join(names) or 'none here'}"
    )


def _places(folder: str) -> list[Path]:
    # In a checkout the package's folder is a link to that of the repository.
    return [Path.cwd() / folder, Path(str(PACKAGED / folder)).resolve()]


def read_text(path: Path, kind: str) -> str:
    """Read a file.

    Args:
        kind: What it should be, for the error: ``"declaration"``.

    Raises:
        RequestError: It cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(
            f"cannot read the {kind} {str(path)!r}: {error}\n  give a TOML file in UTF-8"
        ) from error


def read_record(text: str, path: Path, model: type[R], guide: str) -> R:
    """Read the text of a TOML file into a record.

    Args:
        path: Its file, for errors.
        guide: Which page shows a whole file of this kind.

    Raises:
        RequestError: It is not valid; the text names the line.
    """
    try:
        if _LONG_KEY.search(text):
            raise RecursionError
        return model.model_validate(tomllib.loads(text), context={"folder": path.parent})
    except tomllib.TOMLDecodeError as error:
        raise RequestError(f"{path}: not TOML: {error}\n  {guide}") from error
    except RecursionError as error:
        raise RequestError(f"{path}: tables or lists are nested too deeply\n  {guide}") from error
    except ValidationError as error:
        # A misspelt key is also a missing one: the misspelling says more.
        first = min(error.errors(), key=lambda item: item["type"] != "extra_forbidden")
        raise _invalid(path, text, first, model) from error


def run_checks(text: str, path: Path, checks: Iterable[tuple[Key, Callable[[], object]]]) -> None:
    """Run what a record alone cannot check, each with the place that is at fault.

    Raises:
        RequestError: The first check that fails; the text names the line.
    """
    for key, check in checks:
        try:
            check()
        except RequestError as error:
            raise at_line(path, text, key, str(error)) from error


def at_line(path: Path, text: str, place: Key, why: str) -> RequestError:
    """Build the error for a place in a file."""
    line = line_of(text, place)
    return RequestError(f"{path}{'' if line is None else f', line {line}'}: {why}")


def text_of(value: object) -> str:
    """The text of an axis value that stands in a file as text, a number or a list of numbers.

    Its numbers have the form that the command line gives them.

    Raises:
        ValueError: It is something else.
    """
    if isinstance(value, str):
        return one_form(value)
    if isinstance(value, bool | int | float | list):
        return one_form(canonical_json(value))
    raise ValueError(f"{value!r} is no value of an axis: give text, a number or a list of numbers")


AxisText = Annotated[StrictStr, BeforeValidator(text_of)]


def _option_of(value: object) -> object:
    """Text or a whole number, as text; what else stands in a file is refused."""
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise ValueError("write it as text, in quotes")


SlurmOptions = dict[str, Annotated[StrictStr, BeforeValidator(_option_of)]]
"""What a file says to Slurm; `check_options` judges it."""


def join_dotted(
    table: object, is_leaf: Callable[[Mapping[str, Any]], bool] = lambda _: False
) -> object:
    """Join the tables that a dotted key makes: ``denoiser.history`` is one axis.

    Args:
        table: What stands there; anything but a table stays as it is.
        is_leaf: Whether a table inside is a value itself.
    """
    return dict(_leaves(table, "", is_leaf)) if isinstance(table, dict) else table


def _leaves(
    table: Mapping[str, Any], prefix: str, is_leaf: Callable[[Mapping[str, Any]], bool]
) -> Iterator[tuple[str, Any]]:
    for name, value in table.items():
        if isinstance(value, dict) and not is_leaf(value):
            yield from _leaves(value, f"{prefix}{name}.", is_leaf)
        else:
            yield prefix + name, value


def _invalid(path: Path, text: str, error: ErrorDetails, model: type[BaseModel]) -> RequestError:
    """The first thing that is wrong with the shape of a file."""
    place: Key = error["loc"]
    record = _record_at(model, place[:-1])
    allowed = [field.alias or name for name, field in record.model_fields.items()]
    where = ".".join(f"[{part}]" if isinstance(part, int) else part for part in place)
    where = where.replace(".[", "[")
    match error["type"]:
        case "extra_forbidden":
            hint = did_you_mean(str(place[-1]), allowed)
            why = f"unknown key {place[-1]!r}.{hint}\n  allowed: {', '.join(allowed)}"
        case "missing":
            field = _field(record, str(place[-1]))
            why = f"{where} is missing: {field.description if field else ''}"
        case _:
            message = error["msg"].removeprefix("Value error, ")
            shown = f"{where} = {error['input']!r}: " if place else ""
            why = f"{shown}{message[:1].lower()}{message[1:]}"
    return at_line(path, text, place, why)


def _record_at(model: type[BaseModel], place: Key) -> type[BaseModel]:
    """The innermost record on the way to a place."""
    record, annotation = model, Any
    for part in place:
        field = _field(record, str(part)) if annotation is Any else None
        annotation = field.annotation if field else annotation
        inner = _record_in(annotation)
        if inner is None:
            annotation = Any
        elif field is None or not _holds_many(annotation):
            record, annotation = inner, Any
    return record


def _field(record: type[BaseModel], key: str) -> Any:
    return next(
        (field for name, field in record.model_fields.items() if key in (name, field.alias)), None
    )


def _record_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_record_in(inner) for inner in get_args(annotation))
    return next((record for record in found if record is not None), None)


def _holds_many(annotation: Any) -> bool:
    """Whether a field holds a table or list of records, so that one more key leads to each."""
    return any(name in str(annotation) for name in ("dict[", "tuple["))


def line_of(text: str, path: Sequence[str | int]) -> int | None:
    """Find the line on which a key begins, for an element of a list that of the list.

    The text is read line by line: the first beginning of it that holds the key ends with the key's
    value, which began after the last beginning that could be read.

    Args:
        text: A valid TOML text.
        path: Keys and positions from the top, such as ``("claims", 0, "text")``; a key with dots
            may stand there in parts. Where the end of the path is not there, its nearest holder is
            looked for.

    Returns:
        The line, counted from 1; None where nothing of the path is there.
    """
    for length in range(len(path), 0, -1):
        if _holds(tomllib.loads(text), path[:length]):
            return _first_line(text, path[:length])
    return None


def _first_line(text: str, path: Sequence[str | int]) -> int:
    lines = text.splitlines(keepends=True)
    readable = 0
    for number in range(1, len(lines) + 1):
        try:
            data = tomllib.loads("".join(lines[:number]))
        except tomllib.TOMLDecodeError:
            continue
        if _holds(data, path):
            return readable + 1
        readable = number
    raise AssertionError("the whole text holds the path")


def _holds(data: Any, path: Sequence[str | int]) -> bool:
    if not path:
        return True
    key, *rest = path
    if isinstance(key, int):
        return isinstance(data, list) and key < len(data) and _holds(data[key], rest)
    if not isinstance(data, dict):
        return False
    if key in data:
        return _holds(data[key], rest)
    first, dot, inner = key.partition(".")
    return bool(dot) and first in data and _holds(data[first], [inner, *rest])
