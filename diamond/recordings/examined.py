"""A recording on its way into a home: read, checked, aligned; nothing is written yet."""

import re
from dataclasses import dataclass

from diamond.config.game_names import MAX_NAME, RECORDING_NAME
from diamond.config.recorded import Alignment, DiscreteActions, Recording
from diamond.errors import RequestError
from diamond.recordings.check import CheckReport, check
from diamond.recordings.cuts import DEFAULT_HOLD_OUT, Prepared, prepare
from diamond.recordings.episodes import Source
from diamond.training.alignment import HABIT, align


@dataclass(frozen=True)
class Wanted:
    """What a recording is to be.

    Attributes:
        name: What the home calls it.
        source: Where it came from, as the user wrote it.
        hold_out: A fraction in [0, 1], or names of episodes with commas between them.
        shift: Env steps by which actions are moved against frames.
    """

    name: str
    source: str
    hold_out: str = DEFAULT_HOLD_OUT
    shift: int = 0


@dataclass(frozen=True)
class Examined:
    """What was found.

    Attributes:
        recording: What the home would keep of it.
        warning: What to do where frames and actions do not fit; None where they may.
    """

    prepared: Prepared
    report: CheckReport
    recording: Recording
    warning: str | None

    def require_sound(self) -> None:
        """Refuse a recording of which nothing can be learnt.

        Raises:
            RequestError: There are problems.
        """
        if self.report.problems:
            told = "\n  ".join(self.report.problems)
            raise RequestError(f"{self.recording.source!r} cannot be used\n  {told}")


def check_name(name: str) -> None:
    """Refuse a name that is no name of a folder everywhere.

    Raises:
        RequestError: It has other characters, or begins with a dot.
    """
    if RECORDING_NAME.fullmatch(name):
        return
    mended = re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-._")[:MAX_NAME]
    hint = f", for instance --name {mended}" if mended else ""
    raise RequestError(
        f"--name {name!r}\n  allowed: letters, digits, '-', '_' and '.', at most {MAX_NAME}, the "
        f"first a letter or digit{hint}"
    )


def examine(source: Source, wanted: Wanted) -> Examined:
    """Read all frames once, and find out what they are.

    Raises:
        RequestError: The files, the split or the shift are not possible.
    """
    prepared = prepare(source, wanted.hold_out, wanted.shift)
    report, pairs = check(prepared)
    actions = report.actions
    discrete = len(actions.names) if isinstance(actions, DiscreteActions) else None
    alignment = None if report.problems else align(pairs, discrete)
    warning = _warning(alignment, wanted.shift)
    doubts = [] if alignment is None or alignment.told else [_doubt(alignment)]
    recording = Recording(
        name=wanted.name,
        digest=report.digest,
        source=wanted.source,
        kind=report.kind,
        height=report.height,
        width=report.width,
        frame_rate=report.frame_rate,
        parts=tuple(part.record for part in prepared.parts),
        split=report.split,
        actions=actions,
        rewards=report.rewards is not None,
        ends=report.num_ends is not None,
        shift=wanted.shift,
        alignment=alignment,
        remarks=(*report.remarks, *doubts, *([warning] if warning else [])),
    )
    return Examined(prepared, report, recording, warning)


def _warning(alignment: Alignment | None, shift: int) -> str | None:
    if alignment is None or not alignment.told or alignment.lag == 0:
        return None
    lag = alignment.lag
    seen = f"the change from frame i to frame i+1 shows action i{lag:+d}"
    steps = f"{abs(lag)} step{'' if abs(lag) == 1 else 's'}"
    mend = f"--shift {shift + lag} mends it"
    if lag > 0:
        return f"actions seem to stand {steps} too late: {seen}; {mend}"
    return (
        f"{seen}, and none after it: actions stand {steps} too early, and {mend}; or the game "
        "shows them late, and nothing is wrong"
    )


def _doubt(alignment: Alignment) -> str:
    least, best = min(alignment.scores), max(alignment.scores)
    why = f"the change from frame to frame shows too little of them (at best {best:.2f} of 1)"
    if least > HABIT * best > 0:
        why = "frames say what the player does before and after as well: it acts by habit"
    return f"whether actions fit their frames cannot be told: {why}"
