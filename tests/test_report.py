"""The report: summary sentences, figures, film strips, pages and the terminal table."""

import copy
import io
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console

from diamond.report import markdown
from diamond.report.console import result_table
from diamond.report.document import first_cause, number, visible_decimals
from diamond.report.figures import figure_bytes, horizon_figure, horizon_overview
from diamond.report.page import ReportPaths, write_report
from diamond.report.strips import Strips, film_strip, png_bytes, sheet_layout
from diamond.report.summary import summarise
from diamond.report.tables import comparison_table, metric_tables

HORIZON = 100
STEPS = (1, 5, 10, 20, 50, 100)
METRICS = (
    ("psnr", "PSNR", "dB", "higher"),
    ("ssim", "SSIM", "", "higher"),
    ("l1", "L1", "", "lower"),
    ("psnr_fg", "PSNR of the foreground", "dB", "higher"),
    ("ssim_fg", "SSIM of the foreground", "", "higher"),
    ("l1_fg", "L1 of the foreground", "", "lower"),
    ("foreground_iou", "Foreground IoU", "", "higher"),
    ("core_ratio", "Core ratio", "", "real"),
    ("core_ratio_real", "Core ratio of the real frames", "", "real"),
)
LABEL = "undertrained; cropped frames, reduced actions; not comparable with published scores"
# First value, last value and half width of the interval of each metric; core ratios are per arm.
SHAPES = {
    "psnr": (28.4, 20.2, 0.6),
    "ssim": (0.95, 0.78, 0.01),
    "l1": (0.009, 0.031, 0.001),
    "psnr_fg": (17.2, 11.4, 0.5),
    "ssim_fg": (0.71, 0.22, 0.02),
    "l1_fg": (0.08, 0.21, 0.01),
    "foreground_iou": (0.72, 0.18, 0.03),
    "core_ratio_real": (0.681, 0.679, 0.01),
}
MALICIOUS = 'steps=3"><script>alert(1)</script><img src=x> | `b` $x$ {{ 7*7 }}'


def _curve(metric: str, core: float | None, shift: float) -> dict[str, list[float | None]]:
    """Return smooth curves with an interval; a core ratio of None is undefined everywhere."""
    undefined: list[float | None] = [None] * HORIZON
    if metric == "core_ratio" and core is None:
        return {"mean": undefined, "lo": list(undefined), "hi": list(undefined)}
    first, last, half = SHAPES.get(metric, (core or 0.0, core or 0.0, 0.02))
    fall = 1 - np.log(np.arange(1, HORIZON + 1)) / np.log(HORIZON)
    mean = last + (first - last) * fall * (1 + shift) + 0.2 * half * np.sin(np.arange(HORIZON))
    return {
        "mean": [float(value) for value in mean],
        "lo": [float(value - half) for value in mean],
        "hi": [float(value + half) for value in mean],
    }


def _arm(name: str, core: float | None, *, kind: str, game: str, seeds: tuple[int, ...]) -> Any:
    """Return an arm whose runs are all done."""
    curves = {row[0]: _curve(row[0], core, 0.05 * len(name) % 0.1) for row in METRICS}
    metrics: dict[str, Any] = {}
    for metric, curve in curves.items():
        defined = curve["mean"][0] is not None
        columns = {str(step): step - 1 for step in STEPS} if defined else {}
        values: dict[str, dict[str, float | None]] = {
            at: {part: curve[part][column] for part in ("mean", "lo", "hi")} | {"n": 12}
            for at, column in columns.items()
        }
        if defined:
            means: dict[str, float | None] = {
                part: float(np.mean(np.array(curve[part], float))) for part in curve
            }
            values["mean"] = means | {"n": 12}
        metrics[metric] = values
    if core is not None:
        metrics["core_ratio"]["mean"] |= {"mean": core, "lo": core - 0.02, "hi": core + 0.02}
    is_arm = kind == "arm"
    calls = int(re.findall(r"\d+", name)[0]) if is_arm and re.search(r"\d", name) else 0
    run = {
        "state": "done",
        "error": None,
        "run_key": "ab" * 32,
        "stages": {
            "frames": {"key": "f0" * 32, "made": False, "seconds": 8.1, "state": "done"},
            "denoiser": {"key": "d0" * 32, "made": True, "seconds": 241.0, "state": "done"},
        },
        "metrics": {},
        "curves": {},
        "returns": {
            "mean": -1.6, "lo": -4.0, "hi": 0.9, "n": 8, "random_mean": -1.2, "label": LABEL,
        } if is_arm else None,
        "costs": {
            "denoiser_calls_per_frame": calls,
            "ms_per_frame": 9.4 * max(calls, 0.1),
            "rollout_seconds": 14.0 * max(calls, 0.1),
            "num_parameters": 1_250_316,
        } if is_arm else None,
    }  # fmt: skip
    many = len(seeds) > 1
    return {
        "name": name,
        "kind": kind,
        "game": game,
        "axis_values": {"sampler.steps": calls},
        "runs": [run | {"seed": seed} for seed in seeds],
        "metrics": metrics,
        "curves": curves,
        "interval": {
            "level": 0.95,
            "method": "t over seeds" if many else "bootstrap over starts within one trained model",
            "unit": "seed" if many else "start",
            "n": len(seeds) if many else 12,
        },
    }


