"""The workers that help a command: what it asks of them, and how many there should be."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from diamond.errors import EngineError
from diamond.workers.launcher import Launcher
from diamond.workers.work_order import OrderWriter

TEND_SECONDS = 5.0
"""Least time between two questions to a scheduler."""
MAX_VAIN = 3
"""Submissions whose workers all ended before any stage got farther: a fault of theirs."""
MAX_PAUSE_SECONDS = 600.0
"""Longest time between two submissions: one node that ends all workers must not be fed for ever."""


@dataclass
class Helpers:
    """Workers that pull. Mutable: it remembers what it submitted.

    Attributes:
        order: What they are asked for.
        launcher: Starts them; None: the user does.
        size: How many there are to be at most.
        leaves: Whether they go on when the command is ended.
        say: Told what happens to them, in words.
    """

    order: OrderWriter
    launcher: Launcher | None
    size: int
    leaves: bool
    say: Callable[[str], None]
    _tended: float = float("-inf")
    _submitted: float = float("-inf")
    _pause: float = 0.0
    _vain: int = 0
    _advance: int = 0
    _answered: bool = False
    _told: Sequence[str] = ()
    _trouble: str = ""

    def start(self) -> None:
        """Submit as many workers as are missing, once, for a command that does not stay.

        Raises:
            EngineError: The scheduler refuses; then nothing is asked for either.
        """
        if self.launcher is None:
            return
        try:
            missing = min(self.size, self.order.num_stages) - self.launcher.alive()
            if missing > 0:
                self._submit(missing)
        except EngineError:
            self.order.remove()
            raise

    def tend(self, num_open: int, num_held: int, advance: int) -> None:
        """Submit workers where there is more to make than those that are there can begin.

        Args:
            num_open: Stages that are ready and held by nobody.
            num_held: Stages that are held.
            advance: Any number that is another one when something got farther than ever before.

        Raises:
            EngineError: Workers end again and again without getting anything farther.
        """
        if time.monotonic() - self._tended < TEND_SECONDS:
            return
        self._tended = time.monotonic()
        self.order.keep()
        if self.launcher is None:
            return
        if advance != self._advance:
            self._advance, self._vain, self._pause = advance, 0, 0.0
        try:
            alive = self.launcher.alive()
        except EngineError as error:
            if not self._answered:
                raise
            self._bear(str(error))
            return
        self._answered = True
        self._tell(self.launcher)
        missing = min(self.size - alive, num_open - max(0, alive - num_held))
        if missing > 0 and self._tended - self._submitted >= self._pause:
            try:
                self._replace(alive, missing)
            except EngineError as error:
                if not (alive or num_held):
                    raise
                self._bear(str(error))
                return
        self._trouble = ""

    def let_go(self, finished: bool) -> None:
        """End what there is to end with the command.

        Args:
            finished: Whether nothing is left to make.
        """
        if finished or not self.leaves:
            self.order.remove()
        if finished and self.launcher is not None:
            try:
                self.launcher.dismiss()
            except EngineError as error:  # The work is done: what waits finds nothing to make.
                self.say(str(error))

    def _replace(self, alive: int, missing: int) -> None:
        """Submit workers for those that are missing, unless they only end.

        Raises:
            EngineError: They do, or the scheduler refuses.
        """
        assert self.launcher is not None
        if not alive and self._vain >= MAX_VAIN:
            raise EngineError(
                f"workers were submitted {self._vain} times and ended without getting farther"
                + "".join(f"\n  {line}" for line in (self.launcher.fate(), *self.launcher.told()))
                + "\n  does every node see this home, and this environment? docs/cluster.md"
            )
        if self._pause and (fate := self.launcher.fate()):
            self.say(f"workers ended: {fate}")
        self._vain += not alive
        self._pause = min(max(TEND_SECONDS, 2 * self._pause), MAX_PAUSE_SECONDS)
        self._submitted = time.monotonic()
        self._submit(missing)

    def _submit(self, count: int) -> None:
        assert self.launcher is not None
        self.launcher.submit(count)
        self._tell(self.launcher)

    def _tell(self, launcher: Launcher) -> None:
        """Say of the workers what was not said before."""
        before, self._told = self._told, launcher.told()
        for line in self._told:
            if line not in before:
                self.say(line)

    def _bear(self, trouble: str) -> None:
        """Go on without the scheduler, as the workers do; say so once."""
        if trouble != self._trouble:
            self.say(f"{trouble}\n  this command goes on, and asks again")
        self._trouble = trouble
