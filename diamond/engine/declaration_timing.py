"""Whether claims were made before the results: what the history of a study says of its declaration.

It is a record for honest people: who removes files can make it say anything.
"""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from diamond.config.base import canonical_json
from diamond.engine.store import Store
from diamond.engine.study_history import DeclaredEntry
from diamond.plan.declarations import Declaration, Declared, Override, claims_hash
from diamond.results.arm_model import Run
from diamond.results.claims import Declared as DeclaredResult
from diamond.results.claims import Verdict
from diamond.results.model import Result
from diamond.stages.registry import RESULT_STAGES

History = Sequence[Mapping[str, Any]]
"""The plans that a study had, as `diamond.engine.study_history` keeps them."""
DECLARED_BEFORE = "declared before"
BEGAN_WITHOUT = "declared after the first arm started: the study began without claims"


def history_entry(declared: Declared) -> DeclaredEntry:
    """What the history of a study keeps of a declaration."""
    return {
        "file": str(declared.path),
        "hash": claims_hash(declared.declaration),
        "declaration": declared.declaration.model_dump(mode="json", by_alias=True),
        "overrides": [override.model_dump() for override in declared.overrides],
    }


def recorded_declaration(entry: DeclaredEntry) -> Declared:
    """The declaration of which `history_entry` kept something; its file may be gone."""
    overrides = tuple(Override.model_validate(one) for one in entry["overrides"])
    declaration = Declaration.model_validate(entry["declaration"])
    return Declared(Path(entry["file"]), declaration, overrides)


def last_declared(history: History) -> DeclaredEntry | None:
    """The declaration of a study as its history has it last, None where it never had one."""
    entries: list[DeclaredEntry] = [entry["declared"] for entry in history if "declared" in entry]
    return entries[-1] if entries else None


def standing(declared: Declared, result: Result, history: History, store: Store) -> DeclaredResult:
    """Say whether claims are those that were declared before the first arm started.

    Args:
        declared: What is claimed now.
        result: Of the study; its arms are read.
        history: The plans that the study had.
        store: Where it is written when the stages of the arms were done.

    Returns:
        When the claims were declared first, a sentence, and whether verdicts on them are post hoc.
    """
    now = claims_hash(declared.declaration)
    hashes = [entry.get("declared", {}).get("hash") for entry in history]
    since = next((e["time"] for e, old in zip(history, hashes, strict=True) if old == now), None)
    if not hashes or hashes[0] is None:
        return _told(declared, since, BEGAN_WITHOUT, post_hoc=True)
    if hashes[0] != now:
        return _told(declared, since, f"changed since: {hashes[0]}", post_hoc=True)
    early, num_runs = _earlier_runs(result, store, history[0]["time"])
    if early:
        status = f"declared after {early} of {num_runs} runs had been scored"
        return _told(declared, since, status, post_hoc=True)
    return _told(declared, since, DECLARED_BEFORE, post_hoc=False)


def verdict_text(verdict: Verdict, within_model: bool, post_hoc: bool) -> str:
    """Write a verdict with what limits it: ``PASS within this model, post hoc``."""
    within = " within this model" if within_model and verdict != "UNDECIDED" else ""
    return f"{verdict}{within}{', post hoc' if post_hoc else ''}"


def _told(declared: Declared, since: int | None, status: str, post_hoc: bool) -> DeclaredResult:
    when = None if since is None else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(since))
    return DeclaredResult(
        file=str(declared.path),
        hash=claims_hash(declared.declaration),
        declared_at=when,
        status=status,
        post_hoc=post_hoc,
        overrides=declared.overrides,
    )


def _earlier_runs(result: Result, store: Store, since: int) -> tuple[int, int]:
    """Trained runs with a score from before a time, and all trained runs.

    A world model that was scored before on other starts, or by an older version of the scores, is
    known too: what tells it apart is what was trained and how frames are drawn from it.
    """
    runs = [run for arm in result.arms if arm.kind == "arm" for run in arm.runs]
    known = _scored_models(store, 1000 * since)
    early = [
        run
        for run in runs
        if _first_scored_ms(run, store) < 1000 * since or _model(run, store) in known
    ]
    return len(early), len(runs)


def _scored_models(store: Store, before_ms: int) -> set[str]:
    """The world models that had scores of their frames before a time."""
    found: set[str] = set()
    for path in (store.home / "stages" / "fidelity").glob("*/manifest.json"):
        scores = store.manifest("fidelity", path.parent.name)
        if scores and scores["timings"].get("finished_ms", float("inf")) < before_ms:
            model = _drawn_from(store.manifest("rollouts", scores["upstream"]["rollouts"]))
            found.update([] if model is None else [model])
    return found


def _model(run: Run, store: Store) -> str | None:
    """What the frames of a run are drawn from and how; None where no frames were drawn."""
    rollouts = run.stages.get("rollouts")
    return None if rollouts is None else _drawn_from(store.manifest("rollouts", rollouts.key))


def _drawn_from(rollouts: Mapping[str, Any] | None) -> str | None:
    if rollouts is None:
        return None
    upstream = {name: key for name, key in rollouts["upstream"].items() if name != "references"}
    if not upstream:
        return None
    drawn = {n: v for n, v in rollouts["config"].items() if n not in ("view", "rollouts")}
    return canonical_json({"drawn": drawn, "trained": upstream})


def _first_scored_ms(run: Run, store: Store) -> float:
    """When the first score of a run was there; infinity where there is none."""
    manifests = [
        store.manifest(name, stage.key)
        for name, stage in run.stages.items()
        if name in RESULT_STAGES and stage.state == "done"
    ]
    return min(
        (m["timings"].get("finished_ms", float("inf")) for m in manifests if m),
        default=float("inf"),
    )
