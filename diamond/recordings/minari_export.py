"""Episodes on their way out as a Minari data set, whose frames are stored as they are."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import minari
import numpy as np
from gymnasium.spaces import Box, Discrete, Space
from minari.data_collector.episode_buffer import EpisodeBuffer
from minari.dataset.minari_storage import MinariStorage

from diamond.errors import RequestError
from diamond.recordings.episodes import RecordedEpisode
from diamond.recordings.kept_episodes import Origin


@dataclass(frozen=True)
class MinariText:
    """What the data set says of itself.

    Attributes:
        name: Letters, digits and hyphens; with the version it is the id of the data set.
        title: What the episodes are, in a few words.
        action_names: A word for each action, or for each number of continuous ones.
        about: What must be known of the episodes, as plain data.
    """

    name: str
    title: str
    action_names: tuple[str, ...]
    about: Mapping[str, Any]

    @property
    def dataset_id(self) -> str:
        """What `minari.load_dataset` loads it by."""
        return f"{self.name}-v0"


def write_minari(
    episodes: Sequence[RecordedEpisode],
    origins: Sequence[Origin],
    text: MinariText,
    folder: Path,
) -> None:
    """Write a data set below a folder, as Minari finds it: MINARI_DATASETS_PATH=FOLDER.

    Minari would store frames as JPEG; they are stored as they are.

    Raises:
        RequestError: Rewards or ends are not known, which a Minari data set cannot say.
    """
    for episode in episodes:
        if episode.rewards is None or episode.ends is None:
            missing = "rewards" if episode.rewards is None else "ends"
            raise RequestError(
                f"the {missing} of {episode.name!r} are not known, and a Minari data set must have "
                "them\n  --format npz and --format video leave them out"
            )
    data = folder / text.dataset_id / "data"
    data.mkdir(parents=True)
    shape = next(episodes[0].frames()).shape
    storage = MinariStorage.new(
        data,
        observation_space=Box(0, 255, shape, np.uint8),
        action_space=_action_space(episodes, text.action_names),
        jpeg_encoding=False,
    )
    storage.update_metadata(
        {
            "dataset_id": text.dataset_id,
            "minari_version": minari.__version__,
            "author": {str(text.about["made_by"])},
            "description": text.title,
            "about": dict(text.about),
        }
    )
    storage.update_episodes(_buffers(episodes, origins))


def _buffers(
    episodes: Sequence[RecordedEpisode], origins: Sequence[Origin]
) -> Iterator[EpisodeBuffer]:
    """The episodes, each made when it is asked for."""
    for episode, origin in zip(episodes, origins, strict=True):
        assert episode.rewards is not None and episode.ends is not None
        stopped = np.zeros(len(episode.ends), dtype=np.bool_)
        stopped[-1] = not episode.ends[-1]
        yield EpisodeBuffer(
            seed=origin.get("emulator_seed"),
            options={name: value for name, value in origin.items() if name != "emulator_seed"},
            observations=np.stack(list(episode.frames())),
            actions=episode.actions,
            rewards=episode.rewards,
            terminations=episode.ends,
            truncations=stopped,
        )


def _action_space(episodes: Sequence[RecordedEpisode], names: Sequence[str]) -> Space[Any]:
    if episodes[0].actions.ndim == 1:
        return Discrete(len(names))
    taken = np.concatenate([episode.actions for episode in episodes])
    return Box(taken.min(axis=0), taken.max(axis=0), dtype=np.float64)
