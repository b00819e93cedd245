"""What a request varies, before it meets a game, and the name of the study that it makes."""

import re
from dataclasses import dataclass
from typing import Literal

from diamond.config.checkpoint_record import Checkpoint
from diamond.config.game_names import recording_of, slug_of
from diamond.errors import RequestError
from diamond.plan.designs import lay_out, read_arms, read_setting
from diamond.plan.find_axis import Axis
from diamond.plan.grammar import Assignment, parse_assignments
from diamond.plan.recordings.asked_recordings import recorded_word
from diamond.plan.request import Design, Request
from diamond.plan.variants import Setting

MAX_ARMS = 1000
AGENT_ARM = "agent"
"""Name of the arm of a study that varies nothing."""


@dataclass(frozen=True)
class Layout:
    """What a request varies, before it meets a game: settings, or the ends of a path, and arms."""

    design: Design | Literal["arms"]
    settings: tuple[Setting, ...]
    ends: tuple[Setting, Setting] | None
    arms: tuple[Setting, ...]

    @property
    def varied(self) -> tuple[Axis, ...]:
        """The axes of the design, each once."""
        return tuple(axis for axis, _ in self.settings[0].chosen) if self.settings else ()

    def chosen(self) -> tuple[tuple[Axis, str], ...]:
        """Every axis that any arm sets, with the texts of its values."""
        pairs = [
            pair
            for setting in (*self.settings, *(self.ends or ()), *self.arms)
            for pair in setting.chosen
        ]
        return tuple(dict.fromkeys(pairs))


def study_name(
    layout: Layout,
    games: tuple[str, ...],
    request: Request,
    checkpoint: Checkpoint | None,
) -> str:
    """Name a study without the values of its axes, so that values and arms can be added.

    The design, what arms are matched by and where their starts begin are part of what a study is;
    a grid and the first start go without saying, and seeds are no part of it.
    """
    origin = (
        request.protocol if checkpoint is None else f"checkpoint-{checkpoint.source_sha256[:8]}"
    )
    first = ["train"] if request.goal == "agent" else []
    first += [] if layout.design == "grid" else [layout.design]
    names = [axis.name for axis in layout.varied]
    if layout.ends is not None:
        start, end = (_end_name(setting) for setting in layout.ends)
        names = [start, "to", end]
    matched = [] if request.match is None else [f"match-{request.match}"]
    if request.settings:
        matched.append(f"set-{_end_name(read_setting(request.settings, 'settings'))}")
    starts = [] if request.first_start == 0 else [f"start-{request.first_start}"]
    shown = [slug_of(game) for game in games]
    if any(recording_of(game) is None for game in games) and request.recordings:
        shown.append(recorded_word(request.recordings))
    return "-".join([*first, *names, *matched, *starts, *shown, str(request.preset), origin])


def _end_name(setting: Setting) -> str:
    """An end of a path in the name of a folder: ``ddpm``, ``ddpm+steps=3``."""
    words = [
        text if axis.kind == "bundle" else f"{axis.name}={text}" for axis, text in setting.chosen
    ]
    return re.sub(r"[^\w.=+-]+", "_", "+".join(words))


def layout_of(request: Request) -> Layout:
    """Read what a request varies.

    Raises:
        RequestError: Something in it does not exist or does not go together.
    """
    arms = read_arms(request.arms)
    _check_ends(request)
    if request.design == "path":
        start = read_setting(request.path_from, "--from")
        end = read_setting(request.path_to, "--to")
        layout = Layout("path", (), (start, end), arms)
    elif request.goal == "agent" and not request.assignments:
        layout = Layout("grid", (Setting(AGENT_ARM, ()),), None, ())
    elif arms and not request.assignments and request.design == "grid":
        layout = Layout("arms", (), None, arms)
    else:
        settings = lay_out(request.design, _assignments(request))
        layout = Layout(request.design, settings, None, arms)
    num_arms = len(layout.settings) + len(layout.arms)
    if num_arms > MAX_ARMS:
        raise RequestError(
            f"{num_arms} combinations are more than {MAX_ARMS} arms\n"
            "  vary fewer values, or one factor at a time: --design ofat"
        )
    return layout


def _check_ends(request: Request) -> None:
    """A path has two ends and no axes; nothing else has ends."""
    example = "diamond ablate --design path --from formulation=ddpm --to formulation=edm"
    for option, texts in (("--from", request.path_from), ("--to", request.path_to)):
        if request.design == "path" and not "".join(texts).strip():
            raise RequestError(f"--design path needs {option}\n  for instance: {example}")
        if request.design != "path" and texts:
            raise RequestError(
                f"{option} {' '.join(texts)!r} is an end of a path, and the design is "
                f"{request.design}\n  add --design path, for instance: {example}"
            )
    if request.design == "path" and request.assignments:
        raise RequestError(
            f"--design path takes no axes: {' '.join(request.assignments)!r}\n"
            f"  what both ends share goes into both, for instance: {example}"
        )


def _assignments(request: Request) -> tuple[Assignment, ...]:
    repeats: Literal["refused", "kept"] = "kept" if request.design == "zip" else "refused"
    assignments = parse_assignments(request.assignments, repeats)
    for assignment in assignments:
        if request.goal == "agent" and len(assignment.values) > 1:
            raise RequestError(
                f"{assignment.name}={','.join(assignment.values)}: `diamond train` makes one "
                "agent\n"
                "  give one value, or compare values with `diamond ablate ... --protocol "
                f"{request.protocol}`"
            )
    return assignments
