"""The plan of a study: arms, runs and the stages they share, from the words of a command."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Literal

from diamond.ablation.axes import Axis, find_axis
from diamond.ablation.grammar import Assignment, parse_assignments
from diamond.ablation.stages import (
    PROTOCOL_STAGES,
    STAGES,
    StageName,
    StageSpec,
    random_returns,
    stages_of,
)
from diamond.config.base import canonical, content_hash
from diamond.config.checkpoint import CHECKPOINT_SECTIONS, Checkpoint, read_checkpoint
from diamond.config.games import check_game
from diamond.config.overrides import override
from diamond.config.presets import make_preset
from diamond.config.run import Family, Protocol, RunConfig
from diamond.errors import RequestError, unknown

BASELINES: tuple[Family, ...] = ("copy_last", "median_background")
BASELINE_NAMES: Mapping[Family, str] = {
    "copy_last": "copy last frame",
    "median_background": "median background",
}
MAX_ARMS = 200
PRIMARY_METRIC = "core_ratio"
Goal = Literal["ablation", "agent"]
"""What a study is for: to compare arms, or to train one agent per game and seed."""
SCORED_STAGES: tuple[StageName, ...] = ("references", "rollouts", "fidelity")
"""Stages that only a run with a world model has."""
AGENT_ARM = "agent"
"""Name of the arm of a study that varies nothing."""


@dataclass(frozen=True)
class Request:
    """The words of `diamond ablate` or `diamond train`, not yet checked.

    Attributes:
        assignments: Texts such as ``steps=1,3,10``.
        preset: Name of a preset.
        games: Names of games.
        num_seeds: Runs per arm and game.
        until: Name of the last stage, or None.
        name: Name of the study, or None to make one.
        checkpoint: Folder of a trained agent that takes the place of training, or None.
        protocol: Whether arms share their real frames or collect their own.
        goal: An ablation varies something; an agent has at most one value per axis.
    """

    assignments: tuple[str, ...]
    preset: str
    games: tuple[str, ...]
    num_seeds: int
    until: str | None
    name: str | None
    checkpoint: Path | None = None
    protocol: Protocol = "static"
    goal: Goal = "ablation"


@dataclass(frozen=True)
class Run:
    """One arm on one game with one seed."""

    config: RunConfig
    stages: tuple[StageSpec, ...]


@dataclass(frozen=True)
class Arm:
    """One combination of axis values, or a baseline, on one game.

    Attributes:
        name: ``steps=3``, or the name of a baseline.
        kind: Whether the world model is trained or a baseline.
        game: The game.
        axis_values: Text of the value per axis, as it was written.
        runs: One per seed; a baseline has one.
    """

    name: str
    kind: Literal["arm", "baseline"]
    game: str
    axis_values: Mapping[str, str]
    runs: tuple[Run, ...]


@dataclass(frozen=True)
class Plan:
    """Everything that a study will do, by value.

    Attributes:
        study: Name of the study.
        request: Where it came from.
        axes: What is varied.
        arms: Arms of all games, then baselines of all games.
        random_players: Per game the stage that plays at random, when returns are asked for.
        until: Last stage, or None for all.
    """

    study: str
    request: Request
    axes: tuple[Axis, ...]
    arms: tuple[Arm, ...]
    random_players: Mapping[str, StageSpec]
    until: StageName | None

    def stages(self) -> tuple[StageSpec, ...]:
        """All stages, each once, in an order in which they can be made."""
        found: dict[str, StageSpec] = {}
        for arm in self.arms:
            for run in arm.runs:
                for spec in run.stages:
                    found.setdefault(spec.key, spec)
        for spec in self.random_players.values():
            found.setdefault(spec.key, spec)
        return tuple(sorted(found.values(), key=lambda spec: STAGES.index(spec.stage)))


def make_plan(request: Request) -> Plan:
    """Check a request and lay out its arms, runs and stages.

    Raises:
        RequestError: Something in the request does not exist or is not allowed.
    """
    assignments = _assignments(request)
    axes = tuple(find_axis(assignment.name) for assignment in assignments)
    _check_axes(axes)
    if request.num_seeds < 1:
        raise RequestError(f"--seeds {request.num_seeds}: at least 1 seed is needed")
    until = check_stage(request.until, request.protocol)
    checkpoint = None if request.checkpoint is None else read_checkpoint(request.checkpoint)
    if checkpoint is not None:
        _check_fits(request, checkpoint, axes)
    games = tuple(check_game(game) for game in request.games)
    if len(set(games)) != len(games):
        raise RequestError(f"--game {','.join(games)} names a game twice")
    combinations = list(product(*(assignment.values for assignment in assignments)))
    if len(combinations) > MAX_ARMS:
        raise RequestError(
            f"{len(combinations)} combinations are more than {MAX_ARMS} arms; vary fewer values"
        )
    arms: list[Arm] = []
    for game in games:
        base = make_preset(request.preset, game, request.protocol)
        if checkpoint is not None:
            base = checkpoint.apply(base)
        made = [_arm(base, axes, values, request.num_seeds, until) for values in combinations]
        _refuse_equal_arms(made)
        _refuse_unscored(made, until)
        arms += made
    if until in (None, "rollouts", "fidelity") and any(imagines(arm) for arm in arms):
        arms += [
            _baseline(arm_of(arms, game), family, until) for game in games for family in BASELINES
        ]
    random_players = {
        game: random_returns(arm_of(arms, game).runs[0].config)
        for game in games
        if until in (None, "returns")
    }
    study = request.name or study_name(axes, games, request, checkpoint)
    return Plan(study, request, axes, tuple(arms), random_players, until)


def check_stage(name: str | None, protocol: Protocol = "static") -> StageName | None:
    """Return the name of a stage of a protocol.

    Raises:
        RequestError: There is no such stage.
    """
    stages = PROTOCOL_STAGES[protocol]
    for stage in stages:
        if stage == name:
            return stage
    if name is None:
        return None
    if name in STAGES:
        raise RequestError(
            f"--until {name}: the {protocol} protocol has no such stage\n"
            f"  allowed: {', '.join(stages)}"
        )
    raise unknown("stage", name, stages, "for instance --until fidelity, which trains no policy")


def check_protocol_name(name: str) -> Protocol:
    """Return the name of a protocol.

    Raises:
        RequestError: There is no such protocol.
    """
    for protocol in PROTOCOL_STAGES:
        if protocol == name:
            return protocol
    raise unknown("protocol", name, PROTOCOL_STAGES, "give one with --protocol")


def study_name(
    axes: tuple[Axis, ...],
    games: tuple[str, ...],
    request: Request,
    checkpoint: Checkpoint | None,
) -> str:
    """Name a study without the values of its axes, so that values can be added."""
    origin = (
        request.protocol if checkpoint is None else f"checkpoint-{checkpoint.source_sha256[:8]}"
    )
    first = ["train"] if request.goal == "agent" else []
    names = [axis.name for axis in axes]
    return "-".join([*first, *names, *(game.lower() for game in games), request.preset, origin])


def arm_of(arms: list[Arm], game: str) -> Arm:
    """The first arm of a game."""
    return next(arm for arm in arms if arm.game == game)


def imagines(arm: Arm) -> bool:
    """Whether the runs of an arm have a world model whose imagination is scored."""
    return arm.runs[0].config.imagines


def run_key(study: str, config: RunConfig) -> str:
    """Identity of a run in the tracking store: study, resolved config with game and seed."""
    return content_hash({"study": study, "config": canonical(config)})[:20]


def _arm(
    base: RunConfig,
    axes: tuple[Axis, ...],
    values: tuple[str, ...],
    num_seeds: int,
    until: StageName | None,
) -> Arm:
    chosen = tuple(zip(axes, values, strict=True))
    config = apply_axes(base, chosen)
    runs = []
    for seed in range(num_seeds):
        seeded = config.model_copy(update={"seed": seed})
        runs.append(Run(seeded, stages_of(seeded, until)))
    name = " ".join(f"{axis.name}={value}" for axis, value in zip(axes, values, strict=True))
    texts = {axis.name: value for axis, value in chosen}
    return Arm(name or AGENT_ARM, "arm", config.game, texts, tuple(runs))


def apply_axes(base: RunConfig, chosen: Sequence[tuple[Axis, str]]) -> RunConfig:
    """A config with the values of axes set: bundles first, then what changes single fields."""
    settings: dict[str, Any] = {}
    for kind in ("bundle", "single"):
        for axis, text in chosen:
            if axis.kind == kind:
                settings |= axis.settings(text, base)
    return override(base, settings)


def _baseline(arm: Arm, family: Family, until: StageName | None) -> Arm:
    static = {"protocol": "static", "online": None}
    config = arm.runs[0].config.model_copy(update={"family": family, **static})
    run = Run(config, stages_of(config, until))
    return Arm(BASELINE_NAMES[family], "baseline", arm.game, {}, (run,))


def _assignments(request: Request) -> tuple[Assignment, ...]:
    if request.goal == "agent" and not request.assignments:
        return ()
    assignments = parse_assignments(request.assignments)
    for assignment in assignments:
        if request.goal == "agent" and len(assignment.values) > 1:
            raise RequestError(
                f"{assignment.name}={','.join(assignment.values)}: `diamond train` makes one "
                "agent\n"
                "  give one value, or compare values with `diamond ablate ... --protocol "
                f"{request.protocol}`"
            )
    return assignments


def _check_axes(axes: tuple[Axis, ...]) -> None:
    fields = [field for axis in axes if axis.kind == "single" for field in axis.fields]
    for field in fields:
        if fields.count(field) > 1:
            raise RequestError(f"two axes set {field}; give it once")


def _refuse_unscored(arms: list[Arm], until: StageName | None) -> None:
    """Refuse to stop at a stage that an arm does not have."""
    for arm in arms:
        if until in SCORED_STAGES and not imagines(arm):
            raise RequestError(
                f"--until {until}: the arm {arm.name!r} is trained in the real game and imagines "
                "nothing\n  allowed with it: agent, returns, or leave --until out"
            )


def _check_fits(request: Request, checkpoint: Checkpoint, axes: tuple[Axis, ...]) -> None:
    """Refuse what a trained agent leaves no choice in."""
    if request.protocol == "online":
        raise RequestError(
            "--checkpoint with --protocol online: a checkpoint takes the place of training\n"
            "  leave one of the two out"
        )
    for axis in axes:
        if any(field.split(".", maxsplit=1)[0] in CHECKPOINT_SECTIONS for field in axis.fields):
            raise RequestError(
                f"{axis.name} cannot be varied with --checkpoint: its networks are trained "
                "already\n  allowed: how frames are drawn (steps, sampler.order and the rest of "
                "sampler) and evaluation"
            )
    if request.games != (checkpoint.game,):
        raise RequestError(
            f"--game {','.join(request.games)}: the checkpoint was trained on {checkpoint.game}\n"
            "  leave --game out"
        )
    if request.num_seeds != 1:
        raise RequestError(
            f"--seeds {request.num_seeds}: a checkpoint is one trained model\n  leave --seeds out"
        )
    if request.until == "frames":
        raise RequestError(
            "--until frames: with --checkpoint no frames are recorded for training\n"
            "  allowed: any other stage, for instance --until fidelity"
        )


def _refuse_equal_arms(arms: list[Arm]) -> None:
    seen: dict[str, str] = {}
    for arm in arms:
        identity = content_hash(canonical(arm.runs[0].config))
        if identity in seen:
            raise RequestError(
                f"{seen[identity]!r} and {arm.name!r} are the same run; give each value once"
            )
        seen[identity] = arm.name
