"""The report of a sweep: the answer, figures, page, tables and the terminal table."""

import copy
import csv
import io
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image
from rich.console import Console

from diamond.report.figure_style import figure_bytes
from diamond.report.numbers import value_text
from diamond.report.render import ReportPaths
from diamond.report.sweep_axes import scale_of
from diamond.report.sweep_console import show_sweep
from diamond.report.sweep_figures import front_figure
from diamond.report.sweep_history import best_so_far, history_figure
from diamond.report.sweep_page import search_figure, sweep_pictures, write_sweep_report
from diamond.report.sweep_panels import (
    importance_figure,
    reports_figure,
    slice_rows,
    slices_figure,
)
from diamond.report.sweep_prose import CAVEAT, sweep_summary
from diamond.report.sweep_tables import (
    confirmation_table,
    constraints_table,
    importance_table,
    leading_table,
    space_table,
    trials_csv,
    trials_table,
)
from tests.sweep_documents import (
    ERROR,
    LIMIT,
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

# The answer.


def test_the_answer_names_the_best_trial_its_gain_and_that_it_is_no_finding() -> None:
    doc = sweep([trial(0, [0.25]), trial(1, [0.4]), trial(2, [0.1])], (SKILL,))
    assert sweep_summary(result(doc)) == (
        "The best of 3 trials is trial 1 with L1 skill over copy last, changed pixels 0.400, "
        f"0.150 better than the baseline's 0.250. {CAVEAT}"
    )


def test_a_smaller_value_is_better_where_the_objective_is_minimised() -> None:
    doc = sweep([trial(0, [12.0]), trial(1, [7.5])], (TIME,))
    assert "trial 1 with ms per imagined frame [ms] 7.5, 4.5 better" in sweep_summary(result(doc))
    worse = doc | {"baseline": {"trial": None, "values": [5.0]}}
    assert "7.50, 2.50 worse than the baseline's 5.00" in sweep_summary(result(worse))


def test_the_answer_says_where_the_baseline_is_from_the_front() -> None:
    trials = [trial(0, [0.3, 10.0]), trial(1, [0.5, 20.0]), trial(2, [0.1, 4.0])]
    doc = sweep(trials, (SKILL, TIME))
    assert sweep_summary(result(doc)) == (
        "Of 3 trials, 3 are on the front of L1 skill over copy last, changed pixels and ms per "
        "imagined frame, from trial 1 (0.500; 20.0 ms) to trial 2 (0.100; 4.0 ms); the baseline "
        f"(0.300; 10.0 ms) is on it. {CAVEAT}"
    )
    beaten = sweep([*trials, trial(3, [0.35, 10.0])], (SKILL, TIME))
    assert "; trial 3 beats the baseline (0.300; 10.0 ms) without a loss" in sweep_summary(
        result(beaten)
    )
    apart = doc | {"front": [1, 2], "baseline": {"trial": None, "values": [0.3, 3.0]}}
    assert "none beats the baseline (0.300; 3.0 ms) without a loss" in sweep_summary(result(apart))
    unknown = doc | {"front": [1], "baseline": {"trial": None, "values": []}}
    assert "trial 1 (0.500; 20.0 ms) alone is on the front" in sweep_summary(result(unknown))
    assert "; the baseline has no value." in sweep_summary(result(unknown))


def test_without_a_value_there_is_no_result() -> None:
    expected = "There is no result: none of 6 trials (1 pruned, 5 failed) has a value."
    assert sweep_summary(result(all_failed())) == expected
    broken = [trial(number, [0.2], feasible=False, constraints=[1.0]) for number in range(2)]
    doc = sweep(broken, (SKILL,), constraints=[LIMIT])
    assert sweep_summary(result(doc)).endswith("2 trials, no complete one keeps the constraints.")


@pytest.mark.parametrize("verdict", ["confirmed", "refuted", "undecided"])
def test_what_the_confirmation_said_takes_the_place_of_the_warning(verdict: str) -> None:
    text = sweep_summary(result(confirmed(one_objective(), verdict)))
    assert text.endswith(
        "Confirmation (3 seeds, starts 16 to 31): trial 23 differs from the baseline by 0.039 "
        f"(0.011 to 0.067) in L1 skill over copy last, changed pixels: {verdict}."
    )
    assert CAVEAT not in text


def test_many_confirmed_rows_are_told_by_verdict() -> None:
    doc = confirmed(two_objectives())
    row = doc["confirm"]["result"]["rows"][0]
    other = row | {"objective": 1, "lo": None, "hi": None, "verdict": "no interval"}
    doc["confirm"]["result"]["rows"].append(other)
    name = row["arm"]
    assert sweep_summary(result(doc)).endswith(
        f"confirmed: {name} (L1 skill over copy last, changed pixels); "
        f"no interval: {name} (ms per imagined frame)."
    )
    table = confirmation_table(search(doc))
    assert {len(each.cells) for each in table.rows} == {len(table.columns) - 1}
    assert [each.cells[-2].detail for each in table.rows] == ["0.011 to 0.067", ""]


# Reading the document.


def test_the_front_of_a_pair_holds_what_no_trial_of_the_front_beats_in_it() -> None:
    values = [(0.5, 20.0, 1.0), (0.3, 10.0, 2.0), (0.4, 25.0, 0.5), (0.3, 30.0, 0.1)]
    doc = sweep([trial(n, v) for n, v in enumerate(values)], (SKILL, TIME, ERROR))
    assert doc["front"] == [0, 2, 1, 3]
    assert search(doc).pair_front(1, 0) == [(10.0, 0.3), (20.0, 0.5)]
    assert search(doc).pair_front(2, 0) == [(0.1, 0.3), (0.5, 0.4), (1.0, 0.5)]


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


def test_values_keep_three_digits_whatever_their_size() -> None:
    assert value_text(0.0004, 3) == "0.0004"
    assert value_text(1.5e9, 1) == "1.5e+09"
    assert value_text(-0.25, 2) == "-0.25"
    assert (value_text(0.0, 2), value_text(None, 2)) == ("0.00", "–")


# Scales.


def test_a_bad_outlier_stands_at_the_edge_and_a_good_one_at_its_place() -> None:
    usual = np.linspace(0.0, 1.0, 12).tolist()
    scale = scale_of([*usual, -50.0], sign=-1)
    assert scale.is_beyond(-50.0) and not scale.is_beyond(1.0)
    assert scale.lo < scale.place(-50.0) < scale.least
    assert not scale_of([*usual, -50.0], sign=1).is_beyond(-50.0)
    assert not scale_of([*usual, -50.0], sign=-1, kept=[-50.0]).is_beyond(-50.0)


def test_errors_of_many_sizes_have_a_logarithmic_scale() -> None:
    assert scale_of([0.1, 3.1], sign=1).kind == "log"
    assert scale_of([0.1, 2.9], sign=1).kind == "linear"
    assert scale_of([0.0, 3.1], sign=1).kind == "linear"
    assert scale_of([0.1, 3.1], sign=-1).kind == "linear"
    one = scale_of([0.25], sign=1)
    assert one.lo < 0.25 < one.hi


# Figures.


def test_trials_beyond_the_edge_are_marked_and_counted() -> None:
    trials = [trial(number, [0.1 * number, 10.0 + number]) for number in range(10)]
    doc = sweep([*trials, trial(10, [-70.0, 30.0])], (SKILL, TIME))
    drawn = front_figure(search(doc))
    assert drawn.note == "1 trial is far worse than most: shown at the edge."
    marked = [line for line in drawn.figure.axes[0].lines if line.get_marker() == "D"]
    assert [np.asarray(line.get_xdata()).tolist() for line in marked] == [[30.0]]
    low = drawn.figure.axes[0].get_ylim()[0]
    assert low < float(np.asarray(marked[0].get_ydata())[0]) < 0.0


def test_the_front_is_a_step_line_through_its_trials_with_their_numbers() -> None:
    doc = two_objectives(16)
    axes = front_figure(search(doc)).figure.axes[0]
    steps = [line for line in axes.lines if line.get_drawstyle() == "steps-post"]
    assert len(steps) == 1
    drawn = np.asarray(steps[0].get_xydata())
    of_front = [t["values"][::-1] for t in doc["trials"] if t["number"] in doc["front"]]
    assert drawn.tolist() == sorted(of_front)
    written = {text.get_text() for text in axes.texts}
    assert written == {str(number) for number in doc["front"]}
    labels = [text.get_text() for text in front_figure(search(doc)).figure.legends[0].get_texts()]
    assert {"trial", "breaks a constraint", "baseline", "95% interval"} < set(labels)
    assert front_figure(search(doc)).note == "Not drawn, for want of values: 1 failed."


def test_numbers_of_the_front_do_not_cover_each_other() -> None:
    drawn = front_figure(search(two_objectives(300)))
    drawn.figure.draw_without_rendering()
    # Of the text alone: that of an annotation holds the line to its mark too.
    boxes = [Text.get_window_extent(text) for text in drawn.figure.axes[0].texts]
    assert len(boxes) > 8
    for index, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[index + 1 :])


