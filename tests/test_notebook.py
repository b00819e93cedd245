"""The example notebook runs from its first cell to its last, as CI executes it."""

from pathlib import Path
from typing import Any

import pytest

from tests.commands import ROOT, STUDY, environment

nbformat = pytest.importorskip("nbformat", reason='needs nbclient: pip install -e ".[dev]"')
nbclient = pytest.importorskip("nbclient", reason='needs nbclient: pip install -e ".[dev]"')
pytest.importorskip("ipykernel", reason='needs ipykernel: pip install -e ".[dev]"')

NOTEBOOK = ROOT / "examples" / "notebook.ipynb"


def read() -> Any:
    return nbformat.read(NOTEBOOK, as_version=4)


def outputs(cell: Any, kind: str) -> str:
    """What a cell wrote: ``"stdout"``, ``"stderr"``, or as a type of data."""
    return "".join(
        one["text"] if one["output_type"] == "stream" else one["data"].get(kind, "")
        for one in cell.outputs
        if one["output_type"] != "stream" or one["name"] == kind
    )


def test_it_is_committed_without_outputs() -> None:
    nbformat.validate(read())
    cells = [cell for cell in read().cells if cell.cell_type == "code"]
    assert len(cells) >= 7
    assert all(not cell.outputs and cell.execution_count is None for cell in cells)


def test_every_cell_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment().items():
        monkeypatch.setenv(name, value)
    notebook = read()
    client = nbclient.NotebookClient(
        notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    plan, run, numbers, head, overall, curves, strip = [
        cell for cell in notebook.cells if cell.cell_type == "code"
    ][1:]
    assert f"study {STUDY}" in outputs(plan, "stdout")
    assert "rollouts (steps=3): done in" in outputs(run, "stderr")
    assert "Core ratio" in outputs(run, "stdout")
    assert "copy last frame" in outputs(numbers, "stdout")
    assert "time_step" in outputs(head, "text/html")
    assert "core_ratio" in outputs(overall, "text/html")
    for cell in (curves, strip):
        assert outputs(cell, "image/png")
    assert (tmp_path / "mlruns" / "studies" / STUDY / "report.html").exists()