def comparison(a: str, b: str, numbers: tuple[float, float, float], **changes: Any) -> Any:
    """Return a paired comparison of the core ratio with (difference, lo, hi)."""
    difference, lo, hi = numbers
    row = {
        "game": "Boxing", "metric": "core_ratio", "at": "mean", "a": a, "b": b,
        "difference": difference, "lo": lo, "hi": hi, "n": 12, "unit": "start",
        "method": "bootstrap over starts within one trained model",
        "p": None, "p_min": None, "p_corrected": None,
    }  # fmt: skip
    return row | changes


def document(
    cores: dict[str, float],
    comparisons: list[Any],
    seeds: tuple[int, ...] = (0,),
    games: tuple[str, ...] = ("Boxing",),
) -> dict[str, Any]:
    """Return a finished result document with numbers like those of a small Boxing study."""
    arms = [
        _arm(name, core, kind="arm", game=game, seeds=seeds)
        for game in games
        for name, core in cores.items()
    ]
    baselines: list[tuple[str, float | None]] = [("copy-last", 0.68), ("median-background", None)]
    arms += [
        _arm(name, core, kind="baseline", game=game, seeds=seeds[:1])
        for game in games
        for name, core in baselines
    ]
    return {
        "schema": 1,
        "study": "steps-boxing-tiny",
        "question": "How does steps (denoising steps) change fidelity in Boxing?",
        "command": "diamond ablate steps=1,3,10",
        "preset": "tiny",
        "games": list(games),
        "seeds": list(seeds),
        "protocol": "static",
        "until": "report",
        "horizon": HORIZON,
        "report_steps": list(STEPS),
        "primary_metric": "core_ratio",
        "metrics": [
            dict(zip(("name", "label", "unit", "direction"), row, strict=True)) for row in METRICS
        ],
        "arms": arms,
        "comparisons": comparisons,
        "claims": [],
        "summary": "",
        "notes": ["Boxing has no scripted expert: frames were collected with random held actions."],
        "strips": [],
        "costs": {
            "wall_seconds": 512.0, "stage_seconds": {"frames": 8.1, "denoiser": 241.0},
            "stages_made": 14, "stages_reused": 2,
        },
        "provenance": {
            "git_commit": "0123456789abcdef0123456789abcdef01234567", "dirty": True,
            "versions": {"torch": "2.13.0", "numpy": "2.4.6"}, "device": "cpu",
            "config": {"steps=1": {"sampler": {"steps": 1}, "denoiser": {"updates": 2060}}},
        },
        "paths": {"home": "mlruns", "mlflow_command": "diamond ui --home mlruns"},
    }  # fmt: skip


def three_arms() -> dict[str, Any]:
    """Return the study of the main command: one step is less sharp, 3 and 10 are alike."""
    return document(
        {"steps=1": 0.57, "steps=3": 0.66, "steps=10": 0.65},
        [
            comparison("steps=1", "steps=3", (-0.09, -0.11, -0.07)),
            comparison("steps=1", "steps=10", (-0.08, -0.10, -0.06)),
            comparison("steps=3", "steps=10", (0.01, -0.01, 0.03)),
        ],
    )


def fail(doc: dict[str, Any], name: str, error: str) -> None:
    """Turn every run of an arm into a failed one."""
    for arm in doc["arms"]:
        if arm["name"] == name:
            arm |= {"metrics": {}, "curves": {}, "interval": None}
            for run in arm["runs"]:
                run |= {"state": "failed", "error": error, "returns": None, "costs": None}


