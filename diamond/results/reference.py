"""docs/reference/result.md, made from the records: ``python -m diamond.results.reference``."""

import re
from collections.abc import Iterator
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from diamond.config.base import Record
from diamond.results.benchmark_model import Benchmark
from diamond.results.model import Result

HEAD = """\
# The result

`diamond ablate`, `sweep`, `train` and `fidelity` print it with `--json`, and `report.json` of a
study's folder holds it: one value, in which a number that is not defined is null and NaN never
appears. From Python it is `diamond.results.model.Result`, frozen; `diamond.results.document` reads
and writes it.

In the file, numbers that arms and runs share, because they share a stage, stand once: `scores` at
the top holds `metrics` and `curves` by a hash of their content, and in place of these two an arm or
a run has `scores`, the hashes of its own. `sha256` seals the file: SHA-256 of all the rest as JSON
with sorted names.

This page is made from the records:
`python -m diamond.results.reference > docs/reference/result.md`.
"""
SCORES_HEAD = """\
# The scores of a benchmark

`diamond scores --json` prints them.
"""
_NAMES = {str: "text", int: "integer", float: "number", bool: "true or false", NoneType: "null"}


def reference_page() -> str:
    """The page of the docs."""
    return "\n".join([HEAD, *_sections(Result), SCORES_HEAD, *_sections(Benchmark)])


def _sections(root: type[Record]) -> Iterator[str]:
    """A table for each record that a value holds, in the order in which they are met."""
    for record in _records(root):
        yield f"## {record.__name__}\n\n{_sentence(record)}\n"
        yield "| field | type | what |\n|---|---|---|"
        for name, field in record.model_fields.items():
            yield f"| `{name}` | {_type(field.annotation)} | {_cell(field.description or '')} |"
        yield ""


def _sentence(record: type[Record]) -> str:
    return (record.__doc__ or "").splitlines()[0]


def _records(root: type[Record]) -> list[type[Record]]:
    found = [root]
    for record in found:
        for field in record.model_fields.values():
            found += [one for one in _inside(field.annotation) if one not in found]
    return found


def _inside(annotation: Any) -> list[type[Record]]:
    if isinstance(annotation, type) and issubclass(annotation, Record):
        return [annotation]
    return list(dict.fromkeys(one for part in get_args(annotation) for one in _inside(part)))


def _type(annotation: Any) -> str:
    """A type as a person reads JSON."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(parts[0])
    if origin is Literal:
        return " or ".join(f"`{part}`" for part in parts)
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(_type(part) for part in parts))
    if origin is tuple:
        return f"list of {_type(parts[0])}"
    if origin is dict:
        return f"by name: {_type(parts[1])}"
    if isinstance(annotation, type) and issubclass(annotation, Record):
        return f"[{annotation.__name__}](#{annotation.__name__.lower()})"
    return _NAMES.get(annotation, "any JSON")


def _cell(text: str) -> str:
    return re.sub(r"\|", r"\\|", text)


if __name__ == "__main__":
    print(reference_page(), end="")
