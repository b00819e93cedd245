"""The result document.

One plain value for JSON, report, tracking and the terminal, made from the store alone.
"""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from diamond.ablation.plan import Arm, Plan, Run, imagines
from diamond.ablation.stages import StageSpec
from diamond.config.base import canonical
from diamond.config.metrics import METRICS, is_set
from diamond.pipeline.arm_scores import (
    comparisons,
    noise_floor,
    path_rows,
    read_scores,
    scores_paths,
)
from diamond.pipeline.arms import find_stage
from diamond.pipeline.comparisons import corrected
from diamond.pipeline.declared import standing
from diamond.pipeline.files import digest, read_json
from diamond.pipeline.history import read_entries
from diamond.pipeline.identity import tracked_key
from diamond.pipeline.needs import REPORT_FILE
from diamond.pipeline.notes import judge_notes, study_notes
from diamond.pipeline.provenance import code_version
from diamond.pipeline.returns import hns_over_games, run_returns
from diamond.pipeline.scores import (
    ArmEstimates,
    arm_estimates,
    load_scores,
    nan_mean,
    numbers,
    report_steps,
    run_metrics,
)
from diamond.pipeline.sealed import DIGEST, is_whole
from diamond.pipeline.store import Store
from diamond.pipeline.survival_rows import survival_rows
from diamond.pipeline.verify import claim_rows


