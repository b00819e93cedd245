"""What a command asks of workers: the stages that its study lacks, as a file in the study's folder.

``studies/<study>/orders/<command>.<version>.json`` is written whole and never changed: a command
that wants something else writes its next version and removes the last one. Workers list the folder.
"""

import re
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from uuid import uuid4

from diamond.engine.files import read_json, write_json
from diamond.engine.sealed_json import is_whole, sealed
from diamond.engine.store import Store
from diamond.errors import RequestError
from diamond.plan.stage_keys import StageSpec
from diamond.tracking.owner import current_owner, is_gone, is_here
from diamond.workers.child_processes import shared_code

FOLDER = "orders"
_NAME = re.compile(r"(?P<command>[0-9a-f]{32})\.(?P<version>\d+)\.json")


@dataclass(frozen=True)
class OrderedStage:
    """A stage that is asked for.

    Attributes:
        spec: The stage.
        name: What people call it.
        priority: Of the stages that could start, the one with the largest number starts first.
    """

    spec: StageSpec
    name: str
    priority: float


@dataclass(frozen=True)
class Order:
    """What one command asks for.

    Attributes:
        path: Its file.
        owner: The command, as `current_owner` has it.
        code: What its command runs, as `shared_code` says.
        may_grow: Whether its command may ask for more, as a sweep does after each trial.
        done: Keys of what the stages read and was done when they were asked for.
        data: The stages, each after those that it reads, as the file has them.
    """

    path: Path
    owner: str
    code: Mapping[str, Any]
    may_grow: bool
    done: frozenset[str]
    data: Sequence[Mapping[str, Any]]

    @cached_property
    def stages(self) -> tuple[OrderedStage, ...]:
        """The stages; of another version of the code they may not be known."""
        return tuple(_stage(one) for one in self.data)

    @property
    def study(self) -> str:
        """The study."""
        return self.path.parents[1].name


@dataclass
class OrderWriter:
    """What this command asks for. Mutable: stages are added and withdrawn.

    Attributes:
        study: The study's folder.
        names: What people call the stage of each key; it may grow.
        may_grow: Whether more may be asked for when all that is asked for is done.
    """

    study: Path
    names: Mapping[str, str]
    may_grow: bool = False
    _command: str = field(default_factory=lambda: uuid4().hex)
    _version: int = 0
    _stages: dict[str, OrderedStage] = field(default_factory=dict)

    @property
    def num_stages(self) -> int:
        """Stages that are asked for."""
        return len(self._stages)

    def ask_for(
        self,
        specs: Iterable[StageSpec],
        priority: Mapping[str, float],
        done: Set[str] = frozenset(),
    ) -> None:
        """Ask for more stages, and for none any more that is done.

        The first time, what is settled of orders that dead commands left is removed.

        Args:
            specs: Stages.
            priority: By key.
            done: Keys of all that are done.
        """
        for spec in specs:
            name = self.names.get(spec.key, spec.stage)
            self._stages[spec.key] = OrderedStage(spec, name, priority.get(spec.key, 0.0))
        for key in self._stages.keys() & done:
            del self._stages[key]
        is_first = self._version == 0
        self._write()
        if is_first:
            self._remove_settled()

    def withdraw(self, keys: Iterable[str]) -> None:
        """Ask for some stages no longer."""
        for key in keys:
            self._stages.pop(key, None)
        self._write()

    def keep(self) -> None:
        """Write the order again that a command of another machine took for that of a dead one."""
        if self._version and not self._path.exists():
            self._write()

    def remove(self) -> None:
        """Ask for nothing any more; a worker that makes such a stage saves it and lets go of it."""
        self._path.unlink(missing_ok=True)
        self._version = 0

    def _remove_settled(self) -> None:
        """Remove orders of commands that may be dead, if nothing of them is left to ask for.

        That is so when each of their stages is asked for here or done. No worker takes what
        another version of the code asks for.
        """
        home = self.study.parents[1]
        for path in order_files(home, self.study.name):
            order = None if path == self._path else read_order(path)
            if order is None or (is_here(order.owner) and not is_gone(order.owner)):
                continue
            stages = dict.fromkeys(one["stage"] for one in order.data)
            known = set(self._stages).union(*map(Store(home).finished_keys, stages))
            is_other = order.code != shared_code()
            if is_other or all(one["key"] in known for one in order.data):
                path.unlink(missing_ok=True)

    @property
    def _path(self) -> Path:
        return self.study / FOLDER / f"{self._command}.{self._version}.json"

    def _write(self) -> None:
        before = self._path
        self._version += 1
        self._path.parent.mkdir(parents=True, exist_ok=True)
        read = {key for one in self._stages.values() for key in one.spec.upstream.values()}
        order = {
            "owner": current_owner(),
            "code": shared_code(),
            "may_grow": self.may_grow,
            "done": sorted(read - self._stages.keys()),
            "stages": [_data(one) for one in self._stages.values()],
        }
        write_json(self._path, sealed(order))
        before.unlink(missing_ok=True)


def order_files(home: Path, study: str | None = None) -> list[Path]:
    """The files of what commands ask for, of one study or of all."""
    found = sorted((home / "studies").glob(f"{study or '*'}/{FOLDER}/*.json"))
    return [path for path in found if _NAME.fullmatch(path.name)]


def read_order(path: Path) -> Order | None:
    """Read what a command asks for; None where it was withdrawn meanwhile.

    Raises:
        RequestError: The file is damaged.
    """
    data = read_json(path)
    if not is_whole(data):
        if not path.exists():
            return None
        raise RequestError(
            f"what is asked of workers cannot be read: {str(path)!r} is damaged\n"
            "  remove the file and run the command of the study again"
        )
    done = frozenset(data["done"])
    return Order(path, data["owner"], data["code"], data["may_grow"], done, data["stages"])


def _data(one: OrderedStage) -> dict[str, Any]:
    spec = one.spec
    return {
        "stage": spec.stage,
        "key": spec.key,
        "config": spec.config,
        "upstream": dict(spec.upstream),
        "seed": spec.seed,
        "name": one.name,
        "priority": one.priority,
    }


def _stage(data: Mapping[str, Any]) -> OrderedStage:
    spec = StageSpec(data["stage"], data["config"], data["upstream"], data["seed"])
    return OrderedStage(spec, data["name"], data["priority"])
