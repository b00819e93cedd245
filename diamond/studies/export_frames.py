"""Real frames on their way out: those of a stage of a home, found by key, folder or study."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diamond.config.environments import Environment, read_environment
from diamond.config.game_names import slug_of
from diamond.engine.output_names import ACTIONS_FILE, OFF_DATA_FOLDER
from diamond.engine.stage_manifest import Manifest
from diamond.engine.store import Store
from diamond.envs.open_game import open_game
from diamond.errors import RequestError, unknown
from diamond.recordings.export import Outgoing
from diamond.recordings.stage_episodes import StageEpisodes, held_out_episodes, training_episodes
from diamond.stages.agent import AGENT
from diamond.stages.frames import FRAMES
from diamond.stages.references import REFERENCES
from diamond.stages.rollouts import ROLLOUTS
from diamond.studies.stage_run import SHOWN, find_key, stage_of_folder, stages_of_home
from diamond.studies.study_list import Study, all_studies

REAL = (FRAMES.name, REFERENCES.name)
"""Stages that hold real frames."""
HOW = (
    "give the key of a stage of the home with real frames (frames, references), the folder of one, "
    "or the name of a study: `diamond studies` lists them; another home: --home"
)
ENDS = "terminated: the action ended the game or lost a life"


def find_frames(source: str, store: Store) -> Outgoing:
    """Find the real frames that a text names.

    Args:
        source: Name of a study, key of a stage or its beginning, or the folder of a stage.
        store: The home.

    Raises:
        RequestError: There is no such thing, it holds no real frames, or a study has several sets.
        StoreError: There is no such home, or the stage is damaged.
    """
    studies = {study.name: study for study in all_studies(store)}
    keys = dict(stages_of_home(store))
    if source in studies:
        key = _frames_of(studies[source], store)
    else:
        folder = stage_of_folder(Path(source), store) if Path(source).is_dir() else None
        key = find_key(source, keys) if folder is None else folder[1]
    if key is None:
        real = [key for key, stage in keys.items() if stage in REAL]
        raise unknown("frames", source, [*studies, *real], HOW)
    return _outgoing(keys.get(key, FRAMES.name), key, store)


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


def _outgoing(stage: str, key: str, store: Store) -> Outgoing:
    if stage not in REAL:
        raise _without_frames(stage, key, store.manifest(stage, key))
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
    manifest = store.manifest(stage, key)
    assert manifest is not None
    config = manifest["config"]
    environment = read_environment(config["environment"])
    if stage == FRAMES.name:
        found = training_episodes(folder, environment.hertz)
    else:
        codes = json.loads((folder / ACTIONS_FILE).read_text())
        found = held_out_episodes(folder, codes, environment.hertz)
    return Outgoing(
        f"{slug_of(config['game'])}-{stage}-{key[:8]}",
        _title(manifest),
        found.episodes,
        found.origins,
        _action_names(config["game"], environment),
        _about(manifest),
        _remarks(found, folder),
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


def _title(manifest: Manifest) -> str:
    """What the frames of a stage are, in a few words."""
    config = manifest["config"]
    if manifest["stage"] == FRAMES.name:
        view = config["view"]
        played = f"{config['frames']['play']['collector']}, {view['height']} x {view['width']}"
        return f"training frames of {config['game']} by {played}"
    if config["references"].get("recorded"):
        return f"recorded held-out episodes of {config['game']}"
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


def _remarks(found: StageEpisodes, folder: Path) -> tuple[str, ...]:
    remarks = []
    if found.num_single:
        remarks.append(
            f"{found.num_single} of the episodes had a single frame and no action: left out"
        )
    if (folder / OFF_DATA_FOLDER).is_dir():
        remarks.append("the starts of another player (off the data) are left out")
    return tuple(remarks)


def _action_names(game: str, environment: Environment) -> tuple[str, ...]:
    env = open_game(game, environment)
    env.close()
    return env.action_names
