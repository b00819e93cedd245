"""Exporting runs of studies as agents, which then imagine and play as in their study."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from diamond.config.checkpoint_record import AGENT_FIELDS, CHECKPOINT_FILE, read_checkpoint
from diamond.config.overrides import override
from diamond.config.presets import paper, smoke, tiny
from diamond.config.run import RunConfig
from diamond.engine.files import read_json
from diamond.engine.study_history import record_plan
from diamond.errors import RequestError, StoreError
from diamond.families.diamond.formulations import FORMULATION_FIELDS
from diamond.plan.declarations import Given, load_declaration
from diamond.plan.make_plan import make_plan
from diamond.plan.plan_arms import AA_NAME
from diamond.plan.request import Request
from diamond.studies import export_agents as export
from diamond.studies.checkpoint_returns import evaluate
from diamond.world.vec import make_vec
from tests.commands import STUDY, ablate, copy_home, diamond, digests
from tests.recordings.made_sources import facts as recorded


def test_what_the_released_code_cannot_express_is_refused(smoke_home: Path, tmp_path: Path) -> None:
    target = tmp_path / "agent.pt"
    where = ("--home", str(smoke_home))
    done = diamond("export-checkpoint", STUDY, str(target), "--arm", "steps=3", *where)
    assert done.returncode == 2
    assert "denoiser.patch=2" in done.stderr
    assert "without .pt" in done.stderr
    with pytest.raises(RequestError, match=r"view\.crop=.*environment\.actions="):
        export.export_released(tiny("Boxing"), {}, target)
    ddpm = override(paper("Boxing"), FORMULATION_FIELDS["ddpm"])
    with pytest.raises(RequestError, match="no such agent: another diffusion formulation"):
        export.export_released(ddpm, {}, target)
    assert not target.exists()


WRONG_RUNS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "no such study": (("no-study",), ("unknown study 'no-study'", STUDY)),
    "no such arm": ((STUDY, "--arm", "steps=2"), ("unknown arm 'steps=2'", "steps=1, steps=3")),
    "which arm": ((STUDY,), ("2 arms", "steps=1, steps=3", "--arm")),
    "another game": ((STUDY, "--arm", "steps=1", "--game", "Pong"), ("unknown game", "Boxing")),
    "not trained": (
        (STUDY, "--arm", "steps=1", "--seed", "2"),
        ("denoiser", "seed 2, is not trained", "diamond ablate steps=1,3", "--seeds 3"),
    ),
    "no seed": ((STUDY, "--arm", "steps=1", "--seed", "-1"), ("--seed -1",)),
}


@pytest.mark.parametrize(("words", "texts"), WRONG_RUNS.values(), ids=WRONG_RUNS)
def test_a_run_that_is_not_there_is_not_exported(
    words: tuple[str, ...], texts: tuple[str, ...], smoke_home: Path, tmp_path: Path
) -> None:
    study, *options = words
    target = tmp_path / "agent"
    done = diamond("export-checkpoint", study, str(target), *options, "--home", str(smoke_home))
    assert done.returncode == 2
    assert all(text in done.stderr for text in texts), done.stderr
    assert not list(tmp_path.iterdir())


def test_a_home_without_studies_says_so(tmp_path: Path) -> None:
    (tmp_path / "studies").mkdir()
    done = diamond("export-checkpoint", "any", str(tmp_path / "agent"), "--home", str(tmp_path))
    assert done.returncode == 2
    assert "the home has none" in done.stderr
    assert "allowed" not in done.stderr


@pytest.fixture(scope="module")
def exported(smoke_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run steps=3 of the smoke study as a checkpoint folder."""
    folder = tmp_path_factory.mktemp("exported") / "boxing"
    where = ("--arm", "steps=3", "--home", str(smoke_home))
    done = diamond("export-checkpoint", STUDY, str(folder), *where)
    assert done.returncode == 0, done.stderr
    assert f"--checkpoint {folder}" in done.stdout
    return folder


def outputs_of(home: Path, run: dict[str, Any], stage: str) -> dict[str, str]:
    """SHA-256 of the outputs of a stage of a run in a result document."""
    return digests(home)[f"{stage}/{run['stages'][stage]['key']}"]


def run_of(document: dict[str, Any], name: str) -> dict[str, Any]:
    run: dict[str, Any] = next(arm for arm in document["arms"] if arm["name"] == name)["runs"][0]
    return run


