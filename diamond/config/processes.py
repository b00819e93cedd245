"""How this process starts others of its own code: they import what it imports."""

import os
import sys


def python_command(module: str, *arguments: str) -> list[str]:
    """Return the arguments that run a module; start them with `python_environment`."""
    return [sys.executable, "-P", "-m", module, *arguments]


def python_environment() -> dict[str, str]:
    """Return this process's environment, with the places that it imports from.

    So neither the working directory nor another checkout can put its own modules into a child.
    """
    return os.environ | {"PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}
