"""From a plan and its result outcome to the runs that the tracking store shows."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from diamond.config.base import canonical, canonical_json
from diamond.config.metric_table import METRIC_OF
from diamond.config.run import RunConfig
from diamond.engine.files import write_text
from diamond.engine.output_names import EVENTS_FILE, committed_events
from diamond.engine.run_identity import aggregate_key, real_key, study_key
from diamond.engine.stage_attempt import RESULT
from diamond.engine.store import Store
from diamond.plan.find_axis import find_axis
from diamond.plan.plan import Arm, Plan, Run
from diamond.plan.stage_keys import StageSpec
from diamond.results.arm_model import Arm as ArmResult
from diamond.results.arm_model import Run as RunResult
from diamond.results.comparison_model import GameScores, NoiseFloor
from diamond.results.model import Result
from diamond.results.values import MEAN
from diamond.stages.references import REFERENCES
from diamond.stages.registry import find_stage_record
from diamond.studies.description import Shown, primary_text, result_line, study_description
from diamond.studies.run_tags import claim_tags, made_by, provenance
from diamond.studies.tracked_real import REAL_FRAMES, RealValues, real_frames
from diamond.tracking.mlflow_links import COMPARE_TAG, RESULT_TAG
from diamond.tracking.mlflow_records import RunStatus, StageEvents, TrackedRun, TrackedStudy
from diamond.tracking.names import (
    arm_names,
    curve_name,
    noise_floor_name,
    overall_name,
    primary_name,
)


def tracked_study(
    outcome: Result,
    artifacts: Mapping[str, Path] | None,
    status: RunStatus,
    shown: Shown,
) -> TrackedStudy:
    """The parent run of a study or a search; `shown` says which of its runs are there already."""
    if outcome.search is None:
        tags = claim_tags(outcome) | provenance(outcome)
    else:
        tags = {"optuna.study": outcome.study}
    versions = canonical_json(outcome.provenance.versions)
    return TrackedStudy(
        run_key=study_key(outcome.study),
        name=outcome.study,
        tags={"diamond.kind": "study", "diamond.command": outcome.command}
        | made_by(outcome)
        | {"diamond.versions": versions, RESULT_TAG: result_line(outcome)}
        | tags,
        params={"preset": outcome.preset, "protocol": outcome.protocol},
        metrics=_primary_of_arms(outcome),
        description=study_description(outcome, shown),
        artifacts=artifacts,
        status=status,
    )


def _primary_of_arms(outcome: Result) -> dict[str, float]:
    """The primary metric of each arm and of the real frames, by names that say whose it is."""
    metric, several = outcome.primary_metric, len(outcome.games) > 1
    found = {
        (game, name): estimate.mean
        for game in outcome.games
        for name, estimate in (
            *((arm.name, arm.estimate(metric, MEAN)) for arm in outcome.arms_of(game)),
            (REAL_FRAMES, outcome.real(game, metric, MEAN)),
        )
        if estimate is not None
    }
    arms = [f"{game} {name}" if several else name for game, name in found]
    names = arm_names(metric, arms)
    return dict(zip(names.values(), found.values(), strict=True))


@dataclass(frozen=True)
class Snapshot:
    """What is known of a study at one moment.

    Attributes:
        plan: The study.
        outcome: Its result so far.
        store: Where events and timings are.
        configs: Folder for the resolved configs that are logged as artifacts.
        finished: Whether the command is at its end; until then runs not whole show as running.
    """

    plan: Plan
    outcome: Result
    store: Store
    configs: Path
    finished: bool


def tracked_runs(snapshot: Snapshot) -> list[TrackedRun]:
    """One run per arm, game and seed, one per arm and game over its seeds, baselines, real frames.

    A run is there from its first stage that is its own: of thousands that wait nothing is shown.
    """
    plan, outcome = snapshot.plan, snapshot.outcome
    shared = _shared_by_all(plan)
    real = {game: real_frames(outcome, game) for game in outcome.games}
    runs: list[TrackedRun] = []
    shown_arms = (*outcome.arms, *outcome.controls)
    for arm, shown in zip(plan.with_controls, shown_arms, strict=True):
        for run, result in zip(arm.runs, shown.runs, strict=True):
            if result.state not in ("pending", "cut") or _has_begun(result, shared):
                runs.append(_one(snapshot, arm, run, result, real[arm.game].keys()))
        if arm.kind == "arm" and shown.metrics and all(r.state == "done" for r in shown.runs):
            runs.append(_aggregate(snapshot, arm, shown, real[arm.game].keys()))
    runs += [_real(snapshot, game, found) for game, found in real.items() if found]
    return runs + [_over_games(snapshot, row) for row in outcome.hns]


def _shared_by_all(plan: Plan) -> frozenset[str]:
    """Keys of the stages that every run of a game needs; none where a game has one run."""
    found: set[str] = set()
    for game in plan.request.games:
        runs = [
            run for arm in plan.arms if (arm.kind, arm.game) == ("arm", game) for run in arm.runs
        ]
        if len(runs) > 1:
            found |= set.intersection(*({spec.key for spec in run.stages} for run in runs))
    return frozenset(found)


def _has_begun(result: RunResult, shared: frozenset[str]) -> bool:
    """Whether anything is there of the stages that are a run's own."""
    return result.state == "cut" and any(
        info.state in ("partial", "done") and info.key not in shared
        for info in result.stages.values()
    )


