"""Estimates of scored stages, made once and kept beside them in a home.

A published stage never changes, so what is estimated from it lies in a folder of its own,
``estimates/<key>-<what else it depends on>.json``: sealed, made again where it is damaged or
missing, and of no study's own: `diamond gc` removes it with its stage.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, TypeVar

from pydantic import ValidationError

from diamond.config.base import Record
from diamond.engine.files import read_json, write_json
from diamond.engine.output_names import SCORES_FILE, scores_file
from diamond.engine.sealed_json import is_whole, sealed, unsealed
from diamond.engine.stage_manifest import stage_manifest
from diamond.engine.store import Store
from diamond.findings.arm_inputs import find_stage
from diamond.findings.estimate_files import estimate_path
from diamond.plan.plan import Arm, Run
from diamond.plan.stage_keys import StageName
from diamond.results.rollout_estimates import (
    ArmEstimates,
    RunMeans,
    arm_estimates,
    load_scores,
    run_means,
)
from diamond.stages.registry import SCORING_STAGES
from diamond.stages.returns import RETURNS

Kept = TypeVar("Kept", bound=Record)


def kept_means(run: Run, store: Store, horizon: int) -> RunMeans:
    """The means of a run over its starts; empty before it is scored."""
    found = [
        _run_means(store.home, stage, scored, horizon)
        for stage, scored in _scored(run, store).items()
    ]
    return RunMeans(
        metrics={name: at for one in found for name, at in one.metrics.items()},
        curves={name: curve for one in found for name, curve in one.curves.items()},
    )


def kept_estimates(
    arm: Arm, store: Store, horizon: int, file: str = SCORES_FILE
) -> tuple[int, ArmEstimates] | None:
    """The number of runs of an arm that have scores, and its estimates; None before any has.

    An arm that only played has no starts.

    Args:
        horizon: Time steps of its rollouts.
        file: Which scores.
    """
    scored = [found for run in arm.runs if (found := _scored(run, store, file))]
    if not scored:
        return None
    parts = {
        stage: _arm_estimates(
            store.home, (stage, scores_file(stage, file)), stages, len(scored), horizon
        )
        for stage in SCORING_STAGES
        if (stages := tuple(run[stage] for run in scored if stage in run))
    }
    of_starts = [one.num_starts for stage, one in parts.items() if stage != RETURNS.name]
    return len(scored), ArmEstimates(
        metrics={name: at for one in parts.values() for name, at in one.metrics.items()},
        curves={name: curve for one in parts.values() for name, curve in one.curves.items()},
        num_starts=max(of_starts, default=0),
    )


class Scored(NamedTuple):
    """The key of a scored stage, and the digest of its scores: made again, they may have others."""

    key: str
    digest: str


def _scored(run: Run, store: Store, file: str = SCORES_FILE) -> Mapping[StageName, Scored]:
    """The scoring stages of a run that are done and have a file of scores."""
    found = {}
    for stage in SCORING_STAGES:
        spec = find_stage(run, stage)
        if spec is not None and store.status(spec) == "done":
            outputs, name = (
                stage_manifest(store.folder(stage, spec.key))["outputs"],
                scores_file(stage, file),
            )
            if name in outputs:
                found[stage] = Scored(spec.key, outputs[name])
    return found


@lru_cache(maxsize=4096)
def _run_means(home: Path, stage: StageName, scored: Scored, horizon: int) -> RunMeans:
    depends = {"run": stage, "scores": scored.digest, "horizon": horizon}

    def make() -> RunMeans:
        return run_means(
            load_scores((Store(home).folder(stage, scored.key) / scores_file(stage),)), horizon
        )

    return kept_record(estimate_path(home, scored.key, depends), RunMeans, make)


METHOD = 2
"""Raised by a change of how intervals and bands are made from equal scores."""


@lru_cache(maxsize=4096)
def _arm_estimates(
    home: Path,
    place: tuple[StageName, str],
    stages: tuple[Scored, ...],
    num_seeds: int,
    horizon: int,
) -> ArmEstimates:
    stage, file = place
    depends = {
        "arm": stage,
        "stages": stages,
        "many": num_seeds > 1,
        "horizon": horizon,
        "method": METHOD,
    }

    def make() -> ArmEstimates:
        scores = [load_scores((Store(home).folder(stage, one.key) / file,)) for one in stages]
        return arm_estimates(scores, horizon, num_seeds)

    return kept_record(estimate_path(home, stages[0].key, depends), ArmEstimates, make)


def kept_record(path: Path, record: type[Kept], make: Callable[[], Kept]) -> Kept:
    """What a file holds, made and kept where the file is not whole."""
    data = read_json(path)
    if is_whole(data):
        # Another version may have had another form.
        with suppress(ValidationError):
            return record.model_validate(unsealed(data))
    made = make()
    path.parent.mkdir(exist_ok=True)
    write_json(path, sealed(made.model_dump(mode="json")))
    return made
