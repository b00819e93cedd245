"""What a user reads when something is wrong, the exit code, and that nothing was touched."""

import re
from pathlib import Path

import pytest

from diamond.config.defaults import DEFAULT_GAME, DEFAULT_PRESET
from diamond.config.game_names import GAMES
from diamond.config.overrides import field_names, variable_fields
from diamond.config.presets import make_preset
from diamond.engine.files import read_json
from diamond.errors import DiamondError, ExitCode, nearest, unknown
from diamond.families.diamond.config import diamond_of
from diamond.stages.registry import stages_of_protocol
from tests.commands import (
    SMOKE,
    copy_home,
    diamond,
    digests,
    manifests,
    smoke_plan,
    tracked,
)

STAGES = stages_of_protocol("static")

REFUSED: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "unknown axis": (
        ("stpes=1,3",),
        ("unknown axis 'stpes'", "Did you mean 'steps'?", "diamond axes"),
    ),
    "unknown field": (
        ("denoiser.optimizer.rl=1,3",),
        ("'denoiser.optimizer.rl'", "Did you mean 'denoiser.optimizer.lr'?", "--fields"),
    ),
    "value out of range": (("steps=0,3",), ("steps=0", "greater than or equal to 1")),
    "value of another kind": (("steps=three",), ("steps='three'", "valid integer")),
    "values that contradict": (
        ("denoiser.channels=[8,8,8]", "--preset", "smoke"),
        ("channels (8, 8, 8) and depths (1, 1) differ in length",),
    ),
    "no equals sign": (("ordr",), ("cannot read 'ordr'", "diamond ablate steps=1,3,10")),
    "no values": (("order",), ("'order' is an axis", "diamond ablate order=1,2")),
    "empty value": (("steps=1,,3",), ("'steps=1,,3' has an empty value",)),
    "repeated value": (("steps=1,1",), ("repeats the value '1'",)),
    "equal arms": (("steps=1", "--arm", "one: steps=1"), ("are the same run",)),
    "a value twice in two forms": (
        ("denoiser.optimizer.lr=1e-3,0.001",),
        ("repeats the value '0.001'",),
    ),
    "nothing to vary": ((), ("nothing to vary", "diamond ablate steps=1,3,10", "diamond axes")),
    "game as an axis": (("game=Boxing,Pong",), ("never an arm", "--game A,B")),
    "seed as an axis": (("seed=0,1",), ("never an arm", "--seeds N")),
    "shared section": (("rollouts.num_starts=1,2",), ("rollouts.num_starts cannot be an axis",)),
    "unknown game": (
        ("steps=1,3", "--game", "Brekout"),
        (
            "unknown game 'Brekout'",
            "Did you mean 'Breakout'?",
            "allowed: Adventure, ",
            "MinAtar/Breakout-v1",
            "--game",
        ),
    ),
    "a game twice": (
        ("steps=1,3", "--game", "Pong,Pong"),
        ("--game names a game twice", "Pong and Pong are one game"),
    ),
    "unknown preset": (
        ("steps=1,3", "--preset", "smol"),
        ("unknown preset 'smol'", "Did you mean 'sm", "paper, small, smoke, tiny"),
    ),
    "unknown stage": (
        ("steps=1,3", "--until", "fidelty"),
        ("unknown stage 'fidelty'", "Did you mean 'fidelity'?", *STAGES, "--until fidelity"),
    ),
    "fewer than no process": (("steps=1,3", "--jobs", "-1"), ("--jobs -1", "at least 0")),
    "no worker": (
        ("steps=1,3", "--engine", "ray", "--jobs", "0"),
        ("--jobs 0", "at least 1"),
    ),
    "unknown engine": (
        ("steps=1,3", "--engine", "slrm"),
        ("unknown engine 'slrm'", "Did you mean 'slurm'?", "local, ray, slurm"),
    ),
    "unknown option of an engine": (
        ("steps=1,3", "--engine", "slurm", "--engine-options", "partitoin=gpu"),
        ("unknown option of slurm 'partitoin'", "Did you mean 'partition'?", "gres"),
    ),
    "an option of an engine without a value": (
        ("steps=1,3", "--engine", "slurm", "--engine-options", "gpu"),
        ("'gpu' is not NAME=VALUE", "partition=gpu"),
    ),
    "a number of an engine that is none": (
        ("steps=1,3", "--engine", "ray", "--engine-options", "gpu-share=two"),
        ("gpu-share is 'two'", "a number from 1 on"),
    ),
    "a time of an engine that is none": (
        ("steps=1,3", "--engine", "slurm", "--engine-options", "idle=soon"),
        ("slurm: idle 'soon' is no time", "90s, 5m or 1h"),
    ),
    "nobody to go on": (
        ("steps=1,3", "--detach"),
        ("--detach needs workers that go on", "--engine slurm"),
    ),
    "an arm that is not there": (
        ("steps=1,3", "--only", "steps=33"),
        ("unknown arm 'steps=33'", "Did you mean 'steps=3'?", "copy last frame", "--only"),
    ),
    "no seed": (("steps=1,3", "--seeds", "0"), ("--seeds 0", "at least 1")),
    "not a number": (("steps=1,3", "--seeds", "two"), ("--seeds", "integer")),
    "unknown option": (("steps=1,3", "--prest", "tiny"), ("--prest", "--preset")),
    "a name that leaves the home": (
        ("steps=1,3", "--name", "../mine"),
        ("'../mine' cannot be the name", "allowed", "--name my-study"),
    ),
    "a folder as tracking store": (
        ("steps=1,3", "--tracking-uri", "./runs"),
        ("cannot track runs at './runs'", "sqlite:///", "http://"),
    ),
    "unknown protocol": (
        ("steps=1,3", "--protocol", "onlin"),
        ("unknown protocol 'onlin'", "Did you mean 'online'?", "online, static", "--protocol"),
    ),
    "an axis of the other protocol": (
        ("environment=imagination,real",),
        ("online.environment belongs to the online protocol", "--protocol online"),
    ),
    "a checkpoint that trains": (
        ("steps=1,3", "--protocol", "online", "--checkpoint", "nowhere"),
        ("'nowhere' is not a checkpoint",),
    ),
    "unknown design": (
        ("steps=1,3", "--design", "oaft"),
        ("unknown design 'oaft'", "Did you mean 'ofat'?", "grid, ofat, path, zip", "--design ofat"),
    ),
    "lists of different lengths": (
        ("steps=1,3", "sampler.order=1", "--design", "zip"),
        ("steps has 2, sampler.order has 1 values", "--design grid"),
    ),
    "a path without an end": (
        ("--design", "path", "--from", "formulation=ddpm"),
        ("--design path needs --to", "--from formulation=ddpm --to formulation=edm"),
    ),
    "a path from where it ends": (
        ("--design", "path", "--from", "steps=3", "--to", "sampler.steps=3"),
        (
            "'steps=3'",
            "'sampler.steps=3'",
            "are the same run on MinAtar/Breakout-v1",
            "give two that differ",
        ),
    ),
    "an end without a path": (("steps=1", "--from", "steps=3"), ("--from", "--design path")),
    "an arm without a name": (
        ("--arm", "steps=3"),
        ("--arm 'steps=3'", "'name: axis=value axis=value'"),
    ),
    "two arms of one name": (
        ("--arm", "a: steps=3", "--arm", "a: steps=4"),
        ("two arms are called 'a'",),
    ),
    "an arm that is there already": (
        ("steps=3,1", "--arm", "mine: steps=3"),
        ("'steps=3' and 'mine' are the same run",),
    ),
    "A/A with one seed": (("steps=1,3", "--aa"), ("--aa", "--seeds 3")),
    "controls without scores": (
        ("steps=1,3", "--controls", "--until", "denoiser"),
        ("--controls with --until denoiser", "--until fidelity"),
    ),
    "other starts in one arm": (
        ("--game", "Breakout", "off_data=none,expert"),
        ("off_data differs between arms", "--set off_data="),
    ),
    "no expert off the data": (
        ("--game", "Boxing", "--set", "off_data=expert", "steps=1,3"),
        ("references.off_data.play.collector=expert", "Breakout, Pong"),
    ),
    "no shipped policy": (
        ("--game", "Boxing", "--set", "off_data=shipped", "steps=1,3"),
        ("off_data=shipped", "MinAtar/Breakout-v1"),
    ),
    "an unknown player": (
        ("--set", "off_data=exprt", "steps=1,3"),
        ("unknown value of off_data 'exprt'", "Did you mean 'expert'?"),
    ),
    "unknown cost to match": (
        ("sampler.order=1,2", "--match", "nef"),
        ("unknown cost to match 'nef'", "Did you mean 'nfe'?", "nfe, seconds, updates"),
    ),
    "an axis that sets what is matched": (
        ("steps=1,3", "--match", "nfe"),
        ("'steps=3' sets sampler.steps=3", "leave --match out"),
    ),
    "a plan as JSON": (("steps=1,3", "--dry-run", "--json"), ("--dry-run", "--json")),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_wrong_request_is_refused_and_touches_nothing(case: str, tmp_path: Path) -> None:
    arguments, expected = REFUSED[case]
    done = diamond("ablate", *arguments, "--home", str(tmp_path / "home"), cwd=tmp_path)
    assert done.returncode == ExitCode.BAD_REQUEST
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    text = re.sub(r"\s+", " ", done.stderr)
    for part in expected:
        assert part in text
    assert not list(tmp_path.iterdir())


