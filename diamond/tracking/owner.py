"""Who owns a run that is under way: a process on a host; tells whether it is gone."""

import os
import re
import socket
from pathlib import Path

_OWNER = re.compile(r"(?P<host>.+):(?P<pid>\d+):(?P<start>\d+|unknown)")
_STATE, _START = 0, 19
_ZOMBIE = "Z"


def current_owner() -> str:
    """Return this process as ``host:pid:start``."""
    pid = os.getpid()
    return f"{socket.gethostname()}:{pid}:{start_time(pid) or 'unknown'}"


def words_of(owner: str) -> str:
    """Return an owner for people, as ``process 12 on host``."""
    parts = _OWNER.fullmatch(owner)
    return f"process {parts['pid']} on {parts['host']}" if parts else repr(owner)


def is_here(owner: str) -> bool:
    """Say whether a process runs or ran on this host, so that its end can be seen."""
    parts = _OWNER.fullmatch(owner)
    return parts is not None and parts["host"] == socket.gethostname()


def is_gone(owner: str) -> bool:
    """Say whether a process is known to have ended.

    Args:
        owner: What `current_owner` returned in that process.

    Returns:
        True if it ran on this host and no longer exists, or its number now belongs to another
        process. False for other hosts, about which nothing is known, and for any other text.
    """
    parts = _OWNER.fullmatch(owner)
    if parts is None or not is_here(owner):
        return False
    pid = int(parts["pid"])
    if not _exists(pid):
        return True
    return parts["start"] != "unknown" and start_time(pid) not in (None, parts["start"])


def start_time(pid: int) -> str | None:
    """Return when a process started, in clock ticks since boot; None where that is not known.

    Source: proc(5), field 22 of ``/proc/pid/stat``.
    """
    fields = _stat_fields(pid)
    return fields[_START] if fields else None


def _exists(pid: int) -> bool:
    fields = _stat_fields(pid)
    if fields:
        return fields[_STATE] != _ZOMBIE
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _stat_fields(pid: int) -> list[str] | None:
    """Return the fields of ``/proc/pid/stat`` from the third on; the second may hold spaces."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return text.rpartition(")")[2].split()
