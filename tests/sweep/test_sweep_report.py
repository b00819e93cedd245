"""The report of a sweep: figures, page, tables and the terminal table."""

import copy
import csv
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image
from rich.console import Console

from diamond.cli.result_view import show_result
from diamond.report.answer.answers import answered
from diamond.report.figures.figure_style import figure_bytes
from diamond.report.page import write_report
from diamond.report.render import ReportPaths
from diamond.report.search.search_figures import (
    front_figure,
    history_figure,
    importance_figure,
    reports_figure,
    slice_rows,
    slices_figure,
)
from diamond.report.search.search_pictures import search_pictures
from diamond.report.search.search_prose import CAVEAT
from diamond.report.search.search_tables import (
    constraints_table,
    importance_table,
    leading_table,
    space_table,
    trials_csv,
    trials_table,
)
from tests.commands import run_script
from tests.sweep_documents import (
    MALICIOUS,
    SKILL,
    TIME,
    all_failed,
    confirmed,
    constant,
    failed,
    one_objective,
    result,
    sampled,
    search,
    sweep,
    three_objectives,
    trial,
    two_objectives,
)

# Reading the document.


def test_the_leading_trials_are_the_front_or_the_five_best_feasible_ones() -> None:
    doc = one_objective()
    leading = [each.values[0] for each in search(doc).leading()]
    assert (
        leading == sorted((t["values"][0] for t in doc["trials"] if t["values"]), reverse=True)[:5]
    )
    barred = [each | {"feasible": each["number"] != doc["best"]} for each in doc["trials"]]
    assert doc["best"] not in [t.number for t in search(doc | {"trials": barred}).leading()]
    two = two_objectives()
    assert [each.number for each in search(two).leading()] == two["front"]


def test_reports_of_instances_are_running_means() -> None:
    pruner = {"name": "wilcoxon", "at": [], "what": "instances"}
    one = trial(0, [0.2], intermediate={"10": 4.0, "2": 1.0})
    doc = sweep([one], (SKILL,), pruner=pruner)
    assert search(doc).reports(search(doc).trials[0]) == [(1, 1.0), (2, 2.5)]
    other = search(doc | {"pruner": None})
    assert other.reports(other.trials[0]) == [(2, 1.0), (10, 4.0)]


# Figures.


def points(axes: Axes, label: str) -> list[list[float]]:
    """Where the marks of a kind stand."""
    marks = next(one for one in axes.collections if one.get_label() == label)
    return sorted(np.asarray(marks.get_offsets()).tolist())


def of_legend(figure: Figure) -> set[str]:
    return {text.get_text() for text in figure.legends[0].get_texts()}


def test_far_worse_trials_lie_beyond_the_edge_and_are_counted() -> None:
    trials = [trial(number, [0.1 * number, 10.0 + number]) for number in range(10)]
    doc = sweep([*trials, trial(10, [-70.0, 30.0])], (SKILL, TIME))
    figure, num_far = front_figure(search(doc), 1, 0)
    assert num_far == 1
    low, high = figure.axes[0].get_ylim()
    assert -2.0 < low < 0.0 and high > 0.9
    note = search_pictures(search(doc))[0].note
    assert note.startswith("1 trial is far worse than most, beyond the edge")
    good = sweep([*trials, trial(10, [70.0, 30.0])], (SKILL, TIME))
    assert front_figure(search(good), 1, 0)[1] == 0


def test_errors_of_many_sizes_have_a_logarithmic_scale() -> None:
    for values, kind in ([0.1, 3.1], "log"), ([0.1, 2.9], "linear"), ([0.0, 3.1], "linear"):
        doc = sweep([trial(n, [v]) for n, v in enumerate(values)], (TIME,))
        assert history_figure(search(doc))[0].axes[0].get_yscale() == kind
    more = sweep([trial(0, [0.1]), trial(1, [3.1])], (SKILL,))
    assert history_figure(search(more))[0].axes[0].get_yscale() == "linear"


