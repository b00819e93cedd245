"""The scores of arms in the store, and what they say of the baseline arm and of a path."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from diamond.config.metric_table import RESULT_METRICS, MetricSpec
from diamond.engine.output_names import OFF_DATA_SCORES_FILE, SCORES_FILE, scores_file
from diamond.engine.store import Store
from diamond.findings.arm_inputs import scored_on, trained_model
from diamond.plan.path import Path as FlipPath
from diamond.plan.plan import Arm, Plan, Run
from diamond.results.comparison_model import Comparison, NoiseFloor, Sensitivity
from diamond.results.comparisons import Role, Scored, best_rows, comparison_rows, noise_rows
from diamond.results.path_model import Path as PathResult
from diamond.results.paths import path_result
from diamond.results.rollout_estimates import Scores, load_scores
from diamond.results.sensitivity import Control, sensitivity_rows
from diamond.stages.fidelity import FIDELITY
from diamond.stages.registry import SCORING_STAGES
from diamond.stages.returns import RETURNS


def read_scores(run: Run, store: Store) -> Scores | None:
    """The scores of a run, None when there are none."""
    paths = scores_paths(run, store)
    return load_scores(paths) if paths else None


def scores_paths(run: Run, store: Store, file: str = SCORES_FILE) -> tuple[Path, ...]:
    """The files of the scores of a run, one for each of its scoring stages that is done."""
    if file == OFF_DATA_SCORES_FILE and run.config.references.off_data is None:
        return ()
    return tuple(
        store.folder(spec.stage, spec.key) / scores_file(spec.stage, file)
        for spec in run.stages
        if spec.stage in SCORING_STAGES
        and (file == SCORES_FILE or spec.stage != RETURNS.name)
        and store.status(spec) == "done"
    )


def off_data_comparisons(plan: Plan, game: str, store: Store) -> list[Comparison]:
    """The arms of a game against its baseline arm on the starts off the data, exploratory."""
    rows = comparisons(plan, game, store, OFF_DATA_SCORES_FILE)
    return [
        row.model_copy(update={"family": "off_data"})
        for row in rows
        if row.family in ("primary", "secondary")
    ]


def comparisons(plan: Plan, game: str, store: Store, file: str = SCORES_FILE) -> list[Comparison]:
    """Every other arm of a game against its baseline arm.

    Nothing of arms without scores, nor of those at another view: pixel metrics of two
    resolutions cannot be compared.
    """
    baseline = plan.baseline(game)
    others = [
        arm
        for arm in plan.arms
        if arm.game == game and arm is not baseline and scored_on(arm) == scored_on(baseline)
    ]
    scored = _ScoredFiles.of(baseline, "arm", store, file)
    found = [_ScoredFiles.of(arm, role_of(arm, plan), store, file) for arm in others]
    primary = plan.primary_metric
    return [row for other in found for row in _rows(other, scored, game, primary)]


def best_comparisons(plan: Plan, game: str, store: Store, best: str) -> list[Comparison]:
    """The best arm of a game against each other one but the baseline arm, on the primary metric."""
    arms = {arm.name: arm for arm in plan.arms if arm.game == game}
    own = _ScoredFiles.of(arms[best], "arm", store)
    others = [
        _ScoredFiles.of(arm, "arm", store)
        for arm in arms.values()
        if arm.name != best and not arm.is_baseline and role_of(arm, plan) == "arm"
        if scored_on(arm) == scored_on(arms[best])
    ]
    return [
        row.model_copy(update={"a": best, "b": other.name})
        for other in others
        for row in _best_rows(own, other, game, plan.primary_metric)
        if own.files and other.files
    ]


def sensitivity(
    plan: Plan, game: str, store: Store, own: Sequence[MetricSpec]
) -> list[Sensitivity]:
    """What each metric says of each known defect in a game."""
    controls = [arm for arm in plan.controls if arm.game == game]
    if not controls:
        return []
    sound = _ScoredFiles.of(plan.baseline(game), "arm", store).of_stage(FIDELITY.name).read().scores
    arms = comparisons(plan, game, store)
    return [
        row
        for arm in controls
        for row in sensitivity_rows(
            Control(
                game,
                arm.runs[0].config.rollouts.defect,
                _ScoredFiles.of(arm, "control", store).read().scores,
                sound,
            ),
            own,
            arms,
        )
    ]


def noise_floor(plan: Plan, game: str, store: Store, horizon: int) -> tuple[NoiseFloor, ...]:
    """The noise floor of every metric of a game, from the seeds of its baseline arm."""
    baseline = plan.baseline(game)
    return noise_rows(_ScoredFiles.of(baseline, "arm", store).read(), game, horizon)


@dataclass(frozen=True)
class _ScoredFiles:
    """An arm with the files of its scores by seed; they never change once they are there."""

    name: str
    role: Role
    files: tuple[tuple[int, tuple[Path, ...]], ...]
    num_seeds: int
    model: str | None

    @staticmethod
    def of(arm: Arm, role: Role, store: Store, file: str = SCORES_FILE) -> "_ScoredFiles":
        found = [(run.config.seed, scores_paths(run, store, file)) for run in arm.runs]
        files = tuple((seed, paths) for seed, paths in found if paths)
        return _ScoredFiles(arm.name, role, files, len(arm.runs), trained_model(arm))

    def of_stage(self, stage: str) -> "_ScoredFiles":
        """The files of one stage, without the name of the arm."""
        files = tuple(
            (seed, tuple(path for path in paths if _stage(path) == stage))
            for seed, paths in self.files
        )
        return replace(self, name="", files=files)

    def read(self) -> Scored:
        scores = {seed: load_scores(paths) for seed, paths in self.files}
        return Scored(self.name, self.role, scores, self.num_seeds, self.model)


def _rows(arm: _ScoredFiles, baseline: _ScoredFiles, game: str, primary: str) -> list[Comparison]:
    """The comparisons of an arm, in the order of tables."""
    if not arm.files or not baseline.files:
        return []
    runs = [{_stage(path) for path in paths} for _, paths in (*arm.files, *baseline.files)]
    found = [
        row.model_copy(update={"a": arm.name, "b": baseline.name})
        for stage in set.intersection(*runs)
        for row in _stage_rows(arm.of_stage(stage), baseline.of_stage(stage), game, primary)
    ]
    order = {spec.name: place for place, spec in enumerate(RESULT_METRICS)}
    return sorted(found, key=lambda row: (order.get(row.metric, len(order)), row.metric))


@lru_cache(maxsize=4096)
def _stage_rows(
    arm: _ScoredFiles, baseline: _ScoredFiles, game: str, primary: str
) -> tuple[Comparison, ...]:
    """The comparisons in the metrics of one stage, without names: arms that share it share them.

    Made once, as files never change once they are there: a running study is followed.
    """
    return comparison_rows(arm.read(), baseline.read(), game, primary)


@lru_cache(maxsize=4096)
def _best_rows(
    best: _ScoredFiles, other: _ScoredFiles, game: str, primary: str
) -> tuple[Comparison, ...]:
    """Made once, as `_stage_rows`."""
    return best_rows(best.read(), other.read(), game, primary)


def _stage(scores: Path) -> str:
    return scores.parent.parent.name


def role_of(arm: Arm, plan: Plan) -> Role:
    """What an arm is beside the baseline arm.

    Another one, a control (A/A), not trained, or on the way between the ends of a path.
    """
    if arm.kind == "baseline":
        return "reference"
    if arm.aa:
        return "control"
    path = plan.paths.get(arm.game)
    on_the_way = path is not None and arm.name != path.end and arm.name in path.arms()
    return "path" if on_the_way else "arm"


def path_rows(plan: Plan, game: str, path: FlipPath, store: Store) -> PathResult:
    """The changes along a path, from the scores that are there."""
    return _path_rows(path, _score_files(plan, game, path, store), plan.request.num_seeds)


def _score_files(
    plan: Plan, game: str, path: FlipPath, store: Store
) -> tuple[tuple[str, tuple[tuple[Path, ...], ...]], ...]:
    """The files of scores that are there, per run of each arm of a path."""
    arms = {arm.name: arm for arm in plan.arms if arm.game == game}
    return tuple(
        (name, tuple(files for run in arms[name].runs if (files := scores_paths(run, store))))
        for name in path.arms()
    )


@lru_cache(maxsize=64)
def _path_rows(
    path: FlipPath, files: tuple[tuple[str, tuple[tuple[Path, ...], ...]], ...], num_seeds: int
) -> PathResult:
    """The path of a game, made once: a running study is followed."""
    scores = {name: [load_scores(paths) for paths in found] for name, found in files}
    return path_result(path, scores, num_seeds)
