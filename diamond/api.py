"""`diamond.load` and `diamond.ablate`: studies from Python, as from the command line."""

import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, overload

from pydantic import ConfigDict, TypeAdapter, ValidationError
from typing_extensions import TypedDict, Unpack

from diamond.cli.ablate import run_study
from diamond.cli.ablation_request import Asked, Texts, ablation_request, texts
from diamond.cli.interrupt import resumable
from diamond.cli.options import DEFAULT_HOME, check_home_text, check_workers
from diamond.cli.reading.studies import placed
from diamond.cli.study_command import Options
from diamond.cli.system import quiet_mlflow
from diamond.cli.widths import console
from diamond.engine.files import in_use
from diamond.engine.store import Store
from diamond.engine.study_history import RUNNING_NAME
from diamond.errors import DiamondError, RequestError, StageFailedError, refusals, unknown
from diamond.plan.joined_requests import command_words
from diamond.plan.request import Request
from diamond.results.model import Result
from diamond.studies.frame_retention import check_keep
from diamond.studies.study_list import Study, finished_report, named_study
from diamond.tracking.uris import TRACKING_VARIABLE, hide_secrets
from diamond.workers.engines import read_engine

if TYPE_CHECKING:
    import pandas as pd

    from diamond.studies.compared_frames import Rollouts, StartFrames


class AblateOptions(Asked, total=False):
    """What `ablate` takes beside axes: the options of the command `diamond ablate`."""

    only: Texts
    jobs: int
    compile: bool
    engine: str
    engine_options: str
    retry_failed: bool
    keep: str
    home: str | Path
    tracking_uri: str


class _Call(TypedDict):
    """What `ablate` was called with: a value of another type is an error of the caller."""

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)  # type: ignore[misc]

    axes: tuple[str, ...]
    options: AblateOptions


@dataclass(frozen=True)
class LoadedStudy:
    """A study of a home that has a result.

    Attributes:
        home: The home, absolute.
        name: Name of the study.
        result: What it gave, typed; the fields are in docs/reference/result.md.
    """

    home: Path
    name: str
    result: Result = field(repr=False)

    def to_frame(self) -> "pd.DataFrame":
        """The numbers of all runs as one long table.

        Returns:
            A row for each number, in the columns

            - ``arm``, ``game``: categories in the order of the result, baselines last;
            - ``seed``: training seed;
            - ``metric``: a category: a metric of the result, ``return``, ``hns``, or a cost
              (``denoiser_calls_per_frame``, ``ms_per_frame``, ``rollout_seconds``,
              ``num_parameters``);
            - ``time_step``: from 1 to the horizon; <NA> of a mean over the horizon, of a metric
              of a set, of returns and of costs;
            - ``value``: float64, the mean over the starts of the run, in the metric's unit.

            Means over seeds, intervals and comparisons stay in `result`; so do scores of single
            starts in the store. A number that is not defined has no row. Of a sweep, each trial
            is an arm without seed, and a row is its value of an objective, over all its games.
        """
        from diamond.results.tidy import tidy_table

        return tidy_table(self.result)

    def frames(
        self, arm: str, start: int, *, game: str | None = None, seed: int | None = None
    ) -> "StartFrames":
        """The frames that a run imagined from a held-out start, and the real ones.

        Frames that were dropped (``--keep``), or did not travel with the study, are made again,
        with all that this needs: progress is on standard error. All frames of the run stay then,
        until a command of the study drops them again.

        Args:
            arm: Name of an arm, a baseline or a trial, as tables have it.
            start: Number of the start, as film strips have it; 0 is the first.
            game: The game; it may be left out where the study has only one.
            seed: Training seed, by default the first one.

        Returns:
            ``real`` and ``imagined``, (horizon, h, w, 3) uint8 RGB, and ``length``: after so many
            env steps the real episode ends, and its frames are black.

        Raises:
            RequestError: There is no such arm, start, game or seed; the text says which there are.
            StageFailedError: What makes the frames again failed.
            InterruptedRunError: It was interrupted; what was done is kept.
            StoreError: What is stored is damaged, or another version made it.
        """
        from diamond.studies.compared_frames import load_start
        from diamond.studies.start_frames import RunName, check_start, find_rollouts

        with refusals():
            store = Store(self.home)
            study = named_study(store, self.name)
            name = RunName(arm, game, seed)
            rollouts = find_rollouts(study, self.result, name, store)
            check_start(rollouts, start)
            found = load_start(rollouts, start, store)
            if found is None:
                _make_again(study, rollouts, store)
                # What is whole again lies in another folder.
                rollouts = find_rollouts(study, self.result, name, store)
                found = load_start(rollouts, start, store)
        assert found is not None, "frames that were made again are there"
        return found


def load(home: str | os.PathLike[str], study: str) -> LoadedStudy:
    """A study of a home, with its last result.

    Args:
        home: Folder of runs, such as ``"mlruns"``.
        study: Name of the study, as `diamond studies` lists it.

    Raises:
        RequestError: There is no such study, or no command on it came to an end.
        StoreError: There is no such home, or the study is damaged.
    """
    with refusals():
        store = Store(Path(home).absolute())
        found = named_study(store, study)
        return LoadedStudy(store.home, study, placed(finished_report(found), found))


@overload
def ablate(*axes: str, dry_run: Literal[True], **options: Unpack[AblateOptions]) -> None: ...


@overload
def ablate(
    *axes: str, dry_run: Literal[False] = False, **options: Unpack[AblateOptions]
) -> LoadedStudy: ...


