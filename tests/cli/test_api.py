"""Studies from Python: what the package offers, and that it is what the commands do."""

import inspect
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import diamond
from diamond.api import AblateOptions, LoadedStudy
from diamond.cli import study_command as command_module
from diamond.cli.ablation_request import ablation_request
from diamond.cli.app import app
from diamond.cli.commands.ablate_command import ablate as ablate_command
from diamond.cli.interrupt import interruptible
from diamond.cli.study_command import Options
from diamond.data.frame_files import read_stack
from diamond.engine.files import digest
from diamond.engine.output_names import FRAMES_FILE
from diamond.engine.store import Store
from diamond.engine.study_history import record_plan
from diamond.errors import DiamondError, RequestError, StageFailedError, StoreError
from diamond.plan.make_plan import make_plan
from diamond.plan.request import Request
from diamond.results.model import Result
from diamond.studies import compared_frames as films_module
from diamond.studies.export_study import export_study
from diamond.studies.frame_retention import Dropping, Keep
from diamond.studies.study_list import named_study
from diamond.workers.pool import Child, Pool
from tests import commands
from tests.commands import SMOKE, STUDY, copy_home, digests, environment, live_workers, smoke_plan
from tests.sweep_documents import result as sweep_of
from tests.sweep_documents import two_objectives

HEAVY = ("torch", "numpy", "pandas", "mlflow", "pydantic", "matplotlib", "diamond.api")


@pytest.fixture
def home(smoke_home: Path, tmp_path: Path) -> Path:
    """The stages of the smoke study, without the study."""
    return copy_home(smoke_home, tmp_path / "home")


@pytest.fixture
def pageless(monkeypatch: pytest.MonkeyPatch) -> None:
    """No page is written: it is a third of the time of a smoke study."""

    def write_page(result: Result, store: Store, folder: Path) -> Result:
        for name in ("report.html", "report.md"):
            (folder / name).write_text("")
        files = {name: digest(folder / name) for name in ("report.html", "report.md")}
        return result.model_copy(update={"files": files})

    monkeypatch.setattr(command_module, "write_page", write_page)


@pytest.fixture(scope="module")
def study(smoke_home: Path) -> LoadedStudy:
    return diamond.load(smoke_home, STUDY)


# --- the package ------------------------------------------------------------------------------


def test_the_package_alone_loads_nothing() -> None:
    code = (
        "import sys, diamond\n"
        "assert {'load', 'ablate', 'LoadedStudy'} <= set(dir(diamond)) & set(diamond.__all__)\n"
        f"print(*(name for name in {HEAVY} if name in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment()
    )
    assert done.stdout.split() == []


def test_what_the_package_does_not_offer_is_no_attribute_of_it() -> None:
    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        _ = diamond.lod  # type: ignore[attr-defined]


# --- load -------------------------------------------------------------------------------------


def test_the_result_is_that_of_the_report(study: LoadedStudy, smoke_home: Path) -> None:
    assert study.result.model_dump(mode="json") == commands.report(smoke_home)
    assert (study.home, study.name) == (smoke_home, STUDY)
    assert len(repr(study)) < 300


def test_the_result_of_a_home_that_was_moved_says_where_it_is(
    smoke_home: Path, tmp_path: Path
) -> None:
    moved = tmp_path / "moved"
    (moved / "studies").mkdir(parents=True)
    (moved / "studies" / STUDY).symlink_to(smoke_home / "studies" / STUDY)
    found = diamond.load(str(moved), STUDY).result.paths.report_html
    assert found == str(moved / "studies" / STUDY / "report.html")


def test_what_cannot_be_loaded_is_told_as_commands_tell_it(
    smoke_home: Path, home: Path, tmp_path: Path
) -> None:
    record_plan(smoke_plan(), home / "studies" / STUDY, "diamond ablate steps=1,3")
    for folder, name, error in (
        (smoke_home, "steps-boxing-smoke-statik", RequestError),
        (tmp_path / "absent", STUDY, StoreError),
        (home, STUDY, RequestError),
    ):
        with pytest.raises(error) as caught:
            diamond.load(folder, name)
        with pytest.raises(error) as told:
            app(["report", name, "--home", str(folder)], standalone_mode=False)
        assert str(caught.value) == str(told.value)
    assert "this goes on: diamond ablate steps=1,3" in str(caught.value)


# --- to_frame ---------------------------------------------------------------------------------


