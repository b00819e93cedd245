"""Episodes that are videos or folders of PNGs, with a table of actions for each or for all."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd

from diamond.arrays import ByteArray
from diamond.data.png_files import read_picture
from diamond.data.trajectories import frame_numbers, picture_files
from diamond.data.videos import decode, open_video
from diamond.errors import RequestError
from diamond.recordings.action_tables import (
    ACTIONS_FLAG,
    EPISODE,
    FORM,
    TABLE_SUFFIXES,
    read_table,
    rows_of,
    same_kind,
    table_actions,
)
from diamond.recordings.array_frames import GREY, OPAQUE
from diamond.recordings.raw_episodes import FLAG, RawEpisode

INSIDE = tuple(f"actions{suffix}" for suffix in TABLE_SUFFIXES)
"""Tables that may be in the folder of the PNGs they are of."""


@dataclass(frozen=True)
class _Seen:
    """Frames without their actions.

    Attributes:
        path: The video, or the folder of PNGs.
        name: See `RecordedEpisode`.
        num_frames: See `RecordedEpisode`.
        frames: See `RecordedEpisode`.
        frame_rate: See `RecordedEpisode`.
        remarks: See `RecordedEpisode`.
        numbers: The number in the name of each frame; empty where frames have none.
    """

    path: Path
    name: str
    num_frames: int
    frames: Callable[[], Iterator[ByteArray]]
    frame_rate: float | None
    remarks: tuple[str, ...]
    numbers: tuple[int, ...] = ()


def read_seen(paths: Sequence[Path], actions: Path | None) -> list[RawEpisode]:
    """Open videos or folders of PNGs; their frames are read when asked for.

    Args:
        paths: Videos, or folders of PNGs, in their order.
        actions: A table of the actions of all, None where each has one beside it, or, of PNGs, in
            its folder.

    Raises:
        RequestError: A file is damaged, there is no table or there are two, or the table does not
            fit the frames.
    """
    tables = _beside(paths) if actions is None else _of_all(paths, actions)
    seen = [_open_pictures(path) if path.is_dir() else _open_video(path) for path in paths]
    found = [
        table_actions(table, where, one.num_frames, one.numbers)
        for one, (table, where) in zip(seen, tables, strict=True)
    ]
    return [
        RawEpisode(
            one.name,
            where,
            one.num_frames,
            one.frames,
            actions_of,
            told.rewards,
            told.ends,
            told.names or (("action",) if actions_of.dtype.kind == "f" else ()),
            one.frame_rate,
            one.remarks + told.remarks,
        )
        for one, told, actions_of, (_, where) in zip(
            seen, found, same_kind(found), tables, strict=True
        )
    ]


def tables_of(path: Path) -> list[Path]:
    """The tables that belong to a video or a folder of PNGs alone: beside it, or in it.

    Args:
        path: The video or the folder.
    """
    stem = path.absolute().name if path.is_dir() else path.stem
    beside = [path.absolute().parent / f"{stem}{suffix}" for suffix in TABLE_SUFFIXES]
    inside = [path / name for name in INSIDE] if path.is_dir() else []
    return [table for table in beside + inside if table.is_file()]


def _beside(paths: Sequence[Path]) -> list[tuple[pd.DataFrame, str]]:
    tables = []
    for path in paths:
        found = tables_of(path)
        if len(found) != 1:
            told = " and ".join(repr(one.name) for one in found) if found else "no table"
            inside = f", or {INSIDE[0]} in it" if path.is_dir() else ""
            raise RequestError(
                f"{FLAG} {str(path)!r} has {told} of its actions beside it\n  allowed: one, "
                f"{path.stem}.csv or .parquet{inside}, with {FORM}\n"
                f"  a table elsewhere: {ACTIONS_FLAG} FILE"
            )
        tables.append((read_table(found[0]), f"{FLAG} {str(found[0])!r}"))
    return tables


def _of_all(paths: Sequence[Path], actions: Path) -> list[tuple[pd.DataFrame, str]]:
    where = f"{ACTIONS_FLAG} {str(actions)!r}"
    table = read_table(actions, ACTIONS_FLAG)
    for path in paths:
        for other in tables_of(path):
            if not actions.samefile(other):
                raise RequestError(
                    f"{where}: {str(other)!r} is a table of the actions of {path.name!r}, too\n"
                    f"  leave {ACTIONS_FLAG} out, or move that table away"
                )
    names = [_name(path) for path in paths]
    if len(paths) == 1 and (EPISODE not in table or table[EPISODE].nunique() == 1):
        return [(table, where)]
    rows = [(rows_of(table, name, where), where) for name in names]
    unknown = sorted(set(table[EPISODE].astype(str)) - set(names))
    if unknown and len(paths) > 1:
        raise RequestError(
            f"{where} has rows of the {EPISODE} {unknown[0]!r}, of which there are no frames\n"
            f"  allowed: {', '.join(names)}"
        )
    return rows


def _name(path: Path) -> str:
    return path.absolute().name if path.is_dir() else path.stem


def _open_video(path: Path) -> _Seen:
    video = open_video(path, FLAG)
    remarks = [
        f"frames come from video ({video.codec}, {video.pixels}): what was lost when it was "
        "compressed is lost"
    ]
    if not video.is_even:
        remarks.append(video.uneven)
    if video.num_frames < video.num_coded:
        remarks.append(
            f"{path.name!r} holds {video.num_coded} frames and shows {video.num_frames}: those "
            "that players show are taken"
        )
    if video.is_interlaced:
        remarks.append("frames are interlaced: the rows of a frame are of two moments")
    if video.is_grey:
        remarks.append(GREY)
    if video.has_alpha:
        remarks.append(OPAQUE)
    return _Seen(
        path,
        _name(path),
        video.num_frames,
        partial(decode, video),
        video.frame_rate,
        tuple(remarks),
    )


def _open_pictures(folder: Path) -> _Seen:
    paths = picture_files(folder, FLAG, INSIDE)
    first = read_picture(paths[0], FLAG)
    return _Seen(
        folder,
        _name(folder),
        len(paths),
        partial(_pictures, paths),
        None,
        {1: (GREY,), 3: (), 4: (OPAQUE,)}[first.channels],
        frame_numbers(folder, paths, FLAG),
    )


def _pictures(paths: Sequence[Path]) -> Iterator[ByteArray]:
    shape: tuple[int, ...] | None = None
    for path in paths:
        frame = read_picture(path, FLAG).frame
        shape = shape or frame.shape
        if frame.shape != shape:
            raise RequestError(
                f"{FLAG} {str(path)!r} has {frame.shape[0]} x {frame.shape[1]} pixels, "
                f"{paths[0].name} has {shape[0]} x {shape[1]}\n"
                "  all frames need one size; nothing is resized"
            )
        yield frame
