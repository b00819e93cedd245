"""Processes that this one starts run its own code."""

from collections.abc import Mapping
from functools import cache
from typing import Any, Literal

from typing_extensions import TypedDict

from diamond.engine.provenance import PACKAGE, code_version
from diamond.errors import RequestError
from diamond.plan.stage_keys import StageName


class Job(TypedDict):
    """What a process that makes stages is told to make."""

    stage: StageName
    key: str


class Message(TypedDict, total=False):
    """What a process that makes stages says; beside `type` each has what belongs to it."""

    type: Literal["ready", "refused", "progress", "overtaken", "finished", "failed"]
    done: int
    total: int
    note: str
    made: bool
    error: str
    trace: str | None


@cache
def own_code() -> dict[str, str | None]:
    """What this process runs, as it was when this was first asked: folder, sources, versions."""
    version = code_version()
    return {"folder": str(PACKAGE), "sources": version["sources"], **version["versions"]}


def check_code(parent: Mapping[str, Any]) -> None:
    """Make sure that this process runs the code of the one that started it.

    Args:
        parent: What `own_code` returned there.

    Raises:
        RequestError: Something differs.
    """
    own = own_code()
    differences = [
        f"{name} is {own.get(name)} there, {parent.get(name)} here"
        for name in sorted(own.keys() | parent.keys())
        if own.get(name) != parent.get(name)
    ]
    if differences:
        raise RequestError(
            "a worker process runs other code than this command: "
            + "; ".join(differences)
            + "\n  its stages would carry this command's name, so none was made"
            "\n  run the command again; leave code and environment as they are while it runs"
        )
