"""Playing the real game with the policy of a checkpoint, and what its returns say."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from typing_extensions import TypedDict

from diamond.config.checkpoint_record import Checkpoint, read_checkpoint
from diamond.config.game_names import check_game
from diamond.config.presets import paper
from diamond.config.published_scores import published
from diamond.engine.provenance import code_version
from diamond.engine.stage_manifest import CodeVersion
from diamond.errors import RequestError
from diamond.findings.policy_returns import PAPER_LABEL, plays_the_whole_game
from diamond.results.score_files import EVALUATION
from diamond.seeds import Purpose, derive
from diamond.stats.intervals import LEVEL, Interval, bootstrap_interval
from diamond.training.evaluation import Episode, Playing, finished, play_side_by_side, sampled_actor
from diamond.training.policy_part import POLICY
from diamond.world.build import part_of_checkpoint

EPISODES_AT_A_TIME = 16
Watch = Callable[[Sequence[Playing]], None]
"""Told the episodes that are played, after every env step of them."""


PlayedEpisode = TypedDict("PlayedEpisode", {"return": float, "num_steps": int, "truncated": bool})
"""An episode of an evaluation, and what it earned."""


class NormalisedScore(TypedDict):
    """A human-normalised score with its interval, and the scores that it is normalised by."""

    mean: float | None
    lo: float | None
    hi: float | None
    random: float
    human: float


class IntervalNotes(TypedDict):
    """How the interval of an evaluation was made, and what it is within."""

    level: float
    method: str
    within: str


class ReturnsSummary(TypedDict):
    """What the returns of one trained model say."""

    game: str
    episodes: list[PlayedEpisode]
    mean: float
    median: float
    lo: float | None
    hi: float | None
    interval: IntervalNotes
    hns: NormalisedScore | None
    scores: dict[str, list[float]]


class EvaluationDocument(ReturnsSummary):
    """The document of `diamond evaluate`; docs/evaluation.md names its parts."""

    kind: str
    checkpoint: str
    source: str
    weights: str
    seed: int
    max_episode_steps: int
    device: str
    code: CodeVersion
    label: str


def check_evaluation(folder: Path, game: str | None, num_episodes: int) -> Checkpoint:
    """Read what is to be evaluated.

    Raises:
        RequestError: The folder is no checkpoint, the game not its own, or there is no episode.
    """
    agent = read_checkpoint(folder)
    if game is not None and check_game(game) != agent.game:
        raise RequestError(
            f"--game {game}: the checkpoint {str(folder)!r} plays {agent.game}\n"
            "  leave --game out, or give a checkpoint of that game"
        )
    if num_episodes < 1:
        raise RequestError(f"--episodes {num_episodes}: at least 1 is needed")
    return agent


def evaluate(
    folder: Path, agent: Checkpoint, num_episodes: int, seed: int, watch: Watch
) -> EvaluationDocument:
    """Play episodes with sampled actions; lives lost do not end them.

    Args:
        folder: A checkpoint folder.
        agent: What it says of itself.
        num_episodes: Real episodes, at most 27,000 env steps each.
        seed: Seed of the episodes: no-ops and actions.
        watch: Sees the episodes as they are played.

    Returns:
        The document: plain data, ready for JSON; docs/evaluation.md names its parts.

    Raises:
        WeightsError: The weights are missing, damaged or those of another network.

    Source: arXiv:2405.12399, section 4.
    """
    code = code_version()  # as it is before the games, which take hours
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    net = part_of_checkpoint(POLICY, folder, agent, device)
    limits = paper(agent.game).evaluation.model_copy(update={"num_episodes": num_episodes})
    configs = agent.environment, agent.view, limits
    done: dict[int, Episode] = {}
    actor = sampled_actor(net, device)
    for slots in play_side_by_side(agent.game, configs, actor, seed, EPISODES_AT_A_TIME):
        watch(slots)
        done |= finished(slots)
    episodes = [done[index] for index in range(num_episodes)]
    return {
        "kind": EVALUATION,
        "checkpoint": str(folder),
        "source": agent.source,
        "weights": agent.weights.weights["policy"],
        "seed": seed,
        "max_episode_steps": limits.max_episode_steps,
        "device": str(device),
        "code": code,
        "label": PAPER_LABEL,
        **summary(agent, episodes),
    }


def summary(agent: Checkpoint, episodes: Sequence[Episode]) -> ReturnsSummary:
    """What the returns of one trained model say.

    Args:
        agent: Whose they are.
        episodes: At least one.

    Returns:
        Game, episodes, mean return with its interval, human-normalised score and, for `diamond
        scores`, the score of this one run. An interval has null bounds with one episode; the
        human-normalised score is null where the agent does not play the whole game.
    """
    returns = np.array([episode.total_reward for episode in episodes])
    interval = bootstrap_interval(returns, derive(0, Purpose.BOOTSTRAP, "returns"))
    return {
        "game": agent.game,
        "episodes": [
            {"return": e.total_reward, "num_steps": e.num_steps, "truncated": e.truncated}
            for e in episodes
        ],
        "mean": interval.mean,
        "median": float(np.median(returns)),
        "lo": _number(interval.lo),
        "hi": _number(interval.hi),
        "interval": {
            "level": LEVEL,
            "method": "percentile bootstrap over episodes",
            "within": "one trained model: says nothing of training again",
        },
        "hns": _human_normalised(agent, interval),
        "scores": {agent.game: [interval.mean]},
    }


def _human_normalised(agent: Checkpoint, interval: Interval) -> NormalisedScore | None:
    if not plays_the_whole_game(agent):
        return None
    random, human = published().random[agent.game], published().human[agent.game]
    mean, lo, hi = (
        _number((value - random) / (human - random))
        for value in (interval.mean, interval.lo, interval.hi)
    )
    return {"mean": mean, "lo": lo, "hi": hi, "random": random, "human": human}


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
