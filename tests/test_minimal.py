"""The method in one file: it runs, leaves its picture, and rests on the lower layers alone."""

import ast
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from diamond.config.presets import make_preset

FILE = Path(__file__).parents[1] / "examples" / "minimal.py"
LOWER = {
    "agent", "config", "data", "envs", "families", "fidelity", "nets", "part", "records", "rng",
    "seeds", "training", "world",
}  # fmt: skip


def load() -> Any:
    spec = importlib.util.spec_from_file_location("minimal", FILE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_is_short_and_reads_like_the_method() -> None:
    text = FILE.read_text()
    assert len(text.splitlines()) <= 120
    imported = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom)]
    own = [node.module.split(".") for node in imported if node.module is not None]
    assert {names[1] for names in own if names[0] == "diamond"} <= LOWER


def test_everything_runs_and_the_picture_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    minimal = load()
    config, picture = make_preset("smoke", "Boxing"), tmp_path / "dreams.png"
    minimal.main(config, picture)
    printed = capsys.readouterr().out
    for part in ("denoiser", "reward_end", "policy"):
        updates = config.sections()[part]["updates"]
        assert f"{part:10} update {updates:5}" in printed
    assert "copy last" in printed and "nan" not in printed
    with Image.open(picture) as image:
        shown = np.asarray(image)
    real = minimal.held_out_episodes(config).targets
    assert shown.shape == (2 * len(real) * 32 * 4, real.shape[1] * 32 * 4, 3)
    rows = shown[::4, ::4].reshape(len(real), 2, 32, real.shape[1], 32, 3).swapaxes(2, 3)
    assert np.array_equal(rows[:, 0], real)
    assert not np.array_equal(rows[:, 1], real)


def test_the_recipe_is_scored_on_16_starts_at_the_fifth_step() -> None:
    minimal = load()
    config = minimal.recipe()
    assert (config.references.num_starts, minimal.TOLD) == (16, 5)
    assert config.references.horizon_steps >= minimal.TOLD
