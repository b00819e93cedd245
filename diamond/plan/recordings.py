"""Recordings in a plan: which are asked for, and what a run on one is."""

from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from diamond.config.environments import RecordingConfig
from diamond.config.game_names import FRAMES_PREFIX, recording_of, slug_of
from diamond.config.recorded import (
    RECORDING_FILE,
    RECORDINGS_FOLDER,
    RecordedFrames,
    Recording,
    plan_facts,
    recording_folder,
)
from diamond.config.recording import RecordedSet
from diamond.config.run import CONTEXT_FRAMES, RunConfig
from diamond.errors import RequestError, StoreError, nearest

FLAG = "--frames"
LEAST_TRAINING_FRAMES = 64
"""What `FramesConfig.num_frames` allows."""


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
    found = recording_names(home)
    guess = f". Did you mean {nearest(name, found)!r}?" if found else ""
    raise RequestError(
        f"the home {str(home)!r} has no recording {name!r}{guess}\n"
        f"  allowed: {', '.join(found) or 'none so far'}\n"
        f"  bring it in: diamond import-frames PATH --name {name}"
    )


def recording_names(home: Path) -> list[str]:
    """Names of the recordings of a home."""
    found = (home / RECORDINGS_FOLDER).glob(f"*/{RECORDING_FILE}")
    return sorted(path.parent.name for path in found)


def on_recording(
    config: RunConfig, recordings: Sequence[RecordedFrames], first_start: int
) -> RunConfig:
    """A preset on a recording: its frames in place of those that are played.

    Numbers of the preset that are above what the recording has become what it has; all of its
    training frames are used.

    Args:
        config: Of a preset; its game may be a recording.
        recordings: Those that the command names.
        first_start: Number of the first held-out start.

    Raises:
        RequestError: There is too little of it.
    """
    if not recordings:
        return config
    name = recording_of(config.game)
    found = next((one for one in recordings if one.name == name), recordings[0])
    if sum(found.training) < LEAST_TRAINING_FRAMES:
        raise RequestError(
            f"{FLAG} {found.name} has {sum(found.training)} training frames\n"
            f"  allowed: {LEAST_TRAINING_FRAMES} or more; import it again with a smaller --hold-out"
        )
    trained = config.frames.model_copy(
        update={
            "num_frames": sum(found.training),
            "recorded": RecordedSet(digest=found.digest, rewards=found.rewards),
        }
    )
    config = config.model_copy(update={"frames": trained})
    return config if name is None else _without_game(config, found, first_start)


def _without_game(config: RunConfig, found: RecordedFrames, first_start: int) -> RunConfig:
    """A run whose held-out starts are those of the recording, too."""
    longest = max((frames - CONTEXT_FRAMES for frames in found.held_out), default=0)
    horizon = max(1, min(config.references.horizon_steps, longest))
    num_windows = len(found.windows(horizon)) - first_start
    if num_windows < 1:
        have = len(found.windows(horizon))
        raise RequestError(
            f"{FLAG} {found.name} has {have} held-out starts of {horizon} env steps, numbers 0 to "
            f"{have - 1}; none from number {first_start} on\n"
            "  import it again with a greater --hold-out; or score fewer starts before them "
            "(rollouts.num_starts)"
            if have
            else f"{FLAG} {found.name} has no held-out frames to score against\n"
            "  import it again with --hold-out 0.1, or name the game that it is of with --game"
        )
    starts = {
        "num_starts": min(config.references.num_starts, num_windows),
        "horizon_steps": horizon,
    }
    samples = config.rollouts.samples
    if samples is not None:
        steps = min(samples.horizon_steps, horizon)
        samples = samples.model_copy(update={"horizon_steps": steps})
    references = config.references.model_copy(
        update=starts | {"recorded": found.digest, "counterfactuals": None, "off_data": None}
    )
    environment = RecordingConfig(
        padding="start",
        digest=found.digest,
        continuous=not found.num_actions,
        rewards=found.rewards,
    )
    return config.model_copy(
        update={
            "environment": environment,
            "references": references,
            "rollouts": config.rollouts.model_copy(update=starts | {"samples": samples}),
        }
    )