def frames_of(seed: int) -> NDArray[np.uint8]:
    """Return six frames with values over the whole range."""
    generator = np.random.default_rng(seed)
    return generator.integers(0, 256, (len(STEPS), 32, 32, 3), dtype=np.uint8)


def strips_of(doc: dict[str, Any]) -> list[Strips]:
    """Return the film strips of one start."""
    names = ["real", *dict.fromkeys(arm["name"] for arm in doc["arms"])]
    rows = tuple((name, frames_of(index)) for index, name in enumerate(names))
    return [Strips("Boxing", 0, 3, STEPS, rows)]


# Summary.


def test_summary_tells_a_clear_difference_with_all_its_numbers() -> None:
    doc = three_arms()
    doc["comparisons"] = doc["comparisons"][:1]
    assert summarise(doc) == (
        "Boxing: with 1 denoising step the moving objects are less sharp than with 3 (core ratio "
        "0.57 against 0.66 on average over 100 time steps, real 0.68; difference -0.09, 95% "
        "interval -0.11 to -0.07 over 12 starts of one trained model)."
    )


def test_summary_picks_the_largest_clear_difference_with_the_first_arm() -> None:
    text = summarise(three_arms())
    assert "with 1 denoising step the moving objects are less sharp than with 3 (" in text
    assert ", and 1 denoising step and 10 differ as well (difference -0.08" in text
    assert "3 denoising steps and 10" not in text


def test_summary_prefers_a_clear_difference_to_a_larger_unclear_one() -> None:
    doc = three_arms()
    doc["comparisons"][1] |= {"difference": -0.3, "lo": -0.7, "hi": 0.1}
    text = summarise(doc)
    assert text.startswith("Boxing: with 1 denoising step the moving objects are less sharp")
    assert text.endswith(", and 1 denoising step and 10 show no difference.")


def test_summary_turns_a_comparison_round_so_that_the_first_arm_comes_first() -> None:
    doc = three_arms()
    doc["comparisons"] = [comparison("steps=3", "steps=1", (0.09, 0.07, 0.12))]
    assert "difference -0.09, 95% interval -0.12 to -0.07" in summarise(doc)


def test_summary_says_that_no_difference_was_shown() -> None:
    doc = three_arms()
    doc["comparisons"] = [comparison("steps=1", "steps=3", (-0.01, -0.03, 0.01))]
    text = summarise(doc)
    assert text.startswith("Boxing: no difference between 1 denoising step and 3 was shown (")
    assert "less sharp" not in text


def test_summary_claims_nothing_without_an_interval() -> None:
    doc = three_arms()
    doc["comparisons"] = [comparison("steps=1", "steps=3", (-0.4, 0.0, 0.0), lo=None, hi=None)]
    text = summarise(doc)
    assert "can be neither shown nor ruled out" in text
    assert "no interval" in text


def test_summary_names_the_failed_arm_and_its_cause() -> None:
    doc = three_arms()
    doc["comparisons"] = doc["comparisons"][:1]
    fail(doc, "steps=10", "loss is not finite at update 12.\n  last good checkpoint: 10")
    assert summarise(doc).endswith(
        ", steps=10 has no result (failed: loss is not finite at update 12)."
    )


def test_summary_without_any_result_gives_the_causes() -> None:
    doc = three_arms()
    doc["comparisons"] = []
    for name in ("steps=1", "steps=3", "steps=10"):
        fail(doc, name, "disk full")
    text = summarise(doc)
    assert "nothing was measured" in text
    assert "steps=3 failed: disk full" in text


def test_summary_of_a_study_that_stops_early_names_the_stage() -> None:
    doc = three_arms() | {"until": "denoiser", "comparisons": []}
    for arm in doc["arms"]:
        arm |= {"metrics": {}, "curves": {}}
    assert "was to stop after the stage denoiser" in summarise(doc)


def test_summary_of_a_single_arm_describes_it_beside_the_baselines() -> None:
    text = summarise(document({"steps=3": 0.66}, []))
    assert "one arm, so nothing was compared" in text
    assert "3 denoising steps 0.66 (95% interval 0.64 to 0.68), real 0.68, copy-last 0.68" in text


def test_summary_says_when_there_is_no_baseline() -> None:
    doc = document({"steps=3": 0.66}, [])
    doc["arms"] = [arm for arm in doc["arms"] if arm["kind"] == "arm"]
    assert summarise(doc).endswith("no baseline was measured.")


