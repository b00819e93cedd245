"""What of a plan can be made now: a function of the plan and of the states of its stages.

The commands that lead workers and the workers that pull ask it alike. It is kept up to date stage
by stage, so that a plan of many thousands is never gone through as a whole.
"""

import zlib
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from heapq import heappop, heappush

from diamond.plan.stage_keys import StageSpec


class Frontier:
    """The stages of a plan that wait, and which of them are ready. Mutable: stages come and go.

    A stage waits until it is taken, finished or blocked. It is ready when every stage that it reads
    is finished, and blocked when one of them is broken.

    Attributes:
        finished: Keys of the stages that are done.
        broken: Keys of those that failed, or that read what failed.
    """

    def __init__(self, mix: str = "") -> None:
        """Begin with no stage.

        Args:
            mix: Orders stages of one priority in its own way, so that workers with different texts
                do not all want the same one; empty: in the order in which they came.
        """
        self._mix = mix
        self.finished: set[str] = set()
        self.broken: set[str] = set()
        self._waiting: dict[str, StageSpec] = {}
        self._priority: dict[str, float] = {}
        self._missing: dict[str, int] = {}
        self._readers: dict[str, dict[str, None]] = {}
        self._heap: list[tuple[float, int, str]] = []
        self._blocked: deque[str] = deque()
        self._count = 0

    @property
    def waiting(self) -> Mapping[str, StageSpec]:
        """The stages that wait, by key."""
        return self._waiting

    def add(self, specs: Iterable[StageSpec], priority: Mapping[str, float]) -> None:
        """Take on stages; those that are finished or broken stay as they are.

        Args:
            specs: The stages.
            priority: By key. What several ask for is as urgent as the most urgent of them says;
                without a word it stays as it is.
        """
        for spec in specs:
            said = priority.get(spec.key, self._priority.get(spec.key, 0.0))
            self._priority[spec.key] = max(said, self._priority.get(spec.key, said))
            if spec.key not in self.finished and spec.key not in self.broken:
                self._wait(spec)

    def finish(self, key: str) -> None:
        """Note that a stage is done, whoever made it."""
        if key in self.finished:
            return
        self.finished.add(key)
        self.broken.discard(key)
        self._drop(key)
        for reader in self._readers.get(key, ()):
            self._recount(reader)

    def fail(self, key: str) -> None:
        """Note that a stage failed."""
        self.broken.add(key)
        self._drop(key)
        self._blocked += self._readers.get(key, ())

    def forget(self, keys: Iterable[str]) -> None:
        """Forget that stages failed or are done, so that `add` takes them on once more."""
        for key in keys:
            self.finished.discard(key)
            self.broken.discard(key)
            for reader in self._readers.get(key, ()):
                self._recount(reader)

    def withdraw(self, keys: Iterable[str]) -> None:
        """Give up stages that wait."""
        for key in keys:
            self._drop(key)

    def take(self) -> StageSpec | None:
        """The ready stage with the largest priority, which waits no more; None: none is ready."""
        while self._heap:
            negative, _, key = heappop(self._heap)
            if self._is_ready(key) and -negative == self._priority[key]:
                return self._waiting.pop(key)
        return None

    @property
    def has_ready(self) -> bool:
        """Whether a stage is ready."""
        while self._heap and not self._is_ready(self._heap[0][2]):
            heappop(self._heap)
        return bool(self._heap)

    def ready(self) -> list[StageSpec]:
        """The stages that are ready, the most urgent first."""
        found = [spec for key, spec in self._waiting.items() if self._is_ready(key)]
        return sorted(found, key=lambda spec: -self._priority[spec.key])

    def newly_blocked(self) -> Iterator[tuple[StageSpec, str]]:
        """Each stage that waits in vain, once, with the stage that it reads and that is broken."""
        while self._blocked:
            spec = self._waiting.get(self._blocked.popleft())
            causes = spec and [name for name, key in spec.upstream.items() if key in self.broken]
            if spec and causes:
                self.fail(spec.key)
                yield spec, causes[0]

    def _wait(self, spec: StageSpec) -> None:
        if spec.key not in self._waiting:
            self._waiting[spec.key] = spec
            for key in spec.upstream.values():
                self._readers.setdefault(key, {})[spec.key] = None
        self._recount(spec.key)
        if any(key in self.broken for key in spec.upstream.values()):
            self._blocked.append(spec.key)

    def _recount(self, key: str) -> None:
        spec = self._waiting.get(key)
        if spec is None:
            return
        self._missing[key] = len(set(spec.upstream.values()) - self.finished)
        if self._is_ready(key):
            self._count += 1
            order = zlib.crc32((self._mix + key).encode()) if self._mix else self._count
            heappush(self._heap, (-self._priority[key], order, key))

    def _is_ready(self, key: str) -> bool:
        return key in self._waiting and self._missing[key] == 0

    def _drop(self, key: str) -> None:
        self._waiting.pop(key, None)
