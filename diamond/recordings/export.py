"""Episodes on their way out, in forms that `diamond import-frames` reads: .npz, video, Minari."""

import csv
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any, Literal, assert_never, get_args
from zipfile import ZIP_DEFLATED, ZipFile

import av
import numpy as np

from diamond import __version__
from diamond.arrays import ByteArray
from diamond.data.frame_files import DEFLATE_LEVEL
from diamond.engine.files import rename_to_new
from diamond.errors import RequestError
from diamond.recordings.action_tables import ACTION, END, EPISODE, FRAME, REWARD
from diamond.recordings.episodes import RecordedEpisode
from diamond.recordings.kept_episodes import Origin
from diamond.recordings.minari_export import MinariText, write_minari
from diamond.weights.checkpoint_folders import new_folder

ExportFormat = Literal["npz", "minari", "video"]
FORMATS: tuple[ExportFormat, ...] = get_args(ExportFormat)
ABOUT_FILE = "about.json"
"""Beside the episodes: what they are."""
LOSSLESS: Mapping[str, str] = {"qp": "0"}
"""Options with which libx264rgb loses nothing."""
COLUMNS = frozenset({ACTION, REWARD, END, FRAME, EPISODE})
"""What columns of a table of actions mean something by their name."""
UNKNOWN_RATE = 30.0
"""Frames a second of a video whose episode does not say."""
ALIGNMENT = "action i leads from frame i to frame i + 1; the last frame has none"


@dataclass(frozen=True)
class Outgoing:
    """Episodes on their way out.

    Attributes:
        name: Letters, digits and hyphens: of the Minari data set.
        title: What they are, in a few words.
        episodes: At least one, all with frames of one size.
        origins: What is known of where each episode comes from.
        action_names: A word for each discrete action, or for each number of continuous ones.
        about: What must be known of them, as plain data.
        remarks: What was left out, in sentences.
    """

    name: str
    title: str
    episodes: tuple[RecordedEpisode, ...]
    origins: tuple[Origin, ...]
    action_names: tuple[str, ...]
    about: Mapping[str, Any]
    remarks: tuple[str, ...] = ()


def write_export(outgoing: Outgoing, form: ExportFormat, target: Path) -> dict[str, Any]:
    """Write episodes into a folder: it is there whole, or not at all.

    Args:
        outgoing: The episodes.
        form: npz, a file for each episode; video, a lossless .mp4 for each and a .csv beside it;
            minari, a data set.
        target: The folder to make; it must not exist or be empty.

    Returns:
        What about.json in it says.

    Raises:
        RequestError: Something is in the folder, or the form cannot hold the episodes.
        StoreError: It cannot be written.
    """
    target = target.absolute()
    if target.is_symlink() or (target.exists() and not _is_empty(target)):
        raise _exists(target)
    size = next(outgoing.episodes[0].frames()).shape[:2]
    about = _about(outgoing, form, size)
    with new_folder(target, "give a folder that can be made with --output") as folder:
        match form:
            case "npz":
                for episode in outgoing.episodes:
                    write_npz(episode, folder / f"{episode.name}.npz")
            case "video":
                for episode in outgoing.episodes:
                    path = folder / f"{episode.name}.mp4"
                    write_video(path, episode.frames(), episode.frame_rate or UNKNOWN_RATE)
                    write_actions(episode, outgoing.action_names, path.with_suffix(".csv"))
            case "minari":
                text = MinariText(outgoing.name, outgoing.title, outgoing.action_names, about)
                write_minari(outgoing.episodes, outgoing.origins, text, folder)
            case _:
                assert_never(form)
        (folder / ABOUT_FILE).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
        if not rename_to_new(folder, target):
            raise _exists(target)
    return about


