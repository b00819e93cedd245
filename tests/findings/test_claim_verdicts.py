"""Verdicts: against closed forms and simulation, from scores on disk, before or after the fact."""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.numpy import save_file
from scipy import stats

from diamond.config.base import canonical
from diamond.config.presets import make_preset
from diamond.config.run import ImportedConfig
from diamond.engine.declaration_timing import BEGAN_WITHOUT, DECLARED_BEFORE, standing, verdict_text
from diamond.engine.store import Store
from diamond.findings.claim_verdicts import claim_rows
from diamond.plan.declarations import Declaration, Declared, claims_hash
from diamond.plan.stage_keys import StageName, StageSpec
from diamond.report.claim_tables import claims_sentences, claims_table
from diamond.results.claims import Claim
from diamond.results.document import to_document
from diamond.results.model import Result
from diamond.results.verdict import (
    combine,
    judge_seeds,
    judge_starts,
)
from diamond.stats.power import MAX_SEEDS, seeds_needed
from tests.commands import finish, finished_at

Floats = NDArray[np.float64]
HORIZON = 4


# --- statistics -------------------------------------------------------------------------------


@given(st.lists(st.floats(-10, 10), min_size=2, max_size=10, unique=True))
def test_a_verdict_is_that_of_the_t_test(values: list[float]) -> None:
    differences = np.array(values)
    t, p = stats.ttest_1samp(differences, 0.0)
    judged = judge_seeds(differences, ">")
    expected = "UNDECIDED" if p > 0.05 else "PASS" if t > 0 else "FAIL"
    # An interval that ends within rounding of 0 may be on either side of it.
    if abs(p - 0.05) > 1e-9:
        assert judged.verdict == expected
    other = {"PASS": "FAIL", "FAIL": "PASS", "UNDECIDED": "UNDECIDED"}
    assert judge_seeds(differences, "<").verdict == other[judged.verdict]
    assert judged.p_min == 2 / 2 ** len(values)


def test_three_seeds_in_closed_form() -> None:
    """Mean 2, standard deviation 1, half width 4.303 / sqrt(3) = 2.484: the interval holds 0."""
    judged = judge_seeds(np.array([1.0, 2.0, 3.0]), ">")
    assert judged.verdict == "UNDECIDED"
    assert (judged.lo, judged.hi) == pytest.approx((2 - 2.4841377, 2 + 2.4841377))
    assert (judged.p, judged.p_min, judged.n) == (0.25, 0.25, 3)
    # Power at an effect of 2: .755 with 4 seeds, .909 with 5 (scipy.stats.nct).
    assert judged.missing == 2
    assert judged.reason is not None and "about 2 seeds are missing" in judged.reason


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=10, unique=True))
def test_the_missing_seeds_are_those_of_the_power_analysis(values: list[float]) -> None:
    differences = np.array(values)
    judged = judge_seeds(differences, ">")
    assert (judged.missing or 0) == seeds_needed(differences)
    assert (judged.missing is None) == (judged.verdict != "UNDECIDED")


def test_without_effect_one_claim_in_forty_passes_and_with_one_most_do() -> None:
    """4,000 studies of 5 seeds: the rate is within four standard errors of its expectation."""
    generator = np.random.default_rng(0)
    num_studies, num_seeds, effect = 4000, 5, 2.0
    noise = generator.normal(size=(num_studies, num_seeds))
    null = [judge_seeds(row, ">").verdict for row in noise]
    for verdict in ("PASS", "FAIL"):
        error = np.sqrt(0.025 * 0.975 / num_studies)
        assert null.count(verdict) / num_studies == pytest.approx(0.025, abs=4 * error)
    freedom, shift = num_seeds - 1, effect * np.sqrt(num_seeds)
    power = float(stats.nct.sf(stats.t.ppf(0.975, freedom), freedom, shift))
    found = [judge_seeds(row + effect, ">").verdict for row in noise]
    error = np.sqrt(power * (1 - power) / num_studies)
    assert found.count("PASS") / num_studies == pytest.approx(power, abs=4 * error)
    assert found.count("FAIL") == 0


