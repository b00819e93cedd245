"""Real frames on their way out: of a stage of a home, a study or a recording."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from diamond.config.environments import Environment, read_environment
from diamond.config.game_names import FRAMES_PREFIX, recording_of, slug_of
from diamond.data.action_space import ActionSpace
from diamond.engine.output_names import OFF_DATA_FOLDER
from diamond.engine.stage_folders import STAGES_FOLDER
from diamond.engine.stage_manifest import Manifest
from diamond.engine.store import Store
from diamond.envs.open_game import open_game
from diamond.errors import RequestError, unknown
from diamond.recordings.export import Outgoing
from diamond.recordings.kept_episodes import (
    KeptEpisodes,
    held_out_episodes,
    recording_episodes,
    training_episodes,
)
from diamond.recordings.recording_files import StoredRecording, list_recordings, open_recording
from diamond.stages.agent import AGENT
from diamond.stages.frames import FRAMES
from diamond.stages.references import REFERENCES
from diamond.stages.rollouts import ROLLOUTS
from diamond.studies.stage_run import SHOWN, find_key, stage_of_folder, stages_of_home
from diamond.studies.study_list import Study, all_studies, how_to_go_on

RECORDED = {"name", "digest", "source", "kind", "split", "shift"}
"""What is said of a recording."""
REAL = (FRAMES.name, REFERENCES.name)
"""Stages that hold real frames."""
HOW = (
    "give the name of a study (`diamond studies` lists them), a recording, or the key or folder of "
    "a stage of the home: frames, references; another home: --home"
)
ENDS = "terminated: the action ended the game or lost a life"


def find_frames(source: str, store: Store) -> Outgoing:
    """Find the real frames that a text names.

    Args:
        source: Name of a study or of a recording, which may have ``frames:`` in front; key of a
            stage or its beginning, or the folder of a stage.
        store: The home.

    Raises:
        RequestError: There is no such thing, it holds no real frames, or a study has several sets.
        StoreError: There is no such home, or what is named is damaged.
    """
    recordings = {one.name: one for one in list_recordings(store.home)}
    only_recordings = recordings and not (store.home / STAGES_FOLDER).is_dir()
    studies = {} if only_recordings else {one.name: one for one in all_studies(store)}
    keys = dict(stages_of_home(store))
    if source in studies and source in recordings:
        raise RequestError(
            f"{source!r} is a study and a recording\n  the recording is {FRAMES_PREFIX}{source}; "
            "of the study give the key of its frames"
        )
    recorded = recordings.get(recording_of(source) or source)
    if recorded is not None:
        return _of_recording(open_recording(store.home, recorded.digest))
    if source in studies:
        key: str | None = _frames_of(studies[source], store)
    else:
        folder = stage_of_folder(Path(source), store) if Path(source).is_dir() else None
        key = find_key(source, keys) if folder is None else folder[1]
    if key is None:
        real = [key for key, stage in keys.items() if stage in REAL]
        raise unknown("frames", source, [*studies, *recordings, *real], HOW)
    return _of_stage(keys.get(key, FRAMES.name), key, store)


def _of_recording(recording: StoredRecording) -> Outgoing:
    record, found = recording.record, recording_episodes(recording)
    return Outgoing(
        slug_of(record.name),
        f"recording {record.name}",
        found.episodes,
        found.origins,
        record.actions.names,
        record.model_dump(mode="json", include=RECORDED),
        (*record.remarks, *_remarks(found)),
    )


def _frames_of(study: Study, store: Store) -> str:
    """The key of the one set of training frames that a study has.

    Raises:
        RequestError: It has none, or several.
    """

    def of(stage: str) -> dict[str, str]:
        """What each of its stages of a name is, by key."""
        found = {stages[stage] for stages in study.needs.values() if stage in stages}
        return {key: _listed(stage, key, store) for key in sorted(found)}

    frames = of(FRAMES.name)
    if len(frames) == 1:
        return next(iter(frames))
    others = frames or of(REFERENCES.name)
    if not others:
        raise RequestError(
            f"study {study.name!r} ends before any stage with real frames\n  {how_to_go_on(study)}"
        )
    why = (
        f"has {len(frames)} sets of training frames"
        if frames
        else "has no set of training frames: its agents collected their own, and these are not "
        "kept; or its world models were imported"
    )
    listed = "".join(f"\n  {key}: {text}" for key, text in [*others.items()][:SHOWN])
    more = f"\n  and {len(others) - SHOWN} more" if len(others) > SHOWN else ""
    raise RequestError(f"study {study.name!r} {why}\n  give the key of one:{listed}{more}")


def _listed(stage: str, key: str, store: Store) -> str:
    manifest = store.manifest(stage, key)
    return stage if manifest is None else _title(manifest)


def _of_stage(stage: str, key: str, store: Store) -> Outgoing:
    if stage not in REAL:
        raise _without_frames(stage, key, store.manifest(stage, key))
    manifest = store.manifest(stage, key)
    if manifest is not None and manifest["config"][stage].get("recorded"):
        raise _of_own_frames(stage, key, manifest, store)
    if not store.is_published(stage, key):
        raise RequestError(
            f"the {stage} {key} is not finished\n  the command of its study goes on with it"
        )
    folder = store.whole_folder(stage, key)
    if not store.has_all_files(stage, key):
        raise RequestError(
            f"the frames of the {stage} {key} are not in this home: they were dropped, or the "
            "study came here without them\n  go to the home that made them, or give the command of "
            "its study again"
        )
    assert manifest is not None
    config = manifest["config"]
    environment = read_environment(config["environment"])
    if stage == FRAMES.name:
        found = training_episodes(folder, environment.hertz)
    else:
        codes = ActionSpace.load(folder).codes
        found = held_out_episodes(folder, codes, environment.hertz)
    return Outgoing(
        f"{slug_of(config['game'])}-{stage}-{key[:8]}",
        _title(manifest),
        found.episodes,
        found.origins,
        _action_names(config["game"], environment),
        _about(manifest),
        (*_remarks(found), *_left_out(folder)),
    )


def _without_frames(stage: str, key: str, manifest: Manifest | None) -> RequestError:
    """Why a stage cannot be exported, and which one can."""
    why = "there are no frames in it"
    if stage == ROLLOUTS.name:
        why = "its frames are imagined; real ones are exported"
    elif stage == AGENT.name:
        why = "the frames that an agent collects are not kept when it is trained"
    read = {} if manifest is None else manifest["upstream"]
    there = [f"its {name} are {read[name]}" for name in REAL if name in read]
    return RequestError(f"{key} is a stage {stage}: {why}\n  {'; '.join(there) or HOW}")


def _of_own_frames(stage: str, key: str, manifest: Manifest, store: Store) -> RequestError:
    """Why a stage that took its frames from a recording is not exported."""
    said = manifest["config"][stage]["recorded"]
    digest = said if isinstance(said, str) else said["digest"]
    names = [one.name for one in list_recordings(store.home) if one.digest == digest]
    hint = f"diamond export-frames {names[0]}" if names else "this home no longer has it"
    return RequestError(
        f"the {stage} {key} are taken from a recording, which is exported whole and as it came\n"
        f"  {hint}"
    )


def _title(manifest: Manifest) -> str:
    """What the frames of a stage are, in a few words."""
    config = manifest["config"]
    if manifest["stage"] == FRAMES.name:
        view = config["view"]
        played = f"{config['frames']['play']['collector']}, {view['height']} x {view['width']}"
        return f"training frames of {config['game']} by {played}"
    return f"held-out frames of {config['game']} by {config['references']['play']['collector']}"


def _about(manifest: Manifest) -> Mapping[str, Any]:
    config, stage = manifest["config"], manifest["stage"]
    return {
        "stage": stage,
        "key": manifest["key"],
        "data_seed": manifest["seed"],
        "game": config["game"],
        "environment": config["environment"],
        "view": config.get("view"),
        "player": config[stage]["play"],
        "ends": ENDS,
    }


def _remarks(found: KeptEpisodes) -> Iterator[str]:
    if found.num_single:
        yield f"{found.num_single} of the episodes had a single frame and no action: left out"


def _left_out(folder: Path) -> Iterator[str]:
    if (folder / OFF_DATA_FOLDER).is_dir():
        yield "the starts of another player (off the data) are left out"


def _action_names(game: str, environment: Environment) -> tuple[str, ...]:
    env = open_game(game, environment)
    env.close()
    return env.action_names
