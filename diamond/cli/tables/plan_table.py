"""The plan as a person sees it before anything runs.

Written without rich, whose import and table would be a sixth of a dry run's time.
"""

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import TextIO

import typer

from diamond.cli.declaration_options import declared_lines, preset_lines
from diamond.cli.tables.design_text import design_lines
from diamond.cli.widths import table_lines, text_width, wrapper
from diamond.config.environments import RecordingConfig
from diamond.config.game_names import GAMES_WITH_EXPERT
from diamond.config.run import RunConfig
from diamond.config.worlds import family_of
from diamond.engine.devices import Workers, emulates_bfloat16, visible_gpus
from diamond.engine.plan_duration import Estimate, wall_seconds
from diamond.engine.store import Status, Store
from diamond.findings.reader_notes import unseen_levels
from diamond.plan.plan import Plan, imagines
from diamond.plan.recordings.recorded_notes import recorded_lines
from diamond.plan.request import Request
from diamond.plan.stage_keys import StageSpec
from diamond.studies.arm_selection import selected_stages
from diamond.studies.frame_retention import Keep, to_make_again

MAX_NAMES = 8
"""Arms that the table names; more are counted."""
HEAD = ("stage", "used by", "stages", "done", "core time")
BEGUN: tuple[tuple[Status, str], ...] = (("partial", "begun"), ("failed", "failed"))
Row = tuple[str, str, str, str, str]


def show_plan(
    plan: Plan,
    store: Store,
    workers: Workers,
    out: TextIO,
    only: Sequence[str] = (),
    claim_remarks: Sequence[str] = (),
    keep: Keep | None = None,
) -> None:
    """Print arms, shared stages, what is done already and the expected time."""
    specs = plan.stages()
    estimate, jobs = Estimate(plan, store, workers.device), workers.jobs
    seconds = {spec.key: estimate.seconds(spec) for spec in specs}
    to_go = {spec.key: estimate.left(spec) for spec in specs}
    selected = selected_stages(plan, only)
    status = store.statuses(specs)
    finished = [key for key, found in status.items() if found == "done"]
    for key in to_make_again(store, selected, finished, keep):
        status[key] = "todo"
    done = frozenset(key for key, found in status.items() if found == "done")
    request = plan.request
    width = text_width(out)
    title = f"study {plan.study}"
    head = wrapper(width).fill(
        f"{title}  preset {request.preset}  protocol {request.protocol}  "
        f"games {', '.join(request.games)}  {_counted(request)}  jobs {jobs}"
        f"{'  compiled' if workers.compiled else ''}"
    )
    typer.echo(head.replace(title, typer.style(title, bold=True), 1), out)
    first = (*preset_lines(request.preset), *declared_lines(plan))
    for line in [*first, *claim_remarks, *design_lines(plan)]:
        typer.echo(wrapper(width).fill(line), out)
    typer.echo(file=out)
    shares = {key: 1 - to_go[key] / total for key, total in seconds.items() if total}
    rows = [HEAD, *_rows(plan, specs, status, seconds, shares)]
    for line in table_lines(rows, width, folded=1, figures=3):
        typer.echo(line, out)
    typer.echo(file=out)
    arms = [arm for arm in plan.arms if arm.kind == "arm"]
    alone = sum(seconds[spec.key] for arm in arms for run in arm.runs for spec in run.stages)
    shared = sum(seconds.values())
    left = wall_seconds(selected, to_go, done, jobs)
    todo = [spec for spec in selected if spec.key not in done]
    lines = [
        f"{len(specs)} stages, {len(done)} done already; "
        f"sharing saves {1 - min(1.0, shared / alone):.0%} of the work; "
        f"about {duration_text(left)} to go on {jobs} process{'es' if jobs > 1 else ''}"
        f"{_basis(estimate, todo)}",
    ]
    if only:
        lines.append(
            f"only {', '.join(only)}: {len(todo)} of the {len(specs) - len(done)} stages to go"
        )
    lines += _machine_remarks(
        jobs, any(_in_bfloat16(run.config) for arm in plan.arms for run in arm.runs)
    )
    for game in request.games:
        lines += _remarks(plan, game)
    for line in lines:
        typer.echo(wrapper(width).fill(line), out)


def _basis(estimate: Estimate, todo: Sequence[StageSpec]) -> str:
    """Whether the time was measured or reckoned."""
    if not todo:
        return ""
    share = estimate.measured_share(todo)
    if share >= 0.995:
        return ", as measured in this home"
    if share < 0.005:
        return ", estimated: nothing like it was measured in this home"
    return f", {share:.0%} of it as measured in this home, the rest estimated"