def test_one_seed_decides_nothing() -> None:
    judged = judge_seeds(np.array([5.0]), ">")
    assert judged.verdict == "UNDECIDED"
    assert judged.reason == "one seed: at least 2 are needed"
    assert (judged.p_min, judged.missing) == (1.0, None)


def test_equal_differences_leave_no_doubt_and_zeros_no_verdict() -> None:
    assert judge_seeds(np.array([0.5, 0.5]), ">").verdict == "PASS"
    zeros = judge_seeds(np.zeros(3), ">")
    assert (zeros.verdict, zeros.missing) == ("UNDECIDED", MAX_SEEDS + 1)
    assert zeros.reason is not None and "more than 100 seeds are missing" in zeros.reason


def test_starts_decide_within_one_model() -> None:
    values = np.random.default_rng(0).normal(3.0, 1.0, size=16)
    judged = judge_starts(values, "<")
    assert (judged.verdict, judged.unit, judged.n, judged.p) == ("FAIL", "start", 16, None)
    assert "within one trained model" in judged.method


@pytest.mark.parametrize(
    ("verdicts", "every", "some"),
    [
        (["PASS", "PASS"], "PASS", "PASS"),
        (["PASS", "FAIL"], "FAIL", "PASS"),
        (["PASS", "UNDECIDED"], "UNDECIDED", "PASS"),
        (["FAIL", "UNDECIDED"], "FAIL", "UNDECIDED"),
        (["FAIL", "FAIL"], "FAIL", "FAIL"),
        (["UNDECIDED"], "UNDECIDED", "UNDECIDED"),
        ([], "UNDECIDED", "UNDECIDED"),
    ],
)
def test_verdicts_on_several_parts(verdicts: list[Any], every: str, some: str) -> None:
    assert (combine(verdicts, "all"), combine(verdicts, "any")) == (every, some)


# --- evidence from scores ---------------------------------------------------------------------


def _declaration(*expressions: str, **changes: Any) -> Declaration:
    claims = [
        {"name": f"claim {number}", "text": "As stated.", "expression": expression}
        for number, expression in enumerate(expressions)
    ]
    said = {"question": "Which?", "primary": "l1", "axes": {"steps": [1, 3]}, "claims": claims}
    return Declaration.model_validate(said | changes)


def save_scores(scores: dict[str, Floats], folder: Path) -> None:
    save_file(scores, folder / "scores.safetensors")


class _Study:
    """A study on disk with the scores that a test gives it."""

    def __init__(self, home: Path, games: Sequence[str] = ("Boxing",)) -> None:
        self.store = Store(home)
        self.document: dict[str, Any] = {
            "study": "mine",
            "question": "Which?",
            "command": "diamond ablate",
            "preset": "smoke",
            "protocol": "static",
            "seeds": [0],
            "games": list(games),
            "horizon": HORIZON,
            "arms": [],
            "provenance": {"config": {}},
        }

    def add(
        self,
        name: str,
        per_seed: Mapping[int, Mapping[str, Floats]],
        game: str = "Boxing",
        imported: ImportedConfig | None = None,
        returns: Mapping[int, float] | None = None,
    ) -> None:
        runs = []
        for seed, scores in per_seed.items():
            of = f"{game}-{name}-{seed}"
            spec = StageSpec("fidelity", {"of": of}, {"rollouts": f"rollouts of {of}"}, 0)
            fill = partial(save_scores, dict(scores))
            finished_at(finish(self.store, spec, fill), 1000)
            mean = (returns or {}).get(seed)
            runs.append(
                {
                    "seed": seed,
                    "stages": {"fidelity": {"key": spec.key, "state": "done"}},
                    "returns": None if mean is None else {"mean": mean, "n": 1},
                }
            )
        config = make_preset("smoke", game).model_copy(update={"imported": imported})
        values = dict(word.split("=") for word in name.split() if "=" in word)
        self.document["provenance"]["config"][f"{name} | {game}"] = canonical(config)
        self.document["arms"].append(
            {
                "name": name,
                "kind": "arm" if values else "baseline",
                "game": game,
                "axis_values": values,
                "runs": runs,
            }
        )

    @property
    def result(self) -> Result:
        return Result.model_validate(self.document)

    def rows(self, declaration: Declaration) -> tuple[Claim, ...]:
        return claim_rows(declaration, self.result, self.store)


