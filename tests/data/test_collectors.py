"""Who records the training frames: every game at random, and the policy of a checkpoint."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from diamond.config.game_names import GAMES
from diamond.config.presets import make_preset, smoke
from diamond.data.collect import collect_frames
from diamond.data.dataset import FrameSet
from diamond.engine.files import digest
from diamond.engine.store import Store
from diamond.envs.open_game import open_game
from diamond.errors import RequestError, StageFailedError, StoreError, WeightsError
from diamond.plan.find_axis import find_axis
from diamond.plan.make_plan import make_plan
from diamond.plan.plan import Plan
from diamond.plan.request import Request
from diamond.plan.stage_keys import StageSpec
from diamond.plan.variants import apply_axes
from diamond.rng import numpy_generator
from diamond.seeds import Purpose
from diamond.weights.checkpoint_folders import adopt_players
from diamond.weights.imported_weights import weights_path
from diamond.workers.worker import run_stage
from tests.agents import write_agent
from tests.commands import ablate, diamond, manifests, prepare_anew


def ignore(message: object) -> None:
    pass


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An agent of Breakout whose every weight takes part."""
    return write_agent(tmp_path_factory.mktemp("agents") / "breakout")


def plan_of(*assignments: str, game: str = "Breakout", preset: str = "smoke") -> Plan:
    few = (*assignments, "num_frames=150")
    return make_plan(Request(few, preset, (game,), 1, "frames", None))


def frames_spec(plan: Plan) -> StageSpec:
    (spec,) = (spec for spec in plan.stages() if spec.stage == "frames")
    return spec


def record(plan: Plan, home: Path) -> FrameSet:
    """Make the frames of a plan as a worker does."""
    store, spec = Store(home), frames_spec(plan)
    adopt_players(plan, home)
    prepare_anew(store, spec)
    run_stage(store, spec.stage, spec.key, ignore, 20.0)
    return FrameSet.load(store.folder(spec.stage, spec.key))


@pytest.mark.parametrize("game", GAMES)
def test_every_game_is_recorded_by_random_play(game: str) -> None:
    base = make_preset("smoke", game)
    config = apply_axes(base, [(find_axis("collector"), "random"), (find_axis("num_frames"), "64")])
    recorded = collect_frames(
        game, config.environment, config.view, config.frames, 0, lambda done, total: None
    )
    assert recorded.frames.shape == (64, 32, 32, 3)
    assert len(np.unique(recorded.actions)) > 1


def test_a_policy_without_preference_draws_from_the_stream_of_its_episode(tmp_path: Path) -> None:
    """With zero weights an action is floor(u n), for the u of the episode."""
    plan = plan_of(f"collector={write_agent(tmp_path / 'agent', scale=0.0)}")
    recorded = record(plan, tmp_path / "home")
    num_actions = len(open_game("Breakout", smoke("Breakout").environment).action_codes)
    rng = numpy_generator(0, Purpose.FRAMES_ACTIONS, 0)
    first_life = recorded.bounds[1] - 1
    assert first_life > 20
    expected = [int(rng.random() * num_actions) for _ in range(first_life)]
    assert recorded.actions[:first_life].tolist() == expected


def test_a_policy_sees_its_own_view_whatever_the_arm_records(agent: Path, tmp_path: Path) -> None:
    small, large = (
        record(plan_of(f"collector={agent}", f"resolution={side}"), tmp_path / "home")
        for side in (32, 48)
    )
    assert small.frames.shape[1:3] == (32, 32)
    assert large.frames.shape[1:3] == (48, 48)
    assert small.actions.tolist() == large.actions.tolist()
    assert small.rewards.tolist() == large.rewards.tolist()
    scripted = record(plan_of("collector=random"), tmp_path / "home")
    assert small.actions.tolist() != scripted.actions.tolist()


def test_frames_are_keyed_by_the_weights_and_not_by_their_place(
    agent: Path, tmp_path: Path
) -> None:
    copied, other = tmp_path / "copied", tmp_path / "other"
    shutil.copytree(agent, copied)
    write_agent(other, scale=0.2)
    keys = [frames_spec(plan_of(f"collector={folder}")).key for folder in (agent, copied, other)]
    assert keys[0] == keys[1] != keys[2]
    spec = frames_spec(plan_of(f"collector={agent}"))
    assert str(agent) not in str(spec.config)
    with pytest.raises(RequestError, match="are the same run"):
        plan_of(f"collector={agent},{copied}")


