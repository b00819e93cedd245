"""What a campaign remembers: a line of JSON for every case that came to its end, and references."""

import fcntl
import hashlib
import json
import os
import shutil
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TextIO

import numpy as np

import diamond as package
from tests.campaign import layout
from tests.campaign.processes import Command, end_strays

CLAIMS = """\
question = "Do three steps draw other frames than one?"
primary = "l1"
preset = "smoke"

[axes]
steps = [1, 3]

[[claims]]
name = "frames are not exact"
text = "No arm is exact."
expression = "l1[steps=1] + l1[steps=3] > 0.001"
"""
SEARCH = """\
question = "Which sampler draws best for its cost?"
preset = "smoke"
until = "fidelity"

[settings]
denoiser.updates = 80

[space]
steps = { int = [1, 4] }
churn = { float = [0, 4] }

[[objectives]]
metric = "l1"

[sampler]
startup_trials = 2

[budget]
trials = 3
"""
LONGER = "denoiser.updates=80 reward_end.updates=20 policy.updates=8"
SMOKE = ("--preset", "smoke")
COMMANDS: dict[str, tuple[str, ...]] = {
    "ablate": ("ablate", "steps=1,3", *SMOKE, "--set", LONGER),
    "train": ("train", *SMOKE),
    "online": ("ablate", "steps=1,3", *SMOKE, "--protocol", "online"),
    "sweep": ("sweep", "{files}/search.toml", "--jobs", "1"),
    "declared": ("ablate", "{files}/claims.toml"),
    "owned": ("ablate", "steps=1,3", *SMOKE, "--until", "fidelity", "--set", LONGER),
    "ray": (
        *("ablate", "steps=1,3", *SMOKE, "--until", "fidelity"),
        *("--set", "denoiser.updates=400 reward_end.updates=400"),
    ),
    "clock": ("ablate", "steps=1", *SMOKE, "--until", "rollouts", "--set", "denoiser.updates=400"),
}
"""What cases run; every one has a reference that nothing disturbed."""


@dataclass(frozen=True)
class Reference:
    """A home whose command nothing disturbed.

    Attributes:
        home: Left as it is.
        arguments: Of the command.
        content: What must be equal.
        seconds: That the command took.
    """

    home: Path
    arguments: tuple[str, ...]
    content: dict[str, str]
    seconds: float


@dataclass
class Case:
    """One case, and its result once it ends.

    Attributes:
        kind: Row of the table.
        number: Of the cases of its kind.
        folder: Its own, with ``home`` and what commands printed.
        what: What was done, in words.
        counted: Events of the kind that hit what they should.
        checkpoint: Of these, those where a stage had a checkpoint.
        missed: Events that hit nothing; they do not count.
        equal: Whether everything is as in the reference; None where that is not asked.
        twice: What was published or shown twice.
        running: Runs that MLflow shows as under way at the end.
        faults: What is wrong, in words; a case without any has passed.
        seconds: That it took.
    """

    kind: str
    number: int
    folder: Path
    what: list[str] = field(default_factory=list)
    counted: int = 0
    checkpoint: int = 0
    missed: int = 0
    equal: bool | None = None
    twice: list[str] = field(default_factory=list)
    running: int = 0
    faults: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def home(self) -> Path:
        return self.folder / "home"

    def line(self) -> str:
        """What is printed when it ends."""
        name = f"{self.kind} {self.number}: {'; '.join(self.what)}"
        if self.faults:
            return f"{name}\n  FAILED: " + "\n  ".join([*self.faults[:6], f"kept: {self.folder}"])
        return f"{name}: right ({self.seconds:.0f} s)"