def _flat(*levels: float) -> dict[str, Floats]:
    """L1 of as many starts as there are levels, the same at every time step."""
    return {"l1": np.repeat(np.array(levels)[:, None], HORIZON, axis=1)}


def _three_seeds(home: Path) -> _Study:
    study = _Study(home)
    study.add("steps=1", {0: _flat(4.0, 6.0), 1: _flat(5.2), 2: _flat(4.9)})
    study.add("steps=3", {0: _flat(1.0, 1.0), 1: _flat(1.1), 2: _flat(1.0)})
    study.add("copy last frame", {0: _flat(2.0)})
    return study


def test_differences_are_paired_by_seed(tmp_path: Path) -> None:
    study = _three_seeds(tmp_path)
    above, twice, below = study.rows(
        _declaration(
            "l1[steps=1] > l1[steps=3]",
            "2 * l1[steps=3] - l1[copy last frame @2] > 1",
            "l1[steps=1] < l1[steps=3]",
        )
    )
    (part,) = above.games[0].parts
    assert part.seeds == (0, 1, 2)
    assert part.values == pytest.approx([4.0, 4.1, 3.9])
    expected = stats.t.interval(0.95, 2, 4.0, stats.sem([4.0, 4.1, 3.9]))
    assert (part.lo, part.hi) == pytest.approx(expected)
    assert [row.verdict for row in (above, twice, below)] == ["PASS", "FAIL", "FAIL"]
    assert twice.games[0].parts[0].values == pytest.approx([-1.0, -0.8, -1.0])
    assert above.games[0].arms == {"l1[steps=1]": "steps=1", "l1[steps=3]": "steps=3"}
    assert all(row.on_primary for row in (above, twice, below))


def test_a_margin_of_equivalence_needs_both_sides(tmp_path: Path) -> None:
    study = _three_seeds(tmp_path)
    verdicts = {
        text: row.verdict
        for text in (
            "abs(l1[steps=1] - l1[steps=3]) < 5",
            "abs(l1[steps=1] - l1[steps=3]) < 3",
            "abs(l1[steps=1] - l1[steps=3]) < 4",
            "abs(l1[steps=1] - l1[steps=3]) > 3",
        )
        for row in study.rows(_declaration(text))
    }
    assert list(verdicts.values()) == ["PASS", "FAIL", "UNDECIDED", "PASS"]


def test_values_are_compared_where_both_are_defined(tmp_path: Path) -> None:
    study = _Study(tmp_path)
    one = {"core_ratio": np.array([[0.5, np.nan, 0.1, 0.5]])}
    other = {"core_ratio": np.array([[0.4, 9.0, np.nan, 0.4]])}
    study.add("steps=1", {0: one, 1: one})
    study.add("steps=3", {0: other, 1: other})
    (row,) = study.rows(_declaration("core_ratio[steps=1] > core_ratio[steps=3]"))
    assert row.games[0].parts[0].values == pytest.approx([0.1, 0.1])
    assert not row.on_primary


def test_a_time_step_is_counted_from_one(tmp_path: Path) -> None:
    study = _Study(tmp_path)
    for name, factor in (("steps=1", 2.0), ("steps=3", 1.0)):
        rising = {"l1": factor * np.array([[1.0, 10.0, 100.0, 1000.0]])}
        study.add(name, {0: rising, 1: rising})
    (row,) = study.rows(_declaration("l1[steps=1 @2] - l1[steps=3 @4] < 0"))
    assert row.games[0].parts[0].values == (20.0 - 1000.0,) * 2


