"""Names of the files that stages write, for those who read them; nothing heavy is imported here."""

import json
from pathlib import Path

from safetensors import SafetensorError, safe_open

ACTIONS_FILE = "action_codes.json"
WEIGHTS_FILE = "weights.safetensors"
SHAPE_FILE = "shape.json"
"""What a network needs to know of the data it was trained on: number of actions, height, width."""
FRAMES_FILE = "frames.npy"
SAMPLES_FILE = "samples.npy"
"""Several imagined futures of each start (starts, samples, horizon, h, w, 3).

The first one is that of `FRAMES_FILE`."""
COUNTERFACTUAL_FILE = "counterfactual.npy"
"""Frames imagined under other actions by the same noise (starts, horizon, h, w, 3)."""
SCORES_FILE = "scores.safetensors"
HELD_OUT_FILE = "held_out.json"
"""How a judge does on held-out real frames."""
RETURNS_FILE = "returns.json"
CHECKPOINT_FILE = "checkpoint/state.safetensors"
STATE_FILE = "state.safetensors"
"""The state of a training that was stopped on purpose, from which a longer one begins."""


def committed_bytes(folder: Path) -> int:
    """How much of an unfinished stage's event log belongs to its checkpoint.

    0 when there is none.
    """
    target = folder / CHECKPOINT_FILE
    # The stage may end, and remove its checkpoint, at any moment.
    try:
        with safe_open(target, framework="np") as file:
            counters = json.loads(file.metadata()["counters"])
    except (OSError, SafetensorError):
        return 0
    return int(counters["event_bytes"])