def test_references_do_not_depend_on_who_records(agent: Path) -> None:
    request = Request(
        (f"collector=random,mixed:0.3,{agent}",), "smoke", ("Breakout",), 1, None, "x"
    )
    stages = [spec.stage for spec in make_plan(request).stages()]
    assert stages.count("references") == 1
    assert stages.count("frames") == 3


@pytest.mark.parametrize(
    ("game", "preset", "message"),
    [
        ("Pong", "smoke", r"trained on Breakout, not Pong\n.*--game Breakout"),
        ("Breakout", "tiny", None),
    ],
)
def test_another_game_is_refused_another_preset_is_not(
    game: str, preset: str, message: str | None, agent: Path
) -> None:
    if message is None:
        assert plan_of(f"collector={agent}", game=game, preset=preset)
        return
    with pytest.raises(RequestError, match=message):
        plan_of(f"collector={agent}", game=game, preset=preset)


def test_another_set_of_actions_is_refused(tmp_path: Path) -> None:
    folder = write_agent(tmp_path / "boxing", smoke("Boxing"))
    assert plan_of(f"collector={folder}", game="Boxing")
    with pytest.raises(RequestError, match="actions of the game itself, the preset tiny"):
        plan_of(f"collector={folder}", game="Boxing", preset="tiny")


def test_weights_that_are_gone_or_damaged_are_named(agent: Path, tmp_path: Path) -> None:
    folder, home = tmp_path / "agent", tmp_path / "home"
    shutil.copytree(agent, folder)
    plan = plan_of(f"collector={folder}")
    (folder / "policy.safetensors").write_bytes(b"damaged")
    with pytest.raises(WeightsError, match=r"policy.safetensors.*is damaged"):
        adopt_players(plan, home)
    store, spec = Store(home), frames_spec(plan)
    store.prepare(spec)
    with pytest.raises(StoreError, match="run the command with the checkpoint again"):
        run_stage(store, spec.stage, spec.key, ignore, 20.0)
    policy = plan.arms[0].runs[0].config.frames.policy
    assert policy is not None
    record(plan_of(f"collector={agent}"), home)
    assert weights_path(home, policy.weights).is_file()


def test_a_policy_with_other_actions_than_the_game_stops_the_stage(tmp_path: Path) -> None:
    folder = write_agent(tmp_path / "agent")
    path = folder / "checkpoint.json"
    path.write_text(path.read_text().replace('"num_actions": 4', '"num_actions": 5'))
    with pytest.raises(StageFailedError, match=r"knows 5 actions, the game .* has 4"):
        record(plan_of(f"collector={folder}"), tmp_path / "home")


def test_a_policy_cannot_play_the_references_or_a_run_of_a_checkpoint(agent: Path) -> None:
    base = apply_axes(smoke("Breakout"), [(find_axis("collector"), str(agent))])
    play = base.references.model_copy(update={"play": base.frames.play})
    with pytest.raises(ValueError, match="all arms share their references"):
        type(base).model_validate(base.model_copy(update={"references": play}).model_dump())
    request = Request((f"collector={agent}",), "smoke", ("Breakout",), 1, None, None, agent)
    with pytest.raises(RequestError, match="collector cannot be varied with --checkpoint"):
        make_plan(request)


