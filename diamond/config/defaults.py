"""What a command takes where it is not told; no records, so that `diamond --help` needs none."""

DEFAULT_PRESET = "tiny"
DEFAULT_GAME = "MinAtar/Breakout-v1"
DEFAULT_ATARI_GAME = "Boxing"
ATARI_PRESETS = ("smoke", "small", "paper")
"""Presets that are not made for a game of minutes."""


def default_game(preset: str) -> str:
    """The game of a preset where none is given."""
    return DEFAULT_ATARI_GAME if preset in ATARI_PRESETS else DEFAULT_GAME
