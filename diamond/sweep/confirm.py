"""The ablation that confirms what a sweep found, on starts and seeds that it has not seen."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from diamond.engine.store import Store
from diamond.findings.arm_scores import read_scores
from diamond.plan.joined_requests import command_words
from diamond.plan.make_plan import make_plan
from diamond.plan.plan import Arm, Plan, Run
from diamond.plan.request import Request, check_protocol_name
from diamond.results.rollout_estimates import BOOTSTRAP_SEED
from diamond.results.search import Confirmation, ConfirmedRow, ConfirmVerdict
from diamond.seeds import Purpose, derive
from diamond.stats.difference import Difference
from diamond.stats.intervals import LEVEL
from diamond.stats.multiple import holm
from diamond.stats.paired import paired_seeds, paired_starts
from diamond.sweep.declaration import Sweep
from diamond.sweep.objectives import Aim, Measure
from diamond.sweep.trial_values import per_start, run_value, trial_value
from diamond.sweep.trials import (
    BASELINE,
    base_config,
    baseline_texts,
    instances,
    trial_name,
    trial_plan,
)
from diamond.tracking.uris import hide_secrets

SUFFIX = "-confirm"
MAX_CONFIRMED = 5
"""Trials of a front that are confirmed: its ends, and others between them."""


def confirm_request(sweep: Sweep, texts: Mapping[int, Mapping[str, str]]) -> Request:
    """The ablation of the preset's values against those of some trials.

    Args:
        sweep: The sweep.
        texts: Text per axis, by number of the trial.
    """
    said = sweep.declaration
    named: dict[str, Mapping[str, str]] = {BASELINE: baseline_texts(sweep)}
    named |= {trial_name(number): chosen for number, chosen in texts.items()}
    arms = tuple(f"{name}: {_words(own)}" for name, own in named.items())
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
        settings=tuple(f"{axis}={text}" for axis, text in said.settings.items()),
        recordings=sweep.recordings,
        first_seed=0 if one_model else said.seeds,
        first_start=fresh_start(sweep),
    )


def fresh_start(sweep: Sweep) -> int:
    """The first held-out start that the sweep has not seen."""
    config = base_config(sweep, sweep.declaration.games[0])
    seen = config.rollouts if config.references.recorded is not None else config.references
    return config.references.first_start + seen.num_starts


def command_of(request: Request, home: Path, tracking_uri: str | None) -> str:
    """A request as the command that asks for it, with passwords hidden."""
    words = command_words(request)
    if home != Path("mlruns").absolute():
        words += ["--home", str(home)]
    if tracking_uri is not None:
        words += ["--tracking-uri", hide_secrets(tracking_uri)]
    return shlex.join(words)


def confirmation(
    sweep: Sweep, request: Request, store: Store, searched: Mapping[int, Mapping[str, str]]
) -> Confirmation | None:
    """What a confirmation says; None before all of its runs are scored.

    Args:
        sweep: The sweep.
        request: The ablation.
        store: The home.
        searched: Text per axis, by number of the trial.

    Returns:
        Seeds, starts, and a row for each trial, objective and game: the difference to the
        baseline arm, paired by seed (t interval) or, with one trained model, by start (bootstrap);
        p of the t test after Holm over all rows; and whether it is confirmed.
    """
    plan, said = make_plan(request), sweep.declaration
    rows: list[tuple[ConfirmedRow, Aim]] = []
    for number_, texts in searched.items():
        before = trial_plan(sweep, trial_name(number_), texts)
        for index, (measure, aim) in enumerate(zip(said.measures, said.directions, strict=True)):
            for game in plan.request.games:
                runs = [run for run in instances(before) if run.config.game == game]
                value = trial_value(before, runs, store, measure)
                row = _row(plan, store, (trial_name(number_), game), (index, measure), value)
                if row is None:
                    return None
                rows.append((row, aim))
    corrected = holm([row.p for row, _ in rows])
    first, count = request.first_start, _num_starts(plan)
    return Confirmation(
        num_seeds=request.num_seeds,
        first_seed=request.first_seed,
        starts=f"{first} to {first + count - 1}",
        rows=tuple(_judged(row, aim, p) for (row, aim), p in zip(rows, corrected, strict=True)),
        broken=tuple(_broken(sweep, plan, store, [trial_name(one) for one in searched])),
    )


def _row(
    plan: Plan,
    store: Store,
    which: tuple[str, str],
    objective: tuple[int, Measure],
    searched: float | None,
) -> ConfirmedRow | None:
    """A row without its verdict, for which all rows are needed; None where a score is missing."""
    (name, game), (index, measure) = which, objective
    arm, baseline = _arm(plan, name, game), _arm(plan, BASELINE, game)
    own, base = (_values(plan, one, store, measure) for one in (arm, baseline))
    if own is None or base is None:
        return None
    found = paired_seeds(np.array(own), np.array(base))
    if len(own) == 1:
        found = _over_starts(arm.runs[0], baseline.runs[0], store, measure) or found
    return ConfirmedRow(
        arm=name,
        game=game,
        objective=index,
        searched_value=searched,
        arm_value=float(np.mean(own)),
        baseline_value=float(np.mean(base)),
        difference=found.difference,
        lo=found.lo,
        hi=found.hi,
        unit=found.unit,
        p=found.p_t,
    )


def _judged(row: ConfirmedRow, aim: Aim, p: float | None) -> ConfirmedRow:
    return row.model_copy(update={"p_corrected": p, "verdict": _verdict(row, aim, p)})


def _over_starts(arm: Run, baseline: Run, store: Store, measure: Measure) -> Difference | None:
    """The difference of two samplers of one model, over the starts of both."""
    own, base = read_scores(arm, store), read_scores(baseline, store)
    metric = measure.quantity
    if metric.origin != "metric" or not metric.has_steps or own is None or base is None:
        return None
    seed = derive(BOOTSTRAP_SEED, Purpose.BOOTSTRAP, metric.name)
    return paired_starts(
        per_start(own[metric.name], measure), per_start(base[metric.name], measure), seed
    )


def _verdict(row: ConfirmedRow, aim: Aim, p: float | None) -> ConfirmVerdict:
    """Whether a difference leaves out 0, and is small enough a p where there are several."""
    if row.lo is None or row.hi is None:
        return "no interval"
    lost = p is not None and p > 1 - LEVEL
    if lost or row.lo <= 0 <= row.hi:
        return "undecided"
    return "confirmed" if (row.lo > 0) == (aim == "maximize") else "refuted"


def _broken(sweep: Sweep, plan: Plan, store: Store, names: Sequence[str]) -> list[str]:
    """Constraints that arms do not keep on the fresh runs, in words."""
    said, found = sweep.declaration, []
    for name in names:
        runs = [run for game in said.games for run in _arm(plan, name, game).runs]
        for bound, measure in zip(said.constraints, said.bounds, strict=True):
            value = trial_value(plan, runs, store, measure)
            if value is None:
                found.append(f"{name}: {measure.name} is not defined")
            elif bound.at_most is not None and value > bound.at_most:
                found.append(f"{name}: {measure.name} is {value:.4g}, above {bound.at_most:g}")
            elif bound.at_least is not None and value < bound.at_least:
                found.append(f"{name}: {measure.name} is {value:.4g}, below {bound.at_least:g}")
    return found


def _words(texts: Mapping[str, str]) -> str:
    return " ".join(f"{axis}={text}" for axis, text in texts.items())


def _values(plan: Plan, arm: Arm, store: Store, measure: Measure) -> list[float] | None:
    found = [run_value(plan, run, store, measure) for run in arm.runs]
    known = [value for value in found if value is not None]
    return known if len(known) == len(found) else None


def _arm(plan: Plan, name: str, game: str) -> Arm:
    return next(arm for arm in plan.arms if (arm.name, arm.game) == (name, game))


def _num_starts(plan: Plan) -> int:
    return plan.arms[0].runs[0].config.rollouts.num_starts
