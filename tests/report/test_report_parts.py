"""Parts of the report: forest plot, costs, survival, player, LaTeX, figures inside the page."""

import base64
import io
import re
from pathlib import Path
from typing import get_args
from urllib.parse import unquote
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from diamond.config.metric_definitions import DEFINITIONS
from diamond.config.metric_table import RESULT_METRICS, Group
from diamond.report.figures.figure_style import figure_bytes, looks, marked_steps
from diamond.report.figures.forest import forest_figure, forest_panels
from diamond.report.figures.horizon_figures import (
    PANEL_POINTS,
    drawn_steps,
    horizon_figure,
    is_cut,
    is_logarithmic,
)
from diamond.report.figures.page_svg import page_svg, svg_uri
from diamond.report.figures.survival_figure import (
    survival_figure,
    survival_sentence,
    survival_table,
)
from diamond.report.figures.tradeoff import points, tradeoff_figure
from diamond.report.latex import table_latex
from diamond.report.player import BUDGET_BYTES, divergence, drift, players
from diamond.report.table import Cell, Row, Table
from diamond.report.tables import QUESTIONS, metric_groups
from diamond.stats.pareto import pareto
from tests.result_documents import (
    HORIZON,
    curve_of,
    document,
    films_of,
    result,
    seeded,
    survival_row,
    three_arms,
)

# Curves.


def test_coinciding_arms_differ_in_width_and_in_where_their_marks_are() -> None:
    arms = [look for arm, look in looks(result(three_arms()), "Boxing") if arm.kind == "arm"]
    assert [look.width for look in arms] == sorted({look.width for look in arms}, reverse=True)
    places = [marked_steps(look, HORIZON, logarithmic=True) for look in arms]
    # All but the early time steps, where a logarithmic axis has no room between two of them.
    assert not set(places[0][2:]) & set(places[1][2:])
    assert len({look.marker for look in arms}) == len(arms)
    assert marked_steps(arms[0], 0, logarithmic=True) == []


def test_a_simultaneous_band_is_drawn_below_the_interval_and_named() -> None:
    doc = three_arms()
    bare = horizon_figure(result(doc), "Boxing", "psnr")
    for arm in [arm for arm in doc["arms"] if arm["kind"] == "arm"]:
        curve = arm["curves"]["psnr"]
        curve["band_lo"] = [value - 5 for value in curve["lo"]]
        curve["band_hi"] = [value + 5 for value in curve["hi"]]
    figure = horizon_figure(result(doc), "Boxing", "psnr")
    assert len(figure.axes[0].collections) == 2 * len(bare.axes[0].collections)
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names[-2:] == ["95% interval at each t", "95% band, all t together"]
    wide, narrow = figure.axes[0].collections[:2]
    assert float(wide.get_alpha() or 1) < float(narrow.get_alpha() or 0)
    heights = [
        np.ptp(np.asarray(band.get_paths()[0].vertices, float)[:, 1]) for band in (wide, narrow)
    ]
    assert heights[0] - heights[1] == pytest.approx(10)


def test_intervals_below_zero_end_at_zero_and_the_page_is_told() -> None:
    doc = three_arms()
    assert not is_cut(result(doc), "Boxing", "l1")
    doc["arms"][0]["curves"]["l1"]["lo"][3] = -0.5
    assert is_cut(result(doc), "Boxing", "l1")
    assert horizon_figure(result(doc), "Boxing", "l1").axes[0].get_ylim()[0] == 0


def test_errors_of_different_sizes_have_a_logarithmic_scale() -> None:
    doc = three_arms()
    assert not is_logarithmic(result(doc), "Boxing", "l1")
    curve = doc["arms"][0]["curves"]["l1"]
    curve["mean"] = [50 * value for value in curve["mean"]]
    assert is_logarithmic(result(doc), "Boxing", "l1")
    axes = horizon_figure(result(doc), "Boxing", "l1").axes[0]
    assert axes.get_yscale() == "log"
    smallest = min(min(arm["curves"]["l1"]["mean"]) for arm in doc["arms"])
    assert axes.get_ylim()[0] == pytest.approx(smallest / 2)
    assert not is_logarithmic(result(doc), "Boxing", "psnr")


# Differences.


