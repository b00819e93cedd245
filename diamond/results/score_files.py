"""Files of scores, ``{game: [score of each run]}``: read and checked, never mended."""

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diamond.config.game_names import GAMES
from diamond.errors import RequestError, unknown

EXAMPLE = '{"Boxing": [81.2, 88.0], "Pong": [20.1, 19.4]}'
EVALUATION = "evaluation"
"""What the document of `diamond evaluate` says it is."""
LARGEST_SCORE = 1e12
"""No game gives as many points; sums of squares below it stay finite."""


@dataclass(frozen=True, slots=True)
class ScoreFile:
    """Scores of one agent, in points of the game.

    Fields:
        label: Name of the agent: that of the file without its suffix.
        path: Where the scores come from.
        scores: A score for each run, by game, in the order of `GAMES`; as many runs in each game.
    """

    label: str
    path: Path
    scores: dict[str, tuple[float, ...]]

    @property
    def games(self) -> tuple[str, ...]:
        """The games of the file, in the order of `GAMES`."""
        return tuple(self.scores)

    @property
    def num_runs(self) -> int:
        """Number of runs of every game."""
        return len(next(iter(self.scores.values())))


def read_score_files(paths: Sequence[Path]) -> list[ScoreFile]:
    """Read files of scores.

    Raises:
        RequestError: A file cannot be read, is not of the form above, names an unknown game, has
            unequal numbers of runs, or two files have the same label.
    """
    seen: dict[str, Path] = {}
    for path in paths:
        label = path.stem
        if label in seen:
            raise RequestError(
                f"two files have the label {label!r}: {str(seen[label])!r} and {str(path)!r}\n"
                "  the label is the name without its suffix; rename one, or name it once"
            )
        seen[label] = path
    return [read_score_file(path) for path in paths]


def read_score_file(path: Path) -> ScoreFile:
    """Read one file of scores, or what `diamond evaluate --json` printed: the score of one run.

    Raises:
        RequestError: As in `read_score_files`.
    """
    data = _load(path)
    if isinstance(data, dict) and data.get("kind") == EVALUATION:
        data = data.get("scores")
    if not isinstance(data, dict):
        raise _refused(path, f"it holds {_kind(data)}, not an object of games")
    if not data:
        raise _refused(path, "it holds no game")
    for game in data:
        if game not in GAMES:
            raise unknown("game", game, GAMES, f"mend the name in {str(path)!r}")
    scores = {game: _runs(path, game, data[game]) for game in GAMES if game in data}
    _check_runs(path, scores)
    return ScoreFile(path.stem, path, scores)


def _load(path: Path) -> Any:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise _refused(path, "there is no such file") from error
    except OSError as error:
        raise _refused(path, f"{error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise _refused(path, "it is not text in UTF-8") from error
    try:
        return json.loads(text, object_pairs_hook=lambda pairs: _unique(path, pairs))
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise _refused(path, f"it is not JSON: {error.msg} at {where}") from error
    except (ValueError, RecursionError) as error:
        raise _refused(path, f"it is not JSON that can be read: {error}") from error


def _unique(path: Path, pairs: list[tuple[str, Any]]) -> dict[str, object]:
    """Build an object; JSON itself would silently keep the last of two equal keys."""
    repeated = [key for key, count in Counter(key for key, _ in pairs).items() if count > 1]
    if repeated:
        raise _refused(path, f"it names {repeated[0]!r} twice")
    return dict(pairs)


def _runs(path: Path, game: str, value: Any) -> tuple[float, ...]:
    if not isinstance(value, list):
        raise _refused(path, f"{game} holds {_kind(value)}, not a list of scores")
    if not value:
        raise _refused(path, f"{game} has no score")
    return tuple(_score(path, game, index, entry) for index, entry in enumerate(value))


def _score(path: Path, game: str, index: int, value: Any) -> float:
    where = f"score {index + 1} of {game}"
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _refused(path, f"{where} is {_kind(value)}, not a number")
    if isinstance(value, float) and not math.isfinite(value):
        raise _refused(path, f"{where} is {value}, not a finite number")
    if abs(value) > LARGEST_SCORE:
        raise _refused(path, f"{where} is beyond {LARGEST_SCORE:.0e}, more than any game gives")
    return float(value)


def _check_runs(path: Path, scores: dict[str, tuple[float, ...]]) -> None:
    by_count: dict[int, list[str]] = {}
    for game, runs in scores.items():
        by_count.setdefault(len(runs), []).append(game)
    if len(by_count) > 1:
        told = "; ".join(
            f"{count} {'run' if count == 1 else 'runs'}: {', '.join(games)}"
            for count, games in sorted(by_count.items())
        )
        raise RequestError(
            f"games of {str(path)!r} differ in their number of runs\n  {told}\n"
            "  give every game the same number: pooled scores would weigh the games unequally"
        )


def _kind(value: Any) -> str:
    """Name a JSON value for a message."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return f"the text {value[:40]!r}"
        case dict():
            return "an object"
        case list():
            return "a list"
        case _:
            return f"the number {str(value)[:40]}"


def _refused(path: Path, why: str) -> RequestError:
    return RequestError(
        f"cannot use {str(path)!r} as scores: {why}\n"
        f"  allowed: an object from game to the score of each run, such as\n    {EXAMPLE}"
    )
