"""The run that a stage of a home belongs to: its config, from manifests; how frames are drawn."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from diamond.config.base import canonical, content_hash, first_reason, shared_canonical
from diamond.config.presets import paper
from diamond.config.run import RunConfig
from diamond.config.worlds import family_of, find_family, world_section
from diamond.engine.output_names import MANIFEST_FILE
from diamond.engine.stage_folders import KEPT, STAGES_FOLDER
from diamond.engine.stage_manifest import Manifest, damage_of
from diamond.engine.store import Store
from diamond.errors import RequestError
from diamond.plan.axis import Axis
from diamond.plan.designs import read_setting
from diamond.plan.stage_keys import KEY_DIGITS, StageName, stages_of
from diamond.plan.variants import apply_axes
from diamond.stages.agent import AGENT
from diamond.stages.registry import find_stage_record

PLACES = (STAGES_FOLDER, KEPT)
"""Folders of a home that finished stages are in."""
SHOWN = 6
"""Stages that an error lists."""
SHOWN_AXES = ("steps", "solver", "order")
"""Of the ways to draw frames, those that an error lists where there are many."""
HOW = (
    "give the folder of a checkpoint, or the key of a stage of the home: a trained world model "
    "(denoiser), agent or rollouts"
)


def stages_of_home(store: Store) -> Iterator[tuple[str, str]]:
    """Key and name of every stage of a home."""
    for stage in store.stage_names():
        for key in sorted(store.keys(stage)):
            yield key, stage


def find_key(text: str, keys: Mapping[str, str]) -> str | None:
    """The key that a text is, or is the beginning of; None where there is none.

    Args:
        text: As the user wrote it.
        keys: Name of each stage, by its key.

    Raises:
        RequestError: It is the beginning of several.
    """
    if not re.fullmatch(f"[0-9a-f]{{1,{KEY_DIGITS}}}", text):
        return None
    found = [key for key in keys if key.startswith(text)]
    if len(found) > 1:
        listed = ", ".join(f"{keys[key]} {key}" for key in found[:SHOWN])
        more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        raise RequestError(
            f"{text!r} is the beginning of {len(found)} keys: {listed}{more}\n  give more digits"
        )
    return found[0] if found else None


def stage_of_folder(path: Path, store: Store) -> tuple[StageName, str] | None:
    """The stage of a folder and its key; None where it is not the folder of a finished stage.

    Raises:
        RequestError: It is in another home.
    """
    folder = path.resolve()
    if not (folder / MANIFEST_FILE).is_file() or folder.parent.parent.name not in PLACES:
        return None
    home = folder.parents[2]
    if home != store.home.resolve():
        raise RequestError(
            f"{str(path)!r} is a stage of the home {str(home)!r}, and this command is told to use "
            f"{str(store.home)!r}\n  add --home {home}"
        )
    return folder.parent.name, folder.name


def config_of_stage(stage: StageName, key: str, settings: Sequence[str], store: Store) -> RunConfig:
    """The config of the run that a stage belongs to, how frames are drawn as the settings say."""
    if stage == "rollouts":
        candidates = [_read(store, stage, key)]
    else:
        _check_whole(store, stage, key)
        candidates = list(_readers(store, stage, key))
    if not candidates and stage != AGENT.name:
        raise RequestError(
            f"no rollouts in {str(store.home)!r} read the {stage} {key}: it is not known how "
            "frames are drawn from it\n  score the run that it belongs to with `diamond ablate ... "
            "--until fidelity`, or export it with `diamond export-checkpoint`"
        )
    if not candidates:
        return _agent_config(store, key, None, settings)
    found: dict[str, tuple[RunConfig, str]] = {}
    unusable: list[RequestError] = []
    for one in candidates:
        try:
            config = _config(store, one, settings)
        except RequestError as error:
            unusable.append(error)
        else:
            found.setdefault(_way(config), (config, one["key"]))
    if not found:
        raise unusable[0]
    if len(found) > 1:
        listed = [f"{other}: {_differing(config)}" for config, other in found.values()]
        raise RequestError(
            f"frames were drawn from the {stage} {key} in {len(found)} ways\n  say how, for "
            "instance steps=1, or give the key of one of these rollouts:\n  "
            + "\n  ".join(listed[:SHOWN])
        )
    return next(iter(found.values()))[0]


def _way(config: RunConfig) -> str:
    """A hash of what imagines and from where, whatever the number of starts and the horizon."""
    played = config.references
    said = {
        "rollouts": None,
        "references": [canonical(played.play), played.max_offset_steps],
        "inverse_dynamics": None,
        "fidelity": None,
    }
    return content_hash(canonical(config) | said)


def _differing(config: RunConfig) -> str:
    family = family_of(config)
    drawn = [(axis.name, axis.current(config)) for axis in family.axes if _draws(axis, config)]
    changed = [f"{name}={text}" for name, text in drawn if name in SHOWN_AXES or len(drawn) < SHOWN]
    return f"{' '.join(changed)}, references played by {config.references.play.collector}"


def _draws(axis: Axis, config: RunConfig) -> bool:
    """Whether an axis sets nothing but how frames are drawn."""
    sampling = family_of(config).sampling
    return all(field.partition(".")[0] in sampling for field in axis.fields)


def _readers(store: Store, stage: StageName, key: str) -> Iterator[Manifest]:
    """The rollouts of a home, finished or not, that read a stage."""
    for other, name in stages_of_home(store):
        if name == "rollouts":
            manifest = store.manifest(name, other)
            if manifest is not None and manifest["upstream"].get(stage) == key:
                yield manifest


def _config(store: Store, rollouts: Manifest, settings: Sequence[str]) -> RunConfig:
    upstream = rollouts["upstream"]
    family = find_family(rollouts["config"]["family"])
    if not family.is_trained:
        raise RequestError(
            f"rollouts {rollouts['key']} are those of the baseline {family.name}, which is no "
            "trained world model\n"
            "  every score stands beside it anyway; give other rollouts"
        )
    if "agent" in upstream:
        _check_whole(store, "agent", upstream["agent"])
        return _agent_config(store, upstream["agent"], rollouts, settings)
    trained = {
        one.name: _check_whole(store, one.name, upstream[one.name])
        for one in family.stages
        if one.name in upstream
    }
    first = next(iter(trained.values()))
    frames = _read(store, "frames", first["upstream"]["frames"])
    drawn = ("rollouts", *family.sampling)
    config = _validated(
        frames["config"],
        *(manifest["config"] for manifest in trained.values()),
        {name: rollouts["config"][name] for name in drawn},
        _references(store, rollouts),
        _judge(store, rollouts),
        {"seed": first["seed"], "data_seed": frames["seed"]},
    )
    return _same_keys(with_settings(config, settings), trained)


def _agent_config(
    store: Store, key: str, rollouts: Manifest | None, settings: Sequence[str]
) -> RunConfig:
    agent = _read(store, "agent", key)
    if "family" not in agent["config"]:
        raise RequestError(
            f"agent {key} was trained in the real game: it has no world model\n  {HOW}"
        )
    sampling = find_family(agent["config"]["family"]).sampling
    drawn = [
        axis.name
        for axis, _ in read_setting(settings, "settings").chosen
        if any(field.partition(".")[0] in sampling for field in axis.fields)
    ]
    if drawn:
        raise RequestError(
            f"{', '.join(drawn)}: an agent was trained on what its own sampler drew\n"
            "  leave it out, or export the agent with `diamond export-checkpoint` and give that"
        )
    own = {} if rollouts is None else {**_references(store, rollouts), **_judge(store, rollouts)}
    seed = 0 if rollouts is None else rollouts["seed"]
    config = _validated(
        agent["config"], own, {"protocol": "online", "seed": agent["seed"], "data_seed": seed}
    )
    return _same_keys(with_settings(config, settings), {"agent": agent})


def _references(store: Store, rollouts: Manifest) -> Mapping[str, object]:
    """How the references of rollouts were played; nothing where they are no longer there.

    Recorded episodes are left out: a command scores on those that it is given.
    """
    manifest = store.manifest("references", rollouts["upstream"]["references"])
    if manifest is None:
        return {}
    played = manifest["config"]["references"]
    return {"references": {name: played[name] for name in played if name != "recorded"}}


def _judge(store: Store, rollouts: Manifest) -> Mapping[str, object]:
    """The recipe of the judge that scored rollouts, or others of the same trained world model.

    Nothing where none was scored.
    """
    trained = {name: key for name, key in rollouts["upstream"].items() if name != "references"}
    found: Mapping[str, object] = {}
    for key, name in stages_of_home(store):
        scored = store.manifest(name, key) if name == "fidelity" else None
        if scored is None:
            continue
        judge = store.manifest("inverse_dynamics", scored["upstream"].get("inverse_dynamics", ""))
        other = store.manifest("rollouts", scored["upstream"].get("rollouts", ""))
        if judge is None or other is None:
            continue
        if other["key"] == rollouts["key"]:
            return {"inverse_dynamics": judge["config"]["inverse_dynamics"]}
        if trained.items() <= other["upstream"].items():
            found = {"inverse_dynamics": judge["config"]["inverse_dynamics"]}
    return found


def _validated(*parts: Mapping[str, Any]) -> RunConfig:
    """A whole config from sections; what no rollout reads is that of the preset `paper`."""
    sections: dict[str, Any] = {}
    for part in parts:
        sections |= part
    base = paper(sections["game"])
    whole = json.loads(json.dumps(base.sections())) | sections
    fields = type(base).model_fields
    data = {name: value for name, value in whole.items() if name in fields}
    family = find_family(sections["family"])
    lent: Mapping[str, Any] = {}
    if any(stage.part not in sections for stage in family.stages):
        # Frames without rewards train no part that tells them: nothing reads its section.
        lent = shared_canonical(family.preset(base.preset, base.game))
    data["world"] = world_section({**lent, **sections})
    if "rollouts" in sections or "references" in sections:
        ample = {name: data["references"][name] for name in ("num_starts", "horizon_steps")}
        data["rollouts"] = data["rollouts"] | ample
    try:
        return RunConfig.model_validate(data)
    except ValidationError as error:
        raise RequestError(
            f"the stage was made by another version: {first_reason(error)}\n"
            "  make it again with the command of its study"
        ) from error


def _same_keys(config: RunConfig, trained: Mapping[StageName, Manifest]) -> RunConfig:
    """The config, if it is the one from which the trained stages were made."""
    specs = {spec.stage: spec for spec in stages_of(config)}
    for stage, manifest in trained.items():
        if specs[stage].key != manifest["key"]:
            raise RequestError(
                f"the {stage} {manifest['key']} does not follow from what its manifest and those "
                "of the stages that it reads say\n  make it again with the command of its study"
            )
    return config


def with_settings(config: RunConfig, settings: Sequence[str]) -> RunConfig:
    """The config with other ways to draw frames.

    Raises:
        RequestError: A setting is part of what is trained already.
    """
    chosen = read_setting(settings, "settings").chosen
    for axis, _ in chosen:
        allowed = {"fidelity", *family_of(config).sampling}
        if any(field.partition(".")[0] not in allowed for field in axis.fields):
            raise RequestError(
                f"{axis.name} is no part of how frames are drawn: the world model is trained "
                "already\n  allowed: of DIAMOND steps, sampler.order and the rest of sampler; "
                "lpips, fidelity.metrics"
            )
    return apply_axes(config, chosen)


def _read(store: Store, stage: StageName, key: str) -> Manifest:
    manifest = store.manifest(stage, key)
    if manifest is None:
        raise RequestError(
            f"the {stage} {key} is not in {str(store.home)!r}, or its manifest cannot be read\n"
            "  give the home that has it with --home, or make it again with the command of its "
            "study"
        )
    return manifest


def _check_whole(store: Store, stage: StageName, key: str) -> Manifest:
    """The manifest of a trained stage that is finished and as it was written."""
    manifest = _read(store, stage, key)
    if "imported" in manifest["config"]:
        raise RequestError(
            f"the {stage} {key} was imported from a checkpoint\n  give the folder of the checkpoint"
        )
    if manifest["state"] != "done":
        cause = f": {manifest['error']}" if manifest["error"] else ""
        raise RequestError(
            f"the {stage} {key} is not trained, it is {manifest['state']}{cause}\n"
            "  the command of its study goes on with it"
        )
    numerics = find_stage_record(stage, manifest["config"].get("family", "")).numerics
    if manifest["numerics"] != numerics:
        raise RequestError(
            f"the {stage} {key} was made by another version (numerics {manifest['numerics']}, now "
            f"{numerics})\n  make it again with the command of its study"
        )
    damage = damage_of(store.folder(stage, key))
    if damage is not None:
        raise RequestError(
            f"the {stage} {key} is damaged: {damage}\n  make it again with the command of its study"
        )
    return manifest
