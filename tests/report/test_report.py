"""The report: figures, film strips, pages and the terminal table."""

import copy
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from diamond.report import markdown
from diamond.report.figures.figure_style import figure_bytes
from diamond.report.figures.horizon_figures import horizon_figure, horizon_panels
from diamond.report.figures.strips import film_strip, png_bytes, sheet_layout
from diamond.report.page import write_report
from diamond.report.prose import comparison_sentences, noise_sentences
from diamond.report.render import ReportPaths
from diamond.report.tables import comparison_table, exploratory_table, metric_groups, noise_table
from diamond.results.arm_model import first_cause
from tests.commands import run_script
from tests.result_documents import (
    HORIZON,
    LABEL,
    MALICIOUS,
    STEPS,
    comparison,
    curve_of,
    document,
    fail,
    frames_of,
    noise_row,
    result,
    seeded,
    strips_of,
    three_arms,
)


def test_the_cause_of_a_traceback_is_its_last_line() -> None:
    error = "Traceback (most recent call last):\n  File x\nValueError: bad frame\n"
    assert first_cause(error) == "ValueError: bad frame"
    assert first_cause(None) == "no cause was recorded"


# Figures.


def test_figures_are_equal_to_the_byte_on_a_second_call() -> None:
    doc = three_arms()
    for kind in ("svg", "png"):
        first = figure_bytes(horizon_figure(result(doc), "Boxing", "core_ratio"), kind)
        second = figure_bytes(horizon_figure(result(doc), "Boxing", "core_ratio"), kind)
        assert first == second


def test_a_figure_draws_arms_baselines_and_the_real_value() -> None:
    figure = horizon_figure(result(three_arms()), "Boxing", "core_ratio")
    axes = figure.axes[0]
    drawn = [np.asarray(line.get_ydata(), float) for line in axes.lines]
    assert [len(line) for line in drawn] == [HORIZON] * 6
    assert np.isnan(drawn[1]).all()  # the median background has no foreground
    assert drawn[5] == pytest.approx(curve_of("core_ratio_real", 0.0, 0.0)["mean"], abs=0.01)
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["steps=1", "steps=3", "steps=10", "real frames", "copy-last", "95% interval"]
    assert axes.get_title() == "Boxing: Core ratio (closer to the real frames is better)"


def test_figures_show_units_and_leave_no_global_state() -> None:
    script = (
        "from matplotlib import rcParams\n"
        "def settings(): return {k: rcParams[k] for k in rcParams if k != 'backend'}\n"
        "before = settings()\n"
        "from tests.result_documents import result, three_arms\n"
        "from diamond.report.figures.horizon_figures import horizon_panels\n"
        "from diamond.report.figures.figure_style import figure_bytes\n"
        "from diamond.report.figures.pictures import MAIN_METRICS\n"
        "figure = horizon_panels(result(three_arms()), 'Boxing', MAIN_METRICS)\n"
        "figure_bytes(figure, 'png')\n"
        "assert len(figure.axes) == 6\n"
        "assert figure.axes[2].get_ylabel() == 'PSNR [dB]'\n"
        "import sys; assert 'matplotlib.pyplot' not in sys.modules\n"
        "assert settings() == before\n"
    )
    run_script(script)


def test_panels_without_a_metric_are_refused() -> None:
    with pytest.raises(ValueError, match="no metric to draw"):
        horizon_panels(result(three_arms()), "Boxing", [])


# Film strips.


def test_a_strip_shows_every_pixel_unchanged_at_its_place() -> None:
    rows = [("real", frames_of(1)), ("steps=1", frames_of(2))]
    sheet = film_strip(rows, STEPS, scale=5)
    layout = sheet_layout(["real", "steps=1"], len(STEPS), (32, 32), 5)
    assert sheet.shape == (layout.height, layout.width, 3)
    for row, (_, frames) in enumerate(rows):
        for column in range(len(STEPS)):
            y, x = layout.origin(row, column)
            cell = sheet[y : y + 160, x : x + 160]
            enlarged = np.kron(frames[column], np.ones((5, 5, 1), np.uint8))
            assert np.array_equal(cell, enlarged)


