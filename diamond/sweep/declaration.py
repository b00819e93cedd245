"""Sweeps as TOML files: a space, objectives, a sampler and a budget; no Optuna here."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from diamond.config.base import content_hash
from diamond.config.game_names import check_game, recording_of
from diamond.config.recorded import RecordedFrames
from diamond.errors import RequestError
from diamond.plan.declarations import Override
from diamond.plan.recipe import declared_part, find_preset
from diamond.plan.recordings.asked_recordings import asked_recordings
from diamond.plan.toml_files import (
    at_line,
    find_named,
    read_record,
    read_text,
    run_checks,
)
from diamond.sweep.declared_sweep import GUIDE, MAX_TRIALS, SweepDeclaration, check_pruner, checks

FOLDER = "studies"


@dataclass(frozen=True)
class Sweep:
    """A sweep in its file, as a command asks for it.

    Attributes:
        path: The file, absolute.
        declaration: What it says, with the options of the command in place.
        name: Name of the study.
        checkpoint: Folder of a trained agent that takes the place of training, or None.
        overrides: What the command changed.
        recordings: What must be known of those that trials are trained on.
    """

    path: Path
    declaration: SweepDeclaration
    name: str
    checkpoint: Path | None = None
    overrides: tuple[Override, ...] = field(default=())
    recordings: tuple[RecordedFrames, ...] = ()

    @property
    def identity(self) -> str:
        """Hash of what the trials of a study must agree on to be compared.

        Budget, sampler, pruner and confirmation may change from one command to the next.
        """
        said = self.declaration
        recorded = [one.digest for one in self.recordings]
        return content_hash(
            ({"recordings": recorded} if recorded else {})
            | {
                "preset": declared_part(said.preset),
                "games": list(said.games),
                "seeds": said.seeds,
                "protocol": said.protocol,
                "until": said.until,
                "settings": dict(said.settings),
                "space": {n: p.model_dump(mode="json") for n, p in said.space.items()},
                "objectives": [one.model_dump(mode="json") for one in said.objectives],
                "constraints": [one.model_dump(mode="json") for one in said.constraints],
                "checkpoint": None if self.checkpoint is None else str(self.checkpoint),
            }
        )


@dataclass(frozen=True)
class SweepOptions:
    """Options of a command in place of what is declared, None where it is silent.

    Recordings are looked for in the home.
    """

    trials: int | None = None
    preset: str | None = None
    games: tuple[str, ...] | None = None
    seeds: int | None = None
    name: str | None = None
    checkpoint: Path | None = None
    frames: str | None = None
    home: Path = Path()


def load_sweep(word: str, options: SweepOptions = SweepOptions()) -> Sweep:
    """Read a sweep by its name or file.

    Args:
        word: Name of a file in `studies/` of the current folder, or that comes with the package;
            or the path of a .toml file.
        options: What the command changes.

    Raises:
        RequestError: There is no such sweep, or it is not valid; the text names the line.
    """
    path = _find(word)
    text = read_text(path, "sweep")
    declaration = read_sweep(text, path)
    asked = _with_options(path, declaration, options)
    found = asked_recordings(options.frames, asked.declaration.games, options.home)
    return replace(asked, recordings=found)


def read_sweep(text: str, path: Path) -> SweepDeclaration:
    """Read the text of a sweep.

    Raises:
        RequestError: It is not valid; the text names the line.
    """
    said = read_record(text, path, SweepDeclaration, GUIDE)
    if not said.space:
        raise at_line(
            path,
            text,
            ("space",),
            "[space] is empty: there is nothing to search\n"
            "  add a parameter, for instance: steps = { int = [1, 10] }",
        )
    run_checks(text, path, checks(said))
    return said


def _find(word: str) -> Path:
    def refusal(guess: str, names: str) -> str:
        return (
            f"cannot read {word!r}: a sweep is a file in {FOLDER}/, or its name.{guess}\n"
            f"  sweeps: {names}\n  for instance: diamond sweep studies/sampler.toml"
        )

    return find_named(word, FOLDER, "sweep", refusal)


def _with_options(path: Path, said: SweepDeclaration, options: SweepOptions) -> Sweep:
    """Put the options of a command in the place of what is declared."""
    games = said.games if options.games is None else options.games
    preset = said.preset if options.preset is None else find_preset(options.preset)
    pairs: dict[str, tuple[str, str]] = {
        "--preset": (str(said.preset), str(preset)),
        "--game": (",".join(said.games), ",".join(games)),
        "--seeds": (str(said.seeds), str(options.seeds or said.seeds)),
        "--checkpoint": ("nothing", str(options.checkpoint or "nothing")),
    }
    overrides = tuple(
        Override(option=option, declared=old, given=new)
        for option, (old, new) in pairs.items()
        if old != new
    )
    budget = said.budget
    if options.trials is not None:
        _check_count("--trials", options.trials, MAX_TRIALS)
        budget = budget.model_copy(update={"trials": options.trials})
    if options.seeds is not None:
        _check_count("--seeds", options.seeds, MAX_TRIALS)
    for game in games:
        check_game(game)
    seeds = options.seeds or said.seeds
    changed = {"preset": preset, "games": games, "seeds": seeds, "budget": budget}
    parts = [
        path.stem,
        *(_word(new) for option, (old, new) in pairs.items() if old != new and option != "--seeds"),
    ]
    if options.frames is not None and options.games == tuple(filter(_is_game, games)):
        parts.append(_word(f"frames-{options.frames}"))
    name = options.name or "-".join(parts)
    changed_said = said.model_copy(update=changed)
    check_pruner(changed_said)
    return Sweep(path, changed_said, name, options.checkpoint, overrides)


def _check_count(option: str, count: int, most: int) -> None:
    if not 1 <= count <= most:
        raise RequestError(f"{option} {count}: allowed are 1 to {most}")


def _is_game(name: str) -> bool:
    return recording_of(name) is None


def _word(value: str) -> str:
    """An overriding value in the name of a study, which names a folder."""
    name = Path(value).name
    return "".join(
        letter if letter.isalnum() or letter in "._+=" else "-" for letter in name
    ).lower()
