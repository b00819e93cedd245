"""Held-out starts that the training frames of a run have too: found once, kept beside them."""

import json
from functools import lru_cache
from pathlib import Path

from diamond.ablation.plan import Run
from diamond.config.base import Record
from diamond.config.run import ViewConfig
from diamond.pipeline.arms import find_stage
from diamond.pipeline.estimate_files import estimate_path
from diamond.pipeline.files import read_json
from diamond.pipeline.kept_estimates import kept_record
from diamond.pipeline.outputs import ACTIONS_FILE
from diamond.pipeline.sealed import is_whole
from diamond.pipeline.store import Store


class SeenStarts(Record):
    """Positions, among the starts of a run, of those whose context occurs in its frames."""

    positions: tuple[int, ...]


def kept_seen_starts(run: Run, store: Store) -> tuple[int, ...] | None:
    """Positions of the starts of a run whose context occurs in the frames it was trained on.

    Returns:
        None where that is not known: nothing was imagined, the run was trained on no frames that
        were recorded before, or they or the references are not here.

    Raises:
        StoreError: They are damaged, and were not looked through before.
    """
    names = ("frames", "references", "rollouts")
    specs = [spec for name in names if (spec := find_stage(run, name)) is not None]
    is_done = len(specs) == len(names) and all(store.status(spec) == "done" for spec in specs)
    if run.config.imported is not None or not is_done:
        return None
    frames, references, _ = specs
    view, num_starts = run.config.view, run.config.rollouts.num_starts
    depends = {
        "seen": references.key,
        "view": view.model_dump(mode="json"),
        "num_starts": num_starts,
    }
    path = estimate_path(store.home, frames.key, depends)
    is_here = (store.folder(frames.stage, frames.key) / ACTIONS_FILE).is_file() and all(
        store.has_all_files(spec.stage, spec.key) for spec in (frames, references)
    )
    if not is_here and not is_whole(read_json(path)):
        return None
    return _seen_starts(path, store, (frames.key, references.key), view, num_starts)


@lru_cache(maxsize=4096)
def _seen_starts(
    path: Path, store: Store, keys: tuple[str, str], view: ViewConfig, num_starts: int
) -> tuple[int, ...]:
    def make() -> SeenStarts:
        # What decodes frames is loaded where any must be.
        from diamond.data.seen_starts import stored_seen_starts  # noqa: PLC0415

        frames = store.whole_folder("frames", keys[0])
        references = store.whole_folder("references", keys[1])
        codes = json.loads((frames / ACTIONS_FILE).read_text())
        found = stored_seen_starts(references, frames, codes, view, num_starts)
        return SeenStarts(positions=found)

    return kept_record(path, SeenStarts, make).positions
