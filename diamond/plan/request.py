"""What a command asks for, and the closed sets of words in it; no axis is read here."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from diamond.config.recorded import RecordedFrames
from diamond.config.run import Protocol
from diamond.errors import RequestError, one_of
from diamond.plan.stage_keys import StageName
from diamond.stages.registry import PROTOCOLS, records, stages_of_protocol

if TYPE_CHECKING:
    from diamond.plan.declarations import Declared
    from diamond.plan.recipe import Preset

Goal = Literal["ablation", "agent"]
"""What a study is for: to compare arms, or to train one agent per game and seed."""
Design = Literal["grid", "ofat", "zip", "path"]
"""All combinations, one factor at a time, side by side, or from one config to another."""
DESIGNS: tuple[Design, ...] = get_args(Design)
Match = Literal["updates", "nfe", "seconds"]
"""At what equal cost arms are compared: samples trained on, denoiser calls, time of training."""
MATCHES: tuple[Match, ...] = get_args(Match)
ALL_STAGES = "all"
"""What stands for no last stage, so that a declared one can be lifted."""
NO_MATCH = "none"
"""What stands for arms as they are, so that a declared cost can be lifted."""


@dataclass(frozen=True)
class Request:
    """The words of `diamond ablate` or `diamond train`, not yet checked.

    Attributes:
        assignments: Texts such as ``steps=1,3,10``.
        preset: Name of a preset, or what a preset file says.
        num_seeds: Runs per arm and game.
        until: Name of the last stage; None or `ALL_STAGES` for all.
        name: Name of the study, or None to make one.
        checkpoint: Folder of a trained agent that takes the place of training, or None.
        protocol: Whether arms share their real frames or collect their own.
        goal: An ablation varies something; an agent has at most one value per axis.
        design: How arms are made from the assignments.
        path_from: For a path, texts such as ``formulation=ddpm steps=3``: where it begins.
        path_to: For a path: where it ends.
        arms: Texts such as ``name: steps=3 denoiser.history=2``, added to the design.
        aa: Whether the baseline is there once more, with other seeds.
        controls: Whether the baseline is there once more with each known defect.
        match: At what equal cost arms are compared, None as they are.
        settings: Texts such as ``steps=3``: what changes the preset for all arms, before any axis.
        declared: The declaration that asks for it, or None.
        first_seed: Training seed of the first run; the others follow.
        first_start: Number of the first held-out start; the others follow.
        recordings: What must be known of those that stand in the place of games, or whose frames
            are trained on in place of the game's.
    """

    assignments: tuple[str, ...]
    preset: "Preset"
    games: tuple[str, ...]
    num_seeds: int
    until: str | None
    name: str | None
    checkpoint: Path | None = None
    protocol: Protocol = "static"
    goal: Goal = "ablation"
    design: Design = "grid"
    path_from: tuple[str, ...] = ()
    path_to: tuple[str, ...] = ()
    arms: tuple[str, ...] = ()
    aa: bool = False
    controls: bool = False
    match: Match | None = None
    settings: tuple[str, ...] = ()
    declared: "Declared | None" = None
    first_seed: int = 0
    first_start: int = 0
    recordings: tuple[RecordedFrames, ...] = ()

    @property
    def slurm(self) -> Mapping[str, str]:
        """What its declaration says to Slurm."""
        return {} if self.declared is None else self.declared.declaration.slurm

    @property
    def seeds(self) -> range:
        """Training seeds of every arm but the A/A arm."""
        return range(self.first_seed, self.first_seed + self.num_seeds)


def check_design(name: str) -> Design:
    """Return the name of a design.

    Raises:
        RequestError: There is no such design.
    """
    return one_of("design", name, DESIGNS, "for instance --design ofat, one factor at a time")


def check_match(name: str | None) -> Match | None:
    """Return the name of a cost at which arms are made comparable; None, or the word, for none.

    Raises:
        RequestError: There is no such cost.
    """
    if name in (None, NO_MATCH):
        return None
    hint = f"for instance --match nfe; --match {NO_MATCH} leaves arms as they are"
    return one_of("cost to match", name, MATCHES, hint)


def check_stage(name: str | None, protocol: Protocol = "static") -> StageName | None:
    """Return the name of a stage of a protocol; None, or the word, for all of them.

    Raises:
        RequestError: There is no such stage.
    """
    stages = stages_of_protocol(protocol)
    if name in (None, ALL_STAGES):
        return None
    if name in stages:
        return name
    others = {stage.name: stage for stage in records()}
    if name in others and protocol in others[name].runs:
        return name
    if name in others:
        raise RequestError(
            f"--until {name}: the {protocol} protocol has no such stage\n"
            f"  allowed: {', '.join(stages)}, {ALL_STAGES}"
        )
    hint = f"for instance --until fidelity, which trains no policy; --until {ALL_STAGES} runs all"
    return one_of("stage", name, stages, hint)


def check_protocol_name(name: str) -> Protocol:
    """Return the name of a protocol.

    Raises:
        RequestError: There is no such protocol.
    """
    return one_of("protocol", name, PROTOCOLS, "give one with --protocol")
