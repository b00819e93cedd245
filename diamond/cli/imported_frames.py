"""`diamond import-frames`: read, check, show, write."""

import json
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from diamond.cli.interrupt import interruptible
from diamond.cli.options import DEFAULT_HOME
from diamond.cli.progress import doing
from diamond.cli.tables.check_table import check_table
from diamond.cli.widths import console
from diamond.config.recorded import recording_folder
from diamond.engine.home import check_format
from diamond.errors import InterruptedRunError
from diamond.recordings.examined import Examined, Wanted, check_name, examine
from diamond.recordings.reading import read_source
from diamond.recordings.writing import is_kept, write_recording
from diamond.report.terminal import terminal


@dataclass(frozen=True)
class Showing:
    """Whether anything is written, and whether standard output carries the document alone."""

    dry_run: bool
    as_json: bool


def import_and_show(actions: Path | None, wanted: Wanted, showing: Showing, home: Path) -> None:
    """Take in a recording; print what was found, and what to do next.

    Args:
        actions: A table of actions that does not lie beside its frames.

    Raises:
        RequestError: It cannot be read or used, or another recording has its name.
        StoreError: The home cannot be written.
        InterruptedRunError: The user interrupted; nothing was written.
    """
    check_name(wanted.name)
    check_format(home)
    try:
        with interruptible():
            _import(actions, wanted, showing, home)
    except KeyboardInterrupt:
        raise InterruptedRunError("interrupted: nothing was written") from None


def _import(actions: Path | None, wanted: Wanted, showing: Showing, home: Path) -> None:
    errors, folder = console(stderr=True), recording_folder(home, wanted.name)
    with doing(f"reading {wanted.source}", errors):
        found = examine(read_source(Path(wanted.source), actions), wanted)
    if not showing.as_json:
        _show(found)
    is_sound, is_new = not found.report.problems, False
    is_there = is_sound and is_kept(found.recording, home)
    if is_sound and not is_there and not showing.dry_run:
        with doing(f"writing {folder}", errors):
            is_new = write_recording(found.prepared, found.recording, home)
        is_there = True
    if showing.as_json:
        document = {
            "recording": found.recording.model_dump(mode="json"),
            "check": found.report.model_dump(mode="json"),
            "warning": found.warning,
            "folder": str(folder) if is_there else None,
            "is_new": is_new,
        }
        sys.stdout.write(json.dumps(document, indent=1, allow_nan=False) + "\n")
    found.require_sound()
    if not showing.as_json and is_there:
        _say_next(found, folder, home, is_new)


def _show(found: Examined) -> None:
    out, recording = console(), found.recording
    title = f"{recording.name}: {recording.source} ({recording.kind})"
    out.print(terminal(check_table(found.report, recording.alignment, title), out.width))
    for remark in recording.remarks:
        if remark != found.warning:
            out.print(f"- {remark}")
    if found.warning is not None:
        out.print(f"Warning: {found.warning}", style="yellow")


def _say_next(found: Examined, folder: Path, home: Path, is_new: bool) -> None:
    out, recording = console(), found.recording
    out.print(f"{'kept in' if is_new else 'is there already:'} {folder}", soft_wrap=True)
    elsewhere = [] if home == DEFAULT_HOME.absolute() else ["--home", str(home)]
    command = ["diamond", "ablate", "steps=1,3", "--frames", recording.name, *elsewhere]
    out.print(f"next: {shlex.join(command)}", soft_wrap=True)
