"""The result document.

One plain value for JSON, report, tracking and the terminal, made from the store alone.
"""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from safetensors.numpy import load_file

from diamond.ablation.plan import PRIMARY_METRIC, Arm, Plan, Run, imagines
from diamond.ablation.stages import StageName, StageSpec
from diamond.config.base import canonical
from diamond.config.run import PlayConfig, ViewConfig
from diamond.fidelity.metrics import METRICS
from diamond.pipeline.identity import tracked_key
from diamond.pipeline.outputs import SCORES_FILE
from diamond.pipeline.provenance import code_version
from diamond.pipeline.returns import hns_over_games, run_returns
from diamond.pipeline.scores import (
    ArmEstimates,
    Scores,
    arm_estimates,
    comparison_rows,
    nan_mean,
    numbers,
    report_steps,
    run_metrics,
)
from diamond.pipeline.store import Store


def build_document(
    plan: Plan,
    store: Store,
    errors: Mapping[str, str],
    made: frozenset[str],
    wall_seconds: float,
    command: str,
) -> dict[str, Any]:
    """Gather everything that is known of a study.

    Args:
        plan: The study.
        store: Where its stages are.
        errors: Cause per key of a stage that failed.
        made: Keys made by this command; the others were there before.
        wall_seconds: Time that this command took.
        command: The command as the user can repeat it.

    Returns:
        The document; DESIGN section 7 and docs/reference/result.md name its parts.
    """
    horizon = plan.arms[0].runs[0].config.rollouts.horizon_steps
    scores = {arm_id(arm): _arm_scores(arm, store) for arm in plan.arms}
    specs = plan.stages()
    stage_seconds: dict[str, float] = {}
    for spec in specs:
        stage_seconds[spec.stage] = round(
            stage_seconds.get(spec.stage, 0.0) + _seconds(store, spec), 3
        )
    comparisons = []
    for game in plan.request.games:
        whole = [
            arm
            for arm in plan.arms
            if arm.game == game and arm.kind == "arm" and len(scores[arm_id(arm)]) == len(arm.runs)
        ]
        for view in views_of(whole):
            pairs = [(arm.name, scores[arm_id(arm)]) for arm in whole if view_of(arm) == view]
            comparisons += comparison_rows(pairs, game, PRIMARY_METRIC)
    arms = [_arm(plan, arm, store, (errors, made), horizon) for arm in plan.arms]
    return {
        "schema": 1,
        "study": plan.study,
        "question": _question(plan),
        "command": command,
        "preset": plan.request.preset,
        "games": list(plan.request.games),
        "seeds": list(range(plan.request.num_seeds)),
        "protocol": plan.request.protocol,
        "until": plan.until or "report",
        "horizon": horizon,
        "report_steps": report_steps(horizon),
        "primary_metric": PRIMARY_METRIC,
        "metrics": [
            {"name": m.name, "label": m.label, "unit": m.unit, "direction": m.direction}
            for m in METRICS
        ],
        "arms": arms,
        "comparisons": comparisons,
        "hns": hns_over_games(arms),
        "claims": [],
        "summary": "",
        "notes": _notes(plan),
        "strips": [],
        "costs": {
            "wall_seconds": round(wall_seconds, 1),
            "stage_seconds": stage_seconds,
            "stages_made": len(made),
            "stages_reused": sum(_is_done(store, spec) for spec in specs if spec.key not in made),
        },
        "provenance": {
            **code_version(),
            "device": _device(store, specs),
            "config": {
                f"{arm.name} | {arm.game}": canonical(arm.runs[0].config) for arm in plan.arms
            },
        },
        "paths": {"home": str(store.home)},
    }


def _question(plan: Plan) -> str:
    games = ", ".join(plan.request.games)
    if plan.request.goal == "agent":
        return f"How well does an agent play {games}, and how faithful is what it imagines?"
    axes = ", ".join(f"{axis.name} ({axis.meaning})" for axis in plan.axes)
    return f"How does {axes} change the fidelity of imagined trajectories in {games}?"


def same_results(old: Any, new: Mapping[str, Any]) -> bool:
    """Whether two documents differ only in what each command did, not in what is known."""
    return isinstance(old, dict) and _without_effort(old) == _without_effort(
        json.loads(json.dumps(new))
    )


