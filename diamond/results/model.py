"""The result of a study: one frozen value that every command builds and every reader reads.

A number that is not defined is None, in JSON null (`values`). How the value is written and read is
in `document`; docs/reference/result.md is made from the fields here and in the models of its parts.
"""

from typing import Literal

from pydantic import Field, JsonValue

from diamond.config.base import Record
from diamond.results.answer_model import Answer
from diamond.results.arm_model import Arm, ArmKind, Failure, first_cause, real_value
from diamond.results.claims import Claim, Declared
from diamond.results.comparison_model import (
    Comparison,
    GameScores,
    NoiseFloor,
    OffData,
    Sensitivity,
    SurvivalRow,
)
from diamond.results.metric_model import Estimate, Metric
from diamond.results.path_model import Path
from diamond.results.search import Search


class Strip(Record):
    """A film strip of the report."""

    game: str = Field(description="the game")
    start: int = Field(description="number of the start")
    steps: tuple[int, ...] = Field(description="time steps")
    rows: tuple[str, ...] = Field(description="arms")


class Costs(Record):
    """What the command took."""

    wall_seconds: float = Field(default=0.0, description="seconds of the command")
    stage_seconds: dict[str, float] = Field(default={}, description="of all its stages, by name")
    stages_made: int = Field(default=0, description="made by the command")
    stages_reused: int = Field(default=0, description="found done")


class Provenance(Record):
    """What made the result."""

    git_commit: str | None = Field(default=None, description="null outside of a checkout")
    dirty: bool | None = Field(default=None, description="whether there were uncommitted changes")
    sources: str = Field(default="", description="SHA-256 of the package")
    versions: dict[str, str | None] = Field(default={}, description="of libraries")
    platform: str = Field(default="", description="operating system")
    device: str | None = Field(default=None, description="that stages ran on")
    config: dict[str, dict[str, JsonValue]] = Field(
        default={}, description="resolved, by `arm | game`; of a search by game"
    )


class Places(Record):
    """Where things are, and the commands that show them."""

    home: str | None = Field(default=None, description="folder of runs")
    report_html: str | None = Field(default=None, description="the page")
    report_md: str | None = Field(default=None, description="the page as Markdown")
    report_json: str | None = Field(default=None, description="this document")
    mlflow_command: str | None = Field(default=None, description="shows the runs")
    dashboard_command: str | None = Field(default=None, description="shows the trials of a search")
    storage: str | None = Field(
        default=None, description="of a search, with `***` in place of its password"
    )
    real: str | None = Field(default=None, description="real frames that were scored against")
    imagined: str | None = Field(default=None, description="imagined frames from files")


