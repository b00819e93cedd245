"""Who works on what: what commands ask for, beside the claims on it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from diamond.engine.stage_claim import Claim
from diamond.engine.store import Store
from diamond.workers.frontier import Frontier
from diamond.workers.work_order import OrderedStage, order_files, read_order


@dataclass(frozen=True)
class Held:
    """A stage at work.

    Attributes:
        name: What people call it.
        holder: Who makes it, in words.
        seconds: For how long, by the holder's own clock.
        progress: How far it is, in words.
    """

    name: str
    holder: str
    seconds: float
    progress: str


@dataclass(frozen=True)
class Worked:
    """What is asked for in one study.

    Attributes:
        study: Its name.
        total: Stages that its commands ask for.
        done: Those of them that are done.
        ready: Those that could begin.
        failed: Those that failed.
        blocked: Those that wait for others.
        held: Those at work.
    """

    study: str
    total: int
    done: int
    ready: int
    failed: int
    blocked: int
    held: tuple[Held, ...]


def work_status(home: Path, study: str | None = None) -> list[Worked]:
    """What commands ask for in a home, and who is at it.

    Raises:
        RequestError: What a command asks for is damaged.
    """
    asked: dict[str, dict[str, OrderedStage]] = {}
    done: set[str] = set()
    for path in order_files(home, study):
        order = read_order(path)
        if order is not None:
            stages = {one.spec.key: one for one in order.stages}
            asked.setdefault(order.study, {}).update(stages)
            done |= order.done
    store = Store(home)
    return [_worked(store, name, stages, done) for name, stages in asked.items()]


def _worked(
    store: Store, study: str, asked: Mapping[str, OrderedStage], done: Iterable[str]
) -> Worked:
    frontier = Frontier()
    for key in done:
        frontier.finish(key)
    frontier.add([one.spec for one in asked.values()], {})
    for stage in dict.fromkeys(one.spec.stage for one in asked.values()):
        for key in store.finished_keys(stage):
            frontier.finish(key)
    held: list[Held] = []
    ready = frontier.ready()
    failed = 0
    for spec in ready:
        claim = Claim(store.work(spec.stage, spec.key))
        holder = claim.holder()
        if holder is not None:
            beat = claim.beat()
            far = f"{beat.done}/{beat.total}  {beat.note}" if beat.total else beat.note
            held.append(Held(asked[spec.key].name, holder, beat.seconds, far.strip()))
        elif store.gave_up(spec) is not None:
            failed += 1
    waiting = len(frontier.waiting)
    return Worked(
        study,
        len(asked),
        len(asked) - waiting,
        len(ready) - len(held) - failed,
        failed,
        waiting - len(ready),
        tuple(held),
    )
