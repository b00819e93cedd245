"""What a sweep would search and what a trial costs, as `diamond sweep --dry-run` shows it."""

from contextlib import suppress
from typing import TextIO

import typer

from diamond.cli.declaration_options import override_lines, preset_lines
from diamond.cli.tables.plan_table import duration_text
from diamond.cli.widths import table_lines, text_width, wrapper
from diamond.engine.devices import Workers
from diamond.engine.plan_duration import Estimate
from diamond.engine.store import Store
from diamond.errors import RequestError
from diamond.plan.plan import Plan
from diamond.stages.registry import find_stage_record
from diamond.sweep.declaration import Sweep
from diamond.sweep.space import condition_text, range_text, texts_of
from diamond.sweep.trials import baseline_texts, first_stage, instances, trial_plan


def show_space(sweep: Sweep, baseline: Plan, store: Store, workers: Workers, out: TextIO) -> None:
    """Print what is searched, for what, and what a trial costs; nothing is made."""
    said = sweep.declaration
    width = text_width(out)
    title = f"sweep {sweep.name}"
    head = wrapper(width).fill(
        f"{title}  preset {said.preset}  protocol {said.protocol}  "
        f"games {', '.join(said.games)}  seeds {said.seeds}"
    )
    typer.echo(head.replace(title, typer.style(title, bold=True), 1), out)
    declared = f"declared in {sweep.path}: {said.question}"
    for line in [*preset_lines(said.preset), declared, *override_lines(sweep.overrides)]:
        typer.echo(wrapper(width).fill(line), out)
    texts = baseline_texts(sweep)
    rows = [("parameter", "values", "preset's", "first stage")]
    for parameter in said.parameters:
        condition = condition_text(parameter)
        values = range_text(parameter) + (f" ({condition})" if condition else "")
        own = texts.get(parameter.name, "none")
        rows.append((parameter.name, values, own, first_stage(parameter)))
    typer.echo(file=out)
    for line in table_lines(rows, width, folded=1):
        typer.echo(line, out)
    typer.echo(file=out)
    for line in [*_aims(sweep), *_costs(sweep, baseline, store, workers.device)]:
        typer.echo(wrapper(width).fill(line), out)


def _aims(sweep: Sweep) -> list[str]:
    said = sweep.declaration
    lines = [
        f"{aim} {measure.label} ({measure.name})"
        for measure, aim in zip(said.measures, said.directions, strict=True)
    ]
    for bound, measure in zip(said.constraints, said.bounds, strict=True):
        limit = f"at most {bound.at_most:g}" if bound.at_most is not None else ""
        limit = limit or f"at least {bound.at_least:g}"
        lines.append(f"kept: {measure.label} ({measure.name}) {limit}")
    pruner: str = "none" if said.pruner is None else said.pruner.name
    if said.pruner is not None and said.pruner.at:
        pruner += f" at {', '.join(map(str, said.pruner.at))} updates"
    budget = {name: value for name, value in said.budget.model_dump().items() if value is not None}
    shown = ", ".join(f"{value:g} {name.replace('_', ' ')}" for name, value in budget.items())
    lines.append(
        f"sampler {said.sampler.name}; pruner {pruner}; budget {shown or 'the whole grid'}"
    )
    return lines


def _costs(sweep: Sweep, baseline: Plan, store: Store, device: str) -> list[str]:
    """Core time of a trial, at the preset's values and with each parameter at its ends."""
    plans = [baseline, *_end_plans(sweep)]
    stages = [{spec.key: spec for run in instances(plan) for spec in run.stages} for plan in plans]
    shared = set.intersection(*(set(found) for found in stages))
    estimates = [Estimate(plan, store, device) for plan in plans]
    seconds = [
        sum(estimate.seconds(spec) for key, spec in found.items() if key not in shared)
        for estimate, found in zip(estimates, stages, strict=True)
    ]
    once = sum(
        estimates[0].seconds(spec)
        for spec in baseline.stages()
        if store.status(spec) != "done" and spec.key not in stages[0].keys() - shared
    )
    lines = [
        f"a trial takes about {duration_text(seconds[0])} of core time at the preset's values, "
        f"{duration_text(min(seconds))} to {duration_text(max(seconds))} with one value at an end"
    ]
    trained = {
        key
        for key, spec in stages[0].items()
        if find_stage_record(spec.stage, spec.config.get("family", "")).is_trained
    }
    if trained <= shared:
        lines.append("all trials sample from the same trained networks: nothing is trained again")
    if once >= 1:
        lines.append(f"once, for all trials: {duration_text(once)} of core time")
    trials = sweep.declaration.budget.trials
    if trials is not None:
        total = once + trials * sum(seconds) / len(seconds)
        lines.append(f"{trials} trials: roughly {duration_text(total)} of core time")
    return lines


def _end_plans(sweep: Sweep) -> list[Plan]:
    """Plans with one parameter at an end and the others at the preset's values."""
    space, texts = sweep.declaration.parameters, baseline_texts(sweep)
    here = [parameter for parameter in space if parameter.name in texts]
    known = {p.name: value for p in here if (value := p.read(texts[p.name])) is not None}
    plans = []
    for parameter in space:
        if parameter.when is not None:
            continue
        for value in parameter.ends():
            chosen = known | {parameter.name: value}
            # A value that is not allowed beside the preset's others is the end of no trial.
            with suppress(RequestError):
                plans.append(trial_plan(sweep, "end", texts_of(space, chosen)))
    return plans
