"""Ablations of DIAMOND, a diffusion world model for reinforcement learning, with tracking."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["LoadedStudy", "ablate", "load"]

if TYPE_CHECKING:
    from diamond.api import LoadedStudy, ablate, load
else:

    def __getattr__(name: str) -> Any:
        """What needs more than this package is imported when it is asked for."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module("diamond.api"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
