"""The claims of a study with their verdicts: as a table and in words."""

from collections.abc import Mapping

from diamond.engine.declaration_timing import verdict_text
from diamond.report.numbers import counted
from diamond.report.table import Cell, Row, Table, Tone
from diamond.results.claims import ClaimGame, ClaimPart, Verdict
from diamond.results.model import Result
from diamond.results.number_text import ABSENT, p_text, signed, written

_TONES: Mapping[Verdict, Tone] = {"PASS": "good", "FAIL": "bad", "UNDECIDED": "open"}
_COLUMNS = ("claim", "verdict", "left - right", "p (smallest)", "n")


def claims_table(doc: Result) -> Table:
    """Return a row for each claim, and below it one for each game and difference that it reads."""
    post_hoc = doc.declaration is not None and doc.declaration.post_hoc
    rows = []
    for claim in doc.claims:
        empty = (Cell(""),) * (len(_COLUMNS) - 2)
        told = verdict_text(claim.verdict, claim.within_model, post_hoc)
        verdict = Cell(told, tone=_TONES[claim.verdict])
        rows.append(Row(claim.name, "arm", (verdict, *empty)))
        for game in claim.games:
            if not game.parts:
                rows.append(Row(game.game, "baseline", (Cell(game.verdict), *empty)))
            rows += [_part_row(game, part) for part in game.parts]
    return Table("Claims", _COLUMNS, tuple(rows), words=frozenset(_COLUMNS))


def _part_row(game: ClaimGame, part: ClaimPart) -> Row:
    p = ABSENT if part.p is None else f"{p_text(part.p)} ({p_text(part.p_min)})"
    cells = (
        Cell(verdict_text(part.verdict, game.within_model, post_hoc=False)),
        Cell(*signed(part.mean, part.lo, part.hi)),
        Cell(p),
        Cell(counted(part.n, part.unit)),
    )
    return Row(f"{game.game}: {part.difference} {part.relation} 0", "baseline", cells)


def claims_sentences(doc: Result) -> list[str]:
    """Say when the claims were made, what each says and what its seeds showed."""
    declared = doc.declaration
    if declared is None or not doc.claims:
        return []
    when = "" if declared.declared_at is None else f" at {declared.declared_at}"
    sentences = [f"Claims {declared.hash[:12]}{when}: {declared.status}."]
    for claim in doc.claims:
        secondary = "" if claim.on_primary else " Not on the primary metric."
        sentences.append(f"{claim.name}: {claim.text} {claim.expression}.{secondary}")
        sentences += [line for game in claim.games for line in _game_lines(game)]
    sentences.append(
        "PASS: the 95% interval of left minus right lies on the claimed side of 0; FAIL: on the "
        "other; p is the exact sign-flip value beside the smallest that so many seeds can give."
    )
    return sentences


def _game_lines(game: ClaimGame) -> list[str]:
    lines = []
    for part in game.parts:
        shown = ", ".join(
            f"seed {seed} {written(value).text}"
            for seed, value in zip(part.seeds, part.values, strict=True)
        )
        if shown:
            lines.append(f"{game.game}: {part.difference}: {shown}.")
    if game.reason:
        lines.append(f"{game.game}: UNDECIDED: {game.reason}.")
    return lines
