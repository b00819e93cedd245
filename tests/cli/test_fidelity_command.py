"""`diamond fidelity CHECKPOINT|STAGE`: what a study scored is found again, and nothing twice."""

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from diamond.config.metric_table import METRICS, RETURN
from diamond.config.presets import smoke
from diamond.data.reference_files import load_references
from diamond.engine.files import read_json, write_json
from diamond.engine.stage_manifest import read_manifest, write_manifest
from diamond.engine.store import Store
from diamond.envs.open_game import open_game
from diamond.errors import RequestError
from diamond.families.diamond.config import diamond_of
from diamond.plan.plan import Arm
from diamond.plan.single_arm import fidelity_plan
from diamond.plan.stage_keys import StageSpec
from diamond.plan.stage_keys import key_of as key_of_stage
from diamond.recordings.episodes import RecordedEpisode, Source
from diamond.stages.registry import records
from diamond.studies.scored_model import find_model, on_starts
from tests.agents import write_agent
from tests.commands import copy_home, diamond, finish, plain, report, smoke_plan
from tests.recordings.made_sources import keep

OWN = ("--starts", "2", "--horizon", "10")
"""Starts and horizon of the smoke preset: the study's own."""

SMALL_JUDGE = """
from diamond.config.presets import paper, smoke
from diamond.studies import scored_model
def with_small_judge(game):
    judge = smoke(game).inverse_dynamics
    return paper(game).model_copy(update={"inverse_dynamics": judge})
scored_model.paper = with_small_judge
from diamond.cli.app import main
main()
"""
"""`diamond` with the judge of `smoke` for checkpoints: that of `paper` is trained for a minute."""

PAGELESS = """
from types import SimpleNamespace
from diamond.cli import fidelity
fidelity.write_report = lambda *_: SimpleNamespace(digests={})
from diamond.cli.app import main
main()
"""
"""`diamond fidelity` without its page, which takes longer than the scores of `smoke`."""


def fidelity(home: Path, *arguments: str, program: str | None = PAGELESS) -> dict[str, Any]:
    done = diamond("fidelity", *arguments, "--home", str(home), "--json", program=program)
    assert done.returncode == 0, done.stderr
    return plain(json.loads(done.stdout))


def study_arm(name: str) -> Arm:
    return next(arm for arm in smoke_plan().arms if arm.name == name)


def study_spec(stage: str, name: str = "steps=3") -> StageSpec:
    return next(spec for spec in study_arm(name).runs[0].stages if spec.stage == stage)


def key_of(stage: str, name: str = "steps=3") -> str:
    return study_spec(stage, name).key


@pytest.fixture
def home(smoke_home: Path, tmp_path: Path) -> Path:
    return copy_home(smoke_home, tmp_path / "home")


def test_a_stage_of_a_study_gives_the_numbers_of_its_arm(home: Path, smoke_home: Path) -> None:
    """The rollouts say how frames are drawn; all stages are those of the study."""
    result = report(smoke_home)
    own = next(arm for arm in result["arms"] if arm["name"] == "steps=3")
    document = fidelity(home, key_of("denoiser")[:12], "steps=3", *OWN)
    arm = document["arms"][0]
    # No policy is trained to score a world model, so there is none to compare on its frames.
    policies = {name for spec in METRICS if spec.group == "policy" for name in spec.columns}
    policies.add(RETURN.name)
    for part in ("metrics", "curves"):
        expected = {name: own[part][name] for name in own[part] if name not in policies}
        assert arm[part] == expected
    assert document["costs"]["stages_made"] == 0
    baselines = [arm for arm in result["arms"] if arm["kind"] == "baseline"]
    for found, expected in zip(document["arms"][1:], baselines, strict=True):
        assert found["name"] == expected["name"]
        assert found["metrics"] == expected["metrics"]
    shown = diamond("show", document["study"], "--home", str(home))
    assert shown.returncode == 0, shown.stderr
    assert "compare:" not in shown.stdout


