"""Where results come from: git commit, dirty flag and digest of the code, versions of libraries."""

import hashlib
import os
import platform
import subprocess
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from diamond.engine.stage_manifest import CodeVersion, Manifest
from diamond.results.arm_model import Machine
from diamond.results.model import Provenance

PACKAGE = Path(__file__).resolve().parents[1]
_SOURCES = frozenset({".py", ".json", ".j2", ".css", ".js"})
LIBRARIES = (
    "diamond-ablations",
    "torch",
    "numpy",
    "ale-py",
    "gymnasium",
    "scikit-image",
    "opencv-python-headless",
    "mlflow",
)


@cache
def code_version() -> CodeVersion:
    """Commit, dirty flag, digest of the sources and versions, as they are at the first call.

    Commit and flag are None outside a git checkout.
    """
    root = PACKAGE.parent
    commit = _git(root, "rev-parse", "HEAD")
    changes = _git(root, "status", "--porcelain", "--untracked-files=no")
    versions = {name: _version(name) for name in LIBRARIES}
    return {
        "git_commit": commit,
        "dirty": None if commit is None or changes is None else bool(changes),
        "sources": _digest(PACKAGE),
        "versions": versions | {"python": platform.python_version()},
        "platform": platform.platform(),
    }


def provenance(device: str | None, config: Mapping[str, Mapping[str, Any]]) -> Provenance:
    """What made a result: this code, on a device, from resolved configs by name."""
    return Provenance.model_validate({**code_version(), "device": device, "config": config})


def made_on(manifest: Manifest | None) -> Machine | None:
    """What a stage was begun on last; None of one that nobody has begun."""
    if manifest is None or manifest["device"] is None:
        return None
    return Machine.model_validate({**(manifest["machine"] or {}), "device": manifest["device"]})


def _digest(package: Path) -> str:
    """SHA-256 of the sources of a package and of what lies beside them, with their names."""
    found = hashlib.sha256()
    for path in sorted(package.rglob("*")):
        if path.suffix in _SOURCES and path.is_file():
            name, data = path.relative_to(package).as_posix(), path.read_bytes()
            found.update(f"{name}\0{len(data)}\0".encode())
            found.update(data)
    return found.hexdigest()


def _git(root: Path, *arguments: str) -> str | None:
    if not (root / ".git").exists():
        return None
    # Variables such as GIT_DIR, which git sets for its hooks, name another repository.
    environment = {name: text for name, text in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=root,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=10,
        )
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
