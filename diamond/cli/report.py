"""`diamond report`: the report of a study once more, from its result document and the store."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from diamond.ablation.stages import STAGES
from diamond.cli.outputs import check_folder
from diamond.cli.terminal import console
from diamond.errors import RequestError
from diamond.pipeline.files import write_json
from diamond.pipeline.history import is_sweep
from diamond.pipeline.needs import REPORT_FILE
from diamond.pipeline.sealed import sealed
from diamond.pipeline.store import Store
from diamond.pipeline.studies import (
    Study,
    all_studies,
    check_whole,
    damaged_studies,
    find_study,
    report_of,
)

if TYPE_CHECKING:
    from diamond.report.render import ReportPaths


def write_again(home: Path, name: str, out: Path | None) -> None:
    """Write the report of a study into a folder, its own by default.

    Raises:
        RequestError: There is no such study, nothing of it is scored, or the folder cannot be
            written.
        StoreError: Its document or its frames are damaged.
    """
    store = Store(home)
    lost = [study for study in damaged_studies(store) if study.name == name]
    study = lost[0] if lost else find_study(all_studies(store), name)
    sweep = is_sweep(study.folder)
    document = _document(study, "trials" if sweep else "arms")
    folder = study.folder if out is None else out
    check_folder("--out", folder)
    if out is None:
        store.check_writable()
    # The home may have been moved since.
    document["paths"] |= {"home": str(home)}
    paths = _write_sweep(document, folder) if sweep else _write(document, store, folder)
    if folder == study.folder:
        write_json(folder / REPORT_FILE, sealed(document | {"files": paths.digests}))
    for what, value in (
        ("page", paths.html),
        ("markdown", paths.markdown),
        ("figures", f"{len(paths.figures)} files in {folder / 'figures'}"),
        ("LaTeX tables", f"{len(paths.tables)} files in {folder / 'tables'}"),
    ):
        console().print(f"{what}: {value}", soft_wrap=True)


def _write(document: dict[str, Any], store: Store, folder: Path) -> "ReportPaths":
    from diamond.pipeline.films import load_films
    from diamond.report.page import write_report
    from diamond.report.strips import film_strips

    check_whole(document, store, STAGES)
    films = load_films(document, store)
    return write_report(document, film_strips(films, document["report_steps"]), folder, films)


def _write_sweep(document: dict[str, Any], folder: Path) -> "ReportPaths":
    from diamond.report.sweep_page import write_sweep_report

    return write_sweep_report(document, folder)


def _document(study: Study, part: Literal["arms", "trials"]) -> dict[str, Any]:
    """The result document of a study in which something is scored.

    Args:
        study: The study.
        part: Where the document has what was scored.
    """
    document = report_of(study)
    scored = {"arms": "metrics", "trials": "values"}[part]
    if document is None:
        raise RequestError(
            f"study {study.name!r} has no result, {study.folder / REPORT_FILE} is missing\n"
            f"  `diamond show {study.name}` says how far it is"
            + (f"; this goes on: {study.entries[-1]['command']}" if study.entries else "")
        )
    if not any(one[scored] for one in document[part]):
        raise RequestError(
            f"nothing of study {study.name!r} is scored yet, so there is nothing to report\n"
            f"  `diamond show {study.name}` says how far it is"
            + (f"; this goes on: {study.entries[-1]['command']}" if study.entries else "")
        )
    return document
