"""A checkout of the released code of arXiv:2405.12399, imported as it is.

    git clone https://github.com/eloialonso/diamond

Nothing of it is copied. Third parties that play no part in what is computed are stubs where they
are not installed: configuration, logging, counts of right answers.
"""

import importlib.util
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from diamond.errors import RequestError

NEEDED = (
    "src/agent.py",
    "src/envs/world_model_env.py",
    "src/models/actor_critic.py",
    "src/models/diffusion/denoiser.py",
    "src/models/rew_end_model.py",
    "src/utils.py",
)
"""Files by which a checkout is known."""
STUBS = (
    "h5py",
    "hydra",
    "hydra.utils",
    "omegaconf",
    "torcheval",
    "torcheval.metrics",
    "torcheval.metrics.functional",
    "wandb",
)


def check_checkout(path: Path) -> Path:
    """The absolute path of a checkout.

    Raises:
        RequestError: It is not a folder with the released code.
    """
    hint = "give a clone of github.com/eloialonso/diamond, branch main"
    if not path.is_dir():
        raise RequestError(f"--reference {str(path)!r}: there is no such folder\n  {hint}")
    missing = [name for name in NEEDED if not (path / name).is_file()]
    if missing:
        raise RequestError(
            f"--reference {str(path)!r} is no checkout of the released code: it has no "
            f"{missing[0]}\n  {hint}"
        )
    return path.absolute()


def enter(checkout: Path, stubs: Iterable[str] = STUBS) -> None:
    """Make the modules of a checkout importable in this process, without a trace in its folder.

    Args:
        checkout: The folder.
        stubs: Third parties to leave out; those of `STUBS` that are installed are left alone.
    """
    sys.dont_write_bytecode = True
    for name in stubs:
        if name not in sys.modules and not (name in STUBS and _is_installed(name)):
            sys.modules[name] = _Stub(name)
    sys.path.insert(0, str(checkout / "src"))


def _is_installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ModuleNotFoundError, ValueError):
        return False


class _Stub(ModuleType):
    """A module in which every name stands for something that does nothing."""

    __path__: list[str] = []  # noqa: RUF012
    __spec__ = None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        made = type(name, (), {"__init__": _nothing, "__call__": _nothing})
        setattr(self, name, made)
        return made


def _nothing(*_: Any, **__: Any) -> None:
    """Stands for a function."""
