"""What the report says in words: how intervals were made, what is missing, provenance."""

import json
from collections.abc import Mapping
from typing import Any

from diamond.report.document import Document, arms_of, estimate, failures, imagines

_HELD_OUT = (
    "All arms start at the same held-out frames and take the same recorded actions; "
    "a time step after the end of the real episode is not scored."
)
COST_NOTE = (
    "Times were measured on a machine that other work shared, so they are rough; "
    "the number of denoiser calls is exact."
)


def interval_sentences(doc: Document) -> list[str]:
    """Say how the intervals were made and what was replicated, each way once."""
    told: dict[str, None] = {}
    for arm in doc["arms"]:
        interval = arm.get("interval")
        if arm["kind"] != "arm" or not interval or not arm.get("metrics"):
            continue
        unit, n = interval["unit"], interval["n"]
        units = {"seed": "training seed", "start": "start"}.get(unit, unit)
        text = (
            f"Intervals are {100 * interval['level']:g}% intervals, made by: {interval['method']}. "
            f"The unit of replication is the {units} (n = {n})."
        )
        if unit == "start":
            text += " They hold for this trained model and say nothing about another training seed."
        told[text] = None
    return [*told, _HELD_OUT] if told else []


def comparison_sentence(doc: Document) -> str:
    """Say how to read the paired comparisons and how their intervals were made."""
    methods = dict.fromkeys(pair["method"] for pair in doc["comparisons"])
    return (
        "Each line is the first arm minus the second one, paired by start and actions. It shows a "
        f"difference only where the interval leaves out 0. Intervals made by: {'; '.join(methods)}."
    )


def why_absent(doc: Document) -> str:
    """Say why a section has nothing to show."""
    primary = doc["primary_metric"]
    arms = [arm for game in doc["games"] for arm in arms_of(doc, game, "arm")]
    measured = [arm for arm in arms if estimate(arm, primary, "mean")]
    if failures(doc) and not measured:
        return "no run came to an end (see the failed runs)"
    if doc["until"] != "report":
        return f"the study was to stop after the stage {doc['until']}"
    if not any(imagines(arm) for arm in arms):
        return "no arm has a world model"
    return "the document holds none"


def why_not_compared(doc: Document) -> str:
    """Say why there is no paired comparison."""
    primary = doc["primary_metric"]
    measured = [
        [arm for arm in arms_of(doc, game, "arm") if estimate(arm, primary, "mean")]
        for game in doc["games"]
    ]
    if any(measured) and all(len(arms) < 2 for arms in measured):
        return "a comparison needs two arms with results"
    return why_absent(doc)


def costs_sentence(doc: Document) -> str:
    """Say what the whole command took and how much of it was there before."""
    costs = doc["costs"]
    stages = ", ".join(f"{name} {s:.0f} s" for name, s in costs["stage_seconds"].items() if s)
    return (
        f"The command took {costs['wall_seconds']:.0f} s; it made {costs['stages_made']} stages "
        f"and found {costs['stages_reused']} done"
        + (f" (time by stage: {stages})." if stages else ".")
    )


def provenance_rows(doc: Document) -> list[tuple[str, str]]:
    """Return what made the result, as (name, value) pairs in reading order."""
    made_by = doc["provenance"]
    commit = made_by["git_commit"] or "unknown"
    dirty = {True: " with uncommitted changes", False: "", None: " (changes unknown)"}
    versions = ", ".join(f"{name} {version}" for name, version in made_by["versions"].items())
    return [
        ("study", doc["study"]),
        ("preset", doc["preset"]),
        ("protocol", doc["protocol"]),
        ("seeds", ", ".join(str(seed) for seed in doc["seeds"])),
        ("git commit", f"{commit}{dirty[made_by['dirty']]}"),
        ("device", str(made_by["device"])),
        ("versions", versions),
    ]


def config_text(doc: Document) -> str:
    """Return the resolved configurations as indented JSON with sorted keys."""
    config: Mapping[str, Any] = doc["provenance"]["config"]
    return json.dumps(config, indent=2, sort_keys=True, ensure_ascii=False)
