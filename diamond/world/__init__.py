"""World models behind one interface, and rolling them forward.

The environments are here too; what they need is imported when they are asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from diamond.world.env import make
    from diamond.world.sb3 import StableBaselinesEnv
    from diamond.world.vec import make_vec

__all__ = ["StableBaselinesEnv", "make", "make_vec"]

_HOMES = {
    "StableBaselinesEnv": "diamond.world.sb3",
    "make": "diamond.world.env",
    "make_vec": "diamond.world.vec",
}


def __getattr__(name: str) -> Any:
    """Import an environment and Gymnasium with it on first use."""
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
