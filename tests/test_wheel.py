"""The package as it is installed without its repository: built, and run in an empty folder."""

import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from diamond.plan.declarations import declaration_names
from diamond.plan.toml_files import names_in
from tests.commands import ROOT, environment, install

DATA = ("plan/declared/*/*.toml", "config/*.json", "envs/policies/*", "report/templates/*")


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the package from a wheel, and what it needs from here."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    for name in ("diamond", "ablations", "studies"):
        ignore = shutil.ignore_patterns("__pycache__", *(["results"] * (name == "studies")))
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=ignore)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    venv.create(folder / "fresh")
    python = folder / "fresh" / "bin" / "python"
    site = next((folder / "fresh" / "lib").glob("python*")) / "site-packages"
    (site / "base.pth").write_text("\n".join(p for p in sys.path if "site-packages" in p))
    install(python, source=source)
    shutil.rmtree(source)
    return folder / "fresh"


def _files(package: Path, *patterns: str) -> set[str]:
    paths = (path for pattern in patterns for path in package.glob(pattern))
    return {path.relative_to(package).as_posix() for path in paths if path.is_file()}


def test_the_wheel_has_all_that_is_read_and_no_tests(fresh: Path) -> None:
    package = next(fresh.glob("lib/python*/site-packages/diamond"))
    assert _files(package, "**/*.py") == _files(ROOT / "diamond", "**/*.py")
    compiled = {name for name in _files(package, "**/*") if name.endswith((".py", ".pyc"))}
    assert _files(package, "**/*") - compiled == _files(ROOT / "diamond", *DATA)
    assert not (package.parent / "tests").exists()


@pytest.mark.parametrize(
    ("words", "names"),
    [(("ablate", "paper"), declaration_names()), (("sweep", "sampler"), names_in("studies"))],
    ids=["ablation", "sweep"],
)
def test_declarations_come_with_the_package(
    words: tuple[str, str], names: list[str], fresh: Path, tmp_path: Path
) -> None:
    plain = {name: value for name, value in environment().items() if name != "PYTHONPATH"}

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [str(fresh / "bin" / "diamond"), *arguments, "--dry-run"]
        return subprocess.run(
            command, check=False, capture_output=True, text=True, cwd=tmp_path, env=plain
        )

    done = run(*words)
    assert done.returncode == 0, done.stderr
    assert str(fresh) in done.stdout + done.stderr
    refused = run(words[0], "nothing-like-it")
    assert refused.returncode == 2
    assert ", ".join(names) in refused.stderr
