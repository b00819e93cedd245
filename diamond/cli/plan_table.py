"""The plan as a person sees it before anything runs."""

from rich.console import Console
from rich.table import Table

from diamond.ablation.plan import Plan, imagines
from diamond.ablation.stages import STAGES
from diamond.config.games import GAMES_WITH_EXPERT
from diamond.pipeline.cost import CostModel, wall_seconds
from diamond.pipeline.store import Store


def show_plan(plan: Plan, store: Store, jobs: int, console: Console) -> None:
    """Print arms, shared stages, what is done already and the expected time."""
    specs = plan.stages()
    cost = CostModel(plan, store)
    seconds = {spec.key: cost.seconds(spec) for spec in specs}
    done = frozenset(spec.key for spec in specs if store.status(spec) == "done")
    request = plan.request
    console.print(
        f"[bold]study {plan.study}[/bold]  preset {request.preset}  protocol {request.protocol}  "
        f"games {', '.join(request.games)}  seeds {request.num_seeds}  jobs {jobs}",
        highlight=False,
    )
    console.print(_table(plan, store, seconds))
    arms = [arm for arm in plan.arms if arm.kind == "arm"]
    alone = sum(seconds[spec.key] for arm in arms for run in arm.runs for spec in run.stages)
    shared = sum(seconds[spec.key] for spec in specs)
    left = wall_seconds(specs, seconds, done, jobs)
    console.print(
        f"{len(specs)} stages, {len(done)} done already; "
        f"sharing saves {1 - min(1.0, shared / alone):.0%} of the work; "
        f"about {_duration(left)} to go on {jobs} process{'es' if jobs > 1 else ''}",
        highlight=False,
    )
    for game in request.games:
        for line in _remarks(plan, game):
            console.print(line, highlight=False)


def _remarks(plan: Plan, game: str) -> list[str]:
    """What to know of a game before it is played."""
    arms = [arm for arm in plan.arms if arm.game == game and arm.kind == "arm"]
    config = arms[0].runs[0].config
    remarks = [
        f"{game}, {arm.name}: trained in the real game; it imagines nothing, so it has no fidelity"
        for arm in arms
        if not imagines(arm)
    ]
    if game not in GAMES_WITH_EXPERT:
        plays = {arm.runs[0].config.frames.play for arm in arms}
        shared = config.protocol == "static" and plays == {config.references.play}
        what = "frames" if shared else "references"
        remarks.append(
            f"{game} has no scripted expert: {what} come from random actions, each held "
            f"for 1 to {config.references.play.max_hold_steps} env steps"
        )
    return remarks


def _table(plan: Plan, store: Store, seconds: dict[str, float]) -> Table:
    table = Table(title_justify="left")
    table.add_column("stage")
    table.add_column("used by", overflow="fold")
    table.add_column("stages", justify="right")
    table.add_column("done", justify="right")
    table.add_column("core time", justify="right")
    for stage in STAGES:
        specs = [spec for spec in plan.stages() if spec.stage == stage]
        if not specs:
            continue
        users = [
            arm.name
            for arm in plan.arms
            if any(spec.stage == stage for run in arm.runs for spec in run.stages)
        ]
        names = list(dict.fromkeys(users))
        if any(spec.stage == stage for spec in plan.random_players.values()):
            names.append("random play")
        how = "shared: " if len(specs) == 1 and len(names) > 1 else ""
        done = sum(store.status(spec) == "done" for spec in specs)
        partial = sum(store.status(spec) == "partial" for spec in specs)
        table.add_row(
            stage,
            how + ", ".join(names),
            str(len(specs)),
            f"{done}" + (f" (+{partial} begun)" if partial else ""),
            _duration(sum(seconds[spec.key] for spec in specs)),
        )
    return table


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:.1f} days"
