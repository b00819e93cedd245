"""What a command takes where it is not told; no records, so that `diamond --help` needs none."""

DEFAULT_PRESET = "tiny"
DEFAULT_GAME = "MinAtar/Breakout-v1"
