"""`diamond fidelity`: score one world model, or the imagined frames of any project."""

import io
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from diamond.cli.documents import document_text, print_document, report_places
from diamond.cli.interrupt import interruptible, resumable
from diamond.cli.tables.fidelity_table import fidelity_notes, fidelity_table
from diamond.cli.widths import console
from diamond.engine.devices import Workers
from diamond.engine.files import in_use, write_together
from diamond.engine.needed_stages import REPORT_FILE
from diamond.engine.store import Store
from diamond.engine.study_history import RUNNING_NAME, record_plan
from diamond.errors import ExitCode, InterruptedRunError, RequestError, StoreError
from diamond.report.answer.answers import answered
from diamond.report.figures.strips import film_strips
from diamond.report.page import write_report
from diamond.report.terminal import terminal
from diamond.results.model import Result
from diamond.results.rollout_estimates import Scores

if TYPE_CHECKING:
    from diamond.studies.run_study import StudyRun

DEFAULT_HORIZON = 1000
DEFAULT_STARTS = 400
DOCUMENT_FILE = "scores.json"
ARRAYS_FILE = "scores.npz"


@dataclass(frozen=True)
class Showing:
    """Where the scores go, and the command that made them.

    Attributes:
        as_json: Standard output carries the document alone.
        out: Folder for document, arrays, report and figures, or None.
        command: The command as the user typed it.
    """

    as_json: bool
    out: Path | None
    command: str


@dataclass(frozen=True)
class ModelRequest:
    """What is asked of a world model; None where nothing was said."""

    source: str
    settings: tuple[str, ...]
    game: str | None
    frames: str | None
    horizon: int | None
    starts: int | None
    jobs: int


@dataclass(frozen=True)
class PairsRequest:
    """What is asked of frames from files; None where nothing was said."""

    real: Path
    imagined: Path
    background: Path | None
    context: int
    horizon: int | None
    settings: tuple[str, ...]


def score_model_and_show(request: ModelRequest, home: Path, showing: Showing) -> ExitCode:
    """Score a world model through the stages of a home.

    Returns:
        DONE, or RUN_FAILED when a stage did not succeed.

    Raises:
        DiamondError: The request is wrong, the home cannot be used, or the user interrupted.
    """
    with resumable(showing.command):
        return _score_model(request, home, showing)


def score_pairs_and_show(request: PairsRequest, showing: Showing) -> None:
    """Score imagined frames from files against real ones.

    Raises:
        RequestError: The files do not fit; nothing is scored.
    """
    from diamond.findings.pair_fidelity import find_pairs, pairs_extras, pairs_result, score_pairs

    _check_out(showing.out)
    own, extras = pairs_extras(request.settings)
    try:
        with interruptible():
            pairs = find_pairs(
                request.real,
                request.imagined,
                request.background,
                request.context,
                request.horizon,
            )
            scores = score_pairs(pairs, extras)
    except KeyboardInterrupt:
        raise InterruptedRunError("interrupted: nothing was written") from None
    _finish(answered(pairs_result(pairs, scores, showing.command, own)), scores, showing)


def _score_model(request: ModelRequest, home: Path, showing: Showing) -> ExitCode:
    from diamond.plan.single_arm import fidelity_plan
    from diamond.studies.run_study import StudyRun
    from diamond.studies.scored_model import (
        find_model,
        on_starts,
        recorded_starts,
        scored_recording,
    )
    from diamond.weights.checkpoint_folders import adopt

    store = Store(home)
    _check_out(showing.out)
    model = find_model(request.source, request.settings, request.game, store)
    horizon = DEFAULT_HORIZON if request.horizon is None else request.horizon
    starts = DEFAULT_STARTS if request.starts is None else request.starts
    on_starts(model.config, starts, horizon, None)
    store.check_writable()
    found = scored_recording(model.config, request.frames, home)
    if found is not None:
        starts, horizon = recorded_starts(found, request.starts, horizon)
    config = on_starts(model.config, starts, horizon, None if found is None else found.digest)
    plan = fidelity_plan(model.name, config, model.checkpoint)
    study = StudyRun(plan, store, showing.command)
    study.check_extras()
    if model.checkpoint is not None:
        adopt(model.checkpoint, home)
    record_plan(plan, study.folder, showing.command)
    with in_use(study.folder / RUNNING_NAME):
        return _execute(study, request.jobs, showing)


