"""The trials of a sweep on their way from one home to another, as a journal of Optuna."""

from pathlib import Path

import optuna
from optuna.storages import BaseStorage

from diamond.errors import RequestError
from diamond.sweep.addresses import default_storage
from diamond.sweep.proposals import MARK, quiet
from diamond.sweep.storage import find_storage, open_storage, storage_errors


def take_trials(home: Path, study: str, journal: Path) -> None:
    """Write the trials of a sweep into a journal of their own.

    Args:
        home: The home.
        study: Name of the sweep.
        journal: The file to make.

    Raises:
        RequestError: The journal of the home does not have them.
    """
    storage = find_storage(default_storage(home))
    if storage is None or study not in _names(storage):
        raise RequestError(
            f"the trials of sweep {study!r} are not in the journal of this home, so it cannot "
            "travel: it was run with --storage\n"
            "  who shares that storage needs no file; its stages are shared by --warm-start"
        )
    _copy(study, storage, open_storage(str(journal)))


def bring_trials(home: Path, study: str, journal: Path) -> None:
    """Bring the trials of a sweep into the journal of a home that has no such sweep.

    Args:
        home: The home.
        study: Name of the sweep.
        journal: What `take_trials` made.

    Raises:
        RequestError: The journal has other trials of that name.
    """
    address = default_storage(home)
    source, target = open_storage(str(journal)), open_storage(address)
    with storage_errors("write to", address):
        if study in _names(target):
            _check_left(study, source, target)
            target.delete_study(target.get_study_id_from_name(study))
        _copy(study, source, target)


def _check_left(study: str, source: BaseStorage, target: BaseStorage) -> None:
    """Refuse trials that are not what an import that was cut short left."""
    marks = [
        storage.get_study_user_attrs(storage.get_study_id_from_name(study)).get(MARK)
        for storage in (source, target)
    ]
    if marks[0] != marks[1]:
        raise RequestError(
            f"the journal of this home has other trials of a sweep {study!r}\n"
            "  give the file a home of its own with --home"
        )


def _copy(study: str, source: BaseStorage, target: BaseStorage) -> None:
    with quiet():
        optuna.copy_study(from_study_name=study, from_storage=source, to_storage=target)


def _names(storage: BaseStorage) -> set[str]:
    return {one.study_name for one in storage.get_all_studies()}