def test_an_exported_run_says_what_it_is(exported: Path, smoke_home: Path) -> None:
    checkpoint = read_checkpoint(exported)
    assert checkpoint.source == f"study {STUDY}, arm steps=3, game Boxing, seed 0"
    config = RunConfig.model_validate(
        read_json(smoke_home / "studies" / STUDY / "plans.json")[-1]["arms"]["steps=3 | Boxing"]
    )
    for name in AGENT_FIELDS:
        assert getattr(checkpoint, name) == getattr(config, name)
    assert {path.name for path in exported.iterdir()} == {
        CHECKPOINT_FILE,
        *(f"{part}.safetensors" for part in ("denoiser", "reward_end", "policy")),
    }


def test_an_exported_run_imagines_and_plays_as_in_its_study(
    exported: Path, smoke_home: Path, tmp_path: Path
) -> None:
    """Rollouts and returns have the same bits under the study's preset."""
    own = run_of(read_json(smoke_home / "studies" / STUDY / "report.json"), "steps=3")
    home = copy_home(smoke_home, tmp_path / "home", "references")
    document = ablate(home, "steps=1,3", "--preset", "smoke", "--checkpoint", str(exported))
    again = run_of(document, "steps=3")
    for stage in ("denoiser", "reward_end", "policy", "rollouts", "fidelity", "returns"):
        assert outputs_of(home, again, stage) == outputs_of(smoke_home, own, stage), stage
    other = run_of(document, "steps=1")
    assert outputs_of(home, other, "rollouts") != outputs_of(home, again, "rollouts")
    assert again["returns"]["mean"] == own["returns"]["mean"]


