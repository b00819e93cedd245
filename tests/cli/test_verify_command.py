"""A declaration from its file to a verdict: what is recorded, shown, and said of changes."""

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from diamond.cli.ablate import run_study
from diamond.cli.declaration_options import declared_request
from diamond.cli.study_command import Options
from diamond.engine.devices import Workers
from diamond.engine.files import read_json
from diamond.engine.sealed_json import sealed
from diamond.errors import InterruptedRunError
from diamond.plan.declarations import claims_hash, load_declaration
from diamond.workers.executor import Executor
from tests.commands import STUDY, copy_home, diamond, finished_at, tracked

TEXT = """\
question = "Do three steps draw other frames than one?"
primary = "l1"
preset = "smoke"
seeds = 2
until = "fidelity"

[axes]
steps = [1, 3]

[[claims]]
name = "frames are not exact"
text = "No arm is exact."
expression = "l1[steps=1] + l1[steps=3] > 0.001"

[[claims]]
name = "frames are exact"
text = "Both are: wrong on purpose."
expression = "l1[steps=1] + l1[steps=3] < 0.001"

[[claims]]
name = "far ahead"
text = "Beyond what smoke imagines."
expression = "l1[steps=1 @50] > l1[steps=3 @50]"
"""


def _words(text: str) -> str:
    return " ".join(text.split())


