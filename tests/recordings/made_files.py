"""Recordings made for tests: the same frames in files of every form."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pandas as pd
from av.video.stream import VideoStream
from numpy.typing import NDArray

from diamond.arrays import ByteArray
from diamond.recordings.episodes import RecordedEpisode


@dataclass(frozen=True)
class Played:
    """An episode as it was, before a file is made of it."""

    frames: ByteArray
    actions: NDArray[np.int64]
    rewards: NDArray[np.float32]
    ends: NDArray[np.bool_]


def played(seed: int, num_frames: int = 9, height: int = 16, width: int = 24) -> Played:
    """Noise, of which a codec with loss keeps nothing exactly; all of four actions are there."""
    rng = np.random.default_rng(seed)
    ends = np.zeros(num_frames - 1, dtype=np.bool_)
    ends[-1] = True
    return Played(
        rng.integers(0, 256, (num_frames, height, width, 3), dtype=np.uint8),
        rng.permutation(np.arange(num_frames - 1) % 4).astype(np.int64),
        rng.normal(size=num_frames - 1).astype(np.float32),
        ends,
    )


def read_frames(episode: RecordedEpisode) -> ByteArray:
    """All frames of an episode."""
    return np.stack(list(episode.frames()))


def write_npz(path: Path, one: Played) -> None:
    """A compressed file of an episode."""
    np.savez_compressed(
        path, frames=one.frames, actions=one.actions, rewards=one.rewards, terminated=one.ends
    )


def write_pngs(folder: Path, frames: ByteArray) -> None:
    """A folder of PNGs, 0.png and so on."""
    folder.mkdir(parents=True)
    for t, frame in enumerate(frames):
        cv2.imwrite(str(folder / f"{t}.png"), np.ascontiguousarray(frame[..., ::-1]))


def table(one: Played) -> pd.DataFrame:
    """What a table says of an episode."""
    return pd.DataFrame({"action": one.actions, "reward": one.rewards, "terminated": one.ends})


def write_video(
    path: Path,
    frames: Sequence[ByteArray | av.VideoFrame] | ByteArray,
    codec: str = "ffv1",
    pixels: str = "bgr0",
    options: Mapping[str, str] | None = None,
    times: Sequence[int] = (),
) -> None:
    """A video of 15 frames a second, lossless by default.

    Args:
        path: Where it is written; the suffix says the container.
        frames: (h, w, 3) RGB, (h, w, 4) RGBA or (h, w) grey each, or as PyAV has them.
        codec: FFmpeg's name.
        pixels: FFmpeg's name of the pixel format in the file.
        options: Of the codec.
        times: When each frame is shown, in fifteenths of a second; empty for one after the other.
    """
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=15, options=dict(options or {}))
        assert isinstance(stream, VideoStream)
        made = [one if isinstance(one, av.VideoFrame) else _frame(one) for one in frames]
        stream.height, stream.width, stream.pix_fmt = made[0].height, made[0].width, pixels
        for time, frame in zip(times or range(len(made)), made, strict=True):
            frame.pts, frame.time_base = time, Fraction(1, 15)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _frame(pixels: ByteArray) -> av.VideoFrame:
    kind = "gray" if pixels.ndim == 2 else {3: "rgb24", 4: "rgba"}[pixels.shape[-1]]
    return av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format=kind)


RGB_H264 = ("libx264rgb", "rgb24", {"qp": "0"})
"""Codec, pixels and options of H.264 without loss."""