def write_npz(episode: RecordedEpisode, path: Path) -> None:
    """Write an episode as `frames`, `actions`, and `rewards` and `terminated` where known.

    One frame is written after the other.
    """
    rows = {"actions": episode.actions, "rewards": episode.rewards, "terminated": episode.ends}
    frames = episode.frames()
    first = next(frames)
    shape = (episode.num_frames, *first.shape)
    header = {"descr": first.dtype.str, "fortran_order": False, "shape": shape}
    with ZipFile(path, "w", ZIP_DEFLATED, compresslevel=DEFLATE_LEVEL) as file:
        with file.open("frames.npy", "w", force_zip64=True) as stream:
            np.lib.format.write_array_header_1_0(stream, header)
            for frame in chain((first,), frames):
                stream.write(frame.tobytes())
        for name, array in rows.items():
            if array is not None:
                with file.open(f"{name}.npy", "w", force_zip64=True) as stream:
                    np.lib.format.write_array(stream, array, allow_pickle=False)


def write_video(
    path: Path,
    frames: Iterable[ByteArray],
    frame_rate: float,
    *,
    codec: str = "libx264rgb",
    options: Mapping[str, str] = LOSSLESS,
    pixel_format: str = "rgb24",
) -> None:
    """Write frames as a video, by default without loss: H.264 of RGB, which browsers do not show.

    Args:
        path: Its suffix says the container.
        frames: (h, w, 3) uint8, RGB, all of one size.
        frame_rate: Frames a second.
        codec: As FFmpeg calls it.
        options: Of the codec.
        pixel_format: What the codec is given.
    """
    rest = iter(frames)
    first = next(rest)
    rate = Fraction(frame_rate).limit_denominator(1001)
    with av.open(path, "w") as container:
        stream: Any = container.add_stream(codec, rate=rate, options=dict(options))
        stream.height, stream.width = first.shape[:2]
        stream.pix_fmt = pixel_format
        for frame in chain((first,), rest):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def write_actions(episode: RecordedEpisode, names: tuple[str, ...], path: Path) -> None:
    """Write a row for each action, under the number of the frame in which it was taken.

    A discrete action is its index in the column `action`; of continuous ones each number has a
    column of its own. `reward` and `terminated` are there where they are known.
    """
    columns: list[tuple[str, list[Any]]] = [(FRAME, list(range(len(episode.actions))))]
    if episode.actions.ndim == 1:
        columns.append((ACTION, episode.actions.tolist()))
    else:
        # A number whose name means something else in a table gets another one.
        own = [f"{name} (number)" if name in COLUMNS else name for name in names]
        columns += zip(own, episode.actions.T.tolist(), strict=True)
    if episode.rewards is not None:
        columns.append((REWARD, episode.rewards.tolist()))
    if episode.ends is not None:
        columns.append((END, episode.ends.astype(int).tolist()))
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow([name for name, _ in columns])
        writer.writerows(zip(*(values for _, values in columns), strict=True))


def _about(outgoing: Outgoing, form: ExportFormat, size: tuple[int, ...]) -> dict[str, Any]:
    episodes = [
        {"name": one.name, "num_frames": one.num_frames, **origin}
        for one, origin in zip(outgoing.episodes, outgoing.origins, strict=True)
    ]
    return {
        "title": outgoing.title,
        "made_by": f"diamond {__version__}",
        "format": form,
        **outgoing.about,
        "height": size[0],
        "width": size[1],
        "frame_rate": outgoing.episodes[0].frame_rate,
        "num_episodes": len(episodes),
        "num_frames": sum(one.num_frames for one in outgoing.episodes),
        "action_names": list(outgoing.action_names),
        "alignment": ALIGNMENT,
        "remarks": list(outgoing.remarks),
        "episodes": episodes,
    }


def _is_empty(folder: Path) -> bool:
    return folder.is_dir() and not any(folder.iterdir())


def _exists(target: Path) -> RequestError:
    what = "is a folder with files in it" if target.is_dir() else "exists"
    return RequestError(
        f"--output {str(target)!r} {what}; nothing in it is changed\n  give another name"
    )
