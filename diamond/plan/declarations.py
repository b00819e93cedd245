"""Declarations: TOML files that state a question, its claims and its design before anything runs.

Laying out arms is the plan's; verdicts are in `diamond.findings.claim_verdicts`.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, StrictBool, StrictInt, StrictStr

from diamond.config.base import Record, content_hash
from diamond.config.defaults import DEFAULT_PRESET, default_game
from diamond.config.engine_options import check_options
from diamond.config.game_names import check_game
from diamond.config.metric_table import RETURN
from diamond.errors import RequestError, unknown
from diamond.plan.asked_metrics import METRICS_FIELD, asked_metrics
from diamond.plan.claims.claim_grammar import FIDELITY_METRICS, Comparison, render_claim
from diamond.plan.claims.claim_parser import parse_claim
from diamond.plan.find_axis import find_axis, load_families
from diamond.plan.preset_file import DeclaredPreset
from diamond.plan.recipe import Preset, base_of, declared_part
from diamond.plan.request import (
    ALL_STAGES,
    NO_MATCH,
    check_design,
    check_match,
    check_protocol_name,
    check_stage,
)
from diamond.plan.toml_files import (
    AxisText,
    Key,
    SlurmOptions,
    find_named,
    join_dotted,
    names_in,
    read_record,
    read_text,
    run_checks,
)

FOLDER = "ablations"


def _check_name(name: str) -> str:
    if not re.fullmatch(r"\w[\w .-]{0,59}", name):
        raise ValueError("a claim's name has at most 60 letters, digits, spaces and . - _")
    return name


Texts = tuple[StrictStr, ...]
ClaimName = Annotated[StrictStr, AfterValidator(_check_name)]
Sentence = Annotated[StrictStr, Field(min_length=1)]


class DeclaredClaim(Record):
    """A claim as it was declared."""

    name: ClaimName = Field(description="short name, for tables and tags")
    text: Sentence = Field(description="the claim in words, and who made it")
    expression: StrictStr = Field(description="the claim as a comparison of what arms scored")

    @property
    def comparison(self) -> Comparison:
        """The expression, read."""
        return parse_claim(self.expression, None)


class Declaration(Record):
    """What a declaration says; the order of the fields is that of the reference."""

    question: Sentence = Field(description="what the study asks, in words")
    primary: StrictStr = Field(description="metric that is named beforehand")
    design: StrictStr = Field("grid", description="grid, ofat, zip or path")
    axes: Annotated[
        dict[str, Annotated[tuple[AxisText, ...], Field(min_length=1)]],
        BeforeValidator(join_dotted),
    ] = Field(default_factory=dict, description="values per axis; the first ones are the baseline")
    start: StrictStr | None = Field(None, alias="from", description="where a path begins")
    to: StrictStr | None = Field(None, description="where a path ends")
    arms: Texts = Field((), description="arms written out: 'name: axis=value axis=value'")
    settings: Annotated[dict[str, AxisText], BeforeValidator(join_dotted)] = Field(
        default_factory=dict, description="what all arms share: a value per axis or field"
    )
    seeds: StrictInt = Field(1, ge=1, description="training seeds per arm and game")
    preset: DeclaredPreset = Field(DEFAULT_PRESET, description="preset")
    games: Annotated[Texts, Field(min_length=1)] = Field(
        default_factory=lambda said: (default_game(base_of(said.get("preset", DEFAULT_PRESET))),),
        description="games",
    )
    protocol: StrictStr = Field("static", description="static or online")
    until: StrictStr | None = Field(None, description="last stage, or all")
    match: StrictStr | None = Field(
        None, description="at what equal cost arms are compared, or none"
    )
    controls: StrictBool = Field(
        False, description="whether the baseline arm is there with known defects too"
    )
    claims: tuple[DeclaredClaim, ...] = Field((), description="what the answer is expected to be")
    slurm: SlurmOptions = Field(
        default_factory=dict, exclude=True, description="what is said to Slurm"
    )


class Override(Record):
    """An option of the command that takes the place of what was declared."""

    option: str = Field(description="of the command")
    declared: str = Field(description="what the declaration says")
    given: str = Field(description="what took its place")


@dataclass(frozen=True)
class Given:
    """Options of a command, None where it is silent.

    Attributes:
        seeds: Training seeds per arm.
        until: Last stage, `ALL_STAGES` for what is declared to be lifted.
        match: Cost to match, `NO_MATCH` for what is declared to be lifted.
        checkpoint: Folder of a trained agent, and its game.
        aa: Whether the baseline is there once more.
        controls: Whether it is there with known defects, declared or not.
        first_seed: Training seed of the first run.
        first_start: Number of the first held-out start.
    """

    seeds: int | None = None
    games: tuple[str, ...] | None = None
    preset: Preset | None = None
    protocol: str | None = None
    until: str | None = None
    match: str | None = None
    name: str | None = None
    checkpoint: tuple[Path, str] | None = None
    aa: bool = False
    controls: bool = False
    first_seed: int = 0
    first_start: int = 0


@dataclass(frozen=True)
class Declared:
    """A declaration in its file.

    Attributes:
        path: The file, absolute.
        overrides: What the command changed.
    """

    path: Path
    declaration: Declaration
    overrides: tuple[Override, ...] = field(default=())

    @property
    def name(self) -> str:
        """The file's name without its suffix."""
        return self.path.stem

    def request(self, given: Given = Given()) -> dict[str, Any]:
        """The fields of a `Request`, with the options of a command in place of what is declared.

        The study has the declaration's name, and beside it whatever else it is about if an option
        says so: ``steps``, ``steps-smoke``, ``steps-pong-smoke``.
        """
        said = self.declaration
        if given.checkpoint is not None:
            seeds = 1 if given.seeds is None else given.seeds
            games = (given.checkpoint[1],) if given.games is None else given.games
        else:
            seeds = said.seeds if given.seeds is None else given.seeds
            games = said.games if given.games is None else given.games
        pairs: dict[str, tuple[Any, Any]] = {
            "--game": (said.games, games),
            "--preset": (said.preset, given.preset or said.preset),
            "--protocol": (said.protocol, given.protocol or said.protocol),
            "--seeds": (said.seeds, seeds),
            "--first-seed": (0, given.first_seed),
            "--first-start": (0, given.first_start),
            "--until": _over(said.until or ALL_STAGES, given.until),
            "--match": _over(said.match or NO_MATCH, given.match),
            "--checkpoint": (None, given.checkpoint and given.checkpoint[0]),
        }
        overrides = tuple(
            Override(option=option, declared=_shown(old), given=_shown(new))
            for option, (old, new) in pairs.items()
            if old != new
        )
        chosen = {option: new for option, (_, new) in pairs.items()}
        parts = [
            _part(option, new)
            for option, (old, new) in pairs.items()
            if old != new and option not in ("--seeds", "--first-seed", "--until")
        ]
        return {
            "assignments": tuple(f"{axis}={','.join(v)}" for axis, v in said.axes.items()),
            "preset": chosen["--preset"],
            "games": games,
            "num_seeds": seeds,
            "until": chosen["--until"],
            "name": given.name or "-".join([self.name, *parts]),
            "checkpoint": chosen["--checkpoint"],
            "protocol": check_protocol_name(chosen["--protocol"]),
            "design": check_design(said.design),
            "path_from": () if said.start is None else (said.start,),
            "path_to": () if said.to is None else (said.to,),
            "arms": said.arms,
            "aa": given.aa,
            "controls": said.controls or given.controls,
            "match": check_match(chosen["--match"]),
            "settings": tuple(f"{axis}={text}" for axis, text in said.settings.items()),
            "declared": Declared(self.path, said, overrides),
            "first_seed": given.first_seed,
            "first_start": given.first_start,
        }