def test_the_front_stands_out_from_the_other_trials() -> None:
    doc = two_objectives(16)
    figure, _ = front_figure(search(doc), 1, 0)
    axes = figure.axes[0]
    by_number = {t["number"]: t["values"][::-1] for t in doc["trials"] if t["values"]}
    barred = [t["number"] for t in doc["trials"] if not t["feasible"]]
    assert points(axes, "on the front") == sorted(by_number[n] for n in doc["front"])
    assert points(axes, "breaks a constraint") == sorted(by_number[n] for n in barred)
    others = set(by_number) - {*doc["front"], *barred}
    assert points(axes, "trial") == sorted(by_number[n] for n in others)
    assert of_legend(figure) == {"trial", "on the front", "breaks a constraint", "baseline"}
    note = search_pictures(search(doc))[0].note
    assert note == "Not drawn, for want of values: 1 failed."


def test_three_objectives_have_a_figure_for_each_pair() -> None:
    doc = three_objectives(8)
    names = [picture.shown for picture in search_pictures(search(doc)) if picture.role == "search"]
    assert len(set(names)) == 3
    figure, _ = front_figure(search(doc), 2, 1)
    assert figure.axes[0].get_ylabel() == "ms per imagined frame [ms]\n(lower is better)"
    assert figure.axes[0].get_xlabel() == "L1, t=10\n(lower is better)"


def test_the_history_draws_the_best_so_far_at_the_numbers_of_the_trials() -> None:
    doc = one_objective()
    figure, _ = history_figure(search(doc))
    assert of_legend(figure) == {"trial", "best so far", "baseline"}
    values = {t["number"]: t["values"][0] for t in doc["trials"] if t["values"]}
    assert points(figure.axes[0], "trial") == [[n, v] for n, v in sorted(values.items())]
    best = next(line for line in figure.axes[0].lines if line.get_label() == "best so far")
    drawn = np.asarray(best.get_xydata()).tolist()
    assert drawn == [
        [n, max(v for number, v in values.items() if number <= n)] for n in range(len(drawn))
    ]
    # A number that the result does not have stays empty.
    apart = doc | {"trials": [t for t in doc["trials"] if t["number"] != 1]}
    shown = points(history_figure(search(apart))[0].axes[0], "trial")
    assert shown == [[n, v] for n, v in sorted(values.items()) if n != 1]


def test_slices_name_conditions_and_have_the_scales_of_the_space() -> None:
    doc = two_objectives(16)
    rows = slice_rows(search(doc))
    assert [each.name for row in rows for each in row] == [
        "steps",
        "order",
        "churn",
        "sigma_max",
    ]
    figure, _ = slices_figure(search(doc), 1, rows[0])
    *panels, _ = figure.axes
    assert [axes.get_xlabel() for axes in panels] == [
        "churn\nonly with order = 2\nbaseline 0.0 lies outside", "order", "sigma_max", "steps",
    ]  # fmt: skip
    assert [axes.get_xscale() for axes in panels] == ["linear", "linear", "log", "linear"]
    assert [text.get_text() for text in panels[1].get_xticklabels()] == ["1", "2"]
    drawn = [one for marks in panels[3].collections for one in np.asarray(marks.get_offsets())]
    valued = [t for t in doc["trials"] if t["values"]]
    assert sorted(each.tolist() for each in drawn) == sorted(
        [t["params"]["steps"], t["values"][1]] for t in valued
    )


def test_importance_draws_the_shares_of_the_document() -> None:
    doc = two_objectives(16)
    doc["importance"][1] = {"objective": 1, "reason": "it is constant", "rows": []}
    figure = importance_figure(search(doc), search(doc).importance[0])
    axes = figure.axes[0]
    shares = {row["name"]: row["value"] for row in doc["importance"][0]["rows"]}
    widths = [bar.get_width() for bar in axes.patches if isinstance(bar, Rectangle)]
    names = [text.get_text() for text in axes.get_yticklabels()]
    assert dict(zip(names, widths, strict=True)) == pytest.approx(shares)
    drawn = [each.shown for each in search_pictures(search(doc)) if each.role == "importance"]
    assert drawn == ["figures/importance-skill_copy_l1_fg.svg"]
    assert importance_table(search(doc)).columns[1:] == ("L1 skill over copy last, changed pixels",)


def test_reports_part_those_that_were_pruned() -> None:
    doc = one_objective()
    figure = reports_figure(search(doc))
    axes = figure.axes[0]
    pruned = [t for t in doc["trials"] if t["state"] == "pruned"]
    assert sum(line.get_label() == "pruned" for line in axes.lines) == len(pruned) == 4
    assert axes.get_xlabel() == "updates of the denoiser"
    assert of_legend(figure) == {"pruned", "ran to its end", f"best (trial {doc['best']})"}


