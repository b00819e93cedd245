"""Episodes of Minari data sets whose observations are images."""

import io
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeGuard

import minari
import numpy as np
from gymnasium import spaces
from minari.dataset.minari_storage import is_image_space
from numpy.typing import NDArray
from PIL import Image

from diamond.data.trajectories import natural
from diamond.errors import RequestError
from diamond.recordings.array_frames import check_frames, slices, stream
from diamond.recordings.hdf5_episodes import dataset_blocks, opened
from diamond.recordings.raw_episodes import FLAG, RawEpisode

DATA_FILE = "main_data.hdf5"
METADATA_FILE = "metadata.json"
DATA_FOLDER = "data"
_JPEG = "the data set keeps its frames as JPEG, with loss"


def minari_folder(path: Path) -> Path | None:
    """The folder of the data of a Minari data set that a path is or holds; None without any.

    Raises:
        RequestError: It holds several.
    """
    for folder in (path, path / DATA_FOLDER):
        if (folder / METADATA_FILE).is_file():
            return folder
    held = [one.parent for one in natural(path.rglob(f"{DATA_FOLDER}/{METADATA_FILE}"))]
    if len(held) > 1:
        names = ", ".join(one.parent.relative_to(path).as_posix() for one in held)
        raise RequestError(
            f"{FLAG} {str(path)!r} holds {len(held)} Minari data sets: {names}\n  give one of them"
        )
    return held[0] if held else None


def local_data_sets() -> dict[str, Path]:
    """The folder of the data of each data set in Minari's own place, by name."""
    with warnings.catch_warnings(action="ignore"):
        names = minari.list_local_datasets()
        return {name: Path(minari.load_dataset(name).storage.data_path) for name in names}


def read_minari(folder: Path) -> tuple[list[RawEpisode], tuple[str, ...] | None]:
    """Open the episodes of a data set; frames of HDF5 are read when asked for.

    Episodes in other formats are read whole, one at a time.

    Args:
        folder: Where its metadata are.

    Returns:
        The episodes, and a word for each discrete action, None where actions are numbers.

    Raises:
        RequestError: It is damaged, observations are no images, or actions neither one of several
            nor numbers.
    """
    where = f"{FLAG} {str(folder)!r}"
    try:
        data = minari.MinariDataset(folder)
    except Exception as error:  # Minari has no one class for what is wrong with a data set
        raise RequestError(
            f"{where} cannot be read as a Minari data set: {error}\n"
            f"  Minari here is {minari.__version__}: is it whole, and of this version?"
        ) from error
    key, image = _image_entry(data.observation_space, where)
    actions, names = data.action_space, None
    if isinstance(actions, spaces.Discrete):
        names = tuple(str(int(actions.start) + index) for index in range(int(actions.n)))
    elif not isinstance(actions, spaces.Box | spaces.MultiBinary | spaces.MultiDiscrete):
        raise RequestError(
            f"{where} has the action space {actions}\n"
            "  allowed: Discrete, or numbers: Box, MultiBinary, MultiDiscrete"
        )
    opened_set = _DataSet(data, folder, where, key, image)
    return [_episode(opened_set, int(number)) for number in data.episode_indices], names


@dataclass(frozen=True)
class _DataSet:
    """A data set, and which of its observations are frames.

    Attributes:
        data: The data set.
        folder: Where its metadata are.
        where: The command and the folder, for errors.
        key: Of the image in observations that are several things, None where they are one.
        image: The space of frames.
    """

    data: minari.MinariDataset
    folder: Path
    where: str
    key: str | None
    image: spaces.Box

    @property
    def is_jpeg(self) -> bool:
        """Whether frames on disk are bytes of JPEG files."""
        return bool(self.data.storage.jpeg_encoding and is_image_space(self.image))

    def read(self, number: int) -> dict[str, Any]:
        """Read an episode whole."""
        (found,) = self.data.storage.get_episodes([number])
        return dict(found)

    def frames_of(self, found: Any) -> Any:
        """What of the observations are frames."""
        return found if self.key is None else found[self.key]


def _image_entry(space: spaces.Space[Any], where: str) -> tuple[str | None, spaces.Box]:
    if _is_image(space):
        return None, space
    entries = dict(space.spaces) if isinstance(space, spaces.Dict) else {}
    images = {key: entry for key, entry in entries.items() if _is_image(entry)}
    if len(images) != 1:
        several = f", of which {', '.join(images)} are images" if images else ""
        raise RequestError(
            f"{where} has the observations {space}{several}\n"
            "  allowed: Box (h, w, 3) of uint8, or a Dict with one such entry"
        )
    return next(iter(images.items()))


def _is_image(space: spaces.Space[Any]) -> TypeGuard[spaces.Box]:
    return isinstance(space, spaces.Box) and len(space.shape) in (2, 3) and space.dtype == np.uint8


def _episode(opened_set: _DataSet, number: int) -> RawEpisode:
    path, where = opened_set.folder / DATA_FILE, f"{opened_set.where}, episode {number}"
    blocks: Callable[[], Iterator[NDArray[Any]]]
    if path.is_file():
        with opened(path, where) as file:
            group = file[f"episode_{number}"]
            small = {key: group[key][()] for key in ("actions", "rewards", "terminations")}
            kept = opened_set.frames_of(group["observations"])
            num_frames, key = len(kept), str(kept.name)
        blocks = partial(dataset_blocks, path, key, where)
        if opened_set.is_jpeg:
            blocks = partial(_decoded, blocks)
    else:
        small = opened_set.read(number)
        num_frames = len(opened_set.frames_of(small["observations"]))
        blocks = partial(_whole_blocks, opened_set, number)
    _, remarks = check_frames((num_frames, *opened_set.image.shape), np.dtype(np.uint8), where)
    actions, space = np.asarray(small["actions"]), opened_set.data.action_space
    if isinstance(space, spaces.Discrete):
        actions = actions - int(space.start)
    else:
        actions = actions.reshape(len(actions), -1)
    return RawEpisode(
        f"episode_{number}",
        where,
        num_frames,
        stream(blocks, where),
        actions,
        np.asarray(small["rewards"]),
        np.asarray(small["terminations"]),
        remarks=(*remarks, _JPEG) if opened_set.is_jpeg else remarks,
    )


def _whole_blocks(opened_set: _DataSet, number: int) -> Iterator[NDArray[Any]]:
    yield from slices(np.asarray(opened_set.frames_of(opened_set.read(number)["observations"])))


def _decoded(blocks: Callable[[], Iterator[NDArray[Any]]]) -> Iterator[NDArray[Any]]:
    """Frames of JPEG files, decoded as Minari decodes them."""
    for block in blocks():
        for data in block:
            yield np.asarray(Image.open(io.BytesIO(data.tobytes())), dtype=np.uint8)[None]