def claims_hash(declaration: Declaration) -> str:
    """SHA-256 of what was claimed: question, claims, primary metric, and what arms are.

    Of an axis its name and its first value, the baseline's: further values may be added later.
    Spaces inside an expression are not part of it; seeds, games and the last stage are not either.
    """
    return content_hash(
        {
            "question": declaration.question,
            "claims": [
                {"name": c.name, "text": c.text, "expression": render_claim(c.comparison)}
                for c in declaration.claims
            ],
            "design": declaration.design,
            "axes": {axis: values[0] for axis, values in declaration.axes.items()},
            "from": declaration.start,
            "to": declaration.to,
            "arms": declaration.arms,
            "settings": declaration.settings,
            "preset": declared_part(declaration.preset),
            "protocol": declaration.protocol,
            "match": check_match(declaration.match),
            "primary": declaration.primary,
        }
    )


def load_declaration(word: str) -> Declared:
    """Read a declaration by its name or file.

    Args:
        word: Name of a file in `ablations/` of the current folder, or that comes with the package;
            or the path of a .toml file.

    Raises:
        RequestError: There is no such declaration, or it is not valid; the text names the line.
    """
    path = _find(word)
    return Declared(path, read_declaration(read_text(path, "declaration"), path))


def read_declaration(text: str, path: Path) -> Declaration:
    """Read the text of a declaration.

    Raises:
        RequestError: It is not valid; the text names the line.
    """
    guide = "docs/declarations.md shows a whole declaration"
    declaration = read_record(text, path, Declaration, guide)
    run_checks(text, path, _checks(declaration))
    return declaration


