"""The command `diamond fidelity`: its arguments, and what goes with what."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from diamond.cli.options import (
    DEFAULT_HOME,
    Home,
    ResultAsJson,
    given_command,
    takes_records,
)
from diamond.errors import RequestError

if TYPE_CHECKING:
    from diamond.cli.fidelity import ModelRequest, PairsRequest

EXAMPLE = (
    "diamond fidelity CHECKPOINT, diamond fidelity KEY, or diamond fidelity --real A --imagined B"
)


@dataclass(frozen=True)
class PairsOptions:
    """Frames from files, without a world model."""

    PANEL: ClassVar = "Frames from files"

    real: Annotated[
        Path | None,
        typer.Option(
            help="Without a world model: the real frames, an array, a video or a folder.",
            show_default=False,
        ),
    ] = None
    imagined: Annotated[
        Path | None,
        typer.Option(help="The imagined frames, under the same names.", show_default=False),
    ] = None
    background: Annotated[
        Path | None,
        typer.Option(
            help="With --real: one frame; by default the median of each real trajectory.",
            show_default=False,
        ),
    ] = None
    context: Annotated[
        int | None,
        typer.Option(
            help="With --real: first frames that both share; by default 0.", show_default=False
        ),
    ] = None


@dataclass(frozen=True)
class ModelOptions:
    """What a world model is scored on; the horizon is also that of frames from files."""

    PANEL: ClassVar = "World model"

    game: Annotated[
        str | None, typer.Option(help="The world model's game; another one is refused.")
    ] = None
    frames: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="A recording of your own (`diamond import-frames`): its held-out part in place of "
            "the emulator's.",
            show_default=False,
        ),
    ] = None
    horizon: Annotated[
        int | None,
        typer.Option(
            help="Time steps to imagine; by default 1000. With --real: to score at most.",
            show_default=False,
        ),
    ] = None
    starts: Annotated[
        int | None,
        typer.Option(
            help="Held-out starts; by default 400, with --frames all that there are.",
            show_default=False,
        ),
    ] = None


@takes_records
def fidelity(
    *,
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="CHECKPOINT|STAGE [AXIS=VALUE...]",
            help="A world model: folder of a checkpoint (`diamond import-checkpoint`, `diamond "
            "export-checkpoint`), or key or folder of a stage of the home: a trained world "
            "model (denoiser), agent or rollouts; then how frames are drawn from it, if not in its "
            "own way, such as steps=1. "
            "lpips=alex scores by LPIPS too, 'fidelity.metrics=[\"NAME\"]' by a metric of your "
            "own, with --real as well.",
            show_default=False,
        ),
    ] = None,
    pairs: PairsOptions,
    model: ModelOptions,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Write scores.json, scores.npz, report and figures there."
        ),
    ] = None,
    as_json: ResultAsJson = False,
    jobs: Annotated[
        int | None,
        typer.Option(help="Worker processes; default: one per GPU, without one as many as cores."),
    ] = None,
    home: Home = DEFAULT_HOME,
) -> None:
    """Score how faithful a world model's imagined frames are, or those of any other project.

    A world model imagines from held-out starts with recorded actions and is scored against the
    real frames, beside two baselines. Nothing is trained, and what is there is not made again.
    """
    from diamond.cli.fidelity import Showing, score_model_and_show, score_pairs_and_show

    showing = Showing(as_json, out, given_command())
    asked = tuple(words or ())
    if pairs.real is not None or pairs.imagined is not None:
        score_pairs_and_show(_pairs_request(asked, pairs, model, jobs), showing)
        return
    request = _model_request(asked, pairs, model, jobs)
    raise typer.Exit(score_model_and_show(request, home.absolute(), showing))


def _pairs_request(
    words: tuple[str, ...], pairs: PairsOptions, model: ModelOptions, jobs: int | None
) -> "PairsRequest":
    from diamond.cli.fidelity import PairsRequest

    if pairs.real is None or pairs.imagined is None:
        both = ("--real", "--imagined")
        given, missing = both[::-1] if pairs.real is None else both
        raise RequestError(f"{given} needs {missing}\n  for instance: {EXAMPLE}")
    if words and "=" not in words[0]:
        raise RequestError(
            f"{words[0]!r} is a world model, and --real and --imagined need none\n"
            f"  leave one of the two out: {EXAMPLE}"
        )
    _refuse(
        {
            "--game": model.game,
            "--frames": model.frames,
            "--starts": model.starts,
            "--jobs": jobs,
        },
        "belongs to a world model, not to --real and --imagined",
    )
    return PairsRequest(
        pairs.real, pairs.imagined, pairs.background, pairs.context or 0, model.horizon, words
    )


def _model_request(
    words: tuple[str, ...], pairs: PairsOptions, model: ModelOptions, jobs: int | None
) -> "ModelRequest":
    from diamond.cli.fidelity import ModelRequest
    from diamond.engine.devices import default_jobs

    if not words or "=" in words[0]:
        raise RequestError(f"it is not said what to score\n  {EXAMPLE}")
    _refuse(
        {"--background": pairs.background, "--context": pairs.context},
        "belongs to --real and --imagined, not to a world model",
    )
    if jobs is not None and jobs < 1:
        raise RequestError(f"--jobs {jobs}: at least 1 process is needed")
    source, *settings = words
    return ModelRequest(
        source,
        tuple(settings),
        model.game,
        model.frames,
        model.horizon,
        model.starts,
        jobs or default_jobs(),
    )


def _refuse(options: Mapping[str, object], why: str) -> None:
    for flag, value in options.items():
        if value is not None:
            raise RequestError(f"{flag} {value} {why}\n  leave it out; for instance: {EXAMPLE}")
