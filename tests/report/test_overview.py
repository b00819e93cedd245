"""The head of a page: the overview of arms, their colours, configurations, places of the author."""

from pathlib import Path

import pytest

from diamond.report.figures.arm_colours import PALETTE, palette_css, places
from diamond.report.overview import overview_table
from diamond.report.prose import config_differences, config_text
from diamond.report.render import without_homes
from diamond.report.table import Table
from tests.result_documents import HORIZON, result, seeded, survival_row, three_arms


def column(table: Table, title: str) -> dict[str, tuple[str, str]]:
    """Text and tone of a column by row."""
    (place,) = (i for i, name in enumerate(table.columns) if name.startswith(title))
    return {row.name: (row.cells[place - 1].text, row.cells[place - 1].tone) for row in table.rows}


def test_the_overview_has_arms_real_frames_and_baselines_against_what_was_measured() -> None:
    doc = three_arms() | {
        "survival": [survival_row("steps=1", 91.0), survival_row("steps=3", None)]
    }
    table = overview_table(result(doc), "Boxing")
    assert [(row.name, row.kind) for row in table.rows] == [
        ("real frames", "real"), ("steps=1", "arm"), ("steps=3", "arm"), ("steps=10", "arm"),
        ("copy-last", "baseline"), ("median-background", "baseline"),
        ("random play", "baseline"), ("best constant action", "baseline"),
    ]  # fmt: skip
    # No frozen frames and no cells: nothing of this study measured them.
    assert [title.rstrip(" \N{UPWARDS ARROW}\N{DOWNWARDS ARROW}") for title in table.columns] == [
        "arm", "Core ratio (as real)", "PSNR [dB]", "IoU", "SSIM", "drift (L1)", "lasts until t",
        "return", "ms per frame", "NFE",
    ]  # fmt: skip
    assert {len(row.cells) for row in table.rows} == {len(table.columns) - 1}
    lasts = column(table, "lasts")
    assert [lasts[name][0] for name in ("steps=1", "steps=3", "steps=10")] == [
        "91", f">{HORIZON} \N{BLACK DIAMOND}", "–",
    ]  # fmt: skip
    assert column(table, "return")["random play"] == ("-1.20", "")
    assert column(table, "NFE")["steps=1"] == ("1 \N{BLACK DIAMOND}", "strong")


def test_the_best_arm_is_marked_and_what_a_baseline_beats_is_grey() -> None:
    doc = three_arms()
    # Real is 0.68 and so is copy last: no arm is nearer, and steps=3 is the nearest of them.
    core = column(overview_table(result(doc), "Boxing"), "Core ratio")
    assert core["steps=3"] == ("0.660 \N{BLACK DIAMOND}", "soft")
    assert core["steps=1"] == ("0.570", "soft")
    for arm in doc["arms"]:
        if arm["name"] == "copy-last":
            arm["metrics"]["core_ratio"]["mean"]["mean"] = 0.1
    core = column(overview_table(result(doc), "Boxing"), "Core ratio")
    assert core["steps=3"] == ("0.660 \N{BLACK DIAMOND}", "strong")
    assert core["steps=1"] == ("0.570", "")
    # Returns are worse than those of the best constant action.
    assert column(overview_table(result(doc), "Boxing"), "return")["steps=1"] == ("-1.6", "soft")


def test_a_preset_that_learns_nothing_has_no_best_arm_and_an_aa_arm_is_none() -> None:
    smoke = overview_table(result(three_arms() | {"preset": "smoke"}), "Boxing")
    assert "\N{BLACK DIAMOND}" not in str(smoke)
    doc = seeded()
    for arm in doc["arms"]:
        arm["aa"] = arm["name"] == "steps=1 again"
    table = overview_table(result(doc), "Boxing")
    assert [row.kind for row in table.rows if row.name == "steps=1 again"] == ["control"]
    assert "\N{BLACK DIAMOND}" not in column(table, "NFE")["steps=1 again"][0]


def test_an_arm_keeps_its_colour_whatever_else_a_study_has() -> None:
    alone = {name: places([name])[name] for name in ("steps=1", "steps=3", "steps=10", "steps=20")}
    assert len(set(alone.values())) == len(alone)
    assert places(["steps=20", "steps=3", "steps=10", "steps=1"]) == alone
    # 5 and 6 want one place: the first by the alphabet has it, in every order.
    both = places(["steps=6", "steps=5"])
    assert both == places(["steps=5", "steps=6"])
    assert both["steps=5"] == places(["steps=5"])["steps=5"] != both["steps=6"]
    # An arm without a rival keeps its colour even where others fight.
    assert places(["steps=6", "steps=5", "steps=1"])["steps=1"] == alone["steps=1"]
    many = [f"arm {number}" for number in range(3 * len(PALETTE))]
    assert len(set(places(many).values())) == len(many)
    for index, colour in enumerate(PALETTE):
        assert f".arm-{index}{{--arm:{colour.light}}}" in palette_css()
        assert f".arm-{index}{{--arm:{colour.dark}}}" in palette_css()


def test_one_configuration_is_shown_and_the_others_by_what_differs() -> None:
    doc = three_arms()
    doc["provenance"]["config"] = {
        "steps=1 | Boxing": {"world": {"family": "diamond", "sampler": {"steps": 1}}, "seed": 0},
        "steps=3 | Boxing": {"world": {"family": "diamond", "sampler": {"steps": 3}}, "seed": 0},
        "copy-last | Boxing": {"world": {"family": "copy_last"}, "seed": 0},
    }
    assert '"steps": 1' in config_text(result(doc))
    assert '"steps": 3' not in config_text(result(doc))
    table = config_differences(result(doc))
    assert [(row.name, *(cell.text for cell in row.cells)) for row in table.rows] == [
        ("steps=3 | Boxing", "world.sampler.steps", "3", "1"),
        ("copy-last | Boxing", "world.family", '"copy_last"', '"diamond"'),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("diamond ui --home /data/me/runs", "diamond ui --home runs"),
        ("sqlite:////data/me/runs/optuna.db", "sqlite:///runs/optuna.db"),
        ("/data/me/runs-2 and /data/me/runs/a", "/data/me/runs-2 and runs/a"),
        ("base64,iVBO/data/me/runs", "base64,iVBO/data/me/runs"),
        ("OSError: '/home/someone/x'", "OSError: '~/x'"),
    ],
)
def test_no_folder_of_the_author_is_shown(
    text: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "home", lambda: Path("/home/someone"))
    assert without_homes("/data/me/runs")(text) == expected
    assert without_homes("mlruns")("see mlruns") == "see mlruns"
