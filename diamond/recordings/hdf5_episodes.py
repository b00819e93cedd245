"""Episodes in `.hdf5` files: arrays of our names, or the layout of the CSGO data of DIAMOND."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from diamond.arrays import ByteArray
from diamond.errors import RequestError
from diamond.recordings.array_episodes import (
    ACTIONS,
    ENDS,
    FORM,
    FRAMES,
    REWARDS,
    need_arrays,
)
from diamond.recordings.array_frames import BLOCK, check_frames, slices, stream
from diamond.recordings.raw_episodes import FLAG, RawEpisode

HDF5_SUFFIXES = (".hdf5", ".h5")
_CSGO_FRAME = re.compile(r"frame_(\d+)_x")
_MOUSE_X = (1000, 500, 300, 200, 100, 60, 30, 20, 10, 4, 2)
_MOUSE_Y = (200, 100, 50, 20, 10, 4, 2)
CSGO_NAMES = (
    *("w", "a", "s", "d", "space", "ctrl", "shift", "1", "2", "3", "r"),
    *("left_click", "right_click"),
    *(f"mouse_x_{x}" for x in (*(-x for x in _MOUSE_X), 0, *reversed(_MOUSE_X))),
    *(f"mouse_y_{y}" for y in (*(-y for y in _MOUSE_Y), 0, *reversed(_MOUSE_Y))),
)
"""What each of the 51 numbers of an action of the CSGO data says: 1 where it is so."""


def read_hdf5(path: Path, name: str) -> list[RawEpisode]:
    """Open the episodes of a file; their frames are read when asked for.

    Args:
        path: The file.
        name: What its episode is called, and what the names of several begin with.

    Raises:
        RequestError: The file is damaged, or holds no episodes.
    """
    where = f"{FLAG} {str(path)!r}"
    with opened(path, where) as file:
        if any(_CSGO_FRAME.fullmatch(key) for key in file):
            return [_csgo_episode(file, path, name, where)]
        if FRAMES in file or ACTIONS in file:
            return [_episode(file, path, name, where)]
        groups = [key for key, value in file.items() if isinstance(value, h5py.Group)]
        others = sorted(set(file) - set(groups))
        if others or not groups:
            raise RequestError(
                f"{where} holds {', '.join(others) or 'nothing'}\n"
                f"  allowed: {FORM}, or one group of these for each episode; or frame_0_x, "
                "frame_0_y and so on, the layout of the CSGO data of DIAMOND"
            )
        return [
            _episode(file[key], path, f"{name}/{key}", f"{where}, group {key!r}") for key in groups
        ]


@contextmanager
def opened(path: Path, where: str) -> Iterator[h5py.File]:
    """Open a file to read.

    Args:
        path: The file.
        where: The command and the file, for errors.

    Raises:
        RequestError: It is damaged or cut, also where this shows while it is read.
    """
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, RuntimeError, KeyError) as error:
        raise RequestError(
            f"{where} cannot be read as HDF5: {error}\n  it is damaged or cut: write it again"
        ) from error


def dataset_blocks(path: Path, key: str, where: str) -> Iterator[NDArray[Any]]:
    """Read a data set (t, ...) in blocks: those in which the file keeps it, or of 32 rows.

    Args:
        path: The file.
        key: The name of the data set.
        where: The command and the file, for errors.
    """
    with opened(path, where) as file:
        dataset = file[key]
        yield from slices(dataset, dataset.chunks[0] if dataset.chunks else BLOCK)


def _episode(group: h5py.Group, path: Path, name: str, where: str) -> RawEpisode:
    held = [key for key, value in group.items() if isinstance(value, h5py.Dataset)]
    need_arrays(held, where)
    frames = group[FRAMES]
    num_frames, remarks = check_frames(frames.shape, frames.dtype, where)
    key = frames.name
    return RawEpisode(
        name,
        where,
        num_frames,
        stream(lambda: dataset_blocks(path, key, where), where),
        _values(group[ACTIONS]),
        _values(group[REWARDS]) if REWARDS in held else None,
        _values(group[ENDS]) if ENDS in held else None,
        remarks=remarks,
    )


def _values(dataset: h5py.Dataset) -> NDArray[Any]:
    if h5py.check_string_dtype(dataset.dtype) is not None:
        return np.asarray(dataset.asstr()[()], dtype=np.str_)
    return np.asarray(dataset[()])


def _csgo_episode(file: h5py.File, path: Path, name: str, where: str) -> RawEpisode:
    """One file of the CSGO data.

    The vector `frame_i_y` was pressed while `frame_i_x` was seen: the released code gives it to the
    denoiser with frame i to predict frame i + 1, and so do we. Images are kept as BGR: the released
    code turns the channels round when it reads them. It trains without rewards and ends, so that
    kills and deaths, `frame_i_helperarr`, are not read; nor are `frame_i_xaux`.

    Source: https://github.com/eloialonso/diamond, branch csgo, data/dataset.py and
        models/diffusion/denoiser.py; github.com/TeaPearce/Counter-Strike_Behavioural_Cloning.
    """
    numbers = sorted(int(match[1]) for key in file if (match := _CSGO_FRAME.fullmatch(key)))
    num_frames = len(numbers)
    keys = {f"frame_{i}_{what}" for i in range(num_frames) for what in "xy"}
    missing = sorted(keys - set(file))
    if missing:
        raise RequestError(
            f"{where} holds {num_frames} frames, and lacks {missing[0]}\n"
            f"  allowed: frame_i_x and frame_i_y for i from 0 to {num_frames - 1}"
        )
    first = file["frame_0_x"]
    check_frames((num_frames, *first.shape), first.dtype, where)
    actions = np.stack([np.asarray(file[f"frame_{i}_y"][()]) for i in range(num_frames)])
    names = CSGO_NAMES if actions.shape[1:] == (len(CSGO_NAMES),) else ()
    return RawEpisode(
        name,
        where,
        num_frames,
        stream(lambda: _csgo_frames(path, num_frames, where), where),
        actions,
        names=names,
    )


def _csgo_frames(path: Path, num_frames: int, where: str) -> Iterator[ByteArray]:
    with opened(path, where) as file:
        shape = file["frame_0_x"].shape
        for number in range(num_frames):
            frame = file[f"frame_{number}_x"][()]
            if frame.shape != shape:
                raise RequestError(
                    f"{where}: frame_{number}_x is {frame.shape}, frame_0_x {shape}\n"
                    "  all frames need one size; nothing is resized"
                )
            yield frame[None, ..., ::-1]
