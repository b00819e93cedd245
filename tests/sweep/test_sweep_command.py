"""`diamond sweep` as a user runs it: killed, interrupted, twice at once, with nothing to find."""

import json
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import optuna
import pytest
from optuna.trial import FrozenTrial
from typer.testing import CliRunner, Result

from diamond.cli.app import app
from diamond.cli.study_command import Options
from diamond.cli.sweep import _open
from diamond.cli.widths import console
from diamond.engine.devices import Workers
from diamond.engine.files import read_json, write_json
from diamond.engine.home import open_home
from diamond.engine.store import Store
from diamond.engine.study_history import record_plan
from diamond.errors import ExitCode, InterruptedRunError, RequestError, StoreError
from diamond.sweep.addresses import default_storage
from diamond.sweep.declaration import Sweep, read_sweep
from diamond.sweep.engine import SweepRun
from diamond.sweep.proposals import ATTEMPTS, MLFLOW_LINK, MLFLOW_RUN
from diamond.sweep.storage import open_storage
from tests.commands import (
    begin,
    check_tracked,
    client,
    copy_home,
    diamond,
    digests,
    live_workers,
    smoke_plan,
    tracked,
    wait_until,
)

NUM_TRIALS = 3
SEARCH = """\
question = "Which sampler draws best for its cost?"
preset = "smoke"
until = "fidelity"

[space]
steps = { int = [1, 4] }
order = { choices = [1, 2] }
churn = { float = [0, 4] }

[[objectives]]
metric = "l1"

[[objectives]]
metric = "denoiser_calls_per_frame"

[sampler]
startup_trials = 2

[budget]
trials = 3
"""
MADE = """\
question = "Is there a difference?"
preset = "smoke"
until = "fidelity"

[space]
steps = { choices = [1, 3] }

[sampler]
name = "grid"
"""
"""A sweep of which every trial is finished in the home already."""


def write(folder: Path, text: str, name: str = "mine") -> Path:
    path = folder / f"{name}.toml"
    path.write_text(text)
    return path


def trials_of(home: Path, study: str = "mine") -> list[FrozenTrial]:
    storage = open_storage(default_storage(home))
    return optuna.load_study(study_name=study, storage=storage).get_trials()


def num_tracked(home: Path) -> int:
    return len(tracked(home))


@dataclass(frozen=True)
class Killed:
    """A sweep that was killed at work on a trial, and then run to its end.

    Attributes:
        path: Its file.
        home: Its home.
        trials: Its trials after the kill.
        done: The last command.
    """

    path: Path
    home: Path
    trials: list[FrozenTrial]
    done: Result


def invoke(*words: str) -> Result:
    """A command in this process, which has imported already what takes a command seconds."""
    return CliRunner().invoke(app, ["sweep", *words])