@pytest.mark.parametrize("stage", ["rollouts", "denoiser"])
def test_every_way_to_name_a_stage_finds_the_same_keys(stage: str, smoke_home: Path) -> None:
    store = Store(smoke_home)
    key, settings = key_of(stage), ("steps=3",) if stage == "denoiser" else ()
    expected = {s.stage: s.key for s in study_arm("steps=3").runs[0].stages}
    for source in (key, key[:10], str(smoke_home / "stages" / stage / key)):
        model = find_model(source, settings, "Boxing", store)
        plan = fidelity_plan("model", on_starts(model.config, 2, 10, None), None)
        for spec in plan.arms[0].runs[0].stages:
            assert spec.key == expected[spec.stage]
        assert {s.stage for s in plan.arms[1].runs[0].stages} == {
            one.name for one in records() if "baseline" in one.runs
        }


def test_rollouts_that_cannot_be_used_or_were_not_scored_stand_in_no_way(home: Path) -> None:
    """One way of drawing frames is one, scored or not; others' networks may be unfinished."""
    store, key = Store(home), key_of("denoiser")
    expected = find_model(key, ("steps=1",), None, store).config
    shutil.rmtree(home / "stages" / "fidelity" / key_of("fidelity"))
    missing = "0" * len(key)
    other = _rollouts_of(home, missing)
    assert find_model(key, ("steps=1",), None, store).config == expected
    # The rollouts that nothing scored are judged as the others of their world model.
    found = find_model(key_of("rollouts"), (), None, store).config
    assert found.inverse_dynamics == expected.inverse_dynamics
    with pytest.raises(RequestError, match=f"the reward_end {missing} is not in"):
        find_model(other, (), None, store)


def test_starts_are_counted_from_the_first_one_wherever_a_study_began() -> None:
    config = smoke("Boxing")
    references = config.references.model_copy(update={"first_start": 16})
    moved = config.model_copy(update={"references": references})
    for recorded in (None, "0" * 64):
        assert on_starts(moved, 2, 10, recorded) == on_starts(config, 2, 10, recorded)


def test_settings_change_how_frames_are_drawn(smoke_home: Path) -> None:
    model = find_model(key_of("rollouts"), ("steps=2",), None, Store(smoke_home))
    assert diamond_of(model.config).sampler.steps == 2
    with pytest.raises(RequestError, match=r"denoiser\.history is no part of how frames are drawn"):
        find_model(key_of("rollouts"), ("denoiser.history=2",), None, Store(smoke_home))


def test_a_checkpoint_is_scored_once_and_written_out(home: Path, tmp_path: Path) -> None:
    """The exported run imagines what it imagined in its study: same starts, noise and bits."""
    shutil.copytree(home / "stages", tmp_path / "made" / "stages")
    folder, out = write_agent(tmp_path / "agent", smoke("Boxing")), tmp_path / "out"
    first = fidelity(home, str(folder), *OWN, "--out", str(out), program=SMALL_JUDGE)
    assert first["arms"][0]["name"] == "agent"
    # Denoiser, reward_end, rollouts and fidelity; and, because `paper` draws its starts later in
    # the episodes than `smoke`, references and the two stages of each baseline.
    assert first["costs"]["stages_made"] == 9
    assert plain(read_json(out / "scores.json")) == first
    again = fidelity(home, str(folder), *OWN, program=SMALL_JUDGE)
    assert again["costs"]["stages_made"] == 0
    assert again["arms"][0]["metrics"] == first["arms"][0]["metrics"]
    with np.load(out / "scores.npz") as arrays:
        mean = arrays["agent/l1"].mean(axis=0)
    assert mean.tolist() == pytest.approx(first["arms"][0]["curves"]["l1"]["mean"])
    assert (out / "report.html").is_file()
    assert (out / "figures" / "boxing-psnr.png").is_file()
    listed = diamond("gc", "--home", str(home))
    assert first["arms"][0]["runs"][0]["stages"]["rollouts"]["key"] not in listed.stdout


