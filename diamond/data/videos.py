"""Frames of a video as a player shows them, or exactly why they cannot be read."""

import shlex
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from diamond.errors import RequestError

VIDEO_SUFFIXES = (".mp4", ".mkv", ".avi", ".mov", ".webm")
_UNEVEN = 1.5
"""How much longer than usual a pause between two frames is where one was left out."""


@dataclass(frozen=True)
class _Shown:
    """What a video shows, and what its header says of it.

    Attributes:
        frames: Frames (h, w, 3) uint8, RGB.
        pauses: Milliseconds from each frame to the next one.
        said: Frames by the header.
        codec: Four letters.
    """

    frames: list[NDArray[np.uint8]]
    pauses: NDArray[np.float64]
    said: int
    codec: str

    @property
    def even(self) -> bool:
        """Whether the frames follow each other evenly, but for rounding to milliseconds."""
        return not self.pauses.size or bool(
            self.pauses.max() <= _UNEVEN * np.median(self.pauses) + 1
        )


def read_video(path: Path, flag: str) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """Read all frames that a video shows.

    Args:
        flag: The option that names it, for errors.

    Returns:
        Frames (t, h, w, 3) uint8, RGB, and what the reader of the scores must know of them.

    Raises:
        RequestError: The file is no video, is cut or damaged, or its codec cannot be decoded.
    """
    shown = _shown(path, flag)
    remarks = [
        f"{flag}: frames come from video ({shown.codec}): where it was compressed with loss, the "
        "scores include that error; arrays and PNGs are exact"
    ]
    if not shown.frames or len(shown.frames) < shown.said:
        remarks.append(_fewer(path, flag, shown))
    if not shown.even:
        remarks.append(
            f"{flag}: the frames of {path.name!r} follow each other after "
            f"{shown.pauses.min():.0f} to {shown.pauses.max():.0f} ms: some may have been left out "
            "when it was written; frame t is the t-th that it has"
        )
    return np.stack(shown.frames), tuple(remarks)


def opencv_name(path: Path, flag: str) -> str:
    """The whole path, since to OpenCV's video reader `run:0.mp4` alone is an address.

    Raises:
        RequestError: It is no text, which would end the process inside OpenCV.
    """
    name = str(path.absolute())
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise RequestError(
            f"{flag} {str(path)!r}: the name is not UTF-8\n  OpenCV cannot open it: rename it"
        ) from error
    return name


def _shown(path: Path, flag: str) -> _Shown:
    capture = cv2.VideoCapture(opencv_name(path, flag), cv2.CAP_FFMPEG)
    try:
        if not capture.isOpened():
            raise RequestError(
                f"{flag} {str(path)!r} cannot be read as a video by OpenCV: it is damaged, or "
                f"another kind of file\n  {_again(path)}"
            )
        said = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        code = int(capture.get(cv2.CAP_PROP_FOURCC))
        frames, times = [], []
        while True:
            there, frame = capture.read()
            if not there:
                break
            frames.append(np.ascontiguousarray(frame[..., ::-1], dtype=np.uint8))
            times.append(capture.get(cv2.CAP_PROP_POS_MSEC))
    finally:
        capture.release()
    codec = "".join(chr(code >> shift & 255) for shift in (0, 8, 16, 24)).strip()
    return _Shown(frames, np.diff(times), said, codec)


def _fewer(path: Path, flag: str, shown: _Shown) -> str:
    """Why a video shows fewer frames than its header says, where they can be scored."""
    where, read, held = f"{flag} {str(path)!r}", len(shown.frames), _count_coded(path, flag)
    if held and not read:
        raise RequestError(
            f"{where} holds {held} frames, and OpenCV here cannot decode their codec, "
            f"{shown.codec}\n  allowed: H.264, HEVC, VP8, VP9, MPEG-4, MJPEG, ProRes, FFV1, "
            f"HuffYUV\n  {_again(path)}"
        )
    if held < shown.said or not shown.even:
        raise RequestError(
            f"{where} is cut or damaged: {read} frames can be read, by its header there are "
            f"{shown.said}\n  {_again(path)}"
        )
    return (
        f"{flag}: {path.name!r} holds {held} frames and shows {read}, as where it was cut without "
        f"being encoded again: the {read} that players show are taken"
    )


def _count_coded(path: Path, flag: str) -> int:
    """Count the coded frames of a video, whether or not they can be decoded or are shown."""
    raw = [cv2.CAP_PROP_FORMAT, -1]
    capture = cv2.VideoCapture(opencv_name(path, flag), cv2.CAP_FFMPEG, raw)
    count = 0
    while capture.grab():
        count += 1
    capture.release()
    return count


def _again(path: Path) -> str:
    source = shlex.quote(str(path.absolute()))
    return f"write it again: ffmpeg -i {source} -c:v ffv1 NEW.mkv; or save the frames as an array"
