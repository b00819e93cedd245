"""Tables of actions, a row for each frame that one was taken at: CSV or Parquet."""

import math
import re
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
KNOWN = (ACTION, REWARD, END, FRAME, EPISODE)
FORM = (
    f"a column {ACTION!r} of indices or words, or a column for each number of an action; where "
    f"they are known also {REWARD!r}, {END!r}, {FRAME!r}, {EPISODE!r}; row i is the action that "
    "leads from frame i to frame i + 1"
)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|[+-]?inf(inity)?", re.IGNORECASE)
_WHOLE = re.compile(r"[+-]?\d{1,18}")
_LEAST_RISES = 10
"""From how many rows on a number that always rises is no chance."""
_TRUTH = {"true": True, "false": False}
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
    except UnicodeDecodeError as error:
        raise RequestError(f"{where} is no text in UTF-8\n  save it as CSV in UTF-8") from error
    except (ValueError, pd.errors.ParserWarning) as error:
        raise RequestError(
            f"{where} cannot be read as a table: {str(error).strip()}\n  allowed: commas between "
            f"cells, and a point in a number; {FORM}"
        ) from error
    table.columns = pd.Index([str(column).strip() for column in table.columns])
    _check_header(list(table.columns), where)
    return table.reset_index(drop=True)


def _check_header(columns: Sequence[str], where: str) -> None:
    """Refuse names that are no header, or that are nearly those of columns of another meaning."""
    if len(columns) == 1 and (cut := next((one for one in ";\t" if one in columns[0]), None)):
        raise RequestError(
            f"{where} has one column, {columns[0]!r}: cells stand between {cut!r}\n"
            "  allowed: commas between cells, and a point in a number"
        )
    for place, column in enumerate(columns):
        if not column or column.startswith("Unnamed:") or column in columns[:place]:
            raise RequestError(
                f"{where}: column {place + 1} has no name of its own\n  a name for each column; "
                "pandas writes a column of numbers before the others: to_csv(..., index=False)"
            )
        meant = next((name for name in KNOWN if _is_nearly(column, name)), None)
        if meant is not None:
            raise RequestError(
                f"{where} has a column {column!r}: is {meant!r} meant?\n"
                f"  rename it: columns of other names are numbers of an action\n  allowed: {FORM}"
            )
    if all(map(_NUMBER.fullmatch, columns)):
        raise RequestError(
            f"{where} has no header: its first line is {', '.join(columns)!r}\n  allowed: {FORM}"
        )


def _is_nearly(column: str, name: str) -> bool:
    return column != name and column.casefold() in (name, f"{name}s")


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
    others = [str(key) for key in table if key not in KNOWN]
    remarks = [] if len(used) == len(table) else [left_out(num_frames)]
    names: tuple[str, ...] = ()
    if ACTION in table:
        actions = _column(used, ACTION, where)
        if others:
            remarks.append(f"columns that are not used: {', '.join(others)}")
    else:
        names, actions = tuple(others), _vector(used, others, where)
        steps = np.diff(actions, axis=0)
        if len(steps) >= _LEAST_RISES:
            remarks += [
                f"{name!r} rises from each row to the next: is it a time? It is taken for a number "
                "of the action: remove the column where it is none"
                for name, rises in zip(names, steps.min(axis=0) > 0, strict=True)
                if rises
            ]
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
    """Read cells as text and say what they are, so that no float is rounded and no word is lost."""
    table = pd.read_csv(path, dtype=str, na_filter=False, index_col=False, encoding="utf-8-sig")
    return table.apply(_typed)


def _typed(column: "pd.Series[Any]") -> "pd.Series[Any]":
    """Integers, floats, bool or words; what is empty is missing."""
    cells = [str(cell).strip() for cell in column]
    filled = [cell for cell in cells if cell.casefold() not in _EMPTY_WORDS]
    values: list[Any]
    if filled and all(map(_NUMBER.fullmatch, filled)):
        whole = len(filled) == len(cells) and all(map(_WHOLE.fullmatch, cells))
        empty = set(cells) - set(filled)
        values = [math.nan if cell in empty else float(cell) for cell in cells]
        return pd.Series([int(cell) for cell in cells] if whole else values, column.index)
    if filled and {cell.casefold() for cell in filled} <= set(_TRUTH):
        values = [_TRUTH.get(cell.casefold()) for cell in cells]
    else:
        values = [cell or None for cell in cells]
    return pd.Series(values, column.index, dtype=object)


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
    column = table[name].infer_objects()
    empty = column.isna().to_numpy()
    if empty.any():
        row = int(table.index[int(np.flatnonzero(empty)[0])])
        raise RequestError(
            f"{where}: column {name!r} is empty in row {row + 1} below the header, and in "
            f"{int(empty.sum()) - 1} more\n  every frame but the last has an action: nothing is "
            "guessed"
        )
    if not (pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column)):
        for cell in column:
            if not isinstance(cell, str):
                raise RequestError(
                    f"{where}: column {name!r} holds {cell!r}\n"
                    "  allowed: one number or one word in each cell"
                )
        return np.asarray(column, dtype=np.str_)
    found: NDArray[Any] = column.to_numpy()
    if found.dtype.kind == "f" and not np.isfinite(found).all():
        row = int(table.index[int(np.flatnonzero(~np.isfinite(found))[0])])
        raise RequestError(
            f"{where}: column {name!r} is infinite in row {row + 1} below the header\n"
            "  allowed: numbers"
        )
    return found
