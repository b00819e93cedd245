"""What a plan has to know of a game before anything is made; child processes play it."""

import json
import subprocess
import time
from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

from diamond.config.base import canonical, canonical_json
from diamond.config.environments import (
    AtariConfig,
    Environment,
    GymnasiumConfig,
    MinAtarConfig,
    RecordingConfig,
)
from diamond.config.game_names import GAMES
from diamond.config.processes import python_command, python_environment
from diamond.config.run import RunConfig
from diamond.errors import RequestError

MODULE = "diamond.envs.probe"
NUM_PROCESSES = 2
"""Processes that play the same: what differs between them cannot be made again in a third."""
MOST_SECONDS = 120


class Facts(NamedTuple):
    """A game, found out by playing it.

    Attributes:
        num_actions: Actions of the agent.
        native_size: Height and width of its screen, pixels.
        pixels: What a frame is, where there is a choice.
        source: SHA-256 of the file that defines a game of the user's own.
        deterministic: Whether equal seeds and actions gave equal frames, rewards and ends, twice in
            each of two processes.
    """

    num_actions: int
    native_size: tuple[int, int]
    pixels: str | None
    source: str | None
    deterministic: bool


def settled(config: RunConfig) -> RunConfig:
    """A run whose game was tried: it can be played, and what it leaves open is decided.

    Games of Atari 100k as the presets play them, and those of MinAtar, are known and not tried:
    starting two processes would be most of what a plan takes.

    Raises:
        RequestError: The game cannot be played, or the view does not fit its screen.
    """
    environment = config.environment
    if isinstance(environment, RecordingConfig):
        return config
    if isinstance(environment, AtariConfig) and config.game in GAMES and _is_plain(environment):
        return config
    if isinstance(environment, MinAtarConfig):
        _check_view(config, environment.cells)
        return config
    facts = probe(config.game, environment)
    _check_view(config, facts.native_size)
    references = config.references
    if isinstance(environment, GymnasiumConfig):
        said = environment.deterministic
        if said and not facts.deterministic:
            raise RequestError(
                f"environment.deterministic=true: {config.game} gave other frames for equal seeds "
                "and actions\n  leave it out, or draw all random numbers from self.np_random"
            )
        same = facts.deterministic if said is None else said
        update = {"pixels": facts.pixels, "deterministic": same, "source": facts.source}
        environment = environment.model_copy(update=update)
    elif not facts.deterministic:
        raise RequestError(
            f"{config.game}: equal seeds and actions gave other frames\n  such a game is played by "
            "its id of Gymnasium"
        )
    if not environment.replayable or facts.num_actions < 2:
        references = references.model_copy(update={"counterfactuals": None})
    return config.model_copy(update={"environment": environment, "references": references})


def probe(game: str, environment: Environment) -> Facts:
    """Play a game in two processes, unless this process had it played before.

    Raises:
        RequestError: It cannot be played; the text says why.
    """
    return _probe(game, canonical_json(canonical(environment)))


def _check_view(config: RunConfig, native_size: tuple[int, int]) -> None:
    try:
        config.view.check_native(native_size)
    except ValueError as error:
        raise RequestError(f"view.{error}") from error


def _is_plain(environment: AtariConfig) -> bool:
    return not (environment.mode or environment.difficulty or environment.sticky_actions)


@cache
def _probe(game: str, environment: str) -> Facts:
    request = json.dumps([game, json.loads(environment)])
    processes = [
        subprocess.Popen(
            python_command(MODULE, request),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=python_environment(),
        )
        for _ in range(NUM_PROCESSES)
    ]
    deadline = time.monotonic() + MOST_SECONDS
    try:
        told = [
            process.communicate(timeout=max(0, deadline - time.monotonic()))
            for process in processes
        ]
    except subprocess.TimeoutExpired:
        raise RequestError(
            f"{game} did not play {NUM_PROCESSES} times in {MOST_SECONDS} s\n"
            "  try it by itself with Gymnasium"
        ) from None
    finally:
        for process in processes:
            process.kill()
            process.wait()
    found = [_read(game, *one) for one in told]
    first = found[0]
    digests = {digest for one in found for digest in one["digests"]}
    return Facts(
        first["num_actions"],
        tuple(first["native_size"]),
        first["pixels"],
        first["source"],
        len(digests) == 1,
    )


def _read(game: str, out: str, err: str) -> Mapping[str, Any]:
    lines = out.splitlines()
    try:
        found: Mapping[str, Any] = json.loads(lines[-1])
    except (IndexError, ValueError):
        last = err.strip().splitlines()
        raise RequestError(
            f"{game} cannot be played: {last[-1] if last else 'its process ended without a word'}"
        ) from None
    if "error" in found:
        raise RequestError(str(found["error"]))
    return found