def _in_bfloat16(config: RunConfig) -> bool:
    parts = [getattr(config.world, stage.part) for stage in family_of(config).stages]
    return any(getattr(part, "precision", "") == "bfloat16" for part in (*parts, config.policy))


def _machine_remarks(jobs: int, low_precision: bool) -> list[str]:
    cores, gpus = len(os.sched_getaffinity(0)), visible_gpus()
    remarks = []
    if jobs > cores:
        remarks.append(
            f"{jobs} processes on {cores} core{'s' if cores > 1 else ''}: each one takes longer "
            "than the plan says"
        )
    if len(gpus) > 1:
        remarks.append(f"{len(gpus)} GPUs: each process gets one of them")
    if low_precision and emulates_bfloat16():
        remarks.append(
            "bfloat16: this processor has no instructions for it and takes many times as long as "
            "in float32 (diamond doctor)"
        )
    return remarks


def _remarks(plan: Plan, game: str) -> list[str]:
    """What to know of a game before it is played."""
    arms = [arm for arm in plan.arms if arm.game == game and arm.kind == "arm"]
    config = arms[0].runs[0].config
    remarks = [
        f"{game}, {arm.name}: trained in the real game; it imagines nothing, so it has no fidelity"
        for arm in arms
        if not imagines(arm)
    ]
    remarks += [f"{game}, {name}: {reason}" for name, reason in unseen_levels(arms)]
    if config.frames.recorded is not None:
        remarks += recorded_lines(plan, game)
    if isinstance(config.environment, RecordingConfig):
        return remarks
    if not config.environment.replayable:
        remarks.append(
            f"{game} gives other frames for equal seeds and actions: references keep whole "
            "episodes, and there are no counterfactuals"
        )
    elif config.references.counterfactuals is None and config.references.recorded is None:
        remarks.append(f"{game} has one action: there are no counterfactuals")
    if config.frames.recorded is not None:
        return remarks
    if game not in GAMES_WITH_EXPERT and any(imagines(arm) for arm in arms):
        plays = {arm.runs[0].config.frames.play for arm in arms}
        shared = config.protocol == "static" and plays == {config.references.play}
        what = "frames" if shared else "references"
        remarks.append(
            f"{game} has no scripted expert: {what} come from random actions, each held "
            f"for 1 to {config.references.play.max_hold_steps} env steps"
        )
    return remarks


def _rows(
    plan: Plan,
    specs: Sequence[StageSpec],
    status: Mapping[str, Status],
    seconds: Mapping[str, float],
    shares: Mapping[str, float],
) -> Iterator[Row]:
    # In the order of the stages: the plan has it.
    for stage, group in groupby(specs, key=lambda spec: spec.stage):
        found = list(group)
        names, num_users = _users(plan, stage)
        how = "shared: " if len(found) == 1 and num_users > 1 else ""
        counts = Counter(status[spec.key] for spec in found)
        done = str(counts["done"])
        for state, word in BEGUN:
            if counts[state]:
                held = [shares.get(spec.key, 0.0) for spec in found if status[spec.key] == state]
                share = f", {sum(held) / len(held):.0%}" if any(held) else ""
                done += f" (+{counts[state]} {word}{share})"
        time = duration_text(sum(seconds[spec.key] for spec in found))
        yield stage, how + ", ".join(names), str(len(found)), done, time


def _users(plan: Plan, stage: str) -> tuple[list[str], int]:
    """Who needs a stage, arms by name while they are few, and how many those are."""
    users: dict[str, dict[str, None]] = {"arm": {}, "baseline": {}, "control": {}}
    for arm in plan.with_controls:
        if any(spec.stage == stage for spec in arm.runs[0].stages):
            users[arm.kind][arm.name] = None
    arms = list(users["arm"])
    others = [*users["baseline"], *(["controls"] if users["control"] else [])]
    others += dict.fromkeys(one.kind for one in plan.players if one.spec.stage == stage)
    names = arms if len(arms) <= MAX_NAMES else [f"{len(arms)} arms"]
    return names + others, len(arms) + len(others)


def _counted(request: Request) -> str:
    """Seeds, and starts where they do not begin with the first."""
    seeds = f"seeds {request.num_seeds}"
    if request.first_seed:
        seeds += f", from {request.first_seed} on"
    return seeds + (f"  starts from {request.first_start} on" if request.first_start else "")


def duration_text(seconds: float) -> str:
    """Write a time in the unit that suits it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:.1f} days"