def test_the_table_has_every_number_of_every_run_once(study: LoadedStudy) -> None:
    table = study.to_frame()
    assert list(table.columns) == ["arm", "game", "seed", "metric", "time_step", "value"]
    assert [str(table[name].dtype) for name in ("seed", "time_step", "value")] == [
        "Int64",
        "Int64",
        "float64",
    ]
    expected = {
        (arm.name, arm.game, run.seed, metric, step): value
        for arm in study.result.arms
        for run in arm.runs
        for metric, at in run.metrics.items()
        for step, value in [
            (0, at["mean"]),
            *enumerate(run.curves.get(metric, ()), start=1),
        ]
    }
    for arm in study.result.arms:
        for run in arm.runs:
            own: dict[str, Any] = dict(run.costs or {})
            if run.returns is not None:
                own |= {"return": run.returns.mean, "hns": run.returns.hns}
            expected |= {(arm.name, arm.game, run.seed, name, 0): v for name, v in own.items()}
    rows = table.assign(time_step=table["time_step"].fillna(0)).itertuples(index=False)
    found = {tuple(row[:5]): row[5] for row in rows}
    assert len(found) == len(table)
    assert found == {key: value for key, value in expected.items() if value is not None}
    assert {key[3] for key in found} >= {"return", "ms_per_frame", "psnr", "fd_inverse_dynamics"}


def test_arms_of_the_table_are_in_the_order_of_the_result(study: LoadedStudy) -> None:
    names = list(study.to_frame()["arm"].cat.categories)
    assert names == list(dict.fromkeys(arm.name for arm in study.result.arms))


def test_trials_of_a_sweep_are_arms_without_seed() -> None:
    result = sweep_of(two_objectives())
    table = LoadedStudy(Path(), "mine", result).to_frame()
    assert result.search is not None
    valued = [trial for trial in result.search.trials if trial.values]
    assert len(table) == 2 * len(valued) > 0
    assert table["seed"].isna().all()
    last = table[table["arm"] == valued[-1].name]
    assert last["value"].tolist() == list(valued[-1].values)
    assert last["metric"].tolist() == [one.name for one in result.search.objectives]
    steps = [pd.NA if one.at == "mean" else int(one.at) for one in result.search.objectives]
    assert last["time_step"].tolist() == steps


def test_a_study_without_numbers_has_an_empty_table(study: LoadedStudy) -> None:
    empty = study.result.model_copy(update={"arms": ()})
    table = LoadedStudy(Path(), "mine", empty).to_frame()
    assert table.empty
    assert list(table.columns) == list(study.to_frame().columns)


# --- frames -----------------------------------------------------------------------------------


@pytest.mark.parametrize("arm", ["steps=3", "copy last frame"])
def test_frames_are_those_in_the_store(study: LoadedStudy, smoke_home: Path, arm: str) -> None:
    run = next(one for one in study.result.arms if one.name == arm).runs[0]
    stored = read_stack(smoke_home / "stages/rollouts" / run.stages["rollouts"].key / FRAMES_FILE)
    for start, imagined in enumerate(stored):
        found = study.frames(arm, start)
        assert (found.arm, found.game, found.seed, found.start) == (arm, "Boxing", 0, start)
        np.testing.assert_array_equal(found.imagined, imagined)
        assert found.imagined.dtype == found.real.dtype == np.uint8
        assert found.imagined.shape == found.real.shape == (10, 32, 32, 3)
        assert found.real[: found.length].any(axis=(1, 2, 3)).all()
        assert not found.real[found.length + 1 :].any()


def test_real_frames_are_the_same_for_every_arm_of_a_view(study: LoadedStudy) -> None:
    first, second = (study.frames(arm, 1, game="Boxing", seed=0) for arm in ("steps=1", "steps=3"))
    np.testing.assert_array_equal(first.real, second.real)
    assert (first.imagined != second.imagined).any()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"arm": "steps=33"}, ("unknown arm 'steps=33'", "Did you mean 'steps=3'?")),
        ({"start": 2}, ("unknown start 2", "Did you mean 1?", "allowed: 0 to 1")),
        ({"start": -1}, ("unknown start -1", "Did you mean 0?")),
        ({"game": "Boxin"}, ("unknown game 'Boxin'", "Did you mean 'Boxing'?")),
        ({"seed": 7}, ("unknown seed '7'", "allowed: 0")),
    ],
)
def test_frames_that_are_not_there_are_refused(
    study: LoadedStudy, arguments: dict[str, Any], told: tuple[str, ...]
) -> None:
    with pytest.raises(RequestError) as caught:
        study.frames(**{"arm": "steps=3", "start": 0, **arguments})
    for part in told:
        assert part in str(caught.value)


