"""Trained agents on their way out: runs of studies as checkpoint folders or as released agents."""

import shlex
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors.torch import load_file

from diamond.config.base import first_reason
from diamond.config.checkpoint_record import Checkpoint, read_checkpoint
from diamond.config.run import RunConfig
from diamond.config.worlds import family_of
from diamond.engine.files import beside
from diamond.engine.output_names import WEIGHTS_FILE
from diamond.engine.store import Store
from diamond.engine.study_history import PlanEntry
from diamond.errors import RequestError, StoreError
from diamond.families.diamond.config import DiamondConfig
from diamond.families.diamond.formulations import is_released_formulation
from diamond.plan.plan_arms import AA_NAME
from diamond.plan.request import ALL_STAGES
from diamond.plan.stage_keys import stages_of
from diamond.stages.registry import left_out
from diamond.studies.arm_selection import chosen
from diamond.studies.study_list import named_study
from diamond.tensor_files import read_weights
from diamond.weights.checkpoint_folders import Parts, describe, new_folder
from diamond.weights.released_names import to_released
from diamond.weights.trained_networks import saved_shape


@dataclass(frozen=True)
class RunChoice:
    """Which run of a study; None where the study has only one.

    Attributes:
        arm: Name of the arm, such as ``steps=3``.
        seed: Training seed, None for the first one.
    """

    arm: str | None = None
    game: str | None = None
    seed: int | None = None


@dataclass(frozen=True)
class TrainedRun:
    """A run of a study whose networks are all trained.

    Attributes:
        source: The run in words.
        folders: Folder with the weights and the shape of each network.
    """

    config: RunConfig
    source: str
    folders: Mapping[str, Path]

    def parts(self) -> Parts:
        """The weights."""
        return {part: load_file(folder / WEIGHTS_FILE) for part, folder in self.folders.items()}


def read_parts(folder: Path) -> tuple[Checkpoint, Parts]:
    """Read a checkpoint folder with its weights.

    Raises:
        RequestError: The folder is not a checkpoint.
        WeightsError: The weights are damaged.
    """
    checkpoint = read_checkpoint(folder)
    parts: Parts = {
        part: read_weights(folder, part, checkpoint.weights.weights[part])
        for part in checkpoint.parts()
    }
    return checkpoint, parts


def trained_run(study: str, choice: RunChoice, home: Path) -> TrainedRun:
    """Find the trained networks of a run.

    Args:
        study: Name of a study of the home.
        home: Folder for everything that runs make.

    Raises:
        RequestError: There is no such study, arm, game or seed, or it is not trained yet.
        StoreError: What it is trained in is damaged.
    """
    config, arm, entry = _planned(study, choice, home)
    source = f"study {study}, arm {arm}, game {config.game}, seed {config.seed}"
    if not config.imagines:
        raise RequestError(
            f"the agent of {source}, was trained in the real game: it has no world model\n"
            "  a checkpoint and the released code's agent are a world model and its policy"
        )
    store = Store(home)
    specs = {spec.stage: spec for spec in stages_of(config)}
    folders: dict[str, Path] = {}
    stages = {stage.part: stage.name for stage in family_of(config).stages} | {"policy": "policy"}
    reasons = left_out(config)
    missing = [part for part, stage in stages.items() if stage in reasons]
    if missing:
        raise RequestError(
            f"{source}, has no {' and no '.join(missing)}: {reasons[stages[missing[0]]]}\n"
            "  a checkpoint is a whole agent; `diamond fidelity KEY` scores the world model in its "
            "home"
        )
    for part, stage in stages.items():
        spec = specs.get(stage) or specs["agent"]
        if not store.is_published(spec.stage, spec.key):
            until = f"it was run with --until {entry['until']}; " if entry["until"] else ""
            raise RequestError(
                f"the {part} of {source}, is not trained\n"
                f"  {until}this command trains it: {_whole_command(entry, config.seed)}"
            )
        folder = store.whole_folder(spec.stage, spec.key)
        if not store.has_all_files(spec.stage, spec.key):
            raise StoreError(
                f"the weights of the {part} of {source}, are not in this home: the study came here "
                "without them\n"
                "  go to the home that made them, or give this command another --home: "
                + _whole_command(entry, config.seed)
            )
        folders[part] = folder if spec.stage == stage else folder / part
    return TrainedRun(config, source, folders)


def export_folder(run: TrainedRun, target: Path) -> None:
    """Write a run as a checkpoint folder: it is there whole, or not at all.

    Args:
        run: Its networks are trained.
        target: The folder to make; it must not exist.

    Raises:
        RequestError: The folder exists.
        StoreError: It cannot be written.
    """
    if target.exists() or target.is_symlink():
        raise RequestError(f"{str(target)!r} exists; it is not overwritten\n  give another name")
    with new_folder(target, "give a folder that can be made") as folder:
        for part, source in run.folders.items():
            shutil.copyfile(source / WEIGHTS_FILE, folder / f"{part}.safetensors")
        num_actions = saved_shape(run.folders["policy"])["num_actions"]
        describe(folder, run.config, num_actions, run.source)
        folder.rename(target)