def test_a_strip_keeps_dark_frames_dark_and_has_a_white_ground() -> None:
    dark = np.full((1, 8, 8, 3), 3, dtype=np.uint8)
    sheet = film_strip([("real", dark)], [1], scale=2)
    layout = sheet_layout(["real"], 1, (8, 8), 2)
    y, x = layout.origin(0, 0)
    assert (sheet[y : y + 16, x : x + 16] == 3).all()
    assert (sheet[0, 0] == 255).all()
    assert (sheet[y : y + 16, :x] < 128).any()  # the label is drawn
    assert np.array_equal(np.array(Image.open(io.BytesIO(png_bytes(sheet)))), sheet)


def test_frames_that_do_not_fit_the_strip_are_refused() -> None:
    with pytest.raises(ValueError, match="'steps=1' is uint8"):
        film_strip([("real", frames_of(1)), ("steps=1", frames_of(2)[:3])], STEPS, 5)
    with pytest.raises(ValueError, match="nothing to draw"):
        film_strip([], STEPS, 5)


# Pages.


class _Page(HTMLParser):
    """Collects the tags, the attributes and the text of a page, and checks that tags are closed."""

    VOID = ("meta", "img", "br", "link", "input", "hr")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self.headings: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.headings += [dict(attrs)["id"] or ""] if re.fullmatch("h[2-6]", tag) else []
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "srcset")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def parsed(paths: ReportPaths) -> _Page:
    """Return the parsed HTML page of a report."""
    page = _Page()
    page.feed(paths.html.read_text())
    page.close()
    return page


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> ReportPaths:
    """The report of the study of the main command, one of whose arms has a malicious name."""
    doc = three_arms()
    shown = ("core_ratio", "foreground_iou", "psnr", "l1")
    doc["metrics"] = [row for row in doc["metrics"] if row["name"] in shown]
    for name in ("arms", "comparisons"):
        for row in doc[name]:
            for key in ("name", "a", "b"):
                if row.get(key) == "steps=3":
                    row[key] = MALICIOUS
    return write_report(result(doc), strips_of(doc), tmp_path_factory.mktemp("report"))


def test_the_page_is_whole_and_asks_for_nothing_from_outside(report: ReportPaths) -> None:
    page = parsed(report)
    assert page.open == []
    assert page.links
    anchors = [link.removeprefix("#") for link in page.links if link.startswith("#")]
    assert len(anchors) > len(page.headings) > 8  # the contents, and beside each heading
    assert set(anchors) == set(page.headings)
    assert len(set(page.headings)) == len(page.headings)
    assert all(link.startswith(("data:image/", "#")) for link in page.links)
    source = report.html.read_text()
    assert not re.search(r"(src|href|srcset|action)\s*=\s*[\"']?\s*(https?:)?//", source)
    assert not re.search(r"url\((?!%23|#curve-)", source)  # figures refer to their own parts alone
    assert "@import" not in source


def test_the_page_names_every_arm_and_escapes_markup(report: ReportPaths) -> None:
    page = parsed(report)
    for name in ("steps=1", "steps=10", "copy-last", "median-background", MALICIOUS):
        assert name in page.text
    assert page.tags.count("script") == 4  # the page's own with a curve's data, none of the arm's
    assert "<script>" not in report.markdown.read_text()


def test_the_page_says_what_the_reader_must_know(report: ReportPaths) -> None:
    for text in (parsed(report).text, report.markdown.read_text().replace("\\", "")):
        assert "How does steps (denoising steps) change fidelity in Boxing?" in text
        assert "bootstrap over starts within one trained model" in text
        assert "unit of replication is the start (n = 12)" in text
        assert LABEL[1:] in text
        assert "Milliseconds depend on the machine" in text
        assert "0123456789abcdef0123456789abcdef01234567 with uncommitted changes" in text
        assert "diamond ablate steps=1,3,10" in text
        assert "held-out episode 3" in text


def test_the_page_follows_the_colour_scheme_and_scrolls_wide_parts(report: ReportPaths) -> None:
    source = report.html.read_text()
    assert "prefers-color-scheme: dark" in source
    assert len(re.findall("<table[ >]", source)) == source.count('<div class="scroll" tabindex')