def test_names_of_the_document_are_no_mathematics_in_figures() -> None:
    doc = one_objective(8)
    objective = SKILL | {"label": "$\\frac{"}
    figure, _ = history_figure(search(doc | {"objectives": [objective]}))
    assert figure_bytes(figure, "png").startswith(b"\x89PNG")


def test_the_terminal_needs_no_figures_and_figures_leave_no_global_state() -> None:
    script = (
        "import sys\n"
        "from diamond.cli.result_view import show_result\n"
        "assert 'matplotlib' not in sys.modules and 'optuna' not in sys.modules\n"
        "from matplotlib import rcParams\n"
        "def settings(): return {k: rcParams[k] for k in rcParams if k != 'backend'}\n"
        "before = settings()\n"
        "from diamond.report.figures.figure_style import figure_bytes\n"
        "from diamond.report.page import write_report\n"
        "assert 'optuna' not in sys.modules\n"
        "from diamond.report.search.search_figures import front_figure\n"
        "from tests.sweep_documents import search, two_objectives\n"
        "from matplotlib import pyplot, style\n"
        "from optuna import logging\n"
        "known = style.library['ggplot'], logging.get_verbosity()\n"
        "figure_bytes(front_figure(search(two_objectives(6)), 1, 0)[0], 'png')\n"
        "assert settings() == before and pyplot.get_fignums() == []\n"
        "assert known == (style.library['ggplot'], logging.get_verbosity())\n"
    )
    run_script(script)


# Pages.


def malicious() -> dict[str, Any]:
    """Two objectives with a limit, a confirmation, notes and names full of markup."""
    doc = confirmed(two_objectives(12))
    doc["space"] = doc["space"][:2]
    doc["question"] = MALICIOUS
    doc["notes"] = [f"a note {MALICIOUS}"]
    doc["trials"][3]["name"] = MALICIOUS
    doc["trials"][4] = failed(doc["trials"][4], MALICIOUS)
    doc["confirm"]["command"] = f"diamond ablate '{MALICIOUS}'"
    return doc


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> ReportPaths:
    return write_report(result(malicious()), (), tmp_path_factory.mktemp("two"))


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> ReportPaths:
    return write_report(result(one_objective(12)), (), tmp_path_factory.mktemp("one"))


class _Text(HTMLParser):
    """Collects the text that a page shows."""

    def __init__(self) -> None:
        super().__init__()
        self.tag = ""
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tag = tag

    def handle_data(self, data: str) -> None:
        if self.tag not in ("script", "style"):
            self.text += f" {data}"


def shown_text(paths: ReportPaths) -> str:
    """The text of a page without its scripts and its style."""
    page = _Text()
    page.feed(paths.html.read_text())
    page.close()
    return page.text


def test_the_page_asks_for_nothing_from_outside(report: ReportPaths) -> None:
    source = report.html.read_text()
    links = re.findall(r'(?:src|href|srcset|action)\s*=\s*"([^"]*)"', source)
    inner = {link for link in links if link.startswith("#")}
    assert inner == {f"#{name}" for name in re.findall(r'<h2 id="([^"]*)"', source)}
    figures = [link for link in links if link not in inner]
    assert len(figures) == 5
    assert all(link.startswith("data:image/svg+xml,") for link in figures)
    assert not re.search(r"(src|href|srcset|action)\s*=\s*[\"']?\s*(https?:)?//", source)
    assert not re.search(r"url\((?!%23)", source) and "@import" not in source
    assert "default-src &#39;none&#39;" in source and "prefers-color-scheme: dark" in source


def test_the_page_escapes_every_name(report: ReportPaths) -> None:
    source = report.html.read_text()
    assert source.count("<script>") == 1  # the page's own
    assert shown_text(report).count(MALICIOUS) >= 5
    assert "<script>" not in report.markdown.read_text().replace(MALICIOUS, "", 1)


