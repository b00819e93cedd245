"""How sure an answer is, and the command that would tell more: its third part."""

import re

from diamond.config.metric_table import RETURN
from diamond.report.answer.compared import Compared
from diamond.results.answer_model import Part
from diamond.results.arm_model import Arm, level_text
from diamond.results.comparison_model import Comparison
from diamond.results.model import Result
from diamond.results.number_text import written
from diamond.stages.agent import AGENT
from diamond.stages.registry import OWN

_SEEDS_OF_ONE = 3
"""Seeds that are asked for where there is one: the fewest with an interval worth its name."""


def sure_part(about: Compared) -> Part:
    """Say what was replicated, and what more training seeds would do."""
    doc = about.doc
    if about.unfounded:
        return Part(head="Nothing here is a finding.", command=_without_smoke(doc))
    if not about.arms:
        return Part(head="Nothing was measured.")
    rows = [pair.row for pair in about.pairs]
    if any(row.unit == "seed" for row in rows) or len(doc.seeds) > 1:
        head, told = _over_seeds(about), _with_more(about)
    else:
        head, told = _over_one(about), _of_one(about)
    return Part(head=head, text=" ".join(told), command=seeds_command(doc, _more(doc)))


def seeds_command(doc: Result, num_seeds: int) -> str:
    """The command of a study with so many training seeds; empty where it trains nothing."""
    if not re.match(r"diamond (ablate|train) ", f"{doc.command} "):
        return ""
    return f"{re.sub(r' --seeds[ =][0-9]+', '', doc.command)} --seeds {num_seeds}"


def next_commands(doc: Result) -> tuple[str, ...]:
    """The commands that make sense after a study, the first one first."""
    if doc.search is not None:
        confirm = "" if doc.search.confirm is None else doc.search.confirm.command
        found = [confirm, doc.paths.dashboard_command or ""]
    else:
        found = [_without_smoke(doc) or seeds_command(doc, _more(doc))]
    return tuple(text for text in (*found, doc.paths.mlflow_command or "") if text)


def _more(doc: Result) -> int:
    return _SEEDS_OF_ONE if len(doc.seeds) == 1 else len(doc.seeds) + 1


def _over_seeds(about: Compared) -> str:
    n = max((pair.row.n for pair in about.pairs), default=len(about.doc.seeds))
    each = " of each arm" if len(about.arms) > 1 else ""
    return f"{n} trainings{each}; {_level(about)} intervals are over trainings."


def _with_more(about: Compared) -> list[str]:
    """Say what so many seeds can show, and what one more could."""
    told = []
    main = about.main()
    if main is not None:
        row = main.row
        told += _noise(about, row)
        if row.detectable and row.detectable_next:
            told.append(
                f"{row.n} trainings show a true difference of {written(row.detectable).text} 4 "
                f"times in 5, {row.n + 1} one of {written(row.detectable_next).text}."
            )
    return [*told, *_corrected(about)]


def _noise(about: Compared, row: Comparison) -> list[str]:
    """Say on which side of the noise floor a difference is; nothing where that is not known."""
    found = about.doc.floor(about.game, about.metric.name)
    floor = None if found is None else found.at.get(row.at)
    if row.within_noise is None or not floor:
        return []
    side = "within" if row.within_noise else "above"
    return [
        f"The difference is {side} the noise floor of {written(floor).text}, which is what two "
        "trainings of the baseline arm differ by."
    ]


def _over_one(about: Compared) -> str:
    """Say what one training seed is worth."""
    rows = [pair.row for pair in about.pairs]
    returns = about.metric.name == RETURN.name
    count = rows[0].n if rows else _num_units(about.arms[0])
    unit = "episode" if returns else "start"
    units = f"{count} {unit}{'' if count == 1 else 's'}"
    if len(about.arms) < 2:
        return f"One training, {units}: another training may differ by more."
    shared = len({_model_key(arm) for arm in about.arms}) == 1
    if returns or not shared:
        return f"One training of each arm, {units}: another training may differ by more."
    return f"One trained world model for all arms, {units}: another training may differ by more."


def _of_one(about: Compared) -> list[str]:
    told = []
    if any(row.lo is not None for row in (pair.row for pair in about.pairs)):
        told.append(f"{_level(about)} intervals are over these alone.")
    return [*told, *_corrected(about)]


def _corrected(about: Compared) -> list[str]:
    """Say what was corrected, and why claims may say otherwise."""
    sizes = [pair.row.family_size for pair in about.pairs if pair.row.family_size]
    told = []
    if sizes and sizes[0] > 1:
        told.append(f"p values are corrected by Holm over {sizes[0]} comparisons.")
    if about.doc.claims and not all(pair in about.beaten() for pair in about.pairs):
        told.append(
            "A claim is judged by its own interval without that correction, for it was named "
            "beforehand: it may pass where a comparison shows nothing."
        )
    return told


def _without_smoke(doc: Result) -> str:
    """The command without the preset that learns nothing; empty where it does not name it."""
    shorter = re.sub(r" --preset[ =]smoke(?=\s|$)", "", doc.command)
    return "" if shorter == doc.command else shorter


def _level(about: Compared) -> str:
    return level_text(about.arms)


def _num_units(arm: Arm) -> int:
    if arm.interval is not None:
        return arm.interval.n
    return max((run.num_starts or 0 for run in arm.runs), default=0)


def _model_key(arm: Arm) -> tuple[str, ...]:
    """The keys of the trained models of an arm: the parts of the world model, or the agent."""
    return tuple(
        sorted(
            stage.key
            for run in arm.runs
            for name, stage in run.stages.items()
            if name not in OWN or name == AGENT.name
        )
    )
