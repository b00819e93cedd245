"""The plan of a study: arms, runs and the stages they share, by value.

How it is made of a request: `make_plan`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal

from diamond.config.base import Same, canonical, content_hash
from diamond.config.metric_table import RETURN
from diamond.config.player_names import UnseeingPlayer
from diamond.config.primary import default_primary
from diamond.config.run import RunConfig
from diamond.plan.baseline_players import PlayerStage, players_beside
from diamond.plan.find_axis import Axis
from diamond.plan.path import Path
from diamond.plan.request import Design, Request
from diamond.plan.stage_keys import StageName, StageSpec
from diamond.plan.variants import Matched
from diamond.stages.registry import records
from diamond.stages.returns import RETURNS


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
