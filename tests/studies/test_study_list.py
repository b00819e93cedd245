"""`diamond studies`, `show` and `gc`: what a home holds, and what can go."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from diamond.cli.reading.studies import show_study
from diamond.cli.reading.verify import verify_and_show
from diamond.engine.store import Store
from diamond.engine.study_history import (
    FILE_NAME,
)
from diamond.errors import StoreError
from diamond.studies.garbage import remove_garbage
from diamond.studies.study_list import (
    StageStates,
)
from tests.commands import SMOKE, STUDY, ablate, diamond, digests, environment
from tests.homes import made, plan_of

# --- commands ---------------------------------------------------------------------------------


def test_a_home_is_listed_shown_and_cleaned(smoke_home: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    shutil.copytree(smoke_home, home)
    before = digests(home)
    listed = diamond("studies", "--home", str(home))
    assert listed.returncode == 0, listed.stderr
    (row,) = (line for line in listed.stdout.splitlines() if line.startswith(STUDY))
    for part in (" steps ", " smoke ", " Boxing ", " 2 done ", " MB"):
        assert part in row
    assert max(len(line.rstrip()) for line in listed.stdout.splitlines()) <= 100

    # The home was copied: what is printed are its own places.
    shown = diamond("show", STUDY, "--home", str(home)).stdout
    assert str(smoke_home) not in shown
    told = (smoke_home.parent / "stdout.txt").read_text()
    assert shown.splitlines()[:10] == told.splitlines()[:10]
    assert f"report:  {(home / 'studies' / STUDY / 'report.html').as_uri()}" in shown
    assert f"diamond ui --home {home}\n" in shown
    assert "command: diamond ablate steps=1,3 --preset smoke" in shown

    assert "nothing to free" in diamond("gc", "--home", str(home)).stdout
    forget = ("gc", "--forget", STUDY, "--home", str(home))
    text = diamond(*forget).stdout
    assert "nothing was removed. To free" in text
    assert f"diamond {' '.join(forget)} --yes" in text
    assert digests(home) == before
    assert "freed" in diamond(*forget, "--yes").stdout
    assert digests(home) == {}
    empty = diamond("studies", "--home", str(home))
    assert empty.returncode == 0
    assert "no studies" in empty.stdout


def verify_a(home: Path) -> None:
    verify_and_show("a", None, home, as_json=False)


def show_a(home: Path) -> None:
    show_study(home, "a")


@pytest.mark.parametrize("look", [show_a, verify_a])
@pytest.mark.parametrize(("text", "word"), [("[{", "is damaged"), (None, "is missing")])
def test_a_study_that_lost_its_plans_is_not_said_to_be_unknown(
    look: Callable[[Path], None], text: str | None, word: str, tmp_path: Path
) -> None:
    made(tmp_path, plan_of("steps=1", name="a"))
    made(tmp_path, plan_of("steps=3", name="b"))
    path = tmp_path / "studies" / "a" / FILE_NAME
    path.unlink() if text is None else path.write_text(text)
    (path.parent / "report.md").write_text("# a")
    with pytest.raises(StoreError, match="study 'a' is there, but") as caught:
        look(tmp_path)
    told = str(caught.value)
    for part in (f"{path} {word}", "put a copy", str(path.parent / "report.md"), "--forget a"):
        assert part in told


@pytest.mark.parametrize("command", [("studies",), ("show", STUDY), ("gc",)])
def test_a_home_is_read_without_the_heavy_libraries(
    command: tuple[str, ...], smoke_home: Path
) -> None:
    script = (
        "import sys; sys.argv = ['diamond', *sys.argv[1:]]\n"
        "from diamond.cli.app import main\n"
        "try: main()\n"
        "finally: print(sorted({'torch', 'numpy', 'mlflow', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *command, "--home", str(smoke_home)],
        capture_output=True,
        text=True,
        env=environment(),
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_study_without_a_result_shows_how_far_it_is(tmp_path: Path) -> None:
    plan = plan_of("steps=1,3", name="mine", seeds=2)
    store = made(tmp_path, plan)
    last = plan.arms[1].runs[1].stages[-1]
    shutil.rmtree(store.folder(last.stage, last.key))
    text = diamond("show", "mine", "--home", str(tmp_path)).stdout
    assert "mine: 3 done, 1 begun" in text
    assert "9 of 10 stages done" in text
    assert "command: diamond ablate --name mine" in text


def test_a_stage_whose_manifest_was_changed_is_shown_as_damaged(tmp_path: Path) -> None:
    plan = plan_of("steps=1", name="mine")
    store = made(tmp_path, plan)
    (denoiser,) = (spec for spec in plan.stages() if spec.stage == "denoiser")
    path = store.folder("denoiser", denoiser.key) / "manifest.json"
    path.write_text(path.read_text().replace('"seconds": 1.0', '"seconds": 2.0'))
    states = StageStates(store)
    state, cause = states.of("denoiser", denoiser.key)
    assert state == "failed" and cause is not None and "is damaged" in cause
    assert states.of("frames", denoiser.upstream["frames"]) == ("done", None)


@pytest.mark.parametrize("command", [("studies",), ("show", "mine"), ("gc",)])
def test_a_home_that_is_not_there_is_refused(command: tuple[str, ...], tmp_path: Path) -> None:
    done = diamond(*command, "--home", str(tmp_path / "home"))
    assert done.returncode == 2
    assert f"there is no home '{tmp_path / 'home'}'" in done.stderr
    assert not list(tmp_path.iterdir())


def test_what_was_freed_is_made_again(smoke_home: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    shutil.copytree(smoke_home, home)
    remove_garbage(Store(home), (STUDY,))
    document = ablate(home, *SMOKE, "--until", "references")
    assert document["costs"]["stages_made"] == 1
    assert digests(home).items() < digests(smoke_home).items()
