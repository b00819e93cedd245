"""A run on a recording: its frames in the place of those that are played."""

from collections.abc import Sequence

from diamond.config.environments import RecordingConfig
from diamond.config.game_names import recording_of
from diamond.config.recorded import RecordedFrames
from diamond.config.recording import RecordedSet
from diamond.config.run import RunConfig
from diamond.errors import RequestError
from diamond.plan.recordings.asked_recordings import FLAG

LEAST_TRAINING_FRAMES = 64
"""What `FramesConfig.num_frames` allows."""


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


def check_enough_frames(config: RunConfig, recordings: Sequence[RecordedFrames]) -> None:
    """Refuse a run that is trained on more frames than its recording has.

    Raises:
        RequestError: It is.
    """
    trained = config.frames.recorded
    found = next(
        (o for o in recordings if trained is not None and o.digest == trained.digest), None
    )
    if found is not None and config.frames.num_frames > sum(found.training):
        raise RequestError(
            f"num_frames={config.frames.num_frames}: {FLAG} {found.name} has "
            f"{sum(found.training)} training frames\n"
            f"  allowed: {LEAST_TRAINING_FRAMES} to {sum(found.training)}"
        )


def _without_game(config: RunConfig, found: RecordedFrames, first_start: int) -> RunConfig:
    """A run whose held-out starts are those of the recording, too."""
    horizon = max(1, min(config.references.horizon_steps, found.longest_horizon))
    num_windows = len(found.windows(horizon)) - first_start
    if num_windows < 1:
        have = len(found.windows(horizon))
        raise RequestError(
            f"{FLAG} {found.name} has {have} held-out starts of {horizon} env steps, numbers 0 to "
            f"{have - 1}; none from number {first_start} on\n"
            "  import it again with a greater --hold-out; or score fewer starts before them: a "
            "preset file with rollouts.num_starts"
            if have
            else f"{FLAG} {found.name} has no held-out frames to score against\n"
            "  import it again with --hold-out 0.1, or name the game that it is of with --game"
        )
    starts = {
        "num_starts": min(config.references.num_starts, num_windows),
        "horizon_steps": horizon,
    }
    imagined = {name: min(getattr(config.rollouts, name), most) for name, most in starts.items()}
    samples = config.rollouts.samples
    if samples is not None:
        steps = min(samples.horizon_steps, imagined["horizon_steps"])
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
            "rollouts": config.rollouts.model_copy(update=imagined | {"samples": samples}),
        }
    )
