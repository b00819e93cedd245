"""Verdicts on the claims of a study: what each seed says, from its result and its scores.

The statistics are in `verdict`; whether claims were made beforehand is in
`diamond.engine.declaration_timing`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from diamond.arrays import FloatArray
from diamond.config.metric_table import is_set
from diamond.config.run import RunConfig
from diamond.engine.output_names import scores_file
from diamond.engine.store import Store
from diamond.errors import RequestError
from diamond.plan.claims.claim_arms import NamedArm, find_arms
from diamond.plan.claims.claim_grammar import (
    RETURN_METRICS,
    Quantity,
    render_claim,
    render_quantity,
)
from diamond.plan.claims.linear_claim import Linear, Reading, read_claim
from diamond.plan.declarations import Declaration, DeclaredClaim
from diamond.results.arm_model import Arm, Run
from diamond.results.claims import Claim, ClaimGame, ClaimPart
from diamond.results.model import Result
from diamond.results.rollout_estimates import Scores, load_scores, nan_mean, over_horizon
from diamond.results.verdict import Judgement, combine, judge_seeds, judge_starts
from diamond.stages.registry import SCORING_STAGES

Values = Mapping[Quantity, FloatArray]
"""Per quantity one value a start; a return is one value."""


@dataclass(frozen=True)
class _Evidence:
    """What a claim reads on one game.

    Attributes:
        arms: The arm of each quantity.
        seeds: Training seeds that all its trained arms have.
        within: Whether it can only be judged within one trained model.
    """

    arms: Mapping[Quantity, Arm]
    seeds: tuple[int, ...]
    within: bool
    store: Store


def claim_rows(declaration: Declaration, result: Result, store: Store) -> tuple[Claim, ...]:
    """Judge every claim of a declaration on every game of a study.

    Args:
        result: Of the study; its arms, games and configs are read.
        store: Where the scores of its runs are.
    """
    return tuple(_claim(claim, declaration.primary, result, store) for claim in declaration.claims)


def _claim(claim: DeclaredClaim, primary: str, result: Result, store: Store) -> Claim:
    comparison = claim.comparison
    reading = read_claim(comparison)
    metrics = {quantity.metric for part in reading.parts for quantity in part.terms}
    games = tuple(_on_game(claim, reading, game, result, store) for game in result.games)
    return Claim(
        name=claim.name,
        text=claim.text,
        expression=render_claim(comparison),
        on_primary=metrics <= {primary, f"{primary}_real"},
        verdict=combine([game.verdict for game in games], "all"),
        within_model=any(game.within_model for game in games),
        games=games,
    )


def _on_game(
    claim: DeclaredClaim, reading: Reading, game: str, result: Result, store: Store
) -> ClaimGame:
    try:
        evidence = _evidence(claim, game, result, store)
    except RequestError as error:
        return _undecided(game, str(error))
    late = [
        f"time step {q.time_step} is beyond the horizon of {result.horizon}"
        for q in evidence.arms
        if q.time_step is not None and q.time_step > result.horizon
    ]
    if late:
        return _undecided(game, late[0])
    parts = tuple(_part(part, reading, evidence) for part in reading.parts)
    verdict = combine([part.verdict for part in parts], reading.holds)
    return ClaimGame(
        game=game,
        verdict=verdict,
        reason=_reason(parts, reading.holds) if verdict == "UNDECIDED" else None,
        within_model=evidence.within,
        holds=reading.holds,
        arms={render_quantity(q): arm.name for q, arm in evidence.arms.items()},
        parts=parts,
    )


def _reason(parts: Sequence[ClaimPart], holds: Literal["all", "any"]) -> str | None:
    """Why a claim is undecided: of several parts, by the one that a decision waits for."""
    undecided = [part for part in parts if part.verdict == "UNDECIDED"]
    undecided.sort(key=lambda part: part.seeds_missing or 0, reverse=holds == "all")
    return undecided[0].reason


def _undecided(game: str, reason: str) -> ClaimGame:
    return ClaimGame(game=game, verdict="UNDECIDED", reason=reason)


def _evidence(claim: DeclaredClaim, game: str, result: Result, store: Store) -> _Evidence:
    rows, configs = result.arms_of(game), result.provenance.config
    named = [
        NamedArm(
            arm.name,
            arm.kind == "arm",
            arm.axis_values,
            RunConfig.model_validate(configs[f"{arm.name} | {game}"]),
        )
        for arm in rows
    ]
    by_name = {arm.name: arm for arm in rows}
    found = find_arms(claim.comparison, named)
    trained = [arm for arm in found.values() if arm.is_trained]
    seeds = [{run.seed for run in by_name[arm.name].runs} for arm in trained]
    common = tuple(sorted(set.intersection(*seeds)))
    imported = any(arm.config.imported is not None for arm in trained)
    return _Evidence(
        arms={quantity: by_name[arm.name] for quantity, arm in found.items()},
        seeds=common,
        within=imported and len(common) == 1,
        store=store,
    )


def _part(part: Linear, reading: Reading, evidence: _Evidence) -> ClaimPart:
    per_seed: dict[int, float] = {}
    starts: FloatArray = np.empty(0)
    absent: list[str] = []
    for seed in evidence.seeds:
        values = _values(part, evidence, seed)
        if isinstance(values, str):
            absent.append(f"seed {seed}: {values}")
            continue
        difference = _combined(part, {q: np.array([nan_mean(v)]) for q, v in values.items()})[0]
        if np.isnan(difference):
            absent.append(f"seed {seed}: a metric is not defined in it")
            continue
        per_seed[seed] = float(difference)
        starts = _combined(part, values)
    by_start = not any(q.metric in RETURN_METRICS or is_set(q.metric) for q in part.terms)
    if evidence.within and per_seed and by_start:
        judged = judge_starts(starts, reading.relation)
    else:
        judged = judge_seeds(np.array(list(per_seed.values())), reading.relation)
    return _row(part, reading, judged, per_seed, absent)


def _row(
    part: Linear,
    reading: Reading,
    judged: Judgement,
    per_seed: Mapping[int, float],
    absent: Sequence[str],
) -> ClaimPart:
    reason = judged.reason
    if judged.n == 0:
        reason = "; ".join(absent) or "its arms have no training seed in common"
    return ClaimPart(
        difference=_shown(part),
        relation=reading.relation,
        verdict=judged.verdict,
        reason=reason,
        seeds=tuple(per_seed),
        values=tuple(per_seed.values()),
        absent=tuple(absent),
        mean=judged.mean,
        lo=judged.lo,
        hi=judged.hi,
        n=judged.n,
        unit=judged.unit,
        method=judged.method,
        p=judged.p,
        p_min=judged.p_min,
        seeds_missing=judged.missing,
    )


def _combined(part: Linear, values: Values) -> FloatArray:
    """Left side minus right side, for each start or for the seed."""
    total: FloatArray = sum(
        (factor * values[quantity] for quantity, factor in part.terms.items()),
        start=np.array([part.constant]),
    )
    return total


def _values(part: Linear, evidence: _Evidence, seed: int) -> Values | str:
    """What the arms of a part scored with one seed, or why it is not there.

    Quantities of one metric at one time are compared where all of them are defined.
    """
    cells: dict[Quantity, FloatArray] = {}
    returns: dict[Quantity, FloatArray] = {}
    for quantity in part.terms:
        arm = evidence.arms[quantity]
        run = _run(arm, seed)
        if quantity.metric in RETURN_METRICS:
            earned = run.returns
            value = None
            if earned is not None:
                value = earned.mean if quantity.metric == "return" else earned.hns
            if value is None:
                return f"{arm.name} has no {quantity.metric}"
            returns[quantity] = np.array([value])
            continue
        scores = _scores(run, evidence.store)
        if scores is None:
            return f"the scores of {arm.name} are not there"
        array = scores.get(quantity.metric)
        if array is None:
            return f"{quantity.metric} of {arm.name} was not measured"
        at = quantity.time_step
        cells[quantity] = array if at is None else array[:, at - 1 : at]
    for quantity, array in list(cells.items()):
        alike = [
            other
            for key, other in cells.items()
            if (key.metric, key.time_step) == (quantity.metric, quantity.time_step)
        ]
        undefined = np.any(np.isnan(np.stack(alike)), axis=0)
        returns[quantity] = over_horizon(np.where(undefined, np.nan, array))
    return returns


def _run(arm: Arm, seed: int) -> Run:
    """The run of a seed; a baseline without training has one for all seeds."""
    if arm.kind == "baseline":
        return arm.runs[0]
    return next(run for run in arm.runs if run.seed == seed)


def _scores(run: Run, store: Store) -> Scores | None:
    done = [
        store.folder(name, stage.key) / scores_file(name)
        for name in SCORING_STAGES
        if (stage := run.stages.get(name)) is not None and stage.state == "done"
    ]
    paths = tuple(path for path in done if path.is_file())
    return load_scores(paths) if paths else None


def _shown(part: Linear) -> str:
    """A linear expression in words of the claim."""
    text = ""
    for quantity, factor in part.terms.items():
        size = "" if abs(factor) == 1 else f"{abs(factor):g} * "
        sign = " - " if factor < 0 else " + "
        text += (sign if text else sign.strip(" +")) + size + render_quantity(quantity)
    if part.constant:
        text += f" {'-' if part.constant < 0 else '+'} {abs(part.constant):g}"
    return text
