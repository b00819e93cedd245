"""Checkpoint folders: made from released agents or from runs, and written back as released agents.

A released agent is the flat state dict that the code of arXiv:2405.12399 saves as
`agent_epoch_*.pt`.
"""

import json
import os
import pickle
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from diamond.ablation.axis_values import COLLECTOR
from diamond.ablation.plan import Plan
from diamond.ablation.stages import IMPORTED, stages_of
from diamond.config.base import canonical
from diamond.config.checkpoint import AGENT_FIELDS, CHECKPOINT_FILE, Checkpoint, read_checkpoint
from diamond.config.games import GAMES, check_game
from diamond.config.presets import paper
from diamond.config.run import ImportedConfig, RunConfig
from diamond.envs.atari import AtariEnv
from diamond.errors import RequestError, StoreError, WeightsError, unknown
from diamond.pipeline.context import StageContext
from diamond.pipeline.files import digest, read_json
from diamond.pipeline.history import FILE_NAME
from diamond.pipeline.models import build_policy
from diamond.pipeline.outputs import SHAPE_FILE, WEIGHTS_FILE
from diamond.pipeline.released import Part, from_released, to_released
from diamond.pipeline.store import StageResult, Store
from diamond.weights import checked_file, read_weights
from diamond.world.build import build_denoiser, build_outcome

HUB_SCHEME = "hf://"
Parts = dict[Part, dict[str, Tensor]]
"""A state dict for each trained network."""


def weights_path(home: Path, sha256: str) -> Path:
    """Where a home keeps imported weights, by the digest of their file."""
    return home / "weights" / f"{sha256}.safetensors"


def adopt(folder: Path, home: Path) -> None:
    """Copy the weights of a checkpoint into a home, where stages find them.

    Raises:
        RequestError: The folder is not a checkpoint.
        WeightsError: A file of weights is missing or not the one that the checkpoint names.
    """
    checkpoint = read_checkpoint(folder)
    for part in IMPORTED:
        _adopt(folder, part, getattr(checkpoint.weights, part), home)


def adopt_players(plan: Plan, home: Path) -> None:
    """Copy the policies that record training frames into a home.

    Args:
        plan: Its values of the axis `collector` that are folders of checkpoints.
        home: Folder for everything that runs make.

    Raises:
        WeightsError: The weights of one are missing or not those that the checkpoint names.
    """
    players = {
        arm.axis_values[COLLECTOR]: arm.runs[0].config.frames.policy
        for arm in plan.arms
        if COLLECTOR in arm.axis_values
    }
    for folder, policy in players.items():
        if policy is not None:
            _adopt(Path(folder), "policy", policy.weights, home)


def imported_weights(home: Path, sha256: str) -> Path:
    """The file of imported weights in a home, read in full and found to be the named one.

    Raises:
        StoreError: It is missing or damaged.
    """
    path = weights_path(home, sha256)
    if not path.is_file() or digest(path) != sha256:
        raise StoreError(
            f"the imported weights {str(path)!r} are missing or damaged\n"
            "  run the command with the checkpoint again: it puts them back"
        )
    return path


def take_imported(context: StageContext) -> StageResult:
    """Make a trained stage from imported weights; writes weights.safetensors and shape.json."""
    context.resume()
    source = imported_weights(context.home, context.config["imported"])
    shutil.copyfile(source, context.folder / WEIGHTS_FILE)
    (context.folder / SHAPE_FILE).write_text(json.dumps(context.config["shape"]) + "\n")
    return context.result()


def import_released(source: str, game: str | None, output: Path | None, home: Path) -> Path:
    """Turn a released agent into a checkpoint folder.

    Args:
        source: A file, or hf://OWNER/NAME/PATH on the Hugging Face hub.
        game: What it was trained on; None reads it off the file's name.
        output: The folder to make; None makes one in the home, named by game and digest.
        home: Folder for everything that runs make.

    Returns:
        The folder. One that holds the same checkpoint already is left as it is.

    Raises:
        RequestError: The source or the game does not exist, or the folder holds something else.
        WeightsError: The file is cut, holds code or another architecture.
    """
    path = _fetched(source)
    state = load_released(path)
    game = check_game(game) if game is not None else _game_of(source)
    config = paper(game)
    parts = from_released(state)
    shape = {
        "num_actions": len(AtariEnv(game, config.emulator).action_codes),
        "height": config.view.height,
        "width": config.view.width,
    }
    _check_architecture(parts, config, shape)
    return _write(parts, config, shape["num_actions"], (source, digest(path)), output, home)


def read_parts(folder: Path) -> tuple[Checkpoint, Parts]:
    """Read a checkpoint folder with its weights.

    Raises:
        RequestError: The folder is not a checkpoint.
        WeightsError: The weights are damaged.
    """
    checkpoint = read_checkpoint(folder)
    parts: Parts = {
        part: read_weights(folder, part, getattr(checkpoint.weights, part)) for part in IMPORTED
    }
    return checkpoint, parts


