"""The result of an ablation: for JSON, report, tracking and terminal, from the store alone."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from diamond.config.base import canonical
from diamond.config.metric_table import MetricSpec, is_set
from diamond.config.own_metrics import own_metrics
from diamond.config.worlds import family_of
from diamond.engine.declaration_timing import standing
from diamond.engine.files import digest
from diamond.engine.needed_stages import REPORT_FILE
from diamond.engine.output_names import OFF_DATA_SCORES_FILE
from diamond.engine.provenance import made_on, provenance
from diamond.engine.report_file import read_result
from diamond.engine.run_identity import tracked_key
from diamond.engine.store import Store
from diamond.engine.study_history import read_entries
from diamond.findings.arm_inputs import find_stage
from diamond.findings.arm_scores import (
    best_comparisons,
    comparisons,
    noise_floor,
    off_data_comparisons,
    path_rows,
    read_scores,
    sensitivity,
)
from diamond.findings.claim_verdicts import claim_rows
from diamond.findings.foundations import founded
from diamond.findings.policy_returns import beside_players, hns_over_games, run_returns
from diamond.findings.reader_notes import event_notes, judge_notes, study_notes
from diamond.findings.starts_in_training import kept_known_frames, kept_seen_starts
from diamond.findings.stored_estimates import kept_estimates, kept_means
from diamond.findings.survival_rows import survival_rows
from diamond.plan.axis_values import current_off_data
from diamond.plan.declarations import Declared
from diamond.plan.plan import Arm, Plan, Run, imagines
from diamond.plan.stage_keys import StageSpec
from diamond.results.arm_model import Arm as ArmResult
from diamond.results.arm_model import FrameCost, Matched, RunState, Stage, real_value
from diamond.results.arm_model import Run as RunResult
from diamond.results.best_arm import best_arm
from diamond.results.comparison_model import Comparison, OffData
from diamond.results.comparisons import corrected
from diamond.results.metric_model import Interval, Metric
from diamond.results.model import Costs, Places, Result
from diamond.results.rollout_estimates import (
    arm_interval,
    described,
    nan_mean,
    over_horizon,
    report_steps,
)
from diamond.results.values import MEAN

T = TypeVar("T")


def build_result(
    plan: Plan,
    store: Store,
    errors: Mapping[str, str],
    made: frozenset[str],
    wall_seconds: float,
    command: str,
    left_out: frozenset[str] = frozenset(),
) -> Result:
    """Gather everything that is known of a study.

    Args:
        errors: Cause per key of a stage that failed.
        made: Keys made by this command; the others were there before.
        wall_seconds: Time that this command took.
        command: The command as the user can repeat it.
        left_out: Keys that this command was not to make: runs that lack one are pending.

    Returns:
        The result, its summary empty: what is shown makes it.
    """
    horizon = plan.arms[0].runs[0].config.rollouts.horizon_steps
    games, declared = plan.request.games, plan.request.declared
    found = _Found(store, errors, made, left_out)
    arms = tuple(_arm(plan, arm, found, horizon) for arm in plan.arms)
    metrics = _metrics(plan, arms)
    rows, best = _comparisons(plan, store, arms, metrics)
    result = Result(
        study=plan.study,
        question=_question(plan) if declared is None else declared.declaration.question,
        command=command,
        preset=str(plan.request.preset),
        games=games,
        seeds=tuple(plan.request.seeds),
        protocol=plan.request.protocol,
        until=plan.until or "report",
        design=plan.design,
        match=plan.request.match,
        horizon=horizon,
        report_steps=report_steps(horizon),
        primary_metric=plan.primary_metric,
        baseline_arm=plan.baseline(games[0]).name,
        metrics=metrics,
        arms=arms,
        path={game: path_rows(plan, game, path, store) for game, path in plan.paths.items()},
        off_data=tuple(_off_data(plan, games)),
        off_data_comparisons=_off_data_comparisons(plan, store),
        controls=tuple(_arm(plan, arm, found, horizon) for arm in plan.controls),
        sensitivity=tuple(_each(games, lambda game: sensitivity(plan, game, store, _own(plan)))),
        comparisons=rows,
        best_comparisons=best,
        noise_floor=tuple(_each(games, lambda game: noise_floor(plan, game, store, horizon))),
        survival=tuple(_each(games, lambda game: survival_rows(plan, game, store, horizon))),
        hns=hns_over_games(arms),
        notes=(*study_notes(plan), *judge_notes(plan, store), *event_notes(plan, store)),
        costs=_costs(plan, found, wall_seconds),
        provenance=provenance(_device(store, plan.stages()), _configs(plan)),
        paths=Places(home=str(store.home)),
    )
    return result if declared is None else _judged(result, declared, store)


def _off_data_comparisons(plan: Plan, store: Store) -> tuple[Comparison, ...]:
    games = plan.request.games
    return corrected(_each(games, lambda game: off_data_comparisons(plan, game, store)))


def _metrics(plan: Plan, arms: Sequence[ArmResult]) -> tuple[Metric, ...]:
    """The metrics that any arm was scored in."""
    return described({plan.primary_metric}.union(*(arm.metrics for arm in arms)), _own(plan))


def _comparisons(
    plan: Plan, store: Store, arms: Sequence[ArmResult], metrics: Sequence[Metric]
) -> tuple[tuple[Comparison, ...], tuple[Comparison, ...]]:
    """The comparisons with the baseline arms and with the best arms, corrected together."""
    games, preset = plan.request.games, str(plan.request.preset)
    rows = _each(games, lambda game: comparisons(plan, game, store))
    primary = next(one for one in metrics if one.name == plan.primary_metric)
    best = []
    for game in games:
        compared = {row.a for row in rows if row.game == game and row.family == "primary"}
        own = [arm for arm in arms if arm.game == game]
        real = real_value(own, primary.name, MEAN)
        found = best_arm(
            [arm for arm in own if arm.is_baseline or arm.name in compared],
            primary.name,
            primary.direction,
            real.mean if real else None,
        )
        if found is not None and not found.is_baseline:
            best += best_comparisons(plan, game, store, found.name)
    both = corrected(founded([*rows, *best], arms, preset))
    return both[: len(rows)], both[len(rows) :]


def _configs(plan: Plan) -> dict[str, Mapping[str, object]]:
    """The config of the first run of each arm, by arm and game."""
    return {f"{arm.name} | {arm.game}": canonical(arm.runs[0].config) for arm in plan.arms}


def _each(games: Sequence[str], rows: Callable[[str], Iterable[T]]) -> list[T]:
    """The rows of all games, one after the other."""
    return [row for game in games for row in rows(game)]


@dataclass(frozen=True)
class _Found:
    """What is known of stages: where they are, why some failed, what was made and left out."""

    store: Store
    errors: Mapping[str, str]
    made: frozenset[str]
    left_out: frozenset[str]


def _judged(result: Result, declared: Declared, store: Store) -> Result:
    """A result with what its declaration decides."""
    history = read_entries(store.home / "studies" / result.study)
    return result.model_copy(
        update={
            "declaration": standing(declared, result, history, store),
            "claims": claim_rows(declared.declaration, result, store),
        }
    )


def _own(plan: Plan) -> list[MetricSpec]:
    """The metrics of the user's own that any arm is scored by."""
    words = dict.fromkeys(word for arm in plan.arms for word in arm.runs[0].config.fidelity.metrics)
    return [metric.spec for metric in own_metrics(tuple(words)).values()]


