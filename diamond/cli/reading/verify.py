"""`diamond verify`: verdicts on the claims of a study that was run before."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from diamond.cli.widths import console
from diamond.engine.declaration_timing import last_declared, standing
from diamond.engine.store import Store
from diamond.errors import RequestError
from diamond.findings.claim_verdicts import claim_rows
from diamond.plan.declarations import Declaration, Declared, load_declaration
from diamond.plan.recipe import Recipe
from diamond.report.claim_tables import claims_sentences, claims_table
from diamond.report.terminal import terminal
from diamond.stages.registry import SCORING_STAGES
from diamond.studies.study_list import check_whole, finished_report, named_study

SHOWN = {"study", "question", "primary_metric", "declaration", "claims"}
"""What `--json` prints of the result."""


def verify_and_show(study: str, word: str | None, home: Path, as_json: bool) -> None:
    """Judge the claims of a study and print them.

    Args:
        study: Its name.
        word: Declaration to judge by, None for the study's own.
        home: Folder of runs.
        as_json: Print the document alone.

    Raises:
        RequestError: There is no such study, it has no report yet, or it has no claims.
        StoreError: Its plans are lost.
    """
    store = Store(home)
    found = named_study(store, study)
    result = finished_report(found)
    declared, note = _declared(study, last_declared(found.entries), word)
    if not declared.declaration.claims:
        raise RequestError(
            f"the declaration of study {study!r} has no claims: {declared.path}\n"
            "  add [[claims]] to it; docs/declarations.md shows how"
        )
    check_whole(result, store, SCORING_STAGES)
    judged = result.model_copy(
        update={
            "question": declared.declaration.question,
            "primary_metric": declared.declaration.primary,
            "declaration": standing(declared, result, found.entries, store),
            "claims": claim_rows(declared.declaration, result, store),
        }
    )
    if as_json:
        print(json.dumps(judged.model_dump(mode="json", include=SHOWN), indent=1, allow_nan=False))
        return
    out = console()
    out.print(f"{study}: {judged.question}", style="bold")
    out.print(terminal(replace(claims_table(judged), title=""), out.width))
    out.print()
    for sentence in [*note, *claims_sentences(judged)]:
        out.print(sentence)


def _declared(
    study: str, recorded: Mapping[str, Any] | None, word: str | None
) -> tuple[Declared, list[str]]:
    """What is judged, and a remark where its file is not there any more."""
    if word is not None:
        return load_declaration(word), []
    if recorded is None:
        raise RequestError(
            f"study {study!r} has no claims: it was not made from a declaration\n"
            "  give one with --declaration, or begin with `diamond ablate NAME`"
        )
    path = Path(recorded["file"])
    said = Declaration.model_validate(recorded["declaration"])
    files = [path, *([Path(said.preset.file)] if isinstance(said.preset, Recipe) else [])]
    gone = next((file for file in files if not file.is_file()), None)
    if gone is None:
        return load_declaration(str(path)), []
    note = f"{gone} is not there any more: the claims are those that the study recorded."
    return Declared(path, said), [note]
