"""What the recipes of `tiny` must reach; some forty minutes on two cores."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.commands import report

SEEDS = 3


def _study(tmp_path: Path, game: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "diamond", "ablate", "steps=1,3,10", "--game", game]
    command += ["--seeds", str(SEEDS), "--until", "fidelity", "--home", str(tmp_path)]
    subprocess.run(command, check=True)
    return report(tmp_path, f"steps-{game.lower()}-tiny-static")


def _metrics(document: dict[str, Any], arm: str, seed: int) -> dict[str, dict[str, float]]:
    found = next(shown for shown in document["arms"] if shown["name"] == arm)
    metrics: dict[str, dict[str, float]] = found["runs"][seed]["metrics"]
    return metrics


@pytest.mark.slow
def test_tiny_boxing_beats_the_last_frame_and_shows_the_blur_of_one_step(tmp_path: Path) -> None:
    document = _study(tmp_path, "Boxing")
    copy = _metrics(document, "copy last frame", 0)
    for seed in range(SEEDS):
        arms = {steps: _metrics(document, f"steps={steps}", seed) for steps in (1, 3, 10)}
        for metrics in arms.values():
            for step in ("5", "10"):
                assert metrics["psnr"][step] > copy["psnr"][step] + 1.0
                assert metrics["foreground_iou"][step] > copy["foreground_iou"][step] + 0.05
        one, three = (arms[steps]["core_ratio"]["mean"] for steps in (1, 3))
        assert one < 0.92 * three
        assert abs(three - arms[3]["core_ratio_real"]["mean"]) < 0.1


@pytest.mark.slow
def test_tiny_breakout_beats_the_last_frame(tmp_path: Path) -> None:
    document = _study(tmp_path, "Breakout")
    copy = _metrics(document, "copy last frame", 0)
    for seed in range(SEEDS):
        for steps in (1, 3):
            metrics = _metrics(document, f"steps={steps}", seed)
            assert metrics["psnr"]["1"] > copy["psnr"]["1"] + 2.0
            assert metrics["psnr"]["5"] > copy["psnr"]["5"] + 2.0
            assert metrics["psnr"]["10"] > copy["psnr"]["10"]


@pytest.mark.slow
def test_the_first_command_shows_three_agents_that_learnt(tmp_path: Path) -> None:
    """On a training seed that the recipe was not chosen on."""
    command = [sys.executable, "-m", "diamond", "ablate", "steps=1,3,10", "--first-seed", "3"]
    subprocess.run([*command, "--home", str(tmp_path)], check=True)
    document = report(tmp_path, "steps-minatar-breakout-v1-tiny-static")
    arms = [arm["runs"][0] for arm in document["arms"] if arm["kind"] == "arm"]
    assert len(arms) == 3
    for run in arms:
        assert run["metrics"]["event_recall"]["mean"] >= 0.5
        assert 0.5 <= run["metrics"]["reward_rate_ratio"]["mean"] <= 2
        players = {player["player"]: player for player in run["returns"]["players"]}
        assert {"random", "constant", "blind"} <= players.keys()
        assert all(player["difference_lo"] > 0 for player in players.values())