def _costs(plan: Plan, found: _Found, wall_seconds: float) -> Costs:
    stage_seconds: dict[str, float] = {}
    for spec in plan.stages():
        seconds = stage_seconds.get(spec.stage, 0.0) + _seconds(found.store, spec)
        stage_seconds[spec.stage] = round(seconds, 3)
    there = [spec for spec in plan.stages() if spec.key not in found.made]
    return Costs(
        wall_seconds=round(wall_seconds, 1),
        stage_seconds=stage_seconds,
        stages_made=len(found.made),
        stages_reused=sum(_is_done(found.store, spec) for spec in there),
    )


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


def same_results(old: Result, new: Result) -> bool:
    """Whether two results differ only in what each command did, not in what is known."""
    return _without_effort(old) == _without_effort(new)


def kept_files(folder: Path, result: Result) -> dict[str, str] | None:
    """Digests of the files of a report, by name, where all are whole and show these results.

    Args:
        folder: The folder of the study.
        result: What is known of it now.

    Returns:
        None where the report must be written again.
    """
    old = read_result(folder / REPORT_FILE)
    if old is None or not old.files or not same_results(old, result):
        return None
    whole = all(
        (folder / name).is_file() and digest(folder / name) == known
        for name, known in old.files.items()
    )
    return old.files if whole else None


def _without_effort(result: Result) -> Result:
    arms, controls = (
        tuple(arm.model_copy(update={"runs": tuple(map(_unmade, arm.runs))}) for arm in found)
        for found in (result.arms, result.controls)
    )
    update = {"command": "", "costs": Costs(), "files": {}, "arms": arms, "controls": controls}
    # What to do next is made of the command.
    answers = tuple(
        answer.model_copy(update={"sure": answer.sure.model_copy(update={"command": ""})})
        for answer in result.answers
    )
    return result.model_copy(update={**update, "answers": answers, "next": ()})


def _unmade(run: RunResult) -> RunResult:
    stages = {n: stage.model_copy(update={"made": False}) for n, stage in run.stages.items()}
    return run.model_copy(update={"stages": stages})