def ablate(
    *axes: str, dry_run: bool = False, **options: Unpack[AblateOptions]
) -> LoadedStudy | None:
    """Run an ablation, as the command `diamond ablate` does, to its end.

    Plan and progress are on standard error. What is done is not done twice: the same call goes on
    where one was interrupted, and so does the command that the result names.

    Args:
        axes: What varies, such as ``"steps=1,3"``; or a declaration, by name or file.
        dry_run: Print the plan and its cost on standard output; run nothing.
        options: Those of the command, by the same names; `diamond ablate --help` has more words.

            - ``preset``, ``game``, ``seeds``, ``first_seed``, ``first_start``, ``protocol``,
              ``until``, ``name``, ``checkpoint``: what is run. ``game`` is one or several.
            - ``design``, ``path_from`` (``--from``), ``path_to`` (``--to``), ``arm``, ``settings``
              (``--set``), ``aa``, ``controls``, ``match``: how arms are made. Texts may be one or
              several.
            - ``only``, ``jobs``, ``compile``, ``engine``, ``engine_options``, ``retry_failed``,
              ``keep``: how it is run.
            - ``home``, by default ``"mlruns"``; ``tracking_uri``, by default the variable
              ``MLFLOW_TRACKING_URI``, without it a file in the home.

    Returns:
        The study; None of a dry run. Runs that failed are told on standard error and are in
        ``.result.failures()``: they raise nothing, the others have their numbers.

    Raises:
        RequestError: An axis, a value or an option is not allowed; the text says what is.
        InterruptedRunError: It was interrupted; what was done is kept.
        DiamondError: Home or tracking store cannot be used.
    """
    said = _checked(axes, options)
    engine = said.get("engine", "local")
    quiet_mlflow()
    address = said.get("tracking_uri") or os.environ.get(TRACKING_VARIABLE)
    with _secrets_hidden(address or ""):
        request = ablation_request(axes, said)
        shown: list[Result] = []
        home = check_home_text(Path(said.get("home", DEFAULT_HOME)).absolute())
        run_study(
            request,
            Options(
                home=home,
                workers=check_workers(said.get("jobs"), said.get("compile", False), engine),
                engine=read_engine(
                    engine, said.get("engine_options"), detach=False, declared=request.slurm
                ),
                dry_run=dry_run,
                as_json=False,
                tracking_uri=address,
                command=_command(request, said, home),
                only=texts(said.get("only", ())),
                retry_failed=said.get("retry_failed", False),
                keep=check_keep(said.get("keep")),
                show=shown.append,
            ),
        )
        return load(home, shown[0].study) if shown else None


def _checked(axes: tuple[str, ...], options: AblateOptions) -> AblateOptions:
    """The options, once axes and options have the types that they are said to have.

    Raises:
        RequestError: One has not, or there is no such option.
    """
    try:
        return TypeAdapter(_Call).validate_python({"axes": axes, "options": options})["options"]
    except ValidationError as error:
        wrong = error.errors()[0]
    _, name, *_ = map(str, wrong["loc"])
    if wrong["type"] == "extra_forbidden":
        allowed = AblateOptions.__annotations__
        raise unknown("option", name, allowed, "`help(diamond.ablate)` says what each is")
    what = f"{name}=" if wrong["loc"][0] == "options" else ""
    raise RequestError(
        f"ablate({what}{wrong['input']!r}): {wrong['msg'][:1].lower()}{wrong['msg'][1:]}\n"
        '  for instance ablate("steps=1,3", preset="smoke", seeds=2)'
    )


@contextmanager
def _secrets_hidden(address: str) -> Iterator[None]:
    """Raise errors of the user without the passwords of an address."""
    try:
        with refusals():
            yield
    except DiamondError as error:
        error.args = (hide_secrets(str(error), address),)
        raise error from None


def _command(request: Request, said: AblateOptions, home: Path) -> str:
    """The command that goes on with an ablation: it is shown and written down."""
    words = command_words(request)
    for name in texts(said.get("only", ())):
        words += ["--only", name]
    if "jobs" in said:
        words += ["--jobs", str(said["jobs"])]
    words += ["--compile"] if said.get("compile") else []
    if "engine" in said:
        words += ["--engine", said["engine"]]
    if "engine_options" in said:
        words += ["--engine-options", said["engine_options"]]
    words += ["--retry-failed"] if said.get("retry_failed") else []
    if "keep" in said:
        words += ["--keep", said["keep"]]
    words += ["--home", str(home)]
    if "tracking_uri" in said:
        words += ["--tracking-uri", hide_secrets(said["tracking_uri"])]
    return shlex.join(words)


def _make_again(study: Study, rollouts: "Rollouts", store: Store) -> None:
    """Make the frames of a run again, with what they need."""
    from diamond.cli.progress import ProgressView, stage_names
    from diamond.studies.run_study import StudyRun
    from diamond.studies.start_frames import plan_again
    from diamond.workers.executor import Executor

    plan, specs = plan_again(study, rollouts)
    run = StudyRun(plan, store, study.entries[-1]["command"], keep="all")
    log = console(stderr=True)
    log.print(f"frames of {rollouts.name} were not kept: they are made again", soft_wrap=True)
    executor = Executor(store.home, check_workers(None, compiled=False))
    with (
        resumable(run.command),
        in_use(run.folder / RUNNING_NAME),
        ProgressView(stage_names(plan), log) as view,
    ):
        run.execute(executor, view.show, view.tick, specs, view.expect)
    for remark in run.remarks:
        log.print(remark, style="yellow", soft_wrap=True)
    if run.failed():
        spec, cause = run.failed()[0]
        raise StageFailedError(
            f"the frames of {rollouts.name!r} could not be made again: {spec.stage}: {cause}"
        )
