"""Frames of a video as a player shows them, or exactly why they cannot be read.

`diamond fidelity` and `diamond import-frames` both read video here, through PyAV.
"""

import shlex
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream

from diamond.arrays import ByteArray, FloatArray
from diamond.errors import RequestError

VIDEO_SUFFIXES = (".mp4", ".mkv", ".avi", ".mov", ".webm")
_UNEVEN = 1.5
"""How much longer than usual a pause between two frames is where one was left out."""
_HIDING = ("vp8",)
"""Codecs with packets that no player shows: their frames are counted by decoding."""
_SAME_EVERYWHERE = (
    Interpolation.BICUBIC
    | Interpolation.ACCURATE_RND
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.BITEXACT
)
"""Colours without the shortcuts of one processor: a digest of frames holds on every machine."""


@dataclass(frozen=True)
class Video:
    """What a video says of itself; `decode` reads its frames.

    Attributes:
        path: The file.
        flag: The option that names it, for errors.
        codec: FFmpeg's name of the codec.
        pixels: FFmpeg's name of the pixel format.
        num_coded: Frames in the file, shown or not.
        num_frames: Frames that players show: an edit list may hide some.
        frame_rate: Frames a second on average, None where the file does not say.
        pauses: Milliseconds from each shown frame to the next.
        is_grey: Whether it has brightness alone.
        has_alpha: Whether it has transparency.
        is_interlaced: Whether a frame holds the rows of two moments.
    """

    path: Path
    flag: str
    codec: str
    pixels: str
    num_coded: int
    num_frames: int
    frame_rate: float | None
    pauses: FloatArray
    is_grey: bool
    has_alpha: bool
    is_interlaced: bool

    @property
    def is_even(self) -> bool:
        """Whether the frames follow each other evenly, but for rounding to milliseconds."""
        return _are_even(self.pauses)

    @property
    def uneven(self) -> str:
        """What is said of frames that do not follow each other evenly."""
        return (
            f"the frames of {self.path.name!r} follow each other after {self.pauses.min():.0f} to "
            f"{self.pauses.max():.0f} ms: some may have been left out when it was written; frame t "
            "is the t-th that it has"
        )


@dataclass(frozen=True)
class _Packets:
    """What a file holds before anything is decoded.

    Attributes:
        codec: FFmpeg's name of the codec.
        num_coded: Frames in it.
        times: Seconds of each frame that is shown, in their order.
        num_said: Frames by the header, 0 where it does not say.
        seconds: Where the last frame ends by the header, None where it does not say.
        frame_rate: See `Video`.
    """

    codec: str
    num_coded: int
    times: FloatArray
    num_said: int
    seconds: float | None
    frame_rate: float | None

    @property
    def is_cut(self) -> bool:
        """Whether there is less than the header says."""
        if self.num_said:
            return self.num_coded < self.num_said
        if self.seconds is None or len(self.times) < 2:
            return False
        longest = float(np.diff(self.times).max())
        return self.seconds - float(self.times[-1]) > _UNEVEN * longest + 0.002

    @property
    def said(self) -> str:
        """What the header says."""
        return f"there are {self.num_said}" if self.num_said else f"it lasts {self.seconds:.2f} s"


def open_video(path: Path, flag: str) -> Video:
    """Read what a video says of itself: its packets are counted, one frame is decoded.

    Args:
        path: The file.
        flag: The option that names it, for errors.

    Raises:
        RequestError: The file is no video, is cut, its codec cannot be decoded, or a colour has
            more than 8 bits.
    """
    found = _packets(path, flag)
    if found.is_cut:
        raise RequestError(
            f"{flag} {str(path)!r} is cut or damaged: {found.num_coded} frames can be read, by its "
            f"header {found.said}\n  {_again(path)}"
        )
    with closing(_decoded(path, flag)) as frames:
        first = next(frames, None)
        if first is None:
            raise RequestError(
                f"{flag} {str(path)!r} holds {found.num_coded} frames, and none of its codec, "
                f"{found.codec}, can be decoded\n  {_again(path)}"
            )
        num_frames = len(found.times)
        if found.codec in _HIDING:
            num_frames = 1 + sum(1 for _ in frames)
    pixels = first.format
    _check_depth(pixels, path, flag)
    return Video(
        path,
        flag,
        found.codec,
        pixels.name,
        found.num_coded,
        num_frames,
        found.frame_rate,
        1000 * np.diff(found.times),
        is_grey=len(pixels.components) == 1 and not pixels.has_palette,
        has_alpha=_has_alpha(pixels),
        is_interlaced=first.interlaced_frame,
    )


def decode(video: Video) -> Iterator[ByteArray]:
    """Read the frames of a video, one after the other.

    RGB codecs give the levels that they keep. Others are converted with the matrix and the range
    that the frame names; one that names none is BT.601, 16 to 235, whatever the container and the
    size. The conversion is exact to a level and the same on every machine. Frames are turned as a
    player turns them.

    Yields:
        Frames (h, w, 3) uint8, RGB, all of one size.

    Raises:
        RequestError: The file is damaged, a frame is not opaque or has another size.
    """
    num = 0
    for _, frame in _shown(video):
        num += 1
        yield frame
    if num != video.num_frames:
        raise RequestError(
            f"{_where(video)} is cut or damaged: {num} frames can be decoded, it holds "
            f"{video.num_frames}\n  {_again(video.path)}"
        )