def test_the_forest_has_a_row_an_arm_with_its_interval_its_p_and_the_floor() -> None:
    figure = forest_figure(result(seeded()), "Boxing", "core_ratio")
    axes = figure.axes[0]
    names = [text.get_text() for text in axes.get_yticklabels()]
    assert names == ["steps=3", "steps=10", "steps=1 again (A/A)", "copy-last (not trained)"]
    intervals = [line for line in axes.lines if len(np.ravel(line.get_xdata())) == 2]
    assert [0.05, 0.13] in [[*map(float, np.ravel(i.get_xdata()))] for i in intervals]
    texts = " ".join(text.get_text() for text in axes.texts)
    assert "0.090 (0.050 to 0.130)   0.02" in texts
    assert "0.010 (-0.020 to 0.040)" in texts
    floor = axes.patches[0].get_extents().transformed(axes.transData.inverted())
    assert (floor.x0, floor.x1) == pytest.approx((-0.04, 0.04))


def test_a_difference_that_is_not_shown_has_a_hollow_mark() -> None:
    axes = forest_figure(result(seeded()), "Boxing", "core_ratio").axes[0]
    faces = [
        line.get_markerfacecolor() for line in axes.lines if len(np.ravel(line.get_xdata())) == 1
    ]
    assert [face == "#ffffff" for face in faces] == [False, True, True, False]


def test_the_other_metrics_share_the_rows_of_the_forest() -> None:
    figure = forest_panels(result(seeded()), "Boxing", ["psnr"])
    labels = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert labels == ["steps=3", "steps=10", "copy-last"]
    assert figure.axes[0].get_title() == "PSNR [dB]"


# Costs.


@given(st.lists(st.tuples(*[st.integers(0, 4).map(float)] * 2), max_size=12))
def test_the_pareto_front_holds_what_no_other_point_beats(losses: list[tuple[float, ...]]) -> None:
    brute = [
        index
        for index, own in enumerate(losses)
        if all(one == own or one[0] > own[0] or one[1] > own[1] for one in losses)
    ]
    assert pareto(losses) == sorted(brute, key=lambda index: losses[index])


def test_the_loss_of_a_metric_follows_its_direction() -> None:
    doc = three_arms()
    by_real = {
        one.arm: one.loss for one in points(result(doc), "Boxing", "denoiser_calls_per_frame")
    }
    real = float(np.mean(np.array(curve_of("core_ratio_real", 0.0, 0.0)["mean"], float)))
    assert by_real["steps=1"] == pytest.approx(abs(0.57 - real), abs=0.01)
    for metric, sign in (("psnr", -1), ("l1", 1)):
        found = points(result(doc | {"primary_metric": metric}), "Boxing", "ms_per_frame")
        assert all(one.loss == sign * one.value.mean for one in found)
    assert len(tradeoff_figure(result(doc), "Boxing").axes) == 2


def test_arms_without_costs_are_no_points() -> None:
    doc = three_arms()
    for run in doc["arms"][0]["runs"]:
        run["costs"] = None
    assert [one.arm for one in points(result(doc), "Boxing", "ms_per_frame")] == [
        "steps=3",
        "steps=10",
    ]


# Small panels.


@pytest.mark.parametrize("num_steps", [1, 2, 47, 48, 49, 100, 1000])
def test_a_small_panel_draws_at_most_so_many_time_steps(num_steps: int) -> None:
    shown = drawn_steps(num_steps, PANEL_POINTS)
    assert len(shown) <= PANEL_POINTS
    assert (shown[0], shown[-1]) == (0, num_steps - 1)
    assert (np.diff(shown) > 0).all()
    if num_steps <= PANEL_POINTS:
        assert shown.tolist() == list(range(num_steps))


# Survival.


def test_survival_is_drawn_and_told_where_the_document_has_it() -> None:
    doc = three_arms() | {
        "survival": [survival_row("steps=1", 91.0), survival_row("steps=3", None)]
    }
    axes = survival_figure(result(doc), "Boxing").axes[0]
    assert [len(np.ravel(line.get_ydata())) for line in axes.lines] == [HORIZON] * 2
    table = survival_table(result(doc), "Boxing")
    assert [cell.text for cell in table.rows[0].cells] == ["91", "0.45", "6", "12 starts"]
    assert table.rows[1].cells[0].text == "–"
    assert "above 0.08" in survival_sentence(result(doc), "Boxing")
    assert survival_table(result(three_arms()), "Boxing").rows == ()


# Player.


def test_the_drift_of_the_player_is_the_mean_absolute_difference() -> None:
    real, other = (np.random.default_rng(seed).integers(0, 256, (4, 6, 5, 3)) for seed in (0, 1))
    expected = np.abs(real / 255 - other / 255).mean(axis=(1, 2, 3))
    found = drift(real.astype(np.uint8), other.astype(np.uint8))
    assert found == pytest.approx(expected, abs=1e-12)  # rounding of sums of 90 terms


