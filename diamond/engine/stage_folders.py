"""Where the stages of a home lie: finished ones, what is left of some, unfinished ones."""

import os
import re
from pathlib import Path

from diamond.plan.stage_keys import KEY_DIGITS

STAGES_FOLDER = "stages"
KEPT = "kept"
WORK = "work"
ATTEMPTS = "attempts"
_KEY = re.compile(rf"[0-9a-f]{{{KEY_DIGITS}}}")


class StageFolders:
    """The folders of all stages under a home."""

    def __init__(self, home: Path) -> None:
        """Name the home; nothing is read or written."""
        self.home = home

    def folder(self, stage: str, key: str) -> Path:
        """Where a finished stage is, or what is kept of it where that is all."""
        whole, kept = self._whole(stage, key), self._kept(stage, key)
        return kept if not whole.exists() and kept.exists() else whole

    def _whole(self, stage: str, key: str) -> Path:
        return self.home / STAGES_FOLDER / stage / key

    def _kept(self, stage: str, key: str) -> Path:
        return self.home / KEPT / stage / key

    def work(self, stage: str, key: str) -> Path:
        """Where an unfinished stage is."""
        return self.home / WORK / stage / key

    def finished_keys(self, stage: str) -> frozenset[str]:
        """Keys of the finished stages of a name, by listings of folders alone.

        One that lost files on purpose counts, unless it is to be made again: then there is work on
        it.
        """
        whole, kept, work = (
            self._listed(self.home / part / stage) for part in (STAGES_FOLDER, KEPT, WORK)
        )
        return frozenset(whole | (kept - work))

    @staticmethod
    def _listed(folder: Path) -> set[str]:
        try:
            return set(os.listdir(folder))
        except (FileNotFoundError, NotADirectoryError):
            return set()

    def stage_names(self) -> tuple[str, ...]:
        """The stages that a home has a folder of, those of families that are gone included."""
        found: set[str] = set()
        for part in (STAGES_FOLDER, KEPT, WORK):
            found |= self._listed(self.home / part)
        return tuple(sorted(name for name in found if self.keys(name)))

    def folders(self, stage: str, key: str) -> list[Path]:
        """The folders of a stage that are there: of what is finished, and of the work on it."""
        places = (self._whole(stage, key), self._kept(stage, key), self.work(stage, key))
        return [folder for folder in places if folder.is_dir()]

    def keys(self, stage: str) -> frozenset[str]:
        """Keys of the stages of a name that a home has a folder of, finished or not."""
        found: set[str] = set()
        for part in (STAGES_FOLDER, KEPT, WORK):
            found |= self._listed(self.home / part / stage)
        # Whatever else lies there was not made by this project.
        return frozenset(name for name in found if _KEY.fullmatch(name))
