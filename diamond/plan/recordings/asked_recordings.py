"""The recordings that a command names, as its home has them."""

from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from diamond.config.game_names import FRAMES_PREFIX, RECORDING_NAME, recording_of, slug_of
from diamond.config.recorded import (
    RECORDING_FILE,
    RECORDINGS_FOLDER,
    RecordedFrames,
    Recording,
    plan_facts,
    recording_folder,
)
from diamond.errors import RequestError, StoreError, unknown

FLAG = "--frames"


def games_of(frames: str | None, games: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """The games of a command: recordings take their place where no game is named.

    Args:
        frames: Names of recordings, with commas; None without any.
        games: Of the command; None where it names none.

    Raises:
        RequestError: There are several recordings beside a game, or several games beside one.
    """
    if frames is None:
        return games
    names = tuple(name.strip() for name in frames.split(","))
    if games is None:
        return tuple(f"{FRAMES_PREFIX}{name}" for name in names)
    if len(games) > 1 or len(names) > 1:
        raise RequestError(
            f"{FLAG} {frames} with --game {','.join(games)}: the training frames of one game come "
            "from one recording\n  give one of each; without --game several recordings are allowed"
        )
    return games


def asked_recordings(
    frames: str | None, games: Sequence[str], home: Path
) -> tuple[RecordedFrames, ...]:
    """What a plan has to know of the recordings that a command names.

    Raises:
        RequestError: The home has none of a name.
    """
    named = [] if frames is None else [name.strip() for name in frames.split(",")]
    named += [name for game in games if (name := recording_of(game)) is not None]
    return tuple(plan_facts(read_recording(home, name)) for name in dict.fromkeys(named))


def recorded_word(recordings: Sequence[RecordedFrames]) -> str:
    """What recordings beside a game add to the name of a study."""
    return "-".join(["frames", *(slug_of(one.name) for one in recordings)])


def read_recording(home: Path, name: str) -> Recording:
    """What a home knows of a recording.

    Raises:
        RequestError: It has none of this name.
        StoreError: What it knows cannot be read.
    """
    path = recording_folder(home, name) / RECORDING_FILE
    try:
        return Recording.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        pass
    except (OSError, ValidationError) as error:
        raise StoreError(
            f"{str(path)!r} cannot be read: {str(error).splitlines()[0]}\n"
            f"  remove its folder, and import the recording again: diamond import-frames PATH "
            f"--name {name}"
        ) from error
    raise unknown(
        "recording",
        name,
        recording_names(home),
        f"of the home {str(home)!r}; bring one in: diamond import-frames PATH --name {name}",
    )


def recording_names(home: Path) -> list[str]:
    """Names of the recordings of a home."""
    found = (home / RECORDINGS_FOLDER).glob(f"*/{RECORDING_FILE}")
    return sorted(path.parent.name for path in found if RECORDING_NAME.fullmatch(path.parent.name))
