"""A policy in its game and in its imagination: the film begins with equal frames."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence

from diamond.config.presets import make_preset
from tests.agents import write_agent
from tests.commands import ROOT, environment

FILE = ROOT / "examples" / "two_games.py"


@pytest.mark.parametrize("game", ["Breakout", "MinAtar/Breakout-v1"])
def test_both_games_begin_with_the_same_frames(game: str, tmp_path: Path) -> None:
    agent, film = write_agent(tmp_path / "agent", make_preset("smoke", game)), tmp_path / "film.gif"
    flags = ["--checkpoint", str(agent), "--film", str(film), "--steps", "8"]
    done = subprocess.run(
        [sys.executable, "-W", "error", str(FILE), *flags],
        capture_output=True,
        text=True,
        env=environment(),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "real game: return" in done.stdout and "imagined: return" in done.stdout
    with Image.open(film) as pictures:
        seen = [np.asarray(each.convert("RGB"))[24:] for each in ImageSequence.Iterator(pictures)]
    assert len(seen) > 4
    for index in range(4):
        assert (seen[index][:, :200] == seen[index][:, -200:]).all(), index
