"""What a sweep declares: a space, objectives, a sampler and a budget; no Optuna here.

Reading it from a file is in `declaration`.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StrictBool, StrictInt, StrictStr

from diamond.config.base import Record
from diamond.config.defaults import DEFAULT_PRESET, default_game
from diamond.config.engine_options import check_options
from diamond.config.game_names import check_game
from diamond.errors import RequestError, unknown
from diamond.plan.asked_metrics import METRICS_FIELD, asked_metrics
from diamond.plan.declarations import Sentence, Texts
from diamond.plan.find_axis import find_axis, load_families
from diamond.plan.preset_file import DeclaredPreset
from diamond.plan.recipe import base_of
from diamond.plan.request import ALL_STAGES, check_protocol_name, check_stage
from diamond.plan.stage_keys import scores_until
from diamond.plan.toml_files import (
    AxisText,
    Key,
    SlurmOptions,
    join_dotted,
)
from diamond.sweep.objectives import Aim, Measure, quantities
from diamond.sweep.space import (
    KINDS,
    DeclaredParameter,
    Parameter,
    Space,
    check_conditions,
)

GUIDE = "docs/studies.md shows a whole sweep"
SamplerName = Literal["tpe", "nsga2", "random", "grid"]
PrunerName = Literal["median", "percentile", "wilcoxon"]
MAX_TRIALS = 1000
MAX_OBJECTIVES = 4


def _is_parameter(table: Mapping[str, Any]) -> bool:
    """Whether a table declares a parameter; a dotted name makes tables around it."""
    inside = {*KINDS, "step", "log", "when"}
    return bool(inside & table.keys()) or not all(isinstance(v, dict) for v in table.values())


class DeclaredObjective(Record):
    """What is to be made great or small."""

    metric: StrictStr = Field(description="a summary metric, return, hns or a cost")
    at: StrictInt | None = Field(None, ge=1, description="time step; absent: mean over the horizon")
    direction: Aim | None = Field(None, description="maximize or minimize; absent: what is better")


class DeclaredConstraint(Record):
    """A bound that a trial has to keep to count."""

    metric: StrictStr = Field(description="a summary metric, return, hns or a cost")
    at: StrictInt | None = Field(None, ge=1, description="time step; absent: mean over the horizon")
    at_most: float | None = Field(None, description="greatest value allowed")
    at_least: float | None = Field(None, description="least value allowed")


class DeclaredSampler(Record):
    """Who proposes the next trial."""

    name: SamplerName = Field(default="tpe", description="tpe, nsga2, random or grid")
    seed: StrictInt = Field(default=0, ge=0, description="seed of its draws")
    startup_trials: StrictInt = Field(
        default=10, ge=1, description="trials at random before tpe begins"
    )
    population: StrictInt = Field(default=20, ge=2, description="trials of a generation of nsga2")


class DeclaredPruner(Record):
    """Who stops trials that do badly on their way."""

    name: PrunerName = Field(description="median, percentile or wilcoxon")
    at: tuple[Annotated[StrictInt, Field(ge=1)], ...] = Field(
        (), description="updates of the denoiser at which median and percentile look"
    )
    startup_trials: StrictInt = Field(5, ge=0, description="whole trials before any is stopped")
    percentile: float = Field(25.0, gt=0, lt=100, description="share that goes on, per cent")
    p_threshold: float = Field(0.1, gt=0, lt=1, description="p value at which wilcoxon stops")


class DeclaredBudget(Record):
    """When a sweep ends: at the first of these that is reached."""

    trials: StrictInt | None = Field(default=None, ge=1, le=MAX_TRIALS, description="trials in all")
    hours: float | None = Field(
        default=None, gt=0, description="hours during which the sweep was at work"
    )
    denoiser_calls: float | None = Field(
        default=None,
        gt=0,
        description="denoiser calls for one frame, in training and imagination",
    )


class DeclaredConfirmation(Record):
    """How the best configuration is confirmed: on starts that the sweep has not seen."""

    seeds: StrictInt = Field(default=3, ge=1, description="fresh training seeds")


class SweepDeclaration(Record):
    """What a sweep's file says; the order of the fields is that of the reference."""

    question: Sentence = Field(description="what the sweep asks, in words")
    preset: DeclaredPreset = Field(DEFAULT_PRESET, description="preset")
    games: Annotated[Texts, Field(min_length=1)] = Field(
        default_factory=lambda said: (default_game(base_of(said.get("preset", DEFAULT_PRESET))),),
        description="games",
    )
    seeds: StrictInt = Field(1, ge=1, description="training seeds per trial and game")
    protocol: StrictStr = Field("static", description="static or online")
    until: StrictStr | None = Field(None, description="last stage, or all")
    settings: Annotated[dict[str, AxisText], BeforeValidator(join_dotted)] = Field(
        default_factory=dict, description="what all trials share: a value per axis or field"
    )
    space: Annotated[
        dict[str, DeclaredParameter], BeforeValidator(partial(join_dotted, is_leaf=_is_parameter))
    ] = Field(description="what is searched: a parameter per axis or field")
    objectives: tuple[DeclaredObjective, ...] = Field(
        min_length=1, max_length=MAX_OBJECTIVES, description="what is to be made great or small"
    )
    constraints: tuple[DeclaredConstraint, ...] = Field((), description="bounds that trials keep")
    sampler: DeclaredSampler = Field(DeclaredSampler(), description="who proposes trials")
    pruner: DeclaredPruner | None = Field(None, description="who stops trials early")
    budget: DeclaredBudget = Field(DeclaredBudget(), description="when the sweep ends")
    baseline: StrictBool = Field(True, description="whether the preset's values are trial 0")
    confirm: DeclaredConfirmation = Field(
        DeclaredConfirmation(), description="how the best configuration is confirmed"
    )
    slurm: SlurmOptions = Field(default_factory=dict, description="what is said to Slurm")

    @property
    def parameters(self) -> Space:
        """The space, read."""
        return tuple(Parameter.of(name, found) for name, found in self.space.items())

    @property
    def measures(self) -> tuple[Measure, ...]:
        """The objectives, read."""
        known = quantities(self.settings)
        return tuple(Measure(known[one.metric], one.at) for one in self.objectives)

    @property
    def bounds(self) -> tuple[Measure, ...]:
        """The quantities of the constraints, read."""
        known = quantities(self.settings)
        return tuple(Measure(known[one.metric], one.at) for one in self.constraints)

    @property
    def directions(self) -> tuple[Aim, ...]:
        """What is better, per objective."""
        return tuple(
            one.direction or measure.quantity.aim
            for one, measure in zip(self.objectives, self.measures, strict=True)
        )