def test_summary_counts_seeds_where_they_are_the_replicates() -> None:
    row = comparison("steps=1", "steps=3", (-0.09, -0.14, -0.04), n=3, unit="seed")
    text = summarise(document({"steps=1": 0.57, "steps=3": 0.66}, [row], seeds=(0, 1, 2)))
    assert "95% interval -0.14 to -0.04 over 3 training seeds" in text
    assert "one trained model" not in text


@pytest.mark.parametrize("stage", ["denoiser", "agent"])
def test_summary_counts_one_model_per_arm_where_arms_train_apart(stage: str) -> None:
    names = ("denoiser.optimizer.lr=0.0001", "denoiser.optimizer.lr=0.0003")
    doc = document({names[0]: 0.57, names[1]: 0.66}, [comparison(*names, (0.09, 0.07, 0.11))])
    doc["arms"][0]["runs"][0]["stages"] = {stage: {"key": "d0" * 32}}
    doc["arms"][1]["runs"][0]["stages"] = {stage: {"key": "e1" * 32}}
    text = summarise(doc)
    assert f"with {names[0]} the moving objects are sharper than with {names[1]} (" in text
    assert "over 12 starts of one trained model per arm" in text


def test_summary_has_a_clause_for_each_game() -> None:
    doc = document(
        {"steps=1": 0.57, "steps=3": 0.66},
        [
            comparison("steps=1", "steps=3", (-0.09, -0.11, -0.07)),
            comparison("steps=1", "steps=3", (0.0, -0.02, 0.02), game="Breakout"),
        ],
        games=("Boxing", "Breakout"),
    )
    text = summarise(doc)
    assert text.startswith("Boxing: with 1 denoising step")
    assert "; Breakout: no difference between 1 denoising step and 3 was shown" in text


def test_summary_never_speaks_of_returns() -> None:
    assert "return" not in summarise(three_arms())


def test_summary_words_follow_the_direction_of_the_metric() -> None:
    doc = three_arms() | {"primary_metric": "l1"}
    doc["comparisons"] = [comparison("steps=1", "steps=3", (-0.002, -0.003, -0.001), metric="l1")]
    text = summarise(doc)
    assert "with 1 denoising step the frames are more like the real ones than with 3" in text
    assert "difference -0.002, 95% interval -0.003 to -0.001" in text


def test_a_small_clear_difference_is_not_rounded_to_zero() -> None:
    assert visible_decimals((0.004, 0.001, 0.007), 2) == 3
    assert visible_decimals((0.0, None, 0.5), 2) == 2
    assert number(-0.0001, 2) == "0.00"


def test_the_cause_of_a_traceback_is_its_last_line() -> None:
    error = "Traceback (most recent call last):\n  File x\nValueError: bad frame\n"
    assert first_cause(error) == "ValueError: bad frame"
    assert first_cause(None) == "no cause was recorded"


# Figures.


def test_figures_are_equal_to_the_byte_on_a_second_call() -> None:
    doc = three_arms()
    for kind in ("svg", "png"):
        first = figure_bytes(horizon_figure(doc, "Boxing", "core_ratio"), kind)
        second = figure_bytes(horizon_figure(doc, "Boxing", "core_ratio"), kind)
        assert first == second


def test_a_figure_draws_arms_baselines_and_the_real_value() -> None:
    figure = horizon_figure(three_arms(), "Boxing", "core_ratio")
    axes = figure.axes[0]
    drawn = [np.asarray(line.get_ydata(), float) for line in axes.lines]
    assert [len(line) for line in drawn] == [HORIZON] * 6
    assert np.isnan(drawn[1]).all()  # the median background has no foreground
    assert drawn[5] == pytest.approx(_curve("core_ratio_real", 0.0, 0.0)["mean"], abs=0.01)
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["steps=1", "steps=3", "steps=10", "real frames", "copy-last", "95% interval"]
    assert axes.get_title() == "Boxing: Core ratio (closer to the real frames is better)"


