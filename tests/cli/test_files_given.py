"""Files that a user gives: marks at their beginning, nesting without end."""

from collections.abc import Callable
from pathlib import Path

import pytest

from diamond.config.checkpoint_record import CHECKPOINT_FILE, read_checkpoint
from diamond.engine.files import read_json, write_json
from diamond.engine.needed_stages import FILE_NAME as NEEDS_FILE
from diamond.engine.needed_stages import REPORT_FILE, written_needs
from diamond.engine.study_history import FILE_NAME, read_entries
from diamond.errors import RequestError, StoreError
from diamond.plan.declarations import load_declaration
from diamond.results.score_files import read_score_file
from diamond.studies.study_list import Study, report_of
from diamond.sweep.declaration import SweepOptions, load_sweep

DEPTH = 100_000
SWEEP = """question = "q?"
preset = "smoke"
games = ["Boxing"]
[space]
steps = { int = [1, 4] }
[[objectives]]
metric = "psnr"
[budget]
trials = 2
"""
DECLARATION = 'question = "q?"\nprimary = "core_ratio"\naxes.steps = [1, 3]\n'


def test_a_byte_order_mark_is_no_part_of_a_file(tmp_path: Path) -> None:
    for name, text, read in (
        ("sweep.toml", SWEEP, lambda path: load_sweep(path, SweepOptions()).declaration),
        ("ablation.toml", DECLARATION, lambda path: load_declaration(path).declaration),
    ):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        plain = read(str(path))
        path.write_text(text, encoding="utf-8-sig")
        assert read(str(path)) == plain


NESTED = {
    "lists": "x = " + "[" * DEPTH + "]" * DEPTH,
    "tables": "x = " + "{a=" * DEPTH + "1" + "}" * DEPTH,
    "parts of a key": "a." * DEPTH + "a = 1",
    "parts of a table's name": "[" + "a." * DEPTH + "a]",
}


@pytest.mark.parametrize("nested", NESTED.values(), ids=NESTED)
@pytest.mark.parametrize("load", [load_declaration, lambda path: load_sweep(path, SweepOptions())])
def test_toml_that_is_nested_without_end_is_refused(
    load: Callable[[str], object], nested: str, tmp_path: Path
) -> None:
    path = tmp_path / "deep.toml"
    path.write_text(f'question = "q?"\n{nested}\n')
    with pytest.raises(RequestError, match=r"deep\.toml: tables or lists are nested too deeply"):
        load(str(path))


@pytest.mark.parametrize(("begin", "end"), [("[", "]"), ('{"a":', "}")])
def test_json_that_is_nested_without_end_is_refused(begin: str, end: str, tmp_path: Path) -> None:
    path = tmp_path / CHECKPOINT_FILE
    path.write_text(begin * DEPTH + "1" + end * DEPTH)
    with pytest.raises(RequestError, match="cannot be read as JSON"):
        read_checkpoint(tmp_path)
    with pytest.raises(RequestError, match="it is not JSON that can be read"):
        read_score_file(path)
    assert read_json(path) is None


@pytest.mark.parametrize("data", [b"9" * 5000, b'{"a": "\xe9"}', b"\xff\xfe{\x00}\x00", b""])
def test_a_stored_document_that_is_no_json_counts_as_lost(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(data)
    assert read_json(tmp_path / "a.json") is None


@pytest.mark.parametrize("entries", [[3], [{}], {}, [{"arms": 3, "num_seeds": 1, "command": "x"}]])
def test_plans_of_another_form_are_damaged(entries: object, tmp_path: Path) -> None:
    write_json(tmp_path / FILE_NAME, entries)
    with pytest.raises(StoreError, match="cannot be read"):
        read_entries(tmp_path)


@pytest.mark.parametrize("written", [[], 3, {"a | b": "x"}, {"arms": 3}])
def test_needs_of_another_form_are_not_known(written: object, tmp_path: Path) -> None:
    write_json(tmp_path / NEEDS_FILE, written)
    assert written_needs(tmp_path) is None


@pytest.mark.parametrize("document", [[], {}, {"paths": 3}])
def test_a_report_of_another_form_is_damaged(document: object, tmp_path: Path) -> None:
    write_json(tmp_path / REPORT_FILE, document)
    with pytest.raises(StoreError, match="is damaged"):
        report_of(Study("one", tmp_path, [], {}))