def test_from_the_command_line(agent: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    arguments = (f"collector=random,{agent}", "--preset", "smoke", "--game", "Breakout")
    plan = diamond("ablate", *arguments, "--home", str(home), "--dry-run")
    assert plan.returncode == 0, plan.stderr
    assert not home.exists()
    document = ablate(home, *arguments, "--until", "frames")
    assert [arm["runs"][0]["state"] for arm in document["arms"]] == ["done", "done"]
    notes = " ".join(document["notes"])
    assert f"training frames of collector={agent} were played by the policy" in notes
    assert "references of all arms were played by a scripted expert" in notes
    assert sorted(name.partition("/")[0] for name in manifests(home)) == ["frames", "frames"]


@pytest.mark.slow  # Comparisons of views are tested without.
def test_arms_of_different_resolution_are_shown_and_not_compared(tmp_path: Path) -> None:
    home = tmp_path / "home"
    document = ablate(
        home,
        *("resolution=32,48", "steps=1,2", "updates=2", "reward_end.updates=1"),
        *("--preset", "smoke", "--until", "fidelity"),
        page=True,
    )
    arms = [row for row in document["comparisons"] if row["family"] != "reference"]
    (pair,) = {(row["a"], row["b"]) for row in arms}
    assert pair[0].startswith("resolution=32 steps=2 ")
    assert pair[1].startswith("resolution=32 steps=1 ")
    assert any("their metrics cannot be compared" in note for note in document["notes"])
    assert len({arm["runs"][0]["stages"]["references"]["key"] for arm in document["arms"]}) == 1
    assert document["strips"]


FEW = ("updates=6", "reward_end.updates=2", "num_frames=150")
NARROW = "denoiser.channels=[8,8]"


@pytest.mark.slow  # A path at equal time, and the verdicts of declarations, are tested without.
def test_a_declaration_with_a_collector_at_equal_time_runs_to_its_verdict(
    agent: Path, tmp_path: Path
) -> None:
    settings = "\n".join(f'"{name}" = {value}' for name, value in (w.split("=") for w in FEW))
    (tmp_path / "mine.toml").write_text(f"""\
question = "Who records better frames, and does a narrower denoiser use its time better?"
primary = "l1"
preset = "smoke"
games = ["Breakout"]
until = "fidelity"
match = "seconds"
arms = ["narrow: {NARROW}"]

[axes]
collector = ["random", "{agent}"]

[settings]
{settings}

[[claims]]
name = "the policy"
text = "Its frames are those that matter."
expression = "l1[collector={agent}] < l1[collector=random denoiser.channels=[16,16]]"
""")
    done = diamond("ablate", "mine.toml", "--home", "home", "--json", cwd=tmp_path, page=False)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    arms = {arm["name"]: arm for arm in document["arms"] if arm["kind"] == "arm"}
    assert list(arms) == ["collector=random", f"collector={agent}", "narrow"]
    assert {run["state"] for arm in arms.values() for run in arm["runs"]} == {"done"}
    (matched,) = arms["narrow"]["matched"]
    assert (matched["field"], matched["old"]) == ("denoiser.updates", 6)
    made = [m for name, m in manifests(tmp_path / "home").items() if name.startswith("denoiser/")]
    trained = {m["config"]["denoiser"]["updates"] for m in made}
    assert trained == {6, matched["new"]}
    assert matched["new"] > 6
    # One seed decides nothing, but the claim has found its arms and their scores.
    seen = diamond("verify", "mine", "--json", "--home", "home", cwd=tmp_path)
    assert seen.returncode == 0, seen.stderr
    (claim,) = json.loads(seen.stdout)["claims"]
    assert claim["verdict"] == "UNDECIDED"
    assert "at least 2 are needed" in seen.stdout


@pytest.mark.slow  # Paths and equal time are tested without.
def test_a_path_from_one_collector_to_another_at_equal_time(agent: Path, tmp_path: Path) -> None:
    shared = " ".join(FEW)
    document = ablate(
        tmp_path / "home",
        *("--design", "path", "--from", f"collector=random denoiser.channels=[16,16] {shared}"),
        *("--to", f"collector={agent} {NARROW} {shared}", "--match", "seconds"),
        *("--preset", "smoke", "--game", "Breakout", "--until", "fidelity", "--name", "walk"),
    )
    (path,) = document["path"].values()
    names = [factor["name"] for factor in path["factors"]]
    assert names == ["collector", "width"]
    (policy,) = (v for k, v in path["factors"][0]["new"].items() if k == "frames.policy")
    assert policy["weights"] == digest(agent / "policy.safetensors")
    narrow = [arm for arm in document["arms"] if arm.get("matched")]
    assert len(narrow) == 2
    for direction in ("forward", "backward"):
        assert path["metrics"]["l1"]["sums"][direction] is not None