def test_every_picture_that_the_markdown_shows_exists(report: ReportPaths) -> None:
    links = re.findall(r"\]\((\S+?)\)", report.markdown.read_text())
    assert len(links) == 8  # four metrics, the overview, the forest, the costs and a strip
    for link in links:
        assert (report.markdown.parent / link).is_file()
    assert all(path.is_file() for path in report.figures)
    kinds = {path.suffix for path in report.figures}
    assert kinds == {".png", ".svg"}


def test_markdown_tables_have_as_many_cells_as_columns(report: ReportPaths) -> None:
    widths: list[set[int]] = []
    inside = False
    for line in report.markdown.read_text().splitlines():
        if line.startswith("|"):
            widths += [] if inside else [set()]
            widths[-1].add(len(re.findall(r"(?<!\\)\|", line)))
        inside = line.startswith("|")
    assert (
        len(widths) == 11
    )  # overview, four metrics, comparisons, returns, players, costs, sharing, stages
    assert all(len(counts) == 1 for counts in widths)


def test_no_temporary_file_is_left(report: ReportPaths) -> None:
    names = [path.name for path in report.html.parent.rglob("*")]
    assert not [name for name in names if name.startswith(".")]


def test_a_second_report_equals_the_first(tmp_path: Path) -> None:
    doc = document({"steps=3": 0.66}, [])
    doc["metrics"] = [row for row in doc["metrics"] if row["name"] == "core_ratio"]
    first = write_report(result(doc), strips_of(doc), tmp_path)
    before = {path: path.read_bytes() for path in (first.html, first.markdown, *first.figures)}
    second = write_report(result(copy.deepcopy(doc)), strips_of(doc), tmp_path)
    assert second == first
    assert {path: path.read_bytes() for path in before} == before
    assert "a comparison needs two arms with results" in parsed(second).text


def test_a_study_without_results_still_has_a_page_that_says_why(tmp_path: Path) -> None:
    doc = three_arms() | {"comparisons": []}
    doc["arms"] = [arm for arm in doc["arms"] if arm["kind"] == "arm"]
    for name in ("steps=1", "steps=3", "steps=10"):
        fail(doc, name, "Traceback (most recent call last):\n  ...\nOSError: disk <full>")
    paths = write_report(result(doc), [], tmp_path)
    text = parsed(paths).text
    assert paths.figures == paths.tables == ()
    assert "OSError: disk <full>" in text
    assert "No film strips: no run came to an end (see the failed runs)." in text
    assert "No comparison: no run came to an end" in text


def test_a_study_that_stops_early_names_the_stage_in_every_empty_section(tmp_path: Path) -> None:
    doc = three_arms() | {"until": "denoiser", "comparisons": []}
    for arm in doc["arms"]:
        arm |= {"metrics": {}, "curves": {}}
        for run in arm["runs"]:
            run |= {"state": "cut", "returns": None, "costs": None}
    text = parsed(write_report(result(doc), [], tmp_path)).text
    assert "Failed runs" not in text
    for section in ("No fidelity was measured", "No film strips", "No returns"):
        assert f"{section}: the study was to stop after the stage denoiser." in text


# Tables.


def test_metric_tables_start_with_the_primary_metric_and_its_real_value() -> None:
    primary, others = metric_groups(result(three_arms()), "Boxing")[:2]
    (first,) = primary["tables"].values()
    second = next(iter(others["tables"].values()))
    assert first.title == "Core ratio: closer to the real frames is better, primary metric"
    assert [row.name for row in first.rows] == [
        "real frames", "steps=1", "steps=3", "steps=10", "copy-last",
    ]  # fmt: skip
    assert first.rows[1].cells[-1].text == "0.570"
    assert first.rows[1].cells[-1].detail == "0.550 to 0.590"
    assert [row.name for row in second.rows][-1] == "median-background"


def test_the_comparison_table_says_what_each_interval_shows() -> None:
    rows = comparison_table(result(three_arms())).rows
    assert [row.cells[1].text for row in rows] == ["a difference"] * 2
    assert rows[0].cells[0].detail == "0.070 to 0.110"


