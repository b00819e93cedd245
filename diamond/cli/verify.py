"""`diamond verify`: verdicts on the claims of a study that was run before."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diamond.ablation.declarations import Declaration, load_declaration
from diamond.ablation.stages import SCORING_STAGES
from diamond.cli.terminal import console
from diamond.errors import RequestError
from diamond.pipeline.declared import last_declared, standing
from diamond.pipeline.needs import REPORT_FILE
from diamond.pipeline.store import Store
from diamond.pipeline.studies import check_whole, named_study, report_of
from diamond.pipeline.verify import claim_rows
from diamond.report.claims import claims_sentences, claims_view


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
    document = report_of(found)
    if document is None:
        raise RequestError(
            f"study {study!r} has no result, {found.folder / REPORT_FILE} is missing\n"
            f"  its command goes on, or writes it again: {found.entries[-1]['command']}"
        )
    declaration, path, note = _declaration(study, last_declared(found.entries), word)
    if not declaration.claims:
        raise RequestError(
            f"the declaration of study {study!r} has no claims: {path}\n"
            "  add [[claims]] to it; docs/declarations.md shows how"
        )
    check_whole(document, store, SCORING_STAGES)
    result = {
        "study": study,
        "question": declaration.question,
        "primary_metric": declaration.primary,
        "declaration": {"file": str(path)} | standing(declaration, document, found.entries, store),
        "claims": claim_rows(declaration, document, store),
    }
    if as_json:
        print(json.dumps(result, indent=1, allow_nan=False))
        return
    out = console()
    out.print(f"{study}: {declaration.question}", style="bold")
    out.print(claims_view(result))
    for sentence in [*note, *claims_sentences(result)]:
        out.print(sentence)


def _declaration(
    study: str, recorded: Mapping[str, Any] | None, word: str | None
) -> tuple[Declaration, Path, list[str]]:
    """What is judged, the file, and a remark where the file is not there any more."""
    if word is not None:
        declared = load_declaration(word)
        return declared.declaration, declared.path, []
    if recorded is None:
        raise RequestError(
            f"study {study!r} has no claims: it was not made from a declaration\n"
            "  give one with --declaration, or begin with `diamond ablate NAME`"
        )
    path = Path(recorded["file"])
    if path.is_file():
        return load_declaration(str(path)).declaration, path, []
    note = f"{path} is not there any more: the claims are those that the study recorded."
    return Declaration.model_validate(recorded["declaration"]), path, [note]