def test_figures_show_units_and_leave_no_global_state() -> None:
    script = (
        "from matplotlib import rcParams\n"
        "def settings(): return {k: rcParams[k] for k in rcParams if k != 'backend'}\n"
        "before = settings()\n"
        "from tests.test_report import three_arms\n"
        "from diamond.report.figures import horizon_overview, figure_bytes\n"
        "figure = horizon_overview(three_arms(), 'Boxing'); figure_bytes(figure, 'png')\n"
        "assert len(figure.axes) == 6\n"
        "assert figure.axes[2].get_ylabel() == 'PSNR [dB]'\n"
        "import sys; assert 'matplotlib.pyplot' not in sys.modules\n"
        "assert settings() == before\n"
    )
    root = Path(__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=root, check=False
    )
    assert done.returncode == 0, done.stderr


def test_an_overview_without_values_is_refused() -> None:
    doc = document({"steps=3": 0.66}, [])
    for arm in doc["arms"]:
        arm["curves"] = {}
    with pytest.raises(ValueError, match="no main metric"):
        horizon_overview(doc, "Boxing")


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
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
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
    return write_report(doc, strips_of(doc), tmp_path_factory.mktemp("report"))


def test_the_page_is_whole_and_asks_for_nothing_from_outside(report: ReportPaths) -> None:
    page = parsed(report)
    assert page.open == []
    assert page.links
    assert all(link.startswith("data:image/") for link in page.links)
    source = report.html.read_text()
    assert not re.search(r"(src|href|srcset|action)\s*=\s*[\"']?\s*(https?:)?//", source)
    assert "url(" not in source
    assert "@import" not in source


def test_the_page_names_every_arm_and_escapes_markup(report: ReportPaths) -> None:
    page = parsed(report)
    for name in ("steps=1", "steps=10", "copy-last", "median-background", MALICIOUS):
        assert name in page.text
    assert "script" not in page.tags
    assert "<script>" not in report.markdown.read_text()


def test_the_page_says_what_the_reader_must_know(report: ReportPaths) -> None:
    for text in (parsed(report).text, report.markdown.read_text().replace("\\", "")):
        assert "How does steps (denoising steps) change fidelity in Boxing?" in text
        assert "bootstrap over starts within one trained model" in text
        assert "unit of replication is the start (n = 12)" in text
        assert LABEL[1:] in text
        assert "machine that other work shared" in text
        assert "0123456789abcdef0123456789abcdef01234567 with uncommitted changes" in text
        assert "diamond ablate steps=1,3,10" in text
        assert "held-out episode 3" in text


def test_the_page_follows_the_colour_scheme_and_scrolls_wide_parts(report: ReportPaths) -> None:
    source = report.html.read_text()
    assert "prefers-color-scheme: dark" in source
    assert source.count("<table>") == source.count('<div class="scroll" tabindex')


def test_every_picture_that_the_markdown_shows_exists(report: ReportPaths) -> None:
    links = re.findall(r"\]\((\S+?)\)", report.markdown.read_text())
    assert len(links) == 6  # four metrics, the overview and a strip
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
    assert len(widths) == 8  # four metrics, comparisons, returns, costs, stages
    assert all(len(counts) == 1 for counts in widths)


def test_no_temporary_file_is_left(report: ReportPaths) -> None:
    names = [path.name for path in report.html.parent.rglob("*")]
    assert not [name for name in names if name.startswith(".")]


def test_a_second_report_equals_the_first(tmp_path: Path) -> None:
    doc = document({"steps=3": 0.66}, [])
    doc["metrics"] = [row for row in doc["metrics"] if row["name"] == "core_ratio"]
    first = write_report(doc, strips_of(doc), tmp_path)
    before = {path: path.read_bytes() for path in (first.html, first.markdown, *first.figures)}
    second = write_report(copy.deepcopy(doc), strips_of(doc), tmp_path)
    assert second == first
    assert {path: path.read_bytes() for path in before} == before
    assert "a comparison needs two arms with results" in parsed(second).text


def test_a_study_without_results_still_has_a_page_that_says_why(tmp_path: Path) -> None:
    doc = three_arms() | {"comparisons": []}
    doc["arms"] = [arm for arm in doc["arms"] if arm["kind"] == "arm"]
    for name in ("steps=1", "steps=3", "steps=10"):
        fail(doc, name, "Traceback (most recent call last):\n  ...\nOSError: disk <full>")
    paths = write_report(doc, [], tmp_path)
    text = parsed(paths).text
    assert paths.figures == ()
    assert "OSError: disk <full>" in text
    assert "No film strips: no run came to an end (see the failed runs)." in text
    assert "No paired comparison: no run came to an end" in text


