"""What the report says in words: how intervals were made, what is missing, provenance."""

import json
from collections.abc import Sequence

from pydantic import JsonValue

from diamond.report.search.search_prose import search_sentence
from diamond.report.table import Cell, Row, Table
from diamond.results.arm_model import Arm
from diamond.results.model import Result
from diamond.results.number_text import ABSENT, written
from diamond.results.values import MEAN

_HELD_OUT = (
    "All arms start at the same held-out frames and take the same recorded actions; "
    "a time step after the end of the real episode is not scored."
)
COST_NOTE = "Milliseconds depend on the machine; the number of network calls is exact."


def interval_sentences(doc: Result) -> list[str]:
    """Say how the intervals were made and what was replicated, each way once."""
    told: dict[str, None] = {}
    for arm in doc.arms:
        interval = arm.interval
        if arm.kind != "arm" or not interval or not arm.metrics:
            continue
        unit, n = interval.unit, interval.n
        units = {"seed": "training seed", "start": "start"}[unit]
        text = (
            f"Intervals are {100 * interval.level:g}% intervals, made by: {interval.method}. "
            f"The unit of replication is the {units} (n = {n})."
        )
        if unit == "seed":
            text += (
                " In simulations with normal seeds 95.0%, 94.9% and 95.0% of such intervals held "
                "the true value (n = 3, 5, 10)."
            )
        if unit == "start":
            text += " They hold for this trained model and say nothing about another training seed."
        told[text] = None
    return [*told, _HELD_OUT] if told else []


def seen_sentences(doc: Result, game: str) -> list[str]:
    """Say how many held-out starts of a game are in training frames, and what the others give."""
    told: dict[str, list[Arm]] = {}
    for arm in doc.arms_of(game):
        for text in dict.fromkeys(
            f"{run.seen_starts} of {run.num_starts} held-out starts occur in the training frames"
            for run in arm.runs
            if run.seen_starts
        ):
            told.setdefault(text, []).append(arm)
    where = f"{game}: " if len(doc.games) > 1 else ""
    return [
        f"{where}{text} of {', '.join(arm.name for arm in arms)}.{_over_unseen(doc, arms)}"
        for text, arms in told.items()
    ]


def _over_unseen(doc: Result, arms: Sequence[Arm]) -> str:
    """The primary metric over the horizon and the other starts; nothing where there is none."""
    means = {arm.name: arm.unseen_mean() for arm in arms}
    shown = [f"{written(mean).text} ({name})" for name, mean in means.items() if mean is not None]
    return f" {doc.primary.label} over the others: {', '.join(shown)}." if shown else ""


def comparison_sentences(doc: Result) -> list[str]:
    """Say how to read the differences to the baseline arm and how they were made."""
    rows = [row for row in doc.comparisons if row.metric == doc.primary_metric]
    bases = ", ".join(dict.fromkeys(row.b for row in rows))
    methods = dict.fromkeys(row.method for row in rows if row.difference is not None)
    told = [
        "Each line is the mean over the horizon of one arm minus that of the baseline arm, "
        f"{bases}. "
        f"Intervals are 95% intervals, each for its own line, made by: {'; '.join(methods)}."
    ]
    sizes = [row.family_size for row in rows if row.family_size is not None]
    if sizes:
        told.append(
            "A difference is shown where the interval leaves out 0 and the p value of the same t "
            f"test, corrected by Holm over {_comparisons(sizes[0])}, is at most .05. The exact "
            "sign-flip p stands beside it with the smallest value that so many seeds can give; it "
            "decides nothing. Within noise floor: no larger than what two trainings of the "
            "baseline arm differ by. Could show: the smallest true difference that so many seeds "
            "show 4 times in 5, at the observed spread."
        )
    elif rows and all(row.unit == "start" for row in rows):
        told.append(
            "A difference is shown where the interval leaves out 0 and both arms have the same "
            "trained model; arms that were trained apart need two seeds. It holds within this "
            "model, is not corrected for the number of arms and says nothing of training again."
        )
    if any(row.family == "control" for row in rows):
        told.append(
            "A/A is the baseline arm with other seeds: nothing is paired, and in 1 of 20 its "
            "interval leaves out 0 by chance. It is not counted in the correction."
        )
    if any(row.family == "reference" for row in rows):
        told.append("World models without training are not counted in the correction.")
    return told


def exploratory_sentence(doc: Result) -> str:
    """Say what the comparisons on the other metrics are worth."""
    rows = [row for row in doc.comparisons if row.metric != doc.primary_metric]
    size = next((row.family_size for row in rows if row.family_size is not None), None)
    star = (
        "* the interval leaves out 0; not corrected, within one trained model."
        if size is None
        else f"* shown by the t test after Holm over these {_comparisons(size)}."
    )
    return f"Exploratory: none of these metrics was named beforehand. {star}"


def _comparisons(size: int) -> str:
    return "1 comparison" if size == 1 else f"{size} comparisons"


def noise_sentences(doc: Result) -> list[str]:
    """Say what two trainings of the baseline arm differ by, or why that is not known."""
    told = []
    for row in doc.noise_floor:
        if row.metric != doc.primary_metric:
            continue
        label = doc.metric(row.metric).label
        where = f"Noise floor of {row.arm}" + (f" in {row.game}" if len(doc.games) > 1 else "")
        if row.reason is not None:
            told.append(f"{where}: {row.reason} of the baseline arm.")
            continue
        told.append(
            f"{where}, from {row.n} seeds: two trainings of this same configuration typically "
            f"differ by {written(row.at[MEAN]).text} in {label} over the horizon (root mean "
            "square)."
        )
    return told


