"""`diamond export-study` and `diamond import-study`: a study on its way to another home."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from diamond.cli.options import DEFAULT_HOME, Home, StudyName, TrackingUri


def export_study(
    study: StudyName,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to make, a zip archive.")],
    home: Home = DEFAULT_HOME,
) -> None:
    """Write a study into a file, for another home: `diamond import-study`.

    It holds plans, manifests, scores, returns, training curves, and the few frames that a report
    shows. Left out are weights and all other frames; what is not finished; of a sweep its runs in
    MLflow.
    """
    from diamond.cli.output_files import check_output
    from diamond.cli.reading.studies import size_text
    from diamond.cli.widths import console
    from diamond.engine.store import Store
    from diamond.engine.study_history import is_sweep
    from diamond.studies.export_study import JOURNAL_FILE
    from diamond.studies.export_study import export_study as export
    from diamond.studies.study_list import named_study

    store = Store(home.absolute())
    found = named_study(store, study)
    check_output("FILE", file, (file.suffix,), study)
    with TemporaryDirectory() as made:
        journal = None
        if is_sweep(found.folder):
            from diamond.sweep.trial_archive import take_trials

            journal = Path(made) / JOURNAL_FILE
            take_trials(store.home, study, journal)
        sent = export(store, found, file, journal)
    left = f"; {sent.num_left} are not finished and stay" if sent.num_left else ""
    out = console()
    out.print(f"{file}: {size_text(sent.num_bytes)}, {sent.num_stages} stages{left}")
    out.print(f"take it in elsewhere: diamond import-study {file}", soft_wrap=True)


def import_study(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="From `diamond export-study`.")],
    home: Home = DEFAULT_HOME,
    tracking_uri: TrackingUri = None,
) -> None:
    """Take in a study from a file; seeds and arms of one study join, whoever made them.

    Report, runs in MLflow, `show` and `verify` are then of all of it. A file that disagrees with
    the home about a run is refused, and nothing of it is taken. Networks and frames that a later
    command needs are made again.
    """
    from diamond.cli.imported_study import import_and_show

    import_and_show(file, home.absolute(), tracking_uri)