def checks(said: SweepDeclaration) -> Iterator[tuple[Key, Callable[[], object]]]:
    """What a record alone does not know, with the place that is at fault."""
    yield from ((("games", n), partial(check_game, game)) for n, game in enumerate(said.games))
    yield ("protocol",), partial(check_protocol_name, said.protocol)
    yield ("until",), lambda: check_stage(said.until, check_protocol_name(said.protocol))
    choices = {name: one.choices or () for name, one in said.space.items()}
    yield ("space", "family"), partial(load_families, choices)
    yield ("settings", "family"), partial(load_families, {n: [t] for n, t in said.settings.items()})
    yield from ((("space", name), partial(find_axis, name)) for name in said.space)
    for name in said.settings:
        yield ("settings", name), partial(find_axis, name)
        if name in said.space:
            yield ("settings", name), partial(_refuse, f"{name} is searched in [space] already")
    yield ("settings", METRICS_FIELD), partial(asked_metrics, said.settings)
    yield ("space",), partial(_check_conditions, said)
    for number, one in enumerate(said.objectives):
        yield ("objectives", number, "metric"), partial(_check_measure, said, one.metric, one.at)
    for number, bound in enumerate(said.constraints):
        place: Key = ("constraints", number, "metric")
        yield place, partial(_check_measure, said, bound.metric, bound.at)
        if (bound.at_most is None) == (bound.at_least is None):
            why = "a constraint has exactly one of at_most and at_least"
            yield ("constraints", number), partial(_refuse, why)
    for name, text in said.slurm.items():
        yield ("slurm", name), partial(check_options, "slurm", {name: text})
    names = [(one.metric, one.at) for one in said.objectives]
    for number, pair in enumerate(names):
        if pair in names[:number]:
            yield ("objectives", number), partial(_refuse, f"two objectives are {pair[0]!r}")
    yield ("sampler",), partial(_check_sampler, said)
    yield ("pruner",), partial(check_pruner, said)
    yield ("budget",), partial(_check_budget, said)


