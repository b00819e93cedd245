"""Events: real env steps with a rare reward or an end; does imagination have them too?

The world model begins at the real frames a few env steps before an event and takes the recorded
actions up to it, so that no error of long imagination stands between the two.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from diamond.arrays import BoolArray, FloatArray, IntArray
from diamond.data.reference_files import View
from diamond.fidelity.reward_end import PredictedRewardEnds
from diamond.stages.rollouts import EVENT_LEADS, MAX_EVENTS

NEAR, FAR = EVENT_LEADS


@dataclass(frozen=True)
class Events:
    """Env steps of references: events, and as many others. A step with both kinds stands twice.

    Attributes:
        starts: (n,) rows of the references.
        steps: (n,) time steps, 0-based.
        signs: (n,) signs of the true rewards.
        rewarded: (n,) whether it is an event for its reward.
        ended: (n,) whether it is an event for its end; where neither is true it is no event.
        common: The most frequent sign of a reward.
    """

    starts: IntArray
    steps: IntArray
    signs: IntArray
    rewarded: BoolArray
    ended: BoolArray
    common: int

    @property
    def happened(self) -> BoolArray:
        """(n,) whether it is an event."""
        return self.rewarded | self.ended

    def reached(self, lead: int) -> BoolArray:
        """(n,) which rows are imagined from so many env steps before.

        No start is in the context; only events are imagined from more than one env step before.
        """
        reached = self.steps >= lead - 1
        return reached if lead == NEAR else reached & self.happened


@dataclass(frozen=True)
class Imagined:
    """What a world model drew for the rows that are reached from so many env steps before.

    Attributes:
        rewards: (m, t) signs, of the env steps from the start on.
        ends: (m, t).
    """

    rewards: IntArray
    ends: BoolArray


def find_events(view: View) -> Events:
    """Choose events of references, evenly over their episodes.

    At most `MAX_EVENTS`: as many of the negative and of the positive rewards as of the ends, or
    all of a kind and more of the others. A reward that is 0, or the most frequent, is no event.

    Args:
        view: The references, with rewards.
    """
    used, signs = view.valid | view.ends, np.sign(view.rewards).astype(np.int64)
    common = int(np.bincount(signs[used] + 1, minlength=3).argmax()) - 1
    rare = used & (signs != 0) & (signs != common)
    kinds = [rare & (signs == -1), rare & (signs == 1), view.ends]
    sizes = _shares([int(kind.sum()) for kind in kinds], MAX_EVENTS)
    chosen = [_evenly(kind, size) for kind, size in zip(kinds, sizes, strict=True)]
    other = used & ~rare & ~view.ends
    chosen.append(_evenly(other, min(sum(sizes), int(other.sum()))))
    starts, steps = np.concatenate(chosen).T
    rewarded, ended = (
        np.repeat(which, [len(rows) for rows in chosen])
        for which in ([True, True, False, False], [False, False, True, False])
    )
    return Events(starts, steps, signs[starts, steps], rewarded, ended, common)


def event_scores(
    events: Events,
    near: Imagined,
    far: Imagined,
    view: View,
    real: PredictedRewardEnds,
    exact: BoolArray | None,
) -> dict[str, FloatArray]:
    """How many events are drawn and seen.

    Args:
        near: Drawn from one env step before.
        far: Drawn from further before, and one env step beyond.
        real: What the reward/end model says of the real frames.
        exact: (n,) whether the frame of each row is exactly drawn; None where that means nothing.

    Returns:
        (1, 1) by name, NaN where there is no event, or no other env step.
    """
    happened, seen = events.happened, _seen(events, near)
    drawn = near.rewards[:, 0]
    alarm = near.ends[:, 0] | ((drawn != 0) & (drawn != events.common))
    where = events.starts, events.steps
    told = np.where(events.rewarded, real.rewards[(*where, events.signs + 1)], real.ends[where])
    values = {
        "event_recall": seen[happened],
        "event_recall_rewards": seen[events.rewarded],
        "event_recall_ends": seen[events.ended],
        "event_recall_4": _seen_about(events, far, view),
        "event_false_alarm": alarm[~happened],
        "event_recall_real": told[happened],
    }
    if exact is not None:
        values["event_frames_exact"] = exact[happened]
    return {name: np.array([[_mean(found)]]) for name, found in values.items()}


def _seen(events: Events, near: Imagined) -> BoolArray:
    """Whether each row is drawn as what it is, at its very time step."""
    seen: BoolArray = np.where(events.rewarded, near.rewards[:, 0] == events.signs, near.ends[:, 0])
    return seen


def _seen_about(events: Events, far: Imagined, view: View) -> BoolArray:
    """Whether the events that are reached from further before are drawn, give or take a step."""
    rows = events.reached(FAR)
    around = events.steps[rows, None] + np.arange(-1, 2)
    last = view.valid.shape[1] - 1
    played = (view.valid | view.ends)[events.starts[rows, None], around.clip(max=last)]
    right = np.where(events.rewarded[rows, None], far.rewards == events.signs[rows, None], far.ends)
    found: BoolArray = (right[:, FAR - 2 : FAR + 1] & played & (around <= last)).any(axis=1)
    return found


def _shares(counts: Sequence[int], total: int) -> list[int]:
    """How many to take of each kind so that none has more than another that is not exhausted."""
    shares, left = [0] * len(counts), total
    for done, kind in enumerate(sorted(range(len(counts)), key=lambda kind: counts[kind])):
        shares[kind] = min(counts[kind], left // (len(counts) - done))
        left -= shares[kind]
    return shares


def _evenly(kind: BoolArray, size: int) -> IntArray:
    """Rows (start, time step) at even distances among those that are true, (size, 2)."""
    found = np.argwhere(kind)
    rows: IntArray = found[np.arange(size) * len(found) // max(1, size)]
    return rows


def _mean(values: BoolArray | FloatArray) -> float:
    return float(values.mean()) if len(values) else np.nan
