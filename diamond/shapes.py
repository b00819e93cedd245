"""The axis letters used in docstrings.

B batch, t time, c channels, h height, w width, k history or classes.
"""

AXES: dict[str, str] = {
    "b": "batch",
    "t": "time, env steps",
    "c": "channels",
    "h": "height, pixels",
    "w": "width, pixels",
    "k": "history frames, or classes",
}
