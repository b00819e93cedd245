"""The pictures of a search: history or front, importance, slices, reports to the pruner."""

from itertools import combinations

from matplotlib.figure import Figure

from diamond.report.figures.pictures import Picture, figure_files, file_part
from diamond.report.search.search_figures import (
    front_figure,
    history_figure,
    importance_figure,
    reports_figure,
    slice_rows,
    slices_figure,
)
from diamond.results.search import Objective, Search


def search_pictures(search: Search) -> list[Picture]:
    """Draw the history or the front, importance, slices and reports, where there are values."""
    pictures = []
    if search.valued():
        pictures += [_history(search)] if search.is_single else _fronts(search)
    for entry in search.importance:
        if entry.rows:
            about = "How much each parameter matters" + _to(search, entry.objective)
            name = _named(search, "importance", entry.objective)
            figure = importance_figure(search, entry)
            pictures.append(_picture("importance", about, name, figure))
    for index in range(len(search.objectives)):
        rows = slice_rows(search)
        for row, parameters in enumerate(rows, start=1):
            names = sorted(each.name for each in parameters)
            about = f"Against {', '.join(names)}{_to(search, index)}"
            name = _named(search, "slices", index) + (f"-{row}" if len(rows) > 1 else "")
            figure, num_far = slices_figure(search, index, parameters)
            pictures.append(_picture("slices", about, name, figure, _beyond_note(num_far)))
    if any(trial.intermediate for trial in search.trials):
        about = "What trials reported to the pruner"
        pictures.append(_picture("reports", about, "reports", reports_figure(search)))
    return pictures


def _history(search: Search) -> Picture:
    figure, num_far = history_figure(search)
    note = " ".join(filter(None, (_valueless_note(search), _beyond_note(num_far))))
    return _picture("search", "Value of each trial, and the best so far", "history", figure, note)


def _fronts(search: Search) -> list[Picture]:
    pairs = list(combinations(range(len(search.objectives)), 2))
    found = []
    for y, x in pairs:
        figure, num_far = front_figure(search, x, y)
        of = [search.objectives[index] for index in (y, x)]
        about = "Every trial by its objectives, and the front"
        if len(pairs) > 1:
            about += f": {of[0].label} and {of[1].label}"
        name = "front" + ("" if len(pairs) == 1 else f"-{_key(of[0])}-{_key(of[1])}")
        note = " ".join(filter(None, (_valueless_note(search), _beyond_note(num_far))))
        found.append(_picture("search", about, name, figure, note))
    return found


def _key(objective: Objective) -> str:
    return f"{objective.name}-t{objective.at}" if objective.at.isdigit() else objective.name


def _named(search: Search, name: str, objective: int) -> str:
    return name if search.is_single else f"{name}-{_key(search.objectives[objective])}"


def _to(search: Search, objective: int) -> str:
    return "" if search.is_single else f": {search.objectives[objective].label}"


def _picture(role: str, title: str, name: str, figure: Figure, note: str = "") -> Picture:
    stem = f"figures/{file_part(name)}"
    return Picture("", role, title, f"{stem}.svg", figure_files(figure, stem), note)


def _beyond_note(num_far: int) -> str:
    if not num_far:
        return ""
    head = "1 trial is" if num_far == 1 else f"{num_far} trials are"
    return f"{head} far worse than most, beyond the edge; the table of all trials has the values."


def _valueless_note(search: Search) -> str:
    """Say which trials are not drawn because they have no value."""
    counts = [(state, len(search.in_state(state))) for state in ("pruned", "failed", "running")]
    told = ", ".join(f"{count} {state}" for state, count in counts if count)
    return f"Not drawn, for want of values: {told}." if told else ""
