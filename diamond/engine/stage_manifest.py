"""The manifest of a stage: how it is begun, written and read, and what its digests say."""

import shutil
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Literal, cast

from typing_extensions import TypedDict

from diamond.engine.files import digest, read_json, write_json
from diamond.engine.output_names import EVENTS_FILE, MANIFEST_FILE
from diamond.engine.sealed_json import is_whole, sealed, unsealed
from diamond.errors import StoreError
from diamond.plan.stage_keys import StageSpec, key_of

OWN_FILES = frozenset({MANIFEST_FILE, EVENTS_FILE})
"""What the store itself keeps in a finished folder; everything else is an output."""


class CodeVersion(TypedDict):
    """The version of the code that made something."""

    git_commit: str | None
    dirty: bool | None
    sources: str
    versions: dict[str, str | None]
    platform: str


class Machine(TypedDict):
    """The machine that made something.

    `name` is that of the GPU, or else of the processor. `instructions` are the vector instructions
    that torch used on a processor; beside the name they decide how it rounds.
    """

    name: str
    instructions: str | None
    host: str


class Maker(TypedDict):
    """What makes a stage."""

    device: str
    machine: Machine
    code: CodeVersion


class Manifest(TypedDict):
    """What is written down of a stage: what it is, how far it is, and what it gave.

    What follows from `code` on is None or empty before it is known; `machine` is None also in what
    was made before manifests had it. `outputs` and `kept` have a
    digest per file; of the outputs those in `dropped` are gone.
    """

    stage: str
    key: str
    config: Mapping[str, Any]
    upstream: dict[str, str]
    seed: int
    numerics: int
    code: CodeVersion | None
    device: str | None
    machine: Machine | None
    state: Literal["pending", "running", "failed", "done"]
    error: str | None
    lasting: bool | None
    outputs: dict[str, str]
    dropped: list[str]
    kept: dict[str, str]
    events: str | None
    timings: dict[str, float]


class ManifestChange(TypedDict, total=False):
    """What changes of a manifest while a stage is worked on."""

    code: CodeVersion
    device: str
    machine: Machine
    state: Literal["running", "failed"]
    error: str | None
    lasting: bool | None


def new_manifest(spec: StageSpec) -> Manifest:
    """The manifest of a stage that nobody has begun."""
    return {
        "stage": spec.stage,
        "key": spec.key,
        "config": spec.config,
        "upstream": dict(spec.upstream),
        "seed": spec.seed,
        "numerics": spec.numerics,
        "code": None,
        "device": None,
        "machine": None,
        "state": "pending",
        "error": None,
        "lasting": None,
        "outputs": {},
        "dropped": [],
        "kept": {},
        "events": None,
        "timings": {},
    }


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest in a folder named by its key.

    None when there is none, it is not as it was written, or it is not that of this key.
    """
    data = read_json(folder / MANIFEST_FILE)
    if not is_whole(data):
        return None
    parts = (data.get(name) for name in ("stage", "config", "upstream", "seed", "numerics"))
    is_its_own = data.get("key") == key_of(*parts) == folder.name
    return cast("Manifest", {"machine": None, **unsealed(data)}) if is_its_own else None


def damage_of(folder: Path) -> str | None:
    """What is wrong with the folder of a finished stage, read in full; None when nothing is."""
    manifest = read_manifest(folder)
    if manifest is None:
        return f"{MANIFEST_FILE} is missing or not as it was written"
    missing = missing_files(folder, manifest)
    if missing:
        return f"{missing[0]} is missing"
    for name, expected in kept_digests(manifest).items():
        if digest(folder / name) != expected:
            return f"{name} differs from its digest"
    return None


def missing_files(folder: Path, manifest: Manifest) -> list[str]:
    """The files that a finished stage should have and that are not there."""
    return [name for name in kept_digests(manifest) if not (folder / name).is_file()]


def kept_digests(manifest: Manifest) -> dict[str, str | None]:
    """Digest of every file but the manifest that a finished stage has: none that was dropped."""
    outputs = {n: d for n, d in manifest["outputs"].items() if n not in manifest["dropped"]}
    return {**outputs, **manifest["kept"], EVENTS_FILE: manifest["events"]}


def stage_manifest(folder: Path) -> Manifest:
    """The manifest in the folder of a stage that must have one.

    Raises:
        StoreError: It is not there or not as it was written.
    """
    manifest = read_manifest(folder)
    if manifest is None:
        raise StoreError(
            f"the manifest of {str(folder)!r} is missing or not as it was written\n"
            "  run the command again: it makes the stage again"
        )
    return manifest


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write a manifest with its digest, whole or not at all."""
    write_json(folder / MANIFEST_FILE, sealed(manifest))


def write_kept(
    source: Path, part: Path, dropped: Collection[str], fill: Callable[[Path], None]
) -> None:
    """Write what is to be kept of a finished stage.

    Args:
        source: The folder of the stage, of which outputs may have been dropped before.
        part: The folder to make.
        dropped: Names of the outputs that it goes without.
        fill: Writes files that take their place into a folder.

    Raises:
        StoreError: The manifest is not there or not as it was written.
    """
    manifest = stage_manifest(source)
    part.mkdir(parents=True)
    fill(part)
    extra = {path.name: digest(path) for path in sorted(part.iterdir())}
    for name in kept_digests(manifest):
        if name not in dropped:
            (part / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / name, part / name)
    gone = sorted({*manifest["dropped"], *dropped})
    write_manifest(part, {**manifest, "dropped": gone, "kept": manifest["kept"] | extra})