def read_video(path: Path, flag: str) -> tuple[ByteArray, tuple[str, ...]]:
    """Read all frames that a video shows.

    Args:
        path: The file.
        flag: The option that names it, for errors.

    Returns:
        Frames (t, h, w, 3) uint8, RGB, and what the reader of the scores must know of them.

    Raises:
        RequestError: See `open_video` and `decode`.
    """
    video = open_video(path, flag)
    times, frames = zip(*_shown(video), strict=True)
    remarks = [
        f"{flag}: frames come from video ({video.codec}): where it was compressed with loss, the "
        "scores include that error; arrays and PNGs are exact"
    ]
    if len(frames) < video.num_frames and not _are_even(np.diff(times)):
        raise RequestError(
            f"{_where(video)} is cut or damaged: {len(frames)} frames can be decoded, it holds "
            f"{video.num_frames}\n  {_again(path)}"
        )
    if len(frames) < video.num_coded:
        remarks.append(
            f"{flag}: {path.name!r} holds {video.num_coded} frames and shows {len(frames)}, as "
            "where it was cut without being encoded again: the "
            f"{len(frames)} that players show are taken"
        )
    if not video.is_even:
        remarks.append(f"{flag}: {video.uneven}")
    return np.stack(frames), tuple(remarks)


def _packets(path: Path, flag: str) -> _Packets:
    num_coded, times = 0, []
    with _opened(path, flag) as (container, stream):
        for packet in container.demux(stream):
            stamp = packet.dts if packet.pts is None else packet.pts
            if packet.size:
                num_coded += 1
                if not packet.is_discard and stamp is not None:
                    times.append(float(stamp * packet.time_base))
        return _Packets(
            stream.codec.canonical_name,
            num_coded,
            np.sort(np.array(times, dtype=np.float64)),
            stream.frames,
            _seconds(container, stream),
            None if stream.average_rate is None else float(stream.average_rate),
        )


def _seconds(container: InputContainer, stream: VideoStream) -> float | None:
    """Where the video ends by the header; Matroska tells it of each stream in a tag."""
    told = stream.metadata.get("DURATION", "").split(":")
    if len(told) == 3:
        hours, minutes, seconds = map(float, told)
        return 3600 * hours + 60 * minutes + seconds
    if container.duration is None or len(container.streams) > 1:
        return None
    return container.duration / av.time_base


def _shown(video: Video) -> Iterator[tuple[float, ByteArray]]:
    """Each frame after its time: milliseconds."""
    reformatter, size = VideoReformatter(), None
    for frame in _decoded(video.path, video.flag):
        pixels = "rgba" if video.has_alpha else "rgb24"
        with _refusing(video.path, video.flag):
            converted = reformatter.reformat(
                frame, format=pixels, interpolation=_SAME_EVERYWHERE
            ).to_ndarray()
        if video.has_alpha and converted[..., 3].min() < 255:
            raise RequestError(
                f"{_where(video)} is transparent in places, and no background is known\n"
                "  allowed: opaque frames; draw them on a background and write it again"
            )
        turned = np.rot90(converted[..., :3], _quarter_turns(frame, video))
        size = size or turned.shape
        if turned.shape != size:
            raise RequestError(
                f"{_where(video)} has frames of {size[0]} x {size[1]} and {turned.shape[0]} x "
                f"{turned.shape[1]} pixels\n  all frames need one size; nothing is resized"
            )
        yield 1000 * (frame.time or 0), np.ascontiguousarray(turned, dtype=np.uint8)


def _quarter_turns(frame: VideoFrame, video: Video) -> int:
    if frame.rotation % 90:
        raise RequestError(
            f"{_where(video)} is turned by {frame.rotation} degrees\n"
            f"  allowed: quarter turns\n  {_again(video.path)}"
        )
    return frame.rotation // 90


def _decoded(path: Path, flag: str) -> Generator[VideoFrame, None, None]:
    with _opened(path, flag) as (container, stream):
        stream.thread_type = "AUTO"
        for frame in container.decode(stream):
            if frame.is_corrupt:
                raise RequestError(f"{flag} {str(path)!r} is cut or damaged\n  {_again(path)}")
            yield frame


@contextmanager
def _opened(path: Path, flag: str) -> Iterator[tuple[InputContainer, VideoStream]]:
    """A file and the first video in it; the whole path, since `run:0.mp4` alone is an address."""
    with _refusing(path, flag), av.open(str(path.absolute())) as container:
        if not container.streams.video:
            raise RequestError(f"{flag} {str(path)!r} holds no video\n  {_again(path)}")
        yield container, container.streams.video[0]


@contextmanager
def _refusing(path: Path, flag: str) -> Iterator[None]:
    """Turn what FFmpeg says into an error of the user."""
    try:
        yield
    except av.FFmpegError as error:
        raise RequestError(
            f"{flag} {str(path)!r} cannot be read as a video: it is damaged, or another kind of "
            f"file ({error.strerror})\n  {_again(path)}"
        ) from error


def _check_depth(pixels: VideoFormat, path: Path, flag: str) -> None:
    bits = max(component.bits for component in pixels.components)
    if bits > 8:
        raise RequestError(
            f"{flag} {str(path)!r} has {bits} bits for each colour ({pixels.name})\n"
            f"  allowed: 8 bits\n  {_again(path, '-pix_fmt bgr0 ')}"
        )


def _has_alpha(pixels: VideoFormat) -> bool:
    return pixels.has_palette or any(component.is_alpha for component in pixels.components)


def _are_even(pauses: FloatArray) -> bool:
    return not pauses.size or bool(pauses.max() <= _UNEVEN * np.median(pauses) + 1)


def _where(video: Video) -> str:
    return f"{video.flag} {str(video.path)!r}"


def _again(path: Path, options: str = "") -> str:
    source = shlex.quote(str(path.absolute())).encode(errors="replace").decode()
    return (
        f"write it again: ffmpeg -i {source} {options}-c:v ffv1 NEW.mkv; or save the frames as an "
        "array"
    )
