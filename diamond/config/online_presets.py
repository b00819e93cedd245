"""The online protocol of each preset: what it changes of the static one, every number once."""

from collections.abc import Mapping

from diamond.config.online import EpisodesConfig, InitialCollection, OnlineConfig, UpdatesConfig
from diamond.config.run import RunConfig

PAPER = OnlineConfig(
    environment="imagination",
    env_steps=100_000,
    initial=InitialCollection(min_env_steps=5_000, max_env_steps=10_000, minority_rewards=10),
    epoch_env_steps=100,
    final_epochs=50,
    max_episode_steps=27_000,
    epsilon=0.01,
    recency_weights=(0.1, 0.1, 0.1, 0.7),
    first_updates=UpdatesConfig(denoiser=10_000, reward_end=10_000, policy=5_000),
    updates=UpdatesConfig(denoiser=400, reward_end=400, policy=400),
    test=EpisodesConfig(every_epochs=10, num_episodes=4),
)
"""Source: arXiv:2405.12399, appendix E, and the released configuration."""

ONLINE: Mapping[str, OnlineConfig] = {
    "paper": PAPER,
    "small": PAPER.model_copy(
        update={
            "env_steps": 30_000,
            "final_epochs": 10,
            "first_updates": UpdatesConfig(denoiser=5_000, reward_end=2_000, policy=500),
            "updates": UpdatesConfig(denoiser=60, reward_end=20, policy=10),
        }
    ),
    "tiny": PAPER.model_copy(
        update={
            "env_steps": 10_000,
            "initial": InitialCollection(
                min_env_steps=4_000, max_env_steps=6_000, minority_rewards=10
            ),
            "epoch_env_steps": 250,
            "final_epochs": 4,
            "max_episode_steps": 2_000,
            "first_updates": UpdatesConfig(denoiser=900, reward_end=120, policy=30),
            "updates": UpdatesConfig(denoiser=50, reward_end=6, policy=7),
            "test": EpisodesConfig(every_epochs=7, num_episodes=2),
        }
    ),
    "smoke": PAPER.model_copy(
        update={
            "env_steps": 100,
            "initial": InitialCollection(min_env_steps=60, max_env_steps=80, minority_rewards=1),
            "epoch_env_steps": 20,
            "final_epochs": 2,
            "max_episode_steps": 50,
            "first_updates": UpdatesConfig(denoiser=3, reward_end=2, policy=2),
            "updates": UpdatesConfig(denoiser=1, reward_end=1, policy=1),
            "test": EpisodesConfig(every_epochs=2, num_episodes=1),
        }
    ),
}


def go_online(config: RunConfig) -> RunConfig:
    """The same preset under the online protocol."""
    return config.model_copy(update={"protocol": "online", "online": ONLINE[config.preset]})
