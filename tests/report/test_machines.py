"""What a result says where its stages were made on several kinds of machines."""

from pathlib import Path
from typing import Any

import pytest

from diamond.engine.devices import processor_name
from diamond.engine.stage_manifest import Machine, read_manifest, write_manifest
from diamond.report.console import result_table
from diamond.report.machines import machines_clause, machines_table
from diamond.report.warning import warn
from diamond.results.number_text import ABSENT
from tests.commands import SMOKE, STUDY, copy_home, diamond, report
from tests.result_documents import document, result

GAME = "Boxing"
OLD = {"device": "cpu", "name": "Old 1", "instructions": "AVX2", "host": "n1"}
NEW = {"device": "cpu", "name": "New 2", "instructions": "AVX512", "host": "n2"}
UNKNOWN = {"device": "cpu"}


def study(
    *arms: dict[str, tuple[str, dict[str, str] | None]], seeds: tuple[int, ...] = (0,)
) -> dict[str, Any]:
    """A document of arms with stages by name: key and machine."""
    names = [f"steps={place}" for place in range(len(arms))]
    doc = document(dict.fromkeys(names, 0.6), [], seeds=seeds) | {"preset": "tiny"}
    for arm in doc["arms"]:
        stages = arms[names.index(arm["name"])] if arm["kind"] == "arm" else {}
        for run in arm["runs"]:
            run["stages"] = {
                name: {"key": key, "machine": machine} for name, (key, machine) in stages.items()
            }
    return doc


def told(doc: dict[str, Any]) -> list[tuple[str, ...]]:
    table = machines_table(result(doc))
    return [(row.name, *(cell.text for cell in row.cells)) for row in table.rows]


def clause(doc: dict[str, Any]) -> str:
    return machines_clause(result(doc).arms_of(GAME, "arm"))


def test_arms_of_two_processors_are_warned_of_and_shown() -> None:
    doc = study(
        {"denoiser": ("a", OLD), "rollouts": ("b", OLD)},
        {"denoiser": ("a", OLD), "rollouts": ("c", NEW)},
    )
    assert told(doc) == [
        ("steps=0", "Old 1 (AVX2)", "n1", "denoiser, rollouts"),
        ("steps=1", "Old 1 (AVX2)", "n1", "denoiser"),
        ("steps=1", "New 2 (AVX512)", "n2", "rollouts"),
    ]
    expected = (
        "arms that are compared were made on several kinds of machines (Old 1 (AVX2) with steps=0, "
        "New 2 (AVX512) with steps=1): single frames may differ by rounding alone, and times do "
        "not compare"
    )
    assert expected in warn(result(doc))
    caption = result_table(result(doc), GAME).caption
    assert "Made on: Old 1 (AVX2): steps=0, steps=1; New 2 (AVX512): steps=1." in caption


@pytest.mark.parametrize(
    "other",
    [NEW | {"name": "Old 1"}, OLD | {"device": "cpu (compiled)"}, OLD | {"device": "cuda"}],
    ids=["instructions", "compiled", "device"],
)
def test_all_that_decides_bits_makes_a_kind(other: dict[str, str]) -> None:
    doc = study({"denoiser": ("a", OLD)}, {"denoiser": ("b", other)})
    assert len(told(doc)) == 2 and clause(doc)


@pytest.mark.parametrize(
    "other",
    [OLD, OLD | {"host": "n9"}, UNKNOWN, None],
    ids=["same", "another host", "manifest without a machine", "result without a machine"],
)
def test_one_kind_of_machine_is_not_talked_about(other: dict[str, str] | None) -> None:
    doc = study({"denoiser": ("a", OLD)}, {"denoiser": ("b", other)})
    assert told(doc) == [] and clause(doc) == ""
    assert "Made on" not in result_table(result(doc), GAME).caption


def test_arms_that_agree_stage_by_stage_are_shown_and_not_warned_of() -> None:
    doc = study(
        {"denoiser": ("a", OLD), "rollouts": ("b", NEW)},
        {"denoiser": ("c", OLD), "rollouts": ("d", NEW)},
    )
    assert len(told(doc)) == 4 and clause(doc) == ""


def test_a_stage_that_arms_share_does_not_tell_them_apart() -> None:
    doc = study({"frames": ("f", OLD)}, {"frames": ("f", NEW)})
    assert clause(doc) == ""


def test_a_stage_that_was_made_on_two_kinds_names_its_seeds() -> None:
    doc = study({"denoiser": ("a", OLD)}, seeds=(0, 1))
    doc["arms"][0]["runs"][1]["stages"] = {"denoiser": {"key": "b", "machine": NEW}}
    assert told(doc) == [
        ("steps=0", "Old 1 (AVX2)", "n1", "denoiser (seed 0)"),
        ("steps=0", "New 2 (AVX512)", "n2", "denoiser (seed 1)"),
    ]


def test_a_stage_of_unknown_machine_is_shown_as_unknown_beside_several_kinds() -> None:
    doc = study({"frames": ("a", UNKNOWN), "denoiser": ("b", OLD)}, {"denoiser": ("c", NEW)})
    assert ("steps=0", "unknown (cpu)", ABSENT, "frames") in told(doc)


def test_a_report_says_on_what_its_stages_were_made_where_that_differs(
    smoke_home: Path, tmp_path: Path
) -> None:
    before = result(report(smoke_home))
    made = {
        stage.machine.name
        for arm in before.arms
        for run in arm.runs
        for stage in run.stages.values()
        if stage.machine is not None
    }
    assert made == {processor_name()}
    place = Path("studies", STUDY, "report.html")
    assert "Made on" not in (smoke_home / place).read_text()
    home = copy_home(smoke_home, tmp_path / "home")
    key = before.arms_of(GAME, "arm")[1].runs[0].stages["rollouts"].key
    folder = home / "stages" / "rollouts" / key
    manifest = read_manifest(folder)
    assert manifest is not None
    other: Machine = {"name": "Another one", "instructions": "AVX2", "host": "n2"}
    write_manifest(folder, {**manifest, "machine": other})
    done = diamond("ablate", *SMOKE, "--home", str(home), page=True)
    assert done.returncode == 0, done.stderr
    page = home / place
    assert "Made on" in page.read_text() and "Another one (AVX2) with steps=3" in page.read_text()
    assert "### Made on" in page.with_suffix(".md").read_text()
    assert "Another one (AVX2)" in done.stdout
