"""`diamond export-frames`: show what was written."""

import json
import shlex
import sys
from pathlib import Path

from diamond.cli.output_files import check_folder
from diamond.cli.reading.studies import size_text
from diamond.cli.widths import console
from diamond.engine.store import Store
from diamond.errors import one_of
from diamond.recordings.export import ABOUT_FILE, FORMATS, write_export
from diamond.report.numbers import counted
from diamond.studies.export_frames import find_frames
from diamond.studies.study_list import folder_bytes


def export_and_show(source: str, form: str, output: Path, as_json: bool, home: Path) -> None:
    """Export frames; print what was written, and the command that reads it.

    Raises:
        RequestError: The source does not exist or holds no real frames, or the folder is not empty.
        StoreError: The home is not there, the source is damaged, or the folder cannot be written.
    """
    chosen = one_of("--format", form, FORMATS, "npz is the default")
    check_folder("--output", output)
    outgoing = find_frames(source, Store(home))
    about = write_export(outgoing, chosen, output)
    if as_json:
        sys.stdout.write(json.dumps({"folder": str(output), **about}, indent=1) + "\n")
        return
    out = console()
    num_bytes = size_text(folder_bytes(output))
    out.print(
        f"{output}: {counted(about['num_episodes'], 'episode')}, {about['num_frames']} frames of "
        f"{about['height']} x {about['width']}, {form}, {num_bytes}",
        soft_wrap=True,
    )
    out.print(f"{outgoing.title}; {ABOUT_FILE} there says more", soft_wrap=True)
    for remark in outgoing.remarks:
        out.print(remark, soft_wrap=True)
    out.print(
        f"read it again: {shlex.join(['diamond', 'import-frames', str(output), '--name', 'NAME'])}",
        soft_wrap=True,
    )