def test_a_recording_stands_for_the_emulator(home: Path) -> None:
    """The emulator's own episodes, taken in: the same context, actions, noise and frames.

    Only the background differs, which the emulator's references take from the reset on.
    """
    env = open_game("Boxing", smoke("Boxing").environment)
    codes, names = env.action_codes, env.action_names
    references = load_references(home / "stages" / "references" / key_of("references"))
    episodes = []
    for number, reference in enumerate(references):
        native = np.asarray(reference.native)
        used = reference.action_codes[reference.offset :][: len(native) - 1]
        actions = np.array([codes.index(code) for code in used], np.int64)
        frames = partial(iter, native)
        episodes.append(RecordedEpisode(f"e{number}", len(native), frames, actions))
    keep(Source("npz", tuple(episodes), names), home, "own", "1")
    arguments = (key_of("rollouts"), "--frames", "own", "--horizon", "10")
    document = fidelity(home, *arguments, program=None)
    assert Path(document["paths"]["report_html"]).is_file()
    own = fidelity(home, key_of("rollouts"), *OWN)
    stages = [found["arms"][0]["runs"][0]["stages"] for found in (document, own)]
    assert stages[0]["references"]["key"] != stages[1]["references"]["key"]
    for metric in ("l1", "psnr", "ssim"):
        assert document["arms"][0]["metrics"][metric] == own["arms"][0]["metrics"][metric]
    assert any("of the user's own" in note for note in document["notes"])
    assert fidelity(home, *arguments)["costs"]["stages_made"] == 0
    for wrong, text in (
        (("--frames", "owm"), "Did you mean 'own'?"),
        (("--frames", "own", "--starts", "3"), "has 2 of 10 env steps"),
    ):
        done = diamond("fidelity", key_of("rollouts"), *wrong, "--home", str(home))
        assert done.returncode == 2 and text in done.stderr


def _damaged(home: Path) -> str:
    path = home / "stages" / "denoiser" / key_of("denoiser") / "weights.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    return key_of("rollouts")


def _unfinished(home: Path) -> str:
    spec = study_spec("denoiser")
    shutil.rmtree(home / "stages" / "denoiser" / spec.key)
    Store(home).prepare(spec)
    return spec.key


def _changed(home: Path) -> str:
    _change(home, "denoiser", {"seed": 7})
    return key_of("denoiser")


def _older(home: Path) -> str:
    old = study_spec("reward_end")
    manifest = read_manifest(home / "stages" / "reward_end" / old.key)
    assert manifest is not None
    key = key_of_stage("reward_end", old.config, old.upstream, old.seed, 1)
    (home / "stages" / "reward_end" / key).mkdir()
    write_manifest(home / "stages" / "reward_end" / key, manifest | {"key": key, "numerics": 1})
    return _rollouts_of(home, key)


def _without_frames(home: Path) -> str:
    shutil.rmtree(home / "stages" / "frames")
    return key_of("rollouts")


def _without_rollouts(home: Path) -> str:
    shutil.rmtree(home / "stages" / "rollouts")
    return key_of("denoiser")


def _rollouts_of(home: Path, reward_end: str) -> str:
    """The rollouts of the study, but for the reward/end model that they were drawn with."""
    spec = study_spec("rollouts")
    other = StageSpec(
        "rollouts", spec.config, {**spec.upstream, "reward_end": reward_end}, spec.seed
    )
    finish(Store(home), other)
    return other.key


def _change(home: Path, stage: str, values: dict[str, Any]) -> None:
    path = home / "stages" / stage / key_of(stage) / "manifest.json"
    write_json(path, read_json(path) | values)


def _baseline_rollouts(_: Path) -> str:
    baseline = next(arm for arm in smoke_plan().arms if arm.kind == "baseline")
    return next(spec.key for spec in baseline.runs[0].stages if spec.stage == "rollouts")