def trained_parts(study: str, arm: str | None, seed: int, home: Path) -> tuple[RunConfig, Parts]:
    """Read the trained networks of a run.

    Args:
        study: Name of a study of the home.
        arm: Name of one of its arms; None where there is only one.
        seed: Training seed.
        home: Folder for everything that runs make.

    Raises:
        RequestError: There is no such study, arm or seed, or it is not trained yet.
    """
    config = _config_of(study, arm, seed, home)
    store = Store(home)
    parts: Parts = {}
    if not config.imagines:
        raise RequestError(
            f"the agent of study {study!r} was trained in the real game: it has no world model\n"
            "  the released code loads agents with one"
        )
    specs = {spec.stage: spec for spec in stages_of(config)}
    for part in IMPORTED:
        spec = specs.get(part) or specs["agent"]
        if store.status(spec) != "done" or store.damage(spec) is not None:
            raise RequestError(
                f"the {part} of study {study!r}, seed {seed}, is not trained\n"
                f"  run the command of the study with --seeds {seed + 1} to the end"
            )
        folder = store.folder(spec.stage, spec.key)
        parts[part] = load_file((folder if spec.stage == part else folder / part) / WEIGHTS_FILE)
    return config, parts


def export_released(agent: Checkpoint | RunConfig, parts: Parts, target: Path) -> None:
    """Write a trained agent as a file that the released code loads.

    Args:
        agent: What the networks are.
        parts: Their weights.
        target: The file to write; it must not exist.

    Raises:
        RequestError: The file exists or cannot be written, or the released code has no such
            network.
    """
    _check_exportable(agent)
    if target.exists():
        raise RequestError(f"{str(target)!r} exists; it is not overwritten\n  give another name")
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        torch.save(to_released(parts), temporary)
        temporary.replace(target)
    except (OSError, RuntimeError) as error:
        temporary.unlink(missing_ok=True)
        raise RequestError(
            f"cannot write {str(target)!r}: {error}\n  give a file in a folder that exists"
        ) from error


def _adopt(folder: Path, part: Part, expected: str, home: Path) -> None:
    target = weights_path(home, expected)
    if target.is_file() and digest(target) == expected:
        return
    source = checked_file(folder, part, expected)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    shutil.copyfile(source, temporary)
    temporary.replace(target)


def load_released(path: Path) -> dict[str, Tensor]:
    """Read the flat state dict of a released agent; no code in the file is executed.

    Raises:
        RequestError: There is no such file.
        WeightsError: The file is cut, holds code, or is not a flat state dict of finite numbers.
    """
    try:
        # Only tensors and plain containers are built: whatever else the pickle names is an error.
        state: Any = torch.load(path, map_location="cpu", weights_only=True)  # noqa: TID251
    except OSError as error:
        raise RequestError(
            f"cannot read {str(path)!r}: {error.strerror or error}\n"
            "  give the file of a released agent, agent_epoch_*.pt"
        ) from error
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{str(path)!r} holds more than tensors, or is cut; nothing of it was executed\n"
            "  give the state dict of an agent as the released code saves it, agent_epoch_*.pt"
        ) from error
    except (RuntimeError, EOFError, ValueError, KeyError) as error:
        reason = str(error).partition("\n")[0]
        raise WeightsError(
            f"{str(path)!r} is not a whole file of weights: {reason}\n  download it again"
        ) from error
    if not isinstance(state, Mapping) or not all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in state.items()
    ):
        raise WeightsError(
            f"{str(path)!r} is not the state dict of an agent: names with tensors are expected\n"
            "  a training state (state.pt) holds more; give agent_epoch_*.pt"
        )
    for name, tensor in state.items():
        if not bool(torch.isfinite(tensor.float()).all()):
            raise WeightsError(f"{str(path)!r}: {name} has numbers that are not finite")
    return {name: tensor.float() for name, tensor in state.items()}


def _fetched(source: str) -> Path:
    if not source.startswith(HUB_SCHEME):
        return Path(source)
    match = re.fullmatch(r"hf://([^/]+/[^/]+)/(.+)", source)
    if match is None:
        raise RequestError(f"{source!r}: expected hf://OWNER/NAME/PATH")
    try:
        from huggingface_hub import hf_hub_download  # noqa: PLC0415
    except ModuleNotFoundError:
        raise RequestError(
            f"{source!r} is on the Hugging Face hub, and huggingface_hub is not installed\n"
            '  pip install "diamond-ablations[hub]", or download the file and give its path'
        ) from None
    try:
        return Path(hf_hub_download(match[1], match[2]))
    except Exception as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise RequestError(
            f"cannot download {source!r}: {reason}\n"
            "  without a network, download the file elsewhere and give its path"
        ) from error


def _game_of(source: str) -> str:
    stem = Path(source).stem
    for game in GAMES:
        if game.casefold() == stem.casefold():
            return game
    raise RequestError(
        f"the name {Path(source).name!r} does not say which game\n  give it with --game, "
        "for instance --game Breakout"
    )