def test_a_study_that_stops_early_names_the_stage_in_every_empty_section(tmp_path: Path) -> None:
    doc = three_arms() | {"until": "denoiser", "comparisons": []}
    for arm in doc["arms"]:
        arm |= {"metrics": {}, "curves": {}}
        for run in arm["runs"]:
            run |= {"state": "cut", "returns": None, "costs": None}
    text = parsed(write_report(doc, [], tmp_path)).text
    assert "Failed runs" not in text
    for section in ("No fidelity was measured", "No film strips", "No returns"):
        assert f"{section}: the study was to stop after the stage denoiser." in text


# Tables.


def test_metric_tables_start_with_the_primary_metric_and_its_real_value() -> None:
    first, second = metric_tables(three_arms(), "Boxing")[:2]
    assert first.title == "Core ratio: closer to the real frames is better, primary metric"
    assert [row.name for row in first.rows] == [
        "real frames", "steps=1", "steps=3", "steps=10", "copy-last",
    ]  # fmt: skip
    assert first.rows[1].cells[-1].text == "0.570"
    assert first.rows[1].cells[-1].detail == "0.550 to 0.590"
    assert [row.name for row in second.rows][-1] == "median-background"


def test_the_comparison_table_says_what_each_interval_shows() -> None:
    rows = comparison_table(three_arms()).rows
    assert [row.cells[3].text for row in rows] == ["a difference", "a difference", "no difference"]
    assert rows[0].cells[2].detail == "-0.110 to -0.070"


def test_the_comparison_table_has_p_values_with_their_smallest_possible_one() -> None:
    doc = three_arms()
    assert "p" not in comparison_table(doc).columns
    doc["comparisons"][0] |= {"p": 0.25, "p_min": 0.25, "p_corrected": 0.5}
    table = comparison_table(doc)
    assert {len(row.cells) for row in table.rows} == {len(table.columns) - 1}
    assert table.rows[0].cells[5].detail == "at least 0.25"


def test_markdown_code_fences_hold_any_text() -> None:
    assert markdown.fenced("a ``` b", "sh") == "````sh\na ``` b\n````"


# Terminal.


def rendered(doc: dict[str, Any]) -> str:
    """Return the terminal table of Boxing at 100 columns."""
    console = Console(width=100, file=io.StringIO(), force_terminal=False, color_system=None)
    console.print(result_table(doc, "Boxing"))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_terminal_table_fits_and_shows_every_name_and_number() -> None:
    text = rendered(three_arms())
    assert max(len(line) for line in text.splitlines()) <= 100
    assert "…" not in text
    for name in ("steps=1", "steps=3", "steps=10", "copy-last", "median-background"):
        assert re.search(rf"^{name} ", text, re.MULTILINE)
    assert re.search(r"steps=1 .* 0\.57 +0\.68 ", text)
    assert "0.55-0.59" in text
    assert "-4.0 to 0.9" in rendered(three_arms() | {"report_steps": [1, 10]})
    assert "random policy gets -1.2" in text


def test_long_arm_names_cost_intervals_and_not_letters() -> None:
    names = ("denoiser.optimizer.learning_rate=0.0001", "denoiser.optimizer.learning_rate=0.0003")
    text = rendered(document({names[0]: 0.57, names[1]: 0.66}, []))
    assert max(len(line) for line in text.splitlines()) <= 100
    assert all(name in text for name in names)
    assert "0.55-0.59" in text  # the primary metric keeps its interval


def test_a_failed_arm_says_so_in_the_terminal_table() -> None:
    doc = three_arms()
    fail(doc, "steps=10", "disk full")
    assert re.search(r"^steps=10 +failed", rendered(doc), re.MULTILINE)


def test_a_table_without_results_has_the_names() -> None:
    doc = three_arms() | {"comparisons": []}
    for name in ("steps=1", "steps=3", "steps=10", "copy-last", "median-background"):
        fail(doc, name, "disk full")
    assert re.search(r"^steps=3 +failed", rendered(doc), re.MULTILINE)


def test_the_terminal_table_and_the_summary_load_no_matplotlib() -> None:
    script = (
        "import sys, diamond.report.console, diamond.report.summary\n"
        "assert not {'matplotlib', 'torch', 'numpy'} & set(sys.modules)\n"
    )
    root = Path(__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=root, check=False
    )
    assert done.returncode == 0, done.stderr
