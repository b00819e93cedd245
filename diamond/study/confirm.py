"""The ablation that confirms what a sweep found, on starts and seeds that it has not seen."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from diamond.ablation.plan import Arm, Plan, make_plan
from diamond.ablation.request import Request, check_protocol_name
from diamond.pipeline.scores import number
from diamond.pipeline.store import Store
from diamond.stats.paired import paired_seeds
from diamond.study.declaration import Sweep
from diamond.study.objectives import Aim, Measure
from diamond.study.scoring import run_value
from diamond.study.trials import BASELINE, base_config, baseline_texts, trial_name

SUFFIX = "-confirm"
MAX_CONFIRMED = 5
"""Trials of a front that are confirmed: its ends, and others between them."""
Verdict = Literal["confirmed", "refuted", "undecided", "no interval"]


def confirm_request(sweep: Sweep, texts: Mapping[int, Mapping[str, str]]) -> Request:
    """The ablation of the preset's values against those of some trials.

    Args:
        sweep: The sweep.
        texts: Text per axis, by number of the trial.
    """
    said = sweep.declaration
    named: dict[str, Mapping[str, str]] = {BASELINE: baseline_texts(sweep)}
    named |= {trial_name(number): chosen for number, chosen in texts.items()}
    arms = tuple(
        f"{name}: {' '.join(f'{axis}={text}' for axis, text in {**said.settings, **own}.items())}"
        for name, own in named.items()
    )
    one_model = sweep.checkpoint is not None
    return Request(
        assignments=(),
        preset=said.preset,
        games=said.games,
        num_seeds=1 if one_model else said.confirm.seeds,
        until=said.until,
        name=f"{sweep.name}{SUFFIX}",
        checkpoint=sweep.checkpoint,
        protocol=check_protocol_name(said.protocol),
        arms=arms,
        first_seed=0 if one_model else said.seeds,
        first_start=fresh_start(sweep),
    )


def fresh_start(sweep: Sweep) -> int:
    """The first held-out start that the sweep has not seen."""
    references = base_config(sweep, sweep.declaration.games[0]).references
    return references.first_start + references.num_starts


def command_of(request: Request, home: Path, tracking_uri: str | None) -> str:
    """A request as the command that asks for it."""
    words = ["diamond", "ablate"]
    for arm in request.arms:
        words += ["--arm", arm]
    words += ["--preset", request.preset, "--game", ",".join(request.games)]
    words += ["--seeds", str(request.num_seeds), "--first-seed", str(request.first_seed)]
    words += ["--first-start", str(request.first_start)]
    if request.protocol != "static":
        words += ["--protocol", request.protocol]
    if request.until is not None:
        words += ["--until", request.until]
    if request.checkpoint is not None:
        words += ["--checkpoint", str(request.checkpoint)]
    words += ["--name", str(request.name)]
    if home != Path("mlruns").absolute():
        words += ["--home", str(home)]
    if tracking_uri is not None:
        words += ["--tracking-uri", tracking_uri]
    return shlex.join(words)


def confirmation(
    sweep: Sweep, request: Request, store: Store, searched: Mapping[int, Sequence[float]]
) -> dict[str, Any] | None:
    """What a confirmation says so far; None before all of its runs are scored.

    Args:
        sweep: The sweep.
        request: The ablation.
        store: The home.
        searched: Value per objective in the sweep, by number of the trial.

    Returns:
        Seeds, starts, and a row for each trial, objective and game: the difference to the
        baseline arm paired by seed, its 95 % t interval, and whether it is confirmed.
    """
    plan = make_plan(request)
    said = sweep.declaration
    rows = []
    for number_, values in searched.items():
        for index, (measure, aim) in enumerate(zip(said.measures, said.directions, strict=True)):
            for game in plan.request.games:
                row = _row(plan, store, (trial_name(number_), game), measure, aim)
                if row is None:
                    return None
                rows.append(row | {"objective": index, "searched_value": values[index]})
    first, count = request.first_start, _num_starts(plan)
    return {
        "num_seeds": request.num_seeds,
        "first_seed": request.first_seed,
        "starts": f"{first} to {first + count - 1}",
        "rows": rows,
    }


def _row(
    plan: Plan, store: Store, which: tuple[str, str], measure: Measure, aim: Aim
) -> dict[str, Any] | None:
    name, game = which
    own = _values(plan, _arm(plan, name, game), store, measure)
    base = _values(plan, _arm(plan, BASELINE, game), store, measure)
    if own is None or base is None:
        return None
    found = paired_seeds(np.array(own), np.array(base))
    return {
        "arm": name,
        "game": game,
        "arm_value": float(np.mean(own)),
        "baseline_value": float(np.mean(base)),
        "difference": number(found.difference),
        "lo": number(found.lo),
        "hi": number(found.hi),
        "verdict": _verdict(found.lo, found.hi, aim),
    }


def _verdict(lo: float, hi: float, aim: Aim) -> Verdict:
    if np.isnan([lo, hi]).any():
        return "no interval"
    if lo <= 0 <= hi:
        return "undecided"
    return "confirmed" if (lo > 0) == (aim == "maximize") else "refuted"


def _values(plan: Plan, arm: Arm, store: Store, measure: Measure) -> list[float] | None:
    found = [run_value(plan, run, store, measure) for run in arm.runs]
    known = [value for value in found if value is not None]
    return known if len(known) == len(found) else None


def _arm(plan: Plan, name: str, game: str) -> Arm:
    return next(arm for arm in plan.arms if (arm.name, arm.game) == (name, game))


def _num_starts(plan: Plan) -> int:
    return plan.arms[0].runs[0].config.rollouts.num_starts
