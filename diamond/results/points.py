"""From played episodes to what players earned, with intervals."""

from functools import lru_cache

import numpy as np
from typing_extensions import TypedDict

from diamond.arrays import FloatArray
from diamond.config.base import Same
from diamond.config.player_names import PLAYERS, UnseeingPlayer
from diamond.results.played_episodes import Played, PlayedGames
from diamond.results.returns_model import PlayerPoints
from diamond.seeds import Purpose, derive
from diamond.stats.intervals import bootstrap_interval
from diamond.stats.unpaired import welch

LEAST_DISTINCT = 10
"""Distinct episodes that an interval needs: the same few again and again show no spread."""


class PointsFields(TypedDict):
    """The fields of `Points`."""

    mean: float
    lo: float | None
    hi: float | None
    n: int
    distinct: int | None
    reason: str | None


def points(played: Played) -> PointsFields:
    """The fields of `Points`; fewer than ten distinct episodes have no interval."""
    return _points(Same(played))


@lru_cache(maxsize=1 << 10)
def _points(own: Same) -> PointsFields:
    """Once for a player that many runs stand beside."""
    played: Played = own.value
    reason = _reason(played)
    found = bootstrap_interval(_returns(played), derive(0, Purpose.BOOTSTRAP, "returns"))
    return {
        "mean": found.mean,
        "lo": None if reason else found.lo,
        "hi": None if reason else found.hi,
        "n": found.n,
        "distinct": played.num_distinct,
        "reason": reason,
    }


def player_points(
    player: UnseeingPlayer, games: PlayedGames, policy: Played, sticky: bool
) -> PlayerPoints | None:
    """What another player earned, and the difference of a policy to it.

    The player of a constant action draws nothing: its episodes differ by their starts alone, of
    which a game may have a few. They are independent draws of a start, so that the difference to
    it has an interval however few are distinct.

    Args:
        policy: What the policy played.
        sticky: Whether both are to be those with sticky actions.

    Returns:
        None where it did not play so.
    """
    played = games.sticky if sticky else games.played
    if played is None:
        return None
    own = None if player == "constant" else _reason(played, PLAYERS[player])
    reason = _reason(policy, "the policy") or own
    found = welch(_returns(policy), _returns(played))
    return PlayerPoints(
        player=player,
        action=games.constants[0].action if games.constants else None,
        difference=found.difference,
        difference_lo=None if reason else found.lo,
        difference_hi=None if reason else found.hi,
        difference_reason=reason,
        **points(played),
    )


def _reason(played: Played, whose: str = "") -> str | None:
    """Why there is no interval; None where there is one."""
    distinct = played.num_distinct
    if distinct >= LEAST_DISTINCT:
        return None
    of = f" of {whose}" if whose else ""
    return f"{distinct} distinct episodes{of}: an interval needs {LEAST_DISTINCT}"


def _returns(played: Played) -> FloatArray:
    return np.array(played.returns)
