"""`diamond train` and `--protocol online` from end to end on the smoke preset."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from diamond.engine.store import Store
from diamond.families.diamond.config import diamond_of
from diamond.plan.stage_keys import stages_of
from diamond.studies.export_agents import RunChoice, export_folder, read_parts, trained_run
from tests.commands import (
    check_futures,
    check_tracked,
    diamond,
    digests,
    plain,
    points,
    stages_made,
    tracked,
)

GAMES = ("Breakout", "MsPacman")
WHOLE = "evaluation.max_episode_steps=5000"
"""Episodes to their end, so that scores can be normalised."""
ARGUMENTS = (WHOLE, "--game", ",".join(GAMES), "--preset", "smoke")
STUDY = "train-evaluation.max_episode_steps-breakout-mspacman-smoke-online"


@pytest.mark.slow  # Scores, exports and online agents have tests of their own.
def test_train_reports_scores_over_games_and_exports_its_agents(tmp_path: Path) -> None:
    home = tmp_path / "home"
    done = diamond("train", *ARGUMENTS, "--home", str(home))
    assert done.returncode == 0, done.stderr
    assert "Human-normalised scores over games" in done.stdout
    assert sum(name.startswith("agent/") for name in digests(home)) == len(GAMES)
    assert not list(home.rglob("checkpoint"))

    run = trained_run(STUDY, RunChoice(game="Breakout"), home)
    config, parts = run.config, run.parts()
    agent = next(spec for spec in stages_of(config) if spec.stage == "agent")
    for part, weights in parts.items():
        saved = load_file(Store(home).folder("agent", agent.key) / part / "weights.safetensors")
        assert weights.keys() == saved.keys()
        assert all(torch.equal(weights[name], saved[name]) for name in saved)
    export_folder(run, tmp_path / "boxed")
    checkpoint, exported = read_parts(tmp_path / "boxed")
    assert diamond_of(checkpoint).denoiser == diamond_of(config).denoiser
    assert checkpoint.source == f"study {STUDY}, arm {WHOLE}, game Breakout, seed 0"
    for part, weights in parts.items():
        assert all(torch.equal(weights[name], exported[part][name]) for name in weights)

    again = diamond("train", *ARGUMENTS, "--home", str(home), "--json")
    document = plain(json.loads(again.stdout))
    assert stages_made(document) == set()
    assert document["protocol"] == "online"
    (row,) = document["hns"]
    assert row["games"] == list(GAMES)
    runs = {arm["game"]: arm["runs"][0] for arm in document["arms"] if arm["kind"] == "arm"}
    mean = sum(run["returns"]["hns"] for run in runs.values()) / 2
    assert abs(row["aggregates"]["mean"]["mean"] - mean) < 1e-12
    report = (home / "studies" / STUDY / "report.md").read_text()
    assert "Human-normalised scores over games" in report

    check_tracked(home)
    by_name = {run.info.run_name: run for run in tracked(home)}
    over_games = by_name[f"{WHOLE} mean of 2 games"]
    assert abs(over_games.data.metrics["hns/mean"] - mean) < 1e-12
    one = by_name[f"{WHOLE} seed 0 | Breakout"]
    assert one.data.params["protocol"] == "online"
    curve = points(home)[one.data.tags["diamond.run_key"], "agent/denoiser_loss"]
    assert curve == list(range(1, len(curve) + 1))
    assert {"agent/env_steps", "agent/policy_updates_per_second"} <= one.data.metrics.keys()


def test_an_arm_of_the_real_game_stands_beside_one_that_imagines(tmp_path: Path) -> None:
    home = tmp_path / "home"
    arguments = ("environment=imagination,real", "--protocol", "online", "--preset", "smoke")
    done = diamond("ablate", *arguments, "--home", str(home), "--json", page=False)
    assert done.returncode == 0, done.stderr
    assert "environment=real: trained in the real game" in done.stderr
    document = plain(json.loads(done.stdout))
    arms = {arm["name"]: arm for arm in document["arms"]}
    imagined, real = arms["environment=imagination"], arms["environment=real"]
    assert (imagined["imagines"], real["imagines"]) == (True, False)
    check_futures(document)
    assert set(real["metrics"]) == {"return"}
    assert real["runs"][0]["state"] == "done"
    assert real["runs"][0]["returns"] is not None
    # Two updates, then one in the second epoch: 4 games of 4 env steps each.
    assert any("on 48 env steps" in note for note in document["notes"])
    study = "environment-boxing-smoke-online"
    refused = diamond(
        "export-checkpoint", study, str(tmp_path / "a.pt"), "--arm", "environment=real",
        "--home", str(home),
    )  # fmt: skip
    assert refused.returncode == 2
    assert "no world model" in refused.stderr
    again = ("ablate", "environment=real", *arguments[1:], "--home", str(home), "--json")
    only = diamond(*again, page=False)
    assert only.returncode == 0, only.stderr
    assert "no world model" in json.loads(only.stdout)["summary"]
