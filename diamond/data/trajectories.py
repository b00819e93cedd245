"""Trajectories of frames from files of any project: arrays, folders of PNGs, video.

A trajectory is checked while it is read; nothing is cut, padded, resized or clipped.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diamond.arrays import ByteArray
from diamond.data.png_files import IMAGE_SUFFIX, read_picture
from diamond.data.videos import VIDEO_SUFFIXES, read_video
from diamond.errors import RequestError

ARRAY_SUFFIXES = (".npy", ".npz")
FRAMES_NAME = "frames"
"""Name of the array in an .npz file that holds others as well."""
_OVERSHOOT = 1e-6
"""What rounding of 32-bit floats takes numbers beyond 0 and 1."""
_NAMED = 5
"""Missing frames that an error lists."""
ALLOWED = (
    "a file of frames (t, h, w, 3) or of n trajectories (n, t, h, w, 3), .npy or .npz; a video; a "
    "folder of PNGs; or a folder of such files or folders, one trajectory each"
)


@dataclass(frozen=True)
class Trajectory:
    """One trajectory that can be read.

    Attributes:
        name: What it is matched by: the name without its suffix.
        path: File, or folder of PNGs.
        row: Its place in a file of several, None where it is alone.
    """

    name: str
    path: Path
    row: int | None = None


@dataclass(frozen=True)
class Read:
    """The frames of a trajectory as they are scored.

    Attributes:
        frames: (t, h, w, 3) uint8, t at least 1, RGB.
        remarks: What was done to get them that may change a score.
        numbers: The number in the name of each frame; empty where frames have no names.
    """

    frames: ByteArray
    remarks: tuple[str, ...] = ()
    numbers: tuple[int, ...] = ()


def list_trajectories(path: Path, flag: str) -> tuple[Trajectory, ...]:
    """Find the trajectories below a path, in natural order of their names.

    Args:
        path: A file, or a folder.
        flag: The option that names it, for errors.

    Raises:
        RequestError: There is nothing, nothing that can be read, or two of one name.
    """
    if not path.exists():
        raise RequestError(
            f"{flag} {str(path)!r}: there is no such file or folder\n  allowed: {ALLOWED}"
        )
    if path.is_file():
        return _of_file(path, flag)
    entries = natural(entry for entry in path.iterdir() if not entry.name.startswith("."))
    if not entries:
        raise RequestError(f"{flag} {str(path)!r}: the folder is empty\n  allowed: {ALLOWED}")
    if all(_is_image(entry) for entry in entries):
        return (Trajectory(path.name, path),)
    found: list[Trajectory] = []
    for entry in entries:
        if entry.is_dir():
            picture_files(entry, flag)
            found.append(Trajectory(entry.name, entry))
        else:
            found += _of_file(entry, flag)
    names = [one.name for one in found]
    for name in names:
        if names.count(name) > 1:
            raise RequestError(
                f"{flag} {str(path)!r} has two trajectories called {name!r}\n"
                "  names are compared without their suffix; rename one"
            )
    return tuple(found)


def read_trajectory(trajectory: Trajectory, flag: str) -> Read:
    """Read all frames of a trajectory.

    Floats in [0, 1] are rounded to the nearest of the 256 levels, level = round(255 x), because
    metrics are those of 8-bit frames; the remark says how far that moved them.

    Raises:
        RequestError: A shape, type or range is wrong, a number is not finite, images differ in
            size, one is missing, a file is cut.
    """
    path = trajectory.path
    if path.is_dir():
        return _images(path, flag)
    if path.suffix.lower() in VIDEO_SUFFIXES:
        return Read(*read_video(path, flag))
    frames = read_array(path, flag)
    if trajectory.row is not None:
        frames = frames[trajectory.row]
    levels, moved = to_levels(frames, f"{flag} {str(path)!r}")
    remark = f"{flag}: floats were rounded to 256 levels, by at most {moved:.2f} of a level"
    return Read(levels, (remark,) if moved > 1e-3 else ())


def read_frame(path: Path, flag: str) -> ByteArray:
    """Read one frame, a PNG or an array (h, w, 3) by the rules of `read_trajectory`.

    Raises:
        RequestError: It cannot be read as one frame.
    """
    if not path.is_file():
        raise RequestError(f"{flag} {str(path)!r}: there is no such file")
    if _is_image(path):
        return read_picture(path, flag).frame
    if path.suffix.lower() not in ARRAY_SUFFIXES:
        raise RequestError(
            f"{flag} {str(path)!r} ends in {path.suffix!r}\n  allowed: .png, .npy, .npz, one frame"
        )
    array = read_array(path, flag)
    if array.ndim != 3:
        raise RequestError(
            f"{flag} {str(path)!r} has the shape {array.shape}\n  allowed: one frame (h, w, 3)"
        )
    frame: ByteArray = to_levels(array[None], f"{flag} {str(path)!r}")[0][0]
    return frame


def read_array(path: Path, flag: str, name: str = FRAMES_NAME) -> NDArray[Any]:
    """Open an array of an .npy file, or of an .npz file that holds it alone or under a name.

    Raises:
        RequestError: The file is damaged, holds objects, or does not hold the array.
    """
    try:
        data = np.load(path, mmap_mode="r", allow_pickle=False)
        if isinstance(data, np.ndarray):
            return data
        with data:
            chosen = data.files[0] if len(data.files) == 1 else name
            if chosen in data.files:
                found: NDArray[Any] = data[chosen]
                return found
            held = ", ".join(sorted(data.files)) or "nothing"
    except Exception as error:  # numpy has no one class for what is wrong with a file
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise RequestError(
            f"{flag} {str(path)!r} cannot be read as an array: {reason}\n"
            "  allowed: numbers as numpy.save or numpy.savez write them, no Python objects"
        ) from error
    raise RequestError(
        f"{flag} {str(path)!r} holds {held}\n  allowed: one array alone, or one called {name!r}"
    )


def natural(paths: Iterable[Path]) -> list[Path]:
    """Sort by name as people count: `2.png` before `10.png`."""
    return sorted(paths, key=lambda path: natural_key(path.name))


def natural_key(name: str) -> tuple[list[tuple[int, int, str]], str]:
    """What names are sorted by as people count."""
    parts = re.findall(r"\d+|\D+", name)
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts], name


def picture_files(folder: Path, flag: str, beside: Sequence[str] = ()) -> list[Path]:
    """The PNGs of a folder that holds nothing else, in natural order.

    Args:
        folder: A folder.
        flag: The option that names it, for errors.
        beside: Names of other files that may be there.

    Raises:
        RequestError: It is empty, or something else is there.
    """
    entries = natural(
        entry
        for entry in folder.iterdir()
        if not entry.name.startswith(".") and entry.name not in beside
    )
    if not entries:
        raise RequestError(f"{flag} {str(folder)!r}: the folder is empty\n  allowed: {ALLOWED}")
    others = [entry.name for entry in entries if not _is_image(entry)]
    if others:
        raise RequestError(
            f"{flag} {str(folder)!r} holds {others[0]!r}\n"
            "  allowed in the folder of one trajectory: PNGs alone"
        )
    return entries


def frame_numbers(folder: Path, paths: Sequence[Path], flag: str) -> tuple[int, ...]:
    """The number of each of several frames: what differs between their names, evenly spaced.

    Args:
        folder: Where they are, for errors.
        paths: The files in their order.
        flag: The option that names the folder.

    Raises:
        RequestError: A number is missing or there twice, or names differ in more than one.
    """
    if len(paths) == 1:
        return ()
    where = f"{flag} {str(folder)!r}"
    parts = [re.split(r"(\d+)", path.stem) for path in paths]
    columns = list(zip(*(map(int, part[1::2]) for part in parts), strict=False))
    counting = [column for column in columns if len(set(column)) > 1] or columns[:1]
    if len({tuple(part[::2]) for part in parts}) > 1 or len(counting) != 1:
        raise RequestError(
            f"{where}: the names {paths[0].name!r} to {paths[-1].name!r} differ in more than the "
            "number of the frame\n  allowed: names that differ in one number alone, such as "
            "0.png, 1.png or frame_001.png, frame_002.png"
        )
    (numbers,) = counting
    steps = [after - before for before, after in pairwise(numbers)]
    if 0 in steps:
        twice = steps.index(0)
        raise RequestError(
            f"{where}: {paths[twice].name!r} and {paths[twice + 1].name!r} are both frame "
            f"{numbers[twice]}\n  remove one"
        )
    step = min(steps)
    gaps = (range(before + step, after, step) for before, after in pairwise(numbers))
    missing = list(islice(chain.from_iterable(gaps), _NAMED + 1))
    if missing:
        more = " and more" if len(missing) > _NAMED else ""
        raise RequestError(
            f"{where} lacks frame {', '.join(map(str, missing[:_NAMED]))}{more} between "
            f"{paths[0].name!r} and {paths[-1].name!r}\n  the numbers of the frames of one "
            "trajectory are evenly spaced: nothing is guessed"
        )
    return numbers


def to_levels(array: NDArray[Any], where: str) -> tuple[ByteArray, float]:
    """Check frames (t, h, w, 3) and bring them to 256 levels.

    Args:
        array: Frames of any type.
        where: The option and the file, for errors.

    Returns:
        (t, h, w, 3) uint8, and by how many levels rounding moved one at most.

    Raises:
        RequestError: See `read_trajectory`.
    """
    if array.ndim != 4 or array.shape[-1] != 3:
        hint = "\n  channels come last: numpy.moveaxis(x, 1, -1)" if _channels_first(array) else ""
        raise RequestError(
            f"{where} has the shape {array.shape}\n"
            f"  allowed: (t, h, w, 3), or (n, t, h, w, 3) for n trajectories{hint}"
        )
    if 0 in array.shape:
        raise RequestError(f"{where} has the shape {array.shape}: there is no frame in it")
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array), 0.0
    if not np.issubdtype(array.dtype, np.floating):
        raise RequestError(
            f"{where} has the type {array.dtype}\n"
            "  allowed: uint8 from 0 to 255, or floats from 0 to 1"
        )
    if not bool(np.isfinite(array).all()):
        count = int(np.count_nonzero(~np.isfinite(array)))
        raise RequestError(f"{where}: {count} numbers are NaN or infinite")
    low, high = float(array.min()), float(array.max())
    if low < -_OVERSHOOT or high > 1 + _OVERSHOOT:
        raise RequestError(
            f"{where} has floats from {low:.7g} to {high:.7g}\n"
            "  allowed: floats from 0 to 1, or uint8 from 0 to 255; from [-1, 1]: (x + 1) / 2"
        )
    exact = 255 * np.clip(array.astype(np.float64), 0, 1)
    frames = np.rint(exact).astype(np.uint8)
    return frames, float(np.abs(frames - exact).max())


def _of_file(path: Path, flag: str) -> tuple[Trajectory, ...]:
    suffix = path.suffix.lower()
    if suffix in ARRAY_SUFFIXES:
        shape = read_array(path, flag).shape
        if len(shape) == 5:
            width = len(str(shape[0] - 1))
            return tuple(
                Trajectory(f"{path.stem}-{row:0{width}d}", path, row) for row in range(shape[0])
            ) or _no_trajectories(path, flag)
        return (Trajectory(path.stem, path),)
    if suffix in VIDEO_SUFFIXES:
        return (Trajectory(path.stem, path),)
    if suffix == IMAGE_SUFFIX:
        raise RequestError(
            f"{flag} {str(path)!r} is one picture\n  allowed: {ALLOWED}; pictures of one trajectory"
            " stand in a folder of their own"
        )
    raise RequestError(f"{flag} {str(path)!r} cannot be read as frames\n  allowed: {ALLOWED}")


def _no_trajectories(path: Path, flag: str) -> tuple[Trajectory, ...]:
    raise RequestError(f"{flag} {str(path)!r} holds no trajectory: its first axis has length 0")


def _is_image(path: Path) -> bool:
    return path.suffix.lower() == IMAGE_SUFFIX


def _images(folder: Path, flag: str) -> Read:
    paths = picture_files(folder, flag)
    numbers = frame_numbers(folder, paths, flag)
    frames = [read_picture(path, flag).frame for path in paths]
    for path, frame in zip(paths, frames, strict=True):
        if frame.shape != frames[0].shape:
            raise RequestError(
                f"{flag} {str(folder)!r}: {path.name} has {_size(frame)}, {paths[0].name} has "
                f"{_size(frames[0])}\n  all frames need one size; nothing is resized"
            )
    return Read(np.stack(frames), numbers=numbers)


def _channels_first(array: NDArray[Any]) -> bool:
    return array.ndim in (4, 5) and array.shape[-3] == 3


def _size(frame: ByteArray) -> str:
    return " x ".join(map(str, frame.shape[:2])) + " pixels"


def check_one_size(shapes: Sequence[tuple[str, tuple[int, ...]]]) -> None:
    """Refuse frames of different sizes, whose pixel metrics cannot be averaged.

    Args:
        shapes: Name and shape (t, h, w, 3) of every trajectory.

    Raises:
        RequestError: Two sizes differ.
    """
    first, size = shapes[0][0], shapes[0][1][1:]
    for name, shape in shapes:
        if shape[1:] != size:
            raise RequestError(
                f"{name!r} has frames of {shape[1]} x {shape[2]} pixels, {first!r} of "
                f"{size[0]} x {size[1]}\n  all trajectories need one size; nothing is resized"
            )