def test_three_objectives_have_a_panel_for_each_pair() -> None:
    figure = front_figure(search(three_objectives(8))).figure
    assert len(figure.axes) == 3
    assert figure.axes[2].get_ylabel().startswith("ms per imagined frame [ms]")
    assert figure.axes[2].get_xlabel() == "L1, t=10\n(lower is better)"


def test_the_history_draws_the_best_so_far_and_every_kind_of_trial() -> None:
    doc = one_objective()
    best = best_so_far(search(doc))
    gains = [value for _, value in best]
    assert gains == sorted(gains) and best[-1][0] == doc["best"]
    figure = history_figure(search(doc)).figure
    labels = {text.get_text() for text in figure.legends[0].get_texts()}
    assert labels == {
        "trial", "pruned, at its last report", "failed", "baseline", "95% interval",
        f"best so far (ringed: trial {doc['best']})",
    }  # fmt: skip
    steps = [line for line in figure.axes[0].lines if line.get_drawstyle() == "steps-post"]
    assert np.asarray(steps[0].get_ydata()).tolist() == [*gains, gains[-1]]


def test_slices_have_a_row_for_each_objective_and_name_conditions() -> None:
    doc = two_objectives(16)
    rows = slice_rows(search(doc))
    assert [each.name for row in rows for each in row] == [
        "steps",
        "order",
        "churn",
        "sigma_max",
    ]
    figure = slices_figure(search(doc), rows[0])
    assert len(figure.axes) == 8
    labels = [axes.get_xlabel() for axes in figure.axes[4:]]
    assert labels[2] == "churn\nonly with order = 2\nbaseline 0.0 lies outside"
    assert [axes.get_xscale() for axes in figure.axes[4:]] == ["linear"] * 3 + ["log"]
    assert [text.get_text() for text in figure.axes[5].get_xticklabels()] == ["1", "2"]