def _off_data(plan: Plan, games: Sequence[str]) -> Iterator[OffData]:
    for game in games:
        config = plan.baseline(game).runs[0].config
        said = config.references.off_data
        if said is not None and config.imagines:
            player = current_off_data(config)
            yield OffData(game=game, player=player, num_starts=said.num_starts)


def _arm(plan: Plan, arm: Arm, found: _Found, horizon: int) -> ArmResult:
    scored = kept_estimates(arm, found.store, horizon)
    num_seeds, estimates = scored or (0, None)
    off_data = kept_estimates(arm, found.store, horizon, OFF_DATA_SCORES_FILE)
    runs = tuple(_run(plan, run, found, horizon) for run in arm.runs)
    return ArmResult(
        name=arm.name,
        kind=arm.kind,
        game=arm.game,
        axis_values=dict(arm.axis_values),
        is_baseline=arm.is_baseline,
        aa=arm.aa,
        matched=tuple(Matched(field=m.field, old=m.old, new=m.new) for m in arm.matched),
        imagines=imagines(arm),
        runs=runs,
        metrics=estimates.metrics if estimates else {},
        curves=estimates.curves if estimates else {},
        interval=_interval(num_seeds, estimates.num_starts) if estimates else None,
        beside=beside_players(runs),
        off_data=off_data[1].metrics if off_data else {},
    )


def _interval(num_seeds: int, num_starts: int) -> Interval | None:
    """How the intervals of an arm were made; one run that only played has none."""
    return arm_interval(num_seeds, num_starts) if num_starts or num_seeds > 1 else None


def _run(plan: Plan, run: Run, found: _Found, horizon: int) -> RunResult:
    store, errors = found.store, found.errors
    means = kept_means(run, store, horizon)
    causes = [f"{spec.stage}: {errors[spec.key]}" for spec in run.stages if spec.key in errors]
    missing = {spec.key for spec in run.stages if not _is_done(store, spec)}
    unfinished: RunState = "pending" if missing & found.left_out else "cut"
    seen = kept_seen_starts(run, store)
    known = kept_known_frames(run, store)
    first = run.config.references.first_start
    return RunResult(
        seed=run.config.seed,
        state="done" if not missing else "failed" if causes else unfinished,
        error=causes[0] if causes else None,
        run_key=tracked_key(plan, run),
        stages={
            spec.stage: Stage(
                key=spec.key,
                made=spec.key in found.made,
                seconds=_seconds(store, spec),
                state=store.status(spec),
                machine=made_on(store.manifest(spec.stage, spec.key)),
            )
            for spec in run.stages
        },
        metrics=means.metrics,
        curves=means.curves,
        num_starts=None if seen is None else run.config.rollouts.num_starts,
        seen_starts=None if seen is None else len(seen),
        seen_numbers=tuple(first + position for position in seen or ()),
        known_frames=known.ordinary,
        known_frames_off_data=known.off_data,
        unseen_mean=_unseen_mean(plan.primary_metric, run, seen, store) if seen else None,
        returns=run_returns(run, store),
        costs=run_costs(run, store),
    )


def _unseen_mean(metric: str, run: Run, seen: Sequence[int], store: Store) -> float | None:
    """The mean of a metric over the starts that are not among those seen; None of a set."""
    values = (read_scores(run, store) or {}).get(metric)
    if values is None or is_set(metric):
        return None
    others = [start for start in range(len(values)) if start not in seen]
    return nan_mean(over_horizon(values[others]))


def run_costs(run: Run, store: Store) -> FrameCost | None:
    """What an imagined frame of a run cost, None where it imagined none."""
    spec = find_stage(run, "rollouts")
    if spec is None or not _is_done(store, spec) or not family_of(run.config).is_trained:
        return None
    manifest = store.manifest(spec.stage, spec.key)
    assert manifest is not None
    timings = manifest["timings"]
    return FrameCost(
        denoiser_calls_per_frame=int(timings["denoiser_calls_per_frame"]),
        ms_per_frame=timings["ms_per_frame"],
        rollout_seconds=timings["seconds"],
        num_parameters=int(timings["num_parameters"]),
    )


def _is_done(store: Store, spec: StageSpec) -> bool:
    return store.status(spec) == "done"


def _seconds(store: Store, spec: StageSpec) -> float:
    manifest = store.manifest(spec.stage, spec.key)
    return float(manifest["timings"].get("seconds", 0.0)) if manifest else 0.0


def _device(store: Store, specs: Sequence[StageSpec]) -> str | None:
    manifests = [store.manifest(spec.stage, spec.key) for spec in specs]
    devices = {manifest["device"] for manifest in manifests if manifest and manifest["device"]}
    return ", ".join(sorted(devices)) or None
