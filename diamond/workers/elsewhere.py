"""Stages that other processes make: whether they are done, who holds them, how far they are."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from diamond.engine.stage_claim import Claim
from diamond.engine.store import Store
from diamond.plan.stage_keys import StageSpec

FEW_LOOKS, MOST_LOOKS = 2, 24
"""Stages whose claims are read at one look: plans have thousands, and a server many readers."""


@dataclass(frozen=True)
class Sight:
    """A stage as its files show it.

    Attributes:
        kind: Free is what nobody holds, or a process of which no sign of life was seen.
        holder: Who holds it, in words.
        done: Units done, of it.
        total: Units in all.
        note: As the progress of the stage has it, or why it failed.
        over: Token of the claim that stands still, where it is free for that.
    """

    kind: Literal["held", "free", "failed"]
    holder: str = ""
    done: int = 0
    total: int = 0
    note: str = ""
    over: str | None = None


class Elsewhere:
    """The stages that others may be making. Mutable: it remembers what it saw of their claims."""

    def __init__(self, store: Store) -> None:
        """Assign; nothing is read."""
        self._store = store
        self._specs: dict[str, StageSpec] = {}
        self._claims: dict[str, Claim] = {}

    def __len__(self) -> int:
        """How many there are."""
        return len(self._specs)

    @property
    def specs(self) -> dict[str, StageSpec]:
        """The stages by key, that which was looked at longest ago first."""
        return self._specs

    def add(self, spec: StageSpec) -> None:
        """Watch a stage."""
        self._specs[spec.key] = spec
        self._claims[spec.key] = Claim(self._store.work(spec.stage, spec.key))

    def drop(self, key: str) -> StageSpec | None:
        """Watch a stage no longer."""
        self._claims.pop(key, None)
        return self._specs.pop(key, None)

    def look(self, most: int) -> Iterator[tuple[StageSpec, Sight]]:
        """Look at some stages, one round after another."""
        for spec in list(self._specs.values())[:most]:
            self._specs[spec.key] = self._specs.pop(spec.key)
            yield spec, self._sight(spec)

    def _sight(self, spec: StageSpec) -> Sight:
        claim = self._claims[spec.key]
        holder = claim.holder()
        if holder is not None:
            beat = claim.beat()
            return Sight("held", holder, beat.done, beat.total, beat.note)
        error = self._store.gave_up(spec)
        if error is not None:
            return Sight("failed", note=error)
        return Sight("free", over=claim.standing)