@pytest.fixture(scope="module")
def killed(smoke_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Killed:
    folder = tmp_path_factory.mktemp("killed")
    home = copy_home(smoke_home, folder / "home")
    path = write(folder, SEARCH)
    process = begin(home, str(path), "--jobs", "1", command="sweep")
    claim = home / "studies" / "mine" / "trials" / "1" / "claim-1.json"

    def at_work() -> bool:
        if process.poll() is not None:
            pytest.fail(f"the command ended before trial 1: {process.communicate()}")
        return claim.exists() and any(home.glob("work/rollouts/*/claim-*.json"))

    wait_until(at_work, "trial 1")
    process.kill()
    process.communicate()
    wait_until(lambda: not live_workers(home), "the end of the workers", 30)
    assert claim.exists(), "nobody was left to let go of it"
    trials = trials_of(home)
    done = invoke(str(path), "--home", str(home), "--jobs", "1", "--json")
    return Killed(path, home, trials, done)


@pytest.fixture(scope="module")
def shared(smoke_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which two commands ran one sweep at the same time."""
    folder = tmp_path_factory.mktemp("shared")
    home = copy_home(smoke_home, folder / "home")
    path = write(folder, SEARCH.replace("[1, 4]", "[1, 2]"))
    words = (str(path), "--trials", "6", "--jobs", "1")
    processes = [begin(home, *words, command="sweep") for _ in "ab"]
    outputs = [process.communicate(timeout=240) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    begun = [begun_trials(errors) for _, errors in outputs]
    assert sorted(begun[0] + begun[1]) == list(range(6)), outputs
    write_json(home / "begun.json", begun)
    return home


def begun_trials(errors: str) -> list[int]:
    """Numbers of the trials that a command began itself."""
    starts = (line.partition(": steps=") for line in errors.splitlines())
    return [int(name.removeprefix("trial ")) for name, found, _ in starts if found]


# --- killed and gone on ---------------------------------------------------------------------------


def test_a_kill_loses_no_finished_trial_and_doubles_none(killed: Killed) -> None:
    assert killed.done.exit_code == ExitCode.DONE, killed.done.stderr
    trials = trials_of(killed.home)
    assert [trial.number for trial in trials] == list(range(NUM_TRIALS))
    assert [trial.state.name for trial in killed.trials] == ["COMPLETE", "RUNNING"]
    assert [trial.state.name for trial in trials] == ["COMPLETE"] * NUM_TRIALS
    first, before = trials[0], killed.trials[0]
    assert first == before, "a finished trial is as it was"
    assert first.params == {"steps": 3, "order": "1", "churn": 0.0}
    assert begun_trials(killed.done.stderr) == [1, 2]


def test_the_killed_trial_goes_on_with_its_values(killed: Killed) -> None:
    trials = trials_of(killed.home)
    assert trials[1].params == killed.trials[1].params
    assert [trial.user_attrs[ATTEMPTS] for trial in trials] == [1] * NUM_TRIALS
    assert not list(killed.home.glob("studies/mine/trials/*"))
    assert not list(killed.home.glob("work/*/*"))


def test_the_document_and_the_page_say_what_was_found(killed: Killed) -> None:
    document = json.loads(killed.done.stdout)
    folder = killed.home / "studies" / "mine"
    assert document == read_json(folder / "report.json")
    assert document["study"] == "mine"
    search = document["search"]
    assert [row["state"] for row in search["trials"]] == ["complete"] * NUM_TRIALS
    assert [row["attempts"] for row in search["trials"]] == [1] * NUM_TRIALS
    assert search["baseline"]["trial"] == 0
    assert search["front"]
    assert search["best"] is None
    assert [one["name"] for one in search["objectives"]] == ["l1", "denoiser_calls_per_frame"]
    for row, trial in zip(search["trials"], trials_of(killed.home), strict=True):
        assert row["values"] == trial.values
        calls = int(row["params"]["order"]) * (row["params"]["steps"] - 1) + 1
        assert row["values"][1] == calls, "Heun takes one call in its last step"
    page = (folder / "report.html").read_text()
    assert document["question"] in page
    assert "Traceback" not in page
    assert (folder / "report.md").is_file()


def test_every_trial_is_a_run_under_the_study_with_links_both_ways(killed: Killed) -> None:
    runs = {run.info.run_id: run for run in tracked(killed.home)}
    parents = [run for run in runs.values() if run.data.tags["diamond.kind"] == "study"]
    assert [run.info.run_name for run in parents] == ["mine"]
    found = [run for run in runs.values() if run.data.tags["diamond.kind"] == "trial"]
    assert len(found) == NUM_TRIALS == len(runs) - 1
    for trial in trials_of(killed.home):
        run = runs[trial.user_attrs[MLFLOW_RUN]]
        tags = run.data.tags
        assert tags["mlflow.parentRunId"] == parents[0].info.run_id
        assert (tags["optuna.study"], tags["optuna.trial"]) == ("mine", str(trial.number))
        assert tags["optuna.link"].endswith(f"/trials?numbers={trial.number}")
        assert f"/runs/{run.info.run_id}?" in trial.user_attrs[MLFLOW_LINK]
        assert run.info.run_name == f"trial {trial.number}"
        assert run.data.params["steps"] == str(trial.params["steps"])
        assert run.data.metrics["objective/l1"] == pytest.approx(trial.values[0])
    check_tracked(killed.home)
    artifacts = client(killed.home).list_artifacts(parents[0].info.run_id)
    assert "report.html" in {artifact.path for artifact in artifacts}


def test_the_same_command_once_more_makes_nothing(killed: Killed) -> None:
    before, runs, trials = digests(killed.home), num_tracked(killed.home), trials_of(killed.home)
    done = invoke(str(killed.path), "--home", str(killed.home))
    assert done.exit_code == ExitCode.DONE, done.stderr
    assert begun_trials(done.stderr) == []
    assert "all 3 trials are given out" in done.stderr
    assert digests(killed.home) == before
    assert num_tracked(killed.home) == runs
    assert trials_of(killed.home) == trials


# --- two at once --------------------------------------------------------------------------------


def test_two_commands_on_one_storage_run_no_trial_twice(shared: Path) -> None:
    trials = trials_of(shared)
    assert [trial.number for trial in trials] == list(range(6))
    assert [trial.state.name for trial in trials] == ["COMPLETE"] * 6
    assert [trial.user_attrs[ATTEMPTS] for trial in trials] == [1] * 6
    points = Counter(tuple(trial.params.items()) for trial in trials)
    assert max(points.values()) == 1
    assert all(read_json(shared / "begun.json")), "both commands ran trials"


def test_two_commands_make_no_stage_and_no_run_twice(shared: Path) -> None:
    check_tracked(shared)
    kinds = Counter(run.data.tags["diamond.kind"] for run in tracked(shared))
    assert kinds == {"study": 1, "trial": 6}
    assert not list(shared.glob("work/*/*"))


# --- nothing to find ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made(smoke_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_home(smoke_home, tmp_path_factory.mktemp("made") / "home")


def test_a_constant_objective_is_told_as_such(made: Path) -> None:
    path = write(made.parent, MADE + '[[objectives]]\nmetric = "num_parameters"\n', "constant")
    done = invoke(str(path), "--home", str(made), "--json")
    assert done.exit_code == ExitCode.DONE, done.stderr
    document = json.loads(done.stdout)["search"]
    first, second = (row["values"] for row in document["trials"])
    assert first == second
    assert document["front"] == [0], "of equal trials the first"
    (importance,) = document["importance"]
    assert importance["rows"] == []
    assert importance["reason"] in (made / "studies" / "constant" / "report.html").read_text()
    assert document["confirm"] is None, "nothing is better than the preset"


def test_a_sweep_whose_trials_all_fail_ends_with_their_cause(made: Path) -> None:
    aim = '[[objectives]]\nmetric = "energy_score"\nat = 10\n'  # `smoke` has 4 env steps of it
    path = write(made.parent, MADE + aim, "undefined")
    done = invoke(str(path), "--home", str(made))
    assert isinstance(done.exception, SystemExit)
    assert done.exit_code == ExitCode.RUN_FAILED
    assert "trial 0: energy_score@10 is not defined for it" in done.stderr
    document = read_json(made / "studies" / "undefined" / "report.json")["search"]
    assert [row["state"] for row in document["trials"]] == ["failed"] * 2
    assert {row["error"] for row in document["trials"]} == {"energy_score@10 is not defined for it"}
    assert (made / "studies" / "undefined" / "report.html").is_file()
    statuses = {
        run.info.run_name: run.info.status
        for run in tracked(made)
        if run.data.tags.get("diamond.study") == "undefined" or run.info.run_name == "undefined"
    }
    assert set(statuses.values()) == {"FAILED"}
    again = invoke(str(path), "--home", str(made))
    assert again.exit_code == ExitCode.RUN_FAILED
    assert begun_trials(again.stderr) == [], "what failed twice is not tried by every command"


def test_an_empty_space_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, MADE.replace("steps = { choices = [1, 3] }\n", ""))
    path.write_text(f'{path.read_text()}[[objectives]]\nmetric = "l1"\n')
    done = diamond("sweep", str(path), "--home", str(tmp_path / "home"))
    assert done.returncode == ExitCode.BAD_REQUEST
    assert done.stdout == ""
    assert "[space] is empty: there is nothing to search" in done.stderr
    assert "line 5" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "home").exists()


# --- before anything runs -------------------------------------------------------------------------


def test_a_dry_run_shows_the_space_and_makes_nothing(tmp_path: Path) -> None:
    path, home = write(tmp_path, SEARCH), tmp_path / "home"
    found = invoke(str(path), "--home", str(home), "--dry-run")
    assert found.exit_code == 0, found.output
    for words in ("sweep mine", "1 to 4", "0 to 4", "minimize L1", "3 trials: roughly"):
        assert words in found.output
    assert not home.exists()


def test_lost_trials_of_a_sweep_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, home = write(tmp_path, SEARCH), tmp_path / "home"
    sweep = Sweep(path, read_sweep(SEARCH, path), "mine")
    options = Options(home, Workers(1), False, False, None, "diamond sweep mine.toml")
    Store(home).check_writable()
    journal = default_storage(home)
    _open(sweep, options, journal, console(stderr=True))
    record_plan(smoke_plan(), home / "studies" / "mine", "diamond sweep mine.toml")
    assert "lost" not in capsys.readouterr().err
    Path(journal).unlink()
    _open(sweep, options, journal, console(stderr=True))
    told = " ".join(capsys.readouterr().err.split())
    assert f"trials of mine are lost: {journal} has 0 of the 2" in told


def test_ctrl_c_says_how_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, home = write(tmp_path, SEARCH), tmp_path / "home"

    def pressed(*_: object) -> None:
        raise KeyboardInterrupt

    words = ["diamond", "sweep", str(path), "--home", str(home)]
    monkeypatch.setattr(SweepRun, "execute", pressed)
    monkeypatch.setattr(sys, "argv", words)
    found = invoke(*words[2:])
    assert isinstance(found.exception, InterruptedRunError)
    first, last = str(found.exception).splitlines()
    assert first.startswith("interrupted; finished trials are kept")
    assert last.split() == words


def test_the_name_of_an_ablation_is_refused(tmp_path: Path) -> None:
    path, home = write(tmp_path, SEARCH), tmp_path / "home"
    open_home(home)
    (home / "studies" / "mine").mkdir(parents=True)
    write_json(home / "studies" / "mine" / "plans.json", [])
    found = invoke(str(path), "--home", str(home))
    assert isinstance(found.exception, RequestError)
    assert "--name mine-sweep" in str(found.exception)


def test_a_storage_that_several_processes_cannot_share_is_refused(tmp_path: Path) -> None:
    path, home = write(tmp_path, SEARCH), tmp_path / "home"
    found = invoke(str(path), "--home", str(home), "--storage", "sqlite:///optuna.db")
    assert isinstance(found.exception, StoreError)
    assert ".journal" in str(found.exception)
    assert not home.exists()
