"""Names of the files that stages write, for those who read them; nothing heavy is imported here."""

import json
from hashlib import sha256
from pathlib import Path

from safetensors import SafetensorError, safe_open

MANIFEST_FILE = "manifest.json"
EVENTS_FILE = "events.jsonl"
ACTIONS_FILE = "action_codes.json"
WEIGHTS_FILE = "weights.safetensors"
SHAPE_FILE = "shape.json"
"""What a network needs to know of the data it was trained on: number of actions, height, width."""
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


def committed_events(attempt: Path) -> tuple[int, str]:
    """How much of an unfinished stage's event log belongs to its checkpoint, and its digest.

    None of it when there is no checkpoint.
    """
    # The stage may end, and its attempt go, at any moment; what is damaged may be anything.
    try:
        with safe_open(attempt / CHECKPOINT_FILE, framework="np") as file:
            _, text = json.loads(file.metadata()[STATE_ENTRY])
        counters = json.loads(text)
        return int(counters["event_bytes"]), str(counters["event_digest"])
    except (SafetensorError, OSError, TypeError, ValueError, KeyError):
        return 0, sha256().hexdigest()