def _execute(study: "StudyRun", jobs: int, showing: Showing) -> ExitCode:
    from diamond.cli.ablate import show_failed
    from diamond.cli.progress import ProgressView, doing, stage_names
    from diamond.findings.arm_scores import read_scores
    from diamond.workers.executor import Executor

    plan, store, log = study.plan, study.store, console(stderr=True)
    study.check_store()
    for line in study.damaged:
        log.print(line, style="yellow")
    with ProgressView(stage_names(plan), log) as view:
        executor = Executor(store.home, Workers(jobs))
        study.execute(executor, view.show, view.tick, on_work=view.expect)
    if study.failed():
        show_failed(study, log)
        return ExitCode.RUN_FAILED
    scores = {arm.name: read_scores(arm.runs[0], store) for arm in plan.arms}
    with doing("writing report", log):
        result = _model_result(study)
    _finish(result, {n: s for n, s in scores.items() if s is not None}, showing)
    return ExitCode.DONE


def _model_result(study: "StudyRun") -> Result:
    """The result of a scored world model; it is kept as that of a study, for `diamond show`."""
    from diamond.engine.report_file import write_result
    from diamond.findings.ablation_result import kept_files
    from diamond.findings.reader_notes import judge_notes, scoring_notes
    from diamond.studies.compared_frames import load_films

    plan, folder = study.plan, study.folder
    arm, found = plan.arms[0], study.result()
    notes = (*scoring_notes(plan), *judge_notes(plan, study.store), *study.damaged)
    result = answered(
        found.model_copy(
            update={
                "question": f"How faithful is what {arm.name} imagines in {arm.game}?",
                "seeds": (arm.runs[0].config.seed,),
                "notes": notes,
                "paths": report_places(found.paths, folder, None),
            }
        )
    )
    files = kept_files(folder, result)
    if files is None:
        films = load_films(result, study.store)
        strips = film_strips(films, result.report_steps)
        files = dict(write_report(result, strips, folder, films).digests)
    result = result.model_copy(update={"files": files})
    write_result(folder / REPORT_FILE, result)
    return result


def _finish(result: Result, scores: Mapping[str, Scores], showing: Showing) -> None:
    if showing.out is not None:
        _write(result, scores, showing.out)
    if showing.as_json:
        print_document(result)
        return
    out = console()
    out.print(terminal(fidelity_table(result), out.width))
    if result.warning:
        out.print(result.warning)
    stages = {
        f"{name} {stage.key}": "made" if stage.made else "was there"
        for name, stage in result.arms[0].runs[0].stages.items()
    }
    lines = [*fidelity_notes(result), *result.notes]
    if stages:
        lines.append("stages:  " + ", ".join(f"{name} ({how})" for name, how in stages.items()))
        lines.append(f"report:  {result.paths.report_html}")
    if showing.out is not None:
        lines.append(f"written: {showing.out}")
    for line in (*lines, f"again:   {result.command}"):
        out.print(line, soft_wrap=True)


def _write(result: Result, scores: Mapping[str, Scores], folder: Path) -> None:
    """Write document, arrays, report and figures; arrays are named ``arm/metric``."""
    arrays = {f"{arm}/{name}": a for arm, found in scores.items() for name, a in found.items()}
    buffer = io.BytesIO()
    # The stub takes its keyword arguments for its own options.
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    try:
        folder.mkdir(exist_ok=True)
        write_together(
            {
                folder / DOCUMENT_FILE: document_text(result).encode(),
                folder / ARRAYS_FILE: buffer.getvalue(),
            }
        )
        write_report(result, (), folder)
    except OSError as error:
        raise StoreError(
            f"cannot write {str(folder)!r}: {error.strerror or error}\n"
            "  give a folder that you may write with --out"
        ) from error


def _check_out(out: Path | None) -> None:
    """Refuse a folder that holds something else, or that cannot be made."""
    if out is None:
        return
    if out.exists() and not out.is_dir():
        raise RequestError(f"--out {str(out)!r} is a file\n  give the name of a folder")
    parent = out.absolute() if out.is_dir() else out.absolute().parent
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise RequestError(
            f"--out {str(out)!r}: {str(parent)!r} is no folder that you may write\n"
            "  give a place in a folder that exists"
        )
    if out.is_dir() and any(out.iterdir()) and not (out / DOCUMENT_FILE).is_file():
        raise RequestError(
            f"--out {str(out)!r} holds something else; it is left as it is\n"
            "  give a new folder, an empty one, or one that this command wrote"
        )
