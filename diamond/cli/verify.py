"""`diamond verify`: verdicts on the claims of a study that was run before."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diamond.ablation.declarations import Declaration, load_declaration
from diamond.cli.terminal import console
from diamond.errors import RequestError, nearest
from diamond.pipeline.declared import last_declared, standing
from diamond.pipeline.files import read_json
from diamond.pipeline.history import read_entries
from diamond.pipeline.store import Store
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
    """
    folder = _folder(study, home)
    document = read_json(folder / "report.json")
    if document is None:
        raise RequestError(
            f"study {study!r} has no result yet\n  the command that began it goes on with it"
        )
    history = read_entries(folder)
    declaration, path, note = _declaration(study, last_declared(history), word)
    if not declaration.claims:
        raise RequestError(
            f"the declaration of study {study!r} has no claims: {path}\n"
            "  add [[claims]] to it; docs/declarations.md shows how"
        )
    store = Store(home)
    result = {
        "study": study,
        "question": declaration.question,
        "primary_metric": declaration.primary,
        "declaration": {"file": str(path)} | standing(declaration, document, history, store),
        "claims": claim_rows(declaration, document, store),
    }
    if as_json:
        print(json.dumps(result, indent=1, allow_nan=False))
        return
    out = console()
    out.print(f"{study}: {declaration.question}", style="bold", highlight=False, markup=False)
    out.print(claims_view(result))
    for sentence in [*note, *claims_sentences(result)]:
        out.print(sentence, highlight=False, markup=False)


def _folder(study: str, home: Path) -> Path:
    folder = home / "studies" / study
    names = sorted(path.name for path in (home / "studies").glob("*") if path.is_dir())
    if study in names:
        return folder
    match = nearest(study, names)
    guess = f" Did you mean {match!r}?" if match else ""
    raise RequestError(
        f"there is no study {study!r} in {str(home)!r}.{guess}\n"
        f"  there are: {', '.join(names) or 'none'}\n"
        "  `diamond ablate NAME` makes one from a declaration; --home gives another folder"
    )


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
