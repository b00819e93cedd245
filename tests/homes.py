"""Homes with stages that say that they are done, and whose files are nearly empty."""

import shutil
from pathlib import Path

from diamond.engine.store import Store
from diamond.engine.study_history import (
    record_plan,
)
from diamond.plan.make_plan import make_plan
from diamond.plan.plan import Plan
from diamond.plan.request import Request
from diamond.plan.stage_keys import StageSpec
from tests.commands import finish


def made(home: Path, plan: Plan) -> Store:
    """Record a plan and make its stages, each of them one byte."""
    store = Store(home)
    store.check_writable()
    record_plan(plan, home / "studies" / plan.study, f"diamond ablate --name {plan.study}")
    for spec in plan.stages():
        finish(store, spec, lambda folder: (folder / "out").write_text("x"), {"seconds": 1.0})
    return store


def unmake(store: Store, spec: StageSpec) -> StageSpec:
    """Let a finished stage be one that is to be made."""
    shutil.rmtree(store.folder(spec.stage, spec.key))
    store.prepare(spec)
    return spec


def plan_of(*assignments: str, name: str, seeds: int = 1, until: str | None = None) -> Plan:
    return make_plan(Request(assignments, "smoke", ("Boxing",), seeds, until, name))


def keys(plan: Plan) -> set[str]:
    return {spec.key for spec in plan.stages()}


def on_disk(home: Path) -> set[str]:
    return {path.name for part in ("stages", "work") for path in home.glob(f"{part}/*/*")}