def declaration_names() -> list[str]:
    """Names of the declarations that can be given without a path."""
    return names_in(FOLDER)


def _find(word: str) -> Path:
    def refusal(guess: str, names: str) -> str:
        return (
            f"cannot read {word!r}: an ablation is written axis=value,value, or is the name of a "
            f"declaration.{guess}\n  for instance: diamond ablate steps=1,3,10\n"
            f"  declarations: {names}"
        )

    return find_named(word, FOLDER, "declaration", refusal)


def _checks(declaration: Declaration) -> Iterator[tuple[Key, Callable[[], object]]]:
    """What a record alone does not know, with the place that is at fault."""
    said = declaration
    yield ("design",), partial(check_design, said.design)
    yield from ((("games", n), partial(check_game, game)) for n, game in enumerate(said.games))
    yield ("protocol",), partial(check_protocol_name, said.protocol)
    yield ("until",), lambda: check_stage(said.until, check_protocol_name(said.protocol))
    yield ("match",), partial(check_match, said.match)
    yield ("settings", METRICS_FIELD), partial(asked_metrics, said.settings)
    yield ("primary",), partial(_check_primary, said)
    yield ("axes", "family"), partial(load_families, said.axes)
    yield ("settings", "family"), partial(load_families, {n: [t] for n, t in said.settings.items()})
    yield from ((("axes", axis), partial(find_axis, axis)) for axis in said.axes)
    for axis in said.settings:
        yield ("settings", axis), partial(find_axis, axis)
        if axis in said.axes:
            yield ("settings", axis), partial(_refuse, f"{axis} is varied in [axes] already")
    for name, text in said.slurm.items():
        yield ("slurm", name), partial(check_options, "slurm", {name: text})
    names = [claim.name for claim in said.claims]
    for number, claim in enumerate(said.claims):
        yield ("claims", number, "expression"), partial(_check_claim, said, claim)
        if claim.name in names[:number]:
            yield ("claims", number, "name"), partial(_refuse, f"two claims are {claim.name!r}")


def _check_word(kind: str, word: str, allowed: tuple[str, ...]) -> None:
    if word not in allowed:
        raise unknown(kind, word, allowed, "docs/declarations.md explains every key")


def _check_primary(said: Declaration) -> None:
    allowed = (*FIDELITY_METRICS, RETURN.name, *asked_metrics(said.settings))
    _check_word("primary metric", said.primary, allowed)


def _check_claim(said: Declaration, claim: DeclaredClaim) -> None:
    parse_claim(claim.expression, asked_metrics(said.settings))


def _refuse(why: str) -> None:
    raise RequestError(why)


def _over(declared: str, given: str | None) -> tuple[str, str]:
    return declared, given or declared


def _shown(value: object) -> str:
    return (
        ",".join(value) if isinstance(value, tuple) else "nothing" if value is None else str(value)
    )


def _part(option: str, value: object) -> str:
    """What an overriding value adds to the name of a study, which names a folder."""
    if (option, value) == ("--match", NO_MATCH):
        return "unmatched"
    if option == "--first-start":
        return f"start-{value}"
    text = value.name if isinstance(value, Path) else _shown(value)
    return re.sub(r"[^\w.=+-]+", "-", text).lower()