def test_importance_draws_intervals_and_says_why_there_is_none() -> None:
    doc = two_objectives(16)
    doc["importance"][1] = {"objective": 1, "reason": "it is constant", "rows": []}
    first, second = importance_figure(search(doc)).axes
    assert [text.get_text() for text in first.get_yticklabels()] == [
        "steps", "order", "churn", "sigma_max",
    ]  # fmt: skip
    ends = [np.asarray(line.get_xdata()).tolist() for line in first.lines]
    assert ends == [[row["lo"], row["hi"]] for row in doc["importance"][0]["rows"]]
    assert second.texts[0].get_text() == "none: it is constant"
    assert importance_table(search(doc)).columns[1:] == ("L1 skill over copy last, changed pixels",)


def test_reports_end_with_a_mark_where_a_trial_was_pruned() -> None:
    doc = one_objective()
    axes = reports_figure(search(doc)).axes[0]
    pruned = [t for t in doc["trials"] if t["state"] == "pruned"]
    assert sum(line.get_marker() == "v" for line in axes.lines) == len(pruned) == 4
    assert axes.get_xlabel() == "updates of the denoiser"


def test_names_of_the_document_are_no_mathematics_in_figures() -> None:
    doc = one_objective(8)
    objective = SKILL | {"label": "$\\frac{"}
    figure = history_figure(search(doc | {"objectives": [objective]})).figure
    assert figure_bytes(figure, "png").startswith(b"\x89PNG")


