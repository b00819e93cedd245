"""Names of the files that stages write, for those who read them; nothing heavy is imported here."""

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

MANIFEST_FILE = "manifest.json"
EVENTS_FILE = "events.jsonl"
WEIGHTS_FILE = "weights.safetensors"
SHAPE_FILE = "shape.json"
"""What a network needs to know of the data it was trained on: its actions, height, width."""
FRAMES_FILE = "frames.npz"
"""Imagined frames (horizon, h, w, 3) of each start, under its number."""
SAMPLES_FILE = "samples.npz"
"""Several imagined futures (samples, horizon, h, w, 3) of each start, under its number.

The first one is that of `FRAMES_FILE`."""
COUNTERFACTUAL_FILE = "counterfactual.npz"
"""Frames (horizon, h, w, 3) of each start, imagined under other actions by the same noise."""
DRAWN_EVENTS_FILE = "drawn_events.safetensors"
"""What was imagined around real events: see `diamond.makers.imagined_events.draw_events`."""
OFF_DATA_EVENTS_FILE = "off_data_events.safetensors"
"""The same of the starts off the data."""
NO_EVENTS = "no_events"
"""Among the timings of a part that was to be trained around events, and found none."""
FILMS_FILE = "films.npz"
"""Frames (horizon, h, w, 3) of the starts that reports show, where the others were dropped."""
SCORES_FILE = "scores.safetensors"
OFF_DATA_FOLDER = "off_data"
"""In references: the files of the starts off the data."""
OFF_DATA_FRAMES_FILE = "off_data.npz"
"""Imagined frames (horizon, h, w, 3) of each start off the data, under its number."""
OFF_DATA_SCORES_FILE = "off_data.safetensors"
"""Scores of the starts off the data."""
HELD_OUT_FILE = "held_out.json"
"""How a judge does on held-out real frames."""
RETURNS_FILE = "returns.json"
"""What a player played in the real game: `diamond.results.played_episodes`."""
CHECKPOINT_FILE = "checkpoint/state.safetensors"
STATE_FILE = "state.safetensors"
"""The state of a training that was stopped on purpose, from which a longer one begins."""
STATE_ENTRY = "state"
"""In the metadata of both: a checksum of tensors and counters, and the counters, as JSON."""


def scores_file(stage: str, file: str = SCORES_FILE) -> str:
    """Where the scores of a scoring stage are; returns are scores of their own."""
    return RETURNS_FILE if stage == "returns" and file == SCORES_FILE else file


def curve_file(updates: int) -> str:
    """The weights of a policy after so many updates, before the end of its training."""
    return f"curve/{updates:08d}.safetensors"


def share_done(attempt: Path) -> float:
    """How much of the work of an unfinished stage its checkpoint holds, 0 to 1."""
    counters = _counters(attempt)
    done, total = (counters.get(name, 0) for name in ("done", "total"))
    return min(1.0, done / total) if total else 0.0


def committed_events(attempt: Path) -> tuple[int, str]:
    """How much of an unfinished stage's event log belongs to its checkpoint, and its digest.

    None of it when there is no checkpoint.
    """
    counters = _counters(attempt)
    digest = counters.get("event_digest", sha256().hexdigest())
    return int(counters.get("event_bytes", 0)), str(digest)


def _counters(attempt: Path) -> Mapping[str, Any]:
    """The counters of a checkpoint, none where there is none."""
    # The stage may end, and its attempt go, at any moment; what is damaged may be anything.
    try:
        with safe_open(attempt / CHECKPOINT_FILE, framework="np") as file:
            _, text = json.loads(file.metadata()[STATE_ENTRY])
        return dict(json.loads(text))
    except (SafetensorError, OSError, TypeError, ValueError, KeyError):
        return {}
