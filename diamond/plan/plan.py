"""The plan of a study: arms, runs and the stages they share, from the words of a command."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Literal

from diamond.config.base import Same, canonical, canonical_members, content_hash
from diamond.config.checkpoint_record import Checkpoint, read_checkpoint
from diamond.config.game_names import check_games, slug_of
from diamond.config.metric_table import RETURN
from diamond.config.player_names import UnseeingPlayer
from diamond.config.presets import make_preset
from diamond.config.primary import default_primary
from diamond.config.run import RunConfig
from diamond.config.scoring import DEFECTS, Defect
from diamond.config.worlds import family_of, find_family
from diamond.errors import RequestError
from diamond.plan.axes import Axis
from diamond.plan.axis_values import COLLECTOR, OFF_DATA, current_off_data
from diamond.plan.baseline_players import PlayerStage, players_beside
from diamond.plan.checkpoint_fit import check_fits
from diamond.plan.designs import lay_out, read_arms, read_setting
from diamond.plan.grammar import Assignment, parse_assignments
from diamond.plan.match import match_costs
from diamond.plan.path import Path, make_path
from diamond.plan.request import (
    Design,
    Request,
    check_stage,
)
from diamond.plan.stage_keys import (
    StageName,
    StageSpec,
    scores_until,
    stages_by_seed,
    stages_of,
)
from diamond.plan.variants import (
    Matched,
    Setting,
    Variant,
    apply_axes,
    baseline_of,
    make_variant,
)
from diamond.stages.fidelity import FIDELITY
from diamond.stages.registry import find_stage_record, records, stages_of_run
from diamond.stages.returns import RETURNS

if TYPE_CHECKING:
    from diamond.families.interface import Family

AA_NAME = "baseline, other seeds"
MAX_ARMS = 1000
AGENT_ARM = "agent"
"""Name of the arm of a study that varies nothing."""


@dataclass(frozen=True)
class Run:
    """One arm on one game with one seed."""

    config: RunConfig
    stages: tuple[StageSpec, ...]

    @cached_property
    def players(self) -> Mapping[UnseeingPlayer, StageSpec]:
        """The stages of the players that its policy stands beside; none where it does not play."""
        own = (spec for spec in self.stages if spec.stage == RETURNS.name)
        return next(map(players_beside, own), {})

    @property
    def all_stages(self) -> tuple[StageSpec, ...]:
        """Its own stages and those of the players beside its policy."""
        return (*self.stages, *self.players.values())


@dataclass(frozen=True)
class Arm:
    """One combination of axis values, or a baseline without training, on one game.

    Attributes:
        name: ``steps=3``, the user's own name, or the name of a baseline without training.
        kind: Whether the world model is trained, a baseline, or the baseline arm's with a known
            defect.
        game: The game.
        axis_values: Text of the value per axis, as it was written.
        runs: One per seed; a baseline has one.
        is_baseline: Whether the others are compared with it: the first arm of the game that
            imagines, or the first if none does.
        aa: Whether it is the baseline once more, with other seeds: its runs pair with none.
        matched: What was changed so that it costs what the baseline costs.
    """

    name: str
    kind: Literal["arm", "baseline", "control"]
    game: str
    axis_values: Mapping[str, str]
    runs: tuple[Run, ...]
    is_baseline: bool = False
    aa: bool = False
    matched: tuple[Matched, ...] = ()


@dataclass(frozen=True)
class Plan:
    """Everything that a study will do, by value.

    Attributes:
        study: Name of the study.
        request: Where it came from.
        design: How the arms were made; arms alone are those that were written out.
        axes: What is varied; none on a path, which has factors.
        arms: Arms of all games, then baselines without training of all games.
        paths: Per game the walks of a path; empty for other designs.
        controls: Of all games the baseline arm with each known defect, scored by fidelity alone.
        until: Last stage, or None for all.
        collectors: Texts of the axes `collector` and `off_data`, of all arms; some are folders of
            checkpoints.
    """

    study: str
    request: Request
    design: Design | Literal["arms"]
    axes: tuple[Axis, ...]
    arms: tuple[Arm, ...]
    paths: Mapping[str, Path]
    until: StageName | None
    collectors: tuple[str, ...]
    controls: tuple[Arm, ...] = ()

    @property
    def with_controls(self) -> tuple[Arm, ...]:
        """All that has runs: arms, baselines without training, controls."""
        return (*self.arms, *self.controls)

    def stages(self) -> tuple[StageSpec, ...]:
        """All stages, each once, in an order in which they can be made."""
        return self._stages

    @cached_property
    def primary_metric(self) -> str:
        """The metric that was named beforehand.

        By the declaration; else that of the games, or the return where arms have one world model
        and differ in their policies alone.
        """
        if self.request.declared is not None:
            return self.request.declared.declaration.primary
        trained = [arm for arm in self.arms if arm.kind == "arm" and not arm.aa]
        if all(_only_policies_differ(trained, game) for game in self.request.games):
            return RETURN.name
        return default_primary(arm.runs[0].config for arm in trained)

    @cached_property
    def players(self) -> tuple[PlayerStage, ...]:
        """The players that the policies stand beside, each stage once."""
        found: dict[str, PlayerStage] = {}
        for arm in self.arms:
            for run in arm.runs:
                for player, spec in run.players.items():
                    stage = PlayerStage(player, spec, run.config, arm.name)
                    found.setdefault(spec.key, stage)
        return tuple(found.values())

    def baseline(self, game: str) -> Arm:
        """The arm that the others of a game are compared with: `Arm.is_baseline`."""
        return next(arm for arm in self.arms if arm.game == game and arm.is_baseline)

    @cached_property
    def _stages(self) -> tuple[StageSpec, ...]:
        found: dict[str, StageSpec] = {}
        for arm in self.with_controls:
            for run in arm.runs:
                for spec in run.stages:
                    found.setdefault(spec.key, spec)
        found |= {player.spec.key: player.spec for player in self.players}
        families = dict.fromkeys(run.config.world.family for arm in self.arms for run in arm.runs)
        order = {one.name: place for place, one in enumerate(records(*families))}
        return tuple(sorted(found.values(), key=lambda spec: order[spec.stage]))


@dataclass(frozen=True)
class _Layout:
    """What a request varies, before it meets a game: settings, or the ends of a path, and arms."""

    design: Design | Literal["arms"]
    settings: tuple[Setting, ...]
    ends: tuple[Setting, Setting] | None
    arms: tuple[Setting, ...]

    @property
    def varied(self) -> tuple[Axis, ...]:
        """The axes of the design, each once."""
        return tuple(axis for axis, _ in self.settings[0].chosen) if self.settings else ()

    def chosen(self) -> tuple[tuple[Axis, str], ...]:
        """Every axis that any arm sets, with the texts of its values."""
        pairs = [
            pair
            for setting in (*self.settings, *(self.ends or ()), *self.arms)
            for pair in setting.chosen
        ]
        return tuple(dict.fromkeys(pairs))


def make_plan(request: Request) -> Plan:
    """Check a request and lay out its arms, runs and stages.

    Raises:
        RequestError: Something in the request does not exist or is not allowed.
    """
    layout = _lay_out(request)
    shared = read_setting(request.settings, "settings").chosen
    chosen = (*shared, *layout.chosen())
    _check_seeds(request)
    until = check_stage(request.until, request.protocol)
    checkpoint = None if request.checkpoint is None else read_checkpoint(request.checkpoint)
    if checkpoint is not None:
        check_fits(request, checkpoint, tuple(dict.fromkeys(axis for axis, _ in chosen)))
    games = check_games(request.games)
    arms: list[Arm] = []
    paths: dict[str, Path] = {}
    for game in games:
        base = make_preset(request.preset, game, request.protocol)
        if checkpoint is not None:
            base = checkpoint.apply(base)
        base = _on_starts(apply_axes(base, shared), request.first_start)
        variants, path = _variants(layout, base)
        if request.match is not None:
            variants = match_costs(request.match, variants)
        made = _arms(variants, request, until)
        _refuse_other_starts(made)
        _refuse_equal_arms(made)
        _refuse_unscored(made, until)
        arms += made
        paths |= {} if path is None else {game: path}
    if scores_until(until, request.protocol, "rollouts") and any(imagines(arm) for arm in arms):
        arms += [arm for game in games for arm in baseline_arms(arms, game, until)]
    controls = [arm for game in games for arm in control_arms(arms, game, request, until)]
    study = request.name or study_name(layout, games, request, checkpoint)
    players = (text for axis, text in chosen if axis.name in (COLLECTOR, OFF_DATA))
    collectors = tuple(dict.fromkeys(players))
    return Plan(
        study,
        request,
        layout.design,
        layout.varied,
        tuple(arms),
        paths,
        until,
        collectors,
        tuple(controls),
    )


def study_name(
    layout: _Layout,
    games: tuple[str, ...],
    request: Request,
    checkpoint: Checkpoint | None,
) -> str:
    """Name a study without the values of its axes, so that values and arms can be added.

    The design, what arms are matched by and where their starts begin are part of what a study is;
    a grid and the first start go without saying, and seeds are no part of it.
    """
    origin = (
        request.protocol if checkpoint is None else f"checkpoint-{checkpoint.source_sha256[:8]}"
    )
    first = ["train"] if request.goal == "agent" else []
    first += [] if layout.design == "grid" else [layout.design]
    names = [axis.name for axis in layout.varied]
    if layout.ends is not None:
        start, end = (_end_name(setting) for setting in layout.ends)
        names = [start, "to", end]
    matched = [] if request.match is None else [f"match-{request.match}"]
    if request.settings:
        matched.append(f"set-{_end_name(read_setting(request.settings, 'settings'))}")
    starts = [] if request.first_start == 0 else [f"start-{request.first_start}"]
    shown = [slug_of(game) for game in games]
    return "-".join([*first, *names, *matched, *starts, *shown, request.preset, origin])


def _end_name(setting: Setting) -> str:
    """An end of a path in the name of a folder: ``ddpm``, ``ddpm+steps=3``."""
    words = [
        text if axis.kind == "bundle" else f"{axis.name}={text}" for axis, text in setting.chosen
    ]
    return re.sub(r"[^\w.=+-]+", "_", "+".join(words))


def arm_of(arms: Sequence[Arm], game: str) -> Arm:
    """The first arm of a game."""
    return next(arm for arm in arms if arm.game == game)


def imagines(arm: Arm) -> bool:
    """Whether the runs of an arm have a world model whose imagination is scored."""
    return arm.runs[0].config.imagines


def _only_policies_differ(arms: Sequence[Arm], game: str) -> bool:
    """Whether the arms of a game share what imagines, and each has a policy that plays."""
    runs = [{s.stage: s.key for s in arm.runs[0].stages} for arm in arms if arm.game == game]
    played = {stages.get(RETURNS.name) for stages in runs}
    return len(played) > 1 and None not in played and len({r.get("rollouts") for r in runs}) == 1


def run_key(study: str, config: RunConfig) -> str:
    """Identity of a run in the tracking store: study, resolved config with game and seed."""
    return _run_key(study, Same(config))


@lru_cache(maxsize=1 << 14)
def _run_key(study: str, config: Same) -> str:
    """A study that is followed asks for the keys of its runs again and again."""
    return content_hash({"study": study, "config": canonical(config.value)})[:20]


def _lay_out(request: Request) -> _Layout:
    arms = read_arms(request.arms)
    _check_ends(request)
    if request.design == "path":
        start = read_setting(request.path_from, "--from")
        end = read_setting(request.path_to, "--to")
        layout = _Layout("path", (), (start, end), arms)
    elif request.goal == "agent" and not request.assignments:
        layout = _Layout("grid", (Setting(AGENT_ARM, ()),), None, ())
    elif arms and not request.assignments and request.design == "grid":
        layout = _Layout("arms", (), None, arms)
    else:
        settings = lay_out(request.design, _assignments(request))
        layout = _Layout(request.design, settings, None, arms)
    num_arms = len(layout.settings) + len(layout.arms)
    if num_arms > MAX_ARMS:
        raise RequestError(
            f"{num_arms} combinations are more than {MAX_ARMS} arms\n"
            "  vary fewer values, or one factor at a time: --design ofat"
        )
    return layout


def _check_ends(request: Request) -> None:
    """A path has two ends and no axes; nothing else has ends."""
    example = "diamond ablate --design path --from formulation=ddpm --to formulation=edm"
    for option, texts in (("--from", request.path_from), ("--to", request.path_to)):
        if request.design == "path" and not "".join(texts).strip():
            raise RequestError(f"--design path needs {option}\n  for instance: {example}")
        if request.design != "path" and texts:
            raise RequestError(
                f"{option} {' '.join(texts)!r} is an end of a path, and the design is "
                f"{request.design}\n  add --design path, for instance: {example}"
            )
    if request.design == "path" and request.assignments:
        raise RequestError(
            f"--design path takes no axes: {' '.join(request.assignments)!r}\n"
            f"  what both ends share goes into both, for instance: {example}"
        )


def _check_seeds(request: Request) -> None:
    if request.num_seeds < 1:
        raise RequestError(f"--seeds {request.num_seeds}: at least 1 seed is needed")
    for option, first in (
        ("--first-seed", request.first_seed),
        ("--first-start", request.first_start),
    ):
        if first < 0:
            raise RequestError(f"{option} {first}: numbers begin at 0\n  allowed: 0 or more")
    if request.aa and request.num_seeds < 2:
        raise RequestError(
            "--aa compares the baseline with itself under other seeds: one seed of each says "
            "nothing of training again\n  add --seeds 3, or more"
        )
    if request.aa and request.checkpoint is not None:
        raise RequestError(
            "--aa with --checkpoint: a checkpoint is one trained model\n  leave one of the two out"
        )


def _variants(layout: _Layout, base: RunConfig) -> tuple[list[Variant], Path | None]:
    """The arms of a game and its path."""
    variants: list[Variant] = []
    path = None
    if layout.ends is not None:
        path, variants = make_path(base, *layout.ends)
    return [*variants, *(make_variant(base, s) for s in (*layout.settings, *layout.arms))], path


def _on_starts(config: RunConfig, first: int) -> RunConfig:
    """The config with its held-out starts from a number on: no axis, all arms share them."""
    references = config.references.model_copy(update={"first_start": first})
    return config.model_copy(update={"references": references})


def _arms(variants: Sequence[Variant], request: Request, until: StageName | None) -> list[Arm]:
    arms = [_arm(variant, request.seeds, until) for variant in variants]
    first = baseline_of(variants)
    arms[first] = replace(arms[first], is_baseline=True)
    if request.aa:
        again = replace(variants[first], name=AA_NAME)
        later = range(request.seeds.stop, request.seeds.stop + request.num_seeds)
        arms.append(replace(_arm(again, later, until), aa=True))
    return arms


def _arm(variant: Variant, seeds: Sequence[int], until: StageName | None) -> Arm:
    runs = [
        Run(variant.config.model_copy(update={"seed": seed}), stages)
        for seed, stages in zip(seeds, stages_by_seed(variant.config, seeds, until), strict=True)
    ]
    return Arm(
        variant.name,
        "arm",
        variant.config.game,
        variant.axis_values,
        tuple(runs),
        matched=variant.matched,
    )


def control_arms(
    arms: Sequence[Arm], game: str, request: Request, until: StageName | None
) -> list[Arm]:
    """The baseline arm of a game with each known defect; it shares all training.

    Raises:
        RequestError: Nothing is imagined or scored, or there are no actions of another start.
    """
    if not request.controls:
        return []
    baseline = next(arm for arm in arms if arm.game == game and arm.is_baseline)
    if not imagines(baseline) or not scores_until(until, request.protocol):
        why = f"--until {until}" if imagines(baseline) else f"the arm {baseline.name!r}"
        raise RequestError(
            f"--controls with {why}: no imagined frames are scored, so no metric can tell a "
            "defect\n  leave --controls out, or score frames: --until fidelity, or all"
        )
    config = baseline.runs[0].config
    if config.rollouts.num_starts < 2 or config.rollouts.defect != "none":
        raise RequestError(
            f"--controls with rollouts.num_starts={config.rollouts.num_starts} and "
            f"rollouts.defect={config.rollouts.defect}: defects are made of the baseline arm\n"
            "  allowed: two starts or more, and a baseline arm without a defect"
        )
    return [_control(baseline, defect, request.seeds) for defect in DEFECTS]


def _control(baseline: Arm, defect: Defect, seeds: Sequence[int]) -> Arm:
    config = baseline.runs[0].config
    rollouts = config.rollouts.model_copy(update={"defect": defect})
    variant = Variant(
        f"control {defect}", config.model_copy(update={"rollouts": rollouts}), baseline.axis_values
    )
    return replace(_arm(variant, seeds, FIDELITY.name), kind="control", matched=baseline.matched)


def baseline_arms(arms: Sequence[Arm], game: str, until: StageName | None) -> list[Arm]:
    """World models without training, on the starts of the first arm of a game.

    They are the controls of the families of all its arms.
    """
    families = [family_of(arm.runs[0].config) for arm in arms if arm.game == game]
    controls = dict.fromkeys(name for family in families for name in family.controls)
    config = arm_of(arms, game).runs[0].config
    return [_baseline_arm(config, find_family(name), until) for name in controls]


def baseline_config(config: RunConfig, family: "Family") -> RunConfig:
    """A run of a family without training beside another run."""
    world = family.preset(config.preset, config.game)
    update = {"world": world, "protocol": "static", "online": None, "imported": None}
    return config.model_copy(update=update)


def _baseline_arm(config: RunConfig, family: "Family", until: StageName | None) -> Arm:
    own = baseline_config(config, family)
    return Arm(family.title, "baseline", own.game, {}, (Run(own, stages_of(own, until)),))


def _assignments(request: Request) -> tuple[Assignment, ...]:
    repeats: Literal["refused", "kept"] = "kept" if request.design == "zip" else "refused"
    assignments = parse_assignments(request.assignments, repeats)
    for assignment in assignments:
        if request.goal == "agent" and len(assignment.values) > 1:
            raise RequestError(
                f"{assignment.name}={','.join(assignment.values)}: `diamond train` makes one "
                "agent\n"
                "  give one value, or compare values with `diamond ablate ... --protocol "
                f"{request.protocol}`"
            )
    return assignments


def _refuse_unscored(arms: list[Arm], until: StageName | None) -> None:
    """Refuse to stop at a stage that an arm does not have."""
    for arm in arms:
        config = arm.runs[0].config
        if until is not None and "real" not in find_stage_record(until).runs and not imagines(arm):
            raise RequestError(
                f"--until {until}: the arm {arm.name!r} is trained in the real game and imagines "
                "nothing\n  allowed with it: agent, returns, all"
            )
        allowed = [stage.name for stage in stages_of_run(config)]
        if until is not None and imagines(arm) and until not in allowed:
            raise RequestError(
                f"--until {until}: the arm {arm.name!r} of the family {config.world.family} has no "
                f"such stage\n  allowed with it: {', '.join(allowed)}, all"
            )


def _refuse_other_starts(arms: list[Arm]) -> None:
    """Refuse arms that are scored against starts of different players."""
    found = {current_off_data(arm.runs[0].config): arm.name for arm in arms}
    if len(found) > 1:
        told = "; ".join(f"{player} ({arm})" for player, arm in found.items())
        raise RequestError(
            f"{OFF_DATA} differs between arms: {told}\n  all arms of a study are scored against "
            f"the same real frames: give it once, for instance --set {OFF_DATA}=shipped"
        )


def _refuse_equal_arms(arms: list[Arm]) -> None:
    seen: dict[str, str] = {}
    families = {arm.runs[0].config.world.family for arm in arms}
    names = {find_family(name).title for one in families for name in find_family(one).controls}
    for arm in arms:
        if arm.name in names:
            raise RequestError(
                f"two arms are called {arm.name!r}; give one of them another name with --arm"
            )
        names.add(arm.name)
        identity = canonical_members(canonical(arm.runs[0].config))
        if identity in seen:
            raise RequestError(
                f"{seen[identity]!r} and {arm.name!r} are the same run; "
                "give each value and each arm once"
            )
        seen[identity] = arm.name
