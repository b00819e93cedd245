"""What may be said to the engines that run workers; none of it changes a result."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import BeforeValidator, StrictStr

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
"""What may be said to each; those of Slurm are options of sbatch, but the last three."""


def check_options(name: str, said: Mapping[str, str]) -> Mapping[str, str]:
    """Make sure that an engine knows what is said to it.

    Raises:
        RequestError: It does not.
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
    return said


def _text_of(value: object) -> object:
    """Text or a whole number, as text; what else stands in a file is refused."""
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise ValueError("write it as text, in quotes")


SlurmOptions = dict[str, Annotated[StrictStr, BeforeValidator(_text_of)]]
"""What a declaration says to Slurm; `check_options` judges it."""
