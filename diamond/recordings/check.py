"""What a recording holds, found in one pass over its frames before anything is written."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import cast

import numpy as np
from pydantic import Field

from diamond.arrays import ByteArray
from diamond.config.base import Record
from diamond.config.recorded import ActionsField, ContinuousActions, DiscreteActions
from diamond.data.frame_pairs import FramePairs, PairCollector
from diamond.errors import RequestError
from diamond.recordings.content import FrameDigest, content_of, digest_of, part_content
from diamond.recordings.cuts import LEAST_SCORED, Part, Prepared, read_parts

BLACK_LEVEL = 16
"""Of 255: no pixel of a black frame is brighter."""
MANY_REPEATS = 0.05
"""The share of repeated frames from which they are remarked on."""
_NAMED = 5
"""Episodes and actions that a sentence names."""


class Spread(Record):
    """Lengths of episodes, frames."""

    min: int
    median: float
    max: int


class Repeats(Record):
    """Frames that equal the one before."""

    num: int
    longest_run: int = Field(description="most such frames in a row")
    where: str | None = Field(description="episode and first frame of that run")


class Rewards(Record):
    """What actions earned."""

    negative: int
    zero: int
    positive: int
    sum: float


class CheckReport(Record):
    """What was found; `remarks` are to be known, with `problems` nothing is kept."""

    kind: str
    episodes: Spread
    num_episodes: int
    num_frames: int
    height: int
    width: int
    levels: tuple[int, int] = Field(description="lowest and highest level of any pixel")
    frame_rate: float | None
    actions: ActionsField
    rewards: Rewards | None
    num_ends: int | None = Field(description="actions that ended the game; null: not known")
    repeats: Repeats
    num_black: int = Field(description="frames that are black, or of one colour")
    constant: tuple[str, ...] = Field(description="episodes all of whose frames are equal")
    held_out: int = Field(description="parts that are held out")
    held_out_frames: int
    split: str
    digest: str
    remarks: tuple[str, ...]
    problems: tuple[str, ...]


@dataclass
class _Seen:
    """What passes by. Mutable."""

    size: tuple[int, int] | None = None
    low: int = 255
    high: int = 0
    num_frames: int = 0
    repeats: int = 0
    run: int = 0
    longest: int = 0
    longest_at: str | None = None
    black: int = 0
    first_black: str | None = None
    constant: list[str] = field(default_factory=list)

    def see(self, name: str, number: int, frame: ByteArray, before: ByteArray | None) -> None:
        if self.size is None:
            self.size = (frame.shape[0], frame.shape[1])
        if frame.shape != (*self.size, 3):
            raise RequestError(
                f"{name!r}, frame {number} has {frame.shape[0]} x {frame.shape[1]} pixels, those "
                f"before {self.size[0]} x {self.size[1]}\n  all frames need one size"
            )
        low, high = int(frame.min()), int(frame.max())
        self.low, self.high = min(self.low, low), max(self.high, high)
        self.num_frames += 1
        if high <= BLACK_LEVEL or bool((frame == frame[0, 0]).all()):
            self.black += 1
            self.first_black = self.first_black or _place(name, number)
        is_repeat = before is not None and np.array_equal(frame, before)
        self.run = self.run + 1 if is_repeat else 0
        self.repeats += is_repeat
        if self.run > self.longest:
            self.longest, self.longest_at = self.run, _place(name, number - self.run + 1)


def check(prepared: Prepared) -> tuple[CheckReport, FramePairs]:
    """Look at every frame once; one is in memory at a time, beside the small pairs.

    Returns:
        What was found, and the pairs by which frames and actions are aligned.

    Raises:
        RequestError: Frames differ in size, or an episode is not as long as its reader said.
    """
    seen = _Seen()
    collector = PairCollector([part.actions for part in prepared.parts])
    contents = []
    for index, (part, frames) in enumerate(read_parts(prepared)):
        digest, before, repeats = FrameDigest(), None, seen.repeats
        for number, frame in enumerate(frames):
            seen.see(part.name, number, frame, before)
            collector.see(index, number, frame)
            digest.add(frame)
            before = frame
        if part.num_frames > 1 and seen.repeats - repeats == part.num_frames - 1:
            seen.constant.append(part.name)
        contents.append(part_content(part, digest))
    actions = actions_of(prepared)
    found = digest_of(content_of(actions, contents))
    return _report(prepared, seen, actions, found), collector.pairs()


def actions_of(prepared: Prepared) -> DiscreteActions | ContinuousActions:
    """The actions of all parts: how often each was taken, or between what numbers."""
    taken = np.concatenate([part.actions for part in prepared.parts])
    names = prepared.source.action_names
    if prepared.source.is_continuous:
        low, high = taken.min(axis=0).tolist(), taken.max(axis=0).tolist()
        return ContinuousActions(names=names, low=tuple(low), high=tuple(high))
    counts = np.bincount(taken.astype(np.int64), minlength=len(names)).tolist()
    return DiscreteActions(names=names, counts=tuple(counts))


def _report(
    prepared: Prepared, seen: _Seen, actions: DiscreteActions | ContinuousActions, digest: str
) -> CheckReport:
    episodes, parts = prepared.source.episodes, prepared.parts
    lengths = [episode.num_frames for episode in episodes]
    height, width = cast("tuple[int, int]", seen.size)
    rates = {episode.frame_rate for episode in episodes}
    held = [part for part in parts if part.held_out]
    ends = [part.ends for part in parts if part.ends is not None]
    return CheckReport(
        kind=prepared.source.kind,
        episodes=Spread(min=min(lengths), median=median(lengths), max=max(lengths)),
        num_episodes=len(episodes),
        num_frames=seen.num_frames,
        height=height,
        width=width,
        levels=(seen.low, seen.high),
        frame_rate=rates.pop() if len(rates) == 1 else None,
        actions=actions,
        rewards=_rewards(parts),
        num_ends=int(sum(one.sum() for one in ends)) if ends else None,
        repeats=Repeats(num=seen.repeats, longest_run=seen.longest, where=seen.longest_at),
        num_black=seen.black,
        constant=tuple(seen.constant),
        held_out=len(held),
        held_out_frames=sum(part.num_frames for part in held),
        split=prepared.split,
        digest=digest,
        remarks=_remarks(prepared, seen, actions),
        problems=_problems(prepared, seen, actions),
    )


def _rewards(parts: Sequence[Part]) -> Rewards | None:
    known = [part.rewards for part in parts if part.rewards is not None]
    if not known:
        return None
    rewards = np.concatenate(known)
    return Rewards(
        negative=int((rewards < 0).sum()),
        zero=int((rewards == 0).sum()),
        positive=int((rewards > 0).sum()),
        sum=float(rewards.sum(dtype=np.float64)),
    )


def _remarks(
    prepared: Prepared, seen: _Seen, actions: DiscreteActions | ContinuousActions
) -> tuple[str, ...]:
    episodes = prepared.source.episodes
    told = [*prepared.remarks]
    told += dict.fromkeys(remark for episode in episodes for remark in episode.remarks)
    if missing := [
        what
        for what, known in (("rewards", episodes[0].rewards), ("ends", episodes[0].ends))
        if known is None
    ]:
        told.append(
            f"no {' and no '.join(missing)}: there is no reward/end model and no policy, a study "
            "ends at fidelity"
        )
    if len({episode.frame_rate for episode in episodes}) > 1:
        told.append("episodes differ in their frame rate")
    if seen.repeats >= MANY_REPEATS * seen.num_frames:
        told.append(
            f"{seen.repeats} of {seen.num_frames} frames equal the one before, at most "
            f"{seen.longest} in a row ({seen.longest_at})"
        )
    if seen.black:
        told.append(
            f"{seen.black} of {seen.num_frames} frames are black or of one colour, first "
            f"{seen.first_black}"
        )
    if seen.constant:
        told.append(f"all frames are equal in {_listed(seen.constant)}")
    return (*told, *_of_actions(actions), *_of_split(prepared))


def _of_actions(actions: DiscreteActions | ContinuousActions) -> Iterator[str]:
    if isinstance(actions, DiscreteActions):
        pairs = zip(actions.names, actions.counts, strict=True)
        if unused := [name for name, count in pairs if not count]:
            yield f"never taken: {_listed(unused)}"
    else:
        ranges = zip(actions.names, actions.low, actions.high, strict=True)
        if still := [name for name, low, high in ranges if low == high]:
            yield f"always the same number: {_listed(still)}"


def _of_split(prepared: Prepared) -> Iterator[str]:
    held = [part.held_out for part in prepared.parts]
    if not any(held):
        yield "nothing is held out: no arm can be scored on this recording"
    if all(held):
        yield "all is held out: no world model can be trained on this recording"


def _problems(
    prepared: Prepared, seen: _Seen, actions: DiscreteActions | ContinuousActions
) -> tuple[str, ...]:
    told = []
    if len(seen.constant) == len(prepared.parts):
        told.append("no frame differs from the one before: there is nothing to learn")
    if isinstance(actions, DiscreteActions):
        varies = sum(count > 0 for count in actions.counts) > 1
    else:
        varies = actions.low != actions.high
    if not varies:
        told.append("the action is always the same: what actions do cannot be learnt")
    lengths = [part.num_frames for part in prepared.parts if part.held_out]
    if lengths and max(lengths) < LEAST_SCORED:
        told.append(
            f"the longest held-out part has {max(lengths)} frames, {LEAST_SCORED} are needed to "
            "score on it: hold out longer episodes with --hold-out NAME,NAME"
        )
    return tuple(told)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _place(name: str, number: int) -> str:
    return f"{name}, frame {number}"
