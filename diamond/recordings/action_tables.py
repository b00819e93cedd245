"""Tables of actions, a row for each frame that one was taken at: CSV or Parquet."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from diamond.errors import RequestError, unknown
from diamond.recordings.raw_episodes import FLAG, check_length, left_out

TABLE_SUFFIXES = (".csv", ".parquet")
ACTIONS_FLAG = "--actions"
ACTION, REWARD, END, FRAME, EPISODE = "action", "reward", "terminated", "frame", "episode"
FORM = (
    f"a column {ACTION!r} of indices or words, or a column for each number of an action; where "
    f"they are known also {REWARD!r}, {END!r}, {FRAME!r}, {EPISODE!r}; row i is the action that leads "
    "from frame i to frame i + 1"
)
_EMPTY_WORDS = {"", "nan", "na", "n/a", "null", "none", "<na>"}
"""What stands for an empty cell among numbers; among words they are words."""


@dataclass(frozen=True)
class TableActions:
    """What a table says of an episode.

    Attributes:
        actions: (t - 1,) words, integers or floats, or (t - 1, k) float64.
        names: Of the numbers of an action; empty where an action is one of several.
        rewards: (t - 1,), None where there is no column.
        ends: (t - 1,), None where there is no column.
        remarks: Rows and columns that are not used.
    """

    actions: NDArray[Any]
    names: tuple[str, ...]
    rewards: NDArray[Any] | None
    ends: NDArray[Any] | None
    remarks: tuple[str, ...]


def read_table(path: Path, flag: str = FLAG) -> pd.DataFrame:
    """Read a table.

    Args:
        path: A `.csv` or `.parquet` file.
        flag: The option that names it, for errors.

    Raises:
        RequestError: There is none, it cannot be read, or a column has no name.
    """
    where = f"{flag} {str(path)!r}"
    suffix = path.suffix.lower()
    if not path.is_file() or suffix not in TABLE_SUFFIXES:
        told = f"ends in {path.suffix!r}" if path.is_file() else "is no file"
        raise RequestError(f"{where} {told}\n  allowed: .csv or .parquet with {FORM}")
    try:
        with warnings.catch_warnings(action="error"):
            table = pd.read_parquet(path) if suffix == ".parquet" else _read_csv(path)
    except (ValueError, pd.errors.ParserWarning) as error:
        raise RequestError(
            f"{where} cannot be read as a table: {str(error).strip()}\n  allowed: {FORM}"
        ) from error
    table.columns = pd.Index([str(column).strip() for column in table.columns])
    for place, column in enumerate(table.columns):
        if not column or column.startswith("Unnamed:") or column in table.columns[:place]:
            raise RequestError(
                f"{where}: column {place + 1} has no name of its own\n  a name for each column; "
                "pandas writes a column of numbers before the others: to_csv(..., index=False)"
            )
    return table.reset_index(drop=True)


def rows_of(table: pd.DataFrame, name: str, where: str) -> pd.DataFrame:
    """The rows of one episode of a table of several; their index stays that of the table.

    Args:
        table: All rows.
        name: The episode.
        where: The option and the file, for errors.

    Raises:
        RequestError: The table does not say to which episode rows belong, or has none of this.
    """
    if EPISODE not in table:
        raise RequestError(
            f"{where} has no column {EPISODE!r}, and there are several episodes\n"
            f"  allowed: the name of a file or a folder in each row, such as {name!r}"
        )
    episodes = table[EPISODE].astype(str)
    if name not in set(episodes):
        raise unknown("episode", name, set(episodes), f"{where} has no row of it: add them")
    return table[episodes == name]


def table_actions(
    table: pd.DataFrame, where: str, num_frames: int, numbers: Sequence[int] = ()
) -> TableActions:
    """Read what a table says of an episode.

    Args:
        table: The rows of the episode.
        where: The option and the file, for errors.
        num_frames: t.
        numbers: The number in the name of each frame; empty where frames have none.

    Raises:
        RequestError: Rows are too few or too many, a cell is empty, frames are missing, or a column
            has another type.
    """
    if FRAME in table:
        table = _by_frame(table, where, num_frames, numbers)
    check_length(len(table), num_frames, where)
    # Of as many rows as frames the last leads nowhere: its cells may be empty.
    used = table.iloc[: num_frames - 1]
    others = [str(key) for key in table if key not in (ACTION, REWARD, END, FRAME, EPISODE)]
    remarks = [] if len(used) == len(table) else [left_out(num_frames)]
    names: tuple[str, ...] = ()
    if ACTION in table:
        actions = _column(used, ACTION, where)
        if others:
            remarks.append(f"columns that are not used: {', '.join(others)}")
    else:
        names, actions = tuple(others), _vector(used, others, where)
    return TableActions(
        actions,
        names,
        _column(used, REWARD, where) if REWARD in table else None,
        _column(used, END, where) if END in table else None,
        tuple(remarks),
    )


def same_kind(found: Sequence[TableActions]) -> list[NDArray[Any]]:
    """The actions of all episodes of a source: floats that are all whole are indices.

    Args:
        found: What the tables say.
    """
    actions = [one.actions for one in found]
    if any(one.ndim != 1 or one.dtype.kind not in "iuf" for one in actions):
        return actions
    if all((one == np.rint(one)).all() for one in actions):
        return [one.astype(np.int64) for one in actions]
    return [one.astype(np.float64) for one in actions]


def _read_csv(path: Path) -> pd.DataFrame:
    return pd.read_csv(
        path,
        skipinitialspace=True,
        index_col=False,
        encoding="utf-8-sig",
        float_precision="round_trip",
        keep_default_na=False,
        na_values=["", "nan", "NaN", "NAN"],
    )


def _by_frame(
    table: pd.DataFrame, where: str, num_frames: int, numbers: Sequence[int]
) -> pd.DataFrame:
    """Rows in the order of their frames, of which none is missing."""
    found = _column(table, FRAME, where)
    if found.dtype.kind not in "iuf" or (found != np.rint(found)).any():
        raise RequestError(f"{where}: {FRAME!r} holds {found[0]!r}\n  allowed: whole numbers")
    order = np.argsort(found, kind="stable")
    frames = [int(frame) for frame in found[order]]
    if not numbers and frames == list(range(1, num_frames + 1)):
        return table.iloc[order]
    for before, after in pairwise(frames):
        if before == after:
            raise RequestError(f"{where}: {FRAME!r} {before} is there twice\n  remove one row")
    for frame, expected in zip(frames, numbers or range(num_frames), strict=False):
        if frame != expected:
            raise RequestError(
                f"{where}: {FRAME!r} lacks {expected}: after the rows before it comes {frame}\n"
                "  every frame but the last has a row: nothing is guessed; they count from 0, or, "
                "where every frame has a row, from 1"
            )
    return table.iloc[order]


def _vector(table: pd.DataFrame, names: Sequence[str], where: str) -> NDArray[Any]:
    columns = {name: _column(table, name, where) for name in names}
    told = "there is nothing else"
    for name, column in columns.items():
        if column.dtype.kind not in "biuf":
            told = f"column {name!r} holds no numbers"
            break
        if len(columns) == 1 and column.dtype.kind != "f":
            told = f"column {name!r} holds whole numbers: an index, or an amount?"
            break
    else:
        if columns:
            return np.stack(list(columns.values()), axis=1).astype(np.float64)
    raise RequestError(f"{where} has no column {ACTION!r}, and {told}\n  allowed: {FORM}")


def _column(table: pd.DataFrame, name: str, where: str) -> NDArray[Any]:
    """A column as bool, numbers or words."""
    column = table[name]
    empty = column.isna().to_numpy()
    if not empty.any() and not _are_numbers(column):
        cells = list(column)
        if not all(isinstance(cell, str) for cell in cells):
            raise RequestError(
                f"{where}: column {name!r} holds {cells[0]!r}\n"
                "  allowed: one number or one word in each cell"
            )
        empty = _empty_among_numbers(cells)
        if not empty.any():
            return np.char.strip(np.asarray(cells, dtype=np.str_))
    if empty.any():
        row = int(table.index[int(np.flatnonzero(empty)[0])])
        raise RequestError(
            f"{where}: column {name!r} is empty in row {row + 1} below the header, and in "
            f"{int(empty.sum()) - 1} more\n  every frame but the last has an action: nothing is "
            "guessed"
        )
    found: NDArray[Any] = column.to_numpy()
    if found.dtype.kind == "f" and not np.isfinite(found).all():
        row = int(table.index[int(np.flatnonzero(~np.isfinite(found))[0])])
        raise RequestError(
            f"{where}: column {name!r} is infinite in row {row + 1} below the header\n"
            "  allowed: numbers"
        )
    return found


def _are_numbers(column: "pd.Series[Any]") -> bool:
    return bool(pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column))


def _empty_among_numbers(cells: Sequence[str]) -> NDArray[np.bool_]:
    """Which cells stand for no number in a column that otherwise holds numbers."""
    empty = np.array([cell.strip().casefold() in _EMPTY_WORDS for cell in cells])
    rest = [cell for cell, is_empty in zip(cells, empty, strict=True) if not is_empty]
    return empty if rest and all(map(_is_number, rest)) else np.zeros_like(empty)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