def test_divergence_is_the_first_step_of_each_sign() -> None:
    own = np.array([0.01, 0.03, 0.02, 0.09])
    reference = np.array([0.0, 0.03, 0.01, 0.5])
    assert divergence(own, reference, 0.05) == [
        {"step": 3, "why": "skill against copy-last below 0"},
        {"step": 4, "why": "L1 above 0.05"},
    ]
    assert divergence(own, None, 0.5) == []


def test_the_sheets_of_the_player_hold_every_frame_exactly() -> None:
    doc = three_arms()
    films = films_of(doc)
    (player,) = players(result(doc), films)
    assert player["steps"] == list(range(1, HORIZON + 1))
    assert [start["start"] for start in player["starts"]] == [0, 1]
    for film, start in zip(films, player["starts"], strict=True):
        for track in start["tracks"]:
            data = base64.b64decode(track["sheet"].removeprefix("data:image/webp;base64,"))
            pixels = np.array(Image.open(io.BytesIO(data)))
            frames = pixels.reshape(HORIZON, 8, 8, 3)
            assert np.array_equal(frames, dict(film.rows)[track["name"]])
    # Nothing is scored after the end of the real episode.
    assert len(player["starts"][1]["tracks"][1]["l1"]) == films[1].length == HORIZON - 10
    names = [track["name"] for track in player["starts"][0]["tracks"]]
    assert names == ["real", "steps=1", "steps=3", "steps=10", "copy-last", "median-background"]


def test_a_large_study_shows_fewer_starts_and_steps_and_says_so() -> None:
    doc = three_arms()
    (player,) = players(result(doc), films_of(doc, size=48))
    sheets = [track["sheet"] for start in player["starts"] for track in start["tracks"]]
    assert sum(map(len, sheets)) <= BUDGET_BYTES
    assert len(player["starts"]) == 1
    assert player["steps"][:2] == [1, 5]
    assert "Only 1 start, to keep the file small." in player["chosen"]
    assert "One time step in 4," in player["chosen"]
    assert players(result(doc), []) == []


def test_the_threshold_of_the_player_is_that_of_the_survival_curves() -> None:
    doc = three_arms() | {"survival": [survival_row("steps=1", None)]}
    assert players(result(doc), films_of(doc))[0]["threshold"] == 0.08


# LaTeX.


def test_a_latex_table_is_balanced_and_escaped() -> None:
    rows = (
        Row("a_b & 50% #1", "arm", (Cell("-0.40*", "-0.90 to 0.10"), Cell("–"))),
        Row("copy", "baseline", (Cell("1"), Cell("x^2 {y} \\z ~ <|>"))),
    )
    text = table_latex(Table("A $title$", ("arm", "d_1", "p"), rows), "x-y", {"study": "a\nb"})
    assert re.findall(r"\\(begin|end)\{(\w+)\}", text) == [
        ("begin", "table"), ("begin", "tabular"), ("end", "tabular"), ("end", "table"),
    ]  # fmt: skip
    for rule in ("toprule", "bottomrule"):
        assert text.count(f"\\{rule}") == 1
    assert text.count("\\midrule") == 2  # below the heading, above the baselines
    assert "\\begin{tabular}{lrr}" in text
    lines = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert [len(re.findall(r"(?<!\\)&", line)) for line in lines] == [2, 2, 2]
    assert r"a\_b \& 50\% \#1 & $-$0.40{*} [$-$0.90 to 0.10] & --" in text
    assert r"\{y\} \textbackslash{}z \textasciitilde{} \textless{}\textbar{}\textgreater{}" in text
    assert r"\caption{A \$title\$}" in text
    assert "% study: a b" in text
    bare = re.sub(r"\\[{}]", "", text)
    assert bare.count("{") == bare.count("}")


def test_rows_that_alternate_keep_their_order_in_latex() -> None:
    kinds = ("arm", "baseline", "arm", "baseline")
    rows = tuple(Row(f"row {i}", kind, (Cell("1"),)) for i, kind in enumerate(kinds))
    text = table_latex(Table("t", ("claim", "n"), rows), "x", {})
    assert re.findall(r"row \d", text) == ["row 0", "row 1", "row 2", "row 3"]
    assert text.count("\\midrule") == 1


# Figures inside the page.