class State:
    """The folder of a campaign."""

    def __init__(self, folder: Path, seed: int) -> None:
        """Lock the folder, remove half cases and what a killed campaign left at work."""
        self.folder = folder.absolute()
        self.seed = seed
        self.code = code_digest()
        self.homes.mkdir(parents=True, exist_ok=True)
        self._lock = self._hold()
        self._results = self.folder / "results.jsonl"
        self._writing = threading.Lock()
        self._making: dict[str, threading.Lock] = {name: threading.Lock() for name in COMMANDS}
        self._references: dict[str, Reference] = {}
        if strays := end_strays(self.folder):
            print(f"ended {strays} processes of a campaign that was killed")
        self._mend()
        for name, text in (("claims", CLAIMS), ("search", SEARCH)):
            (self.folder / f"{name}.toml").write_text(text)

    @property
    def homes(self) -> Path:
        return self.folder / "homes"

    def _hold(self) -> TextIO:
        lock = (self.folder / ".lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SystemExit(f"another campaign is at work in {self.folder}") from None
        return lock

    def _mend(self) -> None:
        """Forget a line that was cut, and the folders of cases without a line."""
        if self._results.exists():
            data = self._results.read_bytes()
            self._results.write_bytes(data[: data.rfind(b"\n") + 1])
        known = {row["folder"] for row in self.rows()}
        for path in self.homes.iterdir():
            if str(path) not in known:
                shutil.rmtree(path)

    def rows(self) -> list[dict[str, Any]]:
        """Results of all cases so far, of any code."""
        if not self._results.exists():
            return []
        return [json.loads(line) for line in self._results.read_text().splitlines()]

    def begin(self, kind: str, number: int, again: bool) -> tuple[Case, np.random.Generator]:
        """A case with a folder and a stream of its own, the same for the same seed and number.

        Args:
            kind: Row of the table.
            number: Of the cases of its kind.
            again: Whether it does not count.
        """
        parent = self.folder / "again" if again else self.homes
        folder = parent / f"{kind}-{self.code}-{self.seed}-{number}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        entropy = [self.seed, number, *kind.encode()]
        return Case(kind, number, folder), np.random.default_rng(entropy)

    def end(self, case: Case) -> None:
        """Write the result down, whole or not at all; the home of a case that passed is removed."""
        row = asdict(case) | {
            "folder": str(case.folder),
            "code": self.code,
            "seed": self.seed,
            "time": int(time.time()),
        }
        with self._writing, self._results.open("ab", buffering=0) as stream:
            stream.write(json.dumps(row).encode() + b"\n")
            os.fsync(stream.fileno())
        if not case.faults:
            shutil.rmtree(case.folder)

    def arguments(self, name: str) -> tuple[str, ...]:
        return tuple(word.format(files=self.folder) for word in COMMANDS[name])

    def reference(self, name: str) -> Reference:
        """The reference of a command: made once for this code, then read."""
        with self._making[name]:
            if name not in self._references:
                self._references[name] = self._reference(name)
            return self._references[name]

    def _reference(self, name: str) -> Reference:
        folder = self.folder / "references" / f"{name}-{self.code}"
        note, arguments = folder / "done.json", self.arguments(name)
        if not note.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            began = time.monotonic()
            command = Command(folder, arguments)
            if command.wait() != 0:
                raise RuntimeError(f"the command of {name} fails undisturbed: {command.errors}")
            beside = folder / "new.json"
            beside.write_text(json.dumps({"seconds": time.monotonic() - began}))
            beside.rename(note)
        home, seconds = folder / "home", json.loads(note.read_text())["seconds"]
        return Reference(home, arguments, layout.content(home), seconds)


def judge(case: Case, reference: Reference) -> None:
    """Hold the home of a case that came to its end against the reference."""
    found = layout.content(case.home)
    differing = sorted(
        name
        for name in found.keys() | reference.content.keys()
        if found.get(name) != reference.content.get(name)
    )
    case.equal = not differing
    case.twice += layout.shown_twice(case.home)
    case.running = layout.running(case.home)
    case.faults += [f"differs: {name}" for name in differing[:5]] + case.twice
    if len(differing) > 5:
        case.faults.append(f"and {len(differing) - 5} more differ")
    if case.running:
        case.faults.append(f"MLflow shows {case.running} runs RUNNING")
    case.faults += [f"left over: {name}" for name in layout.leftovers(case.home)[:5]]


def finish(case: Case, arguments: tuple[str, ...]) -> None:
    """Run the command to its end, which must be a good one."""
    command = Command(case.folder, arguments)
    if command.wait() != 0:
        case.faults.append(f"the command fails in the end: {command.last_words}")


def code_digest() -> str:
    """What the product is made of, short: counts of other code are not mixed with its own."""
    root = Path(package.__file__).parent
    endings = {".py", ".json", ".j2", ".js", ".css"}
    hasher = hashlib.sha256()
    for path in sorted(path for path in root.rglob("*") if path.suffix in endings):
        hasher.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return hasher.hexdigest()[:10]