def _without_effort(document: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: part for name, part in document.items() if name not in ("command", "costs")}
    kept["arms"] = [
        arm
        | {
            "runs": [
                run
                | {"stages": {name: {**info, "made": None} for name, info in run["stages"].items()}}
                for run in arm["runs"]
            ]
        }
        for arm in document["arms"]
    ]
    return kept


def arm_id(arm: Arm) -> tuple[str, str]:
    """Name and game: what tells arms of a study apart."""
    return arm.name, arm.game


def view_of(arm: Arm) -> ViewConfig:
    """What the runs of an arm see of the screen, and are scored at."""
    return arm.runs[0].config.view


def views_of(arms: Sequence[Arm]) -> list[ViewConfig]:
    """The views of arms, each once: pixel metrics of different ones cannot be compared."""
    return list(dict.fromkeys(view_of(arm) for arm in arms))


def find_stage(run: Run, stage: StageName) -> StageSpec | None:
    """The stage of a run by name, None when the plan stops before it."""
    return next((spec for spec in run.stages if spec.stage == stage), None)


def read_scores(run: Run, store: Store) -> Scores | None:
    """The scores of a run, None when they are not there."""
    path = _scores_path(run, store)
    return None if path is None else load_file(path)


def _scores_path(run: Run, store: Store) -> Path | None:
    spec = find_stage(run, "fidelity")
    if spec is None or not _is_done(store, spec):
        return None
    return store.folder(spec.stage, spec.key) / SCORES_FILE


@lru_cache(maxsize=1024)
def _estimates(paths: tuple[Path, ...], horizon: int) -> ArmEstimates:
    """Estimates from files that never change once they are there.

    A running study is followed: without the cache its bootstraps would be drawn every time.
    """
    return arm_estimates([load_file(path) for path in paths], horizon)


def _arm_scores(arm: Arm, store: Store) -> list[Scores]:
    found = [read_scores(run, store) for run in arm.runs]
    return [scores for scores in found if scores is not None]


def _arm(
    plan: Plan,
    arm: Arm,
    store: Store,
    outcome: tuple[Mapping[str, str], frozenset[str]],
    horizon: int,
) -> dict[str, Any]:
    paths = [path for run in arm.runs if (path := _scores_path(run, store)) is not None]
    estimates = _estimates(tuple(paths), horizon) if paths else None
    return {
        "name": arm.name,
        "kind": arm.kind,
        "game": arm.game,
        "axis_values": dict(arm.axis_values),
        "imagines": imagines(arm),
        "runs": [_run(plan, run, store, outcome, horizon) for run in arm.runs],
        "metrics": estimates.metrics if estimates else {},
        "curves": estimates.curves if estimates else {},
        "interval": estimates.interval if estimates else None,
    }


def _run(
    plan: Plan,
    run: Run,
    store: Store,
    outcome: tuple[Mapping[str, str], frozenset[str]],
    horizon: int,
) -> dict[str, Any]:
    errors, made = outcome
    scores = read_scores(run, store)
    causes = [f"{spec.stage}: {errors[spec.key]}" for spec in run.stages if spec.key in errors]
    whole = all(_is_done(store, spec) for spec in run.stages)
    return {
        "seed": run.config.seed,
        "state": "done" if whole else "failed" if causes else "cut",
        "error": causes[0] if causes else None,
        "run_key": tracked_key(plan, run),
        "stages": {
            spec.stage: {
                "key": spec.key,
                "made": spec.key in made,
                "seconds": _seconds(store, spec),
                "state": store.status(spec),
            }
            for spec in run.stages
        },
        "metrics": run_metrics(scores, horizon) if scores else {},
        "curves": {
            name: numbers([nan_mean(column) for column in values.T])
            for name, values in scores.items()
        }
        if scores
        else {},
        "returns": run_returns(plan, run, store),
        "costs": _costs(run, store),
    }


def _costs(run: Run, store: Store) -> dict[str, Any] | None:
    spec = find_stage(run, "rollouts")
    if spec is None or not _is_done(store, spec) or run.config.family != "diamond":
        return None
    manifest = store.manifest(spec.stage, spec.key)
    assert manifest is not None
    timings = manifest["timings"]
    return {
        "denoiser_calls_per_frame": int(timings["denoiser_calls_per_frame"]),
        "ms_per_frame": timings["ms_per_frame"],
        "rollout_seconds": timings["seconds"],
        "num_parameters": int(timings["num_parameters"]),
    }


