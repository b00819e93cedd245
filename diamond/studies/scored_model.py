"""The world model that is to be scored: a checkpoint, or a finished stage of a home."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from diamond.config.base import canonical, first_reason
from diamond.config.checkpoint_record import CHECKPOINT_FILE, read_checkpoint
from diamond.config.environments import RecordingConfig
from diamond.config.game_names import check_game
from diamond.config.presets import paper
from diamond.config.recorded import Recording, plan_facts
from diamond.config.run import RunConfig
from diamond.engine.store import Store
from diamond.errors import RequestError, unknown
from diamond.plan.recordings.asked_recordings import read_recording
from diamond.plan.stage_keys import StageName
from diamond.recordings.fit import check_fits, check_same_actions
from diamond.recordings.recording_files import open_recording
from diamond.stages.registry import find_stage_record, records
from diamond.studies.stage_run import (
    HOW,
    config_of_stage,
    find_key,
    stage_of_folder,
    stages_of_home,
    with_settings,
)


@dataclass(frozen=True)
class Model:
    """A trained world model, ready to imagine.

    Attributes:
        name: Short, for tables.
        config: What it is and how frames are drawn from it; starts and horizon are those of its
            own config or preset.
        checkpoint: The folder that it comes from, None for a stage.
    """

    name: str
    config: RunConfig
    checkpoint: Path | None


def find_model(source: str, settings: Sequence[str], game: str | None, store: Store) -> Model:
    """Find what a text names and rebuild the config of its run.

    Args:
        source: Folder of a checkpoint or of a stage, or the key of a stage or its beginning.
        settings: Texts such as ``steps=3``: how frames are drawn from it, in place of its own way.
        game: The game that the user believes it to be, None for any.
        store: The home.

    Raises:
        RequestError: There is no such thing, it cannot be scored, it is damaged, or it is not said
            how frames are drawn from it.
    """
    path = Path(source)
    if (path / CHECKPOINT_FILE).is_file():
        checkpoint = read_checkpoint(path)
        base = checkpoint.apply(paper(checkpoint.game))
        found = Model(path.absolute().name, with_settings(base, settings), path)
    else:
        stage, key = _find_stage(source, store)
        found = Model(f"{stage} {key[:8]}", config_of_stage(stage, key, settings, store), None)
    if game is not None and check_game(game) != found.config.game:
        raise RequestError(
            f"--game {game}: {source!r} was trained on {found.config.game}\n"
            "  leave --game out, or give a world model of that game"
        )
    return found


def scored_recording(config: RunConfig, name: str | None, home: Path) -> Recording | None:
    """The recording whose held-out part a world model is scored on; None for the emulator's.

    Args:
        config: Of the world model.
        name: Of a recording of the home; None takes that which the world model learned, if any.

    Raises:
        RequestError: There is no such recording, or it does not fit.
        StoreError: The one that it learned is not in the home.
    """
    learned = None
    if isinstance(config.environment, RecordingConfig):
        learned = open_recording(home, str(config.environment.digest)).record
    if name is None:
        return learned
    found = read_recording(home, name)
    check_fits(found, config)
    if learned is not None:
        check_same_actions(found, learned)
    return found


def recorded_starts(recording: Recording, starts: int | None, horizon: int) -> tuple[int, int]:
    """How many starts of a recording are scored, over how many env steps.

    Args:
        starts: As asked for; None for all.
        horizon: At most.

    Raises:
        RequestError: The recording has not so many.
    """
    found = plan_facts(recording)
    horizon = min(horizon, max(1, found.longest_horizon))
    have = len(found.windows(horizon))
    if not have or (starts is not None and starts > have):
        raise RequestError(
            f"--starts {starts or 'of all'}: the held-out part of {recording.name} has {have} of "
            f"{horizon} env steps\n  import it again with a greater --hold-out: 1 holds out all"
        )
    return (have if starts is None else starts), horizon


def on_starts(config: RunConfig, starts: int, horizon: int, recorded: str | None) -> RunConfig:
    """The config with a number of starts and a horizon, and perhaps recorded episodes.

    Starts are counted from the first one, wherever those of its study began; starts off the data
    are left out.
    Samples and counterfactuals go no further than the horizon; recorded episodes have none of the
    latter, as there is no emulator to ask.

    Raises:
        RequestError: A number is below 1, or the config does not allow it.
    """
    for flag, value in (("--starts", starts), ("--horizon", horizon)):
        if value < 1:
            raise RequestError(f"{flag} {value}: at least 1 is needed")
    update = {"num_starts": starts, "horizon_steps": horizon}
    others, samples = config.references.counterfactuals, config.rollouts.samples
    if others is not None:
        steps = min(others.horizon_steps, horizon)
        others = others.model_copy(update={"horizon_steps": steps}) if recorded is None else None
    if samples is not None:
        steps = min(samples.horizon_steps, horizon)
        samples = samples.model_copy(update={"horizon_steps": steps})
    own = config.references.model_copy(
        update=update
        | {"recorded": recorded, "counterfactuals": others, "first_start": 0, "off_data": None}
    )
    rollouts = config.rollouts.model_copy(update=update | {"samples": samples})
    changed = config.model_copy(update={"references": own, "rollouts": rollouts})
    try:
        return RunConfig.model_validate(json.loads(json.dumps(canonical(changed))))
    except ValidationError as error:
        reason = first_reason(error)
        raise RequestError(f"--starts {starts} --horizon {horizon}: {reason}") from error


def scored_stages() -> tuple[str, ...]:
    """The stages that there is a world model in."""
    return tuple(one.name for one in records() if one.is_scored)


def _is_scored(stage: str, key: str, store: Store) -> bool:
    """Whether there is a world model in a stage; its family is that of its manifest."""
    manifest = store.manifest(stage, key)
    family = "" if manifest is None else manifest["config"].get("family", "")
    return find_stage_record(stage, family).is_scored


def _find_stage(source: str, store: Store) -> tuple[StageName, str]:
    path = Path(source)
    if path.is_dir():
        found = stage_of_folder(path, store)
        if found is None:
            raise RequestError(
                f"{str(path)!r} is neither a checkpoint nor the folder of a stage\n  {HOW}"
            )
        return _checked_name(*found, store), found[1]
    keys = dict(stages_of_home(store))
    key = find_key(source, keys)
    if key is not None:
        return _checked_name(keys[key], key, store), key
    scored = [key for key, stage in keys.items() if stage in scored_stages()]
    raise unknown("checkpoint or stage", source, scored, f"{HOW}, see --home")


def _checked_name(stage: str, key: str, store: Store) -> StageName:
    if _is_scored(stage, key, store):
        return stage
    manifest = store.manifest(stage, key)
    rollouts = None if manifest is None else manifest["upstream"].get("rollouts")
    hint = f"its rollouts are {rollouts}" if rollouts else HOW
    raise RequestError(
        f"{key} is a stage {stage}: there is no world model in it that draws frames\n  {hint}"
    )
