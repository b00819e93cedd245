"""Where results come from: git commit and dirty flag of the code, versions of the libraries."""

import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

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
def code_version() -> dict[str, Any]:
    """Git commit, dirty flag and versions; commit and flag are None outside a git checkout."""
    root = Path(__file__).resolve().parents[2]
    commit = _git(root, "rev-parse", "HEAD")
    changes = _git(root, "status", "--porcelain", "--untracked-files=no")
    versions = {name: _version(name) for name in LIBRARIES}
    return {
        "git_commit": commit,
        "dirty": None if commit is None or changes is None else bool(changes),
        "versions": versions | {"python": platform.python_version()},
        "platform": platform.platform(),
    }


def _git(root: Path, *arguments: str) -> str | None:
    if not (root / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=root, capture_output=True, text=True, check=False, timeout=10
        )
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