def _notes(plan: Plan) -> list[str]:
    config = plan.arms[0].runs[0].config
    views = views_of(plan.arms)
    shared = "" if len(views) > 1 else " and the same initial noise"
    notes = [
        f"All arms use the same {config.rollouts.num_starts} held-out starts (one an episode), "
        f"the same recorded actions after 16 real frames{shared}; nothing after the end of a real "
        "episode or a lost life is scored.",
        "The median background has seen the real episode, its future included: "
        "no forecast is that good at still pixels.",
    ]
    if len(views) > 1:
        view = config.view
        notes.append(
            "Arms see the screen at different resolutions or crops, and each is scored against the "
            "real frames as it sees them: their metrics cannot be compared, so no difference "
            f"between them is given. The baselines see {view.height} x {view.width} pixels, as the "
            "first arm does. Returns can be compared."
        )
    notes += [line for game in plan.request.games for line in _player_notes(plan, game)]
    if config.imported is not None:
        notes.append(
            "The networks come from a checkpoint: nothing was trained, returns are those of its "
            "policy and the same for every arm."
        )
    notes += _online_notes(plan)
    if plan.request.num_seeds == 1:
        notes.append(
            "One seed: intervals and differences are over starts within one trained model and say "
            "nothing of training again; --seeds 3 or more does."
        )
    return notes


def _online_notes(plan: Plan) -> list[str]:
    arms = [arm for arm in plan.arms if arm.kind == "arm"]
    online = arms[0].runs[0].config.online
    if online is None:
        return []
    notes = [
        "Every agent was trained on frames that it collected itself: arms and seeds share the "
        "references and the starts of returns, not their training frames."
    ]
    real = [arm for arm in arms if not imagines(arm)]
    if real:
        config = real[0].runs[0].config
        assert config.online is not None
        updates = config.online.first_updates.policy
        updates += (config.online.final_epochs - 1) * config.online.updates.policy
        env_steps = updates * config.policy.batch_size * config.policy.horizon_steps
        names = ", ".join(dict.fromkeys(arm.name for arm in real))
        notes.append(
            f"{names}: trained in the real game on {env_steps:,} env steps, an agent that imagines "
            f"on {online.env_steps:,}; there is no world model, so no fidelity."
        )
    return notes


def _player_notes(plan: Plan, game: str) -> list[str]:
    """Who played the references of a game, and the training frames of each arm."""
    arms = [arm for arm in plan.arms if arm.game == game and arm.kind == "arm"]
    config = arms[0].runs[0].config
    held_out = _player(config.references.play)
    if config.imported is not None or config.protocol != "static":
        return [f"{game}: references were played by {held_out}."]
    players: dict[str, list[str]] = {}
    for arm in arms:
        players.setdefault(_player(arm.runs[0].config.frames.play), []).append(arm.name)
    if list(players) == [held_out]:
        return [f"{game}: frames and references were played by {held_out}."]
    recorded = [
        f"{game}: the training frames of {', '.join(names)} were played by {player}."
        for player, names in players.items()
    ]
    return [*recorded, f"{game}: the references of all arms were played by {held_out}."]


def _player(play: PlayConfig) -> str:
    match play.collector:
        case "expert":
            share = f"{play.random_fraction:.0%} of the env steps begin one"
            return f"a scripted expert with held random actions mixed in ({share})"
        case "random_held":
            return f"random actions, each held for 1 to {play.max_hold_steps} env steps"
        case "policy":
            return "the policy of a checkpoint, its actions sampled"


def _is_done(store: Store, spec: StageSpec) -> bool:
    return store.status(spec) == "done"


def _seconds(store: Store, spec: StageSpec) -> float:
    manifest = store.manifest(spec.stage, spec.key)
    return float(manifest["timings"].get("seconds", 0.0)) if manifest else 0.0


def _device(store: Store, specs: Sequence[StageSpec]) -> str | None:
    manifests = [store.manifest(spec.stage, spec.key) for spec in specs]
    devices = {manifest["device"] for manifest in manifests if manifest and manifest["device"]}
    return ", ".join(sorted(devices)) or None
