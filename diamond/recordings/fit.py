"""Whether a recording fits the game that a run is of."""

from pathlib import Path

from diamond.config.environments import RecordingConfig
from diamond.config.recorded import Recording
from diamond.config.run import RunConfig
from diamond.envs.open_game import open_game
from diamond.errors import RequestError
from diamond.plan.plan import Plan
from diamond.recordings.recording_files import open_recording


def check_fits(recording: Recording, config: RunConfig) -> None:
    """Refuse a recording that is not of what a run sees and does.

    Args:
        recording: Its frames are trained on, or are the held-out starts.
        config: Of a game, or of another recording.

    Raises:
        RequestError: Its frames have another size, or its actions are others.
    """
    size = (recording.height, recording.width)
    if isinstance(config.environment, RecordingConfig):
        _check_crop(recording, config)
        _check_learned(recording, config)
        return
    with open_game(config.game, config.environment) as env:
        native, names = env.native_size, env.action_names
    view = (config.view.height, config.view.width)
    where = f"--frames {recording.name} of {config.game}"
    if size not in (native, view):
        allowed = " or ".join(f"{one[0]} x {one[1]}" for one in dict.fromkeys((native, view)))
        raise RequestError(
            f"{where} has frames of {size[0]} x {size[1]} pixels\n"
            f"  allowed: {allowed}: the whole screen, or what the model sees\n"
            "  without --game frames of any size are resized"
        )
    actions = recording.actions
    if actions.kind == "continuous":
        raise RequestError(
            f"{where} has continuous actions, the game has discrete ones\n"
            f"  leave --game out: arms are then scored on the held-out part of {recording.name}"
        )
    if len(actions.names) > len(names):
        raise RequestError(
            f"{where} has {len(actions.names)} actions, the game has {len(names)} as it is played "
            f"here: {', '.join(names)}\n  action i of the recording is action i of the game"
        )


def check_same_actions(recording: Recording, known: Recording) -> None:
    """Refuse to score a world model on a recording of other actions than those it learned.

    Raises:
        RequestError: Their actions or the ranges of these differ.
    """
    ours, theirs = recording.actions, known.actions
    if ours.kind == "discrete" and theirs.kind == "discrete":
        same = len(ours.names) <= len(theirs.names)
    else:
        same = ours == theirs
    if not same:
        raise RequestError(
            f"--frames {recording.name}: its actions are not those of {known.name}, which the "
            f"world model learned\n  {recording.name}: {ours.kind}, {', '.join(ours.names)}\n"
            f"  {known.name}: {theirs.kind}, {', '.join(theirs.names)}; equal names and ranges are "
            "needed"
        )


def _check_learned(recording: Recording, config: RunConfig) -> None:
    """Refuse other actions than those of the networks that a checkpoint brings."""
    found = len(recording.actions.names) if recording.actions.kind == "discrete" else 0
    if config.imported is not None and config.imported.num_actions != found:
        raise RequestError(
            f"--checkpoint knows {config.imported.num_actions} actions, --frames {recording.name} "
            f"has {found or 'continuous ones'}\n  give the recording that it learned"
        )


def _check_crop(recording: Recording, config: RunConfig) -> None:
    size = (recording.height, recording.width)
    try:
        if size != (config.view.height, config.view.width):
            config.view.check_native(size)
    except ValueError as error:
        raise RequestError(f"view.{error}") from error


def check_recordings(plan: Plan, home: Path) -> None:
    """Refuse a plan whose recordings are not in the home, or do not fit what its arms see.

    Raises:
        RequestError: One does not fit.
        StoreError: One is not there, or it is damaged.
    """
    configs = [run.config for arm in plan.arms for run in arm.runs[:1]]
    for digest in dict.fromkeys(one.digest for one in plan.request.recordings):
        record = open_recording(home, digest).record
        for config in configs:
            trained = config.frames.recorded
            if trained is not None and trained.digest == digest:
                check_fits(record, config)
