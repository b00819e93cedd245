"""What may be said to the engines that run workers; none of it changes a result."""

import re
from collections.abc import Mapping

from diamond.errors import RequestError, unknown

OPTIONS: Mapping[str, tuple[str, ...]] = {
    "local": (),
    "slurm": (
        *("partition", "gres", "gpus", "time", "account", "qos", "constraint", "cpus-per-task"),
        *("mem", "mem-per-cpu", "nodelist", "exclude", "reservation", "licenses", "nice"),
        *("signal-seconds", "gpu-share", "idle"),
    ),
    "ray": ("address", "num-cpus", "num-gpus", "gpu-share", "idle"),
}
"""The engines, and what may be said to each; of Slurm options of sbatch, but the last three."""
_UNITS = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600}


def check_options(name: str, said: Mapping[str, str]) -> Mapping[str, str]:
    """Make sure that an engine knows what is said to it.

    Raises:
        RequestError: It does not, or a number or a time is none.
    """
    allowed = OPTIONS[name]
    for key, value in said.items():
        if key not in allowed:
            raise unknown(f"option of {name}", key, allowed, "docs/cluster.md explains each")
        if any(not letter.isprintable() for letter in value):
            raise RequestError(f"{name}: {key} is {value!r}: only printable letters are allowed")
    for key in ("gpu-share", "num-cpus", "cpus-per-task", "signal-seconds"):
        if key in said and not (said[key].isdecimal() and int(said[key]) > 0):
            raise RequestError(f"{name}: {key} is {said[key]!r}: a number from 1 on is needed")
    if "idle" in said:
        read_seconds(f"{name}: idle", said["idle"])
    return said


def read_seconds(option: str, text: str) -> float:
    """Read a time such as 90s, 5m or 1h.

    Raises:
        RequestError: It is none.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(s|m|min|h|)", text.strip())
    if found is None:
        raise RequestError(f"{option} {text!r} is no time\n  for instance 90s, 5m or 1h")
    return float(found[1]) * _UNITS[found[2]]
