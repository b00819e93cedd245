"""How long a plan will take: seconds per stage, and a simulation of the executor."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush

from diamond.engine.output_names import share_done
from diamond.engine.stage_cost import expected_seconds
from diamond.engine.stage_durations import Measured
from diamond.engine.store import Store
from diamond.plan.plan import Plan
from diamond.plan.stage_keys import StageSpec

IMPORT_SECONDS = 8.0
"""Starting workers, opening the tracking store, writing the report."""


@dataclass(frozen=True)
class Work:
    """What a command makes.

    Attributes:
        specs: Its stages, each after those that it reads, those that are done included.
        seconds: What is left of each, by key.
        done: Keys of those that need no work.
        jobs: Processes that make them.
    """

    specs: Sequence[StageSpec]
    seconds: Mapping[str, float]
    done: frozenset[str]
    jobs: int


class Estimate:
    """Seconds per stage of a plan, corrected by stages like it that the home has measured."""

    def __init__(self, plan: Plan, store: Store, device: str) -> None:
        """Count the work of every stage and read what was measured on a device."""
        self._seconds: dict[str, float] = {}
        self._informed: set[str] = set()
        self._store = store
        measured = Measured(store, device, plan.arms[0].runs[0].config)
        for arm in plan.with_controls:
            config = arm.runs[0].config
            # Seeds differ in nothing that costs time.
            for same in zip(*(run.stages for run in arm.runs), strict=True):
                missing = [spec for spec in same if spec.key not in self._seconds]
                if missing:
                    imported = "imported" in same[0].config
                    work = 0.0 if imported else expected_seconds(config, same[0].stage)
                    self._add(missing, work, measured)
        for one in plan.players:
            expected = expected_seconds(one.config, one.spec.stage, one.player)
            self._add([one.spec], expected, measured)

    def _add(self, specs: Sequence[StageSpec], expected: float, measured: Measured) -> None:
        """Take in stages that are alike but for their seeds."""
        factor = measured.factor(specs[0].stage, specs[0].config, expected)
        keys = [spec.key for spec in specs]
        self._seconds |= dict.fromkeys(keys, expected * (1.0 if factor is None else factor))
        if factor is not None:
            self._informed.update(keys)

    def seconds(self, spec: StageSpec) -> float:
        """Expected seconds of one stage on one core."""
        return self._seconds[spec.key]

    def left(self, spec: StageSpec) -> float:
        """Expected seconds of what a stage lacks: its checkpoint holds the rest."""
        attempt = self._store.farthest(spec.stage, spec.key)
        return self._seconds[spec.key] * (1.0 if attempt is None else 1.0 - share_done(attempt))

    def measured_share(self, specs: Iterable[StageSpec]) -> float:
        """Share of the expected time of stages that rests on stages measured in this home."""
        keys = [spec.key for spec in specs]
        total = sum(self._seconds[key] for key in keys)
        known = sum(self._seconds[key] for key in keys if key in self._informed)
        return known / total if total else 0.0


def priorities(specs: Sequence[StageSpec], seconds: Mapping[str, float]) -> dict[str, float]:
    """Length of the longest chain of work that begins with each stage: the longest goes first.

    Args:
        specs: Stages, each after those that it reads.
        seconds: Time of each by key.
    """
    after = dict.fromkeys(seconds, 0.0)
    chain: dict[str, float] = {}
    for spec in reversed(specs):
        chain[spec.key] = length = seconds[spec.key] + after[spec.key]
        for key in spec.upstream.values():
            if key in after:
                after[key] = max(after[key], length)
    return chain


def wall_seconds(
    specs: Iterable[StageSpec], seconds: Mapping[str, float], done: frozenset[str], jobs: int
) -> float:
    """Time of a plan on `jobs` processes, at least one: a simulation of the executor's own rule."""
    todo = [spec for spec in specs if spec.key not in done]
    if not todo:
        return 0.0
    chain = priorities(todo, {spec.key: seconds[spec.key] for spec in todo})
    missing: dict[str, int] = {}
    readers: dict[str, list[str]] = {}
    for spec in todo:
        missing[spec.key] = 0
        for key in spec.upstream.values():
            if key not in done:
                missing[spec.key] += 1
                readers.setdefault(key, []).append(spec.key)
    ready = [(-chain[key], place, key) for place, key in enumerate(missing) if not missing[key]]
    ready.sort()
    running, clock, place = list[tuple[float, str]](), 0.0, len(missing)
    while ready or running:
        while ready and len(running) < max(jobs, 1):
            _, _, key = heappop(ready)
            heappush(running, (clock + seconds[key], key))
        clock, ended = heappop(running)
        for key in readers.get(ended, ()):
            missing[key] -= 1
            if not missing[key]:
                place += 1
                heappush(ready, (-chain[key], place, key))
    return clock + IMPORT_SECONDS