@pytest.fixture(scope="module")
def declared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a declaration, and the home of its finished study."""
    folder = tmp_path_factory.mktemp("declared")
    (folder / "ablations").mkdir()
    (folder / "ablations" / "mine.toml").write_text(TEXT)
    done = diamond("ablate", "mine", "--home", "home", cwd=folder)
    assert done.returncode == 0, done.stderr
    (folder / "stdout.txt").write_text(done.stdout)
    return folder


@pytest.fixture
def changed(declared: Path, tmp_path: Path) -> Callable[[str], Path]:
    """The same folder with another text of the declaration; its study says where the file is."""

    def change(text: str) -> Path:
        shutil.copytree(declared, tmp_path, dirs_exist_ok=True)
        file = tmp_path / "ablations" / "mine.toml"
        file.write_text(text)
        history = tmp_path / "home" / "studies" / "mine" / "plans.json"
        entries = json.loads(history.read_text())
        entries[-1]["declared"]["file"] = str(file)
        history.write_text(json.dumps([sealed(entry) for entry in entries]))
        return tmp_path

    return change


def _verified(folder: Path, *arguments: str) -> dict[str, Any]:
    done = diamond("verify", "mine", "--json", "--home", "home", *arguments, cwd=folder)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_verdicts_are_in_the_document_and_the_command_gives_the_same(declared: Path) -> None:
    document = read_json(declared / "home" / "studies" / "mine" / "report.json")
    verdicts = {claim["name"]: claim["verdict"] for claim in document["claims"]}
    assert verdicts == {
        "frames are not exact": "PASS",
        "frames are exact": "FAIL",
        "far ahead": "UNDECIDED",
    }
    assert (document["primary_metric"], document["question"]) == ("l1", TEXT.split('"')[1])
    verified = _verified(declared)
    assert verified["claims"] == document["claims"]
    assert verified["declaration"]["status"] == "declared before"
    assert document["declaration"] == verified["declaration"] | {"overrides": []}
    (game,) = verified["claims"][0]["games"]
    for part in game["parts"]:
        assert part["seeds"] == [0, 1]
        assert part["p_min"] == 0.5


def test_verdicts_are_shown_wherever_the_result_is(declared: Path) -> None:
    folder = declared / "home" / "studies" / "mine"
    shown = [(declared / "stdout.txt").read_text()]
    shown += [(folder / name).read_text() for name in ("report.html", "report.md")]
    for text in shown:
        for word in ("frames are not exact", "PASS", "FAIL", "UNDECIDED"):
            assert word in text
    for text in shown[1:]:
        assert "declared before" in text
    done = diamond("verify", "mine", "--home", "home", cwd=declared)
    assert done.returncode == 0, done.stderr
    text = _words(done.stdout)
    for word in ("PASS", "FAIL", "UNDECIDED", "declared before", "0.5 (0.5)", "2 seeds", "seed 1"):
        assert word in text


def test_the_tracking_store_has_hash_time_and_verdicts(declared: Path) -> None:
    (parent,) = (
        run for run in tracked(declared / "home") if run.data.tags["diamond.kind"] == "study"
    )
    tags = parent.data.tags
    said = load_declaration(str(declared / "ablations" / "mine.toml")).declaration
    assert tags["diamond.claims.hash"] == claims_hash(said)
    assert tags["diamond.claims.status"] == "declared before"
    entry = read_json(declared / "home" / "studies" / "mine" / "plans.json")[0]
    assert tags["diamond.claims.declared_at"].startswith("20")
    assert entry["declared"]["hash"] == claims_hash(said)
    assert tags["diamond.claim.frames are not exact"] == "PASS"
    assert tags["diamond.claim.frames are exact"] == "FAIL"


def test_the_hash_is_recorded_before_the_first_arm_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(TEXT)
    home = tmp_path / "home"
    seen: list[Any] = []

    def run(*_: Any) -> None:
        seen.extend(read_json(home / "studies" / "mine" / "plans.json"))
        raise KeyboardInterrupt

    monkeypatch.setattr(Executor, "run", run)
    request = declared_request((str(file),), {})
    with pytest.raises(InterruptedRunError):
        run_study(request, Options(home, Workers(1), False, True, None, "diamond ablate mine.toml"))
    (entry,) = seen
    said = load_declaration(str(file)).declaration
    assert entry["declared"]["hash"] == claims_hash(said)
    assert entry["declared"]["declaration"]["claims"][0]["expression"] == (
        "l1[steps=1] + l1[steps=3] > 0.001"
    )
    assert entry["time"] > 0


@pytest.mark.slow  # tests/findings/test_claim_verdicts.py
def test_a_changed_claim_is_post_hoc(changed: Callable[[str], Path]) -> None:
    folder = changed(TEXT.replace("0.001", "0.002"))
    old = read_json(folder / "home" / "studies" / "mine" / "report.json")["declaration"]["hash"]
    verified = _verified(folder)
    assert verified["declaration"]["status"] == f"changed since: {old}"
    assert verified["declaration"]["post_hoc"]
    assert verified["claims"][0]["verdict"] == "PASS"
    done = diamond("verify", "mine", "--home", "home", cwd=folder)
    assert "PASS, post hoc" in done.stdout
    # Running it again does not make it declared before.
    again = diamond("ablate", "mine", "--home", "home", "--json", cwd=folder, page=False)
    assert again.returncode == 0, again.stderr
    document = json.loads(again.stdout)
    assert document["costs"]["stages_made"] == 0
    assert document["declaration"]["status"] == f"changed since: {old}"


def test_claims_outlive_their_file(changed: Callable[[str], Path]) -> None:
    folder = changed(TEXT)
    (folder / "ablations" / "mine.toml").unlink()
    assert _verified(folder)["declaration"]["status"] == "declared before"
    done = diamond("verify", "mine", "--home", "home", cwd=folder)
    assert "is not there any more" in _words(done.stdout)


def test_results_from_before_the_declaration_are_told(declared: Path, tmp_path: Path) -> None:
    copy_home(declared / "home", tmp_path / "home")
    shutil.copytree(declared / "ablations", tmp_path / "ablations")
    for path in (tmp_path / "home").glob("stages/*/*/manifest.json"):
        finished_at(path.parent, time.time() - 3600)
    done = diamond("ablate", "mine", "--home", "home", "--json", cwd=tmp_path, page=False)
    assert done.returncode == 0, done.stderr
    declaration = json.loads(done.stdout)["declaration"]
    assert declaration["status"].startswith("declared after 4 of 4 runs had been scored")
    assert declaration["post_hoc"]


@pytest.mark.parametrize(
    ("study", "words"),
    [
        (STUDY, ("has no claims", "--declaration")),
        ("steps-boxing-smok", ("unknown study", f"Did you mean '{STUDY}'?", "diamond studies")),
        ("../studies", ("unknown study",)),
    ],
)
def test_a_study_without_claims_or_that_is_not_there(
    smoke_home: Path, study: str, words: tuple[str, ...]
) -> None:
    done = diamond("verify", study, "--home", str(smoke_home))
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in _words(done.stderr)


def test_any_study_can_be_judged_post_hoc(smoke_home: Path, tmp_path: Path) -> None:
    file = tmp_path / "later.toml"
    file.write_text(TEXT)
    arguments = ("--declaration", str(file), "--home", str(smoke_home), "--json")
    done = diamond("verify", STUDY, *arguments)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["declaration"]["post_hoc"]
    assert {claim["verdict"] for claim in found["claims"]} == {"UNDECIDED"}
    assert "one seed" in found["claims"][0]["games"][0]["reason"]
