"""Texts cut to the lengths that MLflow keeps, so that what is read back equals what was sent."""

from collections.abc import Mapping

MAX_TAG = 8000
_MAX_PARAM = 6000
_CUT = "\n\n(cut here; the whole text is in the report)"


def fit_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Return tags with values of at most 8000 characters."""
    return {name: value[:MAX_TAG] for name, value in tags.items()}


def fit_params(params: Mapping[str, str]) -> dict[str, str]:
    """Return params with values of at most 6000 characters."""
    return {name: value[:_MAX_PARAM] for name, value in params.items()}


def fit_description(text: str) -> str:
    """Return Markdown that fits into a tag, cut at the end of a line where it is too long."""
    if len(text) <= MAX_TAG:
        return text
    head = text[: MAX_TAG - len(_CUT)]
    return (head.rpartition("\n")[0] or head) + _CUT