def is_compared(run: TrackedRun, game: str) -> bool:
    """Whether a run stands for an arm, a baseline or the real frames in a game, and has curves."""
    return COMPARE_TAG in run.tags and run.params["game"] == game and bool(run.curves)


def _one(
    snapshot: Snapshot, arm: Arm, run: Run, result: RunResult, elsewhere: Collection[str]
) -> TrackedRun:
    """One seed of an arm or a control, or a baseline, without the columns that are elsewhere."""
    plan, outcome, store = snapshot.plan, snapshot.outcome, snapshot.store
    config_file = config_artifact(snapshot.configs / f"config-{result.run_key}.json", run.config)
    whole = result.state == "done"
    summary = _summary(outcome, {m: v[MEAN] for m, v in result.metrics.items()}, elsewhere)
    if result.returns:
        summary["return/mean"] = result.returns.mean
        if result.returns.hns is not None:
            summary["return/hns"] = result.returns.hns
    if result.costs:
        summary["cost/denoiser_calls_per_frame"] = float(result.costs.denoiser_calls_per_frame)
    curves = {
        curve_name(metric, "mean"): values
        for metric, values in result.curves.items()
        if metric not in elsewhere
    }
    seed = "" if arm.kind == "baseline" else f" seed {run.config.seed}"
    return TrackedRun(
        run_key=result.run_key,
        name=f"{arm.name}{seed}{_of_game(outcome, arm.game)}",
        kind=arm.kind,
        params=_params(plan, arm)
        | ({} if arm.kind == "baseline" else {"seed": str(run.config.seed)}),
        tags=provenance(outcome)
        | {"diamond.study": plan.study, "diamond.arm": arm.name}
        | ({COMPARE_TAG: plan.study} if arm.kind == "baseline" else {}),
        stages=tuple(
            stage_events(spec, store)
            for spec in run.stages
            if arm.kind == "arm"
            and find_stage_record(spec.stage, run.config.world.family).is_trained
        ),
        curves=curves if whole else {},
        summary=summary if whole else {},
        time_ms=finished_ms(run.stages, store),
        artifacts={config_file.name: config_file},
        status=_status(result.state, snapshot.finished),
    )


def _aggregate(
    snapshot: Snapshot, arm: Arm, shown: ArmResult, elsewhere: Collection[str]
) -> TrackedRun:
    """The mean of an arm over its seeds, without the columns that are elsewhere."""
    plan, outcome, store = snapshot.plan, snapshot.outcome, snapshot.store
    keys = [result.run_key for result in shown.runs]
    curves: dict[str, Sequence[float | None]] = {}
    for metric, parts in shown.curves.items():
        if metric in elsewhere:
            continue
        curves[curve_name(metric, "mean")] = parts.mean
        curves[curve_name(metric, "lower")] = parts.lo
        curves[curve_name(metric, "upper")] = parts.hi
    found = {metric: shown.estimate(metric, MEAN) for metric in shown.metrics}
    means = {metric: None if one is None else one.mean for metric, one in found.items()}
    summary = _interval(outcome, shown) | _summary(outcome, means, elsewhere)
    curves |= noise_curves(outcome.noise_floor, arm.name, arm.game)
    specs = [spec for run in arm.runs for spec in run.stages]
    return TrackedRun(
        run_key=aggregate_key(keys),
        name=f"{arm.name} mean{_of_game(outcome, arm.game)}",
        kind="aggregate",
        params=_params(plan, arm) | {"seeds": str(len(keys))},
        tags=provenance(outcome)
        | {
            "diamond.study": plan.study,
            "diamond.arm": arm.name,
            "diamond.interval": shown.interval.method if shown.interval else "",
            RESULT_TAG: primary_text(outcome, shown),
            COMPARE_TAG: plan.study,
        },
        stages=(),
        curves=curves,
        summary=summary,
        time_ms=finished_ms(specs, store),
        artifacts=None,
        status="FINISHED",
    )


def _real(snapshot: Snapshot, game: str, found: Mapping[str, RealValues]) -> TrackedRun:
    """The real frames of a game, under the metric names of the arms."""
    plan, outcome, store = snapshot.plan, snapshot.outcome, snapshot.store
    values = {METRIC_OF[column].name: one for column, one in found.items()}
    specs = {
        spec.key: spec
        for arm in plan.arms
        if arm.game == game
        for run in arm.runs
        for spec in run.stages
        if spec.stage == REFERENCES.name
    }
    return TrackedRun(
        run_key=real_key(plan.study, game),
        name=f"{REAL_FRAMES}{_of_game(outcome, game)}",
        kind="real",
        params={"game": game, "preset": str(plan.request.preset)},
        tags=provenance(outcome)
        | {"diamond.study": plan.study, "diamond.arm": REAL_FRAMES, COMPARE_TAG: plan.study},
        stages=(),
        curves={curve_name(metric, "mean"): one.curve for metric, one in values.items()},
        summary=_summary(outcome, {metric: one.overall for metric, one in values.items()}, ()),
        time_ms=finished_ms(specs.values(), store),
        artifacts=None,
        status="FINISHED",
    )


