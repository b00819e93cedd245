"""Held-out starts that the training frames of a run have too: found once, kept beside them."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from diamond.config.base import Record
from diamond.config.recording import ViewConfig
from diamond.config.scoring import RolloutsConfig
from diamond.data.action_space import ACTIONS_FILE
from diamond.engine.files import read_json
from diamond.engine.output_names import OFF_DATA_FOLDER
from diamond.engine.sealed_json import is_whole
from diamond.engine.store import Store
from diamond.findings.arm_inputs import find_stage
from diamond.findings.estimate_files import estimate_path
from diamond.findings.stored_estimates import kept_record
from diamond.plan.plan import Run


class SeenStarts(Record):
    """Positions, among the starts of a run, of those whose context occurs in its frames."""

    positions: tuple[int, ...]


class KnownFrames(Record):
    """Shares of real frames that occur in the training frames of a run; None if not known."""

    ordinary: float | None = None
    off_data: float | None = None


def kept_seen_starts(run: Run, store: Store) -> tuple[int, ...] | None:
    """Positions of the starts of a run whose context occurs in the frames it was trained on.

    Returns:
        None where that is not known: nothing was imagined, the run was trained on no frames that
        were recorded before, or they or the references are not here.

    Raises:
        StoreError: They are damaged, and were not looked through before.
    """
    view, num_starts = run.config.view, run.config.rollouts.num_starts
    found = _place(run, store, "seen", {"num_starts": num_starts})
    return None if found is None else _seen_starts(*found, view, num_starts)


def kept_known_frames(run: Run, store: Store) -> KnownFrames:
    """How much of what follows the starts of a run its training frames show already.

    Looked for where there are starts off the data, to say how far off they are.
    """
    said = run.config.rollouts
    depends = {"num_starts": said.num_starts, "horizon": said.horizon_steps}
    has_any = run.config.references.off_data is not None
    found = _place(run, store, "known", depends) if has_any else None
    return KnownFrames() if found is None else _known_frames(*found, run.config.view, said)


def _place(
    run: Run, store: Store, what: str, depends: Mapping[str, int]
) -> tuple[Path, Store, tuple[str, str]] | None:
    """Where something is kept, and the keys of frames and references it is found in."""
    names = ("frames", "references", "rollouts")
    specs = [spec for name in names if (spec := find_stage(run, name)) is not None]
    is_done = len(specs) == len(names) and all(store.status(spec) == "done" for spec in specs)
    if run.config.imported is not None or not is_done:
        return None
    frames, references, _ = specs
    said = {what: references.key, "view": run.config.view.model_dump(mode="json")}
    path = estimate_path(store.home, frames.key, {**said, **depends})
    is_here = (store.folder(frames.stage, frames.key) / ACTIONS_FILE).is_file() and all(
        store.has_all_files(spec.stage, spec.key) for spec in (frames, references)
    )
    if not is_here and not is_whole(read_json(path)):
        return None
    return path, store, (frames.key, references.key)


@lru_cache(maxsize=4096)
def _known_frames(
    path: Path, store: Store, keys: tuple[str, str], view: ViewConfig, said: RolloutsConfig
) -> KnownFrames:
    def make() -> KnownFrames:
        from diamond.data.seen_starts import known_frames  # noqa: PLC0415

        frames = store.whole_folder("frames", keys[0])
        references = store.whole_folder("references", keys[1])
        further, horizon = references / OFF_DATA_FOLDER, said.horizon_steps
        return KnownFrames(
            ordinary=known_frames(references, frames, view, said.num_starts, horizon),
            off_data=known_frames(further, frames, view, None, horizon),
        )

    return kept_record(path, KnownFrames, make)


@lru_cache(maxsize=4096)
def _seen_starts(
    path: Path, store: Store, keys: tuple[str, str], view: ViewConfig, num_starts: int
) -> tuple[int, ...]:
    def make() -> SeenStarts:
        # What decodes frames is loaded where any must be.
        from diamond.data.seen_starts import stored_seen_starts  # noqa: PLC0415

        frames = store.whole_folder("frames", keys[0])
        references = store.whole_folder("references", keys[1])
        found = stored_seen_starts(references, frames, view, num_starts)
        return SeenStarts(positions=found)

    return kept_record(path, SeenStarts, make).positions
