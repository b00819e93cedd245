"""Trainings that were stopped on purpose: what they keep, and who goes on from it.

Training itself is in `diamond.makers.trained_parts`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from diamond.engine.output_names import EVENTS_FILE, STATE_FILE
from diamond.engine.stage_context import StageContext
from diamond.engine.store import Store
from diamond.engine.training_checkpoint import Saved, load_state, save_state
from diamond.errors import StoreError
from diamond.plan.stage_keys import StageName, StageSpec
from diamond.tracking.event_log import parse_events, read_lines
from diamond.training.training_loop import TrainingState

Window = Sequence[Mapping[str, float]]
"""The numbers of the updates since the last point of the training curves."""


@dataclass(frozen=True)
class Stopped:
    """A finished stage in which training stopped before its end.

    Attributes:
        saved: The state of the training; its counters are the updates done and the open window.
        lines: The event log.
        seconds: Time that it took, what it went on from included.
    """

    saved: Saved
    lines: bytes
    seconds: float


def keep_stopped(context: StageContext, state: TrainingState, window: Window) -> None:
    """Write state.safetensors, from which a longer training goes on bit for bit."""
    counters = {"done": state.update, "window": list(window)}
    save_state(context.folder / STATE_FILE, state.tensors(), counters)


def find_stopped(context: StageContext, done: int, end: int, every: int) -> Stopped | None:
    """The training of a home that stopped latest on the way of this one.

    It agrees in everything that a stage key is made of but `stop_after`, was made on a device of
    this kind, and is as it was written.

    Args:
        context: A stage that trains a part.
        done: Updates that are done already; a training that stopped no later is of no use.
        end: Updates of this one.
        every: Updates between two points of the training curves.
    """
    store = Store(context.home)
    for spec, stop in sorted(_earlier(context, store), key=lambda found: -found[1]):
        if done < stop < end:
            stopped = _read(store, spec, range(every, stop + 1, every))
            if stopped is not None:
                return stopped
    return None


def _earlier(context: StageContext, store: Store) -> Iterator[tuple[StageSpec, int]]:
    """Stages of a home that are this one but for where they stop, and where that is."""
    own = context.attempt.manifest
    stage: StageName = own["stage"]
    for key in store.keys(stage):
        manifest = store.manifest(stage, key)
        # Another device has other bits.
        if manifest is None or manifest["device"] != context.device_name:
            continue
        stop = manifest["config"].get(stage, {}).get("stop_after")
        if stop is None:
            continue
        section = own["config"][stage] | {"stop_after": stop}
        config = {**own["config"], stage: section}
        spec = StageSpec(stage, config, own["upstream"], context.seed)
        if spec.key == key:
            yield spec, stop


def _read(store: Store, spec: StageSpec, steps: Sequence[int]) -> Stopped | None:
    """What a stage kept, or None if it is not finished or not as it was written."""
    folder = store.folder(spec.stage, spec.key)
    events = folder / EVENTS_FILE
    # `diamond gc` may take it away at any moment.
    try:
        if store.status(spec) != "done" or store.damage(spec) is not None:
            return None
        saved, lines = load_state(folder / STATE_FILE), read_lines(events, None)
        found = [event.step for event in parse_events(lines, events)]
    except (FileNotFoundError, StoreError):
        return None
    manifest = store.manifest(spec.stage, spec.key)
    if saved is None or manifest is None or found != list(steps):
        return None
    return Stopped(saved, lines, float(manifest["timings"]["seconds"]))