def test_the_terminal_needs_no_figures_and_figures_leave_no_global_state() -> None:
    script = (
        "import sys\n"
        "from diamond.report.sweep_console import show_sweep\n"
        "assert 'matplotlib' not in sys.modules\n"
        "from matplotlib import rcParams\n"
        "def settings(): return {k: rcParams[k] for k in rcParams if k != 'backend'}\n"
        "before = settings()\n"
        "from diamond.report.figure_style import figure_bytes\n"
        "from diamond.report.sweep_page import search_figure\n"
        "from tests.sweep_documents import search, two_objectives\n"
        "figure_bytes(search_figure(search(two_objectives(6))).figure, 'png')\n"
        "assert 'matplotlib.pyplot' not in sys.modules and 'optuna' not in sys.modules\n"
        "assert settings() == before\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=root, check=False
    )
    assert done.returncode == 0, done.stderr


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
    return write_sweep_report(result(malicious()), tmp_path_factory.mktemp("two"))


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> ReportPaths:
    return write_sweep_report(result(one_objective(12)), tmp_path_factory.mktemp("one"))


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
    assert len(links) == 3
    assert all(link.startswith("data:image/svg+xml,") for link in links)
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
    headings = re.findall("<h2>(.*?)</h2>", report.html.read_text())
    assert headings == [
        "The front and the baseline", "Confirmation", "The objectives against each other",
        "Which parameters matter", "What each parameter does", "Constraints", "Failed trials",
        "All trials", "The space that was searched", "The search and its budget", "Notes",
        "Provenance", "How to make this again",
    ]  # fmt: skip
    assert re.findall("^## (.*)", report.markdown.read_text(), re.MULTILINE) == headings
    other = re.findall("<h2>(.*?)</h2>", single.html.read_text())
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
        (report, ["front", "importance", "slices"]),
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
    first = write_sweep_report(result(doc), tmp_path)
    files = (first.html, first.markdown, *first.figures, *first.tables)
    before = {path: path.read_bytes() for path in files}
    assert write_sweep_report(result(copy.deepcopy(doc)), tmp_path) == first
    assert {path: path.read_bytes() for path in files} == before


def test_a_sweep_without_a_value_has_a_page_that_says_why(tmp_path: Path) -> None:
    doc = all_failed()
    paths = write_sweep_report(result(doc), tmp_path)
    text = shown_text(paths)
    assert paths.figures == ()
    assert "There is no result: none of 6 trials (1 pruned, 5 failed) has a value." in text
    assert "No figure: no trial has a value." in text
    assert text.count("OSError: disk <full>") == 5
    nothing = write_sweep_report(result(doc | {"trials": []}), tmp_path / "empty")
    assert "No figure: no trial was made." in shown_text(nothing)
    assert nothing.tables == ()


def test_a_constant_objective_and_one_trial_have_their_figures() -> None:
    same = constant()
    same["space"] = same["space"][:1]
    roles = [shown.picture.role for shown in sweep_pictures(search(same))]
    assert roles == ["search", "slices"]
    alone = sweep(sampled(1, (SKILL, TIME)), (SKILL, TIME))
    drawn = search_figure(search(alone))
    assert drawn is not None
    with Image.open(io.BytesIO(figure_bytes(drawn.figure, "png"))) as image:
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
    show_sweep(result(one_objective()), console)
    lines = console.export_text().splitlines()
    assert all(len(line) <= 100 for line in lines)
    text = "\n".join(lines)
    assert "trial 23" in text and "0.447 to 0.507" in text
    assert any(line.startswith("baseline") and "sigma_max=5.0" in line for line in lines)
    assert lines[-1] == "confirm: diamond ablate --study sampler-confirm --seeds 3"
    assert "report:  /data/report.html" in lines


def test_a_long_front_is_shown_from_end_to_end(console: Console) -> None:
    doc = two_objectives(300)
    front = doc["front"]
    assert len(front) > 12
    show_sweep(result(doc), console)
    table = console.export_text().partition("Below a value")[0]
    names = re.findall(r"^trial (\d+)", table, re.MULTILINE)
    assert len(names) == 12
    assert (int(names[0]), int(names[-1])) == (front[0], front[-1])


def test_the_terminal_says_that_there_is_no_result(console: Console) -> None:
    show_sweep(result(all_failed()), console)
    text = console.export_text()
    assert "There is no result" in text and "confirm:" not in text
