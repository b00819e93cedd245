"""The blocks of docs/own-data.md work as written, up to the plan of the study."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands import ROOT, diamond

PAGE = (ROOT / "docs" / "own-data.md").read_text(encoding="utf-8")
WALK = re.search(r"`walk\.py`.*?```python\n(?P<code>.*?)```", PAGE, re.DOTALL)
BLOCK = re.compile(
    r"\*\*`?\.?(?P<kind>\w+)`?\*\*(?:(?!```).)*```sh\npython - <<'EOF'\n(?P<code>.*?)\nEOF\n"
    r"(?P<commands>.*?)```",
    re.DOTALL,
)
BLOCKS = {match["kind"]: match for match in BLOCK.finditer(PAGE)}
MOST_LINES = 10


def test_every_kind_has_a_block_of_ten_lines() -> None:
    assert list(BLOCKS) == ["npz", "npy", "HDF5", "Minari", "Video", "PNGs"]
    for match in BLOCKS.values():
        lines = [*match["code"].splitlines(), *match["commands"].splitlines()]
        assert len(lines) <= MOST_LINES


@pytest.mark.parametrize("match", BLOCKS.values(), ids=BLOCKS)
def test_a_block_leads_from_nothing_to_a_study(match: re.Match[str], tmp_path: Path) -> None:
    assert WALK is not None
    (tmp_path / "walk.py").write_text(WALK["code"], encoding="utf-8")
    made = subprocess.run(
        [sys.executable, "-c", match["code"]],
        cwd=tmp_path,
        env={**os.environ, "MINARI_DATASETS_PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    taken_in, asked = (shlex.split(line)[1:] for line in match["commands"].splitlines())
    if match["kind"] == "Minari":
        taken_in[1] = str(tmp_path / taken_in[1])
    done = diamond(*taken_in, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stdout
    planned = diamond(*asked, "--dry-run", cwd=tmp_path)
    assert planned.returncode == 0, planned.stderr
    assert "denoiser" in planned.stdout
