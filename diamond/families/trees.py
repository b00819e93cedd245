"""Trees of tensors with a batch axis: states of world models.

A tree is a tensor, None, or a tuple, named tuple, list or dict of trees.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from torch import Tensor

T = TypeVar("T")


def replace(tree: T, rows: Tensor, other: T) -> T:
    """Put the rows of `other` (m of them) at the given rows (m,) int64 of every tensor."""
    return _map(lambda mine, theirs: mine.index_copy(0, rows, theirs), tree, other)


def tensors(tree: Any) -> dict[str, Tensor]:
    """All tensors by their place in the tree, such as ``memory.0``, for saving."""
    return dict(_leaves(tree, ""))


def with_tensors(tree: T, saved: Mapping[str, Tensor]) -> T:
    """A tree like another one from saved tensors."""
    places = iter(tensors(tree))
    return _map(lambda _: saved[next(places)], tree)


def _map(function: Callable[..., Tensor], tree: T, *others: Any) -> T:
    mapped: T = _mapped(function, tree, *others)
    return mapped


def _mapped(function: Callable[..., Tensor], tree: Any, *others: Any) -> Any:
    if tree is None:
        return None
    if isinstance(tree, Tensor):
        return function(tree, *others)
    if isinstance(tree, Mapping):
        return {
            name: _mapped(function, inner, *(other[name] for other in others))
            for name, inner in tree.items()
        }
    inner = [_mapped(function, *trees) for trees in zip(tree, *others, strict=True)]
    return type(tree)(*inner) if hasattr(tree, "_fields") else type(tree)(inner)


def _leaves(tree: Any, place: str) -> Iterator[tuple[str, Tensor]]:
    if tree is None:
        return
    if isinstance(tree, Tensor):
        yield place or "state", tree
        return
    if isinstance(tree, Mapping):
        named = list(tree.items())
    else:
        named = list(zip(getattr(tree, "_fields", range(len(tree))), tree, strict=True))
    for name, inner in named:
        yield from _leaves(inner, f"{place}.{name}" if place else str(name))
