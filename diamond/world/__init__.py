"""World models behind one interface, and rolling them forward.

`make_vec` is here too; what it needs is imported when it is asked for.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from diamond.world.vec import make_vec

__all__ = ["make_vec"]


def __getattr__(name: str) -> Any:
    """Import `make_vec` and Gymnasium with it on first use."""
    if name == "make_vec":
        from diamond.world.vec import make_vec  # noqa: PLC0415

        return make_vec
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