class Result(Record):
    """A study: what was asked, what every arm or trial gave, what it says."""

    version: Literal[2] = Field(default=2, description="of this form")
    study: str = Field(description="its name, and that of its folder")
    question: str = Field(description="in words")
    command: str = Field(description="makes it again")
    preset: str = Field(description="where the configuration begins")
    games: tuple[str, ...] = Field(description="the games")
    seeds: tuple[int, ...] = Field(description="training seeds")
    protocol: str = Field(description="static or online")
    until: str = Field(default="report", description="the last stage that was asked for")
    design: str = Field(default="arms", description="grid, ofat, zip, path, arms or search")
    match: str | None = Field(
        default=None, description="what arms are equal in: updates, nfe or seconds; null: nothing"
    )
    horizon: int = Field(description="imagined env steps")
    report_steps: tuple[int, ...] = Field(default=(), description="time steps of tables and strips")
    primary_metric: str = Field(
        default="", description="the metric that was named beforehand; of a search empty"
    )
    baseline_arm: str = Field(
        default="",
        description="what the others are compared with: the first arm that imagines, or the first "
        "if none does; of a search empty",
    )
    metrics: tuple[Metric, ...] = Field(default=(), description="that any arm was scored in")
    arms: tuple[Arm, ...] = Field(default=(), description="arms and baselines of all games")
    path: dict[str, Path] = Field(default={}, description="by game; empty for other designs")
    off_data: tuple[OffData, ...] = Field(
        default=(), description="by game; nothing else of the result reads these starts"
    )
    off_data_comparisons: tuple[Comparison, ...] = Field(
        default=(), description="as `comparisons`, over the starts off the data; exploratory"
    )
    controls: tuple[Arm, ...] = Field(
        default=(),
        description="the baseline arm with known defects, of all games; no arms of the answer",
    )
    sensitivity: tuple[Sensitivity, ...] = Field(
        default=(), description="what each metric says of each defect, by game"
    )
    comparisons: tuple[Comparison, ...] = Field(
        default=(), description="every other arm against the baseline arm, by metric and game"
    )
    best_comparisons: tuple[Comparison, ...] = Field(
        default=(),
        description="the best arm minus every other arm but the baseline arm, by game, on the "
        "primary metric; none where the baseline arm is the best; corrected with `comparisons`",
    )
    noise_floor: tuple[NoiseFloor, ...] = Field(default=(), description="by game and metric")
    survival: tuple[SurvivalRow, ...] = Field(
        default=(), description="by game and arm that is scored"
    )
    hns: tuple[GameScores, ...] = Field(
        default=(), description="of arms with human-normalised scores in two or more games"
    )
    search: Search | None = Field(
        default=None, description="of `diamond sweep`; null for an ablation"
    )
    declaration: Declared | None = Field(default=None, description="null without one")
    claims: tuple[Claim, ...] = Field(default=(), description="of the declaration")
    summary: str = Field(default="", description="what was found, in a sentence or two")
    answers: tuple[Answer, ...] = Field(
        default=(), description="the answer in three parts, by game; one of a search"
    )
    warning: str = Field(
        default="", description="what in it is dead, weak or of several machines, in a sentence"
    )
    next: tuple[str, ...] = Field(
        default=(), description="commands that make sense now, the first one first"
    )
    notes: tuple[str, ...] = Field(default=(), description="what to know when reading it")
    strips: tuple[Strip, ...] = Field(default=(), description="film strips of the report")
    costs: Costs = Field(default=Costs(), description="what the command took")
    provenance: Provenance = Field(default=Provenance(), description="what made it")
    paths: Places = Field(default=Places(), description="where things are")
    files: dict[str, str] = Field(
        default={}, description="SHA-256 of the files of the report, by name"
    )

    def arms_of(self, game: str, kind: ArmKind | None = None) -> list[Arm]:
        """The arms of one game in their order, all or of one kind."""
        return [arm for arm in self.arms if arm.game == game and kind in (None, arm.kind)]

    def metric(self, name: str) -> Metric:
        """The description of one metric.

        Raises:
            KeyError: No arm was scored in it.
        """
        for metric in self.metrics:
            if metric.name == name:
                return metric
        raise KeyError(f"the result describes no metric {name!r}")

    @property
    def primary(self) -> Metric:
        """The primary metric."""
        return self.metric(self.primary_metric)

    @property
    def scored(self) -> list[Metric]:
        """The metrics, without those that describe the real frames."""
        return [metric for metric in self.metrics if not metric.name.endswith("_real")]

    def real(self, game: str, metric: str, at: str) -> Estimate | None:
        """The same quantity measured on the real frames, where the metric has one."""
        return real_value(self.arms_of(game), metric, at)

    def has_curve(self, game: str, metric: str) -> bool:
        """Whether any arm of a game has a value of a metric at some time step."""
        curves = (arm.curve(metric, "mean") for arm in self.arms_of(game))
        return any(value is not None for curve in curves for value in curve)

    def compared(self, game: str, metric: str) -> list[Comparison]:
        """The comparisons of a metric in a game that have a difference."""
        return [
            row
            for row in self.comparisons
            if row.game == game and row.metric == metric and row.difference is not None
        ]

    def floor(self, game: str, metric: str) -> NoiseFloor | None:
        """The noise floor of a metric in a game, None where it is not defined."""
        rows = (row for row in self.noise_floor if (row.game, row.metric) == (game, metric))
        return next((row for row in rows if row.reason is None), None)

    def return_labels(self) -> list[str]:
        """The caveats that the returns carry, each once."""
        runs = [run for arm in self.arms for run in arm.runs]
        return list(dict.fromkeys(r.returns.label for r in runs if r.returns and r.returns.label))

    def failures(self, game: str | None = None) -> list[Failure]:
        """The runs that failed or were cut short, of one game or of all.

        A run that stops where the study was to stop, or that was left out, is none of them.
        """
        as_asked = {"done", "pending"} | ({"cut"} if self.until != "report" else set())
        return [
            Failure(
                arm=arm.name,
                game=arm.game,
                seed=run.seed,
                state=run.state,
                cause=first_cause(run.error),
                error=(run.error or "").strip(),
            )
            for arm in (*self.arms, *self.controls)
            if game in (None, arm.game)
            for run in arm.runs
            if run.state not in as_asked or run.error
        ]