def export_released(agent: Checkpoint | RunConfig, parts: Parts, target: Path) -> None:
    """Write a trained agent as a file that the released code loads.

    Args:
        agent: What the networks are.
        target: The file to write; it must not exist.

    Raises:
        RequestError: The file exists or cannot be written, or the released code has no such
            network.
    """
    _check_exportable(agent)
    if target.exists():
        raise RequestError(f"{str(target)!r} exists; it is not overwritten\n  give another name")
    temporary = beside(target)
    try:
        torch.save(to_released(parts), temporary)
        temporary.replace(target)
    except (OSError, RuntimeError) as error:
        temporary.unlink(missing_ok=True)
        raise RequestError(
            f"cannot write {str(target)!r}: {error}\n  give a file in a folder that exists"
        ) from error


def _check_exportable(agent: Checkpoint | RunConfig) -> None:
    if not isinstance(agent.world, DiamondConfig):
        raise RequestError(
            f"the released code has no agents of the family {agent.world.family}\n"
            "  a target without .pt is a checkpoint folder of this project, for any agent"
        )
    reasons = []
    denoiser = agent.world.denoiser
    if denoiser.network is not None:
        reasons.append(f"denoiser.network={denoiser.network}, it has its own U-Net")
    if denoiser.patch != 1:
        reasons.append(f"denoiser.patch={denoiser.patch}, it has 1")
    if not denoiser.middle_attention:
        reasons.append("denoiser.middle_attention=false, it has true")
    if agent.view.height != agent.view.width:
        reasons.append(f"frames of {agent.view.height} x {agent.view.width}, not square")
    if agent.view.crop is not None:
        crop = ",".join(map(str, agent.view.crop))
        reasons.append(f"view.crop={crop}, it sees the whole screen")
    if agent.environment.chosen_actions is not None:
        actions = ",".join(map(str, agent.environment.chosen_actions))
        reasons.append(f"environment.actions={actions}, it has the game's own")
    reasons += [
        f"reward_end.{name}={own}, it has {value}"
        for name, value in (("encoder", "residual"), ("memory", "lstm"))
        if (own := getattr(agent.world.reward_end, name)) != value
    ]
    if not is_released_formulation(denoiser):
        reasons.append("another diffusion formulation, it has EDM's")
    if reasons:
        raise RequestError(
            f"the released code has no such agent: {'; '.join(reasons)}\n"
            "  agents of the presets small and paper can be exported for it; a target without "
            ".pt is a checkpoint folder of this project, for any agent"
        )


def _planned(study: str, choice: RunChoice, home: Path) -> tuple[RunConfig, str, PlanEntry]:
    """Config and arm of a run, and the last plan that has it."""
    plans = named_study(Store(home), study).entries
    if choice.seed is not None and choice.seed < 0:
        raise RequestError(f"--seed {choice.seed}: training seeds begin at 0")
    found: dict[str, dict[str, PlanEntry]] = {}
    for plan in plans:
        for name in plan["arms"]:
            arm, _, game = name.rpartition(" | ")
            found.setdefault(arm, {})[game] = plan
    arm = chosen("arm", choice.arm, list(found), f"give one with --arm, such as {min(found)!r}")
    games = list(found[arm])
    game = chosen("game", choice.game, games, f"give one with --game, such as {min(games)}")
    entry = found[arm][game]
    try:
        config = RunConfig.model_validate(entry["arms"][f"{arm} | {game}"])
        seed = config.seed if choice.seed is None else choice.seed
        return config.model_copy(update={"seed": seed}), arm, entry
    except ValidationError as error:
        raise RequestError(
            f"study {study!r} was planned by another version, or elsewhere: {first_reason(error)}\n"
            "  run its command again"
        ) from error


def _whole_command(entry: Mapping[str, Any], seed: int) -> str:
    """The command of a plan without a last stage, its own or a declared one, with enough seeds."""
    words = iter(shlex.split(entry["command"]))
    kept = []
    for word in words:
        name, _, value = word.partition("=")
        if name not in ("--until", "--seeds", "--first-seed"):
            kept.append(word)
        elif not value:
            next(words, None)
    first, num_seeds = min(c["seed"] for c in entry["arms"].values()), entry["num_seeds"]
    has_others = any(name.startswith(f"{AA_NAME} | ") for name in entry["arms"])
    if seed not in range(first, first + num_seeds * (2 if has_others else 1)):
        num_seeds = max(first + num_seeds, seed + 1) - min(first, seed)
        first = min(first, seed)
    declared = "declared" in entry
    seeds = ["--seeds", str(num_seeds)] if num_seeds > 1 or declared else []
    seeds += ["--first-seed", str(first)] if first else []
    until = ["--until", ALL_STAGES] if declared else []
    return shlex.join([*kept, *seeds, *until])
