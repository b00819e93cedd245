"""Options, markers and what is expensive to make and shared by the tests."""

import os
import shutil
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from diamond.engine.files import locked
from tests.commands import SMOKE, TOY_FAMILY, diamond, install

settings.register_profile("diamond", deadline=None, derandomize=True)
settings.load_profile("diamond")

# The tests run in as many processes as there are cores: more threads than that only wait. Each has
# a core of its own, so that a command makes one worker and not two, which load torch both.
torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"
if (worker := os.environ.get("PYTEST_XDIST_WORKER", "")).startswith("gw"):
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[int(worker[2:]) % len(cores)]})

# The processes of pytest-xdist are told a width, and would wrap texts as no user's command does.
os.environ.pop("COLUMNS", None)

# Nothing of a test is tracked where its user tracks.
os.environ.pop("MLFLOW_TRACKING_URI", None)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the tests that take minutes as well")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    slow = pytest.mark.skip(reason="takes minutes: runs with --slow")
    gpu = pytest.mark.skip(reason="needs a CUDA device, which torch does not find here")
    for item in items:
        if "slow" in item.keywords and not config.getoption("--slow"):
            item.add_marker(slow)
        if "gpu" in item.keywords and not torch.cuda.is_available():
            item.add_marker(gpu)
    # Files that run whole commands begin: short ones fill the end, in whichever process is free.
    items.sort(key=_runs_commands, reverse=True)


def _runs_commands(item: pytest.Item) -> bool:
    names = vars(item.module) if isinstance(item, pytest.Function) else {}
    return not {"begin", "diamond"}.isdisjoint(names)


@pytest.fixture(scope="session")
def smoke_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the finished study ``steps=1,3`` of the smoke preset: to read or to copy.

    The processes that run the tests share it.
    """
    folder = tmp_path_factory.getbasetemp().parent if "PYTEST_XDIST_WORKER" in os.environ else None
    home = (folder or tmp_path_factory.mktemp("smoke")) / "smoke-home" / "home"
    home.parent.mkdir(exist_ok=True)
    with locked(home.parent / ".lock"):
        if not (home.parent / "stdout.txt").exists():
            done = diamond("ablate", *SMOKE, "--home", str(home))
            assert done.returncode == 0, done.stderr
            (home.parent / "stderr.txt").write_text(done.stderr)
            (home.parent / "stdout.txt").write_text(done.stdout)
    return home


@pytest.fixture(scope="session")
def toy_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the toy family installed; commands find it on ``PYTHONPATH``."""
    folder = tmp_path_factory.mktemp("toy")
    source = shutil.copytree(TOY_FAMILY, folder / "source")
    install(sys.executable, f"--target={folder / 'site'}", source=source)
    return folder / "site"