def build_document(
    plan: Plan,
    store: Store,
    errors: Mapping[str, str],
    made: frozenset[str],
    wall_seconds: float,
    command: str,
    left_out: frozenset[str] = frozenset(),
) -> dict[str, Any]:
    """Gather everything that is known of a study.

    Args:
        plan: The study.
        store: Where its stages are.
        errors: Cause per key of a stage that failed.
        made: Keys made by this command; the others were there before.
        wall_seconds: Time that this command took.
        command: The command as the user can repeat it.
        left_out: Keys that this command was not to make: runs that lack one are pending.

    Returns:
        The document; DESIGN section 7 and docs/reference/result.md name its parts.
    """
    horizon = plan.arms[0].runs[0].config.rollouts.horizon_steps
    specs = plan.stages()
    stage_seconds: dict[str, float] = {}
    for spec in specs:
        stage_seconds[spec.stage] = round(
            stage_seconds.get(spec.stage, 0.0) + _seconds(store, spec), 3
        )
    arms = [_arm(plan, arm, store, (errors, made, left_out), horizon) for arm in plan.arms]
    document: dict[str, Any] = {
        "schema": 1,
        "study": plan.study,
        "question": _question(plan),
        "command": command,
        "preset": plan.request.preset,
        "games": list(plan.request.games),
        "seeds": list(plan.request.seeds),
        "protocol": plan.request.protocol,
        "until": plan.until or "report",
        "design": plan.design,
        "match": plan.request.match,
        "horizon": horizon,
        "report_steps": report_steps(horizon),
        "primary_metric": plan.primary_metric,
        "baseline_arm": plan.baseline(plan.request.games[0]).name,
        "metrics": [
            {
                "name": m.name,
                "label": m.label,
                "unit": m.unit,
                "direction": m.direction,
                "group": m.group,
                "kind": m.kind,
            }
            for m in METRICS
            if m.name == plan.primary_metric or any(m.name in arm["metrics"] for arm in arms)
        ],
        "arms": arms,
        "path": {game: path_rows(plan, game, path, store) for game, path in plan.paths.items()},
        "comparisons": corrected(
            [row for game in plan.request.games for row in comparisons(plan, game, store)]
        ),
        "noise_floor": [
            row for game in plan.request.games for row in noise_floor(plan, game, store, horizon)
        ],
        "survival": [
            row for game in plan.request.games for row in survival_rows(plan, game, store, horizon)
        ],
        "hns": hns_over_games(arms),
        "declaration": None,
        "claims": [],
        "summary": "",
        "files": {},
        "notes": [*study_notes(plan), *judge_notes(plan, store)],
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
    return document if plan.request.declared is None else document | _claims(plan, document, store)


def _claims(plan: Plan, document: Mapping[str, Any], store: Store) -> dict[str, Any]:
    """The parts of a document that a declaration decides."""
    declared = plan.request.declared
    assert declared is not None
    history = read_entries(store.home / "studies" / plan.study)
    return {
        "question": declared.declaration.question,
        "declaration": {
            "file": str(declared.path),
            "overrides": [override.model_dump() for override in declared.overrides],
        }
        | standing(declared.declaration, document, history, store),
        "claims": claim_rows(declared.declaration, document, store),
    }


def _question(plan: Plan) -> str:
    games = ", ".join(plan.request.games)
    if plan.request.goal == "agent":
        return f"How well does an agent play {games}, and how faithful is what it imagines?"
    if plan.design == "path":
        first, last = plan.request.path_from, plan.request.path_to
        return (
            f"Which of the differences between {' '.join(first)} and {' '.join(last)} change the "
            f"fidelity of imagined trajectories in {games}?"
        )
    if plan.design == "arms":
        arms = [arm for arm in plan.arms if arm.kind == "arm" and not arm.aa]
        names = ", ".join(dict.fromkeys(arm.name for arm in arms))
        return f"How do these arms differ in the fidelity of what they imagine in {games}: {names}?"
    axes = ", ".join(f"{axis.name} ({axis.meaning})" for axis in plan.axes)
    return f"How does {axes} change the fidelity of imagined trajectories in {games}?"


def same_results(old: Any, new: Mapping[str, Any]) -> bool:
    """Whether two documents differ only in what each command did, not in what is known."""
    return isinstance(old, dict) and _without_effort(old) == _without_effort(
        json.loads(json.dumps(new))
    )


def kept_files(folder: Path, document: Mapping[str, Any]) -> dict[str, str] | None:
    """Digests of the files of a report, by name, where all are whole and show these results.

    Args:
        folder: The folder of the study.
        document: Its result.

    Returns:
        None where the report must be written again.
    """
    old = read_json(folder / REPORT_FILE)
    if not is_whole(old) or not old.get("files") or not same_results(old, document):
        return None
    files: dict[str, str] = old["files"]
    whole = all((folder / n).is_file() and digest(folder / n) == d for n, d in files.items())
    return files if whole else None


def _without_effort(document: Mapping[str, Any]) -> dict[str, Any]:
    left_out = ("command", "costs", "files", DIGEST)
    kept = {name: part for name, part in document.items() if name not in left_out}
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


@lru_cache(maxsize=1024)
def _estimates(runs: tuple[tuple[Path, ...], ...], horizon: int) -> ArmEstimates:
    """Estimates from files that never change once they are there.

    A running study is followed: without the cache its bootstraps would be drawn every time.
    """
    return arm_estimates([load_scores(paths) for paths in runs], horizon)


def _arm(
    plan: Plan,
    arm: Arm,
    store: Store,
    reward_end: tuple[Mapping[str, str], frozenset[str], frozenset[str]],
    horizon: int,
) -> dict[str, Any]:
    scored = tuple(paths for run in arm.runs if (paths := scores_paths(run, store)))
    estimates = _estimates(scored, horizon) if scored else None
    return {
        "name": arm.name,
        "kind": arm.kind,
        "game": arm.game,
        "axis_values": dict(arm.axis_values),
        "is_baseline": arm.is_baseline,
        "aa": arm.aa,
        "matched": [{"field": one.field, "old": one.old, "new": one.new} for one in arm.matched],
        "imagines": imagines(arm),
        "runs": [_run(plan, run, store, reward_end, horizon) for run in arm.runs],
        "metrics": estimates.metrics if estimates else {},
        "curves": estimates.curves if estimates else {},
        "interval": estimates.interval if estimates else None,
    }


def _run(
    plan: Plan,
    run: Run,
    store: Store,
    reward_end: tuple[Mapping[str, str], frozenset[str], frozenset[str]],
    horizon: int,
) -> dict[str, Any]:
    errors, made, left_out = reward_end
    scores = read_scores(run, store)
    causes = [f"{spec.stage}: {errors[spec.key]}" for spec in run.stages if spec.key in errors]
    missing = {spec.key for spec in run.stages if not _is_done(store, spec)}
    unfinished = "pending" if missing & left_out else "cut"
    return {
        "seed": run.config.seed,
        "state": "done" if not missing else "failed" if causes else unfinished,
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
            if not is_set(name)
        }
        if scores
        else {},
        "returns": run_returns(plan, run, store),
        "costs": run_costs(run, store),
    }


def run_costs(run: Run, store: Store) -> dict[str, Any] | None:
    """What an imagined frame of a run cost, None where it imagined none."""
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


def _is_done(store: Store, spec: StageSpec) -> bool:
    return store.status(spec) == "done"


def _seconds(store: Store, spec: StageSpec) -> float:
    manifest = store.manifest(spec.stage, spec.key)
    return float(manifest["timings"].get("seconds", 0.0)) if manifest else 0.0


def _device(store: Store, specs: Sequence[StageSpec]) -> str | None:
    manifests = [store.manifest(spec.stage, spec.key) for spec in specs]
    devices = {manifest["device"] for manifest in manifests if manifest and manifest["device"]}
    return ", ".join(sorted(devices)) or None
