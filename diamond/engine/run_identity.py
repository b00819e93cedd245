"""Identities of runs in the tracking store: the same thing has one, whatever command asked."""

from collections.abc import Mapping, Sequence
from typing import Any

from diamond.config.base import content_hash
from diamond.config.worlds import family_of
from diamond.plan.plan import Plan, Run, run_key

KEY_DIGITS = 20


def tracked_key(plan: Plan, run: Run) -> str:
    """The key of a run.

    A baseline carries a whole config of which it reads little: it is what its stages are, so that
    it stays one run when the arms beside it change.
    """
    if family_of(run.config).is_trained:
        return run_key(plan.study, run.config)
    stages = {spec.stage: spec.key for spec in run.stages if spec.stage == "rollouts"}
    return content_hash({"study": plan.study, "stages": stages})[:KEY_DIGITS]


def run_key_of(study: str, config: Mapping[str, Any]) -> str:
    """The key of a run of an arm from its canonical config."""
    return content_hash({"study": study, "config": config})[:KEY_DIGITS]


def study_key(study: str) -> str:
    """The key of the parent run of a study."""
    return content_hash({"study": study})[:KEY_DIGITS]


def real_key(study: str, game: str) -> str:
    """The key of the real frames of a game."""
    return content_hash({"study": study, "real": game})[:KEY_DIGITS]


def aggregate_key(run_keys: Sequence[str]) -> str:
    """The key of the mean over the seeds of an arm."""
    return content_hash({"aggregate": list(run_keys)})[:KEY_DIGITS]
