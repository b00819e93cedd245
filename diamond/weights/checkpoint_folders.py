"""Checkpoint folders: how they are written, made from released agents, and taken by a home.

A released agent is the flat state dict that the code of arXiv:2405.12399 saves as
`agent_epoch_*.pt`. `diamond.studies.export_agents` is the way out.
"""

import json
import pickle
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn

from diamond.config.base import canonical, content_hash
from diamond.config.checkpoint_record import (
    AGENT_FIELDS,
    CHECKPOINT_FILE,
    Checkpoint,
    read_checkpoint,
)
from diamond.config.game_names import GAMES, check_game, slug_of
from diamond.config.presets import paper
from diamond.config.run import ImportedConfig, RunConfig
from diamond.config.worlds import DIAMOND, family_of
from diamond.engine.files import beside, digest, read_json
from diamond.engine.output_names import SHAPE_FILE, WEIGHTS_FILE
from diamond.engine.stage_context import StageContext
from diamond.engine.store import StageResult, Store
from diamond.envs.open_game import data_shape
from diamond.errors import RequestError, StoreError, WeightsError
from diamond.plan.plan import Plan
from diamond.tensor_files import check_tensor, checked_file
from diamond.training.policy_part import POLICY
from diamond.weights.imported_weights import weights_path
from diamond.weights.released_names import from_released
from diamond.weights.trained_networks import agent_parts

HUB_SCHEME = "hf://"
Parts = dict[str, dict[str, Tensor]]
"""A state dict for each trained network."""


def adopt(folder: Path, home: Path) -> None:
    """Copy the weights of a checkpoint into a home, where stages find them.

    Raises:
        RequestError: The folder is not a checkpoint.
        WeightsError: A file of weights is missing or not the one that the checkpoint names.
    """
    checkpoint = read_checkpoint(folder)
    for part, expected in checkpoint.weights.weights.items():
        _adopt(folder, part, expected, home)


def adopt_players(plan: Plan, home: Path) -> None:
    """Copy the policies that record real frames into a home.

    Args:
        plan: Its collectors, of which some are folders of checkpoints.
        home: Folder for everything that runs make.

    Raises:
        WeightsError: The weights of one are missing or not those that the checkpoint names.
    """
    for folder in map(Path, plan.collectors):
        if folder.is_dir():
            _adopt(folder, "policy", read_checkpoint(folder).weights.weights["policy"], home)


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
    shape = data_shape(game, config.environment, config.view)
    _check_architecture(parts, config, shape)
    return _write(parts, config, shape["num_actions"], (source, digest(path)), output, home)


def describe(
    folder: Path, config: RunConfig, num_actions: int, source: str, sha256: str | None = None
) -> dict[str, object]:
    """Write checkpoint.json beside the files of weights.

    Args:
        folder: Where the weights are.
        config: What the networks are and saw.
        num_actions: Actions that they know.
        source: Where they came from, in words.
        sha256: Digest of the file that they came from; None makes one of all that the file says.

    Returns:
        What the file says.
    """
    parts = (*(stage.part for stage in family_of(config).stages), POLICY.name)
    weights = {part: digest(folder / f"{part}.safetensors") for part in parts}
    own = {field: getattr(config, field) for field in AGENT_FIELDS}
    identity = {"weights": weights, **{name: canonical(config)[name] for name in AGENT_FIELDS}}
    checkpoint = Checkpoint(
        format=3,
        source=source,
        source_sha256=sha256 or content_hash(identity),
        weights=ImportedConfig(num_actions=num_actions, weights=weights),
        **own,
    )
    text = json.dumps(canonical(checkpoint), indent=1) + "\n"
    (folder / CHECKPOINT_FILE).write_text(text, encoding="utf-8")
    said: dict[str, object] = json.loads(text)
    return said


@contextmanager
def new_folder(target: Path, hint: str) -> Iterator[Path]:
    """A folder beside the target, to be renamed to it when whole; removed where it was not.

    Raises:
        StoreError: A file could not be written; the text ends in the hint.
    """
    folder: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        folder.chmod(0o755)
        yield folder
    except (OSError, SafetensorError) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or error
        raise StoreError(f"cannot write {str(target)!r}: {why}\n  {hint}") from error
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def _adopt(folder: Path, part: str, expected: str, home: Path) -> None:
    target = weights_path(home, expected)
    if target.is_file() and digest(target) == expected:
        return
    source = checked_file(folder, part, expected)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = beside(target)
    shutil.copyfile(source, temporary)
    temporary.replace(target)


def load_released(path: Path) -> dict[str, Tensor]:
    """Read the flat state dict of a released agent; no code in the file is executed.

    Raises:
        RequestError: There is no such file.
        WeightsError: The file is cut, holds code, or is not a flat state dict of finite, real
            numbers.
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
    found: dict[str, Tensor] = {}
    for name, tensor in state.items():
        check_tensor(repr(str(path)), name, tensor)
        # Tensors of one agent may be views of one memory, which no file of weights can say.
        found[name] = tensor.detach().to(torch.float32, copy=True).contiguous()
        if not bool(torch.isfinite(found[name]).all()):
            raise WeightsError(f"{str(path)!r}: {name} has numbers that are not finite")
    return found


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
        networks: dict[str, nn.Module] = {
            part.name: part.build(part.section(config.sections()), shape)
            for part in agent_parts(DIAMOND)
        }
    bias = parts["policy"]["actor.bias"]
    if bias.ndim == 1 and (num_actions := len(bias)) != shape["num_actions"]:
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
    return "absent" if shape is None else " x ".join(map(str, shape)) or "a single number"


def _write(
    parts: Parts,
    config: RunConfig,
    num_actions: int,
    source: tuple[str, str],
    output: Path | None,
    home: Path,
) -> Path:
    name, sha256 = source
    target = output or home / "checkpoints" / f"{slug_of(config.game)}-{sha256[:8]}"
    if output is None:
        Store(home).check_writable()
    with new_folder(target, "give a folder that can be made with --output") as folder:
        for part, state in parts.items():
            save_file(state, folder / f"{part}.safetensors")
        made = describe(folder, config, num_actions, name, sha256)
        if target.exists():
            if not _same(read_json(target / CHECKPOINT_FILE), made):
                raise RequestError(
                    f"{str(target)!r} exists and is not this checkpoint; it is left as it is\n"
                    "  give another folder with --output"
                )
            return target
        folder.rename(target)
    return target


def _same(old: object, new: Mapping[str, object]) -> bool:
    """Whether two checkpoints are one, wherever their files lay."""
    return isinstance(old, dict) and {**old, "source": None} == {**new, "source": None}