def _refuse(why: str) -> None:
    raise RequestError(why)


def _check_conditions(said: SweepDeclaration) -> None:
    why = check_conditions(said.parameters)
    if why is not None:
        raise RequestError(why)


def _check_measure(said: SweepDeclaration, name: str, at: int | None) -> None:
    known = quantities(said.settings)
    if name not in known:
        raise unknown(
            "metric",
            name,
            known,
            "docs/metrics.md explains them; costs and hns too; one of your own where [settings] "
            "asks for it: fidelity.metrics",
        )
    quantity = known[name]
    if at is not None and not quantity.has_steps:
        raise RequestError(f"{name} has one value a run and none at a time step: leave `at` out")
    until = check_stage(said.until, check_protocol_name(said.protocol))
    if not scores_until(until, check_protocol_name(said.protocol), quantity.stage):
        raise RequestError(
            f"{name} comes of the stage {quantity.stage}, and until = {until!r} stops before it\n"
            f"  write until = {quantity.stage!r}, or until = {ALL_STAGES!r}"
        )


def _check_sampler(said: SweepDeclaration) -> None:
    if said.sampler.name != "grid":
        return
    endless = [p.name for p in said.parameters if not p.is_finite]
    if endless:
        raise RequestError(
            f"the sampler grid needs values that can be counted; {endless[0]} has none\n"
            "  give it choices, or a step: { float = [0, 10], step = 2.5 }"
        )


def check_pruner(said: SweepDeclaration) -> None:
    """Check that the pruner looks at what is searched, before a training ends.

    Raises:
        RequestError: It does not, or looks too late.
    """
    pruner = said.pruner
    if pruner is None:
        return
    if len(said.objectives) > 1 or said.constraints:
        raise RequestError(
            "a pruner stops trials by one objective; this sweep has "
            f"{len(said.objectives)} and {len(said.constraints)} constraints\n  leave [pruner] out"
        )
    if pruner.name == "wilcoxon":
        if said.seeds * len(said.games) < 2:
            raise RequestError(
                "the pruner wilcoxon pairs instances (seed x game); this sweep has one\n"
                "  give more seeds or games, or the pruner median with checkpoints: at = [500]"
            )
        if pruner.at:
            raise RequestError("the pruner wilcoxon looks after every instance: leave `at` out")
        _check_instances(said.seeds * len(said.games), pruner.p_threshold)
        return
    if not pruner.at or list(pruner.at) != sorted(set(pruner.at)):
        raise RequestError(
            f"the pruner {pruner.name} looks at stated updates of the denoiser, in rising order; "
            f"at = {list(pruner.at)}\n  for instance at = [500, 1000]"
        )
    quantity = said.measures[0].quantity
    if quantity.stage != "fidelity" or said.protocol != "static":
        raise RequestError(
            f"the pruner {pruner.name} looks at the fidelity of a denoiser on its way (static "
            f"protocol); the objective is {quantity.name} and the protocol {said.protocol}\n"
            "  use the pruner wilcoxon over several seeds or games, or leave [pruner] out"
        )


def _check_instances(count: int, p_threshold: float) -> None:
    """Refuse a test that cannot stop a trial before its last instance.

    The least p value of k pairs is that of k differences of one sign, 2^-k (exact signed ranks).
    """
    least = 2.0 ** -max(count - 1, 2)
    if count < 3 or least >= p_threshold:
        raise RequestError(
            f"the pruner wilcoxon can stop no trial before the last of its {count} instances "
            f"(seed x game): {max(count - 1, 2)} pairs have a p value of {least:g} or more, and "
            f"p_threshold = {p_threshold:g}\n  give more seeds or games, or a p_threshold above "
            f"{least:g}"
        )


def _check_budget(said: SweepDeclaration) -> None:
    budget = said.budget
    if said.sampler.name == "grid":
        return
    if (budget.trials, budget.hours, budget.denoiser_calls) == (None, None, None):
        raise RequestError(
            "[budget] says neither trials nor hours nor denoiser_calls: the sweep would not end\n"
            "  for instance trials = 60"
        )