def test_the_parts_stand_in_the_order_that_a_reader_wants(
    report: ReportPaths, single: ReportPaths
) -> None:
    headings = re.findall("<h2 [^>]*>(.*?) <a", report.html.read_text())
    assert headings == [
        "The front and the baseline", "Confirmation", "The objectives against each other",
        "Which parameters matter", "What each parameter does", "Constraints", "Failed trials",
        "All trials", "The space that was searched", "The search and its budget", "Notes",
        "Provenance", "How to make this again",
    ]  # fmt: skip
    assert re.findall("^## (.*)", report.markdown.read_text(), re.MULTILINE) == headings
    other = re.findall("<h2 [^>]*>(.*?) <a", single.html.read_text())
    assert other[:2] == ["The best trials and the baseline", "Confirmation"]
    assert "What the pruner saw" in other and "Constraints" not in other
    assert f"Nothing was confirmed yet. {CAVEAT}" in shown_text(single)


def test_every_number_of_the_page_comes_from_the_document(single: ReportPaths) -> None:
    doc = one_objective(12)
    known = [float(text) for text in re.findall(r"-?\d+\.\d+(?:e[-+]?\d+)?", json.dumps(doc))]
    best = max(t["values"][0] for t in doc["trials"] if t["values"])
    known.append(best - doc["baseline"]["values"][0])  # the one number that the answer makes
    text = shown_text(single)
    for shown in set(re.findall(r"(?<![\w.])-?\d+\.\d+(?![\w.]*\d)", text)):
        places = len(shown.partition(".")[2])
        # Shown is rounded: to its last decimal, a float parameter to four digits.
        assert any(abs(value - float(shown)) <= 0.501 * 10.0**-places for value in known), shown
    assert not re.search(r"\b(nan|inf|None|True|False)\b", text)


def test_every_picture_that_the_markdown_shows_exists(
    report: ReportPaths, single: ReportPaths
) -> None:
    for paths, names in (
        (
            report,
            [
                "front",
                *(
                    f"{kind}-{name}"
                    for kind in ("importance", "slices")
                    for name in ("skill_copy_l1_fg", "ms_per_frame")
                ),
            ],
        ),
        (single, ["history", "importance", "slices", "reports"]),
    ):
        links = re.findall(r"\]\((\S+?)\)", paths.markdown.read_text())
        assert links == [f"figures/{name}.svg" for name in names]
        files = {path.relative_to(paths.html.parent).as_posix() for path in paths.figures}
        assert files == {f"figures/{name}.{kind}" for name in names for kind in ("svg", "png")}
        assert all(path.is_file() for path in paths.figures)
        left = [path.name for path in paths.html.parent.rglob("*") if path.name.startswith(".")]
        assert left == []


def test_markdown_tables_have_as_many_cells_as_columns(report: ReportPaths) -> None:
    widths: list[set[int]] = []
    inside = False
    for line in report.markdown.read_text().splitlines():
        if line.startswith("|"):
            widths += [] if inside else [set()]
            widths[-1].add(len(re.findall(r"(?<!\\)\|", line)))
        inside = line.startswith("|")
    assert len(widths) == 7  # front, confirmation, importance, constraints, trials, space, budget
    assert all(len(counts) == 1 for counts in widths)


def test_a_second_report_equals_the_first_to_the_byte(tmp_path: Path) -> None:
    doc = two_objectives(4) | {"importance": []}
    doc["space"] = doc["space"][:1]
    first = write_report(result(doc), (), tmp_path)
    files = (first.html, first.markdown, *first.figures, *first.tables)
    before = {path: path.read_bytes() for path in files}
    assert write_report(result(copy.deepcopy(doc)), (), tmp_path) == first
    assert {path: path.read_bytes() for path in files} == before


def test_a_sweep_without_a_value_has_a_page_that_says_why(tmp_path: Path) -> None:
    doc = all_failed()
    paths = write_report(answered(result(doc)), (), tmp_path)
    text = shown_text(paths)
    assert paths.figures == ()
    assert "There is no result: of 6 trials (1 pruned, 5 failed), none has a value." in text
    assert "No figure: no trial has a value." in text
    assert text.count("OSError: disk <full>") == 5
    nothing = write_report(result(doc | {"trials": []}), (), tmp_path / "empty")
    assert "No figure: no trial was made." in shown_text(nothing)
    assert nothing.tables == ()


def test_a_baseline_that_none_beats_is_shown_as_the_front(tmp_path: Path) -> None:
    doc = sweep([trial(0, [0.5, 10.0]), trial(1, [0.3, 20.0])], (SKILL, TIME))
    text = shown_text(write_report(result(doc), (), tmp_path))
    assert "trial 0 (baseline)" in text
    assert "No trial to show" not in text
    none = doc | {"front": [], "trials": [one | {"feasible": False} for one in doc["trials"]]}
    assert "No trial to show" in shown_text(write_report(result(none), (), tmp_path / "none"))


