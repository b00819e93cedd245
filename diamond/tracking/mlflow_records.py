"""What is shown in MLflow, as values; knows neither MLflow nor the stage store."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

RunStatus = Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]
RunKind = Literal["arm", "aggregate", "baseline", "real", "control", "trial"]
HOME_TAG = "diamond.home"
"""Of the parent run of a study: the id of the home that it belongs to."""


@dataclass(frozen=True)
class Home:
    """Which home writes.

    Attributes:
        folder: Folder for everything that runs make.
        id: Its identity; a copy of the home has another.
        former: Identities that it had as the homes that it was copied from.
    """

    folder: Path
    id: str
    former: tuple[str, ...] = ()


@dataclass(frozen=True)
class StageEvents:
    """The training curves of one stage.

    Attributes:
        stage: Name of the stage; its metrics are shown as ``stage/metric``.
        path: Its event log; a missing file counts as empty.
        num_bytes: Committed size of the log, from the checkpoint; None for a stage that is done.
        digest: SHA-256 of that part of the log.
    """

    stage: str
    key: str
    path: Path
    num_bytes: int | None
    digest: str


@dataclass(frozen=True)
class TrackedRun:
    """One run under a study.

    Params belong to what `run_key` is a hash of: equal keys have equal params. If logged curves,
    summary or events change under an equal key (a damaged stage was made again), the old run is
    deleted and a new one takes its place, so curves and summary hold nothing that differs from one
    command to the next, such as its wall time.

    Attributes:
        run_key: Identity of the run; hexadecimal.
        name: Name in the table of runs.
        kind: An arm at one seed, the mean of an arm over its seeds, a baseline, the real frames, a
            control, or a trial.
        params: What was chosen, such as the axis values.
        tags: Provenance.
        stages: Stages whose training curves belong to the run.
        curves: Horizon curves by full metric name; element j is at time step t = j + 1, None or NaN
            is left out.
        summary: Single numbers by full metric name; they get step 0, NaN is left out.
        time_ms: Unix time in milliseconds of curves and summary; the same whenever the same run is
            written.
        artifacts: Files to upload by their place among the files of the run; None leaves what is
            there.
        status: What the run shows once it is written.
    """

    run_key: str
    name: str
    kind: RunKind
    params: Mapping[str, str]
    tags: Mapping[str, str]
    stages: tuple[StageEvents, ...]
    curves: Mapping[str, Sequence[float | None]]
    summary: Mapping[str, float]
    time_ms: int
    artifacts: Mapping[str, Path] | None
    status: RunStatus


@dataclass(frozen=True)
class TrackedStudy:
    """The parent of the runs of a study.

    Attributes:
        run_key: Identity of the study; hexadecimal.
        name: Name in the table of runs.
        tags: Provenance.
        params: What never changes during the life of the study; what may grow (its arms) belongs in
            the description.
        metrics: Single numbers by full metric name; a number that changed is a further point.
        description: Markdown; shown at the top of the run, cut at a line when longer than MLflow
            allows.
        artifacts: Files to upload by their place among the files of the run, such as
            ``figures/psnr.png``, which ends in the file's own name; None leaves what is there.
        status: What the run shows once it is written.
    """

    run_key: str
    name: str
    tags: Mapping[str, str]
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    description: str
    artifacts: Mapping[str, Path] | None
    status: RunStatus