def test_all_games_must_hold(tmp_path: Path) -> None:
    study = _Study(tmp_path, ("Boxing", "Pong"))
    for game, level in (("Boxing", 2.0), ("Pong", 0.5)):
        study.add("steps=1", {0: _flat(level), 1: _flat(level + 0.1)}, game)
        study.add("steps=3", {0: _flat(1.0), 1: _flat(1.1)}, game)
    (row,) = study.rows(_declaration("l1[steps=1] > l1[steps=3]"))
    assert [game.verdict for game in row.games] == ["PASS", "FAIL"]
    assert row.verdict == "FAIL"


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("l1[steps=1 @9] > 0", "time step 9 is beyond the horizon of 4"),
        ("return[steps=1] > 0", "steps=1 has no return"),
        ("l1[steps=2] > 0", "no arm has 'steps=2'"),
        ("l1[steps=1] > l1[steps=3]", "one seed: at least 2 are needed"),
    ],
)
def test_what_cannot_be_judged_is_undecided_with_the_reason(
    tmp_path: Path, expression: str, reason: str
) -> None:
    study = _Study(tmp_path)
    study.add("steps=1", {0: _flat(2.0), 1: _flat(2.0)})
    study.add("steps=3", {0: _flat(1.0), 5: _flat(1.0)})
    (row,) = study.rows(_declaration(expression))
    assert row.verdict == "UNDECIDED"
    assert reason in (row.games[0].reason or "")


def test_lost_scores_are_named(tmp_path: Path) -> None:
    study = _Study(tmp_path)
    study.add("steps=1", {0: _flat(2.0), 1: _flat(2.0)})
    lost = study.document["arms"][0]["runs"][1]["stages"]["fidelity"]["key"]
    (study.store.folder("fidelity", lost) / "scores.safetensors").unlink()
    (row,) = study.rows(_declaration("l1[steps=1] > 0"))
    assert row.games[0].parts[0].absent == ("seed 1: the scores of steps=1 are not there",)


def test_returns_are_judged_by_seed(tmp_path: Path) -> None:
    study = _Study(tmp_path)
    seeds = {seed: _flat(0.0) for seed in range(3)}
    study.add("steps=1", seeds, returns={0: 10.0, 1: 11.0, 2: 12.0})
    study.add("steps=3", seeds, returns={0: 1.0, 1: 2.0, 2: 3.5})
    (row,) = study.rows(_declaration("return[steps=1] > return[steps=3] + 5"))
    assert row.games[0].parts[0].values == (4.0, 4.0, 3.5)
    assert row.verdict == "PASS"


def test_an_imported_model_is_judged_by_its_starts(tmp_path: Path) -> None:
    digest = "0" * 64
    imported = ImportedConfig(
        num_actions=6, weights=dict.fromkeys(("denoiser", "reward_end", "policy"), digest)
    )
    study = _Study(tmp_path)
    study.add("steps=1", {0: _flat(*[2.0, 2.1, 2.2, 1.9] * 3)}, imported=imported)
    study.add("steps=3", {0: _flat(*[1.0] * 12)}, imported=imported)
    (row,) = study.rows(_declaration("l1[steps=1] > l1[steps=3]"))
    assert (row.verdict, row.within_model) == ("PASS", True)
    assert row.games[0].parts[0].unit == "start"
    assert verdict_text(row.verdict, row.within_model, post_hoc=False) == "PASS within this model"


# --- before or after --------------------------------------------------------------------------


def _history(*hashes: str | None, seconds: int = 0) -> list[dict[str, Any]]:
    return [
        {"time": seconds + 100 * index} | ({} if digest is None else {"declared": {"hash": digest}})
        for index, digest in enumerate(hashes)
    ]


