"""Correction of p values for their number; the tests that make them live beside it."""

from collections.abc import Sequence


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Correct p values for their number by Holm's step-down procedure.

    Args:
        p_values: p values in [0, 1] in any order; None where a comparison has none.

    Returns:
        The corrected values in the same order, at least the raw ones and at most 1. None stays None
        and does not count.

    Raises:
        ValueError: When a p value is not in [0, 1].

    Source: Holm (1979), A simple sequentially rejective multiple test procedure.
    """
    present = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    corrected: list[float | None] = [None] * len(p_values)
    running = 0.0
    for rank, (p, index) in enumerate(present):
        if not 0 <= p <= 1:
            raise ValueError(f"p values must be in [0, 1], got {p}")
        running = max(running, min(1.0, (len(present) - rank) * p))
        corrected[index] = running
    return corrected
