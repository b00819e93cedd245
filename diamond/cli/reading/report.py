"""`diamond report`: the report of a study once more, from its result and the store."""

from pathlib import Path
from typing import TYPE_CHECKING

from diamond.cli.output_files import check_folder
from diamond.cli.reading.studies import placed
from diamond.cli.widths import console
from diamond.engine.needed_stages import REPORT_FILE
from diamond.engine.report_file import write_result
from diamond.engine.store import Store
from diamond.errors import RequestError
from diamond.results.model import Result
from diamond.studies.study_list import (
    Study,
    all_studies,
    check_whole,
    damaged_studies,
    find_study,
    finished_report,
    how_to_go_on,
)

if TYPE_CHECKING:
    from diamond.report.render import ReportPaths


def write_again(home: Path, name: str, out: Path | None) -> None:
    """Write the report of a study into a folder, its own by default.

    Raises:
        RequestError: There is no such study, nothing of it is scored, or the folder cannot be
            written.
        StoreError: Its result or its frames are damaged.
    """
    store = Store(home)
    lost = [study for study in damaged_studies(store) if study.name == name]
    study = lost[0] if lost else find_study(all_studies(store), name)
    result = _scored(study)
    folder = study.folder if out is None else out
    check_folder("--out", folder)
    if out is None:
        store.check_writable()
    result = placed(result, study)
    paths = _write(result, store, folder)
    if folder == study.folder:
        files = dict(paths.digests)
        write_result(folder / REPORT_FILE, result.model_copy(update={"files": files}))
    for what, value in (
        ("page", paths.html),
        ("markdown", paths.markdown),
        ("figures", f"{len(paths.figures)} files in {folder / 'figures'}"),
        ("LaTeX tables", f"{len(paths.tables)} files in {folder / 'tables'}"),
    ):
        console().print(f"{what}: {value}", soft_wrap=True)


def _write(result: Result, store: Store, folder: Path) -> "ReportPaths":
    from diamond.report.figures.strips import film_strips
    from diamond.report.page import write_report
    from diamond.studies.compared_frames import load_films

    check_whole(result, store)
    films = load_films(result, store)
    return write_report(result, film_strips(films, result.report_steps), folder, films)


def _scored(study: Study) -> Result:
    """The result of a study in which something is scored."""
    result = finished_report(study)
    trials = () if result.search is None else result.search.trials
    if any(arm.metrics for arm in result.arms) or any(trial.values for trial in trials):
        return result
    raise RequestError(
        f"nothing of study {study.name!r} is scored yet, so there is nothing to report\n"
        f"  {how_to_go_on(study)}"
    )