def numbers(svg: str) -> list[float]:
    """The absolute points of every straight line of a figure, in drawing order."""
    found: list[float] = []
    for path in re.findall(r"""<path[^>]* d=["']([^"']*)["']""", svg):
        if re.search("[QCHVS]", path):
            continue
        x = y = 0.0
        for letter, rest in re.findall(r"([MLl])([^MLlz]*)", path):
            values = [float(one) for one in re.findall(r"-?(?:\d+\.?\d*|\.\d+)", rest)]
            for dx, dy in zip(values[::2], values[1::2], strict=True):
                x, y = (x + dx, y + dy) if letter == "l" else (dx, dy)
                found += [x, y]
    return found


def test_a_figure_of_the_page_draws_the_same_lines_to_a_tenth_of_a_point() -> None:
    plain = figure_bytes(horizon_figure(result(three_arms()), "Boxing", "psnr"), "svg")
    small = page_svg(plain)
    assert len(small) < 0.6 * len(plain)
    ElementTree.fromstring(small)
    # Each point is rounded by itself: at most half a tenth, and what float addition adds.
    assert numbers(small) == pytest.approx(numbers(plain.decode()), abs=0.0501)


def test_a_figure_of_the_page_has_a_second_set_of_colours() -> None:
    small = page_svg(figure_bytes(horizon_figure(result(three_arms()), "Boxing", "psnr"), "svg"))
    assert "prefers-color-scheme: dark" in small
    drawn = [
        look.colour for arm, look in looks(result(three_arms()), "Boxing") if arm.kind == "arm"
    ]
    for colour in drawn:
        assert small.count(colour) == 1  # where the variable is defined
        assert f"stroke: var(--c{colour[1:]})" in small
    uri = svg_uri(small)
    assert not set('"#%&') & set(re.sub("%[0-9A-F]{2}", "", uri))
    assert unquote(uri.removeprefix("data:image/svg+xml,")) == small


# Tables by group.


def test_metrics_stand_in_their_groups_after_the_primary_one() -> None:
    doc = document({"steps=1": 0.57}, [])
    for row in doc["metrics"]:
        row["group"] = "objects" if row["name"] == "foreground_iou" else "pixels"
    groups = metric_groups(result(doc), "Boxing")
    assert [group["name"] for group in groups] == [
        "primary metric", "Does it move when the game moves?", "Are the pixels right?",
    ]  # fmt: skip
    assert list(groups[1]["tables"]) == ["foreground_iou"]


def test_a_mean_says_over_which_time_steps_it_is() -> None:
    doc = document({"steps=1": 0.57}, [])
    for arm in doc["arms"]:
        curve = arm["curves"]["psnr"]
        curve |= {part: values[:16] + [None] * (HORIZON - 16) for part, values in curve.items()}
    tables = {n: t for g in metric_groups(result(doc), "Boxing") for n, t in g["tables"].items()}
    assert tables["psnr"].columns == ("arm", "t=1", "t=5", "t=10", "mean of t=1..16")
    assert tables["ssim"].columns[-1] == f"mean of t=1..{HORIZON}"


def test_every_metric_has_a_definition_and_its_place_in_the_documentation() -> None:
    assert set(DEFINITIONS) == {spec.name for spec in RESULT_METRICS}
    text = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
    headings = {line.lstrip("# ").partition(":")[0] for line in re.findall("^##+ .*", text, re.M)}
    for name, found in DEFINITIONS.items():
        assert found.heading in headings, name
        assert re.fullmatch(r"[^.]+(\.\d+[^.]*)?\.|[^.?]+\?", found.text), name
    table = metric_groups(result(three_arms()), "Boxing")[0]["tables"]["core_ratio"]
    assert table.caption == (
        "How much of each object is solid and not faint: its sharpness. More: docs/metrics.md, "
        "Core ratio."
    )


def test_every_group_of_metrics_answers_a_question() -> None:
    assert set(QUESTIONS) == set(get_args(Group))


def test_a_metric_of_a_whole_set_has_one_column() -> None:
    doc = document({"steps=1": 0.57}, [])
    doc["metrics"].append(
        {"name": "fd", "label": "FD", "unit": "", "direction": "lower", "kind": "set"}
    )
    doc["arms"][0]["metrics"]["fd"] = {"mean": {"mean": 3.0, "lo": 2.0, "hi": 4.0, "n": 3}}
    table = next(
        g["tables"]["fd"] for g in metric_groups(result(doc), "Boxing") if "fd" in g["tables"]
    )
    assert table.columns == ("arm", "all frames")
    assert table.rows[0].cells == (Cell("3.0", "2.0 to 4.0"),)