def why_absent(doc: Result) -> str:
    """Say why a section has nothing to show."""
    primary = doc.primary_metric
    arms = [arm for game in doc.games for arm in doc.arms_of(game, "arm")]
    measured = [arm for arm in arms if arm.estimate(primary, "mean")]
    if doc.failures() and not measured:
        return "no run came to an end (see the failed runs)"
    if doc.until != "report":
        return f"the study was to stop after the stage {doc.until}"
    if not any(arm.imagines for arm in arms):
        return "no arm has a world model"
    return "the document holds none"


def why_no_films(doc: Result) -> str:
    """Say why there are no frames: as `why_absent`, or because the store has them no longer."""
    stages = [run.stages.get("rollouts") for arm in doc.arms for run in arm.runs]
    if any(found is not None and found.state == "done" for found in stages):
        return "the rollouts are no longer in the stage store"
    return why_absent(doc)


def home_flag(doc: Result) -> list[str]:
    """Return the option that names the home of a study; none for the default one."""
    home = doc.paths.home
    return [] if home is None or home == "mlruns" else ["--home", home]


def why_not_compared(doc: Result) -> str:
    """Say why there is no comparison."""
    primary = doc.primary_metric
    measured = [
        [arm for arm in doc.arms_of(game, "arm") if arm.estimate(primary, "mean")]
        for game in doc.games
    ]
    if any(measured) and all(len(arms) < 2 for arms in measured):
        return "a comparison needs two arms with results"
    baseline = doc.baseline_arm
    if any(measured) and all(arm.name != baseline for arms in measured for arm in arms):
        return f"the baseline arm {baseline} has no result"
    return why_absent(doc)


def costs_sentence(doc: Result) -> str:
    """Say what the whole command took and how much of it was there before; empty if unknown."""
    costs = doc.costs
    if not costs.stages_made + costs.stages_reused:
        return ""
    stages = ", ".join(f"{name} {s:.0f} s" for name, s in costs.stage_seconds.items() if s)
    return (
        f"The command took {costs.wall_seconds:.0f} s; it made {costs.stages_made} stages "
        f"and found {costs.stages_reused} done"
        + (f" (time by stage: {stages})." if stages else ".")
    )


def provenance_rows(doc: Result) -> list[tuple[str, str]]:
    """Return what made the result, as (name, value) pairs in reading order."""
    made_by = doc.provenance
    commit = made_by.git_commit or "unknown"
    dirty = {True: " with uncommitted changes", False: "", None: " (changes unknown)"}
    versions = ", ".join(f"{name} {version}" for name, version in made_by.versions.items())
    search = doc.search
    searched = (
        []
        if search is None
        else [
            ("file", search.file or "unknown"),
            ("games", ", ".join(doc.games)),
            ("last stage of a trial", doc.until or "unknown"),
            ("horizon", f"{doc.horizon} time steps"),
            ("search", search_sentence(search)),
            ("storage", doc.paths.storage or "unknown"),
        ]
    )
    return [
        ("study", doc.study),
        ("preset", doc.preset),
        ("protocol", doc.protocol),
        ("seeds", ", ".join(str(seed) for seed in doc.seeds)),
        *searched,
        ("git commit", f"{commit}{dirty[made_by.dirty]}"),
        ("device", made_by.device or "unknown"),
        ("versions", versions or "unknown"),
    ]


def config_text(doc: Result) -> str:
    """Return one resolved configuration, that of the baseline arm, as indented JSON."""
    config = doc.provenance.config
    found = config.get(_first_config(doc), {})
    return json.dumps(found, indent=2, sort_keys=True, ensure_ascii=False)


def config_title(doc: Result) -> str:
    """Say whose configuration `config_text` is."""
    return f"Resolved configuration of {_first_config(doc)}"


def config_differences(doc: Result) -> Table:
    """Return the fields of every other configuration that differ from that of `config_text`.

    What a configuration lacks is not listed: a baseline has nothing of a world model.
    """
    config = {name: _flat(one) for name, one in doc.provenance.config.items()}
    first = _first_config(doc)
    base = config.pop(first, {})
    rows = []
    for name, own in config.items():
        for field, value in sorted(own.items()):
            if value != base.get(field):
                cells = (Cell(field), Cell(value), Cell(base.get(field, ABSENT)))
                rows.append(Row(name, "arm", cells))
    columns = ("configuration", "field", "value", f"in {first}")
    title = "What the configurations differ in"
    return Table(title, columns, tuple(rows), words=frozenset(columns))


def _first_config(doc: Result) -> str:
    """The configuration of the baseline arm in the first game, or the first one that there is."""
    names = list(doc.provenance.config)
    own = f"{doc.baseline_arm} | {doc.games[0]}"
    return own if own in names else next(iter(names), "")


def _flat(value: JsonValue, prefix: str = "") -> dict[str, str]:
    """The fields of a configuration by dotted name, values as JSON."""
    if not isinstance(value, dict):
        return {prefix: json.dumps(value, ensure_ascii=False)}
    return {
        name: text
        for key, part in value.items()
        for name, text in _flat(part, f"{prefix}.{key}" if prefix else key).items()
    }