def noise_curves(
    rows: Sequence[NoiseFloor], arm: str, game: str
) -> dict[str, Sequence[float | None]]:
    """The noise floor against the time step, where it comes from this arm."""
    return {
        noise_floor_name(row.metric): row.curve
        for row in rows
        if (row.arm, row.game, row.reason) == (arm, game, None)
    }


def _over_games(snapshot: Snapshot, row: GameScores) -> TrackedRun:
    """Human-normalised scores of an arm over the games of the study."""
    plan, outcome, store = snapshot.plan, snapshot.outcome, snapshot.store
    arms = [arm for arm in plan.arms if arm.name == row.arm]
    keys = [
        result.run_key for shown in outcome.arms if shown.name == row.arm for result in shown.runs
    ]
    summary = {}
    for name, found in row.aggregates.items():
        summary[f"hns/{name}"] = found.mean
        bounds = {f"hns/{name}_lo": found.lo, f"hns/{name}_hi": found.hi}
        summary |= {end: value for end, value in bounds.items() if value is not None}
    summary |= {f"hns/{game}": value for game, value in row.per_game.items()}
    specs = [spec for arm in arms for run in arm.runs for spec in run.stages]
    return TrackedRun(
        run_key=aggregate_key(keys),
        name=f"{row.arm} mean of {len(row.games)} games",
        kind="aggregate",
        params=_params(plan, arms[0]) | {"game": ", ".join(row.games), "seeds": str(row.num_runs)},
        tags=provenance(outcome)
        | {
            "diamond.study": plan.study,
            "diamond.arm": row.arm,
            "diamond.interval": row.method,
        },
        stages=(),
        curves={},
        summary=summary,
        time_ms=finished_ms(specs, store),
        artifacts=None,
        status="FINISHED",
    )


def _params(plan: Plan, arm: Arm) -> dict[str, str]:
    """What was chosen, spelled in one way: ``1e-3`` and ``0.001`` are one run with one param."""
    config = arm.runs[0].config
    values = dict(arm.axis_values)
    for name in values:
        axis = find_axis(name)
        if axis.kind == "single":
            values[name] = axis.current(config)
    protocol = {} if config.protocol == "static" else {"protocol": config.protocol}
    return {"game": arm.game, "preset": str(plan.request.preset)} | protocol | values


def _summary(
    outcome: Result, values: Mapping[str, float | None], elsewhere: Collection[str]
) -> dict[str, float]:
    """The one number of each metric, and that of the primary metric where it stands first."""
    primary = values.get(outcome.primary_metric)
    first = {} if primary is None else {primary_name(outcome.primary_metric): primary}
    return first | {
        overall_name(metric): value
        for metric, value in values.items()
        if value is not None and metric not in elsewhere
    }


def _interval(outcome: Result, shown: ArmResult) -> dict[str, float]:
    """The primary metric of an arm with the ends of its interval, in the order of a table."""
    found, metric = shown.estimate(outcome.primary_metric, MEAN), outcome.primary_metric
    if found is None or found.lo is None or found.hi is None:
        return {}
    return {
        primary_name(metric): found.mean,
        primary_name(metric, "lower"): found.lo,
        primary_name(metric, "upper"): found.hi,
    }


def _of_game(outcome: Result, game: str) -> str:
    """The end of a run's name: the game, where the study has several."""
    return f" | {game}" if len(outcome.games) > 1 else ""


def _status(state: str, finished: bool) -> RunStatus:
    match state:
        case "done":
            return "FINISHED"
        case "failed":
            return "FAILED"
        case _:
            return "KILLED" if finished else "RUNNING"


def stage_events(spec: StageSpec, store: Store) -> StageEvents:
    """The training curves of a stage, as far as a checkpoint or its end vouches for them."""
    manifest = store.manifest(spec.stage, spec.key)
    if store.status(spec) == "done" and manifest is not None and manifest["events"] is not None:
        path = store.folder(spec.stage, spec.key) / EVENTS_FILE
        return StageEvents(spec.stage, spec.key, path, None, manifest["events"])
    attempt = store.farthest(spec.stage, spec.key) or store.work(spec.stage, spec.key)
    path = attempt / RESULT / EVENTS_FILE
    return StageEvents(spec.stage, spec.key, path, *committed_events(attempt))


def finished_ms(specs: Iterable[StageSpec], store: Store) -> int:
    """When the last of some stages was finished, in milliseconds; 0 where none is."""
    manifests = [store.manifest(spec.stage, spec.key) for spec in specs]
    return max((int(m["timings"].get("finished_ms", 0)) for m in manifests if m), default=0)


def config_artifact(path: Path, config: RunConfig) -> Path:
    """Write the resolved config of a run where it differs from what is there; return the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = canonical_json(canonical(config)) + "\n"
    if not path.exists() or path.read_bytes() != text.encode():
        write_text(path, text)
    return path
