"""Which points none beats."""

from collections.abc import Sequence


def pareto(losses: Sequence[tuple[float, ...]]) -> list[int]:
    """The indices of the points that no other beats somewhere without being worse elsewhere.

    Args:
        losses: How bad each point is, by what is compared; less is better.

    Returns:
        Indices by rising losses. Equal points all belong, in their order.
    """
    front: list[int] = []
    for index in sorted(range(len(losses)), key=lambda index: losses[index]):
        own = losses[index]
        if not any(_beats(losses[kept], own) for kept in front):
            front.append(index)
    return front


def _beats(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))
