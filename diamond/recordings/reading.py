"""Recordings of the user's own, from files of any form: the form is found by looking."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from diamond.data.png_files import IMAGE_SUFFIX
from diamond.data.trajectories import natural, natural_key
from diamond.data.videos import VIDEO_SUFFIXES
from diamond.errors import RequestError, did_you_mean
from diamond.recordings.action_tables import ACTIONS_FLAG, TABLE_SUFFIXES
from diamond.recordings.array_episodes import FORM, FRAMES, read_npy_folder, read_npz
from diamond.recordings.episodes import Source
from diamond.recordings.hdf5_episodes import HDF5_SUFFIXES, read_hdf5
from diamond.recordings.minari_episodes import local_data_sets, minari_folder, read_minari
from diamond.recordings.raw_episodes import FLAG, RawEpisode, make_source
from diamond.recordings.seen_episodes import read_seen, tables_of

NPZ, NPY, HDF5, MINARI, VIDEO, PNG = "npz", "npy", "hdf5", "minari", "video", "png"
DOCUMENTS = (".json", ".md", ".txt", ".yaml", ".yml")
"""Files beside episodes that hold none."""
ALLOWED = (
    f"an .npz file with {FORM}; a folder of such arrays as .npy files; .hdf5 with such arrays, or "
    "the CSGO data of DIAMOND; a Minari data set; a video or a folder of PNGs with a table of "
    "actions beside it; or a folder of several of one kind"
)


def read_source(path: Path, actions: Path | None = None) -> Source:
    """Find the form of a recording and open its episodes; nothing is written.

    Frames are read when they are asked for: what is wrong inside an episode, behind its first
    frame, shows then.

    Args:
        path: A file, a folder, or the name of a Minari data set in Minari's own place.
        actions: The table of actions of a video or of PNGs that does not lie beside them.

    Raises:
        RequestError: There is nothing, or something that cannot be read rightly.
    """
    if not path.exists():
        return _named_minari(path, actions)
    folder = minari_folder(path) if path.is_dir() else None
    if folder is not None:
        _no_table(actions, MINARI)
        return make_source(MINARI, *read_minari(folder))
    kind, paths = _find(path, actions)
    if kind in (VIDEO, PNG):
        return make_source(kind, read_seen(paths, actions))
    _no_table(actions, kind)
    if kind == HDF5:
        episodes = [read_hdf5(one, _name(path, one)) for one in paths]
        return make_source(kind, [episode for group in episodes for episode in group])
    read: Callable[[Path], RawEpisode] = read_npz if kind == NPZ else read_npy_folder
    return make_source(kind, [read(one) for one in paths])


def _named_minari(path: Path, actions: Path | None) -> Source:
    name, known = path.as_posix(), local_data_sets()
    if name not in known:
        raise RequestError(
            f"{FLAG} {name!r}: there is no such file or folder, nor a Minari data set of this name "
            f"here.{did_you_mean(name, known)}\n  allowed: {ALLOWED}"
        )
    _no_table(actions, MINARI)
    return make_source(MINARI, *read_minari(known[name]))


def _no_table(actions: Path | None, kind: str) -> None:
    if actions is not None:
        raise RequestError(
            f"{ACTIONS_FLAG} {str(actions)!r}: a recording of the kind {kind} holds its actions "
            f"itself\n  leave {ACTIONS_FLAG} out"
        )


def _find(path: Path, actions: Path | None) -> tuple[str, list[Path]]:
    """The kind of a recording and what its episodes are in, in their order."""
    kind = _kind(path)
    if kind is not None:
        return kind, [path]
    if path.is_file():
        raise RequestError(f"{FLAG} {str(path)!r} cannot be read\n  allowed: {ALLOWED}")
    entries = natural(entry for entry in path.iterdir() if not entry.name.startswith("."))
    by_kind: dict[str, list[Path]] = {}
    others = []
    for entry in entries:
        found = _kind(entry)
        if found is not None:
            by_kind.setdefault(found, []).append(entry)
        elif entry.is_file() and entry.suffix.lower() in DOCUMENTS:
            continue
        elif actions is None or not actions.exists() or not actions.samefile(entry):
            others.append(entry)
    nested = [one for suffix in HDF5_SUFFIXES for one in path.rglob(f"*{suffix}")]
    if nested and not set(by_kind) - {HDF5}:
        by_kind[HDF5] = sorted(nested, key=lambda one: natural_key(_name(path, one)))
        others = [other for other in others if other.is_file()]
    if not by_kind or len(by_kind) > 1:
        told = " and ".join(f"{found[0].name!r}, {kind}" for kind, found in by_kind.items())
        raise RequestError(
            f"{FLAG} {str(path)!r} holds {told or 'nothing that can be read'}\n  allowed: {ALLOWED}"
        )
    ((kind, paths),) = by_kind.items()
    _check_others(path, others, paths if kind in (VIDEO, PNG) else [])
    twice = [name for name, num in Counter(_name(path, one) for one in paths).items() if num > 1]
    if twice:
        raise RequestError(
            f"{FLAG} {str(path)!r} has two episodes called {twice[0]!r}\n  rename one"
        )
    return kind, paths


def _kind(path: Path) -> str | None:
    """The kind of one file, or of the folder of one episode; None where it is neither."""
    suffix = path.suffix.lower()
    if path.is_file():
        by_suffix = {".npz": NPZ, **dict.fromkeys(HDF5_SUFFIXES, HDF5)}
        return VIDEO if suffix in VIDEO_SUFFIXES else by_suffix.get(suffix)
    if not path.is_dir():
        return None
    if (path / f"{FRAMES}.npy").is_file():
        return NPY
    return PNG if any(one.suffix.lower() == IMAGE_SUFFIX for one in path.iterdir()) else None


def _check_others(path: Path, others: Sequence[Path], seen: Sequence[Path]) -> None:
    """Refuse what lies beside episodes and is no table of one: it may be one that is not read."""
    known = {table for one in seen for table in tables_of(one)}
    for other in others:
        if other.absolute() not in known:
            what = (
                "a table of no frames" if other.suffix.lower() in TABLE_SUFFIXES else "no episode"
            )
            raise RequestError(
                f"{FLAG} {str(path)!r} holds {other.name!r}, {what}\n"
                "  allowed: episodes of one kind and their tables; move other files away"
            )


def _name(path: Path, one: Path) -> str:
    """What a file or folder is called: its name without suffix, with the folders it is below."""
    relative = Path(one.name) if one == path else one.relative_to(path)
    return (relative.with_suffix("") if one.is_file() else relative).as_posix()