def test_evaluate_gives_the_returns_of_the_study(
    exported: Path, smoke_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the data seed of the study, and cut where its preset cuts an episode.

    `diamond evaluate` always cuts after 27,000 env steps, `smoke` sooner: only that differs.
    """
    monkeypatch.setattr("diamond.studies.checkpoint_returns.paper", smoke)
    own = run_of(read_json(smoke_home / "studies" / STUDY / "report.json"), "steps=3")
    key = own["stages"]["returns"]["key"]
    expected = read_json(smoke_home / "stages" / "returns" / key / "returns.json")["played"][
        "episodes"
    ]
    agent, seed = read_checkpoint(exported), smoke("Boxing").data_seed
    document = evaluate(exported, agent, len(expected), seed, lambda slots: None)
    assert document["episodes"] == [
        {"return": e["total_reward"], "num_steps": e["num_steps"], "truncated": e["truncated"]}
        for e in expected
    ]


def test_an_exported_run_is_an_environment(exported: Path) -> None:
    envs = make_vec(exported, num_envs=2, horizon=4, device="cpu")
    view = smoke("Boxing").view
    frames, _ = envs.reset(seed=0)
    assert frames.shape == (2, view.height, view.width, 3)
    for _ in range(5):
        frames, *_ = envs.step(envs.action_space.sample())
    assert frames.shape == (2, view.height, view.width, 3)
    envs.close()


def test_an_export_stands_whole_or_not_at_all(
    smoke_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever write fails, nothing is left; what stands there already stays."""
    run = export.trained_run(STUDY, export.RunChoice("steps=1"), smoke_home)
    target, copy = tmp_path / "agent", shutil.copyfile

    def failing(which: str) -> Callable[[Path, Path], object]:
        def write(source: Path, path: Path) -> object:
            if path.name == which:
                raise OSError(28, "No space left on device")
            return copy(source, path)

        return write

    for part in ("denoiser", "reward_end", "policy"):
        with monkeypatch.context() as patched:
            patched.setattr("shutil.copyfile", failing(f"{part}.safetensors"))
            with pytest.raises(StoreError, match="No space left"):
                export.export_folder(run, target)
        assert not list(tmp_path.iterdir())
    for name in ("agent", "empty"):
        (tmp_path / name).mkdir()
    (target / "note.txt").write_text("mine")
    for name in ("agent", "empty", "agent/note.txt"):
        with pytest.raises(RequestError, match="exists; it is not overwritten"):
            export.export_folder(run, tmp_path / name)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["agent", "empty", "note.txt"]
    assert (target / "note.txt").read_text() == "mine"


def test_a_study_without_a_policy_says_which_command_trains_it(
    smoke_home: Path, tmp_path: Path
) -> None:
    home = copy_home(smoke_home, tmp_path / "home")
    shutil.rmtree(home / "stages" / "policy")
    arguments = ("steps=1,3", "--preset", "smoke", "--until", "fidelity", "--name", "short")
    ablate(home, *arguments)
    where = ("--arm", "steps=1", "--home", str(home))
    done = diamond("export-checkpoint", "short", str(tmp_path / "agent"), *where)
    assert done.returncode == 2
    for text in ("the policy of study short", "--until fidelity", f"--home {home}"):
        assert text in done.stderr
    command = done.stderr.rpartition("trains it: ")[2]
    assert "diamond ablate steps=1,3 --preset smoke --name short" in command
    assert "--until" not in command
    assert not (tmp_path / "agent").exists()


def test_the_command_that_trains_a_policy_lifts_a_declared_last_stage(tmp_path: Path) -> None:
    declared = load_declaration("steps")
    plan = make_plan(Request(**declared.request(Given(preset="smoke", seeds=1))))
    command = "diamond ablate ablations/steps.toml --preset smoke --seeds=1 --until fidelity"
    record_plan(plan, tmp_path / "studies" / plan.study, command)
    with pytest.raises(RequestError) as caught:
        export.trained_run(plan.study, export.RunChoice("steps=1"), tmp_path)
    told = str(caught.value).rpartition("trains it: ")[2]
    assert told == "diamond ablate ablations/steps.toml --preset smoke --seeds 1 --until all"


def test_a_run_whose_weights_are_damaged_is_not_exported(smoke_home: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    shutil.copytree(smoke_home, home)
    (weights,) = home.glob("stages/denoiser/*/weights.safetensors")
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(StoreError, match=r"denoiser \w+ is damaged: weights.safetensors differs"):
        export.trained_run(STUDY, export.RunChoice("steps=1"), home)


@pytest.mark.parametrize(
    ("choice", "seed", "seeds"),
    [
        (export.RunChoice("steps=1"), 4, "--seeds 2 --first-seed 4"),
        (export.RunChoice("steps=1", seed=6), 6, "--seeds 3 --first-seed 4"),
        (export.RunChoice("steps=1", seed=1), 1, "--seeds 5 --first-seed 1"),
        (export.RunChoice("steps=1", seed=0), 0, "--seeds 6"),
        (export.RunChoice(AA_NAME), 6, "--seeds 2 --first-seed 4"),
    ],
)
def test_the_run_of_a_study_that_begins_with_a_later_seed(
    choice: export.RunChoice, seed: int, seeds: str, tmp_path: Path
) -> None:
    aa = choice.arm == AA_NAME
    request = Request(("steps=1,3",), "smoke", ("Boxing",), 2, None, "a", first_seed=4, aa=aa)
    command = "diamond ablate steps=1,3 --first-seed=4 --seeds 2"
    record_plan(make_plan(request), tmp_path / "studies" / "a", command)
    with pytest.raises(RequestError, match=f"seed {seed}, is not trained") as caught:
        export.trained_run("a", choice, tmp_path)
    told = str(caught.value).rpartition("trains it: ")[2]
    assert told == f"diamond ablate steps=1,3 {seeds}"


def test_a_run_of_several_games_is_chosen_by_name(tmp_path: Path) -> None:
    """The plan of an online study on two games; neither agent is trained."""
    request = Request(
        (), "smoke", ("Pong", "Boxing"), 1, None, "two", protocol="online", goal="agent"
    )
    record_plan(make_plan(request), tmp_path / "studies" / "two", "diamond train --game A,B")
    with pytest.raises(RequestError, match="2 games: Boxing, Pong"):
        export.trained_run("two", export.RunChoice(), tmp_path)
    for game in ("Pong", "Boxing"):
        with pytest.raises(RequestError, match=f"game {game}, seed 0, is not trained"):
            export.trained_run("two", export.RunChoice(game=game), tmp_path)


def test_what_a_recording_lacks_is_no_agent(tmp_path: Path) -> None:
    recordings = (recorded(rewards=False), recorded(name="numbers", num_actions=0))
    games = tuple(f"frames:{one.name}" for one in recordings)
    request = Request(("steps=1,3",), "smoke", games, 1, None, "a", recordings=recordings)
    record_plan(make_plan(request), tmp_path / "studies" / "a", "diamond ablate steps=1,3")
    with pytest.raises(RequestError, match=r"no reward_end and no policy: .*both rewards and ends"):
        export.trained_run("a", export.RunChoice("steps=1", game=games[0]), tmp_path)
    with pytest.raises(RequestError, match=r"no policy: .*these are numbers"):
        export.trained_run("a", export.RunChoice("steps=1", game=games[1]), tmp_path)
