"""`diamond evaluate`: play the real game with a checkpoint and show its returns."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from diamond.cli.interrupt import interruptible
from diamond.cli.output_files import check_output
from diamond.cli.widths import console
from diamond.config.checkpoint_record import Checkpoint
from diamond.config.game_names import GAMES
from diamond.envs.open_game import open_game
from diamond.errors import InterruptedRunError
from diamond.findings.policy_returns import UNSCORED_LABEL, plays_the_whole_game
from diamond.report.figures.video import VIDEO_SUFFIXES, open_video
from diamond.studies.checkpoint_returns import (
    EvaluationDocument,
    NormalisedScore,
    ReturnsSummary,
    check_evaluation,
    evaluate,
)
from diamond.training.evaluation import Playing

LOG_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class EvaluationOptions:
    """How a checkpoint is evaluated and shown; None where no film is wanted."""

    num_episodes: int
    seed: int
    video: Path | None
    as_json: bool


def evaluate_and_show(folder: Path, game: str | None, options: EvaluationOptions) -> None:
    """Play, film the first episode if that is wanted, print the table or the document.

    Raises:
        RequestError: The folder, the game or an option is wrong; nothing is played.
        WeightsError: The policy's weights are missing, damaged or those of another network.
        InterruptedRunError: The user interrupted it.
    """
    if options.video is not None:
        check_output("--video", options.video, VIDEO_SUFFIXES, "play")
    agent = check_evaluation(folder, game, options.num_episodes)
    film = nullcontext(None) if options.video is None else _film(options.video, agent)
    err = console(stderr=True)
    try:
        with (
            interruptible(),
            film as keep,
            _progress(err, agent.game, options.num_episodes) as count,
        ):

            def watch(slots: Sequence[Playing]) -> None:
                if keep is not None:
                    keep(slots)
                count(slots)

            document = evaluate(folder, agent, options.num_episodes, options.seed, watch)
    except KeyboardInterrupt:
        raise InterruptedRunError(
            "interrupted: nothing was written\n  the same command plays the same episodes again"
        ) from None
    if options.as_json:
        print(json.dumps(document, indent=1, allow_nan=False))
    else:
        out = console()
        out.print(_table(document))
        for line in _notes(document, agent):
            out.print(line)
    if options.video is not None:
        err.print(f"wrote {options.video}", soft_wrap=True)


@contextmanager
def _film(path: Path, agent: Checkpoint) -> Iterator[Callable[[Sequence[Playing]], None]]:
    """Film the first episode, which is in the first slot until another takes it."""
    with open_game(agent.game, agent.environment) as env:
        size = env.native_size
    with open_video(path, agent.environment.hertz, size) as write:
        num_written = 0

        def keep(slots: Sequence[Playing]) -> None:
            nonlocal num_written
            first = slots[0]
            if first.index == 0 and first.num_steps > num_written:
                num_written = first.num_steps
                write(first.native)

        yield keep


@contextmanager
def _progress(
    err: Console, game: str, num_episodes: int
) -> Iterator[Callable[[Sequence[Playing]], None]]:
    """Episodes done on standard error: a live line on a terminal, now and then a line elsewhere."""
    done: set[int] = set()
    steps: dict[int, int] = {}
    logged = time.monotonic()
    status = err.status(f"{game}: plays") if err.is_terminal else nullcontext(None)
    with status as live:

        def count(slots: Sequence[Playing]) -> None:
            nonlocal logged
            steps.update((playing.index, playing.num_steps) for playing in slots)
            done.update(playing.index for playing in slots if playing.done)
            text = f"{game}: {len(done)}/{num_episodes} episodes  {sum(steps.values())} env steps"
            now = time.monotonic()
            if live is not None:
                live.update(text)
            elif now - logged >= LOG_SECONDS:
                logged = now
                err.print(text)

        yield count


def _table(document: EvaluationDocument) -> Table:
    table = Table(title=f"{document['game']}: {document['checkpoint']}", title_justify="left")
    for head in ("", "mean", "95 % interval", "median", "lowest", "highest"):
        table.add_column(head, justify="left" if not head else "right")
    returns = [episode["return"] for episode in document["episodes"]]
    table.add_row(
        "return",
        f"{document['mean']:.1f}",
        _bounds(document, "{:.1f}"),
        f"{document['median']:.1f}",
        f"{min(returns):.0f}",
        f"{max(returns):.0f}",
    )
    hns = document["hns"]
    if hns is not None:
        table.add_row("HNS", f"{hns['mean']:.3f}", _bounds(hns, "{:.3f}"), "", "", "")
    return table


def _bounds(values: ReturnsSummary | NormalisedScore, form: str) -> str:
    if values["lo"] is None:
        return "-"
    return f"{form.format(values['lo'])} to {form.format(values['hi'])}"


def _notes(document: EvaluationDocument, agent: Checkpoint) -> Iterator[str]:
    episodes = document["episodes"]
    yield "returns: " + ", ".join(f"{episode['return']:.0f}" for episode in episodes)
    yield f"{len(episodes)} episodes, seed {document['seed']}; {document['label']}"
    yield f"interval: {document['interval']['method']}, within {document['interval']['within']}"
    cut = sum(episode["truncated"] for episode in episodes)
    if cut:
        yield f"{cut} episodes were cut after {document['max_episode_steps']} env steps"
    if agent.game not in GAMES:
        yield f"no HNS: {UNSCORED_LABEL}"
    elif not plays_the_whole_game(agent):
        yield (
            "no HNS: the agent sees a part of the screen, has fewer actions than the game or "
            "another frame skip; not comparable with published scores"
        )
