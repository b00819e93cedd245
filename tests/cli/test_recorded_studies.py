"""Studies on recordings, as a user asks for them: `--frames NAME`."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import diamond as package
from diamond.errors import RequestError
from tests.commands import diamond, plain
from tests.recordings.made_sources import keep, source

ALONE = ("--json", "--jobs", "1")


def run(home: Path, *arguments: str) -> dict[str, Any]:
    done = diamond(*arguments, "--preset", "smoke", "--home", str(home), *ALONE, page=False)
    assert done.returncode == 0, done.stderr
    return plain(json.loads(done.stdout))


def stages(result: dict[str, Any]) -> dict[str, str]:
    return {name: one["key"] for name, one in result["arms"][0]["runs"][0]["stages"].items()}


def outputs(home: Path, result: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Digests of the files that each stage made."""
    found = {}
    for stage, key in stages(result).items():
        manifest = json.loads((home / "stages" / stage / key / "manifest.json").read_text())
        found[stage] = manifest["outputs"]
    return found


def test_frames_that_leave_as_video_come_back_as_the_same_study(tmp_path: Path) -> None:
    """All that is trained on the game's own frames, on those of a recording: bit by bit."""
    home, exported = tmp_path / "home", tmp_path / "video"
    words = ("ablate", "steps=1", "--game", "Breakout", "--until", "denoiser")
    direct = run(home, *words)
    key = stages(direct)["frames"]
    form = ("--format", "video", "--output", str(exported), "--home", str(home))
    assert diamond("export-frames", key, *form).returncode == 0
    taken = ("--name", "own", "--hold-out", "0", "--home", str(home))
    assert diamond("import-frames", str(exported), *taken).returncode == 0
    again = run(home, *words, "--frames", "own")
    assert stages(again)["frames"] != key
    assert outputs(home, again) == outputs(home, direct)
    refused = diamond("ablate", "steps=1,3", "--frames", "own", "--home", str(home))
    assert refused.returncode == 2
    assert "no held-out frames" in refused.stderr and "--game" in refused.stderr


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with three recordings: of an ordinary one, without rewards, with numbers."""
    home = tmp_path_factory.mktemp("home")
    given = source((120, 60, 60))
    keep(given, home, "whole", "e1")
    bare = tuple(replace(one, rewards=None, ends=None) for one in given.episodes)
    keep(replace(given, episodes=bare), home, "bare", "e1")
    moves = np.array([(0, 0), (0, 2), (0, -2), (2, 0), (-2, 0)], dtype=np.float64)
    numbers = tuple(replace(one, actions=moves[one.actions]) for one in bare)
    keep(replace(given, episodes=numbers, action_names=("dy", "dx")), home, "numbers", "e1")
    return home


@pytest.mark.parametrize(
    ("name", "told", "untold", "left_out"),
    [
        ("bare", "action_accuracy", "action_r2", {"reward_end", "policy", "returns"}),
        ("numbers", "action_r2", "action_accuracy", {"reward_end", "policy", "returns"}),
    ],
)
def test_a_recording_alone_is_scored_on_its_held_out_part(
    name: str, told: str, untold: str, left_out: set[str], recorded: Path
) -> None:
    result = run(recorded, "ablate", "steps=1,3", "--frames", name)
    assert result["games"] == [f"frames:{name}"]
    assert {"denoiser", "rollouts", "fidelity"} <= stages(result).keys()
    assert not left_out & stages(result).keys()
    metrics = result["arms"][0]["metrics"]
    assert told in metrics and untold not in metrics and "psnr" in metrics
    assert not any(metric.startswith("reward_") for metric in metrics)
    notes = " ".join(result["notes"])
    assert f"recording {name}" in notes and "counterfactuals" in notes
    assert "left out: reward_end" in notes
    denoiser = stages(result)["denoiser"]
    arguments = ("fidelity", denoiser, "steps=1", "--home", str(recorded), "--json")
    scored = diamond(*arguments, program=None)
    assert scored.returncode == 0, scored.stderr
    assert told in plain(json.loads(scored.stdout))["arms"][0]["metrics"]


def test_a_policy_learns_from_a_recording_with_rewards_and_is_not_played(recorded: Path) -> None:
    result = run(recorded, "train", "--frames", "whole")
    assert {"reward_end", "policy", "policy_fidelity"} <= stages(result).keys()
    assert "returns" not in stages(result)


def test_a_world_model_is_not_scored_on_other_actions(recorded: Path) -> None:
    result = run(recorded, "ablate", "steps=1", "--frames", "bare", "--until", "rollouts")
    rollouts = stages(result)["rollouts"]
    done = diamond("fidelity", rollouts, "--frames", "numbers", "--home", str(recorded))
    assert done.returncode == 2
    assert "its actions are not those of bare" in done.stderr


def test_python_asks_as_the_command_does(recorded: Path) -> None:
    with pytest.raises(RequestError, match="Did you mean 'whole'"):
        package.ablate("steps=1", frames="whol", preset="smoke", home=recorded, dry_run=True)
    package.ablate("steps=1", frames="whole", preset="smoke", home=recorded, dry_run=True)
