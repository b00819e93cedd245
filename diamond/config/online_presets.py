"""The online protocol of each preset: what it changes of the static one.

The updates of the parts of a world model are those of its family.
"""

from collections.abc import Mapping

from diamond.config.online import EpisodesConfig, InitialCollection, OnlineConfig, UpdatesConfig
from diamond.config.run import RunConfig
from diamond.config.worlds import family_of

PAPER = OnlineConfig(
    environment="imagination",
    env_steps=100_000,
    initial=InitialCollection(min_env_steps=5_000, max_env_steps=10_000, minority_rewards=10),
    epoch_env_steps=100,
    final_epochs=50,
    max_episode_steps=27_000,
    epsilon=0.01,
    recency_weights=(0.1, 0.1, 0.1, 0.7),
    first_updates=UpdatesConfig(policy=5_000),
    updates=UpdatesConfig(policy=400),
    test=EpisodesConfig(every_epochs=10, num_episodes=4),
)
"""Source: arXiv:2405.12399, appendix E, and the released configuration."""

ONLINE: Mapping[str, OnlineConfig] = {
    "paper": PAPER,
    "small": PAPER.model_copy(
        update={
            "env_steps": 30_000,
            "final_epochs": 10,
            "first_updates": UpdatesConfig(policy=500),
            "updates": UpdatesConfig(policy=10),
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
            "first_updates": UpdatesConfig(policy=30),
            "updates": UpdatesConfig(policy=7),
            "test": EpisodesConfig(every_epochs=7, num_episodes=2),
        }
    ),
    "desk": PAPER.model_copy(
        update={
            "env_steps": 25_000,
            "initial": InitialCollection(
                min_env_steps=5_000, max_env_steps=8_000, minority_rewards=10
            ),
            "epoch_env_steps": 1_000,
            "final_epochs": 2,
            "max_episode_steps": 2_000,
            "epsilon": 0.1,
            "first_updates": UpdatesConfig(policy=60),
            "updates": UpdatesConfig(policy=50),
            "test": EpisodesConfig(every_epochs=2, num_episodes=20),
        }
    ),
    "smoke": PAPER.model_copy(
        update={
            "env_steps": 100,
            "initial": InitialCollection(min_env_steps=60, max_env_steps=80, minority_rewards=1),
            "epoch_env_steps": 20,
            "final_epochs": 2,
            "max_episode_steps": 50,
            "first_updates": UpdatesConfig(policy=2),
            "updates": UpdatesConfig(policy=1),
            "test": EpisodesConfig(every_epochs=2, num_episodes=1),
        }
    ),
}


def go_online(config: RunConfig) -> RunConfig:
    """The same preset under the online protocol."""
    counts = family_of(config).online_updates(config.preset)
    online = with_counts(ONLINE[config.preset], counts)
    return config.model_copy(update={"protocol": "online", "online": online})


def with_counts(online: OnlineConfig, counts: Mapping[str, tuple[int, int]]) -> OnlineConfig:
    """A section with the updates of the parts of a world model beside those of the policy.

    Args:
        online: Its policy keeps its updates.
        counts: Updates of each part in the first epoch and in each later one.
    """
    first = {part: numbers[0] for part, numbers in counts.items()}
    later = {part: numbers[1] for part, numbers in counts.items()}
    return online.model_copy(
        update={
            "first_updates": UpdatesConfig(policy=online.first_updates.policy, **first),
            "updates": UpdatesConfig(policy=online.updates.policy, **later),
        }
    )