def test_an_arm_that_imagined_nothing_has_no_frames(study: LoadedStudy) -> None:
    arms = [
        arm.model_copy(
            update={"runs": tuple(run.model_copy(update={"stages": {}}) for run in arm.runs)}
        )
        for arm in study.result.arms
    ]
    bare = study.result.model_copy(update={"arms": tuple(arms)})
    with pytest.raises(RequestError, match="has imagined no frames with seed 0 on Boxing"):
        LoadedStudy(study.home, study.name, bare).frames("steps=3", 0)


def with_study(smoke_home: Path, home: Path) -> LoadedStudy:
    """The smoke study in a home that has its stages."""
    record_plan(smoke_plan(), home / "studies" / STUDY, "diamond ablate steps=1,3")
    report = home / "studies" / STUDY / "report.json"
    report.write_bytes((smoke_home / "studies" / STUDY / "report.json").read_bytes())
    return diamond.load(home, STUDY)


def drop(home: Path, keep: Keep) -> None:
    specs = smoke_plan().stages()
    Dropping(Store(home), keep, STUDY).take_on(specs, [spec.key for spec in specs])


@pytest.mark.slow  # What is freed is made again in other tests.
@pytest.mark.parametrize("keep", ["films", "none"])
def test_frames_that_were_dropped_are_made_again(
    smoke_home: Path,
    home: Path,
    keep: Keep,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(films_module, "MAX_FILMS", 1)
    study, before = with_study(smoke_home, home), diamond.load(smoke_home, STUDY)
    drop(home, keep)
    for start in range(2):
        found, known = study.frames("steps=3", start), before.frames("steps=3", start)
        np.testing.assert_array_equal(found.imagined, known.imagined)
        np.testing.assert_array_equal(found.real, known.real)
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("frames of steps=3 were not kept: they are made again") == 1
    assert "rollouts (steps=3): done" in told.err
    # Of this run alone, and of nothing that reads it.
    (made,) = home.glob(f"stages/rollouts/*/{FRAMES_FILE}")
    assert made.parent.name == study.result.arms[1].runs[0].stages["rollouts"].key
    assert (
        digests(home).items()
        >= {
            f"rollouts/{made.parent.name}": digests(smoke_home)[f"rollouts/{made.parent.name}"]
        }.items()
    )


def test_a_trial_of_a_sweep_has_frames(smoke_home: Path, home: Path, study: LoadedStudy) -> None:
    request = Request((), "smoke", ("Boxing",), 1, None, "mine", arms=("trial 0: steps=3",))
    record_plan(make_plan(request), home / "studies" / "mine", "diamond sweep mine")
    sweep = LoadedStudy(home, "mine", sweep_of(two_objectives()))
    expected = study.frames("steps=3", 1)
    np.testing.assert_array_equal(sweep.frames("trial 0", 1).imagined, expected.imagined)
    drop(home, "none")
    again = sweep.frames("trial 0", 1)
    assert again.arm == "trial 0"
    np.testing.assert_array_equal(again.imagined, expected.imagined)
    np.testing.assert_array_equal(again.real, expected.real)
    with pytest.raises(RequestError, match="unknown trial 'trial 7'"):
        sweep.frames("trial 7", 0)


def test_frames_that_cannot_be_made_again_are_told(
    smoke_home: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = with_study(smoke_home, home)
    drop(home, "none")

    class Broken(Pool):
        def _spawn(self) -> Child:
            child = super()._spawn()
            child.process.kill()
            return child

    monkeypatch.setattr("diamond.workers.executor.Pool", Broken)
    with pytest.raises(StageFailedError, match=r"could not be made again: rollouts: .* SIGKILL"):
        study.frames("steps=3", 0)


@pytest.mark.slow
def test_frames_that_did_not_travel_are_made_again(
    smoke_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(films_module, "MAX_FILMS", 1)
    file, home = tmp_path / "study.zip", tmp_path / "home"
    store = Store(smoke_home)
    export_study(store, named_study(store, STUDY), file, None)
    commands.diamond("import-study", str(file), "--home", str(home))
    study, before = diamond.load(home, STUDY), diamond.load(smoke_home, STUDY)
    for start in range(2):
        found, known = study.frames("steps=3", start), before.frames("steps=3", start)
        np.testing.assert_array_equal(found.imagined, known.imagined)
        np.testing.assert_array_equal(found.real, known.real)


# --- ablate -----------------------------------------------------------------------------------


def asked_by(monkeypatch: pytest.MonkeyPatch, call: Callable[[], object]) -> Request:
    """What a command or a call asks for; nothing is run."""
    found: list[Request] = []

    def run_study(request: Request, options: object) -> int:
        found.append(request)
        return 0

    for module in ("diamond.cli.ablate", "diamond.api"):
        monkeypatch.setattr(f"{module}.run_study", run_study)
    call()
    return found[0]


def test_options_are_those_of_the_command() -> None:
    command = set(inspect.signature(ablate_command).parameters)
    here = {"compile_" if name == "compile" else name for name in AblateOptions.__annotations__}
    assert command - here == {"context", "axes", "dry_run", "as_json", "detach"}
    assert here <= command


def test_defaults_are_those_that_the_help_shows() -> None:
    shown: Any = {
        name: each.default
        for name, each in inspect.signature(ablate_command).parameters.items()
        if name in AblateOptions.__annotations__ and each.default is not None
    }
    assert len(shown) >= 7
    assert ablation_request(["steps=1,3"], shown) == ablation_request(["steps=1,3"], {})


@pytest.mark.parametrize(
    ("axes", "options"),
    [
        (("steps=1,3",), {"preset": "smoke"}),
        (("steps=1,3", "history=1,2"), {"design": "ofat", "seeds": 2, "first_seed": 3, "aa": True}),
        ((), {"arm": ["a: steps=2", "b: steps=3"], "settings": "history=2", "match": "nfe"}),
        (("steps=1,3",), {"game": ["Boxing", "Pong"], "until": "fidelity", "first_start": 4}),
        ((), {"design": "path", "path_from": "formulation=ddpm", "path_to": ["formulation=edm"]}),
        (("noise_levels",), {"preset": "smoke", "game": "Boxing,Pong", "seeds": 2, "name": "x"}),
    ],
)
def test_the_command_that_is_recorded_asks_for_the_same(
    axes: tuple[str, ...],
    options: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(commands.ROOT)
    commanded: list[str] = []

    def noted(**said: Any) -> Any:
        commanded.append(said["command"])
        return Options(**said)

    monkeypatch.setattr("diamond.api.Options", noted)
    expected = asked_by(monkeypatch, lambda: diamond.ablate(*axes, home=tmp_path, **options))
    words = shlex.split(commanded[0])
    assert words[0] == "diamond"

    def command() -> None:
        with pytest.raises(SystemExit):
            app(words[1:])

    assert asked_by(monkeypatch, command) == expected


def test_how_it_is_run_is_in_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[Any] = []
    monkeypatch.setattr("diamond.api.run_study", lambda request, options: found.append(options))
    diamond.ablate(
        "steps=1,3",
        home=tmp_path,
        only="steps=3",
        jobs=3,
        keep="films",
        retry_failed=True,
        tracking_uri="postgresql://me:secret@host/runs",
    )
    (options,) = found
    assert (options.only, options.workers.jobs, options.keep) == (("steps=3",), 3, "films")
    assert options.retry_failed
    assert options.tracking_uri == "postgresql://me:secret@host/runs"
    assert options.command.endswith(
        "--only steps=3 --jobs 3 --retry-failed --keep films "
        f"--home {tmp_path} --tracking-uri 'postgresql://me:***@host/runs'"
    )


@pytest.mark.usefixtures("pageless")
def test_a_call_shows_what_the_command_shows_and_returns_the_study(
    home: Path, capsys: pytest.CaptureFixture[str], smoke_home: Path
) -> None:
    rollouts = next(iter(home.glob("stages/rollouts/*")))
    (rollouts / FRAMES_FILE).unlink()
    study = diamond.ablate("steps=1,3", preset="smoke", home=home)
    told = capsys.readouterr()
    assert told.out == ""
    for part in ("tracking: sqlite", f"study {STUDY}", "24 stages, 23 done already", "done in"):
        assert part in told.err
    assert study.result.model_dump(mode="json") == commands.report(home)
    assert study.result.failures() == []
    assert sum(s.made for a in study.result.arms for r in a.runs for s in r.stages.values()) == 1
    assert digests(home) == digests(smoke_home)
    capsys.readouterr()
    assert (
        diamond.ablate("steps=1,3", preset="smoke", home=str(home))
        .to_frame()
        .equals(study.to_frame())
    )


def test_a_dry_run_prints_the_plan_and_returns_nothing(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = commands.diamond("ablate", *SMOKE, "--home", str(home), "--dry-run")
    call: Any = diamond.ablate
    assert call("steps=1,3", preset="smoke", home=home, dry_run=True) is None
    told = capsys.readouterr()
    assert told.out == expected.stdout
    assert told.err == expected.stderr
    assert not (home / "studies" / STUDY).exists()


@pytest.mark.parametrize(
    ("words", "axes", "options"),
    [
        (["stepz=1,3"], ("stepz=1,3",), {}),
        (["steps=1,3", "--preset", "smok"], ("steps=1,3",), {"preset": "smok"}),
        (["steps=1,3", "--design", "grit"], ("steps=1,3",), {"design": "grit"}),
        (["steps=1,3", "--game", "Boxin"], ("steps=1,3",), {"game": ["Boxin"]}),
        (["steps=1,3", "--only", "steps=2"], ("steps=1,3",), {"only": ["steps=2"]}),
        (["steps=1,3", "--keep", "film"], ("steps=1,3",), {"keep": "film"}),
        (["steps=1,3", "--jobs", "-1"], ("steps=1,3",), {"jobs": -1}),
        (["steps=1,3", "--engine", "slrm"], ("steps=1,3",), {"engine": "slrm"}),
        (["steps=1,3", "--checkpoint", "absent"], ("steps=1,3",), {"checkpoint": "absent"}),
        (["nothing"], ("nothing",), {}),
        ([], (), {}),
    ],
)
def test_errors_are_those_of_the_command(
    words: list[str], axes: tuple[str, ...], options: Any, tmp_path: Path
) -> None:
    with pytest.raises(DiamondError) as told:
        app(["ablate", *words, "--home", str(tmp_path)], standalone_mode=False)
    with pytest.raises(DiamondError) as caught:
        diamond.ablate(*axes, home=tmp_path, **options)
    assert str(caught.value) == str(told.value)
    assert type(caught.value) is type(told.value)


@pytest.mark.parametrize(
    ("axes", "options", "told"),
    [
        (("steps=1,3",), {"presett": "smoke"}, ("unknown option 'presett'", "'preset'?")),
        (("steps=1,3",), {"seeds": "2"}, ("ablate(seeds='2')", "valid integer")),
        (("steps=1,3",), {"aa": 1}, ("ablate(aa=1)", "valid boolean")),
        ((["steps=1,3"],), {}, ("ablate(['steps=1,3'])", "valid string")),
    ],
)
def test_values_of_another_type_are_refused(
    axes: Any, options: Any, told: tuple[str, ...], tmp_path: Path
) -> None:
    with pytest.raises(RequestError) as caught:
        diamond.ablate(*axes, home=tmp_path, **options)
    for part in told:
        assert part in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_an_error_hides_the_password_of_the_address(tmp_path: Path) -> None:
    with pytest.raises(StoreError) as caught:
        diamond.ablate("steps=1,3", home=tmp_path, tracking_uri="file://me:secret@host/runs")
    assert "me:***@host" in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_place_that_the_system_refuses_is_an_error_of_the_user(tmp_path: Path) -> None:
    with pytest.raises(DiamondError, match="File name too long"):
        diamond.ablate("steps=1,3", home=tmp_path / ("x" * 300))


def test_signals_are_left_alone_in_another_thread() -> None:
    handler = signal.getsignal(signal.SIGTERM)
    seen: list[object] = []

    def work() -> None:
        with interruptible():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [handler]


INTERRUPTED = """
import sys, diamond
from diamond.errors import InterruptedRunError
try:
    diamond.ablate("steps=1,3", preset="smoke", until="frames", home=sys.argv[1])
except InterruptedRunError as error:
    print(error)
"""


@pytest.mark.slow  # Interrupted commands are tested in the engine.
def test_an_interrupted_call_leaves_the_home_as_the_command_does(
    smoke_home: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, str(home)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    commands.wait_until(lambda: any(home.glob("work/*/*/claim-*.json")), "a claim")
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert "interrupted; what was done is kept. Go on with the same command:" in output
    assert live_workers(home) == []
    words = shlex.split(output.strip().splitlines()[-1])
    assert commands.diamond(*words[1:], page=False).returncode == 0
    assert digests(home).items() <= digests(smoke_home).items()
    commands.check_tracked(home)
