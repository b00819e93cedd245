"""Processes that this one starts run its own code."""

from collections.abc import Mapping
from functools import cache
from typing import Any, Literal

from typing_extensions import TypedDict

from diamond.engine.provenance import PACKAGE, code_version
from diamond.errors import RequestError
from diamond.plan.stage_keys import StageName

ASKED_TO_END = 75
"""Exit code of a process that makes stages and was asked to end: what it was given, it let go."""


class Job(TypedDict):
    """What a process that makes stages is told to make.

    `over` is the token of a claim on the stage that was seen to stand still, None for no such.
    """

    stage: StageName
    key: str
    over: str | None


class Message(TypedDict, total=False):
    """What a process that makes stages says; beside `type` each has what belongs to it."""

    type: Literal["ready", "refused", "progress", "overtaken", "held", "finished", "failed"]
    done: int
    total: int
    note: str
    made: bool
    error: str
    trace: str | None


@cache
def own_code() -> dict[str, str | None]:
    """What this process runs, as it was when this was first asked: folder, sources, versions."""
    return {"folder": str(PACKAGE), **shared_code()}


@cache
def shared_code() -> dict[str, str | None]:
    """The same without the folder, which may be another one on another machine."""
    version = code_version()
    return {"sources": version["sources"], **version["versions"]}


def check_code(parent: Mapping[str, Any]) -> None:
    """Make sure that this process runs the code of the one that started it.

    Args:
        parent: What `own_code` returned there.

    Raises:
        RequestError: Something differs.
    """
    differences = _differences(own_code(), parent)
    if differences:
        raise RequestError(
            f"a worker process runs other code than this command: {differences}\n"
            "  its stages would carry this command's name, so none was made"
            "\n  run the command again; leave code and environment as they are while it runs"
        )


def check_shared_code(command: Mapping[str, Any], study: str) -> None:
    """Make sure that this process runs the code of a command of another machine.

    Args:
        command: What `shared_code` returned there.
        study: What the command works on.

    Raises:
        RequestError: Something differs.
    """
    differences = _differences(shared_code(), command)
    if differences:
        raise RequestError(
            f"this worker runs other code than the command of study {study!r}: {differences}\n"
            "  results of two versions would be compared, so no stage of it is made\n"
            "  let all nodes run one environment, then run the command of the study again"
        )


def _differences(own: Mapping[str, Any], command: Mapping[str, Any]) -> str:
    return "; ".join(
        f"{name} is {own.get(name)} in the worker, {command.get(name)} in the command"
        for name in sorted(own.keys() | command.keys())
        if own.get(name) != command.get(name)
    )