def test_claims_stand_as_their_history_says(tmp_path: Path) -> None:
    study, declaration = _three_seeds(tmp_path), _declaration("l1[steps=1] > l1[steps=3]")
    now = claims_hash(declaration)

    def status(history: list[dict[str, Any]]) -> tuple[str, bool]:
        told = standing(Declared(Path("x.toml"), declaration), study.result, history, study.store)
        assert told.hash == now
        return told.status, told.post_hoc

    assert status(_history(now)) == (DECLARED_BEFORE, False)
    assert status(_history(now, "other", now)) == (DECLARED_BEFORE, False)
    assert status(_history("older", now)) == ("changed since: older", True)
    assert status(_history("older")) == ("changed since: older", True)
    assert status(_history(None, now)) == (BEGAN_WITHOUT, True)
    assert status([]) == (BEGAN_WITHOUT, True)
    # The scores on disk are from second 1000.
    assert status(_history(now, seconds=1000)) == (DECLARED_BEFORE, False)
    late, post_hoc = status(_history(now, seconds=1001))
    assert "after 6 of 6 runs had been scored" in late and post_hoc
    told = standing(Declared(Path("x.toml"), declaration), study.result, _history(now), study.store)
    assert told.declared_at == "1970-01-01T00:00:00Z"


def test_a_model_that_was_scored_before_in_another_way_is_known(tmp_path: Path) -> None:
    """New starts or new metrics give new keys; the claims still came after the model was seen."""
    study, declaration = _three_seeds(tmp_path), _declaration("l1[steps=1] > l1[steps=3]")

    def rollouts(starts: str, denoiser: str, steps: int) -> str:
        upstream: dict[StageName, str] = {"references": starts, "denoiser": denoiser}
        spec = StageSpec("rollouts", {"sampler": {"steps": steps}}, upstream, 0)
        finish(study.store, spec)
        return spec.key

    def scores(key: str, seconds: int) -> None:
        spec = StageSpec("fidelity", {"of": "others"}, {"rollouts": key}, 0)
        finished_at(finish(study.store, spec), seconds)

    run = study.document["arms"][0]["runs"][0]
    run["stages"]["rollouts"] = {"key": rollouts("own", "a", 1), "state": "done"}
    for starts, denoiser, steps, seconds in (
        ("other model", "b", 1, 100), ("other sampler", "a", 3, 100), ("later", "a", 1, 900),
    ):  # fmt: skip
        scores(rollouts(starts, denoiser, steps), seconds)
    history = _history(claims_hash(declaration), seconds=500)
    told = standing(Declared(Path("x.toml"), declaration), study.result, history, study.store)
    assert (told.status, told.post_hoc) == (DECLARED_BEFORE, False)
    scores(rollouts("before", "a", 1), 100)
    told = standing(Declared(Path("x.toml"), declaration), study.result, history, study.store)
    assert told.status == "declared after 1 of 6 runs had been scored"
    assert told.post_hoc


# --- what is shown ----------------------------------------------------------------------------


def test_the_table_shows_verdicts_and_evidence(tmp_path: Path) -> None:
    study = _three_seeds(tmp_path)
    declaration = _declaration("l1[steps=1] > l1[steps=3]", "l1[steps=1 @9] < l1[steps=3]")
    told = standing(
        Declared(Path("x.toml"), declaration), study.result, _history("x" * 64), study.store
    )
    claims = study.rows(declaration)
    document = study.result.model_copy(update={"claims": claims, "declaration": told})
    rows = {row.name: [cell.text for cell in row.cells] for row in claims_table(document).rows}
    assert rows["claim 0"][0] == "PASS, post hoc"
    assert rows["Boxing: l1[steps=1] - l1[steps=3] > 0"] == [
        "PASS", "+4.00", "0.25 (0.25)", "3 seeds",
    ]  # fmt: skip
    assert rows["claim 1"][0] == "UNDECIDED, post hoc"
    text = "\n".join(claims_sentences(document))
    for words in (
        "changed since: xxxx",
        "seed 0 4.00, seed 1 4.10, seed 2 3.90",
        "Boxing: UNDECIDED: time step 9 is beyond the horizon of 4",
    ):
        assert words in text
    json.dumps(to_document(document), allow_nan=False)
    assert claims_table(study.result).rows == ()
    assert claims_sentences(study.result) == []
