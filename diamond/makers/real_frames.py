"""The stages that record real frames: references and frames."""

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from diamond.config.environments import Environment, RecordingConfig, read_environment
from diamond.config.recording import FramesConfig, RecordingPolicy, ReferencesConfig, ViewConfig
from diamond.config.shipped_policies import shipped_file
from diamond.data.collect import collect_frames, collect_off_data, collect_references
from diamond.data.reference_files import save_references
from diamond.engine.files import digest
from diamond.engine.output_names import OFF_DATA_FOLDER
from diamond.engine.stage_context import StageContext
from diamond.engine.store import StageResult
from diamond.envs.collecting_players import Players
from diamond.envs.open_game import action_codes
from diamond.envs.view import apply_view
from diamond.errors import StageFailedError, StoreError
from diamond.nets.actor_critic_net import ActorCriticNet, ActorCriticShape
from diamond.nets.blocks import Recurrent
from diamond.recordings.recording_files import open_recording
from diamond.recordings.sets import frame_set, played_actions, recorded_references
from diamond.tensor_files import filled
from diamond.training.evaluation import Actor, sampled_actor
from diamond.weights.checkpoint_folders import imported_weights


def make_references(context: StageContext) -> StageResult:
    """Record held-out episodes, or take recorded ones.

    Writes the files of `save_references` and action_codes.json; those of starts off the data in a
    folder of their own.
    """
    context.resume()
    game = context.config["game"]
    environment = read_environment(context.config["environment"])
    config = ReferencesConfig.model_validate(context.config["references"])

    def progress(done: int, total: int) -> None:
        context.progress(done, total, "held-out")

    if config.recorded is not None:
        recording = open_recording(context.home, config.recorded)
        codes = None
        if not isinstance(environment, RecordingConfig):
            codes = action_codes(game, environment)
        save_references(recorded_references(recording, config, codes, progress), context.folder)
        _save_actions(context, game, environment)
        return context.result()
    save_references(
        collect_references(game, environment, config, context.seed, progress), context.folder
    )
    if config.off_data is not None:
        folder = context.folder / OFF_DATA_FOLDER
        folder.mkdir(exist_ok=True)
        policy, codes = config.off_data.policy, action_codes(game, environment)
        # On a processor, so that all devices record the same starts.
        device = torch.device("cpu")
        players = None if policy is None else _trained_players(context, policy, codes, device)
        further = collect_off_data(game, environment, config, context.seed, progress, players)
        save_references(further, folder)
    _save_actions(context, game, environment)
    return context.result()


def make_frames(context: StageContext) -> StageResult:
    """Record the training set; writes the files of `FrameSet` and action_codes.json."""
    context.resume()
    game = context.config["game"]
    environment = read_environment(context.config["environment"])
    view = ViewConfig.model_validate(context.config["view"])
    config = FramesConfig.model_validate(context.config["frames"])

    def progress(done: int, total: int) -> None:
        context.progress(done, total, "")

    if config.recorded is not None:
        recording = open_recording(context.home, config.recorded.digest)
        pads_starts = environment.padding == "start"
        recorded = frame_set(
            recording, view, config.num_frames, pads_starts=pads_starts, progress=progress
        )
    else:
        players = None
        if config.policy is not None:
            codes = action_codes(game, environment)
            players = _trained_players(context, config.policy, codes, context.device)
        recorded = collect_frames(game, environment, view, config, context.seed, progress, players)
    recorded.save(context.folder)
    _save_actions(context, game, environment)
    return context.result()


def _trained_players(
    context: StageContext, policy: RecordingPolicy, codes: tuple[int, ...], device: torch.device
) -> Players:
    """The policy of a checkpoint, from the weights that the home keeps, or that of the package."""
    if policy.num_actions != len(codes):
        raise StageFailedError(
            f"the policy that plays knows {policy.num_actions} actions, the game as "
            f"it is played here has {len(codes)}\n  give a checkpoint with the same actions"
        )
    shape = ActorCriticShape(
        num_actions=policy.num_actions,
        height=policy.view.height,
        width=policy.view.width,
        channels=policy.channels,
        lstm_size=policy.lstm_size,
    )
    path = shipped_file(policy.weights) or imported_weights(context.home, policy.weights)
    if digest(path) != policy.weights:
        raise StoreError(f"{path} is not the policy that came with the package: install it again")
    net = filled(lambda: ActorCriticNet(shape), load_file(path), device)
    return policy_players(net, policy.view, device)


def _save_actions(context: StageContext, game: str, environment: Environment) -> None:
    played_actions(context.home, game, environment).save(context.folder)


class PolicyPlayer:
    """Plays one game with sampled actions; it remembers the game, also over a lost life.

    Mutable: it holds the memory of the policy.
    """

    def __init__(self, actor: Actor, view: ViewConfig, rng: np.random.Generator) -> None:
        self._actor = actor
        self._view = view
        self._rng = rng
        self._memory: Recurrent | None = None

    def act(self, screen: NDArray[np.uint8], ram: NDArray[np.uint8]) -> int:
        """Return an action drawn from the policy; the memory of the console is not read."""
        seen = apply_view(screen, self._view)[None]
        uniforms = np.array([self._rng.random()])
        actions, self._memory = self._actor(seen, uniforms, self._memory)
        return int(actions[0])


def policy_players(net: ActorCriticNet, view: ViewConfig, device: torch.device) -> Players:
    """Players that all use one policy, each with a memory and numbers of its own.

    Args:
        net: The policy.
        view: Crop and size of the frames that it was trained on.
    """
    make_actor = sampled_actor(net, device)
    return lambda codes, rng: PolicyPlayer(make_actor(len(codes)), view, rng)