def test_a_home_that_cannot_be_a_folder_is_refused(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("here first")
    for home in (blocked, blocked / "below", Path("/proc/diamond")):
        done = diamond("ablate", *SMOKE, "--home", str(home))
        assert done.returncode == ExitCode.BAD_REQUEST
        assert f"cannot write the home '{home}'" in done.stderr
        assert "--home" in done.stderr
        assert "Traceback" not in done.stderr
    assert blocked.read_text() == "here first"


def test_a_home_with_a_path_that_no_database_address_can_hold_is_refused(tmp_path: Path) -> None:
    done = diamond("ablate", *SMOKE, "--home", str(tmp_path / "50%"))
    assert done.returncode == ExitCode.BAD_REQUEST
    assert "'%'" in done.stderr
    assert not list(tmp_path.iterdir())


def test_a_tracking_store_that_does_not_answer_stops_the_command_at_once(tmp_path: Path) -> None:
    arguments = ("steps=1", "--preset", "small", "--home", str(tmp_path))
    done = diamond("ablate", *arguments, "--tracking-uri", "http://127.0.0.1:9")
    assert done.returncode == ExitCode.BAD_REQUEST
    assert "cannot open the MLflow store 'http://127.0.0.1:9'" in done.stderr
    assert "refused" in done.stderr
    assert "Traceback" not in done.stderr
    # Frames take seconds and may be there; the training that takes minutes must not be.
    done_stages = {m["stage"] for m in manifests(tmp_path).values() if m["state"] == "done"}
    assert not done_stages & {"denoiser", "reward_end", "policy", "rollouts"}


def test_the_ui_of_an_empty_home_says_how_to_fill_it(tmp_path: Path) -> None:
    done = diamond("ui", "--home", str(tmp_path / "home"))
    assert done.returncode == ExitCode.BAD_REQUEST
    assert "no runs in" in done.stderr
    assert "diamond ablate steps=1,3,10" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("jobs", ["0", "-1"])
def test_a_sweep_needs_a_trial_at_work(jobs: str) -> None:
    done = diamond("sweep", "sampler", "--jobs", jobs)
    assert done.returncode == 2
    assert f"--jobs {jobs}: at least 1 trial at once is needed" in done.stderr


# --- help -------------------------------------------------------------------------------------


def test_help_names_every_command_and_option() -> None:
    commands = diamond("--help")
    assert commands.returncode == 0
    names = (
        "ablate",
        "axes",
        "export-checkpoint",
        "import-checkpoint",
        "scores",
        "sweep",
        "train",
        "ui",
    )
    for command in (*names, "evaluate", "studies", "show", "gc", "verify"):
        assert re.search(rf"\b{command}\b", commands.stdout)
    options = set(re.findall(r"--[a-z-]+", diamond("ablate", "--help").stdout))
    assert options == {
        "--design",
        "--from",
        "--to",
        "--arm",
        "--set",
        "--aa",
        "--controls",
        "--match",
        "--keep",
        "--preset",
        "--checkpoint",
        "--game",
        "--seeds",
        "--first-seed",
        "--frames",
        "--first-start",
        "--until",
        "--protocol",
        "--name",
        "--dry-run",
        "--jobs",
        "--compile",
        "--engine",
        "--engine-options",
        "--detach",
        "--only",
        "--retry-failed",
        "--json",
        "--home",
        "--tracking-uri",
        "--help",
    }
    trained = set(re.findall(r"--[a-z-]+", diamond("train", "--help").stdout))
    of_ablations = {"--design", "--from", "--to", "--arm", "--aa", "--controls", "--match"}
    of_ablations |= {"--first-seed", "--first-start", "--set"}
    assert trained == options - of_ablations - {"--checkpoint", "--until", "--only"}


def test_a_command_alone_shows_its_help() -> None:
    done = diamond()
    assert "Usage: diamond" in done.stdout + done.stderr


def test_axes_shows_what_each_one_does() -> None:
    text = diamond("axes").stdout
    for part in ("steps", "denoising steps", "1 to 1000", "rollouts", "2405.12399", "--fields"):
        assert part in text
    fields = f"\n{diamond('axes', '--fields').stdout}"
    varied = set(variable_fields())
    for name in field_names():
        assert (f"\n{name}\n" in fields) == (name in varied)
    # A default is spelled as it can be typed: brackets, not a Python tuple.
    channels = diamond_of(make_preset(DEFAULT_PRESET, DEFAULT_GAME)).denoiser.channels
    assert f"default: [{','.join(map(str, channels))}];" in fields


def test_an_axis_is_shown_alone_with_an_example() -> None:
    done = diamond("axes", "history")
    for part in ("past frames", "1 to 16", "denoiser.history", "diamond ablate history=4,2"):
        assert part in done.stdout
    assert "churn" not in done.stdout
    unknown_one = diamond("axes", "histroy")
    assert unknown_one.returncode == 2
    assert "Did you mean 'history'?" in unknown_one.stderr


# --- error texts ------------------------------------------------------------------------------


def test_the_nearest_word_ignores_case_and_gives_up_on_strangers() -> None:
    assert nearest("BOXING", GAMES) == "Boxing"
    assert nearest("zzz", GAMES) is None
    assert "Did you mean" not in str(unknown("game", "zzz", GAMES, "hint"))


def test_a_long_list_of_allowed_words_is_cut() -> None:
    words = [f"steps={number:03d}" for number in range(1000)]
    text = str(unknown("arm", "steps=1x", words, "hint"))
    assert "steps=000" in text
    assert "and 960 more" in text
    assert "steps=900" not in text


def test_exit_codes_are_those_of_the_documentation() -> None:
    assert [code.value for code in ExitCode] == [0, 1, 2, 130]
    assert DiamondError.exit_code == 2


# --- damage and failure -----------------------------------------------------------------------


@pytest.mark.slow  # the campaign damages stages
def test_damaged_stages_are_reported_and_made_again_with_equal_results(
    smoke_home: Path, tmp_path: Path
) -> None:
    home = copy_home(smoke_home, tmp_path / "home")
    plan = {spec.stage: spec for spec in smoke_plan().stages()}

    def folder(stage: str) -> Path:
        spec = plan[stage]
        return home / "stages" / stage / spec.key

    frames = folder("frames") / "frames.npz"
    content = bytearray(frames.read_bytes())
    content[len(content) // 2] ^= 1
    frames.write_bytes(content)
    (folder("returns") / "returns.json").unlink()
    manifest = folder("fidelity") / "manifest.json"
    manifest.write_text(manifest.read_text()[:100])

    done = diamond("ablate", *SMOKE, "--home", str(home), page=False)
    assert done.returncode == 0, done.stderr
    text = re.sub(r"\s+", " ", done.stderr)
    assert text.count("was damaged") == 3
    assert f"stage frames {plan['frames'].key} was damaged (frames.npz differs" in text
    assert f"stage returns {plan['returns'].key} was damaged" in text
    assert f"stage fidelity {plan['fidelity'].key} was damaged" in text
    assert "24 stages, 21 done already" in text
    assert digests(home) == digests(smoke_home)
    result = read_json(home / "studies/steps-boxing-smoke-static/report.json")
    assert sum("was damaged" in note for note in result["notes"]) == 3


def test_an_arm_that_fails_does_not_stop_the_others(smoke_home: Path, tmp_path: Path) -> None:
    home = copy_home(smoke_home, tmp_path / "home", "references", "frames", "reward_end")
    axis = "denoiser.optimizer.lr=1e-3,1"
    arguments = (axis, "--preset", "smoke", "--until", "fidelity", "--home", str(home))
    done = diamond("ablate", *arguments, page=False)
    assert done.returncode == ExitCode.RUN_FAILED
    name = "denoiser.optimizer.lr=1"
    cause = re.search(r"(loss|gradient norm) is (nan|inf) at update \d+", done.stderr)
    assert cause, done.stderr
    text = re.sub(r"\s+", " ", done.stderr)
    assert f"denoiser ({name}): FAILED: {cause[0]}" in text
    assert f"failed: denoiser ({name}): {cause[0]}" in text
    assert "2 stages that read what failed were not made" in text
    assert "what failed by itself would fail again" in text
    assert "add --retry-failed" in text
    assert "Traceback" not in done.stderr

    states = {run.info.run_name: run.info.status for run in tracked(home)}
    assert states[f"{name} seed 0"] == "FAILED"
    assert states["denoiser.optimizer.lr=0.001 seed 0"] == "FINISHED"
    assert "RUNNING" not in states.values()
    table = done.stdout
    assert "failed" in table
    assert "denoiser.optimizer.lr=0.001" in table
