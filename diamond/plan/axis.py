"""What an axis is, and the kinds that most of them are; the rows are in `axis_table`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from diamond.config.base import canonical_json
from diamond.config.overrides import get_field
from diamond.config.run import RunConfig
from diamond.errors import unknown
from diamond.plan.grammar import one_form
from diamond.plan.stage_keys import StageName, first_stage_of_field
from diamond.stages.registry import stage_names

Settings = Mapping[str, Any]
"""Value per dotted config field; text is read as on the command line."""


@dataclass(frozen=True)
class Axis:
    """One thing that an ablation may vary.

    Attributes:
        name: What the user writes before the equals sign.
        meaning: One line.
        values: What is allowed, in words.
        source: Where the choice comes from.
        fields: Dotted names of all config fields that it may set.
        settings: The text of a value and the preset that it is set on, as it is before any axis,
            to what it sets. Raises `RequestError` for a text that is no value.
        current: The text of the value that a config has.
        kind: A bundle sets many fields at once, and other axes may change single ones of them
            again; it is applied before them, and the family before all.
    """

    name: str
    meaning: str
    values: str
    source: str
    fields: tuple[str, ...]
    settings: Callable[[str, RunConfig], Settings]
    current: Callable[[RunConfig], str]
    kind: Literal["single", "bundle", "family"] = "single"

    @property
    def first_stage(self) -> StageName:
        """The first stage that the axis touches; everything before it is shared by the arms."""
        return min((first_stage_of_field(field) for field in self.fields), key=stage_names().index)


def field_axis(name: str, field: str, meaning: str, values: str, source: str) -> Axis:
    """An axis that sets one config field to the text as it is given."""
    return Axis(
        name,
        meaning,
        values,
        source,
        (field,),
        settings=lambda text, _: {field: text},
        current=lambda config: shown(get_field(config, field)),
    )


def word_axis(
    name: str, words: Mapping[str, Any], fields: tuple[str, ...], meaning: str, source: str
) -> Axis:
    """An axis with a word for each value; it sets all of its fields to that one."""

    def settings(text: str, _: RunConfig) -> Settings:
        if text not in words:
            raise unknown(
                f"value of {name}", text, words, f"for instance {name}={','.join(list(words)[:2])}"
            )
        return dict.fromkeys(fields, words[text])

    def current(config: RunConfig) -> str:
        values = dict.fromkeys(get_field(config, field) for field in fields)
        names = {value: word for word, value in words.items()}
        return " / ".join(names.get(value, shown(value)) for value in values)

    return Axis(name, meaning, ", ".join(words), source, fields, settings, current)


def same_words(*words: str) -> Mapping[str, str]:
    """The words of an axis whose values are called as in the config."""
    return {word: word for word in words}


def shown(value: object) -> str:
    """The text that sets a config field to a value."""
    return value if isinstance(value, str) else one_form(canonical_json(value))
