"""A trained policy as the player that records real frames."""

import numpy as np
import torch
from numpy.typing import NDArray

from diamond.config.recording import ViewConfig
from diamond.envs.collecting_players import Players
from diamond.envs.view import apply_view
from diamond.nets.actor_critic_net import ActorCriticNet
from diamond.nets.blocks import Recurrent
from diamond.training.evaluation import Actor, sampled_actor


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
        device: Where it is.
    """
    make_actor = sampled_actor(net, device)
    return lambda codes, rng: PolicyPlayer(make_actor(len(codes)), view, rng)
