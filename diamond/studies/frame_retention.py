"""What stays of imagined frames once all that reads them is done, and what is made again.

What went, or did not travel, is made again for who reads it. Scores, event logs and the digests of
all outputs stay.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from diamond.engine.files import is_in_use, locked
from diamond.engine.needed_stages import written_needs
from diamond.engine.output_names import FILMS_FILE
from diamond.engine.store import Store
from diamond.engine.study_history import LOCK_NAME, RUNNING_NAME
from diamond.errors import unknown
from diamond.plan.plan import Plan
from diamond.plan.stage_keys import StageSpec
from diamond.stages.registry import AFTER
from diamond.stages.rollouts import ROLLOUTS

Keep = Literal["all", "films", "none"]
KEEPS: tuple[Keep, ...] = get_args(Keep)
READERS = tuple(one.name for one in AFTER if ROLLOUTS.name in one.reads)
"""Stages that read imagined frames."""


def check_keep(text: str | None) -> Keep | None:
    """What of imagined frames is to stay, as an option says it; None where nothing was said.

    Raises:
        RequestError: There is no such choice.
    """
    for keep in KEEPS:
        if text == keep:
            return keep
    if text is None:
        return None
    raise unknown("--keep", text, KEEPS, "films are the starts that the report shows")


def to_make_again(
    store: Store, specs: Iterable[StageSpec], done: Iterable[str], keep: Keep | None
) -> set[str]:
    """Keys of stages of which outputs were dropped and are wanted.

    A stage that is to be made, or made again, reads them, or the user asked for more frames than
    there are.

    Args:
        specs: The stages of a command, each after those that it reads.
        done: Keys of those that are done.
        keep: What the user said is to stay; None where nothing was said.
    """
    finished, read = set(done), set[str]()
    found = set()
    for spec in reversed(list(specs)):
        if was_dropped(store, spec) and (spec.key in read or _is_asked_for(store, spec, keep)):
            found.add(spec.key)
        if spec.key in found or spec.key not in finished:
            read.update(spec.upstream.values())
    return found


def was_dropped(store: Store, spec: StageSpec) -> bool:
    """Whether a stage is finished and not all of its outputs are there."""
    return store.is_published(spec.stage, spec.key) and not store.has_all_files(
        spec.stage, spec.key
    )


def _is_asked_for(store: Store, spec: StageSpec, keep: Keep | None) -> bool:
    """Whether the user wants more frames of rollouts than there are."""
    if spec.stage != "rollouts":
        return False
    return keep == "all" or (keep == "films" and _has_nothing_to_show(store, spec))


def _has_nothing_to_show(store: Store, spec: StageSpec) -> bool:
    films = store.folder(spec.stage, spec.key) / FILMS_FILE
    return was_dropped(store, spec) and not films.exists()


@dataclass
class Dropping:
    """Drops frames of rollouts as soon as nothing waits for them. Mutable: it follows a command.

    Attributes:
        keep: What the user said is to stay; None where nothing was said: all.
        study: Name of the command's study.
    """

    store: Store
    keep: Keep | None
    study: str
    _waiting: dict[str, set[str]] = field(default_factory=dict)
    _before: dict[str, Mapping[str, str]] = field(default_factory=dict)

    def take_on(self, specs: Iterable[StageSpec], done: Iterable[str]) -> set[str]:
        """Follow the stages of a command; what nothing waits for goes at once.

        Args:
            done: Keys of those that are done.

        Returns:
            Keys of the stages that must be made again first.
        """
        specs = list(specs)
        again = to_make_again(self.store, specs, done, self.keep)
        for spec in specs:
            manifest = self.store.manifest(spec.stage, spec.key) if spec.key in again else None
            if manifest is not None:
                self._before[spec.key] = manifest["outputs"]
        left = {spec.key for spec in specs} - set(done) | again
        for spec in specs:
            if spec.stage == "rollouts":
                self._waiting.setdefault(spec.key, set()).update({spec.key} & left)
        for spec in specs:
            if spec.upstream.get("rollouts") in self._waiting and spec.key in left:
                self._waiting[spec.upstream["rollouts"]].add(spec.key)
        self._drop([key for key, waits in self._waiting.items() if not waits])
        return again

    def note_done(self, spec: StageSpec) -> list[str]:
        """Take note that a stage is done.

        Returns:
            What is wrong, in words, where what was made again is not what it was.
        """
        key = spec.key if spec.stage == "rollouts" else spec.upstream.get("rollouts", "")
        if key in self._waiting:
            self._waiting[key].discard(spec.key)
            if not self._waiting[key]:
                self._drop([key])
        return self._other_outputs(spec)

    def _other_outputs(self, spec: StageSpec) -> list[str]:
        before = self._before.pop(spec.key, None)
        manifest = self.store.manifest(spec.stage, spec.key)
        if before is None or manifest is None or manifest["outputs"] == before:
            return []
        return [
            f"{spec.stage} {spec.key}: the outputs that were made again, on {manifest['device']}, "
            "differ from those that were dropped, of which scores may be left: another machine or "
            "version made those."
        ]

    def _drop(self, keys: Iterable[str]) -> None:
        """Drop frames that no command waits for; no plan can be made meanwhile."""
        keys = [key for key in keys if self.store.has_all_files("rollouts", key)]
        if not keys or self.keep in (None, "all"):
            return
        with locked(self.store.home / "studies" / LOCK_NAME):
            waited_for = self._waited_for()
            for key in keys:
                if key not in waited_for and self.store.has_all_files("rollouts", key):
                    self._drop_one(key)

    def _drop_one(self, key: str) -> None:
        from diamond.studies.compared_frames import write_imagined_films  # noqa: PLC0415

        manifest = self.store.manifest("rollouts", key)
        if manifest is None:
            return

        def fill(folder: Path) -> None:
            if self.keep == "films":
                write_imagined_films(self.store, manifest, folder)

        self.store.keep_only("rollouts", key, manifest["outputs"], fill)

    def _waited_for(self) -> set[str]:
        """Keys of rollouts that other studies use whose commands are at work.

        Of the own study, which several commands may run, those that are not read yet.
        """
        found: set[str] = set()
        for lock in self.store.home.glob(f"studies/*/{RUNNING_NAME}"):
            folder = lock.parent
            for stages in (written_needs(folder) or {}).values() if is_in_use(lock) else ():
                readers = [(name, stages[name]) for name in READERS if name in stages]
                unread = not all(self.store.is_published(*reader) for reader in readers)
                if "rollouts" in stages and (unread or folder.name != self.study):
                    found.add(stages["rollouts"])
        return found


def dropped_note(plan: Plan, store: Store) -> list[str]:
    """A sentence on the arms that no frames are left of to be shown; none where there are some."""
    names = [
        f"{arm.name} ({arm.game})"
        for arm in plan.arms
        for spec in arm.runs[0].stages
        if spec.stage == "rollouts" and _has_nothing_to_show(store, spec)
    ]
    if not names:
        return []
    return [
        f"The frames that {', '.join(names)} imagined were scored and not kept (--keep none): no "
        "strip or film shows them. The same command with --keep films makes them again."
    ]