def test_the_comparison_table_has_p_values_with_their_smallest_possible_one() -> None:
    assert comparison_table(result(three_arms())).columns == (
        "arm",
        "difference",
        "shows",
        "replicates",
    )
    table = comparison_table(result(seeded()))
    assert table.title == "Core ratio: difference to steps=1"
    assert table.columns[4:] == ("p (Holm)", "sign-flip p", "within noise floor", "could show")
    assert {len(row.cells) for row in table.rows} == {len(table.columns) - 1}
    cells = [[cell.text for cell in row.cells[1:]] for row in table.rows]
    assert cells[0] == ["a difference", "3 seeds", "0.02", "0.25", "no", "0.0500"]
    assert cells[1][0] == "a difference alone, not across 2"
    assert cells[1][4] == "yes"
    assert cells[2][3] == cells[2][5] == "–"
    assert table.rows[0].cells[4].detail == "at least 0.25"
    assert [(row.name, row.kind) for row in table.rows] == [
        ("steps=3", "arm"),
        ("steps=10", "arm"),
        ("steps=1 again (A/A)", "control"),
        ("copy-last", "baseline"),
    ]


def test_other_metrics_are_an_exploratory_table_with_stars() -> None:
    table = exploratory_table(result(seeded()))
    assert (table.columns[0], [row.name for row in table.rows]) == ("metric", ["PSNR [dB]"])
    assert [cell.text for cell in table.rows[0].cells] == ["-0.4", "-0.80*", "+0.80"]
    assert exploratory_table(result(three_arms())).rows == ()


def test_tables_of_several_games_name_the_game() -> None:
    doc = document(
        {"steps=1": 0.57, "steps=3": 0.66},
        [comparison("steps=3", "steps=1", (0.0, -0.1, 0.1), game=g) for g in ("Boxing", "Pong")],
        games=("Boxing", "Pong"),
    )
    table = comparison_table(result(doc))
    assert table.columns[1] == "game"
    assert [row.cells[0].text for row in table.rows] == ["Boxing", "Pong"]


def test_the_noise_floor_is_a_table_and_a_sentence() -> None:
    table = noise_table(result(seeded()))
    assert [row.name for row in table.rows] == ["Core ratio", "PSNR"]
    assert len(table.rows[0].cells) == len(table.columns) - 1 == len(STEPS) + 1
    assert noise_sentences(result(seeded())) == [
        "Noise floor of steps=1, from 3 seeds: two trainings of this same configuration typically "
        "differ by 0.0400 in Core ratio over the horizon (root mean square)."
    ]
    one = three_arms() | {"noise_floor": [noise_row(None)]}
    assert noise_table(result(one)).rows == ()
    assert noise_sentences(result(one)) == [
        "Noise floor of steps=1: not defined: needs two seeds of the baseline arm."
    ]


def test_the_comparison_sentences_say_what_decides() -> None:
    seeds = " ".join(comparison_sentences(result(seeded())))
    assert "minus that of the baseline arm, steps=1." in seeds
    assert "corrected by Holm over 2 comparisons" in seeds
    assert "nothing is paired" in seeds
    starts = " ".join(comparison_sentences(result(three_arms())))
    assert "Holm" not in starts
    assert "within this model, is not corrected" in starts


def test_a_figure_outlines_the_noise_floor() -> None:
    axes = horizon_figure(result(seeded()), "Boxing", "core_ratio").axes[0]
    band = np.asarray(axes.collections[0].get_paths()[0].vertices, float)
    assert float(band[:, 1].max() - band[:, 1].min()) == pytest.approx(0.08, abs=0.01)
    legend = horizon_figure(result(seeded()), "Boxing", "psnr").legends[0]
    assert legend.get_texts()[-1].get_text() == "noise floor of steps=1"
    bare = horizon_figure(
        result(seeded() | {"noise_floor": [noise_row(None)]}), "Boxing", "core_ratio"
    )
    assert "noise" not in bare.legends[0].get_texts()[-1].get_text()


def test_markdown_code_fences_hold_any_text() -> None:
    assert markdown.fenced("a ``` b", "sh") == "````sh\na ``` b\n````"
