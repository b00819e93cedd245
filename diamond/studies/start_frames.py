"""The frames of any start of any run of a study: which run is meant, and what makes them again."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from diamond.engine.needed_stages import run_name
from diamond.engine.store import Store
from diamond.errors import RequestError, StoreError
from diamond.plan.plan import Plan, Run
from diamond.plan.stage_keys import StageSpec
from diamond.results.model import Result
from diamond.studies.arm_selection import chosen
from diamond.studies.compared_frames import Rollouts, read_config
from diamond.studies.export_study import planned
from diamond.studies.study_list import Study, how_to_go_on


@dataclass(frozen=True)
class RunName:
    """Which run of a study.

    Attributes:
        arm: Name of an arm, a baseline or a trial.
        game: The game, None where the study has only one.
        seed: Training seed, None for the first one.
    """

    arm: str
    game: str | None = None
    seed: int | None = None


@dataclass(frozen=True)
class _Known:
    """A run of a study: its config as plain data, and the key of each of its stages."""

    arm: str
    game: str
    seed: int
    config: Any
    stages: Mapping[str, str]


def find_rollouts(study: Study, result: Result, name: RunName, store: Store) -> Rollouts:
    """The rollouts of a run of a study.

    Args:
        name: Of the run.

    Raises:
        RequestError: There is no such arm, game or seed, or it has imagined nothing.
        StoreError: Another version planned it.
    """
    run = _found(list(_runs(study, result)), name, "arm" if result.search is None else "trial")
    key = run.stages.get("rollouts")
    if key is None or not store.is_published("rollouts", key):
        raise RequestError(
            f"{run.arm!r} of study {study.name!r} has imagined no frames with seed {run.seed} on "
            f"{run.game}\n  {how_to_go_on(study)}"
        )
    return Rollouts(
        name=run.arm,
        config=read_config(run.arm, run.config, result.command),
        seed=run.seed,
        references=run.stages["references"],
        folder=store.folder("rollouts", key),
    )


def check_start(rollouts: Rollouts, start: int) -> None:
    """Refuse a start that rollouts do not have.

    Raises:
        RequestError: The text says which there are.
    """
    first = rollouts.config.references.first_start
    starts = range(first, first + rollouts.config.rollouts.num_starts)
    if start not in starts:
        raise RequestError(
            f"unknown start {start!r} of {rollouts.name!r}. Did you mean "
            f"{starts[0] if start < first else starts[-1]}?\n"
            f"  allowed: {starts[0]} to {starts[-1]}, the held-out starts of all arms"
        )


def plan_again(study: Study, rollouts: Rollouts) -> tuple[Plan, tuple[StageSpec, ...]]:
    """What makes the rollouts of a run again: the plan that has it, and its stages up to them.

    Raises:
        RequestError: The study cannot be planned from what it recorded.
        StoreError: What it recorded has no such run.
    """
    arm, game = rollouts.name, rollouts.config.game
    name = f"{arm} | {game}"
    is_varied = any(name in entry["arms"] for entry in study.entries)
    for entry in reversed(study.entries):
        if is_varied and name not in entry["arms"]:
            continue
        plan = planned(study.name, entry, study.needs)
        runs = [run for one in plan.arms if (one.name, one.game) == (arm, game) for run in one.runs]
        for run in runs:
            if run.config.seed == rollouts.seed:
                return plan, _up_to_rollouts(run)
    raise StoreError(
        f"no plan of study {study.name!r} has {arm!r} with seed {rollouts.seed} on {game}\n"
        f"  {how_to_go_on(study)}"
    )


def _up_to_rollouts(run: Run) -> tuple[StageSpec, ...]:
    """The stages that the rollouts of a run read, and the rollouts, in the order of work."""
    needed: set[str] = set()
    for spec in reversed(run.stages):
        if spec.stage == "rollouts" or spec.key in needed:
            needed.update({spec.key, *spec.upstream.values()})
    return tuple(spec for spec in run.stages if spec.key in needed)


def _runs(study: Study, result: Result) -> Iterator[_Known]:
    """The runs of a result; those of a search are in the plans of its trials."""
    for arm in result.arms:
        config = result.provenance.config.get(f"{arm.name} | {arm.game}")
        for run in arm.runs:
            stages = {name: stage.key for name, stage in run.stages.items()}
            yield _Known(arm.name, arm.game, run.seed, config, stages)
    for entry in study.entries if result.search is not None else ():
        for name, first in entry["arms"].items():
            arm_name, _, game = name.rpartition(" | ")
            for seed in range(first["seed"], first["seed"] + entry["num_seeds"]):
                stages = study.needs.get(run_name(arm_name, game, seed), {})
                yield _Known(arm_name, game, seed, first, stages)


def _found(runs: list[_Known], name: RunName, kind: str) -> _Known:
    arms = list(dict.fromkeys(run.arm for run in runs))
    arm = chosen(kind, name.arm, arms, "`.result` has them all")
    runs = [run for run in runs if run.arm == arm]
    games = list(dict.fromkeys(run.game for run in runs))
    game = chosen("game", name.game, games, f"give one, such as game={games[0]!r}")
    runs = [run for run in runs if run.game == game]
    seeds = {str(run.seed): run for run in runs}
    seed = next(iter(seeds)) if name.seed is None else str(name.seed)
    return seeds[chosen("seed", seed, list(seeds), f"of {arm!r} on {game}")]