def test_a_constant_objective_and_one_trial_have_their_figures() -> None:
    same = constant()
    same["space"] = same["space"][:1]
    roles = [picture.role for picture in search_pictures(search(same))]
    assert roles == ["search", "slices"]
    alone = sweep(sampled(1, (SKILL, TIME)), (SKILL, TIME))
    for picture in search_pictures(search(alone)):
        data = picture.files[picture.shown.replace(".svg", ".png")]
        with Image.open(io.BytesIO(data)) as image:
            assert len(image.convert("RGB").getcolors(100_000) or ()) > 10


# Tables.


def test_the_leading_table_ends_with_the_preset() -> None:
    table = leading_table(search(one_objective()))
    assert table.columns == ("trial", "skill_copy_l1_fg", "steps", "order", "churn", "sigma_max")
    assert [row.kind for row in table.rows] == ["arm"] * 5 + ["baseline"]
    assert table.rows[0].name == "trial 23 (best)"
    assert table.rows[0].cells[0].detail == "0.447 to 0.507"
    assert [cell.text for cell in table.rows[-1].cells[1:]] == ["3", "1", "0.0", "5.0"]
    assert table.rows[0].cells[3].text == "–"  # churn is not asked for with order 1


def test_the_table_of_trials_is_written_with_all_digits() -> None:
    doc = two_objectives(16)
    rows = list(csv.DictReader(io.StringIO(trials_csv(search(doc)))))
    assert [int(row["number"]) for row in rows] == [t["number"] for t in doc["trials"]]
    assert rows[9]["error"].endswith("disk <full>") and rows[9]["ms_per_frame"] == ""
    for row, each in zip(rows, doc["trials"], strict=True):
        if each["values"]:
            assert float(row["skill_copy_l1_fg"]) == each["values"][0]
            assert float(row["sigma_max"]) == each["params"]["sigma_max"]
            assert float(row["beyond_denoiser_calls_per_frame"]) == each["constraints"][0]
    table = trials_table(search(doc))
    assert {len(row.cells) for row in table.rows} == {len(table.columns) - 1}
    barred = next(t["number"] for t in doc["trials"] if not t["feasible"])
    assert table.rows[barred].cells[0].text == "complete, breaks a constraint"


def test_limits_and_ranges_are_told_in_words() -> None:
    doc = two_objectives(16)
    kept = sum(t["feasible"] for t in doc["trials"] if t["values"])
    assert [cell.text for cell in constraints_table(search(doc)).rows[0].cells] == [
        "at most 12", f"{kept} of 15",
    ]  # fmt: skip
    ranges = [row.cells[1] for row in space_table(search(doc)).rows]
    assert [cell.text for cell in ranges] == [
        "1 to 10", "1, 2", "0.05 to 1", "0.5 to 80, logarithmic",
    ]  # fmt: skip
    assert ranges[2].detail == "only with order = 2"


# The terminal.


@pytest.fixture
def console() -> Console:
    return Console(width=100, file=io.StringIO(), record=True)


def test_the_terminal_shows_the_best_the_baseline_and_the_next_command(console: Console) -> None:
    show_result(result(one_objective()), console)
    lines = console.export_text().splitlines()
    assert all(len(line) <= 100 for line in lines)
    text = "\n".join(lines)
    assert "trial 23" in text and "0.447 to 0.507" in text
    assert any(line.startswith("baseline") and "sigma_max=5.0" in line for line in lines)
    assert "next:    diamond ablate --study sampler-confirm --seeds 3" in lines
    assert "report:  file:///data/report.html" in lines


def test_a_long_front_is_shown_from_end_to_end(console: Console) -> None:
    doc = two_objectives(300)
    front = doc["front"]
    assert len(front) > 12
    show_result(result(doc), console)
    table = console.export_text().partition("Below a value")[0]
    names = re.findall(r"^trial (\d+)", table, re.MULTILINE)
    assert len(names) == 12
    assert (int(names[0]), int(names[-1])) == (front[0], front[-1])


def test_the_terminal_says_that_there_is_no_result(console: Console) -> None:
    show_result(answered(result(all_failed())), console)
    text = console.export_text()
    assert "There is no result" in text and "next:" not in text
