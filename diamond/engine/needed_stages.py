"""Which stages a study needs: of each run that it ever had, the stages of its last plan.

Keys follow from configs, but a later version of the code gives other keys: they are written down.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from diamond.config.run import RunConfig
from diamond.config.worlds import family_of, find_family
from diamond.engine.files import read_json, write_json
from diamond.engine.sealed_json import is_whole, sealed, unsealed
from diamond.errors import RequestError
from diamond.plan.plan import Plan, Run
from diamond.plan.plan_arms import baseline_config
from diamond.plan.stage_keys import StageSpec, stages_of

FILE_NAME = "stages.json"
REPORT_FILE = "report.json"
Needs = dict[str, dict[str, str]]
"""Key per stage, by run: ``arm | game | seed``, ``baseline | game``.

What a player beside the policy of a run plays has a name of its own: ``random, arm | game | seed``.
"""


def record_needs(plan: Plan, folder: Path, entries: Iterable[Mapping[str, Any]]) -> None:
    """Add the runs of a plan to those of its study; a stage of a run replaces the one before.

    Args:
        folder: The study's folder.
        entries: The history of the study before.
    """
    needs = read_needs(folder, entries)
    join_needs(needs, plan_needs(plan))
    write_json(folder / FILE_NAME, sealed(needs))


def plan_needs(plan: Plan) -> Needs:
    """The stages of the runs of a plan."""
    needs: Needs = {}
    for arm in plan.with_controls:
        for run in arm.runs:
            seed = None if arm.kind == "baseline" else run.config.seed
            _add_run(needs, run_name(arm.name, arm.game, seed), run)
    return needs


def join_needs(needs: Needs, others: Needs) -> None:
    """Add runs to those that are there; a stage of a run replaces the one before."""
    for name, stages in others.items():
        needs.setdefault(name, {}).update(stages)


def read_needs(folder: Path, entries: Iterable[Mapping[str, Any]]) -> Needs:
    """The stages that a study needs.

    Where they were not written down they are made again from the history and the report.
    """
    written = written_needs(folder)
    if written is not None:
        return written
    needs: Needs = {}
    for entry in entries:
        for name, config in entry["arms"].items():
            for seed in range(config["seed"], config["seed"] + entry["num_seeds"]):
                _recompute(needs, name.rpartition(" | ")[0], config | {"seed": seed}, entry)
    # Dry runs, which have no report to read, do without the records of a result.
    from diamond.engine.report_file import read_result  # noqa: PLC0415

    report = read_result(folder / REPORT_FILE)
    for arm in (*report.arms, *report.controls) if report else ():
        for run in arm.runs:
            own_seed = None if arm.kind == "baseline" else run.seed
            found = {name: stage.key for name, stage in run.stages.items()}
            needs.setdefault(run_name(arm.name, arm.game, own_seed), {}).update(found)
    return needs


def written_needs(folder: Path) -> Needs | None:
    """The stages that a study needs as they were written down, None where they cannot be read."""
    written = read_json(folder / FILE_NAME)
    return unsealed(written) if is_whole(written) else None


def needed_stages(needs: Needs) -> set[tuple[str, str]]:
    """Stage and key of everything that runs need."""
    return {(stage, key) for stages in needs.values() for stage, key in stages.items()}


def run_name(arm: str, game: str, seed: int | None = None) -> str:
    """What a run is called; baselines have no seed."""
    return f"{arm} | {game}" if seed is None else f"{arm} | {game} | {seed}"


def _recompute(needs: Needs, arm: str, data: Mapping[str, Any], entry: Mapping[str, Any]) -> None:
    """Add a run of an entry of the history, unless another version or another metric planned it."""
    until = entry["until"]
    try:
        config = RunConfig.model_validate(data)
        own = stages_of(config, until)
    except (ValidationError, RequestError):
        return
    _add_run(needs, run_name(arm, config.game, config.seed), Run(config, own))
    for control in map(find_family, family_of(config).controls):
        stages = stages_of(baseline_config(config, control), until)
        _add(needs, run_name(control.title, config.game), stages)


def _add_run(needs: Needs, name: str, run: Run) -> None:
    _add(needs, name, run.stages)
    for player, spec in run.players.items():
        _add(needs, f"{player}, {name}", [spec])


def _add(needs: Needs, name: str, stages: Iterable[StageSpec]) -> None:
    needs.setdefault(name, {}).update({spec.stage: spec.key for spec in stages})