def _check_architecture(parts: Parts, config: RunConfig, shape: dict[str, int]) -> None:
    """Refuse weights that are not those of the paper's networks on this game."""
    with torch.device("meta"):
        networks: dict[Part, nn.Module] = {
            "denoiser": build_denoiser(config.denoiser, shape),
            "outcome": build_outcome(config.outcome, shape),
            "policy": build_policy(config.policy, shape),
        }
    num_actions = len(parts["policy"]["actor.bias"])
    if num_actions != shape["num_actions"]:
        raise WeightsError(
            f"the agent knows {num_actions} actions, {config.game} has {shape['num_actions']}\n"
            "  give the game that it was trained on with --game"
        )
    for part, network in networks.items():
        expected = {name: tuple(t.shape) for name, t in network.state_dict().items()}
        found = {name: tuple(t.shape) for name, t in parts[part].items()}
        for name in sorted(expected.keys() | found.keys()):
            if expected.get(name) != found.get(name):
                raise WeightsError(
                    f"another architecture: {name} of the {part} is {_text(found.get(name))}, "
                    f"in the paper's agent {_text(expected.get(name))}\n"
                    "  only agents with the networks of arXiv:2405.12399 can be imported"
                )


def _text(shape: tuple[int, ...] | None) -> str:
    return "absent" if shape is None else " x ".join(map(str, shape))


def _check_exportable(agent: Checkpoint | RunConfig) -> None:
    reasons = []
    if agent.denoiser.patch != 1:
        reasons.append(f"denoiser.patch={agent.denoiser.patch}, it has 1")
    if not agent.denoiser.middle_attention:
        reasons.append("denoiser.middle_attention=false, it has true")
    if agent.view.height != agent.view.width:
        reasons.append(f"frames of {agent.view.height} x {agent.view.width}, not square")
    if reasons:
        raise RequestError(
            f"the released code has no such network: {'; '.join(reasons)}\n"
            "  agents of the presets small and paper can be exported"
        )


def _config_of(study: str, arm: str | None, seed: int, home: Path) -> RunConfig:
    folder = home / "studies"
    entries = read_json(folder / study / FILE_NAME)
    if not entries:
        names = [path.parent.name for path in folder.glob(f"*/{FILE_NAME}")]
        raise unknown("study", study, names, "give a study of this home, see --home")
    arms: dict[str, Any] = {}
    for entry in entries:
        arms |= {name.partition(" | ")[0]: config for name, config in entry["arms"].items()}
    if arm is None and len(arms) == 1:
        arm = next(iter(arms))
    if arm not in arms:
        raise unknown("arm", arm or "", arms, "give one with --arm, for instance --arm 'steps=3'")
    if seed < 0:
        raise RequestError(f"--seed {seed}: training seeds begin at 0")
    try:
        return RunConfig.model_validate(arms[arm] | {"seed": seed})
    except ValidationError as error:
        raise RequestError(
            f"study {study!r} was planned by another version: {error.errors()[0]['msg']}\n"
            "  run its command again"
        ) from error


def _write(
    parts: Parts,
    config: RunConfig,
    num_actions: int,
    source: tuple[str, str],
    output: Path | None,
    home: Path,
) -> Path:
    name, sha256 = source
    target = output or home / "checkpoints" / f"{config.game.lower()}-{sha256[:8]}"
    with _new_folder(target) as folder:
        for part, state in parts.items():
            tensors = {key: tensor.contiguous() for key, tensor in state.items()}
            save_file(tensors, folder / f"{part}.safetensors")
        weights = {part: digest(folder / f"{part}.safetensors") for part in parts}
        checkpoint = Checkpoint(
            format=1,
            source=name,
            source_sha256=sha256,
            weights=ImportedConfig(num_actions=num_actions, **weights),
            **{field: getattr(config, field) for field in AGENT_FIELDS},
        )
        text = json.dumps(canonical(checkpoint), indent=1) + "\n"
        (folder / CHECKPOINT_FILE).write_text(text, encoding="utf-8")
        if target.exists():
            if not _same(read_json(target / CHECKPOINT_FILE), json.loads(text)):
                raise RequestError(
                    f"{str(target)!r} exists and is not this checkpoint; it is left as it is\n"
                    "  give another folder with --output"
                )
            return target
        folder.rename(target)
    return target


def _same(old: Any, new: dict[str, Any]) -> bool:
    """Whether two checkpoints are one, wherever their files lay."""
    return isinstance(old, dict) and {**old, "source": None} == {**new, "source": None}


@contextmanager
def _new_folder(target: Path) -> Iterator[Path]:
    """A folder beside the target that is renamed to it when whole, and removed otherwise."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise StoreError(
            f"cannot write {str(target)!r}: {error.strerror or error}\n"
            "  give a folder that can be made with --output"
        ) from error
    try:
        folder.chmod(0o755)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
