"""Who owns a run that is under way: a process on a host; tells whether it is gone."""

import os
import re
import socket
from contextlib import suppress
from pathlib import Path

_UNKNOWN = "unknown"
_OWNER = re.compile(
    r"(?P<host>.+?)(?::(?P<boot>[0-9a-f-]{36}|unknown):(?P<space>\d+|unknown))?"
    r":(?P<pid>\d+):(?P<start>\d+|unknown)"
)
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_SELF = Path("/proc/self")
_STATE, _START = 0, 19
_ZOMBIE = "Z"


def current_owner() -> str:
    """Return this process as ``host:boot:space:pid:start``.

    Containers share names of hosts, and each has a process 7. The id of the boot and the space in
    which process numbers count say where a number means something.
    """
    pid = os.getpid()
    start = start_time(pid) or _UNKNOWN
    return ":".join((socket.gethostname(), *_place(), str(pid), start))


def words_of(owner: str) -> str:
    """Return an owner for people, as ``process 12 on host``."""
    parts = _OWNER.fullmatch(owner)
    return f"process {parts['pid']} on {parts['host']}" if parts else repr(owner)


def is_here(owner: str) -> bool:
    """Say whether a process runs or ran where its number can be looked up.

    That is on the same boot of one machine, in the same space of process numbers; by the name of
    the host where the system tells neither. What an earlier version wrote says nothing of it.
    """
    parts, (boot, space) = _OWNER.fullmatch(owner), _place()
    if parts is None or (parts["boot"], parts["space"]) != (boot, space):
        return False
    if boot == space == _UNKNOWN:
        return parts["host"] == socket.gethostname()
    return _UNKNOWN not in (boot, space)


def is_gone(owner: str) -> bool:
    """Say whether a process is known to have ended.

    Args:
        owner: What `current_owner` returned in that process.

    Returns:
        True if it ran here and no longer exists, or its number now belongs to another process.
        False for other hosts and containers, about which nothing is known, and for any other text.
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


def _place() -> tuple[str, str]:
    """The boot of this machine, and the space of process numbers that ``/proc`` shows.

    A space has the number of a former one only when all processes of that one have ended.

    Source: random(4), pid_namespaces(7).
    """
    boot = space = _UNKNOWN
    with suppress(OSError):
        boot = _BOOT.read_text().strip()
    with suppress(OSError):
        # Where `/proc` shows the numbers of another space, no process can be looked up.
        if os.readlink(_SELF) == str(os.getpid()):
            space = str((_SELF / "ns" / "pid").stat().st_ino)
    return boot, space


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