REFUSED: dict[str, tuple[Callable[[Path], str], str]] = {
    "a damaged one": (_damaged, r"damaged: weights.safetensors differs from its digest"),
    "an unfinished one": (_unfinished, "is not trained, it is pending"),
    "a changed manifest": (_changed, "its manifest cannot be read"),
    "another version": (_older, "made by another version .numerics 1, now"),
    "no frames": (_without_frames, "the frames .* is not in"),
    "no rollouts": (_without_rollouts, "it is not known how frames are drawn"),
    "two ways": (lambda _: key_of("denoiser"), "in 2 ways"),
    "a reward/end model": (
        lambda _: key_of("reward_end"),
        "is a stage reward_end: there is no world model",
    ),
    "scores": (lambda _: key_of("fidelity"), f"its rollouts are {key_of('rollouts')}"),
    "a baseline": (_baseline_rollouts, "no trained world model"),
    "an unknown key": (lambda _: key_of("denoiser")[:-1] + "-", "Did you mean"),
    "no such folder": (lambda home: str(home / "agents"), "unknown checkpoint or stage"),
    "another folder": (lambda home: str(home / "stages"), "neither a checkpoint nor the folder"),
}


@pytest.mark.parametrize(("change", "text"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_scored_is_refused(
    change: Callable[[Path], str], text: str, home: Path
) -> None:
    with pytest.raises(RequestError, match=text):
        find_model(change(home), (), None, Store(home))


def test_a_stage_of_another_home_and_another_game_are_refused(home: Path, tmp_path: Path) -> None:
    folder = home / "stages" / "rollouts" / key_of("rollouts")
    with pytest.raises(RequestError, match=f"add --home {home}"):
        find_model(str(folder), (), None, Store(tmp_path / "other"))
    with pytest.raises(RequestError, match="was trained on Boxing"):
        find_model(key_of("rollouts"), (), "Pong", Store(home))


WORDS: dict[str, tuple[tuple[str, ...], str]] = {
    "nothing": ((), "it is not said what to score"),
    "no model": (("steps=3",), "it is not said what to score"),
    "half a pair": (("--real", "a"), "--real needs --imagined"),
    "both": (("agent", "--real", "a", "--imagined", "b"), "'agent' is a world model"),
    "starts of pairs": (("--real", "a", "--imagined", "b", "--starts", "3"), "--starts 3 belongs"),
    "context of a model": (("agent", "--context", "3"), "--context 3 belongs"),
}


def refusal(*words: str) -> str:
    """What `diamond fidelity` says of a request that it refuses."""
    from typer.testing import CliRunner

    from diamond.cli.app import app

    done = CliRunner().invoke(app, ["fidelity", *words])
    assert isinstance(done.exception, RequestError)
    assert done.exception.exit_code == 2
    return str(done.exception)


@pytest.mark.parametrize(("words", "text"), WORDS.values(), ids=WORDS)
def test_options_that_do_not_go_together(words: tuple[str, ...], text: str) -> None:
    assert text in refusal(*words)


def test_pairs_are_scored_from_the_command_line(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), dtype=np.uint8)
    for name, values in (("a.npy", frames), ("b.npy", 255 - frames), ("c.npy", frames[:3])):
        np.save(tmp_path / name, values)
    pair = ("--real", str(tmp_path / "a.npy"), "--imagined", str(tmp_path / "b.npy"))
    done = diamond("fidelity", *pair, "--context", "1", "--out", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    for text in ("PSNR", "copy last frame", "one start", "again:   diamond fidelity --real"):
        assert text in done.stdout
    document = plain(read_json(tmp_path / "out" / "scores.json"))
    expected = np.abs(2 * frames[1:].astype(float) - 255).mean() / 255
    assert document["arms"][0]["metrics"]["l1"]["mean"]["mean"] == pytest.approx(expected)
    assert (tmp_path / "out" / "report.html").is_file()
    again = diamond("fidelity", *pair, "--context", "1", "--out", str(tmp_path / "out"))
    assert again.returncode == 0, again.stderr
    assert "different shapes" in refusal(*pair[:3], str(tmp_path / "c.npy"))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "note.txt").write_text("mine")
    assert "left as it is" in refusal(*pair, "--out", str(tmp_path / "full"))
